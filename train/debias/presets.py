"""What `compare --preset` trains, and what it asks of the results."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from matplotlib.figure import Figure

from train import config, data
from train.commands import Compare, SweptFit
from train.debias import sweep as scores
from train.debias.attention import attention_figure
from train.debias.ensemble import Networks
from train.debias.fit import Fit, Problem
from train.debias.images import Images
from train.debias.methods import METHODS
from train.debias.questions import Questions
from train.sweep import Scorer, Sweep

CEILING = "ceiling: no shortcut"


class Task(Protocol):
    """Data and networks."""

    def datasets(self, seeds: int) -> tuple[Any, ...]: ...

    def describe(self, dataset: Any) -> str: ...

    def problem(self, dataset: Any) -> Problem: ...

    def networks(self, dataset: Any) -> Networks: ...


@dataclasses.dataclass(frozen=True)
class Column:
    """A number of the table: a test split and what is measured on it."""

    split: str
    score: Scorer = scores.score


@dataclasses.dataclass(frozen=True)
class Claim:
    """That one method is better than another in a column."""

    text: str
    better: str
    worse: str
    column: str


@dataclasses.dataclass(frozen=True)
class Preset:
    """A comparison, but for the number of seeds."""

    title: str
    task: Task
    family: str  # of `METHODS`
    methods: tuple[str, ...]  # the first is the reference
    fit: Fit
    learning_rates: tuple[float, ...]
    columns: Mapping[str, Column]
    drawn: int  # how many of the columns the figure shows
    shown: tuple[str, ...]  # the methods whose shares are drawn
    claims: tuple[Claim, ...]
    notes: tuple[str, ...]
    ceiling: Task | None = None  # the same task without the shortcut
    figures: Mapping[str, Callable[[Mapping[str, Sweep], int], Figure | None]] = (
        dataclasses.field(default_factory=dict)
    )

    @property
    def reference(self) -> str:
        return self.methods[0]


def preset_of(command: Compare) -> Preset:
    """The preset that a command names, with what the command says otherwise."""
    plain = Compare()
    if command.losses != plain.losses:
        raise ValueError("a preset compares methods, not losses: choose with --methods")
    if command.fit.optimizer != plain.fit.optimizer:
        raise ValueError(
            "a preset brings its optimizer; of the training only --epochs, "
            "--batch-size, --widths and --learning-rates can be changed"
        )
    if command.seeds < 2:
        raise ValueError(f"an interval needs 2 seeds at least, got {command.seeds}")
    match command.preset:
        case "coloured_digits_debias":
            preset = coloured(_images(command, data.Digits(), 0.95, "corners"))
        case "biased_mnist_debias":
            mnist = data.Tfds("mnist")
            preset = coloured(_images(command, mnist, 0.997, "biased-mnist"))
            preset = dataclasses.replace(
                preset, fit=Fit(epochs=20, bias_epochs=5), learning_rates=(0.001,)
            )
        case "vqa_debias":
            preset = questions(_questions(command))
        case _:
            raise ValueError(f"no preset named {command.preset!r}")
    changed = {
        field.name: getattr(command.fit, field.name)
        for field in dataclasses.fields(SweptFit)
        if getattr(command.fit, field.name) != getattr(plain.fit, field.name)
    }
    changed.pop("widths", None)  # the task's
    if command.learning_rates != plain.learning_rates:
        preset = dataclasses.replace(preset, learning_rates=command.learning_rates)
    for rate in preset.learning_rates:
        if not 0 < rate < float("inf"):
            raise ValueError(f"learning rates must be positive and finite, got {rate}")
    fit = dataclasses.replace(preset.fit, **changed, hyper=command.hyper)
    _check(fit)
    return dataclasses.replace(preset, fit=fit)


def _check(fit: Fit) -> None:
    for name, value in (("epochs", fit.epochs), ("batch size", fit.batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    hyper = fit.hyper
    for name, value, low, high in (
        ("offset", hyper.offset, 0, float("inf")),
        ("gce-q", hyper.gce_q, 0, 1),
        ("failure-decay", hyper.failure_decay, 0, 1),
        ("entropy-weight", hyper.entropy_weight, 0, float("inf")),
        ("group-step", hyper.group_step, 0, float("inf")),
    ):
        if not low <= value <= high:
            raise ValueError(f"{name} must be in [{low}, {high}], got {value}")
    if not hyper.length > 0 or not hyper.gce_q > 0:
        raise ValueError("length and gce-q must be positive")


def _images(
    command: Compare, source: data.Source, correlation: float, palette: Any
) -> Images:
    """The words for source and corruption replace those of the preset."""
    plain = Compare()
    corruption = command.corruption
    if corruption == plain.corruption:
        corruption = data.ColouredBackground(correlation, palette=palette)
    if not isinstance(corruption, data.ColouredBackground):
        raise ValueError(
            f"the preset {command.preset} is about a coloured background, not about "
            f"{config.name_of(corruption)}"
        )
    corruption = dataclasses.replace(corruption, palette=palette)  # the preset's
    source = source if command.source == plain.source else command.source
    source = dataclasses.replace(source, data_dir=command.data_dir)
    images = Images(source, corruption)
    if command.fit.widths != plain.fit.widths:
        images = dataclasses.replace(images, widths=command.fit.widths)
    return images


def _questions(command: Compare) -> Questions:
    plain = Compare()
    if command.source != plain.source or command.corruption != plain.corruption:
        raise ValueError(f"the preset {command.preset} brings its data")
    if command.fit.widths != plain.fit.widths:
        raise ValueError(f"the preset {command.preset} has no --widths")
    task = Questions()
    source = dataclasses.replace(task.source, data_dir=command.data_dir)
    return dataclasses.replace(task, source=source)


def coloured(images: Images) -> Preset:
    correlation = images.corruption.correlation
    return Preset(
        title=f"Digits, {100 * correlation:g} % on the background of their class",
        task=images,
        family="images",
        methods=tuple(METHODS["images"]),
        fit=Fit(),
        learning_rates=(0.001, 0.003),
        columns={
            "unbiased": Column("unbiased"),
            "in-distribution": Column("test"),
            "conflicting": Column("unbiased", scores.conflicting),
            "worst group": Column("unbiased", scores.worst_group),
        },
        drawn=2,
        shown=("erm", "gge", "ggd", "bias-product", "oracle"),
        claims=tuple(
            Claim(text, better, worse, "unbiased")
            for text, better, worse in (
                ("GGE beats ERM", "gge", "erm"),
                ("GGD, with a curriculum, beats ERM", "ggd", "erm"),
                ("the curriculum of GGD beats plain GGE", "ggd", "gge"),
                ("exact GGE beats ERM with sigmoids", "gge-exact", "erm-sigmoid"),
                ("relaxed pseudo-labels beat exact ones", "gge-relaxed", "gge-exact"),
                ("GGD with a copy of itself for bias beats ERM", "ggd-self", "erm"),
                ("GGE beats the bias product", "gge", "bias-product"),
                ("oracle re-weighting beats GGE", "oracle", "gge"),
            )
        ),
        notes=(
            "unbiased: colours drawn at random; in-distribution: as in training",
            "conflicting: unbiased test images with the background of another class",
            "worst group: of the 20 of class and conflicting or not",
            "oracle, group-dro: know the colours in training",
            f"{CEILING}: ERM on training images whose colours are drawn at random",
        ),
        ceiling=dataclasses.replace(
            images,
            corruption=dataclasses.replace(
                images.corruption, correlation=0.1, confusing=None
            ),
        ),
    )


def questions(task: Questions) -> Preset:
    def attention(sweeps: Mapping[str, Sweep], rate: int) -> Figure | None:
        shown = {name: sweeps[name] for name in ("base", "q-softmax") if name in sweeps}
        if len(shown) < 2:
            return None
        seeds = len(shown["base"].datasets)
        datasets = task.datasets(seeds)
        model = task.networks(datasets[0]).base
        return attention_figure(model, shown, rate, datasets)

    adam = config.Optimizer(name="adam", learning_rate=0.01, weight_decay=0.0)
    return Preset(
        title="Questions about pictures, answer frequencies that change in the test",
        task=task,
        family="questions",
        methods=(
            "base",
            "question-only",
            "d",
            "d-relaxed",
            "q",
            "q-relaxed",
            "q-softmax",
            "q-tog",
            "dq-iter",
            "dq-tog",
            "dq-iter-released",
            "dq-tog-released",
            "ggd-d",
            "ggd-q",
            "ggd-dq",
            "bias-product",
            "oracle",
        ),
        fit=Fit(epochs=34, bias_epochs=10, optimizer=adam, bias_optimizer=adam),
        learning_rates=(0.01,),
        columns={
            "reversed": Column("reversed"),
            "same (in-distribution)": Column("same"),
            "uniform": Column("uniform"),
            "reversed, conflicting": Column("reversed", scores.conflicting),
        },
        drawn=3,
        shown=("base", "d", "q", "q-softmax", "dq-iter", "ggd-q", "oracle"),
        claims=(
            *(
                Claim(text, better, worse, column)
                for text, better, worse in (
                    ("GGE-Q beats the base", "q", "base"),
                    ("GGE-D beats the base", "d", "base"),
                    ("GGE-DQ, iterative, beats GGE-Q", "dq-iter", "q"),
                    ("GGE-DQ, together, beats GGE-Q", "dq-tog", "q"),
                    ("GGE-Q with a softmax beats the base", "q-softmax", "base"),
                    ("GGD-Q beats the base", "ggd-q", "base"),
                    ("the curriculum of GGD beats plain GGE", "ggd-q", "q-softmax"),
                    ("relaxed pseudo-labels beat exact ones", "q-relaxed", "q"),
                    ("the bias product beats GGE-Q", "bias-product", "q"),
                    ("oracle re-weighting beats GGE-Q", "oracle", "q"),
                )
                for column in ("reversed", "uniform")
            ),
        ),
        notes=(
            "mean score of the predicted answer: min(1, n / 3) of ten annotators",
            "reversed: the frequent answers of training are rare; rewards whoever "
            "over-corrects, so look at uniform as well",
            "same: as frequent as in training; what de-biasing costs",
            "conflicting: the answer is not the most frequent one of its type in "
            "training",
            "d: statistic of the answers by type of question; q: question-only model",
            "relaxed: of probabilities, as the authors feed it; of log-odds below 0 it "
            "asks for more than 1, and training can diverge",
            "oracle, group-dro: by type and answer",
            "also: reweighted learned-mixin learned-mixin-h rubi lff group-dro "
            "ggd-self q-first q-released",
        ),
        figures={"attention.png": attention},
    )
