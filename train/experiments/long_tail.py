"""Long tail: logit adjustment and GALA against cross-entropy, by balanced error."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from jaxloss import metrics
from train import config, data
from train.experiments.panel import Claim, Experiment, Losses, Panel
from train.report import figures
from train.report.statistics import Row, paired
from train.sweep import Sweep, per_seed, scorer

TASK = config.Task(corruption=data.LongTail(50.0))
OPTIONS = config.Fit(widths=(128,), epochs=200, batch_size=64)
LEARNING_RATES = (0.1, 0.3, 1.0)
SEEDS = 10
LOSSES = {
    "cross-entropy": config.CrossEntropy(),
    "logit adjustment": config.LogitAdjusted(),
    "GALA": config.Gala(),
}
TAUS = (0.25, 0.5, 1.0, 1.5)  # of re-balancing, chosen on validation
MANY, FEW = 40, 10  # more and fewer training examples than this

ERROR, REBALANCED = "balanced error", "re-balanced*"
Transform = Callable[[np.ndarray, int], jax.Array]


def panel(sweeps: dict[str, Sweep]) -> Panel:
    ce, la, gala = (sweeps[name] for name in LOSSES)
    counts = [np.bincount(d.train.label, minlength=d.num_classes) for d in ce.datasets]
    log_priors = [jaxloss.class_log_prior(jnp.asarray(c)) for c in counts]

    def posthoc(logits, seed):
        return jaxloss.posthoc_adjust_logits(logits, log_prior=log_priors[seed])

    methods: list[tuple[str, Sweep, Transform | None]] = [
        ("cross-entropy", ce, None),
        ("post-hoc logit adjustment", ce, posthoc),
        ("logit adjustment", la, None),
        ("GALA", gala, None),
    ]
    rows = tuple(_row(*method, counts[0]) for method in methods)
    by_name = {row.name: row.values[ERROR] for row in rows}

    def lower(method, than):
        return paired(by_name[than], by_name[method])

    return Panel(
        name="long_tail",
        title="Long tail: balanced error (%)",
        setting=(
            f"digits, {counts[0].max()} .. {counts[0].min()} training images per class "
            f"({', '.join(map(str, counts[0]))}), balanced test, {len(counts)} seeds"
        ),
        columns=(ERROR, REBALANCED, "many", "medium", "few"),
        rows=rows,
        draw=lambda axes: figures.dots(
            axes, rows, {ERROR: "as trained", REBALANCED: "re-balanced (transductive)"}
        ),
        claims=(
            Claim(
                "logit adjustment has a lower balanced error than cross-entropy",
                lower("logit adjustment", "cross-entropy"),
            ),
            Claim(
                "so has post-hoc adjustment",
                lower("post-hoc logit adjustment", "cross-entropy"),
            ),
            Claim("so has GALA", lower("GALA", "cross-entropy")),
            Claim(
                "GALA is better than logit adjustment",
                lower("GALA", "logit adjustment"),
            ),
        ),
        notes=(
            "* transductive: divides by the mass of each class over the whole test "
            "set, and takes it to be balanced",
            f"many / medium / few: accuracy on classes with > {MANY} / between / "
            f"< {FEW} training images",
        ),
    )


def _row(
    name: str, sweep: Sweep, transform: Transform | None, counts: np.ndarray
) -> Row:
    accuracy = scorer(lambda z, y: 1 - metrics.balanced_error(z, y), transform)
    rate = sweep.choose(accuracy)

    def rebalanced(tau):
        def scores(logits, seed):
            adjusted = logits if transform is None else transform(logits, seed)
            p = jax.nn.softmax(adjusted, axis=-1)
            return jaxloss.rebalance_predictions(p, tau=tau)

        return scorer(lambda z, y: 1 - metrics.balanced_error(z, y), scores)

    tau = max(
        TAUS, key=lambda t: per_seed(sweep, rate, "validation", rebalanced(t)).mean()
    )
    recalls = np.stack(
        [
            metrics.per_class_accuracy(
                jnp.asarray(z if transform is None else transform(z, seed)),
                jnp.asarray(dataset.tests["test"].label),
            )
            for seed, (z, dataset) in enumerate(
                zip(sweep.last["test"][rate], sweep.datasets, strict=True)
            )
        ]
    )
    groups = {
        "many": counts > MANY,
        "medium": (counts <= MANY) & (counts >= FEW),
        "few": counts < FEW,
    }
    values = {
        ERROR: 100 * (1 - per_seed(sweep, rate, "test", accuracy)),
        REBALANCED: 100 * (1 - per_seed(sweep, rate, "test", rebalanced(tau))),
        **{name: 100 * recalls[:, group].mean(1) for name, group in groups.items()},
    }
    return Row(name, values, sweep.learning_rates[rate])


EXPERIMENT = Experiment(
    "long_tail", (Losses(TASK, LOSSES, OPTIONS, LEARNING_RATES, SEEDS),), panel
)
