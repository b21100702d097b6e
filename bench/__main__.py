"""Value and gradient of the losses, as ratios to optax's cross-entropy.

`taskset -c 0 python -m bench` keeps the neighbours out. All candidates of a shape take
turns in one process and the ratio is the median over rounds: what slows one round down
slows all of it. CPU findings are no promise for an accelerator.
"""

import argparse
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxloss

SHAPES = ((1024, 10), (4096, 100), (4096, 1000), (1024, 8142), (256, 32000))


def candidates(classes: int) -> dict[str, Callable]:
    log_prior = jnp.linspace(0.0, -4.0, classes)
    sums = jnp.linspace(1.0, 0.01, classes)

    def adjusted_optax(z, y):
        return optax.softmax_cross_entropy_with_integer_labels(z + log_prior[None], y)

    def adjusted(z, y):
        return jaxloss.logit_adjusted_cross_entropy(z, y, log_prior=log_prior)

    def gala(z, y):
        return jaxloss.gala(z, y, positive=sums, negative=sums)

    return {
        "optax CE": optax.softmax_cross_entropy_with_integer_labels,
        "CE": jaxloss.cross_entropy,
        "GCE": jaxloss.generalized_cross_entropy,
        "focal": jaxloss.focal,
        "encouraging": jaxloss.encouraging,
        "MAE": jaxloss.mean_absolute_error,
        "optax CE, shifted": adjusted_optax,
        "LA": adjusted,
        "GALA": gala,
        "CE, vmap of 8": lambda z, y: _by_eight(jaxloss.cross_entropy, z, y),
    }


def _by_eight(loss: Callable, z: jax.Array, y: jax.Array) -> jax.Array:
    return jax.vmap(loss)(z.reshape(8, -1, z.shape[-1]), y.reshape(8, -1)).ravel()


def ratios(batch: int, classes: int, rounds: int) -> dict[str, float]:
    key_z, key_y = jax.random.split(jax.random.key(0))
    z = 2 * jax.random.normal(key_z, (batch, classes))
    y = jax.random.randint(key_y, (batch,), 0, classes)
    compiled = {
        name: jax.jit(jax.value_and_grad(lambda z, y, f=f: jnp.sum(f(z, y))))
        for name, f in candidates(classes).items()
    }
    for f in compiled.values():
        jax.block_until_ready(f(z, y))
    seconds = {name: np.empty(rounds) for name in compiled}
    for i in range(rounds):
        for name, f in compiled.items():
            start = time.perf_counter()
            jax.block_until_ready(f(z, y))
            seconds[name][i] = time.perf_counter() - start
    base = seconds["optax CE"]
    return {name: float(np.median(values / base)) for name, values in seconds.items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "--rounds", type=int, default=40, help="timings of each candidate (default: 40)"
    )
    rounds = parser.parse_args().rounds
    device = jax.devices()[0].platform
    print(f"value + gradient / optax CE, median of {rounds} rounds, {device}\n")
    names = list(candidates(2))
    width = max(map(len, names))
    print(" " * width, *(f"{str(shape):>13}" for shape in SHAPES))
    table = [ratios(*shape, rounds) for shape in SHAPES]
    for name in names:
        print(name.ljust(width), *(f"{column[name]:13.2f}" for column in table))


if __name__ == "__main__":
    main()
