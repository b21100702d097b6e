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
    return jax.nn.log_sigmoid(u)


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
