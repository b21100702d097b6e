"""What a comparison came to: tables of means and of paired differences, a figure."""

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.style import context

from train.report import figures
from train.report.statistics import Interval, Row, interval, paired
from train.report.text import aligned

ERROR, ACCURACY = "balanced error", "accuracy"
WHEN = ("last", "best")  # epoch


def column(test: str, metric: str, when: str) -> str:
    return f"{test}, {metric}, {when}"


def table(rows: Sequence[Row], tests: Sequence[str], reference: str | None) -> str:
    """One part per test split; differences only where the reference is there."""
    heads = [f"{m} %\n{when} epoch" for m in (ERROR, ACCURACY) for when in WHEN]
    parts = []
    for test in tests:
        columns = [column(test, m, when) for m in (ERROR, ACCURACY) for when in WHEN]
        lines = [
            [
                row.name,
                *(str(interval(row.values[name])) for name in columns),
                f"{row.learning_rate:g}",
            ]
            for row in rows
        ]
        parts.append(aligned([f"\n{test}", *heads, "\nrate"], lines))
        if reference is not None and len(rows) > 1:
            lines = [
                [row.name, *(_marked(rows, row, name, reference) for name in columns)]
                for row in rows
                if row.name != reference
            ]
            title = f"{test}:\nminus {reference}"
            parts.append(aligned([title, *heads], lines))
            parts.append("* paired by seed, the interval leaves out 0")
        parts.append("")
    return "\n\n".join(parts)


def _difference(rows: Sequence[Row], row: Row, name: str, reference: str) -> Interval:
    values = next(other.values for other in rows if other.name == reference)
    return paired(row.values[name], values[name])


def _marked(rows: Sequence[Row], row: Row, name: str, reference: str) -> str:
    difference = _difference(rows, row, name, reference)
    clear = difference.low > 0 or difference.high < 0
    return f"{difference.signed}{'*' if clear else ' '}"


def results(
    rows: Sequence[Row], reference: str | None, notes: Sequence[str]
) -> dict[str, Any]:
    """Ready for JSON: every number per seed, and what was made of it."""
    entries = []
    for row in rows:
        entry: dict[str, Any] = {"name": row.name, "learning_rate": row.learning_rate}
        for name, values in row.values.items():
            entry[name] = {
                "seeds": values.tolist(),
                "interval": interval(values)._asdict(),
            }
            if reference not in (None, row.name):
                difference = _difference(rows, row, name, reference)
                entry[name]["difference"] = difference._asdict()
        entries.append(entry)
    return {"reference": reference, "rows": entries, "notes": list(notes)}


def figure(rows: Sequence[Row], tests: Sequence[str]) -> Figure:
    with context(figures.STYLE):
        size = 5 * len(tests), 1.5 + 0.5 * len(rows)
        drawn = Figure(figsize=size)
        for axes, test in zip(
            drawn.subplots(1, len(tests), squeeze=False)[0], tests, strict=True
        ):
            labels = {column(test, ERROR, when): f"{when} epoch" for when in WHEN}
            figures.dots(axes, rows, labels)
            axes.set_title(f"Balanced error, {test} (%)")
    return drawn
