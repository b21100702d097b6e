"""Long tails: shifts of the logits by class frequency or by accumulated gradient.

A shift moves the decision boundary, a curve says how much an example counts; so
`generalized_cross_entropy(adjust_logits(logits, log_prior=...), labels)` is a loss for
long tails with noisy labels, and every loss here takes another `curve`.

Only with cross-entropy is tau 1 the strength that leads to the balanced rule. $L_q$ has
its minimum where $p \\propto P(y \\mid x)^{1/(1-q)}$: there it takes tau $1 / (1 - q)$.
"""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._checks import (
    check_logits,
    check_logits_labels,
    check_per_class,
    check_shape,
    describe,
)
from jaxloss._exact import times_log
from jaxloss._log_odds import Curve, apply_curve, wide


def adjust_logits(
    logits: Float[Array, "*batch classes"],
    *,
    log_prior: Float[Array, " classes"],
    tau: ArrayLike = 1.0,
) -> Float[Array, "*batch classes"]:
    r"""For training: $z + \tau \log\pi$.

    A model trained on any softmax loss of these predicts with its plain $z$; adding the
    prior again at test time undoes it.

    Args:
        logits: unnormalized scores.
        log_prior: log class frequencies; a constant offset does not matter. A class at
            $-\infty$ (no examples) leaves the softmax, unless tau is 0.
        tau: strength; 0 leaves the logits alone, 1 is consistent for the balanced
            error with cross-entropy. May be traced.
    Returns:
        Shifted logits, in the dtype of the logits.
    Raises:
        ValueError: log_prior that is not `[classes]`.
    Source: Menon et al., "Long-tail learning via logit adjustment", ICLR 2021,
        arXiv:2007.07314, eq. 10.

    >>> adjust_logits(jnp.zeros(2), log_prior=jnp.array([-1.0, -3.0]), tau=2.0)
    Array([-2., -6.], dtype=float32)
    """
    logits = check_logits(logits)
    shift = _class_shift(logits, log_prior, tau)
    return (logits.astype(wide(logits.dtype)) + shift).astype(logits.dtype)


def posthoc_adjust_logits(
    logits: Float[Array, "*batch classes"],
    *,
    log_prior: Float[Array, " classes"],
    tau: ArrayLike = 1.0,
) -> Float[Array, "*batch classes"]:
    r"""For prediction with a model trained on plain cross-entropy: $z - \tau \log\pi$.

    Args:
        logits: unnormalized scores.
        log_prior: log class frequencies of the training set. A class at $-\infty$ (no
            examples) is never predicted, unless tau is 0.
        tau: strength; choose it on validation data, 1 by default. May be traced.
    Returns:
        Shifted logits, in the dtype of the logits; predict their argmax.
    Raises:
        ValueError: log_prior that is not `[classes]`.
    Source: Menon et al., ICLR 2021, arXiv:2007.07314, eq. 9.

    >>> posthoc_adjust_logits(jnp.zeros(2), log_prior=jnp.array([-1.0, -3.0]))
    Array([1., 3.], dtype=float32)
    """
    logits = check_logits(logits)
    shift = _class_shift(logits, log_prior, tau)
    shift = jnp.where(jnp.isneginf(shift), shift, -shift)
    return (logits.astype(wide(logits.dtype)) + shift).astype(logits.dtype)


def logit_adjusted_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    log_prior: Float[Array, " classes"],
    tau: ArrayLike = 1.0,
    curve: Curve = curves.cross_entropy,
) -> Float[Array, "*batch"]:
    r"""Logit adjustment: cross-entropy of $z + \tau \log\pi$; predict with plain $z$.

    $$\ell = \log\Big(1 + \sum_{k \ne y} \big(\tfrac{\pi_k}{\pi_y}\big)^\tau
      e^{z_k - z_y}\Big), \qquad
      \frac{\partial\ell}{\partial z_k} = \tilde p_k - [k = y], \quad
      \tilde p = \mathrm{softmax}(z + \tau \log\pi).$$

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        log_prior: as in `adjust_logits`; `log(counts)` will do (balanced softmax).
        tau: strength; 0 is cross-entropy. May be traced.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; log_prior that is not `[classes]`.
    Source: Menon et al., ICLR 2021, arXiv:2007.07314, eq. 10. The released code adds
        1e-12 to $\pi^\tau$ inside the log; ours does not.

    >>> z, y, log_prior = jnp.zeros(2), jnp.array(1), jnp.log(jnp.array([0.75, 0.25]))
    >>> logit_adjusted_cross_entropy(z, y, log_prior=log_prior).round(4)
    Array(1.3863, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    shift = _class_shift(logits, log_prior, tau)
    return apply_curve(curve, logits, labels, margin=shift, label_offset=shift)


def margin_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    margin: Float[Array, "classes classes"],
    curve: Curve = curves.cross_entropy,
) -> Float[Array, "*batch"]:
    r"""Cross-entropy with a margin for each pair of label and rival.

    $$\ell = \log\Big(1 + \sum_{k \ne y} e^{\Delta_{yk} + z_k - z_y}\Big), \qquad
      \frac{\partial\ell}{\partial z_k} = \tilde p_k - [k = y], \quad
      \tilde p = \mathrm{softmax}(z + \Delta_{y\cdot}).$$

    $\Delta_{yk} = \tau\log(\pi_k/\pi_y)$ is logit adjustment, a margin of the label
    alone is LDAM, one of the rival alone equalization. The factor $\alpha_y$ of the
    paper is a sample
    weight: multiply the result.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        margin: row = label, column = rival; the diagonal is ignored, $-\infty$ takes
            the rival out.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; margin that is not
            `[classes, classes]`.
    Source: Menon et al., ICLR 2021, arXiv:2007.07314, eq. 11.

    >>> z, y, margin = jnp.array([1.0, 0.0]), jnp.array(0), jnp.array([[0.0, 1.0]] * 2)
    >>> margin_cross_entropy(z, y, margin=margin).round(4)
    Array(0.6931, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    margin = jnp.asarray(margin)
    check_shape("margin", margin, logits.shape[-1:] * 2, logits)
    rows = margin.at[labels].get(mode="clip")
    return apply_curve(curve, logits, labels, margin=rows)


def tau_normalize(
    kernel: Float[Array, "features classes"], *, tau: ArrayLike
) -> Float[Array, "features classes"]:
    r"""Post-hoc weight normalisation: $w_j / \lVert w_j\rVert^\tau$ for each class.

    Helps only where norms follow frequency, as they do under SGD with momentum and not
    under Adam (Menon et al., section 3).

    Args:
        kernel: a column per class, as in Flax; the bias, if any, stays as it is.
        tau: strength, 0 leaves the kernel alone; choose it on validation data.
    Returns:
        The rescaled kernel; a class vector of zeros stays zero.
    Raises:
        ValueError: a kernel that is not a matrix.
    Source: Kang et al., "Decoupling Representation and Classifier for Long-Tailed
        Recognition", ICLR 2020, arXiv:1910.09217, eq. 4.

    >>> tau_normalize(jnp.array([[0.0, 0.0], [4.0, 2.0]]), tau=2.0).round(4)
    Array([[0.  , 0.  ],
           [0.25, 0.5 ]], dtype=float32)
    """
    kernel = check_logits(kernel)
    if kernel.ndim != 2:
        raise ValueError(f"kernel must be [features, classes], got {describe(kernel)}")
    wider = kernel.astype(wide(kernel.dtype))
    square = jnp.sum(wider * wider, axis=0, keepdims=True)
    scale = jnp.exp(-0.5 * jnp.log(jnp.where(square > 0, square, 1)) * tau)
    return (wider * scale).astype(kernel.dtype)


def _class_shift(logits: Array, log_prior: ArrayLike, tau: ArrayLike) -> Array:
    return times_log(tau, check_per_class("log_prior", log_prior, logits))
