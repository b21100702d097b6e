"""One training of a method from data to predictions, pure, so it can be mapped."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from train import config
from train.debias.methods import Hyper, Method, Mode
from train.debias.models import gated, masking
from train.debias.rules import Batch, Facts, Link, build_rule, link_of, one_of
from train.debias.step import Ensemble, Member, State, init_state, train_epoch
from train.fit import make_optimizer, make_schedule
from train.models import Model
from train.step import predict


class Problem(NamedTuple):
    """The arrays of one seed."""

    train: Batch
    validation: Batch  # distributed as train
    tests: dict[str, Batch]


@dataclasses.dataclass(frozen=True)
class Networks:
    """What the methods of a task are made of."""

    base: Model
    shortcut: Model  # sees the shortcut and nothing else
    base_features: int  # width of what the classifier head of the base model sees
    num_classes: int
    num_cues: int
    link: Link  # of the task's loss
    form: Literal["exact", "relaxed", "softmax"]  # of its pseudo-labels


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


def programs(methods: Mapping[str, Method]) -> list[dict[str, Method]]:
    """Methods that can be trained by one program, together; most of the time of a small
    training is compilation."""
    found: dict[tuple, dict[str, Method]] = {}
    for name, method in methods.items():
        if method.bias:
            found.setdefault(_signature(method), {})[name] = method
    for name, method in methods.items():
        if not method.bias:  # what a bias model of others does is no matter to it
            like = dataclasses.replace(method, bias=("shortcut",))
            place = _signature(like)
            place = place if place in found else _signature(method)
            found.setdefault(place, {})[name] = method
    return list(found.values())


def _signature(method: Method) -> tuple:
    kind = method.rule if method.rule in ("learned-mixin", "rubi") else ""
    link = method.form if "statistic" in method.bias else None  # its scores differ
    return method.mode, method.bias, method.base, method.released, kind, link


def _largest(methods: Sequence[Method]) -> Method:
    return max(methods, key=lambda method: len(method.bias))


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
    method = _largest(methods)
    ensemble = make_ensemble(
        methods, which, options, networks, train, steps, learning_rate
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


def phases_of(mode: Mode, members: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    if mode == "iterative":
        return tuple((name,) for name in members)
    return (tuple(members),)


def make_ensemble(
    methods: Sequence[Method],
    which: Array | int,
    options: Fit,
    networks: Networks,
    train: Batch,
    steps: int,
    learning_rate: Array | None = None,
) -> Ensemble:
    """Of methods that `programs` puts together."""
    method = _largest(methods)
    facts = Facts(
        link=networks.link,
        form=networks.form,
        label=train.label,
        cell=train.cue * networks.num_classes + train.label,
        num_classes=networks.num_classes,
        num_cells=networks.num_cues * networks.num_classes,
        total_steps=steps,
    )
    learners = [name for name in method.bias if name != "statistic"]
    rules = [build_rule(each, options.hyper, facts) for each in methods]
    if len(rules) == 1:
        rule = rules[0]
    else:
        rule = one_of(rules, jnp.asarray(which), [*method.bias, "base"])
    statistic = None
    if "statistic" in method.bias:
        frequencies = cue_statistic(train, networks, options.smoothing)
        statistic = as_scores(frequencies, link_of(method, networks.link))
    schedule = make_schedule(options.optimizer, steps, learning_rate)
    bias_steps = (
        steps
        if method.mode != "first"
        else options.bias_epochs * (steps // options.epochs)
    )
    slow = make_schedule(options.bias_optimizer, bias_steps)
    members = {
        name: Member(
            _model(name, method, networks), make_optimizer(options.bias_optimizer, slow)
        )
        for name in learners
    }
    members["base"] = Member(
        _model("base", method, networks), make_optimizer(options.optimizer, schedule)
    )
    return Ensemble(
        members,
        rule,
        statistic,
        all_move=method.leak or method.accumulate,
        accumulate=method.accumulate,
    )


def _model(name: str, method: Method, networks: Networks) -> Model:
    if name == "shortcut":
        model = networks.shortcut
        return masking(model, networks.num_classes) if method.rule == "rubi" else model
    if name == "base" and method.base == "shortcut":
        return networks.shortcut
    if name == "base" and method.rule == "learned-mixin":
        return gated(networks.base, networks.base_features)
    return networks.base


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


def cue_statistic(train: Batch, networks: Networks, smoothing: float) -> Array:
    r"""Mean targets by cue, $(\sum_{i: c_i = c} t_i + s \bar t) / (n_c + s)$.

    Never 0 or 1 for a class that occurs and is not all there is; a class that does not
    occur has probability `tiny`, for its score must be finite.
    """
    sums = jax.ops.segment_sum(train.targets, train.cue, networks.num_cues)
    counts = jnp.bincount(train.cue, length=networks.num_cues)[:, None]
    overall = jnp.mean(train.targets, axis=0, keepdims=True)
    return (sums + smoothing * overall) / (counts + smoothing)


def as_scores(frequencies: Array, link: Link) -> Array:
    """Log-odds for sigmoids, log-probabilities for a softmax."""
    tiny = 1e-6
    p = jnp.clip(frequencies, tiny, 1 - tiny)
    return jnp.log(p) - jnp.log1p(-p) if link == "sigmoid" else jnp.log(p)
