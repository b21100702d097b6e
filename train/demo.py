"""`python -m train demo`: four experiments on real digits, in about two minutes."""

import functools
import itertools
import json
import pathlib
import time
from collections.abc import Sequence

import jax
from matplotlib.figure import Figure
from matplotlib.style import context

from train import data
from train.commands import Demo
from train.experiments import encouraging, label_noise, long_tail, shortcut
from train.experiments.panel import Experiment, Panel
from train.report import figures
from train.report.table import render
from train.sweep import Sweep, two_at_a_time

EXPERIMENTS = (
    long_tail.EXPERIMENT,
    label_noise.EXPERIMENT,
    shortcut.EXPERIMENT,
    encouraging.EXPERIMENT,
)


def main(options: Demo, experiments: Sequence[Experiment] = EXPERIMENTS) -> None:
    start = time.perf_counter()
    options.out.mkdir(parents=True, exist_ok=True)
    data.load(data.Digits(options.data_dir), data.Clean(), 0)  # prepared in one thread
    print(
        "mean ± 95 % t-interval over seeds, which draw the corruption, the "
        "initialisation and the\norder; the splits are fixed. rate: learning rate, "
        "chosen on validation for each loss.\ndifference: of the first column to the "
        "first row's, paired by seed.\n"
    )
    total = sum(job.trainings for each in experiments for job in each.jobs)
    panels: list[Panel] = []
    calls = [
        functools.partial(job.sweep, options.data_dir)
        for each in experiments
        for job in each.jobs
    ]
    try:
        with two_at_a_time(calls, total) as futures:
            coming = iter(futures)
            for experiment in experiments:
                sweeps: dict[str, Sweep] = {}
                for future in itertools.islice(coming, len(experiment.jobs)):
                    sweeps |= future.result()
                panels.append(experiment.panel(sweeps))
    finally:
        if panels:  # what is done is kept, also on Ctrl-C
            _write(options.out, panels)
            print("\n\n".join(map(render, panels)))
    seconds = time.perf_counter() - start
    print(
        f"\nFigures and numbers: {options.out} ({total} trainings on "
        f"{jax.default_backend()} in {seconds:.0f} s)"
    )


def _write(out: pathlib.Path, panels: list[Panel]) -> None:
    (out / "table.txt").write_text("\n\n".join(map(render, panels)) + "\n")
    results = [panel.as_dict() for panel in panels]
    (out / "results.json").write_text(json.dumps(results, indent=1) + "\n")
    with context(figures.STYLE):
        figure = Figure(figsize=(10, 7))
        for axes, panel in zip(figure.subplots(2, 2).flat, panels, strict=False):
            panel.draw(axes)
            axes.set_title(panel.title)
        figure.savefig(out / "demo.png")
        for panel in panels:
            figure = Figure(figsize=(5, 3.5))
            axes = figure.subplots()
            panel.draw(axes)
            axes.set_title(panel.title)
            figure.savefig(out / f"{panel.name}.png")
