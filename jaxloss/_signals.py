"""What a training step knows about a batch, and how to get it out of any step.

The gradient with respect to the logits is that of a zero added to them: it comes with
the backward pass that training makes anyway.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxloss._checks import check_logits_labels


class Signals(NamedTuple):
    """What a training step saw of one batch."""

    logits: Array  # [*batch, classes]
    labels: Array  # [*batch]
    logit_grads: Array  # [*batch, classes], of the SUM of the losses over the batch
    # [*batch], position of each example in the training set
    index: Array | None = None  # pyright: ignore[reportIncompatibleMethodOverride]
    features: Array | None = None  # [*batch, features], input of the classifier head


class HeadSignals(NamedTuple):
    """The same of a step through the fused head, where nobody has seen the logits."""

    labels: Array  # [*batch]
    log_odds: Array  # [*batch]
    log_odds_grads: Array  # [*batch], of the SUM of the losses over the batch
    # [*batch], position of each example in the training set
    index: Array | None = None  # pyright: ignore[reportIncompatibleMethodOverride]
    features: Array | None = None  # [*batch, features], input of the classifier head


class Tap:
    """What `value_grad_and_signals` hands to a loss function; call it on the logits."""

    def __init__(self, zero: Array | None):
        self._zero = zero
        self._seen: tuple[Any, ...] | None = None

    def __call__(
        self,
        logits: Array,
        labels: Array,
        *,
        index: Array | None = None,
        features: Array | None = None,
        divisor: ArrayLike | None = None,
    ) -> Array:
        """Gives the logits back, to go on with; remembers the rest for `Signals`.

        Args:
            logits: `[*batch, classes]`.
            labels: `[*batch]`; those that are no class count as padding.
            index: `[*batch]`, positions in the training set.
            features: `[*batch, features]`, the input of the classifier head.
            divisor: what the sum of the losses is divided by: the number of examples
                by default, 1 for a loss that is a sum, the number that counts for a
                masked mean.
        """
        if self._seen is not None:
            raise ValueError(
                "tap was called twice in one evaluation of the loss function: it "
                "belongs to one set of logits"
            )
        logits, labels = check_logits_labels(logits, labels)
        divisor = labels.size if divisor is None else divisor
        self._seen = jax.lax.stop_gradient((logits, labels, index, features, divisor))
        return logits if self._zero is None else logits + self._zero

    @property
    def seen(self) -> tuple:
        if self._seen is None:
            raise ValueError(
                "the loss function never called tap: pass its logits through "
                "`logits = tap(logits, labels)` before the loss"
            )
        return self._seen


def value_grad_and_signals(
    loss_fn: Callable[..., Any], *, has_aux: bool = False
) -> Callable[..., tuple[Any, Any, Signals]]:
    r"""`jax.value_and_grad` that also tells what the batch did to the logits.

    The loss function takes one more argument, `tap`, and passes its logits through it:

        def loss_fn(params, batch, tap):
            logits = tap(apply(params, batch["image"]), batch["label"])
            return jnp.mean(jaxloss.focal(logits, batch["label"]))

        value, grads, signals = value_grad_and_signals(loss_fn)(params, batch)
        state = probe.update(state, signals)

    Forward and backward pass stay the only ones; `jit`, `vmap` and `scan` apply.

    Args:
        loss_fn: `(params, *args, tap, **kwargs) -> loss`, or `(loss, aux)`; `tap` comes
            last of the positional ones. See `Tap` for what else it can be told.
        has_aux: whether the loss function returns `(loss, aux)`.
    Returns:
        A function of the loss function's other arguments: `(value, grads, signals)`,
        where value is `(loss, aux)` with `has_aux`.
    Raises:
        ValueError: a loss function that never calls `tap`, or more than once; from
            `jax.grad`, a loss that is no scalar.

    >>> def loss_fn(scale, logits, labels, tap):
    ...     logits = tap(scale * logits, labels)
    ...     return jnp.mean(jaxloss.cross_entropy(logits, labels))
    >>> step = value_grad_and_signals(loss_fn)
    >>> _, _, signals = step(1.0, jnp.zeros((4, 2)), jnp.array([0, 0, 0, 1]))
    >>> signals.logit_grads[0]
    Array([-0.5,  0.5], dtype=float32)
    """

    def with_signals(params, *args, **kwargs):
        def shape_of_logits():
            tap = Tap(None)
            loss_fn(params, *args, tap, **kwargs)
            return tap.seen[0]

        like = jax.eval_shape(shape_of_logits)

        def tapped(params, zero):
            tap = Tap(zero)
            value = loss_fn(params, *args, tap, **kwargs)
            loss, aux = value if has_aux else (value, None)
            return loss, (aux, tap.seen)

        zero = jnp.zeros(like.shape, like.dtype)
        (loss, (aux, seen)), (grads, logit_grads) = jax.value_and_grad(
            tapped, argnums=(0, 1), has_aux=True
        )(params, zero)
        logits, labels, index, features, divisor = seen
        logit_grads = (logit_grads * divisor).astype(logits.dtype)
        value = (loss, aux) if has_aux else loss
        return value, grads, Signals(logits, labels, logit_grads, index, features)

    return with_signals
