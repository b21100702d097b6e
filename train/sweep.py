"""Losses over learning rates and seeds: one program, one loop on the device.

`lax.map` runs the trainings one after the other: on a CPU and at this size it took 0.73
of the time of `vmap` and 0.84 of that of one call a training. On an accelerator pass
`parallel` to train that many at once.
"""

import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from train import config, data
from train.fit import fit, splits
from train.objectives import OneOf
from train.report import progress


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Everything a comparison needs of one loss, in numpy arrays.

    Leading axes of all arrays: learning rates, seeds. What was trained stays behind;
    what it predicts on validation and tests is here, so post-hoc methods cost nothing.
    """

    learning_rates: tuple[float, ...]
    datasets: tuple[Any, ...]  # one per seed, with `validation` and `tests`
    history: dict[str, np.ndarray]  # [rates, seeds, epochs]
    last: dict[str, np.ndarray]  # logits of each split [rates, seeds, n, classes]
    best: dict[str, np.ndarray]
    best_epoch: np.ndarray
    params: Any = None  # of the base model, where they are kept
    stats: Any = None

    def choose(
        self,
        score: "Scorer",
        among: Sequence[float] = (),
    ) -> int:
        """Index of the learning rate with the best mean validation score over seeds.

        `score(logits, split, seed)` is taken on the validation split after the last
        epoch; the first of equals wins. The test splits are not looked at. `among`
        restricts the choice to some of the rates.
        """
        means = [
            np.mean(
                [
                    score(logits, dataset.validation, seed)
                    for seed, (logits, dataset) in enumerate(
                        zip(rate, self.datasets, strict=True)
                    )
                ]
            )
            for rate in self.last["validation"]
        ]
        allowed = [not among or rate in among for rate in self.learning_rates]
        return int(np.argmax(np.where(allowed, np.nan_to_num(means), -np.inf)))


def sweep(
    task: config.Task,
    losses: Mapping[str, config.Loss],
    options: config.Fit,
    learning_rates: Sequence[float],
    seeds: int,
    *,
    parallel: int | None = None,
    on_trained: Callable[[], None] | None = None,
) -> dict[str, Sweep]:
    """Trains with each loss at every learning rate with seeds 0 .. seeds - 1.

    A seed decides the corruption of the data, the initialisation and the order of the
    examples, and is the same for every loss: differences between losses are paired.

    Args:
        task: data set and corruption.
        losses: by name.
        options: of the training; the learning rate in them is not used.
        learning_rates: all are tried.
        seeds: how many.
        parallel: trainings at once; one after the other by default.
        on_trained: called, from another thread, when one training has ended.
    """
    datasets = tuple(data.load(task.source, task.corruption, s) for s in range(seeds))
    choices, template = tuple(losses.values()), datasets[0]

    def train(which, arrays, key, rate):
        train, validation, tests = arrays
        dataset = template._replace(train=train, validation=validation, tests=tests)
        loss = choices[0] if len(choices) == 1 else OneOf(choices, which)
        return fit(loss, options, dataset, key, rate)

    fitted = train_all(
        train,
        tuple(losses),
        [(d.train, d.validation, d.tests) for d in datasets],
        learning_rates,
        parallel=parallel,
        on_trained=on_trained,
    )
    rates = tuple(learning_rates)
    return {name: Sweep(rates, datasets, *each) for name, each in fitted.items()}


def train_all(
    train: Callable[[Array, Any, Array, Array], Any],
    names: Sequence[str],
    arrays: Sequence[Any],
    learning_rates: Sequence[float],
    *,
    parallel: int | None = None,
    on_trained: Callable[[], None] | None = None,
) -> dict[str, Any]:
    """Every choice at every learning rate with every seed, as one program.

    Args:
        train: `(which, arrays, key, learning rate) -> results`, all traced; `which`
            counts the names.
        names: of the choices.
        arrays: a tree for each seed, all alike.
        learning_rates: all are tried.
        parallel: trainings at once; one after the other by default.
        on_trained: called, from another thread, when one training has ended.
    Returns:
        By name the results in numpy, with leading axes [rates, seeds].
    """
    shape = len(names), len(learning_rates), len(arrays)
    which, rate, seed = (jnp.asarray(axis.ravel()) for axis in np.indices(shape))

    @jax.jit
    def run(stacked, which, rates, seeds):  # constants would be compiled in
        def job(which_rate_seed):
            which, rate, seed = which_rate_seed
            chosen = jax.tree.map(lambda x: x[seed], stacked)
            key = jax.random.fold_in(jax.random.key(0), seed)
            results = train(which, chosen, key, rate)
            if on_trained is not None:
                _call_after(jax.tree.leaves(results)[0], on_trained)
            return results

        return jax.lax.map(job, (which, rates, seeds), batch_size=parallel)

    stacked = jax.tree.map(lambda *xs: np.stack(xs), *arrays)
    results = run(stacked, which, jnp.asarray(learning_rates)[rate], seed)
    results = jax.tree.map(
        lambda x: np.asarray(x).reshape(*shape, *x.shape[1:]), results
    )
    jax.effects_barrier()  # every `on_trained` has been called
    return {
        name: jax.tree.map(lambda x, i=i: x[i], results) for i, name in enumerate(names)
    }


def _call_after(result: jax.Array, function: Callable[[], None]) -> None:
    jax.debug.callback(lambda _: function(), result)


@contextlib.contextmanager
def two_at_a_time(
    calls: Sequence[Callable[..., dict[str, Sweep]]], trainings: int
) -> Iterator[list[concurrent.futures.Future[dict[str, Sweep]]]]:
    """Futures of calls of `sweep`, with their progress.

    Tracing holds the GIL, compiling and running do not: two at a time use two cores.
    """
    pool = concurrent.futures.ThreadPoolExecutor(2)
    try:
        with progress.show("compiling and training", trainings) as show:
            count = itertools.count(1)  # shared by the threads; next() is atomic
            yield [
                pool.submit(call, on_trained=lambda: show(next(count), ""))
                for call in calls
            ]
    finally:
        # Whoever pressed Ctrl-C does not wait for what is running.
        pool.shutdown(wait=False, cancel_futures=True)


Scorer = Callable[[np.ndarray, Any, int], float]  # logits, split, seed


def per_seed(
    sweep: Sweep, rate: int, split: str, score: Scorer, *, best: bool = False
) -> np.ndarray:
    """The score of one split at one learning rate, for every seed."""
    logits = (sweep.best if best else sweep.last)[split][rate]
    return np.array(
        [
            score(logits[seed], splits(dataset)[split], seed)
            for seed, dataset in enumerate(sweep.datasets)
        ]
    )


def scorer(
    metric: Callable, transform: Callable[[np.ndarray, int], jax.Array] | None = None
) -> Scorer:
    """A metric on the logits, or on what a post-hoc method makes of them."""
    compiled = _compiled(metric)

    def score(logits, split, seed):
        scores = logits if transform is None else transform(logits, seed)
        return float(compiled(jnp.asarray(scores), jnp.asarray(split.label)))

    return score


@functools.cache
def _compiled(metric: Callable) -> Callable:
    return jax.jit(metric)
