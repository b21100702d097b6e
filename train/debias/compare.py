"""`compare --preset`: methods against each other, on one task with a shortcut."""

import concurrent.futures
import difflib
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from train.commands import Compare
from train.debias import figures, table
from train.debias.ensemble import programs
from train.debias.methods import METHODS, Method
from train.debias.presets import CEILING, Preset, preset_of
from train.debias.sweep import score, sweep
from train.experiments.panel import Claim
from train.report.statistics import Row, paired
from train.run_folder import RunFolder, new_path
from train.sweep import Sweep, per_seed, two_at_a_time


def run(command: Compare, argv: Sequence[str]) -> int:
    preset = preset_of(command)
    methods = chosen_methods(preset, command.methods)
    path = new_path(command.out, "compare", str(command.preset))
    rates, seeds = preset.learning_rates, command.seeds
    datasets = preset.task.datasets(seeds)
    print(f"{preset.title}\n{preset.task.describe(datasets[0])}")
    print(f"{len(methods)} methods, {len(rates) * seeds} trainings each")
    sweeps: dict[str, Sweep] = {}
    try:
        with RunFolder(path, command, argv, datasets[0].facts) as folder:
            try:
                calls = sweep_calls(preset, methods, datasets)
                total = len(rates) * seeds * sum(count for count, _ in calls)
                with two_at_a_time([call for _, call in calls], total) as futures:
                    for future in concurrent.futures.as_completed(futures):
                        sweeps |= future.result()
            finally:
                names = [*methods, CEILING]
                done = {name: sweeps[name] for name in names if name in sweeps}
                text = _write(folder, preset, done) if done else ""
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"{path} holds {len(sweeps)} of {len(methods)} methods"
        ) from None
    print(f"\n{text}\n\nEverything is in {path}")
    return 0


def chosen_methods(preset: Preset, names: Sequence[str]) -> dict[str, Method]:
    known = METHODS[preset.family]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"known: {' '.join(known)}"
            raise ValueError(f"there is no method {name!r} for this preset; {hint}")
    if len(set(names)) < len(names):
        raise ValueError(f"methods must differ, got {' '.join(names)}")
    return {name: known[name] for name in names or preset.methods}


def sweep_calls(
    preset: Preset, methods: Mapping[str, Method], datasets: Sequence[Any]
) -> list[tuple[int, Callable[..., dict[str, Sweep]]]]:
    """For each program the number of its methods, and what trains them."""
    networks = preset.task.networks(datasets[0])
    problems = [preset.task.problem(dataset) for dataset in datasets]
    calls: list[tuple[int, Callable[..., dict[str, Sweep]]]] = [
        (
            len(together),
            functools.partial(
                sweep, together, preset.fit, networks, problems, preset.learning_rates
            ),
        )
        for together in programs(methods)
    ]
    if preset.ceiling is not None and preset.reference in methods:
        without = preset.ceiling.datasets(len(datasets))
        problems = [preset.ceiling.problem(dataset) for dataset in without]
        plain = {CEILING: METHODS[preset.family][preset.reference]}
        arguments = plain, preset.fit, networks, problems, preset.learning_rates
        calls.append((1, functools.partial(sweep, *arguments)))
    return calls


def rows_of(preset: Preset, sweeps: Mapping[str, Sweep]) -> tuple[list[Row], int]:
    """At the rate that is best for the reference, in-distribution; the first of all
    without it."""
    first = sweeps.get(preset.reference, next(iter(sweeps.values())))
    rate = first.choose(score)
    rows = [
        Row(
            name,
            {
                column: 100 * per_seed(swept, rate, what.split, what.score)
                for column, what in preset.columns.items()
            },
            swept.learning_rates[rate],
        )
        for name, swept in sweeps.items()
    ]
    return rows, rate


def claims_of(preset: Preset, rows: Sequence[Row]) -> list[Claim]:
    values = {row.name: row.values for row in rows}
    return [
        Claim(
            f"{claim.text} ({claim.column})",
            paired(
                values[claim.better][claim.column], values[claim.worse][claim.column]
            ),
        )
        for claim in preset.claims
        if claim.better in values and claim.worse in values
    ]


def _write(folder: RunFolder, preset: Preset, sweeps: Mapping[str, Sweep]) -> str:
    rows, rate = rows_of(preset, sweeps)
    claims = claims_of(preset, rows)
    columns = [*preset.columns]
    seeds = len(next(iter(sweeps.values())).datasets)
    notes = [
        f"mean ± 95 % t-interval over {seeds} seeds, after the last epoch",
        f"learning rate {rows[0].learning_rate:g} of "
        + ", ".join(f"{each:g}" for each in preset.learning_rates)
        + f" for all, the best for {rows[0].name} on in-distribution validation data",
        *preset.notes,
    ]
    text = table.render(rows, columns, preset.reference, claims)
    text += "\n\n" + "\n".join(notes)
    folder.write_text("table.txt", text)
    results = table.results(rows, preset.reference, claims)
    folder.write_json("results.json", results | {"notes": notes})
    for name, swept in sweeps.items():
        _log(folder, name, swept)
    shown = {n: s for n, s in sweeps.items() if n in preset.shown} or sweeps
    folder.write_figure("shares.png", figures.shares_figure(shown, rate))
    folder.write_figure(
        "comparison.png", figures.comparison_figure(rows, columns[: preset.drawn])
    )
    folder.write_figure("push.png", figures.push_figure())
    for name, draw in preset.figures.items():
        figure = draw(sweeps, rate)
        if figure is not None:
            folder.write_figure(name, figure)
    return text


def _log(folder: RunFolder, name: str, swept: Sweep) -> None:
    rates, seeds, epochs = swept.history["loss/base"].shape
    for r, rate in enumerate(swept.learning_rates):
        for seed in range(seeds):
            for epoch in range(epochs):
                line = {
                    "method": name,
                    "learning_rate": rate,
                    "seed": seed,
                    "epoch": epoch + 1,
                }
                numbers = {
                    key: float(values[r, seed, epoch])
                    for key, values in swept.history.items()
                }
                folder.log("metrics.jsonl", line | numbers)
