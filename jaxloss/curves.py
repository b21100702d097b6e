r"""Losses as curves of the label's log-odds $u$; its probability is $p = \sigma(u)$.

A curve says how much an example counts at each confidence: its slope $\ell'(u)$ is the
factor in front of the logit gradient (see `label_log_odds`). The softmax losses are
these curves at `label_log_odds(logits, labels)`; for a binary label in {0, 1} take
`(2 * label - 1) * logit`. All are elementwise, keep relative accuracy in value and
slope at both ends, and take hyper-parameters that may be traced.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float

from jaxloss._checks import check_range
from jaxloss._exact import expm1, log_sigmoid, logit, sigmoid


def cross_entropy(u: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Cross-entropy $\ell = -\log p$, slope $\ell' = -(1 - p)$.

    >>> cross_entropy(jnp.array([0.0, -30.0])).round(4)
    Array([ 0.6931, 30.    ], dtype=float32)
    """
    return -log_sigmoid(u)


def focal(u: Float[Array, "..."], *, gamma: ArrayLike) -> Float[Array, "..."]:
    r"""Focal loss $\ell = -(1 - p)^\gamma \log p$: sure examples count less.

    $$\ell' = (1 - p)^\gamma \left(\gamma\, p \log p - (1 - p)\right).$$

    Args:
        u: log-odds of the label.
        gamma: at least 0, which is cross-entropy.
    Source: Lin et al., "Focal Loss for Dense Object Detection", ICCV 2017,
        arXiv:1708.02002, eq. 4.

    >>> focal(jnp.array([0.0]), gamma=2.0).round(4)  # log(2) / 4
    Array([0.1733], dtype=float32)
    """
    check_range("gamma", gamma, 0, float("inf"), open_high=True)
    # At u = inf, where no rival is left, gamma * -inf is NaN for gamma = 0.
    log_rest = jnp.maximum(log_sigmoid(-u), jnp.finfo(u.dtype).min)
    return -jnp.exp(gamma * log_rest) * log_sigmoid(u)


def poly1(u: Float[Array, "..."], *, epsilon: ArrayLike) -> Float[Array, "..."]:
    r"""Poly-1 $\ell = -\log p + \epsilon (1 - p)$, slope $-(1 - p)(1 + \epsilon p)$.

    Args:
        u: log-odds of the label.
        epsilon: at least -1, below which sure examples are pushed away.
    Source: Leng et al., "PolyLoss: A Polynomial Expansion Perspective of Classification
        Loss Functions", ICLR 2022, arXiv:2204.12511, eq. 7.

    >>> poly1(jnp.array([0.0]), epsilon=2.0).round(4)  # log(2) + 1
    Array([1.6931], dtype=float32)
    """
    check_range("epsilon", epsilon, -1, float("inf"), open_high=True)
    return jnp.multiply(epsilon, sigmoid(-u)) - log_sigmoid(u)


def taylor(u: Float[Array, "..."], *, order: int) -> Float[Array, "..."]:
    r"""The first terms of cross-entropy around $p = 1$: bounded, so robust to noise.

    $$\ell = \sum_{k=1}^{n} \frac{(1 - p)^k}{k}, \qquad
      \ell' = -(1 - p) \left(1 - (1 - p)^n\right).$$

    Order 1 is half the mean absolute error, more approaches cross-entropy.

    Args:
        u: log-odds of the label.
        order: n, an int of at least 1, part of the program: it cannot be traced.
    Source: Feng et al., "Can Cross Entropy Loss Be Robust to Label Noise?", IJCAI 2020,
        eq. 7.

    >>> taylor(jnp.array([0.0]), order=2)  # 1/2 + 1/8
    Array([0.625], dtype=float32)
    """
    check_range("order", order, 1, float("inf"), open_high=True)
    rest = sigmoid(-u)
    total = jnp.zeros_like(rest)
    for k in range(order, 0, -1):  # Horner
        total = rest * (1 / k + total)
    return total


def generalized_cross_entropy(
    u: Float[Array, "..."], *, q: ArrayLike
) -> Float[Array, "..."]:
    r"""$L_q$: from cross-entropy ($q \to 0$) to half the mean absolute error ($q = 1$).

    $$\ell = \frac{1 - p^q}{q}, \qquad \ell' = -p^q (1 - p).$$

    Args:
        u: log-odds of the label.
        q: in (0, 1].
    Source: Zhang & Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural
        Networks with Noisy Labels", NeurIPS 2018, arXiv:1805.07836, eq. 6.

    >>> generalized_cross_entropy(jnp.array([0.0]), q=1.0)
    Array([0.5], dtype=float32)
    """
    check_range("q", q, 0, 1, open_low=True)
    return -expm1(q * log_sigmoid(u)) / q


def truncated_generalized_cross_entropy(
    u: Float[Array, "..."], *, q: ArrayLike, k: ArrayLike
) -> Float[Array, "..."]:
    r"""$L_q$ above $p = k$ and its value at $k$, hence no gradient, up to there.

    $$\ell = \frac{1 - \max(p, k)^q}{q}, \qquad \ell' = -[p > k]\, p^q (1 - p).$$

    Args:
        u: log-odds of the label.
        q: in (0, 1].
        k: in [0, 1), the probability up to which an example is ignored.
    Source: Zhang & Sabuncu, NeurIPS 2018, arXiv:1805.07836, eq. 8.

    >>> truncated_generalized_cross_entropy(jnp.array([-5.0, 0.0]), q=1.0, k=0.5)
    Array([0.5, 0.5], dtype=float32)
    """
    check_range("k", k, 0, 1, open_high=True)
    end = logit(k)
    # NaN is not below the end, and stays loud.
    return generalized_cross_entropy(jnp.where(u <= end, end, u), q=q)


def mean_absolute_error(u: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$\sum_j |[j = y] - p_j| = 2 (1 - p)$, slope $\ell' = -2 p (1 - p)$.

    Source: Ghosh et al., "Robust Loss Functions under Label Noise for Deep Neural
        Networks", AAAI 2017, arXiv:1712.09482.

    >>> mean_absolute_error(jnp.array([0.0]))
    Array([1.], dtype=float32)
    """
    return 2 * sigmoid(-u)


def symmetric_cross_entropy(
    u: Float[Array, "..."], *, alpha: ArrayLike, beta: ArrayLike, log_zero: ArrayLike
) -> Float[Array, "..."]:
    r"""Cross-entropy plus reverse cross-entropy, whose $\log 0$ is a number $A < 0$.

    $$\ell = -\alpha \log p - \beta A (1 - p), \qquad
      \ell' = -(1 - p) (\alpha - \beta A p).$$

    Args:
        u: log-odds of the label.
        alpha: weight of cross-entropy.
        beta: weight of the reverse.
        log_zero: A, negative.
    Source: Wang et al., "Symmetric Cross Entropy for Robust Learning with Noisy
        Labels", ICCV 2019, arXiv:1908.06112, eq. 6 and 7.

    >>> symmetric_cross_entropy(jnp.array([0.0]), alpha=0.0, beta=1.0, log_zero=-4.0)
    Array([2.], dtype=float32)
    """
    check_range("alpha", alpha, 0, float("inf"), open_high=True)
    check_range("beta", beta, 0, float("inf"), open_high=True)
    check_range("log_zero", log_zero, -float("inf"), 0, open_low=True, open_high=True)
    reverse = beta * jnp.asarray(log_zero) * sigmoid(-u)
    return -jnp.asarray(alpha) * log_sigmoid(u) - reverse


def clipped_focal(
    u: Float[Array, "..."], *, gamma: ArrayLike, clip: ArrayLike
) -> Float[Array, "..."]:
    r"""Focal loss of $r = \max(1 - p - m, 0)$: almost sure examples count nothing.

    $$\ell = -r^\gamma \log(1 - r), \qquad \ell' = [r > 0]\, p (1 - p)
      \left(\gamma r^{\gamma - 1} \log(1 - r) - \frac{r^\gamma}{1 - r}\right).$$

    A hopeless example counts little, too, and is a wrong label perhaps: the loss is at
    most $-(1 - m)^\gamma \log m$, and the slope vanishes with p.

    Args:
        u: log-odds of the label.
        gamma: at least 0.
        clip: m in [0, 1); 0 is `focal`.
    Source: Ridnik et al., "Asymmetric Loss For Multi-Label Classification", ICCV 2021,
        arXiv:2009.14119, section 2; see `asymmetric`.

    >>> clipped_focal(jnp.array([0.0, 3.0]), gamma=1.0, clip=0.25).round(4)
    Array([0.0719, 0.    ], dtype=float32)
    """
    check_range("gamma", gamma, 0, float("inf"), open_high=True)
    check_range("clip", clip, 0, 1, open_high=True)
    # m / (1 - p); the bound keeps 0 * inf out, and changes no m above e^-80.
    share = jnp.asarray(clip) * jnp.exp(jnp.minimum(cross_entropy(-u), 80))
    left = share < 1
    share = jnp.where(left, share, 0)
    rest = sigmoid(-u) * (1 - share)
    log_rest = jnp.maximum(log_sigmoid(-u) + jnp.log1p(-share), jnp.finfo(u.dtype).min)
    # -log(1 - r): of r where that is small, else of 1 - r = p + m
    small, clips = rest < 0.5, jnp.asarray(clip) > 0
    log_sum = jnp.log(jnp.where(clips, sigmoid(u) + clip, 1))
    log_sum = jnp.where(clips, log_sum, log_sigmoid(u))
    value = jnp.where(small, -jnp.log1p(-jnp.where(small, rest, 0)), -log_sum)
    return jnp.where(left, jnp.exp(gamma * log_rest) * value, 0)


def halted_focal(
    u: Float[Array, "..."],
    *,
    gamma: ArrayLike,
    where: Bool[Array, "..."] | None = None,
) -> Float[Array, "..."]:
    r"""Focal loss up to $p = 1/2$, from there on the slope of cross-entropy.

    $$\ell = -\log p - (1 - 2^{-\gamma}) \log 2, \quad \ell' = -(1 - p) \qquad
      (p > \tfrac12).$$

    Continuous; the slope jumps. A sure example counts as much as under cross-entropy.

    Args:
        u: log-odds of the label.
        gamma: of `focal`.
        where: what to halt, in the place of $p > 1/2$; see the sigmoid `halted_focal`.
    Source: Zhao et al., AAAI 2022, arXiv:2110.06537, section 3.

    >>> halted_focal(jnp.array([-1e-9, 1e-9]), gamma=1.0).round(4)  # log(2) / 2
    Array([0.3466, 0.3466], dtype=float32)
    """
    saved = -jnp.expm1(jnp.asarray(gamma) * -jnp.log(2.0)) * jnp.log(2.0)
    halted = u > 0 if where is None else where
    return jnp.where(halted, cross_entropy(u) - saved, focal(u, gamma=gamma))


def encouraging(u: Float[Array, "..."], *, log_end: ArrayLike) -> Float[Array, "..."]:
    r"""Cross-entropy plus a bonus for well-classified examples.

    The bonus is $\log(1 - p)$ up to $p = e$ (`log_end`) and its tangent beyond:

    $$\ell = -u \;\; (p \le e), \qquad
      \ell = -\log p + \log(1 - e) - \frac{p - e}{1 - e} \;\; (p > e),$$
    $$\ell' = -1, \qquad \ell' = -(1 - p)\left(1 + \frac{p}{1 - e}\right).$$

    So an example keeps a full slope until it is classified with probability $e$. The
    loss is negative for sure examples, and without a lower bound at $e = 1$.

    Args:
        u: log-odds of the label.
        log_end: in (0, 1]; 1 is the bonus without a tangent, $\ell = -u$ everywhere.
    Source: Zhao et al., "Well-classified Examples are Underestimated in Classification
        with Deep Neural Networks", AAAI 2022, arXiv:2110.06537. The released code
        clamps $1 - p$ at 1e-5, so at `log_end` 1 its slope vanishes from $u = 11.5$ on;
        ours is exact.

    >>> encouraging(jnp.array([-1.0, 20.0]), log_end=1.0)
    Array([  1., -20.], dtype=float32)
    """
    return jnp.where(
        u > logit(log_end), _bonus_tangent(u, log_end) - log_sigmoid(u), -u
    )


def log_bonus(
    u: Float[Array, "..."],
    *,
    log_end: ArrayLike = 1.0,
    start: ArrayLike = 0.0,
    end: ArrayLike = 1.0,
) -> Float[Array, "..."]:
    r"""The bonus of `encouraging`, to be added to a loss: $b = \log(1 - p)$.

    Beyond $p = e$ (`log_end`) it goes on as its tangent. Slope $-p$, then
    $-p(1 - p) / (1 - e)$.

    Args:
        u: log-odds of the label.
        log_end: e, in (0, 1].
        start: s in [0, 1): $b(\max(p, s)) - b(s)$, no bonus up to s.
        end: in (0, 1]; beyond it the bonus is 0, with a jump and without a slope.
    Source: Zhao et al., AAAI 2022, arXiv:2110.06537, eq. 6. With both `start` and
        `log_end` the released code jumps by $\log(1 - s)$ at e; ours is continuous.

    >>> log_bonus(jnp.array([0.0]), start=0.25).round(4)  # log(1/2) - log(3/4)
    Array([-0.4055], dtype=float32)
    """

    def bonus(u: Array) -> Array:
        tangent = _bonus_tangent(u, log_end)
        return jnp.where(u > logit(log_end), tangent, log_sigmoid(-u))

    return _between(bonus, u, start, end)


def power_bonus(
    u: Float[Array, "..."],
    *,
    gamma: ArrayLike,
    start: ArrayLike = 0.0,
    end: ArrayLike = 1.0,
) -> Float[Array, "..."]:
    r"""A bounded bonus: $b = -p^\gamma$, slope $-\gamma p^\gamma (1 - p)$.

    Args:
        u: log-odds of the label.
        gamma: positive.
        start: as in `log_bonus`.
        end: as in `log_bonus`.
    Source: Zhao et al., AAAI 2022, arXiv:2110.06537, appendix.

    >>> power_bonus(jnp.array([0.0, 1.0]), gamma=2.0, end=0.7)
    Array([-0.25,  0.  ], dtype=float32)
    """
    check_range("gamma", gamma, 0, float("inf"), open_low=True, open_high=True)
    return _between(lambda u: -jnp.exp(gamma * log_sigmoid(u)), u, start, end)


def cosine_bonus(
    u: Float[Array, "..."], *, start: ArrayLike = 0.0, end: ArrayLike = 1.0
) -> Float[Array, "..."]:
    r"""A bonus steepest at $p = 1/2$: $\cos(\pi p) - 1$, slope
    $-\pi \sin(\pi p)\, p (1 - p)$.

    Args:
        u: log-odds of the label.
        start: as in `log_bonus`.
        end: as in `log_bonus`.
    Source: Zhao et al., AAAI 2022, arXiv:2110.06537; from the released code.

    >>> cosine_bonus(jnp.array([0.0])).round(4)
    Array([-1.], dtype=float32)
    """

    def bonus(u: Array) -> Array:
        # cos(pi p) - 1 by half angles, of p or of 1 - p, whichever is small
        sine = jnp.sin(0.5 * jnp.pi * sigmoid(jnp.where(u > 0, -u, u)))
        return jnp.where(u > 0, 2 * sine * sine - 2, -2 * sine * sine)

    return _between(bonus, u, start, end)


def _bonus_tangent(u: Array, log_end: ArrayLike) -> Array:
    """log(1 - e) - (p - e) / (1 - e), without cancellation for p near 1."""
    check_range("log_end", log_end, 0, 1, open_low=True)
    rest = jnp.where(jnp.asarray(log_end) < 1, 1 - jnp.asarray(log_end), 1)
    return jnp.log(rest) - 1 + sigmoid(-u) / rest


def _between(
    bonus: Callable[[Array], Array], u: Array, start: ArrayLike, end: ArrayLike
) -> Array:
    """The bonus earned since p = start, none at all beyond p = end."""
    check_range("start", start, 0, 1, open_high=True)
    check_range("end", end, 0, 1, open_low=True)
    begin = logit(start)
    earned = bonus(jnp.where(u <= begin, begin, u)) - bonus(begin)
    return jnp.where(u > logit(end), 0, earned)
