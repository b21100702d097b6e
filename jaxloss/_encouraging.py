r"""Encouraging losses: a bonus for examples that are classified well already.

Cross-entropy with its bonus is `encouraging`. The rest of the family is made by adding,
in one line, the pieces of the paper and its released code:

    u = label_log_odds(logits, labels)
    cross_entropy(logits, labels) + rho * curves.power_bonus(u, gamma=2.0)
    squared_error(logits, labels) + rho * mirror_bonus(logits, labels, gamma=2.0)
    label_smoothed(lambda u: curve(u) + rho * curves.cosine_bonus(u), logits, ...)

with `rho` a number or `encouraging_schedule(epoch, epochs)`.
"""

from typing import Literal

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._checks import check_range, unknown
from jaxloss._distance import Activation, towards
from jaxloss._exact import log_sigmoid
from jaxloss._log_odds import apply_curve, log_softmax, per_example
from jaxloss._softmax import label_smoothed

Schedule = Literal["linear", "exponential", "cosine"]


def encouraging(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    log_end: ArrayLike = 0.75,
    label_smoothing: ArrayLike = 0.0,
) -> Float[Array, "*batch"]:
    r"""Cross-entropy plus the bonus $\log(1 - p_y)$ for well-classified examples.

    $$\ell = -u \;\; (p_y \le e), \qquad
      \ell = -\log p_y + \log(1 - e) - \frac{p_y - e}{1 - e} \;\; (p_y > e).$$

    The slope on the label's log-odds $u$ is -1 up to $p_y = e$ (`log_end`) and
    $-(1 - p_y)(1 + p_y / (1 - e))$ beyond: the margin of easy examples keeps growing.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        log_end: in (0, 1]; at 1 the loss is $-u$, unbounded below. May be traced.
        label_smoothing: share s of the mean loss over all classes taken as the label,
            as in `label_smoothed`.
    Returns:
        One loss per example; negative for sure ones.
    Raises:
        TypeError, ValueError: as `label_log_odds`; a hyper-parameter out of range.
    Source: Zhao et al., "Well-classified Examples are Underestimated in Classification
        with Deep Neural Networks", AAAI 2022, arXiv:2110.06537. The released code
        clamps $1 - p$ at 1e-5; ours is exact.

    >>> encouraging(jnp.array([20.0, 0.0]), jnp.array(0), log_end=1.0)
    Array(-20., dtype=float32)
    """

    def curve(u: Array) -> Array:
        return curves.encouraging(u, log_end=log_end)

    if isinstance(label_smoothing, float) and label_smoothing == 0:
        return apply_curve(curve, logits, labels)
    return label_smoothed(curve, logits, labels, label_smoothing=label_smoothing)


def mirror_bonus(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    gamma: ArrayLike,
    activation: Activation = "softmax",
) -> Float[Array, "*batch"]:
    r"""A bonus on every class, for squared and absolute errors.

    $$b = -\sum_j \tilde p_j^\gamma, \qquad
      \tilde p_j = p_j \text{ at the label, } 1 - p_j \text{ elsewhere},$$

    with $\partial b/\partial z_j = \mp\gamma\,\tilde p_j^\gamma (1 - \tilde p_j)$
    under the sigmoid, minus at the label. Under the softmax the same holds with each
    class's log-odds in the place of $z_j$.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        gamma: positive; 1 doubles an absolute error but for a constant.
        activation: "softmax" or "sigmoid", that of the error.
    Returns:
        One bonus per example, to be added to the loss.
    Raises:
        TypeError, ValueError: as `label_log_odds`; gamma out of range; an unknown
            activation.
    Source: Zhao et al., AAAI 2022, arXiv:2110.06537. The released code takes means over
        the classes, of the error and of this; ours are sums.

    >>> mirror_bonus(jnp.array([0.0, 0.0]), jnp.array(0), gamma=2.0)
    Array(-0.5, dtype=float32)
    """
    check_range("gamma", gamma, 0, float("inf"), open_low=True, open_high=True)

    def bonus(z: Array, labels: Array) -> Array:
        match activation:
            case "softmax":
                z = log_softmax(z)[1]
            case "sigmoid":
                pass
            case _:
                unknown("activation", activation, Activation)
        return -jnp.sum(jnp.exp(gamma * log_sigmoid(towards(z, labels))), axis=-1)

    return per_example(bonus, logits, labels)


def encouraging_schedule(
    step: ArrayLike,
    total: ArrayLike,
    *,
    form: Schedule = "linear",
    rate: ArrayLike = 5.0,
    after: ArrayLike = -1,
) -> Float[Array, ""]:
    r"""Weight of a bonus over training, from none or little to 1.

    With $t$ = step / total: linear $t$; exponential $e^{(t - 1) r}$ for a rate
    $r > 0$, late, and $1 - e^{t r}$ for $r < 0$, early; cosine
    $(1 - \cos \pi t) / 2$. A deferred start, 0 up to and including step `after`, comes
    on top.

    Args:
        step: in epochs or steps; beyond total the weight stays. May be traced.
        total: in the same unit, positive.
        form: "linear", "exponential" or "cosine".
        rate: r, not 0; of the exponential only.
        after: in the same unit; -1 is no deferral.
    Returns:
        The weight, a number in [0, 1].
    Raises:
        ValueError: step negative, total not positive, an unknown form.
    Source: the code released with Zhao et al., AAAI 2022, arXiv:2110.06537.

    >>> encouraging_schedule(3, 10)
    Array(0.3, dtype=float32, weak_type=True)
    """
    check_range("step", step, 0, float("inf"))
    check_range("total", total, 0, float("inf"), open_low=True)
    t = jnp.minimum(jnp.asarray(step) / total, 1)
    match form:
        case "linear":
            weight = t
        case "exponential":
            r = jnp.asarray(rate)
            weight = jnp.where(r > 0, jnp.exp((t - 1) * r), -jnp.expm1(t * r))
        case "cosine":
            weight = (1 - jnp.cos(jnp.pi * t)) / 2
        case _:
            unknown("form", form, Schedule)
    return jnp.where(jnp.asarray(step) > after, weight, 0)
