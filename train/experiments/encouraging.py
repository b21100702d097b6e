"""The encouraging loss: margin and accuracy against cross-entropy, by learning rate."""

import jax.numpy as jnp
import numpy as np

import jaxloss
from jaxloss import metrics
from train import config, data
from train.experiments.panel import Claim, Experiment, Losses, Panel
from train.report import figures
from train.report.statistics import Row, paired
from train.sweep import Sweep, per_seed, scorer

TASK = config.Task(corruption=data.Clean())
OPTIONS = config.Fit(widths=(128,), epochs=60, batch_size=64)
LEARNING_RATES = (0.01, 0.03, 0.1, 0.3)  # at 1, all of them diverge
SEEDS = 5
LOSSES = {
    "cross-entropy": config.CrossEntropy(),
    "encouraging, log_end 0.5": config.Encouraging(0.5),
    "encouraging, log_end 0.75": config.Encouraging(0.75),
    "encouraging, log_end 1": config.Encouraging(1.0),
}
UNBOUNDED = "encouraging, log_end 1"  # falls off the figure
ACCURACY, MARGIN = "accuracy", "log-odds"


def panel(sweeps: dict[str, Sweep]) -> Panel:
    rows = tuple(_row(name, sweeps[name]) for name in LOSSES)
    by_name = {row.name: row.values for row in rows}
    default = "encouraging, log_end 0.75"

    def gain(column):
        return paired(by_name[default][column], by_name["cross-entropy"][column])

    columns = tuple(f"accuracy at {rate:g}" for rate in LEARNING_RATES)
    size = len(sweeps["cross-entropy"].datasets[0].train.label)
    return Panel(
        name="encouraging",
        title="Encouraging loss: accuracy (%) and margin",
        setting=(
            f"clean digits, {size} training images, {SEEDS} seeds; the first columns "
            "at the learning rate that is best on validation for each loss"
        ),
        columns=(ACCURACY, MARGIN, *columns),
        rows=rows,
        draw=lambda axes: figures.tradeoff(
            axes,
            {
                name: [_at_rate(sweeps[name], i) for i in range(len(LEARNING_RATES))]
                for name in LOSSES
                if name != UNBOUNDED
            },
            x="log-odds of the label, mean over the test (nats)",
            y="test accuracy (%)",
        ),
        claims=(
            Claim(f"{default}, widens the margin", gain(MARGIN)),
            Claim(f"{default}, is more accurate", gain(ACCURACY)),
        ),
        notes=(
            "log-odds: mean over the test of z_y - log sum exp of the others",
            "at log_end 1 the loss has no lower bound and the logits run away; the "
            "released code clamps 1 - p",
        ),
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


def _at_rate(sweep: Sweep, rate: int) -> tuple[np.ndarray, np.ndarray]:
    accuracy = scorer(metrics.accuracy)
    return (
        per_seed(sweep, rate, "test", _margin),
        100 * per_seed(sweep, rate, "test", accuracy),
    )


def _margin(logits: np.ndarray, split: data.Split, seed: int) -> float:
    del seed
    u = jaxloss.label_log_odds(jnp.asarray(logits), jnp.asarray(split.label))
    return float(jnp.mean(u))


EXPERIMENT = Experiment(
    "encouraging", (Losses(TASK, LOSSES, OPTIONS, LEARNING_RATES, SEEDS),), panel
)
