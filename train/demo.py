"""`python -m train demo`: four experiments on real digits, in about two minutes."""

import concurrent.futures
import dataclasses
import json
import pathlib
import time

import jax
from matplotlib.figure import Figure
from matplotlib.style import context
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from train import data
from train.experiments import encouraging, label_noise, long_tail, shortcut
from train.experiments.panel import Panel
from train.report import figures
from train.report.table import render
from train.sweep import sweep

EXPERIMENTS = (
    long_tail.EXPERIMENT,
    label_noise.EXPERIMENT,
    shortcut.EXPERIMENT,
    encouraging.EXPERIMENT,
)


@dataclasses.dataclass(frozen=True)
class Demo:
    """Long tail, label noise, shortcut, encouraging loss: each against its baseline."""

    out: pathlib.Path = pathlib.Path("runs/demo")
    """Folder for tables and figures; those of an earlier demo are replaced."""
    data_dir: str | None = None
    """Folder of TFDS data sets; TFDS_DATA_DIR or ~/tensorflow_datasets when unset."""


def main(options: Demo) -> None:
    start = time.perf_counter()
    options.out.mkdir(parents=True, exist_ok=True)
    data.load(data.Digits(options.data_dir), data.Clean(), 0)  # prepared in one thread
    print(
        "mean ± 95 % t-interval over seeds, which draw the corruption, the "
        "initialisation and the\norder; the splits are fixed. rate: learning rate, "
        "chosen on validation for each loss.\ndifference: of the first column to the "
        "first row's, paired by seed.\n"
    )
    panels = []
    total = sum(job.trainings for each in EXPERIMENTS for job in each.jobs)
    # Tracing holds the GIL, compiling and running do not: two at a time use two cores.
    with (
        _progress() as progress,
        concurrent.futures.ThreadPoolExecutor(2) as pool,
    ):
        bar = progress.add_task("compiling and training", total=total)

        def submit(job):
            source = data.Digits(options.data_dir)
            return pool.submit(
                sweep,
                dataclasses.replace(job.task, source=source),
                job.losses,
                job.options,
                job.learning_rates,
                job.seeds,
                on_trained=lambda: progress.advance(bar),
            )

        running = {each.name: list(map(submit, each.jobs)) for each in EXPERIMENTS}
        try:
            for experiment in EXPERIMENTS:
                sweeps = {}
                for future in running[experiment.name]:
                    sweeps |= future.result()
                panel = experiment.panel(sweeps)
                panels.append(panel)
                progress.console.print(
                    render(panel) + "\n", markup=False, highlight=False, soft_wrap=True
                )
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        finally:
            _write(options.out, panels)
    seconds = time.perf_counter() - start
    print(
        f"Figures and numbers: {options.out} ({total} trainings on "
        f"{jax.default_backend()} in {seconds:.0f} s)"
    )


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        transient=True,
    )


def _write(out: pathlib.Path, panels: list[Panel]) -> None:
    """What is there so far: after Ctrl-C the folder holds the panels that were done."""
    if not panels:
        return
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
