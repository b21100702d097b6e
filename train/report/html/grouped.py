"""What the findings are made of: statistics of groups of runs, and words for them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from train.report.html.names import Group
from train.report.html.record import RunRecord
from train.report.statistics import interval


class Finding(NamedTuple):
    """A heading, a sentence, and a few words for each group of runs."""

    title: str
    sentence: str
    rows: tuple[tuple[int, str], ...]


def has(run: RunRecord, key: str, name: str) -> bool:
    return key in run.statistics and name in run.statistics[key].values


def last(run: RunRecord, key: str, name: str) -> np.ndarray:
    return run.statistics[key].values[name][-1]


def firsts(
    records: Sequence[RunRecord], groups: Sequence[Group], key: str, name: str
) -> Iterator[tuple[int, int]]:
    """Of each group the first run that has the statistic."""
    for number, group in enumerate(groups):
        runs = [i for i in group.members if has(records[i], key, name)]
        if runs:
            yield number, runs[0]


def of_groups(
    records: Sequence[RunRecord],
    groups: Sequence[Group],
    key: str,
    name: str,
    measure: Callable[[RunRecord], float],
) -> Mapping[int, np.ndarray]:
    values = {
        number: np.array(
            [measure(records[i]) for i in group.members if has(records[i], key, name)]
        )
        for number, group in enumerate(groups)
    }
    finite = {n: v[np.isfinite(v)] for n, v in values.items()}
    return {n: v for n, v in finite.items() if len(v)}


def mean_of(values: np.ndarray, form: str) -> str:
    """The mean over seeds, with its interval when there are several."""
    if len(values) < 2:
        return f"{values[0]:{form}}"
    found = interval(values)
    return f"{found.mean:{form}} ± {found.half:{form.lstrip('+')}}"


def listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def class_of(run: RunRecord, index: int) -> str:
    """As in "class 7 (12)", with the number of its training examples."""
    if run.classes is None:
        return f"class {index}"
    name = run.classes.names[index]
    if name.isdecimal():
        name = f"class\u00a0{name}"
    if run.classes.train_counts is None:
        return name
    return f"{name} ({run.classes.train_counts[index]:.0f})"
