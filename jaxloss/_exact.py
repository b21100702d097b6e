"""Scalar functions whose derivatives keep relative accuracy where JAX's do not.

JAX derives sigmoid and expm1 as `s * (1 - s)` and `expm1(x) + 1`, which cancel where
the result is small: the slope of a hopeless or a perfect example would be noise or 0.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


@jax.custom_jvp
def sigmoid(u: Array) -> Array:
    """Exact derivative: sigmoid(u) * sigmoid(-u)."""
    return jax.nn.sigmoid(u)


sigmoid.defjvps(lambda t, s, u: s * sigmoid(-u) * t)


@jax.custom_jvp
def log_sigmoid(u: Array) -> Array:
    """Exact derivative: sigmoid(-u)."""
    # In this form XLA computes one log for u and -u together.
    return jnp.minimum(u, 0) - jnp.log1p(jnp.exp(-jnp.abs(u)))


log_sigmoid.defjvps(lambda t, _, u: sigmoid(-u) * t)


@jax.custom_jvp
def expm1(x: Array) -> Array:
    """Exact derivative: exp(x)."""
    return jnp.expm1(x)


expm1.defjvps(lambda t, _, x: jnp.exp(x) * t)


def logit(p: ArrayLike) -> Array:
    return jnp.log(p) - jnp.log1p(-jnp.asarray(p))


def times(weight: Array, value: Array) -> Array:
    """`weight * value`, where nothing of an infinite value is 0, not NaN."""
    return weight * jnp.where((weight == 0) & jnp.isinf(value), 0, value)


def safe_log(x: Array) -> Array:
    """log x, without a gradient at 0."""
    gone = x == 0
    return jnp.where(gone, -jnp.inf, jnp.log(jnp.where(gone, 1, x)))


def times_log(strength: ArrayLike, logs: Array) -> Array:
    """strength * logs, with 0 * -inf = 0 in value and gradient."""
    empty = jnp.isneginf(logs)
    gone = jnp.where(jnp.asarray(strength) == 0, 0.0, -jnp.inf)
    return jnp.where(empty, gone, strength * jnp.where(empty, 0, logs))
