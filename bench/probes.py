"""What gradient statistics cost: GALA against logit adjustment, a step with all probes.

Bytes and operations are those that XLA counts in the compiled program.
"""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxloss
from bench.timing import alternate

GALA_SHAPES = ((4096, 1000), (1024, 8142))
STEP_SHAPES = ((128, 100), (4096, 1000))
QUICK_SHAPES = ((128, 100),)
FEATURES = 256

INTRODUCTION = """\
**GALA** with its sums, value, gradient and update of the state, over logit adjustment
(value and gradient): what margins from accumulated gradients cost. **A step** of a
network 256 - 256 - classes with SGD, with probes over without: time, and the bytes and
floating-point operations that they add to the compiled program.
"""


def measure(*, quick: bool, seconds: float) -> Iterator[dict[str, Any]]:
    for shape in QUICK_SHAPES if quick else GALA_SHAPES:
        yield _compare("GALA", shape, seconds, _gala_calls(*shape))
    for shape in QUICK_SHAPES if quick else STEP_SHAPES:
        yield _compare("step", shape, seconds, _step_calls(*shape))


def _compare(
    what: str, shape: tuple[int, int], seconds: float, calls: dict[str, tuple]
) -> dict[str, Any]:
    """Every call over the first one."""
    compiled = {
        name: jax.jit(function).lower(*args).compile()
        for name, (function, args) in calls.items()
    }
    timed = {
        name: lambda name=name: jax.block_until_ready(compiled[name](*calls[name][1]))
        for name in calls
    }
    times = alternate(timed, seconds)
    costs: dict[str, Any] = {
        name: program.cost_analysis() for name, program in compiled.items()
    }
    base, *others = calls
    return {
        "what": what,
        "shape": shape,
        "base": base,
        "seconds": float(np.median(times[base])),
        "others": {
            name: {
                "time": float(np.median(times[name] / times[base])),
                "bytes": costs[name]["bytes accessed"] - costs[base]["bytes accessed"],
                "flops": costs[name]["flops"] - costs[base]["flops"],
                "share": costs[name]["flops"] / costs[base]["flops"] - 1,
            }
            for name in others
        },
    }


def _gala_calls(size: int, classes: int) -> dict[str, tuple[Callable, tuple]]:
    z, y = _logits_labels(size, classes)
    log_prior = jnp.log(jnp.geomspace(1, 0.01, classes))

    def adjusted(z, y):
        losses, pull = jax.vjp(
            lambda z: jaxloss.logit_adjusted_cross_entropy(z, y, log_prior=log_prior), z
        )
        return losses, pull(jnp.ones_like(losses))[0]

    def gala(objective):
        def step(z, y, state):
            losses, pull = jax.vjp(lambda z: objective.loss(state, z, y, None), z)
            (grads,) = pull(jnp.ones_like(losses))
            state = objective.update(state, jaxloss.Signals(z, y, grads))
            return losses, grads, state

        return step, (z, y, objective.init())

    return {
        "logit adjustment": (adjusted, (z, y)),
        "GALA, sums by class": gala(jaxloss.gala_objective(classes)),
        "GALA, classes x classes": gala(jaxloss.gala_objective(classes, full=True)),
    }


def _step_calls(size: int, classes: int) -> dict[str, tuple[Callable, tuple]]:
    random = np.random.default_rng(0)
    _, labels = _logits_labels(size, classes)
    x = jnp.asarray(random.normal(size=(size, FEATURES)), jnp.float32)
    params = {
        "first": jnp.asarray(
            random.normal(size=(FEATURES, FEATURES)) / 16, jnp.float32
        ),
        "head": jnp.asarray(random.normal(size=(FEATURES, classes)) / 16, jnp.float32),
    }
    optimizer = optax.sgd(0.1, momentum=0.9)
    thirds = jaxloss.by_class(np.arange(classes) * 3 // classes)
    noisy = jaxloss.by_example(np.arange(size) % 2)
    parts = {
        "class gradients": jaxloss.class_gradients(classes),
        "class matrix": jaxloss.class_gradients(classes, full=True),
        "norms": jaxloss.gradient_norms(thirds),
        "norms by noise": jaxloss.gradient_norms(noisy),
        "norms by confidence": jaxloss.gradient_norms(jaxloss.by_confidence()),
        "histograms": jaxloss.log_odds_histogram(thirds),
        "feature means": jaxloss.feature_means(classes, FEATURES),
        "head gradients": jaxloss.head_gradients(thirds, FEATURES, classes),
    }

    def step(probe):
        def loss_fn(params, tap):
            h = jax.nn.relu(x @ params["first"])
            logits = h @ params["head"]
            logits = tap(logits, labels, features=h, index=jnp.arange(size))
            return jnp.mean(jaxloss.cross_entropy(logits, labels))

        def run(params, optimizer_state, state):
            tapped = jaxloss.value_grad_and_signals(loss_fn)
            loss, grads, signals = tapped(params)
            updates, optimizer_state = optimizer.update(grads, optimizer_state)
            params = optax.apply_updates(params, updates)
            return loss, params, optimizer_state, probe.update(state, signals)

        return run, (params, optimizer.init(params), probe.init())

    chosen = {
        "no probes": {},
        **{name: {name: part} for name, part in parts.items()},
        "all of them": {k: v for k, v in parts.items() if k != "class gradients"},
    }
    return {
        name: step(jaxloss.combine_probes(**probes)) for name, probes in chosen.items()
    }


def _logits_labels(size: int, classes: int) -> tuple[jax.Array, jax.Array]:
    random = np.random.default_rng(0)
    z = jnp.asarray(3 * random.normal(size=(size, classes)), jnp.float32)
    return z, jnp.asarray(random.integers(0, classes, size), jnp.int32)


def rows(records: list[dict[str, Any]]) -> list[list[str]]:
    return [
        [
            f"{record['what']} {record['shape']}: {name}",
            f"{found['time']:.2f}",
            f"{found['bytes'] / 1e6:+.2f}",
            f"{found['flops'] / 1e6:+.2f}",
            f"{100 * found['share']:+.1f} %",
        ]
        for record in records
        for name, found in record["others"].items()
    ]


HEAD = ["over the same without", "time", "MB", "Mflop", "flops"]
