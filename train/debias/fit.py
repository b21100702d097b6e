"""One training of a method from data to predictions, pure, so it can be mapped."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from train import config
from train.debias.ensemble import (
    Networks,
    cue_statistic,
    facts_of,
    largest,
    make_ensemble,
    phases_of,
)
from train.debias.methods import Hyper, Method
from train.debias.rules import Batch
from train.debias.step import Ensemble, State, init_state, train_epoch
from train.fit import make_optimizer, make_schedule
from train.step import predict


class Problem(NamedTuple):
    """The arrays of one seed."""

    train: Batch
    validation: Batch  # distributed as train
    tests: dict[str, Batch]


@dataclasses.dataclass(frozen=True)
class Fit:
    """One training, whatever the method."""

    epochs: int = 60
    """Passes over the training set."""
    batch_size: int = 128
    """Examples per step; at most the training set."""
    optimizer: config.Optimizer = config.Optimizer(
        name="adam", weight_decay=0.0, decay="constant"
    )
    """Of the base model; its learning rate may be swept."""
    bias_epochs: int = 60
    """Passes in which the bias models learn first, in mode "first"."""
    bias_optimizer: config.Optimizer = config.Optimizer(
        name="adam", learning_rate=1e-2, weight_decay=0.0, decay="constant"
    )
    """Of the bias models."""
    smoothing: float = 1.0
    """Examples of the overall answer frequencies added to those of each cue, for the
    statistic."""
    hyper: Hyper = Hyper()
    """What the methods leave open."""


class Trained(NamedTuple):
    """Leading axis of the history: epochs."""

    # per evaluated split its score under its name; losses; parts of conflicting ones
    history: dict[str, Array]
    last: dict[str, Array]  # logits of every evaluated split after the last epoch
    best: dict[str, Array]  # and after the epoch that was best on validation
    best_epoch: Array
    params: Any  # of the base model, after the last epoch
    stats: Any


def score(logits: Array, targets: Array) -> Array:
    """Mean target of the predicted class: accuracy if the targets are one-hot, else
    the accuracy of visual question answering."""
    predicted = jnp.argmax(logits, axis=-1, keepdims=True)
    return jnp.mean(jnp.take_along_axis(targets, predicted, axis=-1))


def evaluated(problem: Any) -> Mapping[str, Any]:
    return {"validation": problem.validation, **problem.tests}


def fit(
    methods: Sequence[Method],
    which: Array | int,
    options: Fit,
    networks: Networks,
    problem: Problem,
    key: Array,
    learning_rate: Array | None = None,
) -> Trained:
    """Trains one of several methods of one program; evaluates after every epoch.

    Args:
        methods: static, as `programs` puts them together.
        which: of them; may be traced.
        options: static.
        networks: static.
        problem: arrays, which may be traced.
        key: of everything random.
        learning_rate: of the base model, in place of that of the options; may be
            traced.
    """
    train = jax.tree.map(jnp.asarray, problem.train)
    size = min(options.batch_size, len(train.label))
    steps = options.epochs * (len(train.label) // size)
    method = largest(methods)
    ensemble = make_ensemble(
        methods,
        which,
        options.hyper,
        networks,
        facts_of(networks, train.label, train.cue, steps),
        lambda: cue_statistic(train, networks, options.smoothing),
        _optimizers(method, options, steps, learning_rate),
    )
    state = init_state(ensemble, key)
    if method.mode == "first":
        ensemble, state = _fit_bias_models(ensemble, options, size, state, train)
    phases = phases_of(method.mode, [*ensemble.members])
    model = ensemble.members["base"].model

    def logits_of(params, stats):
        return {
            name: predict(model, params, stats, jax.tree.map(jnp.asarray, split.inputs))
            for name, split in evaluated(problem).items()
        }

    def body(carry, epoch):
        state, best = carry
        state, numbers = train_epoch(ensemble, phases, size, state, train)
        now = state.params["base"], state.stats["base"]
        for name, logits in logits_of(*now).items():
            targets = jnp.asarray(evaluated(problem)[name].targets)
            numbers[name] = score(logits, targets)
        new = (numbers["validation"], epoch + 1, now)
        better = numbers["validation"] > best[0]
        best = jax.tree.map(lambda a, b: jnp.where(better, a, b), new, best)
        return (state, best), numbers

    start = state.params["base"], state.stats["base"]
    none = (-jnp.ones(()), jnp.zeros((), jnp.int32), start)
    (state, best), history = jax.lax.scan(
        body, (state, none), jnp.arange(options.epochs)
    )
    last = state.params["base"], state.stats["base"]
    return Trained(history, logits_of(*last), logits_of(*best[2]), best[1], *last)


def _optimizers(
    method: Method, options: Fit, steps: int, learning_rate: Array | None
) -> dict[str, optax.GradientTransformation]:
    rate = make_schedule(options.optimizer, steps, learning_rate)
    if method.mode == "first":
        steps = options.bias_epochs * (steps // options.epochs)
    bias_rate = make_schedule(options.bias_optimizer, steps)
    return {
        "base": make_optimizer(options.optimizer, rate),
        "bias": make_optimizer(options.bias_optimizer, bias_rate),
    }


def _fit_bias_models(
    ensemble: Ensemble, options: Fit, size: int, state: State, train: Batch
) -> tuple[Ensemble, State]:
    """In greedy order, each to the end; from then on they are what they say about the
    training set, and the count of the steps begins anew."""
    members, constants = dict(ensemble.members), dict(ensemble.constants)
    for name in [*members][:-1]:

        def body(state, _, name=name):
            return train_epoch(ensemble, ((name,),), size, state, train)

        state, _ = jax.lax.scan(body, state, length=options.bias_epochs)
        state = state._replace(step=jnp.zeros_like(state.step))
    for name in [*members][:-1]:
        model = members.pop(name).model
        held = state.params[name], state.stats[name]
        constants[name] = predict(model, *held, train.inputs)

    def base(tree):
        return {"base": tree["base"]}

    state = state._replace(
        params=base(state.params),
        stats=base(state.stats),
        optimizer=base(state.optimizer),
    )
    return ensemble._replace(members=members, constants=constants), state
