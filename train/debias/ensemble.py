"""What a training of a method is made of: networks, a rule, optimizers, a statistic."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import optax
from jax import Array

from train.debias.methods import Hyper, Method, Mode
from train.debias.models import gated, masking
from train.debias.rules import Batch, Facts, Link, build_rule, link_of, one_of
from train.debias.step import Ensemble, Member
from train.models import Model


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
    flow = method.leak, method.accumulate
    return method.mode, method.bias, method.base, flow, kind, link


def largest(methods: Sequence[Method]) -> Method:
    return max(methods, key=lambda method: len(method.bias))


def phases_of(mode: Mode, members: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    if mode == "iterative":
        return tuple((name,) for name in members)
    return (tuple(members),)


def facts_of(networks: Networks, label: Array, cue: Array, steps: int) -> Facts:
    """Of labels and cues [n] of the training set."""
    return Facts(
        link=networks.link,
        form=networks.form,
        label=label,
        cell=cue * networks.num_classes + label,
        num_classes=networks.num_classes,
        num_cells=networks.num_cues * networks.num_classes,
        total_steps=steps,
    )


def make_ensemble(
    methods: Sequence[Method],
    which: Array | int,
    hyper: Hyper,
    networks: Networks,
    facts: Facts,
    frequencies: Callable[[], Array],
    optimizers: Mapping[str, optax.GradientTransformation],
) -> Ensemble:
    """Of methods that `programs` puts together.

    Args:
        methods, which: as in `fit`.
        hyper: what the methods leave open.
        networks: what they are made of.
        facts: about the training set.
        frequencies: of the answers by cue [cues, classes], for a statistic.
        optimizers: "base", and "bias" of every bias model.
    """
    method = largest(methods)
    rules = [build_rule(each, hyper, facts) for each in methods]
    if len(rules) == 1:
        rule = rules[0]
    else:
        rule = one_of(rules, jnp.asarray(which), [*method.bias, "base"])
    statistic = None
    if "statistic" in method.bias:
        statistic = as_scores(frequencies(), link_of(method, networks.link))
    names = [*(name for name in method.bias if name != "statistic"), "base"]
    members = {
        name: Member(
            _model(name, method, networks),
            optimizers["base" if name == "base" else "bias"],
        )
        for name in names
    }
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
