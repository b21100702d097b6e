"""One training from data to predictions, pure from end to end, so it can be mapped.

`fit` is what a comparison maps over seeds and learning rates; `train.loop` runs the
same epochs one by one, to show and save what happens between them.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from jaxloss import Signals, metrics
from train import config, data, head, probes
from train.models import Model, mlp
from train.objectives import Facts, OneOf, build_objective, is_any
from train.step import Batch, Trainer, TrainState, init_state, predict, train_epoch


class Progress(NamedTuple):
    """A run between two epochs: where it is, and the best it has been on validation."""

    state: TrainState
    epoch: Array
    best_params: Any
    best_stats: Any
    best_score: Array
    best_epoch: Array


class Fitted(NamedTuple):
    """Leading axis of the history: epochs."""

    # loss and gradient_norm; per evaluated split the balanced accuracy under its name,
    # and <name>_nll, the mean negative log likelihood
    history: dict[str, Array]
    last: dict[str, Array]  # logits of every evaluated split after the last epoch
    best: dict[str, Array]  # and after the epoch that was best on validation
    best_epoch: Array


def fit(
    loss: config.Loss | OneOf,
    options: config.Fit,
    dataset: data.Dataset,
    key: Array,
    learning_rate: Array | None = None,
) -> Fitted:
    """Trains and evaluates on every split after every epoch.

    Args:
        loss: static.
        options: static.
        dataset: arrays, which may be traced.
        key: of everything random.
        learning_rate: in place of that of the options; may be traced.
    """
    trainer = make_trainer(loss, options, dataset, learning_rate)
    train = as_batch(dataset.train)
    progress = start(trainer, jax.random.fold_in(key, 0))

    def body(progress, _):
        return epoch(trainer, loss, options, dataset, train, progress)

    progress, history = jax.lax.scan(body, progress, length=options.epochs)
    last = progress.state.params, progress.state.stats
    best = progress.best_params, progress.best_stats
    both = jax.tree.map(lambda *xs: jnp.stack(xs), last, best)
    logits = jax.vmap(lambda p, s: evaluate(trainer.model, p, s, dataset))(*both)
    last, best = (jax.tree.map(lambda x, i=i: x[i], logits) for i in range(2))
    return Fitted(history, last, best, progress.best_epoch)


def make_trainer(
    loss: config.Loss | OneOf,
    options: config.Fit,
    dataset: data.Dataset,
    learning_rate: Array | None = None,
    watch: probes.Watch = probes.NOTHING,
) -> Trainer:
    train = dataset.train
    model = mlp(train.image.shape[1:], options.widths, dataset.num_classes)
    steps = total_steps(options, len(train.label))
    facts = Facts(
        labels=jnp.asarray(train.label),
        num_classes=dataset.num_classes,
        total_steps=steps,
    )
    schedule = make_schedule(options.optimizer, steps, learning_rate)
    optimizer = make_optimizer(options.optimizer, schedule)
    probe = probes.of_training(watch, dataset, model)
    objective = build_objective(loss, facts)
    fused = head.is_needed(loss, objective, options, dataset.num_classes)
    if fused and watch.names:
        raise ValueError(
            f"probes look at all logits, and {dataset.num_classes} classes are more "
            f"than --fused-above {options.fused_above}: leave out --probes"
        )
    return Trainer(model, optimizer, objective, probe, fused)


def make_schedule(
    options: config.Optimizer, steps: int, learning_rate: Array | None = None
) -> optax.Schedule:
    peak = options.learning_rate if learning_rate is None else learning_rate
    warmup = round(options.warmup * steps)

    def schedule(step):
        ramp = jnp.minimum((step + 1) / (warmup + 1), 1)
        done = jnp.clip((step - warmup) / max(steps - warmup, 1), 0, 1)
        falling = 0.5 * (1 + jnp.cos(jnp.pi * done))
        return peak * ramp * (falling if options.decay == "cosine" else 1)

    return schedule


def make_optimizer(
    options: config.Optimizer, schedule: optax.Schedule
) -> optax.GradientTransformation:
    if options.name == "adam":
        return optax.adamw(schedule, weight_decay=options.weight_decay)
    return optax.chain(
        optax.add_decayed_weights(options.weight_decay),
        optax.sgd(schedule, momentum=0.9, nesterov=True),
    )


def total_steps(options: config.Fit, size: int) -> int:
    return options.epochs * (size // batch_size(options, size))


def batch_size(options: config.Fit, size: int) -> int:
    return min(options.batch_size, size)


def start(trainer: Trainer, key: Array) -> Progress:
    state = init_state(trainer, key)
    zero = jnp.zeros((), jnp.int32)
    worst = -jnp.ones(())
    return Progress(state, zero, state.params, state.stats, worst, zero)


def epoch(
    trainer: Trainer,
    loss: config.Loss | OneOf,
    options: config.Fit,
    dataset: data.Dataset,
    train: Batch,
    progress: Progress,
) -> tuple[Progress, dict[str, Array]]:
    """Refreshes the objective when it is time, trains for an epoch, evaluates."""
    state = progress.state
    due = _pruning_due(loss, options.epochs, progress.epoch)
    if due is not False:
        state = jax.lax.cond(
            due, lambda: _pruned(trainer, train, progress), lambda: progress.state
        )
    size = batch_size(options, len(train.label))
    state, numbers = train_epoch(trainer, size, state, train)
    numbers |= _scores(trainer, state, dataset)
    better = numbers["validation"] > progress.best_score
    params, stats, score, number = jax.tree.map(
        lambda new, old: jnp.where(better, new, old),
        (state.params, state.stats, numbers["validation"], progress.epoch + 1),
        progress[2:],
    )
    return Progress(state, progress.epoch + 1, params, stats, score, number), numbers


def _scores(
    trainer: Trainer, state: TrainState, dataset: data.Dataset
) -> dict[str, Array]:
    """Balanced accuracy and negative log likelihood of each split."""
    model, params, stats = trainer.model, state.params, state.stats
    found = {}
    for name, split in splits(dataset).items():
        images, labels = jnp.asarray(split.image), jnp.asarray(split.label)
        if trainer.fused:
            outcome = head.predict(model, params, stats, images, labels)
            found[name] = head.balanced_accuracy(outcome, labels, dataset.num_classes)
            found[f"{name}_nll"] = -jnp.mean(outcome.log_likelihood)
        else:
            logits = predict(model, params, stats, images)
            found[name] = 1 - metrics.balanced_error(logits, labels)
            found[f"{name}_nll"] = metrics.negative_log_likelihood(logits, labels)
    return found


def _pruning_due(loss: config.Loss | OneOf, epochs: int, epoch: Array) -> Array | bool:
    """Whether the alternate search of truncated L_q prunes before this epoch."""
    losses = loss.losses if isinstance(loss, OneOf) else (loss,)
    schedules = {
        (max(round(each.start * epochs), 1), max(round(each.every * epochs), 1))
        for each in losses
        if isinstance(each, config.TruncatedGce)
    }
    if not schedules:
        return False
    ((first, every),) = schedules  # one program, one schedule
    since = epoch - first
    return (since >= 0) & (since % every == 0) & is_any(loss, config.TruncatedGce)


def _pruned(trainer: Trainer, train: Batch, progress: Progress) -> TrainState:
    """Prunes with the parameters that are best on validation so far."""
    best = progress.best_params, progress.best_stats
    logits = predict(trainer.model, *best, train.image)
    signals = Signals(logits, train.label, jnp.zeros_like(logits), train.index)
    refreshed = trainer.objective.refresh(progress.state.objective, signals)
    return progress.state._replace(objective=refreshed)


def evaluate(
    model: Model, params: Any, stats: Any, dataset: data.Dataset
) -> dict[str, Array]:
    return {
        name: predict(model, params, stats, jnp.asarray(split.image))
        for name, split in splits(dataset).items()
    }


def splits(dataset: data.Dataset) -> Mapping[str, data.Split]:
    """Validation and the tests: everything that is evaluated."""
    return {"validation": dataset.validation, **dataset.tests}


def as_batch(split: data.Split) -> Batch:
    index = jnp.arange(len(split.label))
    return Batch(jnp.asarray(split.image), jnp.asarray(split.label), index)
