"""A probe as an element of `optax.chain`: its state lives in the optimizer's."""

from typing import TYPE_CHECKING, Any, NamedTuple

from jaxloss._probe import Probe
from jaxloss._signals import Signals

if TYPE_CHECKING:
    import optax


class ObserveState(NamedTuple):
    probe: Any  # the state of the probe


def observe(probe: Probe) -> "optax.GradientTransformationExtraArgs":
    """Leaves the updates alone and keeps a probe's statistics in the optimizer state.

        optimizer = optax.chain(jaxloss.observe(probe), optax.adam(1e-3))
        updates, state = optimizer.update(grads, state, params, signals=signals)
        probe.read(optax.tree.get(state, "probe"))

    So they are saved, restored and sharded with the optimizer, and a loop needs no
    other change than to pass `signals`, from `value_grad_and_signals`.

    Args:
        probe: what to keep; several at once with `combine_probes`.
    Returns:
        An optax `GradientTransformationExtraArgs`; the only thing here that needs optax
        to be installed.
    Raises:
        TypeError: from its update, if `signals` is not passed.
    """
    import optax

    def init(params):
        del params
        return ObserveState(probe.init())

    def update(updates, state, params=None, *, signals: Signals | None = None, **extra):
        del params, extra
        if signals is None:
            raise TypeError(
                "observe needs the keyword argument `signals` of optimizer.update; get "
                "it from jaxloss.value_grad_and_signals"
            )
        return updates, ObserveState(probe.update(state.probe, signals))

    return optax.GradientTransformationExtraArgs(init, update)
