"""Wrong labels: the generalized cross-entropies against cross-entropy and MAE."""

import numpy as np

from jaxloss import metrics
from train import config, data
from train.experiments.panel import Claim, Panel, Row
from train.report.statistics import interval, paired
from train.sweep import Sweep, per_seed, scorer

RATE = 0.4
TASK = config.Task(corruption=data.SymmetricNoise(RATE))
OPTIONS = config.Fit(
    widths=(128, 128),
    epochs=60,
    batch_size=64,
    optimizer=config.Optimizer(name="adam", weight_decay=0.0, decay="constant"),
)
LEARNING_RATES = (0.001, 0.003, 0.01)
SEEDS = 5
LOSSES = {
    "cross-entropy": config.CrossEntropy(),
    "mean absolute error": config.MeanAbsoluteError(),
    "L_q, q = 0.7": config.GeneralizedCrossEntropy(),
    "truncated L_q": config.TruncatedGce(),
}
LAST, BEST = "last epoch", "best epoch*"


def panel(sweeps: dict[config.Loss, Sweep]) -> Panel:
    rows = tuple(_row(name, sweeps[loss]) for name, loss in LOSSES.items())
    by_name = {row.name: row.values for row in rows}

    def gain(method, over, column):
        return paired(by_name[method][column], by_name[over][column])

    first = sweeps[LOSSES["cross-entropy"]].datasets
    rates = [100 * d.facts["noise_rate"]["train"] for d in first]
    realised = interval(np.array(rates))
    return Panel(
        name="label_noise",
        title=f"Symmetric label noise {RATE}: accuracy (%)",
        setting=(
            f"digits, {realised} % of the training labels wrong, validation labels as "
            f"well, clean test, {len(first)} seeds"
        ),
        columns=(LAST, BEST),
        rows=rows,
        claims=(
            Claim(
                "L_q beats cross-entropy at the last epoch",
                gain("L_q, q = 0.7", "cross-entropy", LAST),
            ),
            Claim(
                "truncated L_q beats L_q at the last epoch",
                gain("truncated L_q", "L_q, q = 0.7", LAST),
            ),
            Claim(
                "L_q beats cross-entropy at its best validation epoch",
                gain("L_q, q = 0.7", "cross-entropy", BEST),
            ),
        ),
        notes=("* of the noisy validation split; the learning rate by its last epoch",),
    )


def _row(name: str, sweep: Sweep) -> Row:
    accuracy = scorer(metrics.accuracy)
    rate = sweep.choose(accuracy)
    values = {
        LAST: 100 * per_seed(sweep, rate, "test", accuracy),
        BEST: 100 * per_seed(sweep, rate, "test", accuracy, best=True),
    }
    return Row(name, values, sweep.learning_rates[rate])
