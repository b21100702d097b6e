"""The encouraging loss against cross-entropy: margin and accuracy over learning
rates."""

import jax.numpy as jnp
import numpy as np

import jaxloss
from jaxloss import metrics
from train import config, data
from train.experiments.panel import Claim, Panel, Row
from train.report.statistics import interval, paired
from train.sweep import Sweep, per_seed, scorer

TASK = config.Task(corruption=data.Clean())
OPTIONS = config.Fit(widths=(128,), epochs=60, batch_size=64)
LEARNING_RATES = (0.01, 0.03, 0.1, 0.3)
SEEDS = 5
LOSSES = {
    "cross-entropy": config.CrossEntropy(),
    "encouraging, log_end 0.5": config.Encouraging(0.5),
    "encouraging, log_end 0.75": config.Encouraging(0.75),
    "encouraging, log_end 1": config.Encouraging(1.0),
}
ACCURACY, MARGIN = "accuracy", "log-odds"


def panel(sweeps: dict[config.Loss, Sweep]) -> Panel:
    rows = tuple(_row(name, sweeps[loss]) for name, loss in LOSSES.items())
    by_name = {row.name: row.values for row in rows}
    default = "encouraging, log_end 0.75"

    def gain(column):
        return paired(by_name[default][column], by_name["cross-entropy"][column])

    size = len(sweeps[config.CrossEntropy()].datasets[0].train.label)
    return Panel(
        name="encouraging",
        title="Encouraging loss: accuracy (%) and margin over learning rates",
        setting=(
            f"clean digits, {size} training images, {SEEDS} seeds; the first columns "
            "at the learning rate that is best on validation for each loss"
        ),
        columns=(
            ACCURACY,
            MARGIN,
            *(f"accuracy at {rate:g}" for rate in LEARNING_RATES),
        ),
        rows=rows,
        claims=(
            Claim(f"{default}, widens the margin", gain(MARGIN)),
            Claim(f"{default}, is more accurate", gain(ACCURACY)),
        ),
        notes=("log-odds: mean over the test of z_y - log sum exp of the others",),
        curves={
            "learning_rates": LEARNING_RATES,
            "margin": {
                name: [
                    interval(per_seed(sweeps[loss], i, "test", _margin))
                    for i in range(len(LEARNING_RATES))
                ]
                for name, loss in LOSSES.items()
            },
        },
    )


def _row(name: str, sweep: Sweep) -> Row:
    accuracy = scorer(metrics.accuracy)
    rate = sweep.choose(accuracy)
    values = {
        ACCURACY: 100 * per_seed(sweep, rate, "test", accuracy),
        MARGIN: per_seed(sweep, rate, "test", _margin),
    }
    for i, value in enumerate(sweep.learning_rates):
        values[f"accuracy at {value:g}"] = 100 * per_seed(sweep, i, "test", accuracy)
    return Row(name, values, sweep.learning_rates[rate])


def _margin(logits: np.ndarray, split: data.Split, seed: int) -> float:
    del seed
    u = jaxloss.label_log_odds(jnp.asarray(logits), jnp.asarray(split.label))
    return float(jnp.mean(u))
