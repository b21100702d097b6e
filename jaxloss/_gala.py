"""GALA: margins from the gradients that training itself has accumulated.

`gala` is the loss given the sums, `gala_objective` keeps them, `rebalance_predictions`
is the paper's correction at test time.
"""

from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._checks import (
    check_logits,
    check_logits_labels,
    check_per_class,
    check_range,
    unknown,
)
from jaxloss._log_odds import Curve, apply_curve, wide
from jaxloss._long_tail import logit_adjusted_cross_entropy
from jaxloss._objective import HeadMargins, Objective
from jaxloss._signals import HeadSignals
from jaxloss._sums import by_group, flat_gradients, masses_by_label, sum_dtype

Variant = Literal["paper", "released", "released_once"]


def gala(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    positive: Float[Array, " classes"],
    negative: Float[Array, " classes"],
    lambda1: ArrayLike = 1.0,
    lambda2: ArrayLike = 1.0,
    epsilon: ArrayLike = 1e-3,
    curve: Curve = curves.cross_entropy,
) -> Float[Array, "*batch"]:
    r"""Gradient-aware logit adjustment: margins from accumulated gradients.

    $$\ell = \mathrm{CE}(F, y), \qquad F_y = z_y, \qquad
      F_k = z_k + \lambda_1 \log(\theta_k + \epsilon)
      - \lambda_2 \log(\phi_y + \epsilon) \quad (k \ne y),$$
    $$\frac{\partial\ell}{\partial z_k} = \mathrm{softmax}(F)_k - [k = y].$$

    The margins are of the label's log-odds, so `gala_objective` is what keeps the sums;
    predict with plain $z$.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        positive: $\theta$, accumulated |gradient| of each logit by examples of its
            class.
        negative: $\phi$, accumulated |gradient| that examples of each class put on all
            the other logits. For softmax losses it equals `positive`.
        lambda1: weight of $\theta$; may be traced.
        lambda2: weight of $\phi$; may be traced.
        epsilon: added inside the logs, positive.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; positive or negative that are not
            `[classes]`.
    Source: Zhang et al., "Gradient-Aware Logit Adjustment Loss for Long-tailed
        Classifier", ICASSP 2024, arXiv:2403.09036. The released code adds the margin to
        the label too, where $\phi$ cancels: that is `logit_adjusted_cross_entropy` with
        log_prior $\log(\theta + \epsilon)$ and tau $\lambda_1$.

    >>> z, y, sums = jnp.zeros(2), jnp.array(1), jnp.array([1.0, 0.5])
    >>> gala(z, y, positive=sums, negative=sums, epsilon=0.0).round(4)
    Array(1.0986, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    theta = check_per_class("positive", positive, logits)
    phi = check_per_class("negative", negative, logits)
    return apply_curve(
        curve,
        logits,
        labels,
        margin=jnp.log(theta + epsilon) * lambda1,
        label_offset=jnp.log(phi + epsilon) * lambda2,
    )


def gala_margins(
    *,
    positive: Float[Array, " classes"],
    negative: Float[Array, " classes"],
    lambda1: ArrayLike = 1.0,
    lambda2: ArrayLike = 1.0,
    epsilon: ArrayLike = 1e-3,
) -> HeadMargins:
    r"""GALA's shift for the fused head: a margin per class and an offset per label.

    $$m_k = \lambda_1 \log(\theta_k + \epsilon), \qquad
      o_y = \lambda_2 \log(\phi_y + \epsilon) - m_y,$$

    so that `linear_label_log_odds(..., **gala_margins(...)._asdict())` is the log-odds
    of `gala`: m is on all logits there, hence taken off the label's.

    Args:
        positive: $\theta$.
        negative: $\phi$.
        lambda1: weight of $\theta$; may be traced.
        lambda2: weight of $\phi$; may be traced.
        epsilon: added inside the logs, positive.
    Source: Zhang et al., ICASSP 2024, arXiv:2403.09036.

    >>> sums = jnp.array([1.0, 0.5])
    >>> gala_margins(positive=sums, negative=sums, epsilon=0.0).label_offset
    Array([0., 0.], dtype=float32)
    """
    margin = jnp.log(jnp.asarray(positive) + epsilon) * lambda1
    row = jnp.log(jnp.asarray(negative) + epsilon) * lambda2
    return HeadMargins(margin, row - margin)


class GalaState(NamedTuple):
    positive: Array  # theta [classes]
    negative: Array  # phi [classes]
    batches: Array  # [2, classes], running sums that "released" sums once more
    # [classes, classes], by examples of a class (row) on each logit, if asked for
    matrix: Array | None = None


def gala_objective(
    num_classes: int,
    *,
    lambda1: ArrayLike = 1.0,
    lambda2: ArrayLike = 1.0,
    epsilon: ArrayLike = 1e-3,
    variant: Variant = "paper",
    decay: ArrayLike = 1.0,
    full: bool = False,
    curve: Curve = curves.cross_entropy,
) -> Objective:
    r"""GALA with its gradient sums; see `gala` for the loss.

    After a batch of N examples, with $g$ the logit gradient of the batch mean,
    $\theta_j \mathrel{+}= \sum_{i: y_i = j} |g_{ij}|$ and
    $\phi_k \mathrel{+}= \sum_{i: y_i = k} \sum_{j \ne k} |g_{ij}|$. Both start at 0, so
    the first margins are $\log\epsilon$.

    Args:
        num_classes: C.
        lambda1: weight of $\theta$; may be traced.
        lambda2: weight of $\phi$; may be traced.
        epsilon: added inside the logs.
        variant: "paper"; "released", the authors' code, where the margin is also added
            to the label (and so $\phi$ cancels) and the running sum is summed once more
            at every step; "released_once", that margin with single sums.
        decay: what a sum keeps from step to step, in (0, 1]; 1 sums from the start.
        full: whether the state also holds the sums for each pair of classes, which the
            loss has no use for.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Source: Zhang et al., ICASSP 2024, arXiv:2403.09036.
    """
    if variant not in get_args(Variant):
        unknown("variant", variant, Variant)
    check_range("decay", decay, 0, 1, open_low=True)

    def init():
        def zeros(*shape):
            return jnp.zeros((*shape, num_classes), sum_dtype())

        matrix = zeros(num_classes) if full else None
        return GalaState(zeros(), zeros(), zeros(2), matrix)

    def loss(state, logits, labels, index):
        del index
        if variant == "paper":
            return gala(
                logits,
                labels,
                positive=state.positive,
                negative=state.negative,
                lambda1=lambda1,
                lambda2=lambda2,
                epsilon=epsilon,
                curve=curve,
            )
        log_prior = jnp.log(state.positive + epsilon)
        return logit_adjusted_cross_entropy(
            logits, labels, log_prior=log_prior, tau=lambda1, curve=curve
        )

    def margins(state):
        if variant == "paper":
            return gala_margins(
                positive=state.positive,
                negative=state.negative,
                lambda1=lambda1,
                lambda2=lambda2,
                epsilon=epsilon,
            )
        return HeadMargins(jnp.log(state.positive + epsilon) * lambda1)

    def update(state, signals):
        grads = None
        if isinstance(signals, HeadSignals):
            labels = signals.labels.reshape(-1)
            masses = _masses_of_head(signals, num_classes) / len(labels)
        else:
            grads, labels = flat_gradients(signals, num_classes)
            masses = masses_by_label(grads, labels) / len(labels)
        masses, matrix = masses.astype(state.batches.dtype), None
        if full:
            if grads is None:
                raise ValueError(
                    "full=True wants the gradient of every logit, which the fused head "
                    "does not have"
                )
            pairs = by_group(jnp.abs(grads), labels, num_classes) / len(labels)
            matrix = decay * state.matrix + pairs.astype(state.matrix.dtype)
        if variant == "released":
            masses = masses + decay * state.batches
        positive, negative = masses
        return GalaState(
            decay * state.positive + positive,
            decay * state.negative + negative,
            masses if variant == "released" else state.batches,
            matrix,
        )

    return Objective(init, loss, update, curve=curve, margins=margins)


def _masses_of_head(signals: HeadSignals, num_classes: int) -> Array:
    """The rivals get in sum what the label gets: |dl/du|, both times."""
    mass = jnp.abs(signals.log_odds_grads).reshape(-1, 1)
    mass = by_group(mass.astype(wide(mass.dtype)), signals.labels, num_classes)
    return jnp.broadcast_to(mass.T, (2, num_classes))


def rebalance_predictions(
    probabilities: Float[Array, "*batch classes"], *, tau: ArrayLike = 1.0
) -> Float[Array, "*batch classes"]:
    r"""Scores $s_{ij} = P_{ij} / (\sum_i P_{ij})^\tau$ over a whole evaluation set.

    Transductive: the score of an example depends on the others, and the method assumes
    that the set is balanced. Say so beside the numbers.

    Args:
        probabilities: softmax outputs of the whole set.
        tau: strength; the paper uses 1.4 to 1.7. May be traced.
    Returns:
        Scores whose argmax is the prediction; rows do not sum to 1.
    Raises:
        ValueError: probabilities without a class axis.
    Source: Zhang et al., ICASSP 2024, arXiv:2403.09036, "prediction re-balancing".

    >>> rebalance_predictions(jnp.array([[0.8, 0.2], [0.7, 0.3]])).argmax(-1)
    Array([0, 1], dtype=int32)
    """
    probabilities = check_logits(probabilities)
    wider = probabilities.astype(wide(probabilities.dtype))
    mass = jnp.sum(wider, axis=tuple(range(wider.ndim - 1)), keepdims=True)
    scale = jnp.exp(-jnp.log(jnp.where(mass > 0, mass, 1)) * tau)  # 0 / 0 stays 0
    return (wider * scale).astype(probabilities.dtype)
