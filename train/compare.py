"""Losses against each other: each at its best learning rate, over the same seeds."""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, get_args

import numpy as np

from jaxloss import metrics
from train import config, data
from train.commands import Compare, task_of
from train.debias.methods import Hyper
from train.report import comparison
from train.report.statistics import Row
from train.report.text import describe
from train.run_folder import RunFolder, new_path
from train.sweep import Sweep, per_seed, scorer, sweep, two_at_a_time

_LOSSES = {config.kebab(loss): loss for loss in get_args(config.Loss)}
_METRICS = {
    comparison.ERROR: scorer(metrics.balanced_error),
    comparison.ACCURACY: scorer(metrics.accuracy),
}


def run(command: Compare, argv: Sequence[str]) -> int:
    task = task_of(command)
    losses = {name: _LOSSES[name]() for name in command.losses}
    _check(command, losses)
    corruption = config.name_of(task.corruption)
    path = new_path(command.out, "compare", corruption)
    # Also prepares the data, before two threads would.
    dataset = data.load(task.source, task.corruption, 0)
    runs = len(command.learning_rates) * command.seeds
    print(
        f"{config.name_of(task.source)}, {corruption}\n{describe(dataset.facts)}\n"
        f"{len(losses)} losses, {runs} trainings each"
    )
    sweeps: dict[str, Sweep] = {}
    try:
        with RunFolder(path, command, argv, dataset.facts) as folder:
            try:
                for finished in _sweeps(task, losses, command):
                    sweeps |= finished
                    for name, swept in finished.items():
                        _log(folder, name, swept)
            finally:
                done = {name: sweeps[name] for name in losses if name in sweeps}
                text = _write(folder, command, done) if done else ""
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{path} holds {len(sweeps)} of {len(losses)} losses"
        ) from None
    print(f"\n{text}\nEverything is in {path}")
    return 0


def _check(command: Compare, losses: Mapping[str, config.Loss]) -> None:
    if len(losses) < len(command.losses) or not losses:
        raise ValueError(f"losses must differ, got {' '.join(command.losses)}")
    if command.methods or command.hyper != Hyper():
        raise ValueError("methods and what they leave open belong to a --preset")
    if command.seeds < 2:
        raise ValueError(f"an interval needs 2 seeds at least, got {command.seeds}")
    if not command.learning_rates:
        raise ValueError("no learning rates to choose from")
    for rate in command.learning_rates:
        optimizer = dataclasses.replace(command.fit.optimizer, learning_rate=rate)
        fit = dataclasses.replace(command.fit, optimizer=optimizer)
        config.check(fit)


def _sweeps(
    task: config.Task, losses: Mapping[str, config.Loss], command: Compare
) -> Iterator[dict[str, Sweep]]:
    """Every second loss in one program, the others in another, as they come."""
    rates, seeds, names = command.learning_rates, command.seeds, list(losses)
    halves = [{n: losses[n] for n in names[i::2]} for i in range(min(2, len(names)))]
    calls = [
        functools.partial(sweep, task, half, command.fit, rates, seeds)
        for half in halves
    ]
    with two_at_a_time(calls, len(losses) * len(rates) * seeds) as futures:
        for future in concurrent.futures.as_completed(futures):
            yield future.result()


def _log(folder: RunFolder, name: str, swept: Sweep) -> None:
    rates, seeds, epochs = swept.history["loss"].shape
    for r, rate in enumerate(swept.learning_rates):
        for seed in range(seeds):
            for epoch in range(epochs):
                numbers = {
                    key: float(values[r, seed, epoch])
                    for key, values in swept.history.items()
                }
                where = {"learning_rate": rate, "seed": seed, "epoch": epoch + 1}
                folder.log("metrics.jsonl", {"method": name, **where, **numbers})
    chosen = swept.choose(_score)
    for epoch in range(epochs):
        means = {
            f"{key}/{name}": float(values[chosen, :, epoch].mean())
            for key, values in swept.history.items()
        }
        folder.scalars(epoch + 1, means)


def _score(logits: np.ndarray, split: data.Split, seed: int) -> float:
    return -_METRICS[comparison.ERROR](logits, split, seed)


def _row(name: str, swept: Sweep) -> Row:
    rate = swept.choose(_score)
    values = {
        comparison.column(test, metric, when): 100
        * per_seed(swept, rate, test, score, best=when == "best")
        for test in swept.datasets[0].tests
        for metric, score in _METRICS.items()
        for when in comparison.WHEN
    }
    return Row(name, values, swept.learning_rates[rate])


def _write(folder: RunFolder, command: Compare, sweeps: Mapping[str, Sweep]) -> str:
    """Of the sweeps there are; the differences need the first loss among them."""
    rows = [_row(name, swept) for name, swept in sweeps.items()]
    reference = command.losses[0] if command.losses[0] in sweeps else None
    tests = list(next(iter(sweeps.values())).datasets[0].tests)
    notes = [*_notes(command), *_warnings(rows, sweeps)]
    text = comparison.table(rows, tests, reference) + "\n" + "\n".join(notes)
    folder.write_text("table.txt", text)
    folder.write_json("results.json", comparison.results(rows, reference, notes))
    folder.write_figure("comparison.png", comparison.figure(rows, tests))
    return text


def _notes(command: Compare) -> list[str]:
    return [
        f"mean ± 95 % t-interval over {command.seeds} seeds, which draw the "
        "corruption, the initialisation and the order",
        "rate: of "
        + ", ".join(f"{rate:g}" for rate in command.learning_rates)
        + ", chosen per loss by the mean balanced error on validation at the last "
        "epoch",
        "best: the epoch of each training with the lowest validation balanced error",
    ]


def _warnings(rows: Sequence[Row], sweeps: Mapping[str, Sweep]) -> list[str]:
    notes = []
    for row in rows:
        swept: Any = sweeps[row.name]
        rates = swept.learning_rates
        if len(rates) > 1 and row.learning_rate in (min(rates), max(rates)):
            notes.append(f"{row.name}: its rate is at the end of those tried")
        lost = ~np.isfinite(swept.history["loss"]).all(-1)
        for rate, seeds in zip(rates, lost, strict=True):
            if seeds.any():
                notes.append(
                    f"{row.name}: {seeds.sum()} of {len(seeds)} trainings at rate "
                    f"{rate:g} ended in a loss that is no number"
                )
    return notes
