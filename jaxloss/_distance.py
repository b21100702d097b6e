"""Distances between the probabilities and the one-hot label: absolute and squared."""

from typing import Literal

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._checks import unknown
from jaxloss._exact import sigmoid
from jaxloss._log_odds import apply_curve, is_label, log_odds_and_rivals, per_example

Activation = Literal["softmax", "sigmoid"]


def mean_absolute_error(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    activation: Activation = "softmax",
) -> Float[Array, "*batch"]:
    r"""$\ell = \sum_j |[j = y] - p_j|$: robust to symmetric noise, slow to train.

    Under the softmax it is $2 (1 - p_y)$, a curve:

    $$\frac{\partial\ell}{\partial z_k} = 2 p_y\,(p_k - [k = y]).$$

    Under the sigmoid $\partial\ell/\partial z_j = \pm p_j (1 - p_j)$, minus at the
    label.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        activation: "softmax" or "sigmoid", what makes p of the logits.
    Returns:
        One loss per example. Under the softmax in [0, 2], with the constant sum
        $2 (C - 1)$ over all labels.
    Raises:
        TypeError, ValueError: as `label_log_odds`; an unknown activation.
    Source: Ghosh et al., "Robust Loss Functions under Label Noise for Deep Neural
        Networks", AAAI 2017, arXiv:1712.09482.

    >>> mean_absolute_error(jnp.array([0.0, 0.0]), jnp.array(0))
    Array(1., dtype=float32)
    """
    match activation:
        case "softmax":
            return apply_curve(curves.mean_absolute_error, logits, labels)
        case "sigmoid":
            return per_example(
                lambda z, y: jnp.sum(sigmoid(-towards(z, y)), -1), logits, labels
            )
        case _:
            unknown("activation", activation, Activation)


def squared_error(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    activation: Activation = "softmax",
) -> Float[Array, "*batch"]:
    r"""Brier score $\ell = \sum_j (p_j - [j = y])^2$, a sum over the classes.

    With the softmax, of probability $1 - p_y$ for all rivals and $r$ among them,

    $$\ell = (1 - p_y)^2 \Big(1 + \sum_{k \ne y} r_k^2\Big), \qquad
      \frac{\partial\ell}{\partial z_k} =
      2 p_k \big(d_k - \sum\nolimits_j p_j d_j\big), \quad d_j = p_j - [j = y].$$

    With the sigmoid $\partial\ell/\partial z_j = 2 d_j\, p_j (1 - p_j)$.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        activation: "softmax" or "sigmoid", what makes p of the logits.
    Returns:
        One loss per example, in [0, 2] for the softmax.
    Raises:
        TypeError, ValueError: as `label_log_odds`; an unknown activation.
    Source: Brier, "Verification of Forecasts Expressed in Terms of Probability",
        Monthly Weather Review 78, 1950.

    >>> squared_error(jnp.array([0.0, 0.0]), jnp.array(0))
    Array(0.5, dtype=float32)
    """

    def softmax(z: Array, labels: Array) -> Array:
        u, rivals = log_odds_and_rivals(z, labels)
        rest = sigmoid(-u)
        return rest * rest * (1 + jnp.sum(rivals * rivals, axis=-1))

    match activation:
        case "softmax":
            return per_example(softmax, logits, labels)
        case "sigmoid":
            return per_example(
                lambda z, y: jnp.sum(sigmoid(-towards(z, y)) ** 2, -1), logits, labels
            )
        case _:
            unknown("activation", activation, Activation)


def towards(z: Array, labels: Array) -> Array:
    """The logits with the sign of what is wanted: plus at the label, else minus."""
    return jnp.where(is_label(z, labels), z, -z)
