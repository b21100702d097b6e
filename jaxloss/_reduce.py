"""From one loss per example to the number a loop minimises."""

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Bool, Float

from jaxloss._checks import check_shape
from jaxloss._log_odds import wide


def masked_mean(
    losses: Float[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
    weights: Float[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""$\sum_i m_i w_i \ell_i / \sum_i m_i w_i$, or 0 if that sum of weights is 0.

    An example that is masked or weighs 0 contributes exactly zero to value and
    gradient, whatever its loss: NaN, as for padding labels, is selected away, not
    multiplied by 0.

    Args:
        losses: one per example.
        where: which examples count; all by default.
        weights: of the examples, at least 0; equal by default. `weights` are divided
            out: for $\frac1N\sum w_i \ell_i$ multiply the losses instead.
    Returns:
        The mean, in the dtype of the losses, summed in float32 or wider.
    Raises:
        ValueError: where or weights of another shape than the losses.

    >>> labels = jnp.array([0, 1, -1])
    >>> losses = jnp.array([1.0, 3.0, jnp.nan])
    >>> masked_mean(losses, where=labels >= 0)
    Array(2., dtype=float32)
    """
    losses = jnp.asarray(losses)
    dtype = wide(losses.dtype)
    weights = _like("weights", weights, losses, 1).astype(dtype)
    counts = _like("where", where, losses, True) & (weights != 0)
    weights = jnp.where(counts, weights, 0)
    total = jnp.sum(weights)
    terms = weights * jnp.where(counts, losses.astype(dtype), 0)
    return (jnp.sum(terms) / jnp.where(total == 0, 1, total)).astype(losses.dtype)


def _like(name: str, value: ArrayLike | None, losses: Array, default) -> Array:
    if value is None:
        return jnp.full(losses.shape, default)
    value = jnp.asarray(value)
    check_shape(name, value, losses.shape, losses)
    return value
