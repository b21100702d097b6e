"""What `python -m train` can be asked for; imports no JAX, so that help comes fast."""

import dataclasses
import pathlib
from typing import Literal

import tyro

from train import config, data
from train.debias.methods import Hyper

LossName = Literal[
    "cross-entropy",
    "logit-adjusted",
    "gala",
    "ldam",
    "seesaw",
    "equalization-v2",
    "focal",
    "mean-absolute-error",
    "generalized-cross-entropy",
    "truncated-gce",
    "encouraging",
]


PresetName = Literal["coloured_digits_debias", "biased_mnist_debias", "vqa_debias"]

ProbeName = Literal[
    "all",
    "class-gradients",
    "class-vectors",
    "log-odds",
    "gradient-norms",
    "head-gradients",
]


@dataclasses.dataclass(frozen=True)
class Run:
    """One training, with its curves, table and parameters in a folder.

    Data set, corruption and loss are words, in any order, each followed by its own
    flags; what is left out takes its default. For example

    `python -m train run --epochs 100 long-tail --imbalance 50 gala --lambda1 1.2`

    `python -m train run tfds mnist symmetric-noise --rate 0.2 truncated-gce`

    and `python -m train run gala --help` lists the flags of `gala`.
    """

    source: data.Source = data.Digits()
    """Data set."""
    corruption: data.Corruption = data.LongTail()
    """What is wrong with the data."""
    loss: config.Loss = config.CrossEntropy()
    """Loss."""
    fit: config.Fit = config.Fit()
    """Model and training."""
    seed: int = 0
    """Of the corruption, the initialisation and the order of the examples."""
    many: int = 40
    """With a long tail: classes with more training examples are many-shot."""
    few: int = 10
    """With a long tail: classes with fewer training examples are few-shot."""
    probes: tuple[ProbeName, ...] = ()
    """Gradient statistics to keep, for `report`; none when unset."""
    out: pathlib.Path | None = None
    """New or empty folder; runs/<time>-<corruption>-<loss> when unset."""
    data_dir: str | None = None
    """Folder of TFDS data sets; TFDS_DATA_DIR or ~/tensorflow_datasets when unset."""


@dataclasses.dataclass(frozen=True)
class SweptOptimizer(config.Optimizer):
    """Optimizer and schedule."""

    learning_rate: tyro.conf.Suppress[float] = 0.1


@dataclasses.dataclass(frozen=True)
class SweptFit(config.Fit):
    """One training of a comparison."""

    optimizer: SweptOptimizer = SweptOptimizer()
    """Optimizer and schedule; the learning rate is swept."""


@dataclasses.dataclass(frozen=True)
class Compare:
    """Losses against each other: mean and 95 % interval over seeds, paired differences.

    Every loss gets the learning rate that is best for it on validation. Data set and
    corruption are words, in any order, each followed by its own flags. For example

    `python -m train compare --losses cross-entropy gala long-tail --imbalance 100`

    The losses take their defaults. A preset compares ways to keep a model from a
    shortcut instead, most of which train a bias model as well:

    `python -m train compare --preset coloured_digits_debias --methods erm gge ggd`
    """

    preset: PresetName | None = None
    """A comparison of methods against a shortcut, instead of losses."""
    methods: tuple[str, ...] = ()
    """Of the preset; all when unset, and a wrong name lists them."""
    losses: tuple[LossName, ...] = ("cross-entropy", "logit-adjusted", "gala")
    """Names of losses; differences are to the first."""
    seeds: int = 5
    """Trainings of each loss at each learning rate, at least 2."""
    learning_rates: tuple[float, ...] = (0.03, 0.1, 0.3)
    """At the peak; the best for each loss on validation, after the last epoch. With a
    preset its own when unset, and the best for its first method."""
    source: data.Source = data.Digits()
    """Data set."""
    corruption: data.Corruption = data.LongTail()
    """What is wrong with the data."""
    fit: SweptFit = SweptFit()
    """Model and training."""
    hyper: Hyper = Hyper()
    """With a preset: what its methods leave open."""
    out: pathlib.Path | None = None
    """New or empty folder; runs/<time>-compare-<corruption> when unset."""
    data_dir: str | None = None
    """Folder of TFDS data sets; TFDS_DATA_DIR or ~/tensorflow_datasets when unset."""


@dataclasses.dataclass(frozen=True)
class Demo:
    """Long tail, label noise, shortcut, encouraging loss: each against its baseline."""

    out: pathlib.Path = pathlib.Path("runs/demo")
    """Folder for tables and figures; those of an earlier demo are replaced."""
    data_dir: str | None = None
    """Folder of TFDS data sets; TFDS_DATA_DIR or ~/tensorflow_datasets when unset."""


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Every loss drawn: its value, its pull on the label, and on each logit."""

    out: pathlib.Path = pathlib.Path("docs/gallery")
    """Folder for figures and their page; those of the same name are replaced."""


@dataclasses.dataclass(frozen=True)
class Report:
    """Runs side by side, in one HTML file that opens anywhere and loads nothing.

    Runs that differ only in the seed are taken together; the others are compared to the
    first. For example

    `python -m train report runs/cross-entropy runs/gala --out gala.html`
    """

    runs: tyro.conf.Positional[tuple[pathlib.Path, ...]]
    """Folders that `run` wrote."""
    out: pathlib.Path | None = None
    """File, replaced if there is one; when unset report.html, in the folder of a single
    run, else here."""


@dataclasses.dataclass(frozen=True)
class Analyze:
    """The page of `report`, for a model that was trained elsewhere: what a loss does.

    The file holds arrays under these names, as `numpy.savez` writes them: logits
    [examples, classes] and labels [examples]; and, for more to see, features [examples,
    features] and the kernel [features, classes] of the classifier head (PyTorch stores
    its transpose), train_counts [classes], true_labels [examples], class_names
    [classes]. For example

    `python -m train analyze logits.npz generalized-cross-entropy --q 0.5`
    """

    file: tyro.conf.Positional[pathlib.Path]
    """An .npz file."""
    loss: config.Stateless = config.CrossEntropy()
    """Loss whose gradient is looked at."""
    many: int = 100
    """Classes with more training examples than this are many-shot."""
    few: int = 20
    """Classes with fewer training examples than this are few-shot."""
    out: pathlib.Path | None = None
    """Page to write, replaced if there is one; FILE.html when unset."""


def task_of(command: Run | Compare) -> config.Task:
    source = dataclasses.replace(command.source, data_dir=command.data_dir)
    return config.Task(source, command.corruption)
