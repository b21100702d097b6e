"""`changing_priors_vqa` as arrays."""

import dataclasses
import functools
import io
from typing import Any, NamedTuple

import jax
import numpy as np
import tyro
from PIL import Image

from train.data.checks import check_labels, require
from train.data.read import prepared_builder
from train.data.vqa.arrays import Inputs, VqaDataset, VqaSplit
from train.data.vqa.encoder import encode_cells
from train.data.vqa.grammar import ANSWERS, QUESTION_TYPES
from train.data.vqa.scores import annotator_scores
from train.data.vqa.text import encode, vocabulary


@dataclasses.dataclass(frozen=True)
class ChangingPriorsVqa:
    """Pictures of digits and shapes, questions in English, answers that get rarer or
    more frequent from train to test; drawn on this machine, nothing to download."""

    data_dir: tyro.conf.Suppress[str | None] = None
    """Folder of TFDS data sets; TFDS_DATA_DIR or ~/tensorflow_datasets when unset."""
    train_fraction: float = 1.0
    """Share of the training questions, in (0, 1], drawn anew by every seed."""


def load(source: ChangingPriorsVqa, seed: int) -> VqaDataset:
    """Reads the data (from disk once per process) and draws the training questions.

    The seed decides which training questions are kept and nothing else. Arrays are
    shared between calls, and read-only, but for a `train_fraction` below 1.
    """
    require(seed >= 0, "seed", seed, "a non-negative integer")
    fraction = source.train_fraction
    require(0 < fraction <= 1, "train_fraction", fraction, "a number in (0, 1]")
    whole = _read(source.data_dir)
    train = whole.train
    if fraction < 1:
        n = len(train.label)
        order = np.random.default_rng(seed).permutation(n)
        train = pick(train, np.sort(order[: max(1, round(fraction * n))]))
    splits = {"train": train, "validation": whole.validation, **whole.tests}
    return whole._replace(train=train, facts=_facts(splits))


def pick(split: VqaSplit, positions: np.ndarray) -> VqaSplit:
    """The examples at some positions."""
    return jax.tree.map(lambda array: array[positions], split)


class _Raw(NamedTuple):
    question: list[str]
    question_type: np.ndarray
    targets: np.ndarray  # from here on in the order of `VqaSplit`
    label: np.ndarray
    relevant: np.ndarray
    picture: np.ndarray


@functools.lru_cache(maxsize=2)
def _read(data_dir: str | None) -> VqaDataset:
    # TFDS knows a builder once it is imported.
    from train.data.vqa.changing_priors import SPLITS

    builder = prepared_builder("changing_priors_vqa", data_dir)
    raw = {name: _read_split(builder, name) for name in SPLITS}
    known = vocabulary(raw["train"].question)
    # The wordings are the same everywhere, so no split has a longer question.
    length = encode(raw["train"].question, known).shape[1]
    splits = {}
    for name, r in raw.items():
        question = encode(r.question, known, length)
        inputs = Inputs(encode_cells(r.picture), question, r.question_type)
        splits[name] = VqaSplit(inputs, *r[2:])
        for array in (*inputs[:3], *splits[name][1:]):
            array.flags.writeable = False
    train, validation = splits.pop("train"), splits.pop("validation")
    tests = {name.removeprefix("test_"): split for name, split in splits.items()}
    return VqaDataset(
        train, validation, tests, ANSWERS, known, tuple(QUESTION_TYPES), facts={}
    )


def _read_split(builder: Any, split: str) -> _Raw:
    where = f"data set {builder.name!r} ({builder.data_path}), split {split!r}"
    import tensorflow_datasets as tfds  # slow; `prepared_builder` has done it already

    # TFDS would ask for OpenCV, in a warning, before it decodes images with Pillow.
    source = builder.as_data_source(
        split, decoders={"image": tfds.decode.SkipDecoding()}
    )
    records = [source[i] for i in range(len(source))]
    require(len(records) > 0, f"{where}: records", len(records), "at least 1")

    def column(key: str, dtype: Any) -> np.ndarray:
        return np.array([record[key] for record in records], dtype)

    label = column("answer", np.int32)
    check_labels(label, len(ANSWERS), where)
    question_type = column("question_type", np.int32)
    check_labels(question_type, len(QUESTION_TYPES), f"{where}, question types")
    ids = {answer.encode(): i for i, answer in enumerate(ANSWERS)}
    counts = np.zeros((len(records), len(ANSWERS)), np.int64)
    for row, record in zip(counts, records, strict=True):
        for answer in record["answers"]:
            row[ids[answer]] += 1
    return _Raw(
        [record["question"].decode() for record in records],
        question_type,
        annotator_scores(counts),
        label,
        column("relevant", np.bool_),
        np.stack([_decode(record["image"]) for record in records]),
    )


def _decode(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)))


def _facts(splits: dict[str, VqaSplit]) -> dict[str, Any]:
    """Sizes, and the share of each answer per question type, as they came out."""
    shares: dict[str, Any] = {}
    for name, split in splits.items():
        shares[name] = {}
        for t, (kind, spec) in enumerate(QUESTION_TYPES.items()):
            labels = split.label[split.inputs.question_type == t]
            shares[name][kind] = {
                answer: float(np.mean(labels == ANSWERS.index(answer)))
                if len(labels)
                else None
                for answer in spec.answers
            }
    return {
        "sizes": {name: len(split.label) for name, split in splits.items()},
        "answer_shares": shares,
    }
