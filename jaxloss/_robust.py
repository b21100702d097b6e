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
from jaxtyping import Float, Integer

from jaxloss._checks import (
    check_logits,
    check_range,
    check_shape,
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
