"""Numbers that say in one word how something lies over the classes."""

from typing import NamedTuple

import numpy as np

_Z = 1.959964  # a normal variable is within ± _Z with probability 95 %


class Range(NamedTuple):
    low: float
    high: float


def unevenness(values: np.ndarray) -> float:
    """Coefficient of variation, standard deviation over mean; 0 when all are equal."""
    values = values[np.isfinite(values)]
    mean = np.mean(values) if len(values) else np.nan
    return float(np.std(values) / mean) if mean > 0 else np.nan


def spread(values: np.ndarray) -> float:
    """How many times the 90th percentile is the 10th, of the positive values."""
    values = values[np.isfinite(values) & (values > 0)]
    if len(values) < 2:
        return np.nan
    low, high = np.percentile(values, [10, 90])
    return float(high / low)


def log_prior(counts: np.ndarray) -> np.ndarray:
    """Log of the share of each class; NaN for one without examples."""
    counts = np.asarray(counts, float)
    share = np.where(counts > 0, counts, np.nan) / np.sum(counts)
    return np.log(share)


def correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's, over the pairs of finite values; NaN where it means nothing."""
    both = np.isfinite(x) & np.isfinite(y)
    x, y = x[both], y[both]
    if len(x) < 3 or np.std(x) == 0 or np.std(y) == 0:
        return np.nan
    return float(np.corrcoef(x, y)[0, 1])


def wilson(share: np.ndarray, count: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Wilson's 95 % interval of a share of `count` examples; NaN for none."""
    share, count = np.asarray(share, float), np.asarray(count, float)
    count = np.where(count > 0, count, np.nan)
    middle = (share + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    root = np.sqrt(share * (1 - share) / count + _Z**2 / (4 * count**2))
    half = _Z * root / (1 + _Z**2 / count)
    # The arithmetic may leave [0, 1], or the share, by a rounding error.
    return np.clip(middle - half, 0, share), np.clip(middle + half, share, 1)


def mean_of_shares(shares: np.ndarray, counts: np.ndarray) -> Range:
    """95 % interval of the mean of independent shares, such as accuracies of classes.

    Wilson's intervals of the shares, put together in squares (Zou & Donner,
    Statistics in Medicine 2008): it holds also where a class has no error at all.
    """
    known = np.isfinite(shares) & (counts > 0)
    if not np.any(known):
        return Range(np.nan, np.nan)
    shares, counts = shares[known], counts[known]
    low, high = wilson(shares, counts)
    mean, n = float(np.mean(shares)), len(shares)
    down = np.sqrt(np.sum((shares - low) ** 2)) / n
    up = np.sqrt(np.sum((high - shares) ** 2)) / n
    return Range(mean - float(down), mean + float(up))
