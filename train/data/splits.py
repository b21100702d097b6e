"""Fixed rules that divide examples: no chance, every class alike."""

import numpy as np

from train.data.checks import require


def rank_in_class(labels: np.ndarray) -> np.ndarray:
    """For every example, how many earlier ones carry the same label."""
    ranks = np.empty(len(labels), np.int64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        ranks[members] = np.arange(len(members))
    return ranks


def held_out(labels: np.ndarray, fraction: float) -> np.ndarray:
    """Marks the `fraction` of every class that is held out for validation.

    Within a class, in stored order, example i is marked when i * fraction reaches the
    next integer on the way to i + 1: for 0.1 the 10th, the 20th and so on.
    """
    require(0 < fraction < 1, "validation_fraction", fraction, "a number in (0, 1)")
    ranks = rank_in_class(labels)
    # The small term keeps products such as 0.29 * 100 from falling below an integer.
    before, after = np.floor(np.stack([ranks, ranks + 1]) * fraction + 1e-9)
    return after > before
