"""Long tails: shifts of the logits by class frequency or by accumulated gradient.

A shift moves the decision boundary, a curve says how much an example counts; so
`generalized_cross_entropy(adjust_logits(logits, log_prior=...), labels)` is a loss for
long tails with noisy labels, and every loss here takes another `curve`.

Only with cross-entropy is tau 1 the strength that leads to the balanced rule. $L_q$ has
its minimum where $p \\propto P(y \\mid x)^{1/(1-q)}$: there it takes tau $1 / (1 - q)$.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._checks import (
    check_counts,
    check_logits,
    check_logits_labels,
    check_per_class,
    check_range,
    check_shape,
    describe,
)
from jaxloss._class_counts import Counts
from jaxloss._log_odds import Curve, apply_curve, as_scale, at_label, is_class, wide


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


def vector_scaling(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    counts: Counts,
    tau: ArrayLike = 1.0,
    gamma: ArrayLike = 0.15,
    curve: Curve = curves.cross_entropy,
) -> Float[Array, "*batch"]:
    r"""VS loss: logit adjustment, with the logits of rare classes scaled down as well.

    $$\ell = \mathrm{CE}(F, y), \qquad
      F_j = \Delta_j z_j + \tau \log\pi_j, \quad
      \Delta_j = \Big(\frac{n_j}{n_{\max}}\Big)^\gamma, \qquad
      \frac{\partial\ell}{\partial z_k} = \Delta_k (\mathrm{softmax}(F)_k - [k = y]).$$

    Scales matter where additive margins stop: late in training, when the data can be
    separated.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        counts: n, training examples per class. A class without any leaves the softmax,
            unless tau is 0.
        tau: strength of the shift; may be traced.
        gamma: strength of the scale; 0 is logit adjustment. May be traced.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; counts that are not `[classes]`, are
            negative, or are all zero.
    Source: Kini et al., "Label-Imbalanced and Group-Sensitive Classification under
        Overparameterization", NeurIPS 2021, arXiv:2103.01550, eq. 2.

    >>> z, y, counts = jnp.array([1.0, 1.0]), jnp.array(1), jnp.array([4, 1])
    >>> vector_scaling(z, y, counts=counts, tau=0.0, gamma=0.5).round(4)  # CE(1, 1/2)
    Array(0.9741, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    n = check_counts(counts, logits)
    shift = _times_log(tau, _log(n / jnp.sum(n)))
    return apply_curve(
        curve,
        logits,
        labels,
        scale=jnp.exp(_times_log(gamma, _log(n / jnp.max(n)))),
        margin=shift,
        label_offset=shift,
    )


def ldam(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    counts: Counts,
    max_margin: ArrayLike = 0.5,
    scale: ArrayLike = 30.0,
    curve: Curve = curves.cross_entropy,
) -> Float[Array, "*batch"]:
    r"""LDAM: a margin on the label, larger for rarer classes.

    $$\ell = \mathrm{CE}(F, y), \qquad F_j = s\,(z_j - m_j [j = y]), \quad
      m_j = m_{\max} \Big(\frac{n_{\min}}{n_j}\Big)^{1/4}, \qquad
      \frac{\partial\ell}{\partial z_k} = s\,(\mathrm{softmax}(F)_k - [k = y]).$$

    The source feeds cosines of features and class vectors. It is not consistent for the
    balanced error; its authors re-weight late, see `deferred_weights`.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        counts: n, training examples per class; one without any has the largest margin.
        max_margin: margin of the rarest class with examples; may be traced.
        scale: s; may be traced.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; counts that are not `[classes]`, are
            negative, or are all zero.
    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware
        Margin Loss", NeurIPS 2019, arXiv:1906.07413, eq. 12 and 13.

    >>> z, y, counts = jnp.array([1.0, 1.0]), jnp.array(0), jnp.array([16, 1])
    >>> ldam(z, y, counts=counts, scale=2.0).round(4)  # CE(3/2, 2)
    Array(0.9741, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    n = check_counts(counts, logits)
    rarest = jnp.min(jnp.where(n > 0, n, jnp.inf))
    margins = max_margin * (rarest / jnp.maximum(n, rarest)) ** 0.25
    scale = as_scale(scale, logits)
    return apply_curve(
        curve,
        logits,
        labels,
        scale=scale,
        label_offset=-scale * margins,
    )


def equalization(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    weights: Float[Array, "*batch_or_none classes"],
    curve: Curve = curves.cross_entropy,
) -> Float[Array, "*batch"]:
    r"""Softmax equalization: rivals weigh less in the denominator.

    $$\ell = -\log\frac{e^{z_y}}{e^{z_y} + \sum_{k \ne y} w_k e^{z_k}}, \qquad
      \frac{\partial\ell}{\partial z_k} = \tilde p_k - [k = y], \quad
      \tilde p_k \propto w_k e^{z_k}, \; \tilde p_y \propto e^{z_y}.$$

    The source draws $w_{ik} = 1 - \beta_{ik} [\pi_k < \lambda]$ with $\beta$ Bernoulli,
    so that rare classes are spared most discouraging gradients.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        weights: `[classes]`, or one row per example; at least 0. 0 spares the class,
            and then has no gradient itself. The label always weighs 1.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; weights of another shape, or
            negative.
    Source: Tan et al., "Equalization Loss for Long-Tailed Object Recognition", CVPR
        2020, arXiv:2003.05176, eq. 8.

    >>> z, y, weights = jnp.array([0.0, 0.0]), jnp.array(0), jnp.array([1.0, 0.5])
    >>> equalization(z, y, weights=weights).round(4)  # log(3/2)
    Array(0.4055, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    check_range("weights", weights, 0, float("inf"), open_high=True)
    weights = jnp.asarray(weights)
    if weights.ndim == 1:
        weights = check_per_class("weights", weights, logits)
    else:
        check_shape("weights", weights, logits.shape, logits)
    return apply_curve(curve, logits, labels, margin=_log(weights))


def seesaw(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    counts: Counts,
    p: ArrayLike = 0.8,
    q: ArrayLike = 2.0,
    epsilon: ArrayLike = 1e-2,
    curve: Curve = curves.cross_entropy,
) -> Float[Array, "*batch"]:
    r"""Seesaw: rare rivals are spared, unless they are mistaken for the label.

    $$\ell = -\log\frac{e^{z_y}}{e^{z_y} + \sum_{k \ne y} S_{yk} e^{z_k}}, \qquad
      S_{yk} = \min\Big(1, \frac{n_k}{n_y}\Big)^{p}
      \max\Big(1, \frac{\sigma_k}{\max(\sigma_y, \epsilon)}\Big)^{q},$$
    $$\frac{\partial\ell}{\partial z_k} = \tilde p_k - [k = y], \quad
      \tilde p_k \propto S_{yk} e^{z_k}, \; \tilde p_y \propto e^{z_y}.$$

    Surrogate gradient: $\sigma = \mathrm{softmax}(z)$ in the second factor is held
    constant, in derivatives of every order.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        counts: n, training examples per class, in all or so far. A rival without any is
            spared altogether.
        p: strength of the mitigation by frequency; may be traced.
        q: strength of the compensation of mistakes; may be traced.
        epsilon: floor of the label's probability in that; 0 is none.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; counts that are not `[classes]`, are
            negative, or are all zero; a hyper-parameter out of range.
    Source: Wang et al., "Seesaw Loss for Long-Tailed Instance Segmentation", CVPR 2021,
        arXiv:2008.10032, eq. 3 to 7.

    >>> z, y, counts = jnp.array([0.0, 0.0]), jnp.array(0), jnp.array([4, 1])
    >>> seesaw(z, y, counts=counts, p=0.5).round(4)  # log(3/2)
    Array(0.4055, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    for name, value in (("p", p), ("q", q), ("epsilon", epsilon)):
        check_range(name, value, 0, float("inf"), open_high=True)
    n = check_counts(counts, logits)
    own = at_label(n, labels)
    ratio = jnp.where(own > 0, jnp.minimum(n, own) / jnp.where(own > 0, own, 1), 1)
    z = jax.lax.stop_gradient(logits.astype(wide(logits.dtype)))
    z = jnp.where(is_class(z, labels)[..., None], z, 0)  # for the gradient of q
    # log sigma_k - log max(sigma_y, epsilon)
    normalizer = jax.nn.logsumexp(z, axis=-1, keepdims=True)
    mistake = jnp.minimum(
        z - at_label(z, labels), z - normalizer - jnp.log(jnp.asarray(epsilon))
    )
    # Bounded, so that it can be added to any logit.
    margin = _times_log(p, _log(ratio)) + q * jnp.clip(mistake, 0, 1e30)
    return apply_curve(curve, logits, labels, margin=margin)


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
    return _times_log(tau, check_per_class("log_prior", log_prior, logits))


def _log(x: Array) -> Array:
    """log x, without a gradient at 0."""
    gone = x == 0
    return jnp.where(gone, -jnp.inf, jnp.log(jnp.where(gone, 1, x)))


def _times_log(strength: ArrayLike, logs: Array) -> Array:
    """strength * logs, with 0 * -inf = 0 in value and gradient."""
    empty = jnp.isneginf(logs)
    gone = jnp.where(jnp.asarray(strength) == 0, 0.0, -jnp.inf)
    return jnp.where(empty, gone, strength * jnp.where(empty, 0, logs))
