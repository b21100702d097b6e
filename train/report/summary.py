"""What one training came to: a table of metrics and a figure of its curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
from jax import Array
from matplotlib.figure import Figure
from matplotlib.style import context

from jaxloss import metrics
from train.head import Outcome
from train.report import figures
from train.report.text import aligned

Metrics = dict[str, float]
Shots = tuple[np.ndarray, int, int]  # training counts, thresholds of many and few


def measure(
    logits: Mapping[str, Mapping[str, Array]],
    labels: Mapping[str, np.ndarray],
    shots: Shots | None,
) -> dict[str, dict[str, Metrics]]:
    """{split: {when: metrics}} of {when: {split: logits}} and {split: labels}."""
    measured = jax.device_get(_measure_all(list(logits.values()), labels, shots))

    def at(values, i):
        return {name: float(values[name][i]) for name in _HEADERS if name in values}

    return {
        split: {when: at(measured[split], i) for i, when in enumerate(logits)}
        for split in labels
    }


@jax.jit  # one compilation for all; without, every operation has its own
def _measure_all(logits, labels, shots):
    stacked = {split: jnp.stack([z[split] for z in logits]) for split in labels}
    return {
        split: jax.vmap(lambda z, y=y: _measure(z, y, shots))(stacked[split])
        for split, y in labels.items()
    }


def _measure(z: Array, y: Array, shots: Shots | None) -> dict[str, Array]:
    values = {
        "accuracy": metrics.accuracy(z, y),
        "balanced_error": metrics.balanced_error(z, y),
        "negative_log_likelihood": metrics.negative_log_likelihood(z, y),
        "expected_calibration_error": metrics.expected_calibration_error(z, y),
    }
    if shots is None:
        return values
    counts, many, few = shots
    recall = metrics.per_class_accuracy(z, y)
    groups = metrics.shot_accuracy(recall, jnp.asarray(counts), many=many, few=few)
    return {**values, **groups._asdict()}


def measure_outcomes(
    outcomes: Mapping[str, Mapping[str, Outcome]],
    labels: Mapping[str, np.ndarray],
    shots: Shots | None,
) -> dict[str, dict[str, Metrics]]:
    """`measure` of predictions whose logits nobody has held."""

    def metrics_of(outcome, y):
        hit = np.asarray(outcome.predicted) == y
        counts = np.bincount(y)
        with np.errstate(invalid="ignore"):
            recall = np.bincount(y, hit, minlength=len(counts)) / counts
        bins = _calibration(np.asarray(outcome.confidence), hit)
        gaps = [
            n * abs(a - c)
            for a, c, n in zip(*(bins[key] for key in _CALIBRATION), strict=True)
            if n
        ]
        values = {
            "accuracy": np.mean(hit),
            "balanced_error": 1 - np.nanmean(recall),
            "negative_log_likelihood": -np.mean(outcome.log_likelihood),
            "expected_calibration_error": sum(gaps) / len(y),
        }
        if shots is not None:
            train_counts, many, few = shots
            recall = np.pad(
                recall, (0, len(train_counts) - len(recall)), constant_values=np.nan
            )
            groups = metrics.shot_accuracy(
                jnp.asarray(recall), jnp.asarray(train_counts), many=many, few=few
            )
            values |= groups._asdict()
        return {name: float(values[name]) for name in _HEADERS if name in values}

    return {
        split: {when: metrics_of(found[split], y) for when, found in outcomes.items()}
        for split, y in labels.items()
    }


def measure_classes(
    found: Mapping[str, Mapping[str, Array | Outcome]],
    labels: Mapping[str, np.ndarray],
    num_classes: int,
) -> dict[str, dict[str, Any]]:
    """{split: {when: recall of each class and bins of confidence}}, ready for JSON."""
    return {
        split: {
            when: _measure_classes(predictions[split], y, num_classes)
            for when, predictions in found.items()
        }
        for split, y in labels.items()
    }


def _measure_classes(
    found: Array | Outcome, y: np.ndarray, num_classes: int
) -> dict[str, Any]:
    if isinstance(found, Outcome):
        predicted, confidence = (
            np.asarray(found.predicted),
            np.asarray(found.confidence),
        )
    else:
        z = np.asarray(found)
        predicted = np.argmax(z, axis=1)
        confidence = np.max(scipy.special.softmax(z, axis=1), axis=1)
    hit = predicted == y
    counts = np.bincount(y, minlength=num_classes)
    return {
        "class_accuracy": _means(y, hit, counts),
        "class_counts": counts.tolist(),
        "calibration": _calibration(confidence, hit),
    }


_CALIBRATION = ("accuracy", "confidence", "count")


def _calibration(
    confidence: np.ndarray, hit: np.ndarray, bins: int = 15
) -> dict[str, Any]:
    """The bins are those of `metrics.expected_calibration_error`."""
    bin_of = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    filled = np.bincount(bin_of, minlength=bins)
    return {
        "confidence": _means(bin_of, confidence, filled),
        "accuracy": _means(bin_of, hit, filled),
        "count": filled.tolist(),
    }


def _means(
    where: np.ndarray, values: np.ndarray, number: np.ndarray
) -> list[float | None]:
    """Of the values in each place; None where there are none."""
    total = np.bincount(where, values, minlength=len(number))
    return [float(t / n) if n else None for t, n in zip(total, number, strict=True)]


_HEADERS = {
    "accuracy": "accuracy\n%",
    "balanced_error": "balanced\nerror %",
    "many": "many\n%",
    "medium": "medium\n%",
    "few": "few\n%",
    "negative_log_likelihood": "likelihood\n-log, nats",
    "expected_calibration_error": "calibration\nerror %",
}


def table(results: Mapping[str, Mapping[str, Metrics]]) -> str:
    """Of {split: {"last" or "best": metrics}}."""
    columns = list(next(iter(results.values()))["last"])
    lines = [
        [f"{split}, {when} epoch", *(_cell(name, values[name]) for name in columns)]
        for split, epochs in results.items()
        for when, values in epochs.items()
    ]
    return aligned(["", *(_HEADERS[name] for name in columns)], lines)


def _cell(name: str, value: float) -> str:
    if name == "negative_log_likelihood":
        return f"{value:.3f}"
    return "-" if np.isnan(value) else f"{100 * value:.1f}"


def curves(lines: Sequence[Mapping[str, Any]], title: str) -> Figure:
    """Loss and balanced accuracy per epoch, from the lines of metrics.jsonl."""
    epochs = [line["epoch"] for line in lines]
    with context(figures.STYLE):
        figure = Figure(figsize=(9, 3.5))
        left, right = figure.subplots(1, 2)
        losses = {"training loss": [line["loss"] for line in lines]}
        for split in lines[0]["negative_log_likelihood"]:
            values = [line["negative_log_likelihood"][split] for line in lines]
            losses[f"{split}, -log likelihood"] = values
        accuracies = {
            split: [100 * line["balanced_accuracy"][split] for line in lines]
            for split in lines[0]["balanced_accuracy"]
        }
        for axes, series in ((left, losses), (right, accuracies)):
            for colour, (name, values) in zip(
                figures.COLOURS, series.items(), strict=False
            ):
                axes.plot(epochs, values, color=colour, label=name, marker=".")
            axes.set_xlabel("epoch")
            axes.legend(loc="best", fontsize=8)
        left.set_title(title)
        left.set_ylabel("nats per example")
        right.set_ylabel("balanced accuracy (%)")
    return figure
