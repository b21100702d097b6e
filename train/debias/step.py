"""The pure part: several models, each with its optimizer, in one step.

A step is a sequence of phases; in each some models move, down the sum of their own
losses, with the others as they are by then. "together" is one phase, "iterative" one
for each model in greedy order.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

import jaxloss
from train.debias.rules import Batch, Rule
from train.models import Model, Outputs


class Member(NamedTuple):
    model: Model
    optimizer: optax.GradientTransformation


class Ensemble(NamedTuple):
    """What does not change during a run; members in greedy order, "base" last."""

    members: Mapping[str, Member]
    rule: Rule
    statistic: Array | None = None  # scores [cues, classes]
    # Scores [n, classes] of the training set, of models that do not learn any more
    constants: Mapping[str, Array] = {}
    # Released code: every model moves in every phase, by gradients that have leaked
    all_move: bool = False
    accumulate: bool = False  # ... and by those of the phase before


class State(NamedTuple):
    step: Array
    key: Array
    params: dict[str, Any]
    stats: dict[str, Any]
    optimizer: dict[str, optax.OptState]
    rule: Any


def init_state(ensemble: Ensemble, key: Array) -> State:
    """The base model starts from the same parameters, and sees the same batches,
    whatever stands beside it."""
    params, stats, optimizer = {}, {}, {}
    initial, order = jax.random.split(key)
    for i, (name, member) in enumerate([*ensemble.members.items()][::-1]):
        params[name], stats[name] = member.model.init(jax.random.fold_in(initial, i))
        optimizer[name] = member.optimizer.init(params[name])
    return State(
        step=jnp.zeros((), jnp.int32),
        key=order,
        params=params,
        stats=stats,
        optimizer=optimizer,
        rule=ensemble.rule.init(),
    )


def train_step(
    ensemble: Ensemble, phases: Sequence[Sequence[str]], state: State, batch: Batch
) -> tuple[State, dict[str, Array]]:
    """One step; the numbers are those of its last phase."""
    carried, numbers = None, {}
    for phase in phases:
        state, numbers, carried = _advance(ensemble, phase, carried, state, batch)
    return state._replace(step=state.step + 1), numbers


def _advance(
    ensemble: Ensemble,
    phase: Sequence[str],
    carried: Any,
    state: State,
    batch: Batch,
) -> tuple[State, dict[str, Array], Any]:
    """Moves the models of the phase down the sum of the means of their losses."""
    moving = list(ensemble.members) if ensemble.all_move else list(phase)
    held = {name: p for name, p in state.params.items() if name not in moving}

    def total(params, tap):
        outputs, stats = _apply(ensemble, params | held, state.stats, batch)
        base = outputs["base"]
        tapped = base._replace(logits=tap(base.logits, batch.label))
        losses, rule = ensemble.rule.losses(
            state.rule, outputs | {"base": tapped}, batch, state.step
        )
        means = [jnp.mean(losses[name]) for name in phase]
        return sum(means[1:], means[0]), (losses, stats, rule)

    (_, (losses, stats, rule)), grads, signals = jaxloss.value_grad_and_signals(
        total, has_aux=True
    )({name: state.params[name] for name in moving})
    if ensemble.accumulate and carried is not None:
        grads = jax.tree.map(jnp.add, grads, carried)
    params, optimizer = dict(state.params), dict(state.optimizer)
    for name in moving:
        updates, optimizer[name] = ensemble.members[name].optimizer.update(
            grads[name], optimizer[name], params[name]
        )
        params[name] = optax.apply_updates(params[name], updates)
    kept = {name: stats[name] for name in moving}
    state = state._replace(params=params, stats=state.stats | kept, optimizer=optimizer)
    if "base" in phase:  # what the rule remembers moves once in a step
        state = state._replace(rule=rule)
    return state, _numbers(losses, signals.logit_grads, batch), grads


def _apply(
    ensemble: Ensemble, params: Mapping[str, Any], stats: Mapping[str, Any], batch
) -> tuple[dict[str, Outputs], dict[str, Any]]:
    outputs, after = {}, {}
    if ensemble.statistic is not None:
        scores = ensemble.statistic[batch.cue]
        outputs["statistic"] = Outputs(scores, scores)
    for name, scores in ensemble.constants.items():
        outputs[name] = Outputs(scores[batch.index], scores[batch.index])
    for name, member in ensemble.members.items():
        outputs[name], after[name] = member.model.apply(
            params[name], stats[name], batch.inputs
        )
    return outputs, after


def _numbers(losses: Mapping[str, Array], grads: Array, batch: Batch) -> dict:
    """Means; those of conflicting examples as parts of the whole mean."""
    conflicting = batch.conflicting.astype(grads.dtype)
    norms = jnp.linalg.norm(grads, axis=-1)
    return {
        **{f"loss/{name}": jnp.mean(each) for name, each in losses.items()},
        "loss_of_conflicting": jnp.mean(conflicting * losses["base"]),
        "gradient": jnp.mean(norms),
        "gradient_of_conflicting": jnp.mean(conflicting * norms),
    }


def train_epoch(
    ensemble: Ensemble,
    phases: Sequence[Sequence[str]],
    batch_size: int,
    state: State,
    data: Batch,
) -> tuple[State, dict[str, Array]]:
    """Steps over the training set in a new order; means of their numbers.

    The last, incomplete batch is dropped: it is another one in every epoch.
    """
    size = len(data.label)
    batches = size // batch_size
    order = jax.random.permutation(jax.random.fold_in(state.key, state.step), size)
    order = order[: batches * batch_size].reshape(batches, batch_size)

    def body(state, chosen):
        batch = jax.tree.map(lambda array: array[chosen], data)
        return train_step(ensemble, phases, state, batch)

    state, numbers = jax.lax.scan(body, state, order)
    return state, jax.tree.map(jnp.mean, numbers)
