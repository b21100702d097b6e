"""Which way each loss pushes, and what of it the conflicting examples get."""

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from matplotlib.style import context

import jaxloss
from train.report import figures
from train.report.statistics import Row
from train.sweep import Sweep

CLASSES = 10


def push(share: np.ndarray) -> dict[str, np.ndarray]:
    """Minus the gradient at logits of 0, by the bias model's probability of the label.

    Returns:
        By loss `[2, points]`: on the label's logit, and on each of the nine others,
        between which the bias model divides what is left. Positive pulls up.
    """
    known = jnp.asarray(share)[:, None]
    label = jnp.arange(CLASSES)[None] == 0
    b = jnp.where(label, known, (1 - known) / (CLASSES - 1))
    target, z = jnp.broadcast_to(label.astype(b.dtype), b.shape), jnp.zeros_like(b)
    sigmoid, softmax = jnp.log(b) - jnp.log1p(-b), jnp.log(b)

    def of(bias, **options):
        def losses(z):
            return jnp.sum(jaxloss.greedy_ensemble([bias, z], target, **options)[1])

        return -np.asarray(jax.grad(losses)(z))[:, :2].T

    def plain(z):
        return jnp.sum(jaxloss.greedy_ensemble([z], target, form="softmax")[0])

    return {
        "cross-entropy": -np.asarray(jax.grad(plain)(z))[:, :2].T,
        **{
            f"GGD, w = {w:g}": of(softmax, form="weighted", weight=w)
            for w in (0.5, 0.9)
        },
        "GGE, softmax = GGD, w = 1": of(softmax, form="softmax"),
        "GGE, BCE exact": of(sigmoid, form="exact"),
        "GGE, BCE relaxed": of(sigmoid, form="relaxed"),
    }


def push_figure() -> Figure:
    share = np.linspace(0.005, 0.995, 200)
    with context(figures.STYLE):
        figure = Figure(figsize=(9, 3.6))
        left, right = figure.subplots(1, 2)
        for (name, values), colour in zip(
            push(share).items(), figures.COLOURS, strict=False
        ):
            style = "--" if "relaxed" in name else "-"  # on the right it hides exact
            for axes, line in zip((left, right), values, strict=True):
                axes.plot(share, line, style, color=colour, label=name)
        for axes, title in (
            (left, "on the label's logit"),
            (right, "on each other logit"),
        ):
            axes.axhline(0, color="0.3", linewidth=0.8)
            axes.set_title(f"Minus the gradient {title}")
            axes.set_xlabel("probability the bias model gives the label")
        left.set_ylabel("pulls up   →")
        right.legend(fontsize=7.5, loc="center left")
    return figure


def shares_figure(sweeps: Mapping[str, Sweep], rate: int) -> Figure:
    """What part of the loss and of the gradient on the logits conflicting examples
    have, over the epochs: of the sums over the seeds."""
    parts = {
        "loss": ("loss_of_conflicting", "loss/base"),
        "gradient": ("gradient_of_conflicting", "gradient"),
    }
    with context(figures.STYLE):
        figure = Figure(figsize=(9, 3.6))
        both = figure.subplots(1, 2)
        for axes, (name, (part, whole)) in zip(both, parts.items(), strict=True):
            for colour, (method, sweep) in zip(
                figures.COLOURS, sweeps.items(), strict=False
            ):
                sums = [sweep.history[key][rate].sum(0) for key in (part, whole)]
                epochs = np.arange(1, len(sums[0]) + 1)
                axes.plot(epochs, 100 * sums[0] / sums[1], color=colour, label=method)
            axes.set_xlabel("epoch")
            axes.set_title(f"Conflicting examples: share of the {name} (%)")
            axes.set_ylim(0, 100)
        both[1].legend(fontsize=8)
    return figure


def comparison_figure(rows: Sequence[Row], columns: Sequence[str]) -> Figure:
    with context(figures.STYLE):
        figure = Figure(figsize=(6.5, 1.5 + 0.35 * len(rows)))
        axes = figure.subplots()
        figures.dots(axes, rows, {column: column for column in columns})
    return figure
