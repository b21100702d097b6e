"""What a loss does to the gradients, drawn from plain arrays on axes the caller makes.

The figures of the page for a notebook or a paper. Classes come in any order and are
sorted by `counts`, their training examples, the most frequent first.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm
from matplotlib.ticker import LogLocator, NullFormatter

from train.report.figures import COLOURS
from train.report.measures import correlation, log_prior

CROWDED = 30  # classes: more names than this do not fit below an axis
# Little to much, as on the page.
_SCALE = ["#f7fafc", "#c6dcec", "#5fa8d3", "#0a6aa6", "#06283f"]
_MAP = LinearSegmentedColormap.from_list("little to much", _SCALE)


def class_values(
    axes: Axes,
    values: Mapping[str, np.ndarray],
    counts: np.ndarray,
    *,
    names: Sequence[str] = (),
    label: str = "gradient ratio, positive / received",
    balance: float | None = 1.0,
) -> None:
    """A number per class and method, on a logarithmic scale.

    With gradient ratios a class below the dotted line at `balance` is pushed down
    harder than its own examples pull it up.
    """
    order = _order(counts)
    ranks = np.arange(1, len(order) + 1)
    for colour, (name, of_classes) in zip(COLOURS, values.items(), strict=False):
        y = np.asarray(of_classes, float)[order]
        style = "o-" if len(order) <= CROWDED else "."
        axes.plot(ranks, y, style, color=colour, label=name, linewidth=1, markersize=4)
    if balance is not None:
        axes.axhline(balance, color="0.4", linestyle=":", linewidth=1)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_ylabel(label)
    if names and len(order) <= CROWDED:
        ticks = [names[i] for i in order]
        axes.set_xticks(ranks, ticks, rotation=45, ha="right")
    else:
        axes.set_xlabel("rank of the class, the most frequent first")
    axes.legend(loc="best", fontsize=8)


def class_matrix(
    axes: Axes,
    matrix: np.ndarray,
    counts: np.ndarray,
    *,
    names: Sequence[str] = (),
) -> None:
    """|gradient| that examples of a class (row) put on a logit (column)."""
    order = _order(counts)
    cells = np.asarray(matrix, float)[np.ix_(order, order)]
    cells = np.ma.masked_where(~(cells > 0), cells)
    norm = LogNorm() if cells.count() else None
    image = axes.imshow(cells, cmap=_MAP, norm=norm, interpolation="nearest")
    axes.grid(visible=False)
    axes.set_xlabel("logit")
    axes.set_ylabel("class of the example")
    if names and len(order) <= CROWDED:
        places, ticks = np.arange(len(order)), [names[i] for i in order]
        axes.set_xticks(places, ticks, rotation=45, ha="right")
        axes.set_yticks(places, ticks)
    figure = axes.get_figure(root=True)
    assert figure is not None
    figure.colorbar(image, ax=axes, label="|gradient|, summed")


def norm_against_prior(
    axes: Axes, norms: Mapping[str, np.ndarray], counts: np.ndarray
) -> None:
    """A point per class; the legend has the correlation."""
    prior = log_prior(counts)
    for colour, (name, norm) in zip(COLOURS, norms.items(), strict=False):
        r = correlation(prior, np.asarray(norm, float))
        label = f"{name}, r = {r:.2f}"
        axes.scatter(prior, norm, s=16, color=colour, alpha=0.8, label=label)
    axes.set_xlabel("log prior")
    axes.set_ylabel("norm of the class vector")
    axes.legend(loc="best", fontsize=8)


def gradient_share(
    axes: Axes,
    epochs: np.ndarray,
    shares: Mapping[str, np.ndarray],
    *,
    of_examples: Mapping[str, float] | None = None,
) -> None:
    """Share of each group in the gradient; dotted, its share of the examples."""
    for colour, (name, share) in zip(COLOURS, shares.items(), strict=False):
        axes.plot(epochs, 100 * np.asarray(share), color=colour, label=name)
        if of_examples is not None and name in of_examples:
            level = 100 * of_examples[name]
            axes.axhline(level, color=colour, linestyle=":", linewidth=1)
    axes.set_ylim(bottom=0)
    axes.set_xlabel("epoch")
    axes.set_ylabel("share of the gradient (%)")
    axes.legend(loc="best", fontsize=8)


def _order(counts: np.ndarray) -> list[int]:
    return np.argsort(-np.asarray(counts, float), kind="stable").tolist()
