"""What the gradients of the classes and their vectors say."""

from collections.abc import Sequence

import numpy as np

from train.report import measures
from train.report.grouped import (
    Finding,
    at,
    class_of,
    firsts,
    has,
    last,
    listed,
    mean_of,
    of_groups,
)
from train.report.names import Group
from train.report.record import RunRecord

_NAMED = 3  # classes in a sentence


def starving(records: Sequence[RunRecord], groups: Sequence[Group]) -> Finding | None:
    """The classes whose logits are pushed hardest for what their own examples pull."""
    rows, lowest = [], None
    for number, i in firsts(records, groups, "class_gradients", "gradient_ratio"):
        ratio = last(records[i], "class_gradients", "gradient_ratio")
        known = [c for c in np.argsort(ratio) if np.isfinite(ratio[c])][:_NAMED]
        if not known:
            continue
        words = ", ".join(
            f"{class_of(records[i], c)}\u00a0×{ratio[c]:.2g}" for c in known
        )
        rows.append((number, words))
        if lowest is None or ratio[known[0]] < lowest[0]:
            name = class_of(records[i], known[0])
            lowest = ratio[known[0]], name, groups[number].name
    if lowest is None:
        return None
    value, name, run = lowest
    if 0 < value < 1:
        sentence = (
            f"In {run} others push the logit of {name} {1 / value:.3g} times as hard "
            "as its own examples pull it up."
        )
    elif value == 0:
        sentence = f"In {run} no example pulls up the logit of {name}."
    else:
        sentence = "No class is pushed harder than its own examples pull it up."
    return Finding("Who starves: lowest gradient ratios", sentence, tuple(rows))


def evenness(records: Sequence[RunRecord], groups: Sequence[Group]) -> Finding | None:
    """Whether the negative gradients get even, the claim of GALA."""
    key, name = "class_gradients", "received"
    rows, falls, final = [], [], {}
    for number, group in enumerate(groups):
        runs = [records[i] for i in group.members if has(records[i], key, name)]
        pairs = np.array(
            [
                [measures.unevenness(at(run, key, name, end)) for end in (0, -1)]
                for run in runs
            ]
        ).reshape(-1, 2)
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        if not len(pairs):
            continue
        before, after = pairs.mean(axis=0)
        most = float(np.mean([_largest(run) for run in runs]))
        final[number] = after
        words = f"{before:.2f} → {mean_of(pairs[:, 1], '.2f')}, at most {most:.2f}"
        rows.append((number, words))
        if after < before:
            falls.append(groups[number].name)
    if not rows:
        return None
    sentence = "Negative gradients get more even from the first epoch to the last in "
    sentence += f"{listed(falls)}." if falls else "none of the runs."
    others = {n: value for n, value in final.items() if n != rows[0][0]}
    if others:
        number = min(others, key=lambda n: others[n])
        change = 100 * (others[number] / final[rows[0][0]] - 1)
        sentence += (
            f" At the end {groups[number].name} is {abs(change):.0f} % "
            f"{'less' if change < 0 else 'more'} uneven than {groups[rows[0][0]].name}."
        )
    title = "Unevenness of negative gradients"
    return Finding(title, sentence, tuple(rows))


def _largest(run: RunRecord) -> float:
    """Over the epochs: a head that has learnt nothing yet pushes evenly, too."""
    received = run.statistics["class_gradients"].values["received"]
    return float(np.nanmax([measures.unevenness(each) for each in received]))


def ratios(records: Sequence[RunRecord], groups: Sequence[Group]) -> Finding | None:
    """How far apart the gradient ratios of the classes are."""
    key, name = "class_gradients", "gradient_ratio"
    values = of_groups(
        records, groups, key, name, lambda run: measures.spread(last(run, key, name))
    )
    if not values:
        return None
    (first, spread), *_ = means = [(n, float(np.mean(v))) for n, v in values.items()]
    sentence = (
        f"In {groups[first].name} nine in ten classes stay below {spread:.3g} times "
        "the ratio that one in ten stays below"
    )
    if len(means) > 1:
        number, other = min(means[1:], key=lambda pair: pair[1])
        sentence += f"; in {groups[number].name} below {other:.3g} times"
    rows = tuple((n, f"×{mean_of(v, '.3g')}") for n, v in values.items())
    return Finding("Spread of the gradient ratio", sentence + ".", rows)


def norms(records: Sequence[RunRecord], groups: Sequence[Group]) -> Finding | None:
    """Whether the head grew with the frequency of the class."""

    def correlation(run: RunRecord) -> float:
        if run.classes is None or run.classes.train_counts is None:
            return np.nan
        prior = measures.log_prior(run.classes.train_counts)
        return measures.correlation(last(run, "class_vectors", "norm"), prior)

    values = of_groups(records, groups, "class_vectors", "norm", correlation)
    if not values:
        return None
    grown = [groups[n].name for n, v in values.items() if np.mean(v) > 0.5]
    sentence = "Frequent classes have longer vectors in "
    sentence += f"{listed(grown)}." if grown else "none of the runs."
    rows = tuple((n, f"r = {mean_of(v, '+.2f')}") for n, v in values.items())
    return Finding("Class-vector norm and log prior", sentence, rows)
