"""The fused head against materialised logits and other fused heads, and its own curves.

Value, gradient of the features and gradient of the kernel of the mean loss. A process
times one way at one shape, so that its peak memory is its own.
"""

import importlib
import importlib.util
import math
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxloss
from bench.timing import alternate
from jaxloss import curves

SHAPES = ((2048, 256, 32_000), (1024, 128, 131_072), (512, 64, 1_000_000))
QUICK_SHAPES = ((256, 32, 5_000),)
# 40 GB of logits; nothing else runs it.
LARGEST = (10_000, 64, 1_000_000)

# Of the processor, which on one core is that of the wall without its neighbours.
CLOCK = time.process_time

OURS, MATERIALISED = "jaxloss", "XLA, logits (optax)"
CUT, CUT_AT_OURS = "jax-cce, its block", "jax-cce, our block"
TORCH, TORCH_FUSED = "torch, logits", "torch, linear_cross_entropy"


def missing() -> dict[str, str]:
    """Ways that cannot take part here, and why.

    Imported where they are used: a process should hold no library but its own.
    """
    found = {}
    if not importlib.util.find_spec("jax_cce"):
        found |= dict.fromkeys((CUT, CUT_AT_OURS), "jax-cce is not installed")
    if not importlib.util.find_spec("torch"):
        found |= dict.fromkeys((TORCH, TORCH_FUSED), "torch is not installed")
    elif not hasattr(_torch().nn.functional, "linear_cross_entropy"):
        found[TORCH_FUSED] = f"torch {_torch().__version__} does not have it"
    return found


def _torch() -> Any:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(1)
    return torch


WAYS = (OURS, MATERIALISED, CUT, CUT_AT_OURS, TORCH_FUSED, TORCH)


def measure(way: str, shape: tuple[int, int, int], calls: int) -> dict[str, Any]:
    """Seconds of each call after the first, memory, and what came out."""
    inputs = make_inputs(shape)
    prepare = _torch_call if way in (TORCH, TORCH_FUSED) else _jax_call
    call, temporary, checks = prepare(way, shape, inputs)
    del inputs
    before = _reset_peak()
    seconds, result = [], None
    for _ in range(calls + 1):
        start = CLOCK()
        result = call()
        seconds.append(CLOCK() - start)
    return {
        "seconds": seconds[1:] or seconds,
        "temporary": temporary,
        "peak": _peak(),
        "growth": _peak() - before,
        "checks": checks(result),
    }


def make_inputs(shape: tuple[int, int, int]) -> tuple[np.ndarray, ...]:
    """Features `[N, D]`, class vectors `[C, D]`, labels `[N]`."""
    n, d, c = shape
    random = np.random.default_rng(0)
    h = random.standard_normal((n, d), np.float32)
    w = random.standard_normal((c, d), np.float32)
    w /= math.sqrt(d)
    return h, w, random.integers(0, c, n).astype(np.int32)


def _jax_call(way: str, shape: tuple[int, int, int], inputs: tuple) -> tuple:
    h, w, y = inputs
    ours = way in (OURS, MATERIALISED)
    args = jnp.asarray(h), jnp.asarray(w.T if ours else w), jnp.asarray(y)
    step = jax.value_and_grad(_jax_loss(way, shape), (0, 1))
    compiled = jax.jit(step).lower(*args).compile()
    memory: Any = compiled.memory_analysis()

    def checks(result):
        loss, (dh, dw) = result
        return [float(loss), float(jnp.linalg.norm(dh)), float(jnp.linalg.norm(dw))]

    return (
        lambda: jax.block_until_ready(compiled(*args)),
        memory.temp_size_in_bytes,
        checks,
    )


def _jax_loss(way: str, shape: tuple[int, int, int]) -> Callable:
    match way:
        case "jaxloss":
            return _head_loss(curves.cross_entropy)
        case "XLA, logits (optax)":
            return lambda h, w, y: jnp.mean(
                optax.softmax_cross_entropy_with_integer_labels(h @ w, y)
            )
        case _:
            cce: Any = importlib.import_module("jax_cce")
            options = {}
            if way == CUT_AT_OURS:
                options["chunk_size"] = jaxloss.block_size(*shape)
            return lambda h, w, y: cce.linear_cross_entropy(h, w, y, **options)


def _torch_call(way: str, shape: tuple[int, int, int], inputs: tuple) -> tuple:
    del shape
    torch = _torch()
    functional = torch.nn.functional
    h, w, y = map(torch.from_numpy, inputs)
    y = y.long()
    for leaf in (h, w):
        leaf.requires_grad_()

    def call():
        h.grad = w.grad = None
        if way == TORCH_FUSED:
            # Without options it makes the logits.
            options = torch.nn.LinearCrossEntropyOptions()
            loss = functional.linear_cross_entropy(h, w, y, options=options)
        else:
            loss = functional.cross_entropy(h @ w.T, y)
        loss.backward()
        return loss, h.grad, w.grad

    return call, None, lambda result: [result[0].item(), *map(_norm, result[1:])]


def _norm(x: Any) -> float:
    return float(x.norm())


def _head_loss(curve: Callable, **options: Any) -> Callable:
    return lambda h, w, y: jnp.mean(
        curve(jaxloss.linear_label_log_odds(h, w, y, **options))
    )


def measure_curves(shape: tuple[int, int, int], seconds: float) -> dict[str, float]:
    """Time of each through the head over fused cross-entropy, in one process."""
    n, _, c = shape
    h, w, y = make_inputs(shape)
    args = jnp.asarray(h), jnp.asarray(w.T), jnp.asarray(y)
    log_prior = jnp.log(jnp.geomspace(1, 1e-3, c, dtype=jnp.float32))
    steps = {
        name: jax.value_and_grad(loss, (0, 1))
        for name, loss in {
            "cross-entropy": _head_loss(curves.cross_entropy),
            "GCE": _head_loss(lambda u: curves.generalized_cross_entropy(u, q=0.7)),
            "encouraging": _head_loss(lambda u: curves.encouraging(u, log_end=0.75)),
            "focal": _head_loss(lambda u: curves.focal(u, gamma=2.0)),
            "logit adjustment": _head_loss(curves.cross_entropy, margin=log_prior),
        }.items()
    }
    objective = jaxloss.gala_objective(c)

    def gala(h, w, y, state):
        def loss(h, w, zero):
            margins = objective.margins(state)._asdict()
            u = jaxloss.linear_label_log_odds(h, w, y, **margins) + zero
            return jnp.mean(curves.cross_entropy(u)), u

        (value, u), (dh, dw, slopes) = jax.value_and_grad(
            loss, (0, 1, 2), has_aux=True
        )(h, w, jnp.zeros(n))
        return (
            value,
            dh,
            dw,
            objective.update(state, jaxloss.HeadSignals(y, u, slopes * n)),
        )

    compiled = {
        name: jax.jit(step).lower(*args).compile() for name, step in steps.items()
    }
    state = objective.init()
    with_sums = jax.jit(gala).lower(*args, state).compile()
    calls: dict[str, Callable[[], Any]] = {
        **{
            name: lambda step=step: jax.block_until_ready(step(*args))
            for name, step in compiled.items()
        },
        "GALA with its sums": lambda: jax.block_until_ready(with_sums(*args, state)),
    }
    times = alternate(calls, seconds, clock=CLOCK)
    base = times["cross-entropy"]
    return {name: float(np.median(t / base)) for name, t in times.items()}


def gemm_rate(shape: tuple[int, int, int], seconds: float) -> float:
    """Flops a second of the best of the products that a block is made of."""
    n, d, c = shape
    size = jaxloss.block_size(n, d, c)
    h, part, g = (jnp.ones(s) for s in ((n, d), (d, size), (n, size)))
    products = {
        "z": jax.jit(lambda h, part, g: h @ part),
        "of features": jax.jit(lambda h, part, g: g @ part.T),
        "of kernel": jax.jit(lambda h, part, g: h.T @ g),
    }
    calls = {
        name: lambda f=f: jax.block_until_ready(f(h, part, g))
        for name, f in products.items()
    }
    times = alternate(calls, seconds, clock=CLOCK)
    return 2 * n * d * size / min(float(np.median(t)) for t in times.values())


def _reset_peak() -> int:
    """The resident memory now, from where the peak is counted; Linux."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass  # then it is the peak since the process began
    return _status("VmRSS")


def _peak() -> int:
    return _status("VmHWM")


def _status(key: str) -> int:
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    lines = status.read_text().splitlines()
    line = next(line for line in lines if line.startswith(key))
    return int(line.split()[1]) * 1024
