"""A shortcut: greedy de-biasing on digits whose background gives the class away."""

import dataclasses
from collections.abc import Callable

import numpy as np

from train import data
from train.debias.fit import Fit
from train.debias.images import Images
from train.debias.methods import METHODS, Method
from train.debias.presets import CEILING, coloured
from train.debias.sweep import score, sweep
from train.experiments.panel import Claim, Experiment, Panel
from train.report import figures
from train.report.statistics import Row, paired
from train.sweep import Sweep, per_seed

PRESET = coloured(Images())
UNBIASED, IN_DISTRIBUTION = "unbiased", "in-distribution"
ERM = "ERM (cross-entropy)"
NAMES = {
    ERM: "erm",
    "GGE": "gge",
    "GGD, curriculum": "ggd",
    "bias product": "bias-product",
    "oracle re-weighting": "oracle",
}


@dataclasses.dataclass(frozen=True)
class Methods:
    """Methods, by the row they feed, on one task; compiled as one program."""

    task: Images
    methods: dict[str, Method]
    options: Fit = PRESET.fit
    learning_rates: tuple[float, ...] = PRESET.learning_rates
    seeds: int = 5

    @property
    def trainings(self) -> int:
        return len(self.methods) * len(self.learning_rates) * self.seeds

    def sweep(
        self, data_dir: str | None, on_trained: Callable[[], None]
    ) -> dict[str, Sweep]:
        task = dataclasses.replace(self.task, source=data.Digits(data_dir))
        datasets = task.datasets(self.seeds)
        return sweep(
            self.methods,
            self.options,
            task.networks(datasets[0]),
            [task.problem(dataset) for dataset in datasets],
            self.learning_rates,
            on_trained=on_trained,
        )


def panel(sweeps: dict[str, Sweep]) -> Panel:
    # One rate for all: that of the baseline.
    rate = sweeps[ERM].choose(score)
    rows = tuple(_row(name, sweeps[name], rate) for name in (*NAMES, CEILING))
    values = {row.name: row.values[UNBIASED] for row in rows}
    problems = sweeps[ERM].datasets
    conflicting = [int(np.sum(problem.train.conflicting)) for problem in problems]
    return Panel(
        name="shortcut",
        title="Coloured digits, correlation 0.95: accuracy (%)",
        setting=(
            f"digits, the background gives the class away but for {min(conflicting)} "
            f"to {max(conflicting)} of {len(problems[0].train.label)} training images, "
            f"{len(problems)} seeds"
        ),
        columns=tuple(PRESET.columns)[:3],
        rows=rows,
        draw=lambda axes: figures.dots(
            axes, rows, {UNBIASED: UNBIASED, IN_DISTRIBUTION: IN_DISTRIBUTION}
        ),
        claims=tuple(
            Claim(text, paired(values[better], values[worse]))
            for text, better, worse in (
                ("GGE beats ERM without the shortcut", "GGE", ERM),
                ("GGD beats ERM without the shortcut", "GGD, curriculum", ERM),
                ("the curriculum of GGD beats GGE", "GGD, curriculum", "GGE"),
                ("GGE beats the bias product", "GGE", "bias product"),
            )
        ),
        notes=(
            "one learning rate for all, the best for ERM in-distribution: nobody has "
            "unbiased validation data",
            "conflicting: test images whose background is that of another class",
        ),
    )


def _row(name: str, swept: Sweep, rate: int) -> Row:
    values = {
        column: 100 * per_seed(swept, rate, what.split, what.score)
        for column, what in PRESET.columns.items()
    }
    return Row(name, values, swept.learning_rates[rate])


WITHOUT = dataclasses.replace(Images(), corruption=data.ColouredBackground(0.1))
EXPERIMENT = Experiment(
    "shortcut",
    (
        Methods(
            Images(),
            {row: METHODS["images"][name] for row, name in NAMES.items()},
        ),
        Methods(WITHOUT, {CEILING: METHODS["images"]["erm"]}),
    ),
    panel,
)
