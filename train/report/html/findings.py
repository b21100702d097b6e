"""The first sentences of the page, each worked out from the numbers of the runs."""

import re
from collections.abc import Sequence

import numpy as np

from train.report.html.findings_of_classes import evenness, norms, ratios, starving
from train.report.html.grouped import Finding, mean_of, of_groups
from train.report.html.names import Group
from train.report.html.record import RunRecord
from train.report.html.scores import EXAMPLES, SEEDS, Score
from train.report.statistics import paired


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
            sentence += " of all."
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

    shares = of_groups(records, groups, key, "share", lambda run: of(run, "share"))
    if not shares:
        return None
    counts = of_groups(records, groups, key, "count", lambda run: of(run, "count"))
    least = min(shares, key=lambda n: float(np.mean(shares[n])))
    sentence = f"{groups[least].name} takes "
    sentence += "least of" if len(shares) > 1 else f"{np.mean(shares[least]):.0f} % of"
    sentence += " its gradient from wrong labels"
    if least in counts:
        sentence += f", which {np.mean(counts[least]):.0f} % of its examples have"
    rows = tuple((n, f"{mean_of(v, '.1f')} %") for n, v in shares.items())
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
    rows = tuple((n, f"{mean_of(v, '+.1f')} points") for n, v in values.items())
    return Finding("Confidence minus accuracy, test, last epoch", sentence, rows)
