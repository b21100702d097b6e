"""The first sentences of the page, each worked out from the numbers of the runs."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from train.report import measures
from train.report.names import Group
from train.report.record import RunRecord
from train.report.scores import EXAMPLES, SEEDS, Score
from train.report.statistics import interval, paired

_NAMED = 3  # classes in a sentence


class Finding(NamedTuple):
    """A heading, a sentence, and a few words for each group of runs."""

    title: str
    sentence: str
    rows: tuple[tuple[int, str], ...]


def findings(
    records: Sequence[RunRecord], groups: Sequence[Group], scores: Sequence[Score]
) -> list[Finding]:
    """Those there are numbers for."""
    found = [accuracy(records, groups, scores)]
    for find in (starving, evenness, ratios, norms, mislabelled, calibration):
        found.append(find(records, groups))
    return [_typeset(each) for each in found if each is not None]


def _typeset(finding: Finding) -> Finding:
    """A minus instead of a hyphen, and no line break before a unit."""

    def better(text: str) -> str:
        return re.sub(r"(?<!\w)-(?=\d)", "−", text).replace(" %", "\u00a0%")

    rows = tuple((group, better(words)) for group, words in finding.rows)
    return Finding(finding.title, better(finding.sentence), rows)


def accuracy(
    records: Sequence[RunRecord], groups: Sequence[Group], scores: Sequence[Score]
) -> Finding | None:
    """Who errs least, and how far from the first."""
    split = "test" if any(s.split == "test" for s in scores) else None
    rows = [
        score
        for score in scores
        if score.metric == "balanced_error" and score.when == "last"
        if score.split == (split or score.split)
    ]
    if not rows:
        return None
    best = min(rows, key=lambda score: score.value)
    words = {s.group: _with_ends(s) for s in rows}
    title = f"Balanced error, {best.split}, last epoch"
    if len(rows) == 1:
        sentence = f"{best.value:.1f} % of the examples of an average class are wrong."
    else:
        sentence = f"{groups[best.group].name} errs least"
        first = rows[0]
        if best is first:
            sentence += "; no other comes below the first."
        else:
            sentence += f", {first.value - best.value:.1f} points below "
            sentence += f"{groups[first.group].name}: "
            sentence += _certainty(records, groups, first, best)
    return Finding(title, sentence, tuple(words.items()))


def _with_ends(score: Score) -> str:
    if score.kind == SEEDS:
        return f"{score.value:.1f} ± {score.high - score.value:.1f} %"
    if score.kind == EXAMPLES:
        return f"{score.value:.1f} % [{score.low:.1f}, {score.high:.1f}]"
    return f"{score.value:.1f} %"


def _certainty(
    records: Sequence[RunRecord], groups: Sequence[Group], first: Score, best: Score
) -> str:
    def by_seed(score):
        values = {}
        for i in groups[score.group].members:
            splits = records[i].results.get("splits", {})
            value = splits.get(score.split, {}).get(score.when, {}).get(score.metric)
            if value is not None:
                seed = records[i].config.get("chosen", {}).get("seed")
                values[seed] = 100 * value
        return values

    mine, other = by_seed(best), by_seed(first)
    shared = sorted(mine.keys() & other.keys(), key=str)
    if len(shared) > 1:
        difference = paired(
            np.array([mine[seed] for seed in shared]),
            np.array([other[seed] for seed in shared]),
        )
        verdict = "which leaves out 0" if difference.high < 0 else "which contains 0"
        return (
            f"paired over {len(shared)} seeds, {difference.signed} points, {verdict}."
        )
    if first.kind != EXAMPLES or best.kind != EXAMPLES:
        return "too few seeds to say how sure that is."
    if best.high < first.low:
        return "with one seed each; their intervals over test examples do not meet."
    return "with one seed each, and within their intervals over test examples."


def starving(records: Sequence[RunRecord], groups: Sequence[Group]) -> Finding | None:
    """The classes whose logits are pushed hardest for what their own examples pull."""
    rows, lowest = [], None
    for number, i in _firsts(records, groups, "class_gradients", "gradient_ratio"):
        ratio = _last(records[i], "class_gradients", "gradient_ratio")
        known = [c for c in np.argsort(ratio) if np.isfinite(ratio[c])][:_NAMED]
        if not known:
            continue
        words = ", ".join(
            f"{_class(records[i], c)}\u00a0×{ratio[c]:.2g}" for c in known
        )
        rows.append((number, words))
        if lowest is None or ratio[known[0]] < lowest[0]:
            lowest = ratio[known[0]], _class(records[i], known[0]), groups[number].name
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
    rows, falls, last = [], [], {}
    for number, group in enumerate(groups):
        runs = [records[i] for i in group.members if _has(records[i], key, name)]
        pairs = np.array(
            [
                [measures.unevenness(_at(run, key, name, at)) for at in (0, -1)]
                for run in runs
            ]
        )
        if not len(pairs):
            continue
        before, after = pairs.mean(axis=0)
        last[number] = after
        rows.append((number, f"{before:.2f} → {_mean(pairs[:, 1], '.2f')}"))
        if after < before:
            falls.append(groups[number].name)
    if not rows:
        return None
    sentence = "Negative gradients get more even from the first epoch to the last in "
    sentence += f"{_listed(falls)}." if falls else "none of the runs."
    others = {n: value for n, value in last.items() if n != rows[0][0]}
    if others:
        number = min(others, key=lambda n: others[n])
        change = 100 * (others[number] / last[rows[0][0]] - 1)
        sentence += (
            f" At the end {groups[number].name} is {abs(change):.0f} % "
            f"{'less' if change < 0 else 'more'} uneven than {groups[rows[0][0]].name}."
        )
    title = "Unevenness of negative gradients"
    return Finding(title, sentence, tuple(rows))


def ratios(records: Sequence[RunRecord], groups: Sequence[Group]) -> Finding | None:
    """How far apart the gradient ratios of the classes are."""
    key, name = "class_gradients", "gradient_ratio"
    values = _of_groups(
        records, groups, key, name, lambda run: measures.spread(_last(run, key, name))
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
    rows = tuple((n, f"×{_mean(v, '.3g')}") for n, v in values.items())
    return Finding("Spread of the gradient ratio", sentence + ".", rows)


def norms(records: Sequence[RunRecord], groups: Sequence[Group]) -> Finding | None:
    """Whether the head grew with the frequency of the class."""

    def correlation(run: RunRecord) -> float:
        if run.classes is None or run.classes.train_counts is None:
            return np.nan
        prior = measures.log_prior(run.classes.train_counts)
        return measures.correlation(_last(run, "class_vectors", "norm"), prior)

    values = _of_groups(records, groups, "class_vectors", "norm", correlation)
    if not values:
        return None
    grown = [groups[n].name for n, v in values.items() if np.mean(v) > 0.5]
    sentence = "Frequent classes have longer vectors in "
    sentence += f"{_listed(grown)}." if grown else "none of the runs."
    rows = tuple((n, f"r = {_mean(v, '+.2f')}") for n, v in values.items())
    return Finding("Class-vector norm and log prior", sentence, rows)


def mislabelled(
    records: Sequence[RunRecord], groups: Sequence[Group]
) -> Finding | None:
    """Which part of the gradient comes from wrong labels."""
    key = "gradient_norms_noise"

    def of(run: RunRecord, name: str) -> float:
        series = run.statistics[key]
        if "noisy" not in series.groups:
            return np.nan
        values = series.values[name][-1]
        total = np.nansum(values)
        return float(100 * values[series.groups.index("noisy")] / total)

    shares = _of_groups(records, groups, key, "share", lambda run: of(run, "share"))
    if not shares:
        return None
    counts = _of_groups(records, groups, key, "count", lambda run: of(run, "count"))
    least = min(shares, key=lambda n: float(np.mean(shares[n])))
    sentence = f"{groups[least].name} takes "
    sentence += "least of" if len(shares) > 1 else f"{np.mean(shares[least]):.0f} % of"
    sentence += " its gradient from wrong labels"
    if least in counts:
        sentence += f", which {np.mean(counts[least]):.0f} % of its examples have"
    rows = tuple((n, f"{_mean(v, '.1f')} %") for n, v in shares.items())
    title = "Share of the gradient from wrong labels, last epoch"
    return Finding(title, sentence + ".", rows)


def calibration(
    records: Sequence[RunRecord], groups: Sequence[Group]
) -> Finding | None:
    """Mean confidence minus accuracy on test."""
    values: dict[int, np.ndarray] = {}
    for number, group in enumerate(groups):
        gaps = []
        for i in group.members:
            classes = records[i].classes
            found = classes and classes.splits.get(("test", "last"))
            if not found or not {"confidence", "accuracy", "count"} <= {
                *found.calibration
            }:
                continue
            bins = found.calibration
            difference = np.nan_to_num(bins["confidence"] - bins["accuracy"])
            total = np.sum(bins["count"])
            gaps.append(100 * float(np.sum(bins["count"] * difference) / total))
        if gaps:
            values[number] = np.array(gaps)
    if not values:
        return None
    best = min(values, key=lambda n: abs(float(np.mean(values[n]))))
    mean = float(np.mean(values[best]))
    sentence = f"{groups[best].name} is {abs(mean):.1f} points too "
    sentence += "sure" if mean > 0 else "unsure"
    sentence += " of itself, least of all." if len(values) > 1 else " of itself."
    rows = tuple((n, f"{_mean(v, '+.1f')} points") for n, v in values.items())
    return Finding("Confidence minus accuracy, test, last epoch", sentence, rows)


def _has(run: RunRecord, key: str, name: str) -> bool:
    return key in run.statistics and name in run.statistics[key].values


def _at(run: RunRecord, key: str, name: str, epoch: int) -> np.ndarray:
    return run.statistics[key].values[name][epoch]


def _last(run: RunRecord, key: str, name: str) -> np.ndarray:
    return _at(run, key, name, -1)


def _firsts(
    records: Sequence[RunRecord], groups: Sequence[Group], key: str, name: str
) -> Iterator[tuple[int, int]]:
    """Of each group the first run that has the statistic."""
    for number, group in enumerate(groups):
        runs = [i for i in group.members if _has(records[i], key, name)]
        if runs:
            yield number, runs[0]


def _of_groups(
    records: Sequence[RunRecord],
    groups: Sequence[Group],
    key: str,
    name: str,
    measure: Callable[[RunRecord], float],
) -> Mapping[int, np.ndarray]:
    values = {
        number: np.array(
            [measure(records[i]) for i in group.members if _has(records[i], key, name)]
        )
        for number, group in enumerate(groups)
    }
    finite = {n: v[np.isfinite(v)] for n, v in values.items()}
    return {n: v for n, v in finite.items() if len(v)}


def _mean(values: np.ndarray, form: str) -> str:
    """The mean over seeds, with its interval when there are several."""
    if len(values) < 2:
        return f"{values[0]:{form}}"
    found = interval(values)
    return f"{found.mean:{form}} ± {found.half:{form.lstrip('+')}}"


def _listed(names: Sequence[str]) -> str:
    if len(names) < 2:
        return "".join(names)
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _class(run: RunRecord, index: int) -> str:
    if run.classes is None:
        return f"class {index}"
    name = run.classes.names[index]
    if run.classes.train_counts is None:
        return name
    return f"{name} ({run.classes.train_counts[index]:.0f})"
