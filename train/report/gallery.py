"""The gallery of losses, from plain arrays: one sheet, and a figure for each loss.

All axes of a kind have the same limits everywhere, and cross-entropy in grey: what a
loss does is where it leaves the grey line.
"""

import io
import pathlib
import re
import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import FancyBboxPatch
from matplotlib.style import context

from train.report.figures import COLOURS
from train.report.labels import Named, label_lines

MORE, LESS = COLOURS[0], COLOURS[4]
INK, SOFT, GREY, FRAME, ZERO = "#1f2328", "#59636e", "#9aa2ab", "#c8cdd3", "#dfe3e7"
STYLE = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.5,
    "text.color": INK,
    "axes.edgecolor": FRAME,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.facecolor": "none",
    "xtick.color": FRAME,
    "ytick.color": FRAME,
    "xtick.labelcolor": SOFT,
    "ytick.labelcolor": SOFT,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "none",
    "savefig.facecolor": "none",
    "savefig.dpi": 160,
    # The same file every time, and text that can be searched and stays small.
    "svg.hashsalt": "jaxloss",
    "svg.fonttype": "none",
}
PULL = (-0.3, 1.45)
STEP = (-1.1, 1.45)
VALUE = (-2.6, 4.2)


_BASELINE = np.array([0.0, 1.0]), np.zeros(2)


class Line(NamedTuple):
    """A loss at one setting, over the probability p of the label."""

    caption: str
    p: np.ndarray
    value: np.ndarray
    pull: np.ndarray  # minus the slope, of the label's log-odds
    steps: np.ndarray  # [points, logits], minus the gradient


def thinned(x: np.ndarray, y: np.ndarray, tolerance: float = 2e-3):
    """The points that are enough to draw a line through all of them."""
    keep, parts = {0, len(x) - 1}, [(0, len(x) - 1)]
    while parts:
        first, last = parts.pop()
        inner = slice(first + 1, last)
        ends = [x[first], x[last]], [y[first], y[last]]
        off = np.abs(y[inner] - np.interp(x[inner], *ends))
        if len(off) and np.max(off) > tolerance:
            middle = first + 1 + int(np.argmax(off))
            keep.add(middle)
            parts += [(first, middle), (middle, last)]
    kept = sorted(keep)
    return x[kept], y[kept]


class Panel(NamedTuple):
    """A loss; the line at its default comes first."""

    name: str
    words: str
    lines: Sequence[Line]
    logits: Sequence[str]
    example: str


def write_figure(figure: Figure, path: pathlib.Path) -> None:
    with context(STYLE):
        if path.suffix != ".svg":
            figure.savefig(path, metadata={"Software": None})
            return
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata=dict.fromkeys(_METADATA))
        path.write_text(_compact(text.getvalue()))


_METADATA = ("Creator", "Date", "Format", "Type")


def _compact(svg: str) -> str:
    """Half the bytes: hundredths of a point are enough, and defaults need no words."""

    def short(tag: re.Match[str]) -> str:
        text = re.sub(r' transform="rotate\(-0 [^)]*\)"', "", tag[0])
        text = text.replace("font-family: 'DejaVu Sans', sans-serif; ", "")
        text = re.sub(r"(\.\d\d)\d+", r"\1", text)
        return re.sub(r"\s*\n\s*", " ", text)

    svg = re.sub(r"<[^!>]*>", short, svg)
    svg = svg.replace("<svg ", "<svg font-family=\"'DejaVu Sans', sans-serif\" ", 1)
    return re.sub(r"\n\s*", "\n", svg)


def page(families: Mapping[str, Sequence[Panel]]) -> str:
    """The figures as Markdown."""
    parts = [
        "# Gallery",
        "Made by `make gallery`. Click a figure to enlarge it.",
        _figure("every loss", "gallery"),
    ]
    for title, panels in families.items():
        parts.append(f"## {title}")
        for panel in panels:
            parts += [
                f"### {panel.name}",
                _figure(panel.name, panel.name),
            ]
    return "\n\n".join(parts) + "\n"


def _figure(words: str, name: str) -> str:
    return f"[![{words}]({name}.svg)]({name}.svg)"


class _Sheet:
    """A card of a size in inches, with places counted from its upper left corner."""

    def __init__(self, width: float, height: float):
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width, height))
        # White under everything, so that it can be read on a dark page as well.
        self.figure.add_artist(
            FancyBboxPatch(
                (0.02 / width, 0.02 / height),
                1 - 0.04 / width,
                1 - 0.04 / height,
                boxstyle=f"round,pad=0,rounding_size={0.09 / width}",
                mutation_aspect=width / height,
                facecolor="white",
                edgecolor="#d8dde2",
                linewidth=0.8,
                zorder=-10,
            )
        )

    def text(self, x: float, y: float, words: str, **style) -> None:
        style = {"va": "top", "ha": "left", **style}
        self.figure.text(x / self.width, 1 - y / self.height, words, **style)

    def rule(self, x: float, y: float, length: float) -> None:
        ends = [x / self.width, (x + length) / self.width]
        height = 1 - y / self.height
        self.figure.add_artist(
            Line2D(ends, [height, height], color=FRAME, linewidth=0.8)
        )

    def axes(self, x: float, y: float, width: float, height: float) -> Axes:
        return self.figure.add_axes(
            (
                x / self.width,
                1 - (y + height) / self.height,
                width / self.width,
                height / self.height,
            )
        )


COLUMNS = 4
MARGIN, CELL, GAP = 0.35, 2.15, 0.3
HEAD, BAND, ROW = 2.1, 0.45, 2.15


def overview(families: Mapping[str, Sequence[Panel]], reference: Line) -> Figure:
    """Every loss in small: the pull on the label's logit, default filled."""
    places, rows, bands = _flow(families)
    with context(STYLE):
        height = HEAD + sum(BAND if band else 0.12 for band in bands) + ROW * rows + 0.2
        width = 2 * MARGIN + COLUMNS * CELL + (COLUMNS - 1) * GAP
        sheet = _Sheet(width, height)
        _key(sheet, reference)
        tops, y = [], HEAD
        for band in bands:
            y += BAND if band else 0.12
            tops.append(y)
            y += ROW
        for title, panels in families.items():
            row, column = places[title]
            x = MARGIN + column * (CELL + GAP)
            across = min(len(panels), COLUMNS - column)
            sheet.rule(x, tops[row] - BAND + 0.1, across * (CELL + GAP) - GAP)
            head, _, rest = title.partition(": ")
            _title(sheet, x, tops[row] - BAND + 0.17, head, rest if across > 1 else "")
            for i, panel in enumerate(panels):
                r, c = divmod(column + i, COLUMNS)
                _cell(
                    sheet,
                    MARGIN + c * (CELL + GAP),
                    tops[row + r],
                    panel,
                    reference,
                )
        return sheet.figure


def _title(sheet: _Sheet, x: float, y: float, head: str, rest: str) -> None:
    sheet.text(x, y, head, fontsize=9.5, fontweight="bold")
    sheet.text(x + 0.087 * len(head) + 0.14, y + 0.015, rest, fontsize=8.5, color=SOFT)


def _flow(families: Mapping[str, Sequence[Panel]]):
    """Families into rows: on the current one if all of it fits, else on a new one."""
    places: dict[str, tuple[int, int]] = {}
    row = column = 0
    bands = {0}
    for title, panels in families.items():
        if column and column + len(panels) > COLUMNS:
            row, column = row + 1, 0
        places[title] = row, column
        bands.add(row)
        down, column = divmod(column + len(panels), COLUMNS)
        row += down
    rows = row + (column > 0)
    return places, rows, [i in bands for i in range(rows)]


def _cell(sheet: _Sheet, x: float, y: float, panel: Panel, reference: Line) -> None:
    sheet.text(
        x,
        y + 0.03,
        panel.name,
        fontsize=8 if len(panel.name) < 32 else 7,
        fontfamily="monospace",
        fontweight="bold",
    )
    words = textwrap.wrap(_sentence(panel.words), 40)
    for i, line in enumerate(words):
        sheet.text(x, y + 0.19 + 0.135 * i, line, color=SOFT)
    axes = sheet.axes(x + 0.15, y + 0.5, CELL - 0.15, 1.35)
    _pull_axes(axes, reference, fill=panel.lines[0])
    named = []
    for i, line in enumerate(panel.lines):
        colour = INK if i == 0 else "#6e7781"
        width = 1.6 if i == 0 else 0.9
        axes.plot(
            *thinned(line.p, line.pull), color=colour, linewidth=width, zorder=4 - i
        )
        named.append(Named(line.caption, line.p, line.pull, colour))
    grey = reference.p, reference.pull
    label_lines(axes, named, others=[grey, _BASELINE], size=6.5)


def _pull_axes(axes: Axes, reference: Line, fill: Line | None) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(*PULL)
    axes.set_xticks([0, 0.5, 1], ["0", "½", "1"])
    axes.set_yticks([0, 1])
    axes.axhline(0, color=ZERO, linewidth=0.7, zorder=0)
    axes.spines["bottom"].set_position(("data", PULL[0]))
    if fill is not None:
        p, pull = thinned(fill.p, fill.pull)
        grey = np.interp(p, reference.p, reference.pull)
        for colour, where in ((MORE, pull >= grey), (LESS, pull <= grey)):
            axes.fill_between(
                p,
                pull,
                grey,
                where=where,
                interpolate=True,
                color=colour,
                alpha=0.3,
                linewidth=0,
            )
    axes.plot(*thinned(reference.p, reference.pull), color=GREY, linewidth=0.9)


def _key(sheet: _Sheet, reference: Line) -> None:
    sheet.text(
        MARGIN, 0.3, "How hard does each loss pull?", fontsize=17, fontweight="bold"
    )
    story = [
        "Pull: the force on the label's logit, minus the derivative of the",
        "loss, over the probability p that the model gives the label.",
        "Bold: the loss at its default; thin: at other settings. Grey, the",
        "same everywhere: cross-entropy, whose pull is 1 − p.",
    ]
    for i, line in enumerate(story):
        sheet.text(MARGIN, 0.75 + 0.185 * i, line, fontsize=8.5, color=SOFT)
    x = MARGIN + 2 * (CELL + GAP) + 0.15
    axes = sheet.axes(x, 0.32, 2 * CELL + GAP - 0.15, 1.3)
    _pull_axes(axes, reference, fill=None)
    axes.set_ylim(0, 1)
    axes.spines["bottom"].set_position(("data", 0))
    p = np.array([0.0, 1.0])
    axes.fill_between(p, 1 - p, 1, color=MORE, alpha=0.3, linewidth=0)
    axes.fill_between(p, 0, 1 - p, color=LESS, alpha=0.3, linewidth=0)
    style = {"ha": "center", "va": "center", "fontweight": "bold", "fontsize": 9}
    axes.text(0.7, 0.72, "pulls harder than cross-entropy", color="#00456b", **style)
    axes.text(0.25, 0.28, "pulls less", color="#7a4f00", **style)
    axes.set_xticks(
        [0, 0.5, 1],
        ["p = 0: rejects the label", "½: undecided", "p = 1: is sure of it"],
    )
    for label, side in zip(
        axes.get_xticklabels(), ("left", "center", "right"), strict=True
    ):
        label.set_horizontalalignment(side)
        label.set_fontsize(7.5)


def loss_figure(panel: Panel, reference: Line) -> Figure:
    """Value, pull, and for each setting where every logit is moved."""
    with context(STYLE):
        sheet = _Sheet(8.3, 5.35)
        sheet.text(
            0.3,
            0.25,
            panel.name,
            fontsize=13,
            fontfamily="monospace",
            fontweight="bold",
        )
        sheet.text(0.3, 0.52, _sentence(panel.words), fontsize=9.5, color=SOFT)
        top = {
            "value": ("loss", VALUE, [-2, 0, 2, 4]),
            "pull": (
                "pull on the label's logit, −∂loss/∂logit",
                STEP,
                [-1, 0, 1],
            ),
        }
        for i, (name, (title, limits, ticks)) in enumerate(top.items()):
            x = 0.55 + i * 3.95
            sheet.text(x, 0.92, title, fontsize=8, fontweight="bold")
            axes = sheet.axes(x, 1.12, 3.5, 1.9)
            grey = getattr(reference, name)
            _plain_axes(axes, limits, ticks)
            axes.plot(*thinned(reference.p, grey), color=GREY, linewidth=1)
            named = []
            for colour, line in zip(COLOURS, panel.lines, strict=False):
                y = getattr(line, name)
                axes.plot(*thinned(line.p, y), color=colour, linewidth=1.6)
                named.append(Named(line.caption, line.p, y, colour))
            if panel.name != "cross_entropy":
                named.append(Named("cross-entropy", reference.p, grey, SOFT))
            label_lines(axes, named, others=[_BASELINE], size=7.5)
        _logit_axes(sheet, panel)
        return sheet.figure


def _logit_axes(sheet: _Sheet, panel: Panel) -> None:
    title = "where each logit is moved, −∂loss/∂logit"
    sheet.text(0.55, 3.42, title, fontsize=8, fontweight="bold")
    style = {"color": SOFT, "fontsize": 7.5, "ha": "right"}
    sheet.text(8.0, 3.43, panel.example, **style)
    count = max(2, len(panel.lines))
    across = (7.45 - 0.4 * (count - 1)) / count
    for i, (colour, line) in enumerate(zip(COLOURS, panel.lines, strict=False)):
        x = 0.55 + i * (across + 0.4)
        sheet.text(x, 3.66, line.caption, color=colour, fontsize=8)
        axes = sheet.axes(x, 3.82, across, 1.25)
        _plain_axes(axes, STEP, [-1, 0, 1])
        named = []
        for j, (logit, step) in enumerate(zip(panel.logits, line.steps.T, strict=True)):
            width = (1.8, 1.2, 0.7)[j]
            axes.plot(*thinned(line.p, step), color=colour, linewidth=width)
            named.append(Named(logit, line.p, step, INK if j == 0 else SOFT))
        label_lines(axes, named, others=[_BASELINE], size=6.5)


def _plain_axes(
    axes: Axes, limits: tuple[float, float], ticks: Sequence[float]
) -> None:
    axes.set_xlim(0, 1)
    axes.set_ylim(*limits)
    axes.set_xticks([0, 0.5, 1], ["p = 0", "½", "1"])
    axes.set_yticks(ticks)
    axes.axhline(0, color=ZERO, linewidth=0.7, zorder=0)


def _sentence(words: str) -> str:
    return words[0].upper() + words[1:]
