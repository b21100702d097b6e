"""A shortcut: greedy de-biasing on digits whose background gives the class away."""

import numpy as np

from jaxloss import metrics
from train import config, data
from train.experiments.panel import Claim, Panel, Row
from train.report.statistics import paired
from train.sweep import Sweep, per_seed, scorer

CORRELATION = 0.95
TASK = config.Task(corruption=data.ColouredBackground(CORRELATION))
# The same images with a background that says nothing: what the net could reach.
CEILING = config.Task(corruption=data.ColouredBackground(0.1))
OPTIONS = config.Fit(
    widths=(128, 128),
    epochs=60,
    batch_size=64,
    optimizer=config.Optimizer(name="adam", weight_decay=0.0, decay="constant"),
)
LEARNING_RATES = (0.001, 0.003, 0.01)
SEEDS = 5
ERM = config.CrossEntropy()
LOSSES = {
    "ERM (cross-entropy)": ERM,
    "GGE": config.GreedyEnsemble(),
    "GGD, curriculum": config.GeneralGreedy(),
    "oracle re-weighting": config.GroupWeighted(),
}
UNBIASED, IN_DISTRIBUTION, CONFLICTING = "unbiased", "in-distribution", "conflicting"


def panel(sweeps: dict[config.Loss, Sweep], ceiling: Sweep) -> Panel:
    rows = [_row(name, sweeps[loss]) for name, loss in LOSSES.items()]
    rows.append(_row("ceiling: no shortcut", ceiling))
    by_name = {row.name: row.values for row in rows}

    def gain(method, column=UNBIASED):
        return paired(by_name[method][column], by_name[rows[0].name][column])

    datasets = sweeps[ERM].datasets
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
        rows=tuple(rows),
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
