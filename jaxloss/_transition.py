"""Transition matrices of label noise: models of it, and estimates.

T holds `T[i, j]`, the probability that an example of class i is labelled j; its rows
sum to 1.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss._checks import check_logits, check_range, describe


def symmetric_transition(
    num_classes: int, rate: ArrayLike
) -> Float[Array, "classes classes"]:
    r"""Symmetric noise: any other class with the same probability, $\eta / (C - 1)$.

    Args:
        num_classes: C, at least 2.
        rate: $\eta$ in [0, 1], the share of labels that are wrong; may be traced.
    Returns:
        T, float32 or wider.
    Raises:
        ValueError: rate out of range.
    Source: Zhang & Sabuncu, NeurIPS 2018, arXiv:1805.07836, section 4.

    >>> symmetric_transition(3, 0.5)
    Array([[0.5 , 0.25, 0.25],
           [0.25, 0.5 , 0.25],
           [0.25, 0.25, 0.5 ]], dtype=float32)
    """
    check_range("rate", rate, 0, 1)
    eye = jnp.eye(num_classes)
    return (1 - jnp.asarray(rate)) * eye + rate * (1 - eye) / (num_classes - 1)


def pair_transition(
    num_classes: int, rate: ArrayLike
) -> Float[Array, "classes classes"]:
    r"""Pair flips: a wrong label is that of the next class, the first after the last.

    Args:
        num_classes: C, at least 2.
        rate: in [0, 1], the share of labels that are wrong; may be traced.
    Returns:
        T, float32 or wider.
    Raises:
        ValueError: rate out of range.
    Source: Zhang & Sabuncu, NeurIPS 2018, arXiv:1805.07836, section 4.

    >>> pair_transition(3, 0.25)
    Array([[0.75, 0.25, 0.  ],
           [0.  , 0.75, 0.25],
           [0.25, 0.  , 0.75]], dtype=float32)
    """
    check_range("rate", rate, 0, 1)
    eye = jnp.eye(num_classes)
    return (1 - jnp.asarray(rate)) * eye + rate * jnp.roll(eye, 1, axis=1)


def transition_from_anchors(
    probabilities: Float[Array, "examples classes"], *, quantile: float = 1.0
) -> Float[Array, "classes classes"]:
    r"""Estimated T: the prediction for the example surest to be of each class.

    $$\hat T_{ij} = \hat p(\tilde y = j \mid x^i), \qquad
      x^i = \arg\max_x \hat p(\tilde y = i \mid x).$$

    Args:
        probabilities: of a model trained with cross-entropy on the noisy labels, for
            examples of any label.
        quantile: in (0, 1], of that probability among the examples, whose example is
            taken: the source has 1, and .97 for a hundred classes.
    Returns:
        T, whose rows are rows of `probabilities`.
    Raises:
        TypeError, ValueError: probabilities that are not a floating matrix, or empty;
            quantile out of range.
    Source: Patrini et al., CVPR 2017, arXiv:1609.03683, eq. 12 and 13.

    >>> transition_from_anchors(jnp.array([[0.5, 0.5], [0.75, 0.25], [0.375, 0.625]]))
    Array([[0.75 , 0.25 ],
           [0.375, 0.625]], dtype=float32)
    """
    p = check_logits(probabilities)
    check_range("quantile", quantile, 0, 1, open_low=True)
    if p.ndim != 2 or p.shape[0] == 0:
        raise ValueError(
            f"probabilities must be [examples, classes], got {describe(p)}"
        )
    rank = round(quantile * (p.shape[0] - 1))
    return p[jnp.argsort(p, axis=0)[rank]]


def transition_from_labels(
    clean: Integer[Array, " examples"],
    noisy: Integer[Array, " examples"],
    num_classes: int,
) -> Float[Array, "classes classes"]:
    r"""Estimated T: the confusion of labels trusted, or predicted, with noisy ones.

    $$\hat T_{ij} = \frac{\#\{\text{clean} = i, \text{noisy} = j\}}
      {\#\{\text{clean} = i\}}.$$

    Args:
        clean: trusted labels, or the predictions of a model.
        noisy: given labels of the same examples. Pairs with a label outside
            `[0, num_classes)` do not count.
        num_classes: C.
    Returns:
        T; a class without examples keeps its label.
    Raises:
        TypeError: labels that are not integers.
        ValueError: labels of two lengths.
    Source: Hendrycks et al., "Using Trusted Data to Train Deep Networks on Labels
        Corrupted by Severe Noise", NeurIPS 2018, arXiv:1802.05300; from predictions as
        in Zhang & Sabuncu, NeurIPS 2018, arXiv:1805.07836, section 4.

    >>> transition_from_labels(jnp.array([0, 0, 1]), jnp.array([0, 1, 1]), 2)
    Array([[0.5, 0.5],
           [0. , 1. ]], dtype=float32)
    """
    clean, noisy = jnp.asarray(clean), jnp.asarray(noisy)
    for name, labels in (("clean", clean), ("noisy", noisy)):
        if not jnp.issubdtype(labels.dtype, jnp.integer):
            raise TypeError(f"{name} must be integer class ids, got {describe(labels)}")
    if clean.shape != noisy.shape or clean.ndim != 1:
        raise ValueError(
            f"clean and noisy must be [examples] both, got {describe(clean)} and "
            f"{describe(noisy)}"
        )
    pairs = jnp.zeros((num_classes, num_classes), jnp.result_type(float))
    known = (clean >= 0) & (noisy >= 0)  # -1 would count from the end
    clean = jnp.where(known, clean, num_classes)
    pairs = pairs.at[clean, noisy].add(1, mode="drop")
    total = jnp.sum(pairs, axis=1, keepdims=True)
    return jnp.where(
        total > 0, pairs / jnp.where(total > 0, total, 1), jnp.eye(num_classes)
    )
