r"""The curves on binary and multi-label targets: each class by itself.

A class with target 1 counts $\ell(z_j)$, one with target 0 counts $\ell(-z_j)$, for the
log-odds of "not j" are $-z_j$; a soft target mixes the two. Any curve will do:

    multilabel(lambda u: curves.generalized_cross_entropy(u, q=0.7), logits, targets)
"""

from typing import Literal

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxloss import curves
from jaxloss._checks import (
    check_logits_targets,
    check_range,
    check_weights,
    unknown,
)
from jaxloss._log_odds import Curve, wide

Halting = Literal["well_classified", "released"]


def multilabel(
    curve: Curve,
    logits: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    alpha: ArrayLike | None = None,
    negative: Curve | None = None,
) -> Float[Array, "*batch"]:
    r"""A curve $\ell$ on each class by itself, summed over the classes.

    $$L = \sum_j \alpha\, t_j\, \ell(z_j) + (1 - \alpha) (1 - t_j)\, \ell(-z_j), \qquad
      \frac{\partial L}{\partial z_j} =
      \alpha\, t_j\, \ell'(z_j) - (1 - \alpha) (1 - t_j)\, \ell'(-z_j).$$

    A target of exactly 0 or 1 leaves out the other term, also where that is infinite: a
    class ruled out by a logit of $-\infty$ costs nothing.

    Args:
        curve: $\ell$, elementwise, such as those of `curves`.
        logits: unnormalized scores.
        targets: usually in [0, 1]; outside, the formula holds but may have no lower
            bound.
        alpha: weight of the positives, in [0, 1]; without it both weigh 1. May be
            traced.
        negative: the curve of the negatives, of $-z_j$, if it is another.
    Returns:
        One loss per example.
    Raises:
        TypeError: logits that are not floating.
        ValueError: targets whose shape is not that of the logits; alpha out of range.

    >>> z, targets = jnp.array([0.0, 0.0, -40.0]), jnp.array([1.0, 0.5, 0.0])
    >>> multilabel(curves.mean_absolute_error, z, targets)
    Array(2., dtype=float32)
    """
    weights = (1, 1)
    if alpha is not None:
        check_range("alpha", alpha, 0, 1)
        weights = (alpha, 1 - jnp.asarray(alpha))
    return _sum_over_classes((curve, negative or curve), logits, targets, weights)


def sigmoid_cross_entropy(
    logits: Float[Array, "*batch classes"], targets: Float[Array, "*batch classes"]
) -> Float[Array, "*batch"]:
    r"""Binary cross-entropy summed over the classes.

    $$\ell = -\sum_j t_j \log\sigma(z_j) + (1 - t_j) \log\sigma(-z_j), \qquad
      \frac{\partial\ell}{\partial z_j} = \sigma(z_j) - t_j.$$

    Args:
        logits: unnormalized scores.
        targets: usually in [0, 1]; outside, the formula holds but has no lower bound.
    Returns:
        One loss per example.
    Raises:
        TypeError: logits that are not floating.
        ValueError: targets whose shape is not that of the logits.

    >>> sigmoid_cross_entropy(jnp.array([0.0, 30.0]), jnp.array([1.0, 1.0])).round(4)
    Array(0.6931, dtype=float32)
    """
    return multilabel(curves.cross_entropy, logits, targets)


def sigmoid_focal(
    logits: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    gamma: ArrayLike = 2.0,
    alpha: ArrayLike | None = None,
) -> Float[Array, "*batch"]:
    r"""Focal loss of object detection: each class by itself, sure ones count less.

    With $p_j = \sigma(z_j)$ where the target is 1 and $\sigma(-z_j)$ where it is 0, and
    $\alpha_j = \alpha$ or $1 - \alpha$,

    $$\ell = -\sum_j \alpha_j (1 - p_j)^\gamma \log p_j, \qquad
      \frac{\partial\ell}{\partial z_j} = \pm\alpha_j
      (1 - p_j)^\gamma \left(\gamma\, p_j \log p_j - (1 - p_j)\right),$$

    plus where the target is 1.

    Args:
        logits: unnormalized scores.
        targets: in [0, 1]; soft ones mix the two terms.
        gamma: at least 0, which is binary cross-entropy. May be traced.
        alpha: weight of the positives, in [0, 1]; without it both weigh 1. May be
            traced.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `multilabel`; gamma negative.
    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017,
        arXiv:1708.02002, eq. 5. Code in terms of p has NaN gradients at gamma < 1 once
        p rounds to 1 (from a logit of 17 on in float32); ours are finite.

    >>> sigmoid_focal(jnp.array([0.0, -30.0]), jnp.array([1.0, 0.0])).round(4)
    Array(0.1733, dtype=float32)
    """
    return multilabel(
        lambda u: curves.focal(u, gamma=gamma), logits, targets, alpha=alpha
    )


def asymmetric(
    logits: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    gamma_positive: ArrayLike,
    gamma_negative: ArrayLike,
    clip: ArrayLike,
) -> Float[Array, "*batch"]:
    r"""Asymmetric loss (ASL): of many negatives, the easy and the hopeless count less.

    With $p_j = \sigma(z_j)$ and $r_j = \max(p_j - m, 0)$, m the `clip`,

    $$\ell = -\sum_j t_j (1 - p_j)^{\gamma_+} \log p_j
      + (1 - t_j)\, r_j^{\gamma_-} \log(1 - r_j).$$

    The gradient of a positive is that of `sigmoid_focal`; of a negative

    $$\frac{\partial\ell}{\partial z_j} = [r_j > 0]\, p_j (1 - p_j)
      \left(\frac{r_j^{\gamma_-}}{1 - r_j} -
      \gamma_- r_j^{\gamma_- - 1} \log(1 - r_j)\right),$$

    nothing up to $p_j = m$, and vanishing again towards $p_j = 1$ if $m > 0$.

    Args:
        logits: unnormalized scores.
        targets: in [0, 1]; soft ones mix the two terms.
        gamma_positive: at least 0. May be traced; the source takes 0 or 1.
        gamma_negative: at least 0, usually more. May be traced; the source takes 4.
        clip: m in [0, 1). May be traced; the source takes 0.05.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `multilabel`; a hyper-parameter out of range.
    Source: Ridnik et al., "Asymmetric Loss For Multi-Label Classification", ICCV 2021,
        arXiv:2009.14119, section 2. The released code can hold the focusing weights
        $(1 - p)^{\gamma_+}$ and $r^{\gamma_-}$ constant in the gradient, by default in
        one of its two classes, and has a floor of 1e-8 in the logs; ours is the formula
        and its whole gradient.

    >>> z, targets = jnp.array([0.0, 0.0, -3.0]), jnp.array([1.0, 0.0, 0.0])
    >>> asymmetric(z, targets, gamma_positive=0, gamma_negative=1, clip=0.25).round(4)
    Array(0.7651, dtype=float32)
    """
    return multilabel(
        lambda u: curves.focal(u, gamma=gamma_positive),
        logits,
        targets,
        negative=lambda u: curves.clipped_focal(u, gamma=gamma_negative, clip=clip),
    )


def halted_focal(
    logits: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    gamma: ArrayLike = 2.0,
    alpha: ArrayLike | None = None,
    halting: Halting = "well_classified",
) -> Float[Array, "*batch"]:
    r"""`sigmoid_focal` with the slope of cross-entropy where it is halted.

    With $p_j$ and $\alpha_j$ as there, a class counts

    $$\ell_j = \alpha_j \left(-\log p_j - (1 - 2^{-\gamma}) \log 2\right), \qquad
      \frac{\partial\ell}{\partial z_j} = \mp\alpha_j (1 - p_j)$$

    where it is halted (minus where the target is 1), and its focal loss elsewhere. Both
    are the same at $z_j = 0$, where the gradient jumps.

    well_classified: halted where $p_j > 1/2$, so that sure examples count as much as
    under cross-entropy, as the paper argues. released: halted where
    $\sigma(z_j) > 1/2$ whatever the target, that is, the positives that are right and
    the negatives that are wrong; sure negatives stay down-weighted.

    Args:
        logits: unnormalized scores.
        targets: in [0, 1]; soft ones mix the two terms.
        gamma: at least 0. May be traced.
        alpha: as in `sigmoid_focal`.
        halting: "well_classified" or "released".
    Returns:
        One loss per example; negative for sure ones.
    Raises:
        TypeError, ValueError: as `multilabel`; gamma negative; an unknown halting.
    Source: Zhao et al., AAAI 2022, arXiv:2110.06537, section 3, and its released code.

    >>> z, targets = jnp.array([3.0, -3.0]), jnp.array([1.0, 0.0])
    >>> halted_focal(z, targets).round(4)
    Array(-0.9425, dtype=float32)
    >>> halted_focal(z, targets, halting="released").round(4)
    Array(-0.4712, dtype=float32)
    """

    def where_right(u: Array) -> Array:
        return curves.halted_focal(u, gamma=gamma)

    def where_wrong(u: Array) -> Array:
        return curves.halted_focal(u, gamma=gamma, where=u < 0)

    match halting:
        case "well_classified":
            negative = where_right
        case "released":
            negative = where_wrong
        case _:
            unknown("halting", halting, Halting)
    return multilabel(where_right, logits, targets, alpha=alpha, negative=negative)


def sigmoid_encouraging(
    logits: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    log_end: ArrayLike = 0.75,
) -> Float[Array, "*batch"]:
    r"""`encouraging` on each class by itself: a bonus for well-classified ones.

    With $p_j = \sigma(z_j)$ where the target is 1 and $\sigma(-z_j)$ where it is 0, and
    e the `log_end`,

    $$\ell = -\sum_j \log p_j - b(p_j), \quad b(p) = \log(1 - p) \;\; (p \le e), \quad
      b(p) = \log(1 - e) - \frac{p - e}{1 - e} \;\; (p > e),$$
    $$\frac{\partial\ell}{\partial z_j} = \mp 1 \;\; (p_j \le e), \qquad
      \mp (1 - p_j) \left(1 + \frac{p_j}{1 - e}\right) \;\; (p_j > e),$$

    minus where the target is 1. Other bonuses and bases are compositions:

        bonus = multilabel(lambda u: curves.power_bonus(u, gamma=2.0), z, t, alpha=0.5)
        sigmoid_focal(z, t, alpha=0.25) + bonus

    Args:
        logits: unnormalized scores.
        targets: in [0, 1]; soft ones mix the two terms.
        log_end: in (0, 1]; at 1 unbounded below. May be traced.
    Returns:
        One loss per example; negative for sure ones.
    Raises:
        TypeError, ValueError: as `multilabel`; log_end out of range.
    Source: Zhao et al., AAAI 2022, arXiv:2110.06537. Of the released bonuses `ell`
        applies the sigmoid twice; its successor `ell_regular` is this one.

    >>> z, targets = jnp.array([20.0, -20.0]), jnp.array([1.0, 0.0])
    >>> sigmoid_encouraging(z, targets, log_end=1.0)
    Array(-40., dtype=float32)
    """
    return multilabel(lambda u: curves.encouraging(u, log_end=log_end), logits, targets)


def sigmoid_equalization(
    logits: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    weights: Float[Array, "*batch_or_none classes"],
) -> Float[Array, "*batch"]:
    r"""Binary cross-entropy whose negatives weigh less: rare classes are spared.

    $$\ell = -\sum_j t_j \log\sigma(z_j) + w_j (1 - t_j) \log\sigma(-z_j), \qquad
      \frac{\partial\ell}{\partial z_j} =
      w_j (1 - t_j)\, \sigma(z_j) - t_j\, \sigma(-z_j).$$

    The source takes $w_{ij} = 1 - E_i [\pi_j < \lambda]$, with $E_i = 1$ for a proposal
    that shows an object and 0 for background.

    Args:
        logits: unnormalized scores.
        targets: in [0, 1]; soft ones mix the two terms.
        weights: of the negatives, `[classes]` or one row per example; at least 0. The
            positives always weigh 1.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `multilabel`; weights of another shape, or negative.
    Source: Tan et al., "Equalization Loss for Long-Tailed Object Recognition", CVPR
        2020, arXiv:2003.05176, eq. 2 and 3.

    >>> z, t, weights = jnp.array([0.0, 0.0]), jnp.array([1.0, 0.0]), jnp.array([1, 0])
    >>> sigmoid_equalization(z, t, weights=weights).round(4)
    Array(0.6931, dtype=float32)
    """
    logits, targets = check_logits_targets(logits, targets)
    weights = check_weights(weights, logits)
    both = (curves.cross_entropy, curves.cross_entropy)
    return _sum_over_classes(both, logits, targets, (1, weights))


def _sum_over_classes(
    both: tuple[Curve, Curve],
    logits: Array,
    targets: Array,
    weights: tuple[ArrayLike, ArrayLike],
) -> Array:
    """Curves and weights of the positives, then of the negatives."""
    logits, targets = check_logits_targets(logits, targets)
    z = logits.astype(wide(logits.dtype))
    t = targets.astype(z.dtype)
    positive = _weighted(both[0], z, jnp.multiply(weights[0], t))
    negative = _weighted(both[1], -z, jnp.multiply(weights[1], 1 - t))
    return jnp.sum(positive + negative, axis=-1).astype(logits.dtype)


def _weighted(curve: Curve, u: Array, weight: Array) -> Array:
    """`weight * curve(u)` with 0 * inf = 0, in the gradient too."""
    # Only where u is infinite: elsewhere a weight of 0 has a gradient of its own.
    out = (weight == 0) & jnp.isinf(u)
    return jnp.where(out, 0, weight * curve(jnp.where(out, 0, u)))
