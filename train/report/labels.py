"""Names beside the lines they belong to, instead of a legend."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes

# A character over the font size: of DejaVu Sans, as wide as any font a viewer may use.
_WIDTH, _HEIGHT = 0.59, 1.1
# Where the text goes from a point of its line, and by how much of the font size.
_SIDES = [
    ("left", "bottom", 0.3, 0.2),
    ("right", "bottom", -0.3, 0.2),
    ("left", "top", 0.3, -0.2),
    ("right", "top", -0.3, -0.2),
    ("center", "bottom", 0.0, 0.4),
    ("center", "top", 0.0, -0.4),
    ("left", "center", 0.6, 0.0),
    ("right", "center", -0.6, 0.0),
]
_SHARE = {"left": 0, "center": 0.5, "right": 1, "bottom": 0, "top": 1}


class Named(NamedTuple):
    caption: str
    x: np.ndarray
    y: np.ndarray
    colour: str


def label_lines(
    axes: Axes,
    lines: Sequence[Named],
    *,
    others: Sequence[tuple[np.ndarray, np.ndarray]] = (),
    size: float,
) -> None:
    """Writes each caption where it crosses no line and is nearest to its own.

    `others` are lines to keep clear of that get no caption here. The axes must have
    their final place and limits.
    """
    figure = axes.get_figure(root=True)
    assert figure is not None
    points = 72 / figure.dpi  # everything below is in points
    frame = axes.get_window_extent().get_points() * points
    drawn = [
        _dense(axes.transData.transform(np.column_stack(line)) * points)
        for line in [*((line.x, line.y) for line in lines), *others]
    ]
    taken: list[np.ndarray] = []
    for i, line in enumerate(lines):
        if not line.caption:
            continue
        extent = size * np.array([_WIDTH * len(line.caption), _HEIGHT])
        starts = drawn[i][::4]
        starts = starts[np.all((frame[0] <= starts) & (starts <= frame[1]), axis=1)]
        if not len(starts):
            continue
        offsets = size * np.array([side[2:] for side in _SIDES])
        shares = np.array([[_SHARE[side[0]], _SHARE[side[1]]] for side in _SIDES])
        anchors = starts[:, None] + offsets
        lows = (anchors - extent * shares).reshape(-1, 2)
        cost = _cost(lows, lows + extent, frame, drawn, i, taken, size)
        best = int(np.argmin(cost))
        taken.append(np.array([lows[best], lows[best] + extent]))
        ha, va, *_ = _SIDES[best % len(_SIDES)]
        anchor = anchors.reshape(-1, 2)[best] / points
        x, y = axes.transData.inverted().transform(anchor)
        axes.text(
            x,
            y,
            line.caption,
            ha=ha,
            va="center_baseline" if va == "center" else va,
            color=line.colour,
            fontsize=size,
        )


def _dense(line: np.ndarray) -> np.ndarray:
    """The same line with a point every two points of length."""
    line = line[np.isfinite(line).all(axis=1)]
    length = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(line, axis=0).T))])
    places = np.arange(0, length[-1], 2.0)
    return np.column_stack([np.interp(places, length, column) for column in line.T])


def _cost(
    low: np.ndarray,
    high: np.ndarray,
    frame: np.ndarray,
    drawn: Sequence[np.ndarray],
    own: int,
    taken: Sequence[np.ndarray],
    size: float,
) -> np.ndarray:
    """Of each box: how much is outside, on other texts, on lines, and near others'."""
    outside = np.maximum(frame[0] - low, 0) + np.maximum(high - frame[1], 0)
    cost = 20 * np.sum(outside, axis=1)
    for other in taken:
        cost += 50 * np.all((low - 1 < other[1]) & (other[0] < high + 1), axis=1)
    for j, line in enumerate(drawn):
        gap = np.maximum(low[:, None] - line, line - high[:, None])
        away = np.hypot(*np.moveaxis(np.maximum(gap, 0), -1, 0))
        cost += 3 * np.sum(away < 0.1 * size, axis=1)
        if j != own:
            cost += 1 / (0.3 + np.min(away, axis=1) / size)
    return cost
