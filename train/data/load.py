"""The data of one run: a source, one corruption and a seed, in numpy arrays."""

import dataclasses
import enum
from typing import Any, Literal, NamedTuple, assert_never

import numpy as np
import tyro

from train.data.checks import require
from train.data.corruptions import coloured_background, long_tail, symmetric_noise
from train.data.read import Examples, read


@dataclasses.dataclass(frozen=True)
class Digits:
    """1797 real 8x8 handwritten digits, from scikit-learn: nothing to download."""

    data_dir: tyro.conf.Suppress[str | None] = None
    """Folder of TFDS data sets; TFDS_DATA_DIR or ~/tensorflow_datasets when unset."""


@dataclasses.dataclass(frozen=True)
class Tfds:
    """Any classification data set of TensorFlow Datasets that fits in memory."""

    name: tyro.conf.Positional[str]
    """Name in the TFDS catalogue, such as mnist, cifar10 or cifar100."""
    data_dir: tyro.conf.Suppress[str | None] = None
    """Folder of TFDS data sets; TFDS_DATA_DIR or ~/tensorflow_datasets when unset."""
    validation_fraction: float = 0.1
    """Share of each training class held out, in (0, 1); unused when the data set has a
    validation split of its own."""


@dataclasses.dataclass(frozen=True)
class Clean:
    """The data as they are."""


@dataclasses.dataclass(frozen=True)
class LongTail:
    """Training classes of exponentially falling size; the evaluation stays balanced."""

    imbalance: float = 50.0
    """Size of the largest training class over that of the smallest, at least 1."""


@dataclasses.dataclass(frozen=True)
class SymmetricNoise:
    """Wrong labels in training and validation; the test labels stay clean."""

    rate: float = 0.4
    """Probability in [0, 1] that a label is moved to one of the other classes."""


@dataclasses.dataclass(frozen=True)
class ColouredBackground:
    """A background colour that predicts the class, but not in the `unbiased` test."""

    correlation: float = 0.95
    """Probability in [0, 1] that an image has the colour of its class."""
    confusing: int | None = None
    """How many other classes' colours an image may have; all when unset."""
    palette: Literal["corners", "biased-mnist"] = "corners"
    """Ten colours far from each other, or those and the binary strokes of
    Biased-MNIST."""


Source = Digits | Tfds
Corruption = Clean | LongTail | SymmetricNoise | ColouredBackground


class Split(NamedTuple):
    """Examples of one split; n is the length of every array."""

    image: np.ndarray  # float32 [n, height, width, channels] in [0, 1]
    label: np.ndarray  # int32 [n], as the learner sees it
    true_label: np.ndarray  # int32 [n], before any noise
    group: np.ndarray  # int32 [n], colour id; zeros when there is none


class Dataset(NamedTuple):
    """Everything a run reads; `tests` starts with "test"."""

    train: Split
    validation: Split
    tests: dict[str, Split]
    num_classes: int
    class_names: tuple[str, ...]
    facts: dict[str, Any]  # realised numbers, ready for JSON


class _Stream(enum.IntEnum):
    """One stream of randomness per purpose; the numbers are part of every result."""

    LONG_TAIL = 0
    NOISE_TRAIN = 1
    NOISE_VALIDATION = 2
    COLOUR_TRAIN = 3
    COLOUR_VALIDATION = 4
    COLOUR_TEST = 5
    COLOUR_UNBIASED = 6


def load(source: Source, corruption: Corruption, seed: int) -> Dataset:
    """Reads the source (from disk once per process) and corrupts it.

    The seed decides what the corruption does and nothing else: the splits are fixed.
    Arrays that no corruption touched are shared between calls, and read-only.
    """
    require(seed >= 0, "seed", seed, "a non-negative integer")
    if isinstance(source, Digits):
        source = Tfds("digits", source.data_dir)
    raw = read(source.name, source.data_dir, source.validation_fraction)
    num_classes = len(raw.class_names)
    splits = {name: _clean(examples) for name, examples in raw.splits.items()}

    def stream(purpose: _Stream) -> np.random.SeedSequence:
        return np.random.SeedSequence(seed, spawn_key=(purpose,))

    match corruption:
        case Clean():
            pass
        case LongTail(imbalance):
            train = splits["train"]
            kept = long_tail(train.label, imbalance, stream(_Stream.LONG_TAIL))
            splits["train"] = Split(*(array[kept] for array in train))
        case SymmetricNoise(rate):
            purposes = _Stream.NOISE_TRAIN, _Stream.NOISE_VALIDATION
            for name, purpose in zip(("train", "validation"), purposes, strict=True):
                labels = splits[name].true_label
                noisy = symmetric_noise(labels, rate, num_classes, stream(purpose))
                splits[name] = splits[name]._replace(label=noisy)
        case ColouredBackground(correlation, confusing, palette):
            splits["unbiased"] = splits["test"]
            correlations = dict.fromkeys(splits, correlation)
            correlations["unbiased"] = 1 / num_classes
            for name, value in correlations.items():
                seeds = stream(_Stream[f"COLOUR_{name.upper()}"])
                image, _, label, _ = splits[name]
                image, colour = coloured_background(
                    image,
                    label,
                    value,
                    num_classes,
                    seeds,
                    # In the unbiased test every colour is as likely as the others.
                    confusing=None if name == "unbiased" else confusing,
                    palette=palette,
                )
                splits[name] = splits[name]._replace(image=image, group=colour)
        case _:
            assert_never(corruption)

    facts = _facts(splits, num_classes, isinstance(corruption, ColouredBackground))
    train, validation = splits.pop("train"), splits.pop("validation")
    return Dataset(train, validation, splits, num_classes, raw.class_names, facts)


def _clean(examples: Examples) -> Split:
    image, label = examples
    return Split(image, label, label, np.zeros_like(label))


def _facts(splits: dict[str, Split], num_classes: int, coloured: bool) -> dict:
    """The numbers as they came out, not as they were asked for."""
    counts = np.bincount(splits["train"].label, minlength=num_classes)
    facts = {
        "sizes": {name: len(split.label) for name, split in splits.items()},
        "train_counts": counts.tolist(),  # by the labels the learner sees
        # A class without examples has no ratio, and JSON no infinity.
        "imbalance": float(counts.max() / counts.min()) if counts.min() else None,
        "noise_rate": {
            name: float(np.mean(split.label != split.true_label))
            for name, split in splits.items()
        },
    }
    if coloured:
        facts["correlation"] = {
            name: float(np.mean(split.group == split.true_label))
            for name, split in splits.items()
        }
    return facts
