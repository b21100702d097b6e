"""Numbers as text, the same for a terminal and a file."""

from collections.abc import Mapping, Sequence
from typing import Any


def aligned(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table with the first column to the left; header cells may have two lines."""
    split = [cell.split("\n") for cell in header]
    depth = max(map(len, split))
    heads = [["", *cell] if len(cell) < depth else cell for cell in split]
    rows = [*zip(*heads, strict=True), *lines]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]

    def line(cells):
        (first, *rest), (width, *others) = cells, widths
        padded = [cell.rjust(w) for cell, w in zip(rest, others, strict=True)]
        return "  ".join([first.ljust(width), *padded]).rstrip()

    text = [line(row) for row in rows]
    text.insert(depth, "-" * (sum(widths) + 2 * (len(widths) - 1)))
    return "\n".join(text)


def describe(facts: Mapping[str, Any]) -> str:
    """The realised numbers of a data set, from `Dataset.facts`."""
    sizes, counts = facts["sizes"], facts["train_counts"]
    lines = [
        "images: " + ", ".join(f"{name} {size}" for name, size in sizes.items()),
        f"training images per class: {_short(counts)}",
    ]
    if facts["imbalance"] is None:
        lines[1] += " (some class has none)"
    else:
        lines[1] += f" (largest over smallest: {facts['imbalance']:.1f})"
    if any(facts["noise_rate"].values()):
        lines.append(f"wrong labels: {_percentages(facts['noise_rate'])}")
    if "correlation" in facts:
        lines.append(f"colour of the class: {_percentages(facts['correlation'])}")
    return "\n".join(lines)


def _short(counts: Sequence[int]) -> str:
    if len(counts) <= 20:
        return ", ".join(map(str, counts))
    return f"{min(counts)} to {max(counts)} in {len(counts)} classes"


def _percentages(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {100 * rate:.1f} %" for name, rate in rates.items())
