"""Noisy labels: normalised losses, and corrections by a known or estimated transition.

A transition matrix T holds `T[i, j]`, the probability that an example of class i is
labelled j; its rows sum to 1. `generalized_cross_entropy`, `symmetric_cross_entropy`,
`taylor_cross_entropy` and `bi_tempered_logistic` need none.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss._checks import (
    check_logits,
    check_range,
    check_shape,
    describe,
)
from jaxloss._exact import log_sigmoid, sigmoid
from jaxloss._log_odds import at_label, is_label, log_softmax, per_example, wide


def normalized_cross_entropy(
    logits: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""Cross-entropy over its sum for all labels: symmetric, so robust to noise.

    $$\ell = \frac{\log p_y}{\sum_j \log p_j}, \qquad
      \frac{\partial\ell}{\partial z_k} =
      \frac{p_k - [k = y] - \ell\,(C p_k - 1)}{-\sum_j \log p_j}.$$

    It stops learning early; the source adds a passive loss, such as the mean absolute
    error, or the reverse cross-entropy `symmetric_cross_entropy` with alpha 0:

        alpha * normalized_cross_entropy(z, y) + beta * mean_absolute_error(z, y)

    Args:
        logits: unnormalized scores. Classes at $-\infty$ are out.
        labels: class ids in `[0, classes)`; NaN for any other.
    Returns:
        One loss per example, in [0, 1]; over all labels they sum to 1. 0 if there is
        but one class.
    Raises:
        TypeError, ValueError: as `label_log_odds`.
    Source: Ma et al., "Normalized Loss Functions for Deep Learning with Noisy Labels",
        ICML 2020, arXiv:2006.13554, eq. 5 and section 3.3.

    >>> normalized_cross_entropy(jnp.array([0.0, 0.0]), jnp.array(0)).round(4)
    Array(0.5, dtype=float32)
    """

    def loss(z: Array, labels: Array) -> Array:
        log_p, _ = log_softmax(z)
        label = -jnp.squeeze(at_label(log_p, labels), -1)
        rivals = is_label(z, labels) | jnp.isneginf(z)
        others = -jnp.sum(jnp.where(rivals, 0, log_p), axis=-1)
        # The odds of label and others, in logs: the quotient's derivative would cancel.
        both = (label != 0) & (others != 0)
        log_label, log_others = (
            jnp.log(jnp.where(both, jnp.minimum(x, jnp.finfo(x.dtype).max), 1))
            for x in (label, others)
        )
        ratio = sigmoid(log_label - log_others)
        return jnp.where(both, ratio, jnp.where(label > 0, 1.0, 0.0))

    return per_example(loss, logits, labels)


def forward_corrected_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    transition: Float[Array, "classes classes"],
) -> Float[Array, "*batch"]:
    r"""Cross-entropy of the noisy label under the noisy prediction $T^\top p$.

    $$\ell = -\log \sum_i T_{iy}\, p_i, \qquad
      \frac{\partial\ell}{\partial z_k} =
      p_k \Big(1 - \frac{T_{ky}}{\sum_i T_{iy}\, p_i}\Big).$$

    A model trained so predicts the clean label. $1 - \sum_i T_{iy} p_i$ is a sum too,
    so the loss is the curve of cross-entropy at the log-odds of the noisy label.

    Args:
        logits: unnormalized scores of the clean classes.
        labels: noisy class ids in `[0, classes)`; NaN for any other.
        transition: T, row = clean class, column = noisy label; may be traced.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; a transition that is not
            `[classes, classes]`, or whose rows are no distributions.
    Source: Patrini et al., "Making Deep Neural Networks Robust to Label Noise: a Loss
        Correction Approach", CVPR 2017, arXiv:1609.03683, theorem 2.

    >>> z, y, noise = jnp.array([9.0, 0.0]), jnp.array(1), 0.25
    >>> transition = jnp.array([[1 - noise, noise], [0.0, 1.0]])
    >>> forward_corrected_cross_entropy(z, y, transition=transition).round(4)
    Array(1.3859, dtype=float32)
    """
    transition = _check_transition(transition, logits)

    def loss(z: Array, labels: Array) -> Array:
        share = jnp.moveaxis(transition, 0, -1)[labels].astype(z.dtype)
        (right, top), (wrong, other_top) = _log_sum(share, z), _log_sum(1 - share, z)
        return -log_sigmoid((right - wrong) + (top - other_top))

    return per_example(loss, logits, labels)


def backward_corrected_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    transition: Float[Array, "classes classes"],
) -> Float[Array, "*batch"]:
    r"""Cross-entropy of all labels, weighted to be unbiased under the noise.

    $$\ell = -\sum_j (T^{-1})_{yj} \log p_j, \qquad
      \frac{\partial\ell}{\partial z_k} = p_k - (T^{-1})_{yk}.$$

    In expectation over the noise it is the clean cross-entropy. Weights are negative:
    the loss has no lower bound, and its variance is large.

    Args:
        logits: unnormalized scores, finite.
        labels: noisy class ids in `[0, classes)`; NaN for any other.
        transition: T, row = clean class, column = noisy label, invertible; may be
            traced.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; a transition that is not
            `[classes, classes]`, or whose rows are no distributions.
    Source: Patrini et al., CVPR 2017, arXiv:1609.03683, theorem 1.

    >>> z, y = jnp.array([2.0, 0.0]), jnp.array(0)
    >>> backward_corrected_cross_entropy(z, y, transition=jnp.eye(2)).round(4)
    Array(0.1269, dtype=float32)
    """
    transition = _check_transition(transition, logits)

    def loss(z: Array, labels: Array) -> Array:
        inverse = jnp.linalg.inv(transition.astype(wide(transition.dtype)))
        weights = inverse[labels].astype(z.dtype)
        log_p, _ = log_softmax(z)
        # A weight of 0 takes even log p = -inf away.
        some = weights != 0
        return -jnp.sum(weights * jnp.where(some, log_p, 0), axis=-1)

    return per_example(loss, logits, labels)


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


def _log_sum(weights: Array, z: Array) -> tuple[Array, Array]:
    """log sum_k w_k exp(z_k) less the top of z, and that top; for w >= 0, with a
    derivative for w = 0 too."""
    top = jnp.max(jnp.where(weights > 0, z, -jnp.inf), axis=-1, keepdims=True)
    top = jax.lax.stop_gradient(jnp.where(jnp.isneginf(top), 0, top))
    # What weighs nothing may stand above the top.
    largest = jnp.log(jnp.finfo(z.dtype).max) - 1
    total = jnp.sum(weights * jnp.exp(jnp.minimum(z - top, largest)), axis=-1)
    some = total > 0
    log = jnp.where(some, jnp.log(jnp.where(some, total, 1)), -jnp.inf)
    return log, jnp.squeeze(top, -1)


def _check_transition(transition: Array, logits: Array) -> Array:
    """Square, and stochastic if its values are known."""
    logits = check_logits(logits)
    if not isinstance(transition, Tracer):
        rows = np.sum(np.asarray(transition, np.float64), axis=-1)
        check_range("transition", transition, 0, 1)
        if not np.allclose(rows, 1, atol=1e-3):
            raise ValueError(
                "the rows of transition must sum to 1 (row = clean class, column = "
                f"noisy label), got sums from {np.min(rows)} to {np.max(rows)}"
            )
    transition = jnp.asarray(transition)
    check_shape("transition", transition, logits.shape[-1:] * 2, logits)
    return transition
