"""The same curves for binary and multi-label targets: each class on its own."""

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from jaxloss import curves
from jaxloss._checks import check_logits_targets
from jaxloss._log_odds import wide


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
    logits, targets = check_logits_targets(logits, targets)
    z = logits.astype(wide(logits.dtype))
    losses = targets * curves.cross_entropy(z) + (1 - targets) * curves.cross_entropy(
        -z
    )
    return jnp.sum(losses, axis=-1).astype(logits.dtype)
