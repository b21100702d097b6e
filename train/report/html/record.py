"""A run folder read back: what the report knows about a run, and what it misses.

Every part may be absent. What is absent is a gap, a sentence that the page shows; what
is there and makes no sense is an error that names the file.
"""

import dataclasses
import json
import pathlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from train.report.html.series import Series, read_statistics

Bins = dict[str, np.ndarray]  # confidence, accuracy, count


@dataclasses.dataclass(frozen=True)
class Measured:
    """The model of one epoch on one split."""

    class_accuracy: np.ndarray
    class_counts: np.ndarray
    calibration: Bins


@dataclasses.dataclass(frozen=True)
class Classes:
    """The classes of the data, and how well each is told from the others."""

    names: tuple[str, ...]
    train_counts: np.ndarray | None = None
    many: float | None = None  # classes with more training examples are many-shot
    few: float | None = None  # classes with fewer are few-shot
    splits: Mapping[tuple[str, str], Measured] = dataclasses.field(default_factory=dict)
    """By split and epoch, as in ("test", "last")."""


@dataclasses.dataclass(frozen=True)
class RunRecord:
    """A run, or anything else that has statistics; only the name is needed."""

    name: str
    config: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    status: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    metrics: tuple[Mapping[str, Any], ...] = ()
    results: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    classes: Classes | None = None
    statistics: Mapping[str, Series] = dataclasses.field(default_factory=dict)
    class_matrix: np.ndarray | None = None
    """[classes, classes]: |gradient| that examples of a class (row) put on a logit."""
    gaps: tuple[str, ...] = ()


def read(folder: pathlib.Path) -> RunRecord:
    """Reads the folder of a run; raises ValueError when it is none."""
    config = _config(folder)
    status = _json(folder / "status.json") or {}
    gaps = _ending(status)
    metrics, cut = _lines(folder / "metrics.jsonl")
    if not metrics:
        gaps.append("no epoch was finished")
    lines, cut_too = _lines(folder / "statistics.jsonl")
    if cut or cut_too:
        gaps.append("the last line was not written to its end and is left out")
    results = _json(folder / "results.json") or {}
    if not results:
        gaps.append("no results.json: accuracy is unknown")
    classes = _classes(folder / "classes.json")
    if classes is None:
        gaps.append("no classes.json: classes have no names")
    where = folder / "statistics.jsonl"
    if not lines:
        gaps.append("no statistics.jsonl: it was trained without probes")
    num_classes = None if classes is None else len(classes.names)
    statistics = read_statistics(lines, str(where), num_classes)
    matrix = _matrix(folder / "statistics.npz", num_classes)
    return RunRecord(
        folder.resolve().name,
        config=config,
        status=status,
        metrics=tuple(metrics),
        results=results,
        classes=classes,
        statistics=statistics,
        class_matrix=matrix,
        gaps=tuple(gaps),
    )


def _config(folder: pathlib.Path) -> Mapping[str, Any]:
    if not folder.is_dir():
        raise ValueError(f"{folder} is no folder")
    config = _json(folder / "config.json")
    if config is None:
        raise ValueError(f"{folder} has no config.json: it is not the folder of a run")
    kind = config.get("chosen", {}).get("kind")
    if kind != "run":
        raise ValueError(f"{folder} is of `{kind}`; a report is made of `run` folders")
    return config


def _ending(status: Mapping[str, Any]) -> list[str]:
    how, why = status.get("status", "unknown"), status.get("reason", "")
    if how == "finished":
        return []
    if how == "running":
        return ["not finished: still running, or killed"]
    return [f"not finished: {how}" + (f", {why}" if why else "")]


def _json(path: pathlib.Path) -> dict[str, Any] | None:
    if not path.exists():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path} is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError(f"{path} holds no JSON object")
    return value


def _lines(path: pathlib.Path) -> tuple[list[dict[str, Any]], bool]:
    """The lines, and whether the last was cut off, as by a kill."""
    if not path.exists():
        return [], False
    text = path.read_text(encoding="utf-8")
    lines = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            lines.append(json.loads(line))
        except ValueError as error:
            if number == len(text.splitlines()) and not text.endswith("\n"):
                return lines, True
            raise ValueError(f"{path}:{number} is no JSON: {error}") from None
        if not isinstance(lines[-1], dict) or "epoch" not in lines[-1]:
            raise ValueError(f"{path}:{number} has no epoch")
    return lines, False


def _classes(path: pathlib.Path) -> Classes | None:
    found = _json(path)
    if found is None:
        return None
    try:
        names = tuple(map(str, found["class_names"]))
        counts = _vector(found["train_counts"], len(names))
        splits = dict(_measured(found.get("splits") or {}, len(names)))
    except KeyError as error:
        raise ValueError(f"{path} has no {error}") from None
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from None
    return Classes(names, counts, found.get("many"), found.get("few"), splits)


def _measured(
    splits: Mapping[str, Any], classes: int
) -> Iterator[tuple[tuple[str, str], Measured]]:
    for split, epochs in splits.items():
        for when, values in epochs.items():
            bins = values.get("calibration") or {}
            yield (
                (split, when),
                Measured(
                    _vector(values["class_accuracy"], classes),
                    _vector(values["class_counts"], classes),
                    {name: np.array(value, float) for name, value in bins.items()},
                ),
            )


def _vector(values: Any, length: int) -> np.ndarray:
    vector = np.array(values, float)  # null becomes NaN
    if vector.shape != (length,):
        raise ValueError(f"{vector.shape} values for {length} classes")
    return vector


def _matrix(path: pathlib.Path, classes: int | None) -> np.ndarray | None:
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            matrix = arrays["class_matrix"] if "class_matrix" in arrays else None
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if matrix is None:
        return None
    length = len(matrix) if classes is None else classes
    if matrix.shape != (length, length):
        raise ValueError(f"{path}: class_matrix is {matrix.shape}, of {length} classes")
    return matrix
