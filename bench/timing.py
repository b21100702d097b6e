"""Timings that take turns."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

_MIN_ROUNDS, _MAX_ROUNDS = 5, 200
_MIN_SECONDS = 0.002  # of a measurement: shorter calls are repeated


def alternate(
    calls: Mapping[str, Callable[[], Any]],
    seconds: float,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, np.ndarray]:
    """Seconds of one call, for each candidate and round, in about `seconds` in all."""
    repeats = {}
    for name, call in calls.items():
        call()  # compiles
        repeats[name] = max(1, round(_MIN_SECONDS / _timed(call, 1, clock)))
    times = {name: [] for name in calls}
    end = time.perf_counter() + seconds
    for i in range(_MAX_ROUNDS):
        for name, call in calls.items():
            times[name].append(_timed(call, repeats[name], clock))
        if i + 1 >= _MIN_ROUNDS and time.perf_counter() > end:
            break
    return {name: np.array(values) for name, values in times.items()}


def _timed(call: Callable[[], Any], repeats: int, clock: Callable[[], float]) -> float:
    start = clock()
    for _ in range(repeats):
        call()
    return (clock() - start) / repeats
