"""From a method to losses: one for each model that learns, of all their outputs."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from jax import Array

import jaxloss
from jaxloss import curves
from train.debias.methods import Hyper, Method
from train.models import Outputs

Link = Literal["sigmoid", "softmax"]


class Batch(NamedTuple):
    """Examples, and what is known about their shortcut; n leads everywhere. In numpy
    outside of what is compiled."""

    inputs: Any  # of the models, a tree of arrays
    targets: Any  # [n, classes] in [0, 1], one-hot for hard labels
    label: Any  # [n], the best of the targets
    cue: Any  # [n], what the statistic conditions on: colour, type of question
    conflicting: Any  # [n], whether the label is not the usual one of the cue
    # [n], position in the training set
    index: Any  # pyright: ignore[reportIncompatibleMethodOverride]


class Facts(NamedTuple):
    """What a rule may know of the task and the training set of n examples."""

    link: Link  # of the task's own loss
    form: Literal["exact", "relaxed", "softmax"]  # of its pseudo-labels
    label: Array  # [n]
    cell: Array  # [n], cue and label
    num_classes: int
    num_cells: int
    total_steps: int


Losses = dict[str, Array]  # by model, one loss per example


@dataclasses.dataclass(frozen=True)
class Rule:
    """Losses with memory, for several models.

    Attributes:
        init: `() -> state`.
        losses: `(state, outputs, batch, step) -> losses, state`; outputs and losses by
            the name of the model. The loss of one model may have gradients for others.
    """

    init: Callable[[], Any]
    losses: Callable[
        [Any, Mapping[str, Outputs], Batch, Array | int], tuple[Losses, Any]
    ]


def link_of(method: Method, task: Link) -> Link:
    """Pseudo-labels bring their own loss."""
    if method.form is None:
        return task
    return "softmax" if method.form == "softmax" else "sigmoid"


def build_rule(method: Method, hyper: Hyper, facts: Facts) -> Rule:
    link = link_of(method, facts.link)
    plain = functools.partial(_plain, link=link)
    alone = functools.partial(_with_bias_models, method.bias, plain)
    match method.rule:
        case "plain":
            return alone(lambda base, bias, batch: plain(base.logits, batch))
        case "greedy":
            form = method.form or facts.form
            return _stateless(functools.partial(_greedy, method, form))
        case "weighted":
            return _weighted(method, hyper, facts)
        case "reweighted":
            return alone(functools.partial(_reweighted, link))
        case "bias-product":
            return alone(functools.partial(_bias_product, link))
        case "learned-mixin":
            weight = hyper.entropy_weight if method.penalty else 0.0
            return alone(functools.partial(_learned_mixin, link, weight))
        case "rubi":
            return alone(functools.partial(_rubi, link))
        case "learning-from-failure":
            return _learning_from_failure(method, hyper, facts, link)
        case "group-dro":
            return _group_dro(hyper.group_step, facts, plain)
        case "group-weighted":
            return _group_weighted(facts, plain)
        case _:
            assert_never(method.rule)


def one_of(rules: Sequence[Rule], which: Array, models: Sequence[str]) -> Rule:
    """Several rules in one program; only the chosen one's state moves."""

    def losses(states, outputs, batch, step):
        def branch(i, rule):
            found, state = rule.losses(states[i], outputs, batch, step)
            none = jnp.zeros(batch.label.shape, batch.targets.dtype)
            found = {name: found.get(name, none) for name in models}
            return found, (*states[:i], state, *states[i + 1 :])

        branches = [functools.partial(branch, i, rule) for i, rule in enumerate(rules)]
        return jax.lax.switch(which, branches)

    return Rule(lambda: tuple(rule.init() for rule in rules), losses)


def _stateless(losses: Callable[[Mapping[str, Outputs], Batch], Losses]) -> Rule:
    return Rule(
        lambda: (), lambda state, outputs, batch, step: (losses(outputs, batch), state)
    )


def _plain(logits: Array, batch: Batch, link: Link) -> Array:
    form = "exact" if link == "sigmoid" else "softmax"
    return jaxloss.greedy_ensemble([logits], batch.targets, form=form)[0]


def _with_bias_models(bias: Sequence[str], plain, loss) -> Rule:
    """Bias models learn the task as it is; `loss(base, bias, batch)` is the base's."""

    def losses(outputs, batch):
        found = {name: plain(outputs[name].logits, batch) for name in bias}
        first = outputs[bias[0]] if bias else None
        return found | {"base": loss(outputs["base"], first, batch)}

    return _stateless(losses)


def _greedy(
    method: Method, form: Any, outputs: Mapping[str, Outputs], batch: Batch, **options
) -> Losses:
    names = [*method.bias, "base"]
    losses = jaxloss.greedy_ensemble(
        [outputs[name].logits for name in names],
        batch.targets,
        form=form,
        sum_of="probabilities" if method.probabilities else "logits",
        leak=method.leak,
        **options,
    )
    return dict(zip(names, losses, strict=True))


def _weighted(method: Method, hyper: Hyper, facts: Facts) -> Rule:
    def losses(state, outputs, batch, step):
        weight = 1.0
        if method.curriculum:
            weight = jaxloss.curriculum_weight(
                step,
                hyper.length * facts.total_steps,
                offset=hyper.offset * facts.total_steps,
            )
        return _greedy(method, "weighted", outputs, batch, weight=weight), state

    return Rule(lambda: (), losses)


def _reweighted(link: Link, base: Outputs, bias: Outputs, batch: Batch) -> Array:
    """Divided by the mean weight, as the released code does."""
    b = jax.lax.stop_gradient(bias.logits)
    if link == "sigmoid":
        losses = jaxloss.bias_reweighted(base.logits, batch.targets, bias_logits=b)
        return losses / jnp.mean(jax.nn.sigmoid(-b))
    weight = jnp.sum(batch.targets * (1 - jax.nn.softmax(b)), axis=-1)
    return weight * _plain(base.logits, batch, link) / jnp.mean(weight)


def _bias_product(link: Link, base: Outputs, bias: Outputs, batch: Batch) -> Array:
    return jaxloss.bias_product(
        base.logits,
        batch.targets,
        bias_logits=jax.lax.stop_gradient(bias.logits),
        form=link,
    )


def _learned_mixin(
    link: Link, entropy_weight: float, base: Outputs, bias: Outputs, batch: Batch
) -> Array:
    assert base.gate is not None
    return jaxloss.learned_mixin(
        base.logits,
        batch.targets,
        bias_logits=jax.lax.stop_gradient(bias.logits),
        gate=base.gate,
        entropy_weight=entropy_weight,
        form=link,
    )


def _rubi(link: Link, base: Outputs, bias: Outputs, batch: Batch) -> Array:
    """The mask is the input of the bias model's classifier, and learns from both."""
    if link == "sigmoid":
        masked = base.logits * jax.nn.sigmoid(bias.features)
        return jaxloss.sigmoid_cross_entropy(masked, batch.targets)
    return jaxloss.rubi(base.logits, batch.label, bias_logits=bias.features)


class _Failure(NamedTuple):
    """Running means of the losses of each example; -1 where there is none yet."""

    bias: Array
    base: Array


def _learning_from_failure(
    method: Method, hyper: Hyper, facts: Facts, link: Link
) -> Rule:
    (name,) = method.bias

    def running(old, losses, index):
        losses, before = jax.lax.stop_gradient(losses), old[index]
        mean = hyper.failure_decay * before + (1 - hyper.failure_decay) * losses
        return old.at[index].set(jnp.where(before < 0, losses, mean))

    def of_the_largest(means, batch):
        largest = jax.ops.segment_max(means, facts.label, facts.num_classes)
        return means[batch.index] / jnp.maximum(largest[batch.label], 1e-8)

    def losses(state, outputs, batch, step):
        del step
        z, b = outputs["base"].logits, outputs[name].logits
        own = _plain(z, batch, link)
        state = _Failure(
            running(state.bias, _plain(b, batch, link), batch.index),
            running(state.base, own, batch.index),
        )
        weight = jaxloss.relative_difficulty(
            of_the_largest(state.base, batch), of_the_largest(state.bias, batch)
        )
        curve = functools.partial(curves.generalized_cross_entropy, q=hyper.gce_q)
        if link == "sigmoid":
            easy = jaxloss.multilabel(curve, b, batch.targets)
        else:
            easy = curve(jaxloss.label_log_odds(b, batch.label))
        return {name: easy, "base": weight * own}, state

    none = functools.partial(jnp.full, facts.label.shape, -1.0)
    return Rule(lambda: _Failure(none(), none()), losses)


def _group_dro(step_size: float, facts: Facts, plain) -> Rule:
    """Over the cells of cue and label that the training set has."""
    seen = jnp.zeros(facts.num_cells).at[facts.cell].set(1)

    def losses(weights, outputs, batch, step):
        del step
        own = plain(outputs["base"].logits, batch)
        cells = facts.cell[batch.index]
        own, weights = jaxloss.group_dro(own, cells, weights, step_size=step_size)
        return {"base": own}, weights

    return Rule(lambda: seen / jnp.sum(seen), losses)


def _group_weighted(facts: Facts, plain) -> Rule:
    """Every cell of cue and label counts the same; weights average 1."""
    counts = jnp.bincount(facts.cell, length=facts.num_cells)
    weights = 1 / counts[facts.cell]
    weights = weights / jnp.mean(weights)
    return _stateless(
        lambda outputs, batch: {
            "base": weights[batch.index] * plain(outputs["base"].logits, batch)
        }
    )
