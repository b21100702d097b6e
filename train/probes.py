"""Which gradient statistics a run keeps, and what of them is written down.

The sums are those of one epoch. The results have names that a report can show:
`statistics` is one line of statistics.jsonl.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

import jaxloss
from train import data
from train.models import Model

Name = Literal[
    "class-gradients",
    "class-vectors",
    "log-odds",
    "gradient-norms",
    "head-gradients",
]
SHOTS = ("many", "medium", "few")
NOISE = ("clean", "noisy")
SURE = ("unsure", "well classified")


@dataclasses.dataclass(frozen=True)
class Watch:
    """What to keep, and by which groups to split it."""

    names: tuple[Name, ...] = ()
    # Thresholds of many- and few-shot classes, where there is a long tail.
    shots: tuple[int, int] | None = None
    noise: bool = False  # whether some training labels are wrong


NOTHING = Watch()
ALL = get_args(Name)


def build(
    watch: Watch, counts: Array, num_features: int, wrong: Array | None = None
) -> jaxloss.Probe:
    """The probes by the names they have in a line.

    Args:
        watch: what to keep.
        counts: training examples of each class; may be traced.
        num_features: input of the classifier head.
        wrong: which training examples have a wrong label, if that is watched.
    """
    classes = len(counts)
    splits = {"": _by_shots(watch, counts)}
    if wrong is not None:
        splits["_noise"] = jaxloss.by_example(jnp.asarray(wrong, jnp.int32), 2)
    kept: dict[str, jaxloss.Probe] = {}
    for name in watch.names:
        match name:
            case "class-gradients":
                kept["class_gradients"] = jaxloss.class_gradients(classes, full=True)
            case "class-vectors":
                kept["feature_means"] = jaxloss.feature_means(classes, num_features)
            case "log-odds":
                for suffix, groups in splits.items():
                    kept[f"log_odds{suffix}"] = jaxloss.log_odds_histogram(groups)
            case "gradient-norms":
                by = splits | {"_sure": jaxloss.by_confidence()}
                for suffix, groups in by.items():
                    kept[f"gradient_norms{suffix}"] = jaxloss.gradient_norms(groups)
            case "head-gradients" if watch.shots:
                head = jaxloss.head_gradients(splits[""], num_features, classes)
                kept["agreement"] = head
    return jaxloss.combine_probes(**kept)


def of_training(watch: Watch, dataset: data.Dataset, model: Model) -> jaxloss.Probe:
    """Those of a training; the arrays of the data set may be traced."""
    train = dataset.train
    counts = jnp.bincount(jnp.asarray(train.label), length=dataset.num_classes)
    kernel = jax.eval_shape(lambda: model.kernel(model.init(jax.random.key(0))[0]))
    wrong = jnp.asarray(train.label != train.true_label) if watch.noise else None
    return build(watch, counts, kernel.shape[0], wrong)


def with_class_vectors(
    found: dict[str, Any], kernel: Array | None, counts: Array
) -> dict[str, Any]:
    """The results; in place of the mean features, the class vectors against them."""
    means = found.get("feature_means")
    if means is None or kernel is None:
        return found
    found = {name: found[name] for name in found if name != "feature_means"}
    vectors = jaxloss.class_vectors(
        kernel,
        feature_means=means.mean,
        log_prior=jaxloss.class_log_prior(counts),
    )
    return found | {"class_vectors": vectors}


def statistics(found: Mapping[str, Any], watch: Watch) -> dict[str, Any]:
    """Ready for JSON; without the matrix of classes, which has a file of its own."""
    groups = {"": SHOTS if watch.shots else ("all",), "_noise": NOISE, "_sure": SURE}
    line = {}
    for name, result in found.items():
        values = {
            key: np.asarray(value).tolist()
            for key, value in result._asdict().items()
            if value is not None and key != "matrix"
        }
        kind = next(k for k in ("_noise", "_sure", "") if name.endswith(k))
        grouped = name.startswith(("log_odds", "gradient_norms", "agreement"))
        line[name] = ({"groups": groups[kind]} if grouped else {}) | values
    return line


def scalars(line: Mapping[str, Any]) -> dict[str, float]:
    """What of a line is a curve of its own: extremes, spreads, shares of groups."""
    curves: dict[str, float] = {}
    if "class_gradients" in line:
        ratio = np.array(line["class_gradients"]["gradient_ratio"], float)
        received = np.array(line["class_gradients"]["received"], float)
        if not np.all(np.isnan(ratio)):
            curves["gradient_ratio/smallest"] = float(np.nanmin(ratio))
            curves["gradient_ratio/largest"] = float(np.nanmax(ratio))
        curves["received/variation"] = float(np.std(received) / np.mean(received))
    if "class_vectors" in line:
        correlation = line["class_vectors"]["prior_correlation"]
        curves["class_vectors/norm_prior_correlation"] = correlation
    for name, values in line.items():
        if name.startswith("gradient_norms"):
            for key in ("mean", "share"):
                for group, value in zip(values["groups"], values[key], strict=True):
                    curves[f"{name}/{key}/{group.replace(' ', '_')}"] = value
    if "agreement" in line:
        curves["agreement/many_few"] = line["agreement"]["cosine"][0][-1]
    return curves


def _by_shots(watch: Watch, counts: Array) -> jaxloss.Groups:
    if watch.shots is None:
        return jaxloss.by_class(jnp.zeros(len(counts), jnp.int32), 1)
    many, few = watch.shots
    shot = jnp.where(counts > many, 0, jnp.where(counts < few, 2, 1))
    return jaxloss.by_class(shot, len(SHOTS))
