"""Arrays as short text for a page: two bytes a number, or one on a logarithmic scale.

A code is a place between `low` and `high`; the largest code is NaN, and of a
logarithmic scale the code 0 is 0. `web/data.js` does the reverse.
"""

import base64
from typing import Any

import numpy as np


def linear(values: np.ndarray) -> dict[str, Any]:
    """Two bytes a number, to 1 in 65 000 of their range."""
    return _packed(np.asarray(values, float), "linear", np.uint16, 0)


def logarithmic(values: np.ndarray, *, short: bool = False) -> dict[str, Any]:
    """Of numbers that are not negative; `short` is a byte a number, about 3 digits."""
    values = np.asarray(values, float)
    with np.errstate(divide="ignore", invalid="ignore"):
        logs = np.where(values >= 0, np.log(values), np.nan)
    return _packed(logs, "log", np.uint8 if short else np.uint16, 1)


def _packed(values: np.ndarray, scale: str, kind: Any, first: int) -> dict[str, Any]:
    top = int(np.iinfo(kind).max)
    finite = values[np.isfinite(values)]
    low, high = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    steps = top - 1 - first
    with np.errstate(invalid="ignore"):
        codes = first + np.rint((values - low) / ((high - low) or 1) * steps)
    codes = np.where(np.isnan(values) | (values == np.inf), top, codes)
    codes = np.where(values == -np.inf, 0 if first else top, codes)
    data = codes.astype(np.dtype(kind).newbyteorder("<")).tobytes()
    return {
        "scale": scale,
        "bytes": np.dtype(kind).itemsize,
        "low": float(low),
        "high": float(high),
        "shape": list(values.shape),
        "data": base64.b64encode(data).decode(),
    }


def thinned(length: int, most: int) -> np.ndarray:
    """Up to `most` places in a list, the first and the last among them."""
    places = np.linspace(0, length - 1, min(length, max(most, 2)))
    return np.unique(np.rint(places).astype(int))


def pooled(matrix: np.ndarray, block: int) -> np.ndarray:
    """Means over squares of `block` cells; those at the far edges are smaller."""
    rows = np.arange(0, matrix.shape[0], block)
    columns = np.arange(0, matrix.shape[1], block)
    known = np.isfinite(matrix)
    sums = [np.where(known, matrix, 0.0), known.astype(float)]
    for axis, starts in enumerate((rows, columns)):
        sums = [np.add.reduceat(each, starts, axis=axis) for each in sums]
    with np.errstate(invalid="ignore"):
        return sums[0] / sums[1]


def numbers(values: np.ndarray) -> Any:
    """Nested lists of 5 digits; None for NaN and infinity, which JSON lacks."""
    values = np.asarray(values, float)
    if values.ndim:
        return [numbers(each) for each in values]
    return float(f"{values:.5g}") if np.isfinite(values) else None
