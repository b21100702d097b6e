r"""Losses as curves of the label's log-odds $u$; its probability is $p = \sigma(u)$.

A curve says how much an example counts at each confidence: its slope $\ell'(u)$ is the
factor in front of the logit gradient (see `label_log_odds`). The softmax losses are
these curves at `label_log_odds(logits, labels)`; for a binary label in {0, 1} take
`(2 * label - 1) * logit`. All are elementwise, keep relative accuracy in value and
slope at both ends, and take hyper-parameters that may be traced.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxloss._checks import check_range


def cross_entropy(u: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Cross-entropy $\ell = -\log p$, slope $\ell' = -(1 - p)$.

    >>> cross_entropy(jnp.array([0.0, -30.0])).round(4)
    Array([ 0.6931, 30.    ], dtype=float32)
    """
    return -_log_sigmoid(u)


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
    log_rest = jnp.maximum(_log_sigmoid(-u), jnp.finfo(u.dtype).min)
    return -jnp.exp(gamma * log_rest) * _log_sigmoid(u)


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
    return -_expm1(q * _log_sigmoid(u)) / q


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
    end = _logit(k)
    return generalized_cross_entropy(jnp.where(u > end, u, end), q=q)


def mean_absolute_error(u: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$\sum_j |[j = y] - p_j| = 2 (1 - p)$, slope $\ell' = -2 p (1 - p)$.

    Source: Ghosh et al., "Robust Loss Functions under Label Noise for Deep Neural
        Networks", AAAI 2017, arXiv:1712.09482.

    >>> mean_absolute_error(jnp.array([0.0]))
    Array([1.], dtype=float32)
    """
    return 2 * _sigmoid(-u)


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
    check_range("log_end", log_end, 0, 1, open_low=True)
    rest = jnp.where(jnp.asarray(log_end) < 1, 1 - jnp.asarray(log_end), 1)
    # 1 - p over 1 - e is one minus the (p - e) over (1 - e) above, without
    # cancellation.
    tangent = jnp.log(rest) - 1 + _sigmoid(-u) / rest
    return jnp.where(u > _logit(log_end), tangent - _log_sigmoid(u), -u)


def _logit(p: ArrayLike) -> Array:
    return jnp.log(p) - jnp.log1p(-jnp.asarray(p))


# JAX derives sigmoid and expm1 as s * (1 - s) and expm1(x) + 1, which cancel where the
# result is small: the slope of a hopeless or a perfect example would be noise or zero.


@jax.custom_jvp
def _sigmoid(u: Array) -> Array:
    """Exact derivative: sigmoid(u) * sigmoid(-u)."""
    return jax.nn.sigmoid(u)


_sigmoid.defjvps(lambda t, s, u: s * _sigmoid(-u) * t)


@jax.custom_jvp
def _log_sigmoid(u: Array) -> Array:
    """Exact derivative: sigmoid(-u)."""
    return jax.nn.log_sigmoid(u)


_log_sigmoid.defjvps(lambda t, _, u: _sigmoid(-u) * t)


@jax.custom_jvp
def _expm1(x: Array) -> Array:
    """Exact derivative: exp(x)."""
    return jnp.expm1(x)


_expm1.defjvps(lambda t, _, x: jnp.exp(x) * t)
