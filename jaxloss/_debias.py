r"""Greedy de-biasing: the target changes where a bias model already knows the answer.

The bias model is fitted first; the base model then fits the negative gradient of the
bias model's loss, the pseudo-label, as in gradient boosting. For a hard label and the
softmax this is cross-entropy weighted by $1 - b_y$, with $b$ the probabilities of the
bias model. No gradient ever reaches the bias model.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._checks import (
    check_bias_logits,
    check_logits_labels,
    check_logits_targets,
    check_range,
    unknown,
)
from jaxloss._exact import sigmoid
from jaxloss._log_odds import apply_curve, log_softmax, soft_cross_entropy, wide
from jaxloss._sigmoid import sigmoid_cross_entropy

Form = Literal["exact", "relaxed", "softmax"]


def greedy_pseudo_labels(
    targets: Float[Array, "*batch classes"],
    bias_logits: Float[Array, "*batch classes"],
    *,
    form: Form = "exact",
) -> Float[Array, "*batch classes"]:
    r"""What the bias model leaves to explain, as a target for the base model.

    exact: $\mathrm{clip}(t - \sigma(b), 0, 1)$, the negative gradient of the sigmoid
    cross-entropy at $b$; relaxed: $2 t\,\sigma(-2 t b)$, that of the first paper, up to
    2;
    softmax: $\mathrm{clip}(t - \mathrm{softmax}(b), 0, 1)$. Constant in both arguments.

    An example that the bias model fits gets zeros. Cross-entropy then ignores it; the
    sigmoid forms push all its logits down (*bias over-estimation*).

    Args:
        targets: soft or hard labels in [0, 1].
        bias_logits: scores of the bias model.
        form: "exact", "relaxed" or "softmax".
    Returns:
        Pseudo-labels, in the dtype of the bias logits.
    Raises:
        TypeError: bias_logits that are not floating.
        ValueError: shapes that differ; an unknown form.
    Source: Han et al., "Greedy Gradient Ensemble for Robust Visual Question Answering",
        ICCV 2021, arXiv:2107.12651, eq. 9 and 11. The released code lets the gradient
        through to the bias model; ours does not.

    >>> greedy_pseudo_labels(jnp.array([1.0, 0.0]), jnp.array([0.0, 0.0]))
    Array([0.5, 0. ], dtype=float32)
    """
    bias_logits, targets = check_logits_targets(bias_logits, targets)
    labels = pseudo_labels(targets, bias_logits, form)
    return jax.lax.stop_gradient(labels.astype(bias_logits.dtype))


def pseudo_labels(targets: Array, bias_logits: Array, form: Form) -> Array:
    """`greedy_pseudo_labels`, wide, and not held constant."""
    t = targets.astype(wide(targets.dtype))
    b = bias_logits.astype(wide(bias_logits.dtype))
    match form:
        # t - sigmoid(u), without cancellation for t = 1 and a bias model that is sure
        case "exact":
            return jnp.clip((t - 1) + sigmoid(-b), 0, 1)
        case "relaxed":
            return 2 * t * sigmoid(-2 * t * b)
        case "softmax":
            return jnp.clip((t - 1) + sigmoid(-log_softmax(b)[1]), 0, 1)
        case _:
            unknown("form", form, Form)


def greedy_gradient(
    logits: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    bias_logits: Float[Array, "*batch classes"],
    form: Form = "exact",
) -> Float[Array, "*batch"]:
    r"""Greedy gradient ensemble: the base model's loss on the pseudo-labels.

    With $\tilde t$ from `greedy_pseudo_labels`:

    exact, relaxed: `sigmoid_cross_entropy`,
    $\partial\ell/\partial z_j = \sigma(z_j) - \tilde t_j$;
    softmax: $\ell = -\sum_j \tilde t_j \log p_j$,
    $\partial\ell/\partial z_j = p_j \sum_k \tilde t_k - \tilde t_j$.

    For integer labels `general_greedy_debias` is the softmax form, and faster.

    Args:
        logits: scores of the base model.
        targets: soft or hard labels in [0, 1].
        bias_logits: scores of the bias model, held constant.
        form: as in `greedy_pseudo_labels`.
    Returns:
        One loss per example.
    Raises:
        TypeError: logits or bias_logits that are not floating.
        ValueError: shapes that differ; an unknown form.
    Source: Han et al., ICCV 2021, arXiv:2107.12651, eq. 8.

    >>> z, bias, targets = jnp.zeros(2), jnp.zeros(2), jnp.array([1.0, 0.0])
    >>> greedy_gradient(z, targets, bias_logits=bias).round(4)
    Array(1.3863, dtype=float32)
    """
    logits, targets = check_logits_targets(logits, targets)
    bias_logits = check_bias_logits(bias_logits, logits)
    labels = greedy_pseudo_labels(targets, bias_logits, form=form)
    if form != "softmax":
        return sigmoid_cross_entropy(logits, labels)
    log_p, _ = log_softmax(logits)
    return soft_cross_entropy(log_p, labels).astype(logits.dtype)


def general_greedy_debias(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    bias_logits: Float[Array, "*batch classes"],
    weight: ArrayLike = 1.0,
) -> Float[Array, "*batch"]:
    r"""General greedy de-bias: cross-entropy weighted by what the bias model misses.

    $$\ell = -(1 - w\, b_y) \log p_y, \quad b = \mathrm{softmax}(\text{bias logits}),$$
    $$ \frac{\partial\ell}{\partial z_k} = (1 - w\, b_y)(p_k - [k = y]), \qquad
      \frac{\partial\ell}{\partial b} = 0.$$

    $w = 0$ is cross-entropy, $w = 1$ the greedy gradient ensemble with a softmax.

    Args:
        logits: scores of the base model.
        labels: class ids in `[0, classes)`; NaN for any other.
        bias_logits: scores of the bias model, held constant.
        weight: w in [0, 1], such as `curriculum_weight`; may be traced.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; bias_logits of another shape; weight
            out of range.
    Source: Han et al., "General Greedy De-bias Learning", TPAMI 2023, IEEE 10027464.
        The released notebook takes the mean over classes, a factor $1/C$; ours does
        not.

    >>> bias = jnp.array([0.0, 0.0])
    >>> general_greedy_debias(jnp.zeros(2), jnp.array(0), bias_logits=bias).round(4)
    Array(0.3466, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    bias_logits = check_bias_logits(bias_logits, logits)
    check_range("weight", weight, 0, 1)

    def unexplained(u: Array) -> Array:
        # 1 - w b_y, without cancellation where b_y is near 1
        return (1 - jnp.asarray(weight)) + weight * jax.nn.sigmoid(-u)

    # Both wide: in half precision a rounded factor would round the loss twice.
    b = jax.lax.stop_gradient(bias_logits).astype(wide(bias_logits.dtype))
    z = logits.astype(wide(logits.dtype))
    factor = apply_curve(unexplained, b, labels)
    losses = factor * apply_curve(curves.cross_entropy, z, labels)
    return losses.astype(logits.dtype)


def curriculum_weight(
    step: ArrayLike, total: ArrayLike, *, offset: ArrayLike
) -> Float[Array, ""]:
    r"""Weight of `general_greedy_debias` over training: easy first, full effect last.

    $$w = \sin\left(\frac{\pi}{2}\,\frac{t + t_0}{T + t_0}\right).$$

    Args:
        step: t, in epochs or steps; beyond total the weight stays 1. May be traced.
        total: T, in the same unit, positive.
        offset: $t_0$, in the same unit, at least 0. The released code uses 10 and 30
            epochs, and epochs that start at 0, so that it never reaches 1.
    Returns:
        w in [0, 1].
    Raises:
        ValueError: step or offset negative, total not positive.
    Source: Han et al., TPAMI 2023, IEEE 10027464.

    >>> curriculum_weight(0, 10, offset=10).round(4)
    Array(0.7071, dtype=float32, weak_type=True)
    """
    check_range("step", step, 0, float("inf"))
    check_range("total", total, 0, float("inf"), open_low=True)
    check_range("offset", offset, 0, float("inf"))
    done = (step + jnp.asarray(offset)) / (total + jnp.asarray(offset))
    return jnp.sin(0.5 * jnp.pi * jnp.minimum(done, 1))
