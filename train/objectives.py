"""From a choice on the command line to a loss with memory."""

import dataclasses
import functools
from typing import Any, NamedTuple, assert_never

import jax
import jax.numpy as jnp
from jax import Array

import jaxloss
from jaxloss import curves
from train import config


class Facts(NamedTuple):
    """What an objective may know about the training set; n examples."""

    labels: Array  # [n]
    num_classes: int
    total_steps: int


@dataclasses.dataclass(frozen=True)
class OneOf:
    """Several losses in one program, `which` traced: a comparison compiles once.

    Most of the compilation goes into what surrounds the loss: network, optimizer,
    random numbers, evaluation.
    """

    losses: tuple[config.Loss, ...]
    which: Array


def build_objective(loss: config.Loss | OneOf, facts: Facts) -> jaxloss.Objective:
    match loss:
        case OneOf(losses, which):
            return _one_of([build_objective(each, facts) for each in losses], which)
        case config.CrossEntropy():
            return _curve(jaxloss.cross_entropy, curves.cross_entropy)
        case config.Focal(gamma):
            return _curve(jaxloss.focal, curves.focal, gamma=gamma)
        case config.MeanAbsoluteError():
            return _curve(jaxloss.mean_absolute_error, curves.mean_absolute_error)
        case config.GeneralizedCrossEntropy(q):
            return _curve(
                jaxloss.generalized_cross_entropy, curves.generalized_cross_entropy, q=q
            )
        case config.Encouraging(log_end):
            return _curve(jaxloss.encouraging, curves.encouraging, log_end=log_end)
        case config.LogitAdjusted(tau):
            counts = jnp.bincount(facts.labels, length=facts.num_classes)
            log_prior = jaxloss.class_log_prior(counts)
            adjusted = functools.partial(
                jaxloss.logit_adjusted_cross_entropy, log_prior=log_prior, tau=tau
            )
            margin = jaxloss.adjust_logits(
                jnp.zeros_like(log_prior), log_prior=log_prior, tau=tau
            )
            return jaxloss.stateless(
                adjusted, curve=curves.cross_entropy, margin=margin
            )
        case config.Gala(lambda1, lambda2, epsilon, decay, variant):
            return jaxloss.gala_objective(
                facts.num_classes,
                lambda1=lambda1,
                lambda2=lambda2,
                epsilon=epsilon,
                variant=variant,
                decay=decay,
            )
        case config.Ldam(max_margin, scale, start, beta):
            counts = jnp.bincount(facts.labels, length=facts.num_classes)
            margins = functools.partial(
                jaxloss.ldam, counts=counts, max_margin=max_margin, scale=scale
            )
            weights = jaxloss.class_weights(counts, scheme="effective", beta=beta)
            return jaxloss.deferred_objective(
                weights, start=round(start * facts.total_steps), loss=margins
            )
        case config.Seesaw(p, q):
            return jaxloss.seesaw_objective(facts.num_classes, p=p, q=q)
        case config.EqualizationV2(gamma, mu, alpha):
            return jaxloss.equalization_v2_objective(
                facts.num_classes, gamma=gamma, mu=mu, alpha=alpha
            )
        case config.TruncatedGce(q, k):
            return jaxloss.truncated_gce_objective(len(facts.labels), q=q, k=k)
        case _:
            assert_never(loss)


def is_any(loss: config.Loss | OneOf, kinds: Any) -> bool | Array:
    """Whether the loss is of these kinds; traced if which loss it is, is."""
    if not isinstance(loss, OneOf):
        return isinstance(loss, kinds)
    found = [isinstance(each, kinds) for each in loss.losses]
    return jnp.asarray(found)[loss.which] if any(found) else False


def _one_of(objectives: list[jaxloss.Objective], which: Array) -> jaxloss.Objective:
    """A state for each; only the chosen one's moves."""

    def loss(states, *batch):
        branches = [
            lambda o=o, state=state: o.loss(state, *batch)
            for o, state in zip(objectives, states, strict=True)
        ]
        return jax.lax.switch(which, branches)

    def move(functions):
        def moved(states, signals):
            def branch(i, function):
                return (*states[:i], function(states[i], signals), *states[i + 1 :])

            branches = [
                functools.partial(branch, i, function)
                for i, function in enumerate(functions)
            ]
            return jax.lax.switch(which, branches)

        return moved

    return jaxloss.Objective(
        init=lambda: tuple(o.init() for o in objectives),
        loss=loss,
        update=move([o.update for o in objectives]),
        refresh=move([o.refresh for o in objectives]),
    )


def _curve(loss: Any, curve: Any, **options: Any) -> jaxloss.Objective:
    """A loss of logits and labels that is a curve of the log-odds."""
    return jaxloss.stateless(
        lambda logits, labels: loss(logits, labels, **options),
        curve=lambda u: curve(u, **options),
    )
