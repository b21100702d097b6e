"""Losses that remember: three pure functions around a state, after optax.

    state = objective.init()
    losses = objective.loss(state, logits, labels, index)    # differentiate this
    state = objective.update(state, signals)                 # and never this

The state is an argument nobody differentiates, of fixed structure, so that it can be a
scan carry, part of a checkpoint, or sharded.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxloss._checks import check_range
from jaxloss._log_odds import Curve, label_log_odds
from jaxloss._signals import Signals
from jaxloss._softmax import generalized_cross_entropy


def _keep(state: Any, signals: Signals) -> Any:
    del signals
    return state


class HeadMargins(NamedTuple):
    """Keywords of `linear_label_log_odds`: `**margins._asdict()`."""

    margin: Array | None = None  # [classes], of all logits
    label_offset: Array | None = None  # [classes], of the label's log-odds


def _no_margins(state: Any) -> HeadMargins:
    del state
    return HeadMargins()


@dataclasses.dataclass(frozen=True)
class Objective:
    """A loss with memory.

    Attributes:
        init: `() -> state`.
        loss: `(state, logits, labels, index) -> losses`, one per example; index is the
            position of each example in the training set.
        update: `(state, signals) -> state`, after every step, with the `Signals` of
            its batch.
        refresh: `(state, signals) -> state`, between epochs the loop chooses, with the
            whole training set under parameters the loop chooses (such as the best on
            validation).
        curve: where the loss is a curve of shifted log-odds, that curve: what the fused
            head needs. `update` then takes `HeadSignals` too.
        margins: `state -> HeadMargins`, the shift.
    """

    init: Callable[[], Any]
    loss: Callable[[Any, Array, Array, Array | None], Array]
    update: Callable[[Any, Any], Any] = _keep
    refresh: Callable[[Any, Signals], Any] = _keep
    curve: Curve | None = None
    margins: Callable[[Any], HeadMargins] = _no_margins


def stateless(
    loss: Callable[[Array, Array], Array],
    *,
    curve: Curve | None = None,
    margin: Array | None = None,
) -> Objective:
    """A loss of logits and labels as an `Objective` with the state ().

    Args:
        loss: `(logits, labels) -> losses`.
        curve: the same on the label's log-odds, for the fused head.
        margin: `[classes]`, added to all logits before that.
    """
    return Objective(
        init=lambda: (),
        loss=lambda state, logits, labels, index: loss(logits, labels),
        curve=curve,
        margins=lambda state: HeadMargins(margin),
    )


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
