"""Figures from plain arrays, for axes the caller makes."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes

from train.report.statistics import Row, interval

# Okabe & Ito: told apart with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")

STYLE = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "0.9",
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
    "savefig.dpi": 160,
}


def dots(axes: Axes, rows: Sequence[Row], columns: Mapping[str, str]) -> None:
    """Mean and 95 % interval of some columns, a line per row, from top to bottom."""
    places = -np.arange(len(rows), dtype=float)
    for i, (column, label) in enumerate(columns.items()):
        points = [interval(row.values[column]) for row in rows]
        axes.errorbar(
            [point.mean for point in points],
            places - 0.18 * (i - (len(columns) - 1) / 2),
            xerr=[point.half for point in points],
            fmt="os^"[i],
            color=COLOURS[i],
            capsize=3,
            label=label,
        )
    axes.set_yticks(places, [row.name for row in rows])
    axes.set_ylim(places[-1] - 0.6, 0.6)
    axes.grid(axis="y", visible=False)
    axes.set_xlabel("%")
    axes.legend(loc="best", fontsize=8)


def epochs(axes: Axes, curves: Mapping[str, np.ndarray]) -> None:
    """Mean over seeds of [seeds, epochs], and the band of its 95 % interval."""
    for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
        x = np.arange(1, values.shape[1] + 1)
        points = [interval(column) for column in values.T]
        axes.plot(x, [point.mean for point in points], color=colour, label=name)
        axes.fill_between(
            x,
            [point.low for point in points],
            [point.high for point in points],
            color=colour,
            alpha=0.15,
            linewidth=0,
        )
    axes.set_ylim(bottom=60)  # the first epochs tell nothing
    axes.set_xlabel("epoch")
    axes.set_ylabel("test accuracy (%)")
    axes.legend(loc="best", fontsize=8)


def tradeoff(
    axes: Axes,
    points: Mapping[str, Sequence[tuple[np.ndarray, np.ndarray]]],
    *,
    x: str,
    y: str,
) -> None:
    """Two quantities with their intervals, a line per name through its points."""
    for i, (name, pairs) in enumerate(points.items()):
        across = [interval(values) for values, _ in pairs]
        up = [interval(values) for _, values in pairs]
        axes.errorbar(
            [point.mean for point in across],
            [point.mean for point in up],
            xerr=[point.half for point in across],
            yerr=[point.half for point in up],
            fmt="os^"[i] + "-",
            color=COLOURS[i],
            capsize=2,
            linewidth=1,
            label=name,
        )
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.legend(loc="best", fontsize=8)
