"""Margins, scales and weights by class: the relatives of logit adjustment.

Unlike it they are not consistent for the balanced error; tests/library/test_population
shows what they lead to.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._checks import (
    check_counts,
    check_logits_labels,
    check_range,
    check_weights,
)
from jaxloss._class_counts import Counts
from jaxloss._exact import safe_log, times_log
from jaxloss._log_odds import Curve, apply_curve, as_scale, at_label, is_class, wide


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
    shift = times_log(tau, safe_log(n / jnp.sum(n)))
    return apply_curve(
        curve,
        logits,
        labels,
        scale=jnp.exp(times_log(gamma, safe_log(n / jnp.max(n)))),
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
    weights = check_weights(weights, logits)
    return apply_curve(curve, logits, labels, margin=safe_log(weights))


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
    log_n = safe_log(check_counts(counts, logits))
    log_own = at_label(log_n, labels)
    # No class is spared on behalf of a label without examples.
    known = ~jnp.isneginf(log_own)
    fewer = jnp.minimum(log_n - jnp.where(known, log_own, 0), 0)
    fewer = times_log(p, jnp.where(known, fewer, 0))
    z = jax.lax.stop_gradient(logits.astype(wide(logits.dtype)))
    z = jnp.where(is_class(z, labels)[..., None], z, 0)  # for the gradient of q
    # log sigma_k - log max(sigma_y, epsilon)
    normalizer = jax.nn.logsumexp(z, axis=-1, keepdims=True)
    mistake = jnp.minimum(
        z - at_label(z, labels), z - normalizer - jnp.log(jnp.asarray(epsilon))
    )
    # Bounded, so that it can be added to any logit.
    margin = fewer + q * jnp.clip(mistake, 0, 1e30)
    return apply_curve(curve, logits, labels, margin=margin)
