"""The pure part of training: a state, a step, an epoch of steps, a prediction.

Nothing here reads a clock, a file or a generator: the random numbers of a step are
`fold_in(key, step)`, so a run that was stopped and resumed ends with the same bits.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxloss import Objective, Probe, combine_probes, value_grad_and_signals
from train import head
from train.models import Model


class Batch(NamedTuple):
    image: Array  # [batch, height, width, channels]
    label: Array  # [batch]
    # [batch], position in the training set
    index: Array  # pyright: ignore[reportIncompatibleMethodOverride]


class TrainState(NamedTuple):
    step: Array
    key: Array
    params: Any
    stats: Any  # of the model, such as batch statistics
    optimizer: optax.OptState
    objective: Any
    probe: Any  # gradient statistics, of what the trainer is asked to keep


class Trainer(NamedTuple):
    """What does not change during a run, as the functions need it."""

    model: Model
    optimizer: optax.GradientTransformation
    objective: Objective
    probe: Probe = combine_probes()
    fused: bool = False  # whether the logits stay unmade; see `head`


def init_state(trainer: Trainer, key: Array) -> TrainState:
    params, stats = trainer.model.init(jax.random.fold_in(key, 0))
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        key=jax.random.fold_in(key, 1),
        params=params,
        stats=stats,
        optimizer=trainer.optimizer.init(params),
        objective=trainer.objective.init(),
        probe=trainer.probe.init(),
    )


def train_step(
    trainer: Trainer, state: TrainState, batch: Batch
) -> tuple[TrainState, dict[str, Array]]:
    """One step of gradient descent on the mean loss of the batch."""
    model, optimizer, objective, probe, fused = trainer

    def mean_loss(params, tap):
        outputs, stats = model.apply(params, state.stats, batch.image)
        logits = tap(
            outputs.logits, batch.label, index=batch.index, features=outputs.features
        )
        losses = objective.loss(state.objective, logits, batch.label, batch.index)
        return jnp.mean(losses), stats

    found: Any
    if fused:
        found = head.value_grad_and_signals(model, objective, state, batch)
    else:
        found = value_grad_and_signals(mean_loss, has_aux=True)(state.params)
    (loss, stats), grads, signals = found
    updates, optimizer_state = optimizer.update(grads, state.optimizer, state.params)
    state = state._replace(
        step=state.step + 1,
        params=optax.apply_updates(state.params, updates),
        stats=stats,
        optimizer=optimizer_state,
        objective=objective.update(state.objective, signals),
        probe=probe.update(state.probe, signals),
    )
    return state, {"loss": loss, "gradient_norm": optax.tree.norm(grads)}


def train_epoch(
    trainer: Trainer, batch_size: int, state: TrainState, data: Batch
) -> tuple[TrainState, dict[str, Array]]:
    """Steps over the whole training set in a new order; means of their numbers.

    The statistics of the probe are those of this epoch.
    The last, incomplete batch is dropped: it is another one in every epoch.
    """
    size = len(data.label)
    batches = size // batch_size
    order = jax.random.permutation(jax.random.fold_in(state.key, state.step), size)
    order = order[: batches * batch_size].reshape(batches, batch_size)

    state = state._replace(probe=trainer.probe.init())

    def body(state, chosen):
        return train_step(trainer, state, Batch(*(array[chosen] for array in data)))

    state, metrics = jax.lax.scan(body, state, order)
    return state, jax.tree.map(jnp.mean, metrics)


def predict(model: Model, params: Any, stats: Any, inputs: Any) -> Array:
    """Logits of any number of inputs, a tree of arrays, a thousand at a time."""

    def apply(batch: Any) -> Array:
        return model.apply(params, stats, batch)[0].logits

    size = len(jax.tree.leaves(inputs)[0])
    if size <= 1024:
        return apply(inputs)

    def chunks(array: Array) -> Array:
        padded = jnp.pad(array, [(0, -size % 1024)] + [(0, 0)] * (array.ndim - 1))
        return padded.reshape(-1, 1024, *array.shape[1:])

    logits = jax.lax.map(apply, jax.tree.map(chunks, inputs))
    return logits.reshape(-1, logits.shape[-1])[:size]
