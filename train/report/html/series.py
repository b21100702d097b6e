"""Statistics over epochs: the lines of statistics.jsonl as arrays."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

# What each key holds, and the shape of its arrays: C classes, G groups, B bins.
_FIELDS = {
    "class_gradients": {
        "positive": "C",
        "received": "C",
        "caused": "C",
        "gradient_ratio": "C",
    },
    "class_vectors": {"norm": "C", "alignment": "C"},
    "log_odds": {"counts": "GB"},
    "log_odds_noise": {"counts": "GB"},
    "gradient_norms": {"count": "G", "mean": "G", "share": "G"},
    "gradient_norms_noise": {"count": "G", "mean": "G", "share": "G"},
    "gradient_norms_sure": {"count": "G", "mean": "G", "share": "G"},
    "agreement": {"cosine": "GG"},
}
# The library's word for what the page calls count.
_ALSO = {"count": "examples"}


class Series(NamedTuple):
    """One statistic: values [epochs, ...] by name."""

    epochs: np.ndarray
    values: dict[str, np.ndarray]
    groups: tuple[str, ...] = ()
    edges: np.ndarray | None = None  # of the bins of a histogram


def read_statistics(
    lines: Sequence[Mapping[str, Any]], where: str, num_classes: int | None = None
) -> dict[str, Series]:
    """By key; raises ValueError, with the line, when the shapes do not fit.

    Keys that nobody knows are left out, and so are fields that some epoch lacks.
    """
    series = {}
    for key, fields in _FIELDS.items():
        found = [(i, line) for i, line in enumerate(lines, 1) if line.get(key)]
        if not found:
            continue
        first = found[0][1][key]
        groups = tuple(first.get("groups", ()))
        edges = np.array(first["edges"], float) if "edges" in first else None
        if "B" in "".join(fields.values()) and edges is None:
            raise ValueError(f"{where}:{found[0][0]}: {key} has no edges")
        sizes = {"G": len(groups), "B": 0 if edges is None else len(edges) - 1}
        if num_classes is not None:
            sizes["C"] = num_classes
        values: dict[str, np.ndarray] = {}
        for name, shape in fields.items():
            known = {name, _ALSO.get(name, name)} & first.keys()
            if not known or not all(known <= line[key].keys() for _, line in found):
                continue
            rows, written = [], min(known)
            for number, line in found:
                at = f"{where}:{number}: {key}, {written}"
                rows.append(_array(line[key][written], shape, sizes, at))
            values[name] = np.stack(rows)
            num_classes = sizes.get("C", num_classes)
        if values:
            epochs = np.array([line["epoch"] for _, line in found])
            series[key] = Series(epochs, values, groups, edges)
    return series


def _array(value: Any, shape: str, sizes: dict[str, int], at: str) -> np.ndarray:
    try:
        array = np.array(value, float)  # null becomes NaN
    except (TypeError, ValueError):
        raise ValueError(f"{at}: no array of numbers") from None
    if array.ndim == len(shape):
        # Without classes.json the first array says how many classes there are.
        sizes.setdefault("C", len(array))
    if array.shape != tuple(sizes[axis] for axis in shape if axis in sizes):
        expected = tuple(sizes.get(axis, "?") for axis in shape)
        raise ValueError(f"{at}: shape {array.shape}, expected {expected}")
    return array
