"""What the page knows: plain lists and packed arrays, ready for JSON.

Classes are sorted by frequency, so that the page need not. Long runs are thinned, and
the matrices of many large runs pooled: the page stays below 6 MB.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from train.report import measures
from train.report.html import pack
from train.report.html.names import Group
from train.report.html.record import RunRecord
from train.report.html.scores import METRICS, Score, shots
from train.report.html.series import Series

POINTS = 300  # of a curve, at most
FRAMES = 40  # of an epoch slider, at most
CLASS_VALUES = 200_000  # two bytes each, over all runs
MATRIX_CELLS = 2_000_000  # a byte each, over all runs
_HISTOGRAMS = {"log_odds": "class size", "log_odds_noise": "label noise"}
_SHARES = {
    "gradient_norms": "class size",
    "gradient_norms_noise": "label noise",
    "gradient_norms_sure": "confidence",
}


def payload(
    records: Sequence[RunRecord],
    names: Sequence[str],
    groups: Sequence[Group],
    scores: Sequence[Score],
) -> dict[str, Any]:
    """Everything the charts draw; a run has None for what it lacks."""
    vectors = sum(5 * _num_classes(record) for record in records)
    frames = max(2, min(FRAMES, CLASS_VALUES // max(vectors, 1)))
    cells = sum(r.class_matrix.size for r in records if r.class_matrix is not None)
    block = int(np.ceil(np.sqrt(max(cells / MATRIX_CELLS, 1))))
    of_run = {i: g for g, group in enumerate(groups) for i in group.members}
    sets: list[dict[str, Any]] = []
    runs = []
    for i, record in enumerate(records):
        order = _order(record)
        runs.append(
            {
                "name": names[i],
                "group": of_run[i],
                "first": i == groups[of_run[i]].members[0],
                "classes": _shared(sets, _class_set(record, order)),
                "curves": _curves(record),
                "gradients": _classwise(record, "class_gradients", order, frames),
                "vectors": _classwise(record, "class_vectors", order, frames),
                "evenness": _evenness(record),
                "matrix": _matrix(record, order, block),
                "histograms": _histograms(record),
                "shares": _shares(record),
                "agreement": _agreement(record),
                "measured": _measured(record, order),
            }
        )
    return {
        "groups": [{"name": group.name} for group in groups],
        "class_sets": sets,
        "metrics": METRICS,
        "scores": [
            {**score._asdict(), **_ends(score)} for score in scores if score.metric
        ],
        "runs": runs,
    }


def _ends(score: Score) -> dict[str, Any]:
    return {name: pack.numbers(getattr(score, name)) for name in ("low", "high")}


def _num_classes(record: RunRecord) -> int:
    if record.classes is not None:
        return len(record.classes.names)
    if record.class_matrix is not None:
        return len(record.class_matrix)
    for key, name in (("class_gradients", "positive"), ("class_vectors", "norm")):
        if key in record.statistics and name in record.statistics[key].values:
            return record.statistics[key].values[name].shape[1]
    return 0


def _order(record: RunRecord) -> np.ndarray:
    if record.classes is None or record.classes.train_counts is None:
        return np.arange(_num_classes(record))
    return np.argsort(-record.classes.train_counts, kind="stable")


def _class_set(record: RunRecord, order: np.ndarray) -> dict[str, Any]:
    classes = record.classes
    if classes is None:
        return {"names": [f"class {i}" for i in order], "counts": None, "shots": None}
    groups = np.full(len(order), "", object)
    for name, inside in shots(classes).items():
        groups[inside] = name
    counts = classes.train_counts
    return {
        "names": [classes.names[i] for i in order],
        "counts": None if counts is None else pack.numbers(counts[order]),
        "shots": list(groups[order]) if any(groups) else None,
    }


def _shared(sets: list[dict[str, Any]], new: dict[str, Any]) -> int:
    """The place of the classes among those so far: most runs have the same."""
    if new not in sets:
        sets.append(new)
    return sets.index(new)


def _curves(record: RunRecord) -> dict[str, Any] | None:
    if not record.metrics:
        return None
    lines = [record.metrics[i] for i in pack.thinned(len(record.metrics), POINTS)]
    flat = [dict(_named(line)) for line in lines]
    keys = {key: None for line in flat for key in line}
    return {
        key: pack.numbers(np.array([line.get(key, np.nan) for line in flat], float))
        for key in keys
    }


def _named(line: Mapping[str, Any]):
    """`loss`, and of a value per split `balanced_accuracy, test`."""
    for key, value in line.items():
        if isinstance(value, Mapping):
            for split, number in value.items():
                yield f"{key}, {split}", number
        elif value is None or isinstance(value, int | float):
            yield key, value


def _classwise(
    record: RunRecord, key: str, order: np.ndarray, frames: int
) -> dict[str, Any] | None:
    series = record.statistics.get(key)
    if series is None:
        return None
    kept = pack.thinned(len(series.epochs), frames)
    packed: dict[str, Any] = {"epochs": series.epochs[kept].tolist()}
    for name, values in series.values.items():
        code = pack.linear if name == "alignment" else pack.logarithmic
        packed[name] = code(values[kept][:, order])
    return packed


def _evenness(record: RunRecord) -> dict[str, Any] | None:
    """One number per epoch for what the charts per class show."""
    found: dict[str, Any] = {}
    gradients = record.statistics.get("class_gradients")
    if gradients is not None:
        for title, name, measure in (
            ("unevenness of received", "received", measures.unevenness),
            ("spread of ratios", "gradient_ratio", measures.spread),
        ):
            if name in gradients.values:
                found[title] = _each(gradients, name, measure)
    vectors, classes = record.statistics.get("class_vectors"), record.classes
    if vectors and "norm" in vectors.values and classes:
        if classes.train_counts is not None:
            prior = measures.log_prior(classes.train_counts)
            found["correlation with the prior"] = _each(
                vectors, "norm", lambda norm: measures.correlation(norm, prior)
            )
    return found or None


def _each(series: Series, name: str, measure) -> dict[str, Any]:
    kept = pack.thinned(len(series.epochs), POINTS)
    values = [measure(series.values[name][i]) for i in kept]
    return {
        "epochs": series.epochs[kept].tolist(),
        "values": pack.numbers(np.array(values)),
    }


def _matrix(record: RunRecord, order: np.ndarray, block: int) -> dict[str, Any] | None:
    if record.class_matrix is None:
        return None
    matrix = record.class_matrix[np.ix_(order, order)]
    return {
        "block": block,
        "values": pack.logarithmic(pack.pooled(matrix, block), short=True),
    }


def _histograms(record: RunRecord) -> dict[str, Any] | None:
    found = {}
    for key, title in _HISTOGRAMS.items():
        series = record.statistics.get(key)
        # Everything in one group is of interest where nothing divides it.
        if series is not None and series.edges is not None:
            if len(series.groups) == 1:
                title = "all examples"
            kept = pack.thinned(len(series.epochs), FRAMES)
            found[title] = {
                "epochs": series.epochs[kept].tolist(),
                "groups": series.groups,
                "edges": pack.numbers(series.edges),
                "counts": pack.logarithmic(series.values["counts"][kept]),
            }
    # What divides the examples comes first.
    order = sorted(found.items(), key=lambda item: item[0] == "all examples")
    return dict(order) or None


def _shares(record: RunRecord) -> dict[str, Any] | None:
    found = {}
    for key, title in _SHARES.items():
        series = record.statistics.get(key)
        if series is None or "share" not in series.values or len(series.groups) < 2:
            continue
        kept = pack.thinned(len(series.epochs), POINTS)
        found[title] = {
            "epochs": series.epochs[kept].tolist(),
            "groups": series.groups,
            **{
                name: pack.numbers(values[kept].T)
                for name, values in series.values.items()
            },
        }
    return found or None


def _agreement(record: RunRecord) -> dict[str, Any] | None:
    series = record.statistics.get("agreement")
    if series is None:
        return None
    kept = pack.thinned(len(series.epochs), POINTS)
    size = len(series.groups)
    cosine = series.values["cosine"]
    return {
        "epochs": series.epochs[kept].tolist(),
        "pairs": {
            f"{series.groups[i]} and {series.groups[j]}": pack.numbers(
                cosine[kept, i, j]
            )
            for i in range(size)
            for j in range(i)
        },
    }


def _measured(record: RunRecord, order: np.ndarray) -> dict[str, Any] | None:
    if record.classes is None or not record.classes.splits:
        return None
    return {
        f"{split}, {when} epoch": {
            "accuracy": pack.linear(found.class_accuracy[order]),
            "counts": pack.numbers(found.class_counts[order]),
            "calibration": {
                name: pack.numbers(values) for name, values in found.calibration.items()
            }
            or None,
        }
        for (split, when), found in record.classes.splits.items()
    }
