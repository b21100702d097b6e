"""Means with honest intervals."""

import dataclasses
from typing import NamedTuple

import numpy as np
import scipy.stats


class Interval(NamedTuple):
    """mean ± half: the 95 % t-interval over independent values."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.mean:.1f} ± {self.half:.1f}"

    @property
    def signed(self) -> str:
        return f"{self.mean:+.1f} ± {self.half:.1f}"

    @property
    def low(self) -> float:
        return self.mean - self.half

    @property
    def high(self) -> float:
        return self.mean + self.half


@dataclasses.dataclass(frozen=True)
class Row:
    """One method: its value in each column, for every seed."""

    name: str
    values: dict[str, np.ndarray]
    learning_rate: float


def interval(values: np.ndarray) -> Interval:
    """Over seeds: of split noise, initialisation and order; not of new test images."""
    values = np.asarray(values, float)
    if values.ndim != 1 or len(values) < 2:
        raise ValueError(f"an interval needs two values at least, got {values}")
    half = scipy.stats.t.ppf(0.975, len(values) - 1) * scipy.stats.sem(values)
    return Interval(float(np.mean(values)), float(half))


def paired(values: np.ndarray, reference: np.ndarray) -> Interval:
    """Interval of the differences, seed by seed."""
    return interval(np.asarray(values, float) - np.asarray(reference, float))
