"""`analyze`: the page of a training, for logits that were saved elsewhere."""

import pathlib
import zipfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from train import config, probes
from train.commands import Analyze
from train.objectives import Facts, build_objective
from train.report import summary
from train.report.html.command import write
from train.report.html.page import build
from train.report.html.record import Classes, Measured, RunRecord
from train.report.html.series import read_statistics

ARRAYS = {
    "logits": "[examples, classes]",
    "labels": "[examples]",
    "features": "[examples, features]",
    "kernel": "[features, classes]",
    "train_counts": "[classes]",
    "true_labels": "[examples]",
    "class_names": "[classes]",
}


def run(command: Analyze) -> int:
    arrays = load(command.file)
    record = analyze(command, arrays)
    path = command.out or command.file.with_suffix(".html")
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, build([record]))
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, opens in any browser")
    return 0


def load(file: pathlib.Path) -> dict[str, np.ndarray]:
    """The arrays, of the shapes that they must have; raises ValueError otherwise."""
    try:
        stored = np.load(file, allow_pickle=False)
        if isinstance(stored, np.ndarray):
            raise ValueError("it holds a single array, as np.save writes it")
        with stored:
            arrays = {name: stored[name] for name in stored.files}
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{file} is no .npz file of plain arrays: {error}") from None
    missing = {"logits", "labels"} - arrays.keys()
    unknown = sorted(arrays.keys() - ARRAYS.keys())
    if missing or unknown:
        known = ", ".join(f"{name} {shape}" for name, shape in ARRAYS.items())
        what = f"lacks {' and '.join(sorted(missing))}" if missing else ""
        what += " and " if missing and unknown else ""
        what += f"has {', '.join(unknown)}" if unknown else ""
        raise ValueError(f"{file} {what}; known are {known}")
    if not np.issubdtype(arrays["labels"].dtype, np.integer):
        raise ValueError(
            f"{file}: labels must be integer class ids, got {arrays['labels'].dtype}"
        )
    axes = ("examples", "classes")
    sizes: dict[str, int] = dict(zip(axes, arrays["logits"].shape, strict=False))
    for name, array in arrays.items():
        axes = ARRAYS[name].strip("[]").split(", ")
        for axis, size in zip(axes, array.shape, strict=False):
            sizes.setdefault(axis, size)
        if array.shape != tuple(sizes.get(axis) for axis in axes):
            raise ValueError(
                f"{file}: {name} must be {ARRAYS[name]} with {sizes}, got {array.shape}"
            )
    return arrays


def analyze(command: Analyze, arrays: dict[str, np.ndarray]) -> RunRecord:
    logits, labels = arrays["logits"], arrays["labels"]
    classes, counts = logits.shape[1], arrays.get("train_counts")
    true_labels, kernel = arrays.get("true_labels"), arrays.get("kernel")
    if counts is None and isinstance(command.loss, config.LogitAdjusted):
        raise ValueError(
            f"{command.file} has no train_counts, the prior of logit-adjusted"
        )
    heads = ("class-vectors", "head-gradients")
    watch = probes.Watch(
        names=tuple(n for n in probes.ALL if "features" in arrays or n not in heads),
        shots=None if counts is None else (command.many, command.few),
        noise=true_labels is not None,
    )
    # Of the examples at hand, where those of the training are not known.
    seen = np.bincount(labels, minlength=classes)
    priors = jnp.asarray(seen if counts is None else counts)
    probe = probes.build(
        watch,
        priors,
        arrays["features"].shape[1] if "features" in arrays else 0,
        None if true_labels is None else jnp.asarray(labels != true_labels),
    )
    found: dict[str, Any] = jaxloss.analyze(
        logits,
        labels,
        loss=_loss(command.loss, priors),
        features=arrays.get("features"),
        probe=probe,
    )["probe"]
    found = probes.with_class_vectors(
        found, None if kernel is None else jnp.asarray(kernel), priors
    )
    line = {"epoch": 1, **probes.statistics(jax.device_get(found), watch)}
    matrix = np.asarray(found["class_gradients"].matrix)
    measured = _metrics(logits, labels, counts, command)
    return RunRecord(
        command.file.name,
        results={"splits": {"test": {"last": measured}}},
        classes=_classes(command, arrays),
        statistics=read_statistics([line], str(command.file), classes),
        class_matrix=matrix,
    )


def _loss(loss: config.Stateless, counts: jax.Array):
    classes = len(counts)
    # The labels that would have these counts: all that a loss without state asks for.
    labels = jnp.asarray(np.repeat(np.arange(classes), counts))
    facts = Facts(labels, classes, total_steps=1)
    objective = build_objective(loss, facts)
    return lambda z, y: objective.loss(objective.init(), z, y, None)


def _metrics(
    logits: np.ndarray, labels: np.ndarray, counts: np.ndarray | None, command: Analyze
) -> dict[str, float]:
    shots = None if counts is None else (counts, command.many, command.few)
    stacked = {"last": {"test": jnp.asarray(logits)}}
    return summary.measure(stacked, {"test": labels}, shots)["test"]["last"]


def _classes(command: Analyze, arrays: dict[str, np.ndarray]) -> Classes:
    logits, labels = arrays["logits"], arrays["labels"]
    names = arrays.get("class_names")
    if names is None:
        names = np.arange(logits.shape[1])
    counts = arrays.get("train_counts")
    stacked = {"last": {"test": jnp.asarray(logits)}}
    found = summary.measure_classes(stacked, {"test": labels}, logits.shape[1])
    values = found["test"]["last"]
    measured = Measured(
        np.array(values["class_accuracy"], float),
        np.array(values["class_counts"], float),
        {name: np.array(v, float) for name, v in values["calibration"].items()},
    )
    many, few = (None, None) if counts is None else (command.many, command.few)
    return Classes(
        tuple(map(str, names)), counts, many, few, {("test", "last"): measured}
    )
