"""Losses that remember: three pure functions around a state, after optax.

    state = objective.init()
    losses = objective.loss(state, logits, labels, index)    # differentiate this
    state = objective.update(state, signals)                 # and never this

The state is an argument nobody differentiates, of fixed structure, so that it can be a
scan carry, part of a checkpoint, or sharded. `Signals` is what a step knows about a
batch.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxloss._checks import check_range
from jaxloss._log_odds import label_log_odds, wide
from jaxloss._long_tail import gala, logit_adjusted_cross_entropy
from jaxloss._softmax import generalized_cross_entropy


class Signals(NamedTuple):
    """What a training step saw of one batch."""

    logits: Array  # [batch, classes]
    labels: Array  # [batch]
    logit_grads: Array  # [batch, classes], of the SUM of the losses over the batch
    # [batch], position of each example in the training set
    index: Array | None = None  # pyright: ignore[reportIncompatibleMethodOverride]
    features: Array | None = None  # [batch, features], input of the classifier head


def _keep(state: Any, signals: Signals) -> Any:
    del signals
    return state


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss with memory.

    Attributes:
        init: `() -> state`.
        loss: `(state, logits, labels, index) -> losses`, one per example; index is the
            position of each example in the training set.
        update: `(state, signals) -> state`, after every step, with its batch.
        refresh: `(state, signals) -> state`, between epochs the loop chooses, with the
            whole training set under parameters the loop chooses (such as the best on
            validation).
    """

    init: Callable[[], Any]
    loss: Callable[[Any, Array, Array, Array | None], Array]
    update: Callable[[Any, Signals], Any] = _keep
    refresh: Callable[[Any, Signals], Any] = _keep


def stateless(loss: Callable[[Array, Array], Array]) -> Objective:
    """A loss of logits and labels as an `Objective` with the state ()."""
    return Objective(
        init=lambda: (), loss=lambda state, logits, labels, index: loss(logits, labels)
    )


class GalaState(NamedTuple):
    positive: Array  # theta [classes]
    negative: Array  # phi [classes]
    batches: Array  # [2, classes], running sums that "released" sums once more


def gala_objective(
    num_classes: int,
    *,
    lambda1: ArrayLike = 1.0,
    lambda2: ArrayLike = 1.0,
    epsilon: ArrayLike = 1e-3,
    variant: Literal["paper", "released", "released_once"] = "paper",
    decay: ArrayLike = 1.0,
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
    Source: Zhang et al., ICASSP 2024, arXiv:2403.09036.
    """
    if variant not in ("paper", "released", "released_once"):
        raise ValueError(
            f'variant must be "paper", "released" or "released_once", got {variant!r}'
        )
    check_range("decay", decay, 0, 1, open_low=True)

    def init():
        sums = jnp.zeros(num_classes, wide(jnp.result_type(float)))
        return GalaState(sums, sums, jnp.zeros((2, num_classes), sums.dtype))

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
            )
        log_prior = jnp.log(state.positive + epsilon)
        return logit_adjusted_cross_entropy(
            logits, labels, log_prior=log_prior, tau=lambda1
        )

    def update(state, signals):
        masses = _gradient_masses(signals, num_classes).astype(state.batches.dtype)
        if variant == "released":
            masses = masses + decay * state.batches
        positive, negative = masses
        return GalaState(
            decay * state.positive + positive,
            decay * state.negative + negative,
            masses if variant == "released" else state.batches,
        )

    return Objective(init, loss, update)


def _gradient_masses(signals: Signals, num_classes: int) -> Array:
    """[own logit, others] x class of the example: |gradient| of the batch mean."""
    size = jnp.abs(signals.logit_grads.astype(wide(signals.logit_grads.dtype)))
    labels = signals.labels.astype(jnp.int32)
    own = jnp.take_along_axis(size, labels[:, None], axis=1, mode="clip")[:, 0]
    masses = jnp.stack([own, jnp.sum(size, axis=1) - own], axis=1)
    # A label that is no class has no gradient, and segment_sum drops it.
    return jax.ops.segment_sum(masses, labels, num_classes).T / len(labels)


def truncated_gce_objective(
    num_examples: int, *, q: ArrayLike = 0.7, k: ArrayLike = 0.5
) -> Objective:
    r"""Truncated $L_q$ by alternate convex search: prune, train, prune again.

    $\ell_i = v_i\,(L_q(p_y) - L_q(k))$ with $v_i \in \{0, 1\}$, all 1 at first.
    `refresh` sets $v_i = [p_y > k]$; the paper calls it every 10 epochs, after a third
    to a half of the epochs, with the parameters that are best on validation.

    Args:
        num_examples: size of the training set, the range of `index`.
        q: of `generalized_cross_entropy`.
        k: in (0, 1), the probability up to which an example is pruned.
    Source: Zhang & Sabuncu, NeurIPS 2018, arXiv:1805.07836, algorithm 1.
    """
    check_range("k", k, 0, 1, open_low=True, open_high=True)
    ceiling = (1 - jnp.asarray(k) ** q) / q

    def loss(kept, logits, labels, index):
        losses = generalized_cross_entropy(logits, labels, q=q) - ceiling
        return jnp.where(kept[index], losses, 0).astype(logits.dtype)

    def refresh(kept, signals):
        end = jnp.log(k) - jnp.log1p(-jnp.asarray(k))
        keep = label_log_odds(signals.logits, signals.labels) > end
        return kept.at[signals.index].set(keep)

    return Objective(lambda: jnp.ones(num_examples, bool), loss, refresh=refresh)
