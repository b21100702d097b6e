"""Accuracy and its kin on every split, with intervals that say what they are of."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from train.report.html.names import Group
from train.report.html.record import Classes, Measured, RunRecord
from train.report.measures import Range, mean_of_shares, wilson
from train.report.statistics import interval

SEEDS, EXAMPLES, NONE = "over seeds", "over test examples", ""
# Those in percent first; of the others a lower value is better.
METRICS = {
    "balanced_error": "balanced error %",
    "accuracy": "accuracy %",
    "many": "many %",
    "medium": "medium %",
    "few": "few %",
    "negative_log_likelihood": "−log likelihood, nats",
    "expected_calibration_error": "calibration error %",
}
_UNSCALED = "negative_log_likelihood"


class Score(NamedTuple):
    """A metric of a group of runs on a split; ends are NaN without an interval."""

    group: int
    split: str
    when: str  # "last" or "best" epoch
    metric: str
    value: float
    low: float
    high: float
    kind: str  # of interval


def scores(records: Sequence[RunRecord], groups: Sequence[Group]) -> list[Score]:
    """Every metric that a run of the group has, except those of the training set."""
    return [
        score
        for number, group in enumerate(groups)
        for score in _of_group(number, [records[i] for i in group.members])
    ]


def _of_group(number: int, runs: Sequence[RunRecord]) -> Iterator[Score]:
    runs = [run for run in runs if run.results.get("splits")]
    if not runs:
        return
    for split, epochs in runs[0].results["splits"].items():
        if split == "train":
            continue
        for when, metrics in epochs.items():
            for metric in METRICS:
                if metric not in metrics:
                    continue
                found = [(run, _value(run, split, when, metric)) for run in runs]
                found = [(run, value) for run, value in found if np.isfinite(value)]
                if not found:
                    continue
                values = np.array([value for _, value in found])
                low, high, kind = np.nan, np.nan, NONE
                if len(values) > 1:
                    over, kind = interval(values), SEEDS
                    low, high = over.low, over.high
                elif ends := _over_examples(*found[0], split, when, metric):
                    (low, high), kind = ends, EXAMPLES
                scale = 1 if metric == _UNSCALED else 100
                mean, low, high = (scale * float(x) for x in (values.mean(), low, high))
                yield Score(number, split, when, metric, mean, low, high, kind)


def _value(run: RunRecord, split: str, when: str, metric: str) -> float:
    splits = run.results.get("splits", {})
    value = splits.get(split, {}).get(when, {}).get(metric)
    return np.nan if value is None else float(value)


def _over_examples(
    run: RunRecord, value: float, split: str, when: str, metric: str
) -> Range | None:
    """For one training: the chance of the examples, not of the training."""
    measured = run.classes and run.classes.splits.get((split, when))
    if metric == "accuracy":
        size = run.config.get("data", {}).get("sizes", {}).get(split)
        if measured:
            size = np.sum(measured.class_counts)
        if not size:
            return None
        low, high = wilson(np.array(value), np.array(size))
        return Range(float(low), float(high))
    if not measured or not run.classes:
        return None
    if metric == "balanced_error":
        low, high = mean_of_shares(measured.class_accuracy, measured.class_counts)
        return Range(1 - high, 1 - low)
    if metric in ("many", "medium", "few"):
        return _shots(run.classes, measured, metric)
    return None


def _shots(classes: Classes, measured: Measured, metric: str) -> Range | None:
    inside = shots(classes).get(metric)
    if inside is None or not np.any(inside):
        return None
    return mean_of_shares(
        measured.class_accuracy[inside], measured.class_counts[inside]
    )


def shots(classes: Classes) -> dict[str, np.ndarray]:
    """Which classes are many-, medium- and few-shot; nothing without a long tail."""
    if classes.train_counts is None or classes.many is None or classes.few is None:
        return {}
    many, few = classes.train_counts > classes.many, classes.train_counts < classes.few
    return {"many": many, "medium": ~many & ~few, "few": few}
