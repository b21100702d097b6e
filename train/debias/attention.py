"""Where models look, before and after de-biasing."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from matplotlib.figure import Figure
from matplotlib.style import context

from train.data.vqa import VqaDataset, VqaSplit, pick
from train.models import Model
from train.report import figures
from train.report.statistics import interval
from train.sweep import Sweep
from train.vqa_models import attention


def looks(model: Model, sweep: Sweep, rate: int, seed: int, split: VqaSplit) -> Any:
    """Attention [n, cells] of the base model of one training, on grid cells."""
    params, stats = (
        jax.tree.map(lambda leaf: leaf[rate, seed], tree)
        for tree in (sweep.params, sweep.stats)
    )
    return np.asarray(attention(model)(params, stats, split.inputs))


def on_relevant(
    model: Model, sweep: Sweep, rate: int, splits: Sequence[VqaSplit]
) -> np.ndarray:
    """Share of the attention that goes to what the question is about, for every seed;
    of questions about some of the cells."""
    shares = []
    for seed, split in enumerate(splits):
        asked = split.relevant.any(1) & ~split.relevant.all(1)
        weights = looks(model, sweep, rate, seed, split)
        shares.append(np.mean(np.sum(weights * split.relevant, axis=1)[asked]))
    return 100 * np.array(shares)


def attention_figure(
    model: Model,
    sweeps: Mapping[str, Sweep],
    rate: int,
    datasets: Sequence[VqaDataset],
    *,
    test: str = "reversed",
    questions: int = 4,
) -> Figure:
    """A row per question that the first method gets wrong and the second right, as many
    types as there are; the picture, then where each method looks (seed 0)."""
    dataset, split = datasets[0], datasets[0].tests[test]
    first, second, *_ = sweeps
    answers = {name: s.last[test][rate, 0].argmax(-1) for name, s in sweeps.items()}
    right = {name: each == split.label for name, each in answers.items()}
    types = split.inputs.question_type
    chosen = [
        np.flatnonzero(right[second] & ~right[first] & (types == kind))[:1]
        for kind in range(len(dataset.question_types))
    ]
    chosen = np.concatenate(chosen)[:questions].astype(int)
    some = pick(split, chosen)
    maps = {name: looks(model, s, rate, 0, some) for name, s in sweeps.items()}
    splits = [each.tests[test] for each in datasets]
    shares = {
        name: interval(on_relevant(model, s, rate, splits))
        for name, s in sweeps.items()
    }
    with context(figures.STYLE):
        size = 2.1 * (1 + len(sweeps)), 0.7 + 2.2 * max(len(chosen), 1)
        figure = Figure(figsize=size)
        grid = figure.subplots(max(len(chosen), 1), 1 + len(sweeps), squeeze=False)
        for row, example in zip(grid, range(len(chosen)), strict=False):
            picture = some.picture[example]
            cells = int(np.sqrt(some.inputs.image.shape[1]))
            words = [
                dataset.vocabulary[token]
                for token in some.inputs.question[example]
                if token
            ]
            row[0].imshow(picture)
            row[0].set_title(
                _wrapped(words) + f"\n{dataset.answers[some.label[example]]}",
                fontsize=7,
                fontweight="normal",
            )
            for axes, (name, weights) in zip(row[1:], maps.items(), strict=True):
                axes.imshow(picture, alpha=0.35)
                axes.imshow(
                    weights[example].reshape(cells, cells),
                    extent=(-0.5, picture.shape[1] - 0.5, picture.shape[0] - 0.5, -0.5),
                    cmap="Blues",
                    vmin=0,
                    vmax=1,
                    alpha=0.75,
                )
                said = dataset.answers[answers[name][chosen[example]]]
                axes.set_title(f"{name}:\n{said}", fontsize=7, fontweight="normal")
        for axes in grid.flat:
            axes.set_axis_off()
        found = ", ".join(f"{name} {share}" for name, share in shares.items())
        figure.suptitle(
            f"Questions that {first} gets wrong and {second} right.\nAttention on what "
            f"the question is about (%): {found}",
            fontsize=8,
        )
    return figure


def _wrapped(words: Sequence[str]) -> str:
    half = (len(words) + 1) // 2
    return " ".join(words[:half]) + "\n" + " ".join(words[half:]) + "?"
