"""What the gradients of the classes and their vectors say."""

from collections.abc import Sequence

import numpy as np

from train.report import measures
from train.report.html.grouped import (
    Finding,
    class_of,
    firsts,
    has,
    last,
    listed,
    mean_of,
    of_groups,
)
from train.report.html.names import Group
from train.report.html.record import RunRecord

_NAMED = 3  # classes in a sentence


def starving(records: Sequence[RunRecord], groups: Sequence[Group]) -> Finding | None:
    """The classes whose logits are pushed hardest for what their own examples pull.

    In the first epoch, where that decides who is learnt at all.
    """
    rows, lowest, moved = [], None, False
    for number, i in firsts(records, groups, "class_gradients", "gradient_ratio"):
        ratios = records[i].statistics["class_gradients"].values["gradient_ratio"]
        ratio = ratios[0]
        known = [c for c in np.argsort(ratio) if np.isfinite(ratio[c])][:_NAMED]
        if not known:
            continue
        moved = moved or len(ratios) > 1
        ends = [f" → {r:.2g}" if len(ratios) > 1 else "" for r in ratios[-1]]
        words = ", ".join(
            f"{class_of(records[i], c)}\u00a0×{ratio[c]:.2g}{ends[c]}" for c in known
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
            f"as its own examples pull it up{', at first' if moved else ''}."
        )
    elif value == 0:
        sentence = f"In {run} no example pulls up the logit of {name}."
    else:
        sentence = "No class is pushed harder than its own examples pull it up."
    title = "Who starves: lowest gradient ratios"
    title += ", first epoch → last" if moved else ""
    return Finding(title, sentence, tuple(rows))


def evenness(records: Sequence[RunRecord], groups: Sequence[Group]) -> Finding | None:
    """Whether the negative gradients get even, the claim of GALA."""
    rows, falls, moved = [], [], False
    final: dict[int, float] = {}
    for number, group in enumerate(groups):
        curves = [_unevenness(records[i]) for i in group.members]
        curves = [each for each in curves if len(each)]
        if not curves:
            continue
        before, after = (np.mean([each[end] for each in curves]) for end in (0, -1))
        final[number] = float(after)
        words = mean_of(np.array([each[-1] for each in curves]), ".2f")
        if max(map(len, curves)) > 1:
            moved = True
            # A head that has learnt nothing yet pushes evenly, too: hence the most.
            most = np.mean([np.max(each) for each in curves])
            words = f"{before:.2f} → {words}, at most {most:.2f}"
        rows.append((number, words))
        if after < before:
            falls.append(group.name)
    if not rows:
        return None
    sentences = []
    if moved:
        who = listed(falls) or "none of the runs"
        sentences.append(
            "Negative gradients get more even from the first epoch to the last in "
            f"{who}."
        )
    (first, base), *others = final.items()
    if others:
        number, value = min(others, key=lambda pair: pair[1])
        change = 100 * (value / base - 1)
        sentences.append(
            f"At the end {groups[number].name} is {abs(change):.0f} % "
            f"{'less' if change < 0 else 'more'} uneven than {groups[first].name}."
        )
    sentence = " ".join(sentences) or "0 when every class receives the same."
    return Finding("Unevenness of negative gradients", sentence, tuple(rows))


def _unevenness(run: RunRecord) -> np.ndarray:
    """Per epoch, where it means something."""
    if not has(run, "class_gradients", "received"):
        return np.array([])
    received = run.statistics["class_gradients"].values["received"]
    values = np.array([measures.unevenness(each) for each in received])
    return values[np.isfinite(values)]


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
