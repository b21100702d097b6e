"""Surrogate gradients: what the backward pass sees, and the loss does not."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from jaxloss._checks import check_logits, describe


def scale_gradient(
    logits: Float[Array, "*batch classes"], weights: Float[Array, "..."]
) -> Float[Array, "*batch classes"]:
    r"""Surrogate: the identity, whose gradient is multiplied by `weights`.

    $$f(z) = z, \qquad \frac{\partial f_k}{\partial z_k} := w_k.$$

    For methods that re-weight the gradient of each logit, not the loss: equalization v2
    scales those of its sigmoids by what each class has received so far,

        weights = jnp.where(is_label, 1 + alpha * (1 - gain), gain)
        sigmoid_cross_entropy(scale_gradient(logits, weights), targets)

    Derivatives of higher order are those of the surrogate: w is multiplied once more
    with each. The weights themselves are held constant.

    Args:
        logits: any scores.
        weights: any shape that broadcasts against the logits.
    Returns:
        The logits.
    Raises:
        TypeError: logits that are not floating.
        ValueError: weights that do not broadcast against the logits.
    Source: Tan et al., "Equalization Loss v2: A New Gradient Balance Approach for
        Long-tailed Object Detection", CVPR 2021, arXiv:2012.08548, eq. 5 to 7.

    >>> weights = jnp.array([2.0, 0.5])
    >>> jax.grad(lambda z: jnp.sum(scale_gradient(z, weights)))(jnp.ones(2))
    Array([2. , 0.5], dtype=float32)
    """
    logits, weights = check_logits(logits), jnp.asarray(weights)
    try:
        fits = jnp.broadcast_shapes(logits.shape, weights.shape) == logits.shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"weights must broadcast against logits {describe(logits)}, got "
            f"{describe(weights)}"
        )
    rank = (1,) * (logits.ndim - weights.ndim) + weights.shape
    return _scale_gradient(logits, weights.reshape(rank))


@jax.custom_jvp
def _scale_gradient(logits: Array, weights: Array) -> Array:
    """Surrogate: see `scale_gradient`."""
    del weights
    return logits


_scale_gradient.defjvps(
    lambda t, _, logits, weights: (
        t * jax.lax.stop_gradient(weights).astype(logits.dtype)
    ),
    None,
)
