"""How examples and predictions are spread, on axes the caller makes."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes

from train.report.figures import COLOURS


def log_odds(axes: Axes, edges: np.ndarray, groups: Mapping[str, np.ndarray]) -> None:
    """Counts of each group in the bins, as shares of the group.

    To the right of 0 the label has more than half of the probability; the bins at both
    ends also hold what lies outside.
    """
    for colour, (name, counts) in zip(COLOURS, groups.items(), strict=False):
        counts = np.asarray(counts, float)
        share = 100 * counts / max(np.sum(counts), 1)
        axes.stairs(share, edges, color=colour, linewidth=1.3, label=name)
        axes.stairs(share, edges, color=colour, fill=True, alpha=0.12)
    held = np.flatnonzero(np.sum([np.asarray(c) for c in groups.values()], axis=0))
    if len(held):
        axes.set_xlim(float(edges[held[0]]), float(edges[held[-1] + 1]))
    axes.axvline(0, color="0.4", linewidth=0.8)
    axes.set_xlabel("log-odds of the label")
    axes.set_ylabel("share of the group (%)")
    axes.legend(loc="best", fontsize=8)


def reliability(
    axes: Axes,
    bins: Mapping[str, Mapping[str, np.ndarray]],
    *,
    below: Axes | None = None,
) -> None:
    """Accuracy against confidence of each method; `below` has the counts.

    The bins of a method are arrays `confidence`, `accuracy` and `count`; empty ones are
    left out. On the dotted diagonal a model is right as often as it says.
    """
    axes.plot([0, 1], [0, 1], color="0.4", linestyle=":", linewidth=1)
    width = 0.9 / max(len(bins), 1)
    for i, (name, found) in enumerate(bins.items()):
        colour = COLOURS[i % len(COLOURS)]
        count = np.asarray(found["count"], float)
        full = count > 0
        x, y = (np.asarray(found[key], float) for key in ("confidence", "accuracy"))
        axes.plot(x[full], y[full], "o-", color=colour, markersize=4, label=name)
        if below is not None:
            places = np.arange(len(count)) + 0.05 + width * (i + 0.5)
            below.bar(places / len(count), count, width / len(count), color=colour)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_ylabel("accuracy")
    axes.legend(loc="best", fontsize=8)
    bottom = axes
    if below is not None:
        below.set_xlim(0, 1)
        below.set_ylabel("examples")
        bottom = below
    bottom.set_xlabel("confidence")
