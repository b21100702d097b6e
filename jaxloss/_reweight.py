"""Weights that the losses themselves give: for the worst group, for what is hard."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss._checks import check_range, describe
from jaxloss._log_odds import wide


def group_dro(
    losses: Float[Array, " batch"],
    groups: Integer[Array, " batch"],
    weights: Float[Array, " groups"],
    *,
    step_size: ArrayLike = 0.01,
) -> tuple[Float[Array, " batch"], Float[Array, " groups"]]:
    r"""Group DRO: descent for the model, ascent for the weights of the groups.

    With $\bar\ell_g$ the mean loss of the $n_g$ examples of group g in the batch of n,
    0 if there are none,

    $$q'_g = \frac{q_g\, e^{\eta\bar\ell_g}}{\sum_h q_h\, e^{\eta\bar\ell_h}}, \qquad
      \ell'_i = q'_{g_i} \frac{n}{n_{g_i}}\, \ell_i, \qquad
      \frac{1}{n} \sum_i \ell'_i = \sum_g q'_g\, \bar\ell_g.$$

    $q'$ is held constant in the gradient.

    Args:
        losses: one per example, of any loss.
        groups: ids in `[0, groups)`, such as class times attribute; NaN for any other.
        weights: q, positive, of sum 1; `jnp.full(groups, 1 / groups)` at first.
        step_size: $\eta$, at least 0; 0 keeps the weights as they are. May be traced.
    Returns:
        The weighted losses, whose mean is the loss to descend, and $q'$.
    Raises:
        ValueError: shapes that do not match; step_size out of range.
    Source: Sagawa et al., "Distributionally Robust Neural Networks for Group Shifts",
        ICLR 2020, arXiv:1911.08731, algorithm 1.

    >>> half = jnp.array([0.5, 0.5])
    >>> losses, groups = jnp.log(jnp.array([1.0, 3.0])), jnp.array([0, 1])
    >>> group_dro(losses, groups, half, step_size=1.0)[1].round(4)
    Array([0.25, 0.75], dtype=float32)
    """
    losses, groups, weights = map(jnp.asarray, (losses, groups, weights))
    if losses.ndim != 1 or groups.shape != losses.shape or weights.ndim != 1:
        raise ValueError(
            "losses and groups must be [batch], weights [groups]: got "
            f"{describe(losses)}, {describe(groups)} and {describe(weights)}"
        )
    check_range("step_size", step_size, 0, float("inf"), open_high=True)
    dtype = wide(losses.dtype)
    values = jax.lax.stop_gradient(losses).astype(dtype)
    counts = jnp.zeros(weights.shape, dtype).at[groups].add(1, mode="drop")
    sums = jnp.zeros(weights.shape, dtype).at[groups].add(values, mode="drop")
    means = sums / jnp.maximum(counts, 1)
    moved = jax.nn.softmax(jnp.log(weights) + step_size * means)
    shares = moved * losses.size / jnp.maximum(counts, 1)
    inside = (groups >= 0) & (groups < len(weights))
    factors = jnp.where(inside, jnp.take(shares, groups, mode="clip"), jnp.nan)
    return (factors * losses).astype(losses.dtype), moved.astype(weights.dtype)


def relative_difficulty(
    losses: Float[Array, "*batch"], bias_losses: Float[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""Learning from failure: how much harder an example is for the bias model.

    $w = \ell_b / (\ell_b + \ell)$, in [0, 1], held constant: near 0 where the bias
    model knows the answer, near 1 where it fails and the base model does not.

    In the source both losses are cross-entropies, averaged over the steps for each
    example (decay 0.7) and divided by the largest of their class; the bias model
    learns from `generalized_cross_entropy`, so that it falls for what is easy.

    Args:
        losses: of the base model, at least 0.
        bias_losses: of the bias model, at least 0.
    Returns:
        One weight per example; 1/2 where both losses are 0.
    Raises:
        ValueError: shapes that differ.
    Source: Nam et al., "Learning from Failure: Training Debiased Classifier from Biased
        Classifier", NeurIPS 2020, arXiv:2007.02561, eq. 4.

    >>> relative_difficulty(jnp.array([1.0, 0.0]), jnp.array([3.0, 0.0]))
    Array([0.75, 0.5 ], dtype=float32)
    """
    losses, bias_losses = jnp.asarray(losses), jnp.asarray(bias_losses)
    if losses.shape != bias_losses.shape:
        raise ValueError(
            "losses and bias_losses must have the same shape, got "
            f"{describe(losses)} and {describe(bias_losses)}"
        )
    total = losses + bias_losses
    none = total == 0
    share = jnp.where(none, 0.5, bias_losses / jnp.where(none, 1, total))
    return jax.lax.stop_gradient(share)
