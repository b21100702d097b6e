r"""The bi-tempered logistic loss: a heavy-tailed softmax under a bounded divergence.

Everything is said relative to the largest logit $z_m$, and of the rivals of the label:
nothing cancels there. With $s = t_2 - 1$ and $d_j = z_m - z_j$ the softmax is

$$\frac{p_j}{p_m} = (1 + s\, d_j / x)^{-1/s}, \qquad x = p_m^{-s} = 1 + s\alpha,$$

so its one unknown per example is $\alpha$. Newton finds it; no derivative passes
through the loop, that of $\alpha$ being known from $\sum_j p_j = 1$.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss._checks import check_logits_labels, check_range
from jaxloss._log_odds import at_label, is_class, is_label, wide

_MAX_STEPS = 12


def bi_tempered_logistic(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    t1: ArrayLike,
    t2: ArrayLike,
    label_smoothing: ArrayLike = 0.0,
) -> Float[Array, "*batch"]:
    r"""Bi-tempered logistic loss: bounded for outliers, with a heavy-tailed softmax.

    With $\log_t x = (x^{1-t} - 1) / (1 - t)$, its inverse $\exp_t$, and the targets
    $q_y = 1 - \varepsilon$, $q_k = \varepsilon / (C - 1)$ for $k \ne y$:

    $$\ell = \sum_j q_j (\log_{t_1} q_j - \log_{t_1} p_j)
      - \frac{q_j^{2-t_1} - p_j^{2-t_1}}{2 - t_1}, \qquad
      p_j = \exp_{t_2}(z_j - \lambda), \quad \sum_j p_j = 1,$$
    $$\frac{\partial\ell}{\partial z_j} = w_j
      - \frac{p_j^{t_2}}{\sum_i p_i^{t_2}} \sum_k w_k, \qquad
      w_k = (p_k - q_k)\, p_k^{t_2 - t_1}.$$

    $t_1 < 1$ bounds what one example can cost, $t_2 > 1$ lets the gradient of hopeless
    examples fade; $t_1 = t_2 = 1$ is cross-entropy.

    Args:
        logits: unnormalized scores. A logit of $-\infty$ takes its class out.
        labels: class ids in `[0, classes)`; NaN for any other.
        t1: temperature of the divergence, a number in [0, 2); bounded below 1.
        t2: temperature of the softmax, a number at least 1.
        label_smoothing: $\varepsilon$ in [0, 1), shared by the other classes. All three
            may be traced, and have derivatives; a sweep is a `vmap`.
    Returns:
        One loss per example, at least 0.
    Raises:
        TypeError, ValueError: as `label_log_odds`; t1, t2 or label_smoothing out of
            range or no number.
    Source: Amid et al., "Robust Bi-Tempered Logistic Loss Based on Bregman
        Divergences", NeurIPS 2019, arXiv:1906.03361, eq. 5 to 8. The released code
        stops after five fixed-point steps and adds 1e-10 to the targets; ours is exact.

    >>> z, y = jnp.array([0.0, 0.0]), jnp.array(0)
    >>> bi_tempered_logistic(z, y, t1=1.0, t2=1.0).round(4)  # log 2
    Array(0.6931, dtype=float32)
    >>> bi_tempered_logistic(z, y, t1=0.0, t2=2.0)  # of the squares, at t1 = 0
    Array(0.25, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    check_range("t1", t1, 0, 2, open_high=True)
    check_range("t2", t2, 1, float("inf"), open_high=True)
    check_range("label_smoothing", label_smoothing, 0, 1, open_high=True)
    dtype = wide(logits.dtype)
    hypers = _Hypers(
        1 - _number("t1", t1, dtype),
        _number("t2", t2, dtype) - 1,
        # Without smoothing, or a class to smooth over, an exp per logit less.
        _number("label_smoothing", label_smoothing, dtype)
        if logits.shape[-1] > 1
        and (isinstance(label_smoothing, Tracer) or np.any(label_smoothing))
        else None,
    )
    # NaN logits are no example, and loud.
    valid = is_class(logits, labels) & ~jnp.any(jnp.isnan(logits), axis=-1)
    # Keeps what stands beside an invalid label out of every gradient.
    z = jnp.where(valid[..., None], logits.astype(dtype), 0)
    alpha = _normalizer(_distances(z), hypers.s)
    losses = _losses(z, alpha, labels, hypers)
    return jnp.where(valid, losses, jnp.nan).astype(logits.dtype)


class _Hypers(NamedTuple):
    b: Array  # 1 - t1
    s: Array  # t2 - 1
    smoothing: Array | None


def _number(name: str, value: ArrayLike, dtype: jnp.dtype) -> Array:
    if jnp.ndim(value) != 0:
        raise ValueError(f"{name} must be a number, got shape {jnp.shape(value)}")
    return jnp.asarray(value).astype(dtype)


def _distances(z: Array) -> Array:
    """How far each logit is below the largest."""
    top = jnp.max(z, axis=-1, keepdims=True)
    return jnp.where(jnp.isneginf(top), 0, top) - z


@jax.custom_jvp
def _ratios(d: Array, alpha: Array, s: Array) -> tuple[Array, Array]:
    """Exact: log(p_m / p_j) and (p_j / p_m)^s, where a class is out without a select.

    This is what takes the time. The logarithm stays finite, for 0 times it is no NaN.
    """
    scale = jnp.where(s == 0, 2.0**-60, s)
    y = d * (scale / (1 + s * alpha))
    logs = jnp.minimum(jnp.log1p(y) * (1 / scale), jnp.finfo(d.dtype).max / 16)
    return logs, 1 / (1 + y)


@_ratios.defjvp
def _ratios_jvp(primals, tangents):
    d, alpha, s = primals
    out = jnp.isinf(d)

    def plain(d, alpha, s):
        e = d / (1 + s * alpha)
        return _log1p_ratio(e, s), 1 / (1 + s * e)

    (d, dd) = (jnp.where(out, 0, x) for x in (d, tangents[0]))
    _, (dlogs, dpowers) = jax.jvp(plain, (d, alpha, s), (dd, *tangents[1:]))
    return _ratios(*primals), (jnp.where(out, 0, dlogs), jnp.where(out, 0, dpowers))


def _sum(x: Array) -> Array:
    return jnp.sum(x, axis=-1, keepdims=True)


@jax.custom_jvp
def _normalizer(d: Array, s: Array) -> Array:
    r"""alpha, exact as a value alone: `_attached` has its derivatives.

    By Newton on $\log_{t_2} \sum_j \exp_{t_2}(z_j - \lambda) = 0$.
    That sum is concave in alpha and linear where one class dominates or all are equal,
    so from 0 it converges from one side: in one step for t2 = 1, in two to five for
    most logits, in eight at worst. The error left by a step is about the square of the
    last, times what vanishes with the curvature.
    """

    def unfinished(carry):
        step, _, left = carry
        return (step < _MAX_STEPS) & jnp.any(left > jnp.finfo(d.dtype).eps / 2)

    def improve(carry):
        step, alpha, _ = carry
        # Of sums that share a term XLA writes the terms out: these differ by rounding.
        scale = jnp.where(s == 0, 2.0**-60, s)
        x = 1 + s * alpha
        total = _sum(jnp.exp(jnp.log1p(d * (scale / x)) * (-1 / scale)))
        slope = _sum(jnp.exp(jnp.log1p(d / (x / scale)) * (-(1 + s) / scale)))
        log_total, bend = jnp.log(total), total / slope
        error = log_total - _log1p_ratio(alpha, s)
        alpha = alpha + (_expm1_ratio(log_total, s) - alpha) * bend
        # All are equal to C classes at t2 = 10: x = C^9 overflows, and 1 / x is right.
        alpha = jnp.clip(alpha, 0, jnp.finfo(d.dtype).max ** 0.5)
        return step + 1, alpha, (1 + s) * (bend - 1) * error * error

    first = 0 * jnp.minimum(d[..., :1], 0)  # d may be infinite
    return jax.lax.while_loop(unfinished, improve, (0, first, first + 1))[1]


@_normalizer.defjvp
def _normalizer_jvp(primals, _):
    alpha = _normalizer(*primals)
    return alpha, jnp.zeros_like(alpha)


@jax.custom_jvp
def _attached(alpha: Array, d: Array, s: Array) -> Array:
    """Exact: the solution as a function of the distances and of t2."""
    return alpha


@_attached.defjvp
def _attached_jvp(primals, tangents):
    alpha, d, s = primals
    alpha = _attached(alpha, d, s)
    out = jnp.isinf(d)
    d, dd = (jnp.where(out, 0, x) for x in (d, tangents[1]))

    def log_p(d, s):
        return -_log1p_ratio(alpha + d, s)

    logs, change = jax.jvp(log_p, (d, s), (dd, tangents[2]))
    p = jnp.where(out, 0, jnp.exp(logs))
    return alpha, _sum(p * change) / _sum(p / (1 + s * (alpha + d)))


class _Parts(NamedTuple):
    """Relative to the largest logit, class axis kept."""

    hot: Array
    logs: Array  # log(p_m / p_j)
    powers: Array  # (p_j / p_m)^s
    ratios: Array  # p_j / p_m of the rivals, 0 for the label
    bent: Array  # likewise (p_j / p_m)^(1 + b)
    rest: Array  # the sum of `ratios`
    label: Array  # log(p_m / p_y)
    log_total: Array  # -log p_m


def _parts(z: Array, alpha: Array, labels: Array, b: Array, s: Array) -> _Parts:
    d = _distances(z)
    alpha = _attached(alpha, d, s)
    logs, powers = _ratios(d, alpha, s)
    hot = is_label(z, labels)
    ratios = jnp.where(hot, 0, jnp.exp(-logs))
    bent = jnp.where(hot, 0, jnp.exp(-(1 + b) * logs))
    rest, label = _sum(ratios), _ratios(at_label(d, labels), alpha, s)[0]
    log_total = jnp.log1p(rest + jnp.expm1(-label))
    return _Parts(hot, logs, powers, ratios, bent, rest, label, log_total)


def _plain_losses(z: Array, alpha: Array, labels: Array, hypers: _Hypers) -> Array:
    b, s, smoothing = hypers
    parts = _parts(z, alpha, labels, b, s)
    log_label = -parts.label - parts.log_total
    rivals = jnp.exp(-(1 + b) * parts.log_total) * _sum(parts.bent) / (1 + b)
    if smoothing is None:
        return jnp.squeeze(_divergence(log_label, b) + rivals, -1)
    log_q, each = jnp.log1p(-smoothing), smoothing / (z.shape[-1] - 1)
    label = jnp.exp((1 + b) * log_q) * _divergence(log_label - log_q, b)
    log_each = jnp.log(jnp.where(each > 0, each, 1))
    entropy = each * (_expm1_ratio(log_each, b) - jnp.exp(b * log_each) / (1 + b))
    cross = _expm1_ratio(-parts.logs - parts.log_total, b)
    cross = each * _sum(jnp.where(parts.hot, 0, cross))
    return jnp.squeeze(label + rivals + (z.shape[-1] - 1) * entropy - cross, -1)


@jax.custom_jvp
def _losses(z: Array, alpha: Array, labels: Array, hypers: _Hypers) -> Array:
    """Exact: the gradient in the logits is `_gradient`, which does not cancel."""
    return _plain_losses(z, alpha, labels, hypers)


def _losses_jvp(primals, tangents):
    z, alpha, labels, hypers = primals
    dz, _, _, dhypers = tangents
    losses = _losses(z, alpha, labels, hypers)
    slope = jnp.zeros_like(losses)
    if not isinstance(dz, SymbolicZero):
        slope += jnp.sum(_gradient(z, alpha, labels, hypers) * dz, axis=-1)
    if not all(isinstance(dt, SymbolicZero) for dt in dhypers if dt is not None):
        dhypers = jax.tree.map(
            lambda dt: jnp.zeros(dt.shape, dt.dtype) if _is_zero(dt) else dt,
            dhypers,
            is_leaf=_is_zero,
        )

        def plain(hypers):
            return _plain_losses(z, alpha, labels, hypers)

        slope += jax.jvp(plain, (hypers,), (dhypers,))[1]
    return losses, slope


_losses.defjvp(_losses_jvp, symbolic_zeros=True)


def _is_zero(tangent) -> bool:
    return isinstance(tangent, SymbolicZero)


def _gradient(z: Array, alpha: Array, labels: Array, hypers: _Hypers) -> Array:
    """The gradient of the docstring, from sums over the rivals of terms of one sign.

    A rival's slope is that of p^(1 - t1) over a mean of it. Both are taken less that of
    the largest logit, unless that is the label: then they are far from it.
    """
    b, s, smoothing = hypers
    hot, logs, powers, ratios, bent, rest, label, log_total = _parts(
        z, alpha, labels, b, s
    )
    base = jnp.where(label < math.log(2), 0, 1).astype(z.dtype)
    near, small = _near(-b * logs)
    close = ratios * small * (1 + small * _horner(_EXPM1, small))
    heights = jnp.where(near & (base > 0), close, bent - base * ratios)
    heights, escorts = heights * powers, ratios * powers
    sum_heights, others = _sum(heights), _sum(escorts)
    escort = jnp.exp(-(1 + s) * label)
    factor = jnp.exp(_bounded(-(b + s) * label))
    mean = (sum_heights - base * escort - rest * factor) / (others + escort)
    own = rest * factor * others + escort * (sum_heights + base * others)
    own = -own / (others + escort)
    scale = jnp.exp(-(1 + b + s) * log_total)
    grads = scale * jnp.where(hot, own, heights - mean * escorts)
    if smoothing is None:
        return grads
    each = smoothing / (z.shape[-1] - 1)
    pulls = -each * jnp.exp(_bounded(-b * (logs + log_total) - s * log_total)) * powers
    pulls = jnp.where(hot | jnp.isneginf(z), 0, pulls)
    push = smoothing * jnp.exp(_bounded(-(b + s) * (label + log_total)))
    own = push * others - escort * _sum(pulls)
    pulls = pulls - escorts * ((push + _sum(pulls)) / (others + escort))
    return grads + jnp.where(hot, own / (others + escort), pulls)


def _bounded(exponent: Array) -> Array:
    """Of exp: only t1 > t2 sends it to infinity, where it meets a zero."""
    return jnp.minimum(exponent, 0.9 * math.log(jnp.finfo(exponent.dtype).max))


def _divergence(log_p: Array, b: Array) -> Array:
    r"""$\int_0^{\log p} e^{bx} (e^x - 1)\, dx$: the loss of a class with target 1.

    As $\log_{t_1}$ it is a difference that cancels where p is near 1; there its series
    in log p.
    """
    near, x = _near(log_p)
    coefficients, power, difference = [], 1, 1  # b^n, (1 + b)^n - b^n
    for n in range(1, _TERMS + 1):
        coefficients.append(difference / math.factorial(n + 1))
        power = power * b
        difference = (1 + b) * difference + power
    far = jnp.where(near, -1, log_p)
    direct = _expm1_ratio(far, 1 + b) - _expm1_ratio(far, b)
    return jnp.where(near, x * x * _horner(coefficients, x), direct)


# log_t and exp_t without their poles at t = 1, nor in any derivative: f(c x) / c is
# x + c x^2 times a series in c x.
_TERMS = 8
_LOG1P = [(-1) ** (n + 1) / (n + 2) for n in range(_TERMS)]
_EXPM1 = [1 / math.factorial(n + 2) for n in range(_TERMS)]


def _log1p_ratio(x: Array, s: Array) -> Array:
    """log(1 + s x) / s, which is x at s = 0."""
    return _ratio(jnp.log1p, _LOG1P, x, s)


def _expm1_ratio(x: Array, c: Array) -> Array:
    """(exp(c x) - 1) / c, which is x at c = 0."""
    return _ratio(jnp.expm1, _EXPM1, x, c)


def _ratio(function, coefficients: list[float], x: Array, c: Array) -> Array:
    near, y = _near(c * x)
    large = jnp.finfo(x.dtype).max ** 0.25  # where c is 0
    bounded = jnp.clip(x, -large, large)
    close = x + c * bounded * bounded * _horner(coefficients, y)
    far = function(jnp.where(near, 1, c * x)) * (1 / jnp.where(c == 0, 1, c))
    return jnp.where(near, close, far)


def _near(y: Array) -> tuple[Array, Array]:
    """Where a series of `_TERMS` is exact and a difference of f(y) is not; y there."""
    near = jnp.abs(y) < (0.015 if y.dtype == jnp.float64 else 0.1)
    return near, jnp.where(near, y, 0)


def _horner(coefficients: Sequence[ArrayLike], x: Array) -> Array:
    if x.dtype == jnp.float32:
        coefficients = coefficients[:5]
    value = jnp.zeros_like(x)
    for a in reversed(coefficients):
        value = value * x + a
    return value
