"""Wrong labels: the generalized cross-entropies against cross-entropy and MAE."""

import numpy as np

from jaxloss import metrics
from train import config, data
from train.experiments.panel import Claim, Experiment, Losses, Panel
from train.report import figures
from train.report.statistics import Row, interval, paired
from train.sweep import Sweep, per_seed, scorer

RATE = 0.4
TASK = config.Task(corruption=data.SymmetricNoise(RATE))
OPTIONS = config.Fit(
    widths=(128, 128),
    epochs=60,
    batch_size=64,
    optimizer=config.Optimizer(name="adam", weight_decay=0.0, decay="constant"),
)
LEARNING_RATES = (0.001, 0.003)
TOO_SLOW = 0.0003  # cross-entropy does not get to memorise the wrong labels
SEEDS = 5
LOSSES = {
    "cross-entropy": config.CrossEntropy(),
    "mean absolute error": config.MeanAbsoluteError(),
    "L_q, q = 0.7": config.GeneralizedCrossEntropy(),
    "truncated L_q": config.TruncatedGce(),
}
LAST, BEST = "last epoch", "best epoch*"


def panel(sweeps: dict[str, Sweep]) -> Panel:
    rows = [_row(name, sweeps[name], LEARNING_RATES) for name in LOSSES]
    rows.append(_row("cross-entropy, slow**", sweeps["cross-entropy"], (TOO_SLOW,)))
    by_name = {row.name: row.values for row in rows}

    def gain(method, over, column):
        return paired(by_name[method][column], by_name[over][column])

    first = sweeps["cross-entropy"].datasets
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
        rows=tuple(rows),
        draw=lambda axes: figures.epochs(
            axes, {name: _history(sweep) for name, sweep in sweeps.items()}
        ),
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
        notes=(
            "* of the noisy validation split; the learning rate by its last epoch",
            f"** at {TOO_SLOW:g} training ends before the wrong labels are learned: "
            "early stopping in disguise.",
            "   Validation would choose it, and the gap is gone",
        ),
    )


def _row(name: str, sweep: Sweep, rates: tuple[float, ...]) -> Row:
    accuracy = scorer(metrics.accuracy)
    rate = sweep.choose(accuracy, rates)
    values = {
        LAST: 100 * per_seed(sweep, rate, "test", accuracy),
        BEST: 100 * per_seed(sweep, rate, "test", accuracy, best=True),
    }
    return Row(name, values, sweep.learning_rates[rate])


def _history(sweep: Sweep) -> np.ndarray:
    rate = sweep.choose(scorer(metrics.accuracy), LEARNING_RATES)
    return 100 * sweep.history["test"][rate]


EXPERIMENT = Experiment(
    "label_noise",
    (Losses(TASK, LOSSES, OPTIONS, (TOO_SLOW, *LEARNING_RATES), SEEDS),),
    panel,
)
