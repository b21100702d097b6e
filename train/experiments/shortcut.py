"""A shortcut: greedy de-biasing on digits whose background gives the class away."""

import numpy as np

from jaxloss import metrics
from train import config, data
from train.experiments.panel import Claim, Experiment, Job, Panel
from train.report import figures
from train.report.statistics import Row, paired
from train.sweep import Sweep, per_seed, scorer

CORRELATION = 0.95
TASK = config.Task(corruption=data.ColouredBackground(CORRELATION))
# The same images with a background that says nothing: what the net could reach.
CEILING = config.Task(corruption=data.ColouredBackground(0.1))
OPTIONS = config.Fit(
    widths=(128, 128),
    epochs=60,
    batch_size=128,
    optimizer=config.Optimizer(name="adam", weight_decay=0.0, decay="constant"),
)
LEARNING_RATES = (0.001, 0.003, 0.01)
SEEDS = 5
LOSSES = {
    "ERM (cross-entropy)": config.CrossEntropy(),
    "GGE": config.GreedyEnsemble(),
    "GGD, curriculum": config.GeneralGreedy(),
    "oracle re-weighting": config.GroupWeighted(),
}
CEILED = "ceiling: no shortcut"
UNBIASED, IN_DISTRIBUTION, CONFLICTING = "unbiased", "in-distribution", "conflicting"


def panel(sweeps: dict[str, Sweep]) -> Panel:
    rows = tuple(_row(name, sweep) for name, sweep in sweeps.items())
    by_name = {row.name: row.values for row in rows}

    def gain(method, column=UNBIASED):
        return paired(by_name[method][column], by_name[rows[0].name][column])

    datasets = sweeps[rows[0].name].datasets
    conflicting = [int(np.sum(d.train.group != d.train.true_label)) for d in datasets]
    return Panel(
        name="shortcut",
        title=f"Coloured digits, correlation {CORRELATION}: accuracy (%)",
        setting=(
            f"digits, the background gives the class away but for {min(conflicting)} "
            f"to {max(conflicting)} of {len(datasets[0].train.label)} training images, "
            f"{len(datasets)} seeds"
        ),
        columns=(UNBIASED, IN_DISTRIBUTION, CONFLICTING),
        rows=rows,
        draw=lambda axes: figures.dots(
            axes, rows, {UNBIASED: UNBIASED, IN_DISTRIBUTION: IN_DISTRIBUTION}
        ),
        claims=(
            Claim("GGE beats ERM without the shortcut", gain("GGE")),
            Claim("GGD beats ERM without the shortcut", gain("GGD, curriculum")),
            Claim(
                "the curriculum of GGD beats GGE",
                paired(by_name["GGD, curriculum"][UNBIASED], by_name["GGE"][UNBIASED]),
            ),
        ),
        notes=(
            "the learning rate is chosen in-distribution: nobody has unbiased "
            "validation data",
            "conflicting: test images whose background is that of another class",
        ),
    )


def _row(name: str, sweep: Sweep) -> Row:
    accuracy = scorer(metrics.accuracy)
    rate = sweep.choose(accuracy)

    def on_conflicting(logits, split, seed):
        del seed
        hit = logits.argmax(-1) == split.label
        return hit[split.group != split.label].mean()

    values = {
        UNBIASED: 100 * per_seed(sweep, rate, "unbiased", accuracy),
        IN_DISTRIBUTION: 100 * per_seed(sweep, rate, "test", accuracy),
        CONFLICTING: 100 * per_seed(sweep, rate, "unbiased", on_conflicting),
    }
    return Row(name, values, sweep.learning_rates[rate])


EXPERIMENT = Experiment(
    "shortcut",
    (
        Job(TASK, LOSSES, OPTIONS, LEARNING_RATES, SEEDS),
        Job(CEILING, {CEILED: config.CrossEntropy()}, OPTIONS, LEARNING_RATES, SEEDS),
    ),
    panel,
)
