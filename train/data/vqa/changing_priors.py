"""A small visual question answering set whose answers change their frequencies.

Procedural, on the real scans of `digits`: preparing it needs no network and no GPU.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import tensorflow_datasets as tfds

from train.data.digits import SPLIT_OF_RESIDUE
from train.data.splits import rank_in_class
from train.data.vqa.grammar import ANSWERS, KINDS, QUESTION_TYPES, prior
from train.data.vqa.scenes import CELL, CELLS, GRID, Scene, Thing, draw_scene, render

_DESCRIPTION = """\
Questions in English about pictures of 3 x 3 cells, which hold scanned digits
(scikit-learn's) and shapes in six colours. Eight types of question; within a type the
right answers follow a long tail (the first is ten times more frequent than the last) in
train, validation and test_same, the same tail reversed in test_reversed, and none in
test_uniform. An example is drawn as a type (all alike), an answer from the prior of the
split, then a picture with that answer. Ten annotators answer; they disagree about
colours between two names. Train, validation and test use other scans of digits.
"""

_CHUNK = 500  # examples painted at once: the random numbers depend on it


class _Split(NamedTuple):
    size: int
    prior: str  # see `grammar.prior`
    scans: str  # the split of `digits` that the digits come from


SPLITS = {
    "train": _Split(12_000, "same", "train"),
    "validation": _Split(2_000, "same", "validation"),
    "test_same": _Split(2_000, "same", "test"),
    "test_reversed": _Split(2_000, "reversed", "test"),
    "test_uniform": _Split(2_000, "uniform", "test"),
}


class Example(NamedTuple):
    image: np.ndarray  # uint8 [24, 24, 3]
    question_type: str
    answer: str  # the one the picture was drawn for, and most annotators'
    scene: Scene


def generate(split: str, version: str) -> Iterator[Example]:
    """The examples of a split; its name and the version seed everything."""
    size, rank, scans_of = SPLITS[split]
    rng = np.random.default_rng(list(f"{version}/{split}".encode()))
    scans = digit_scans(scans_of)
    names = tuple(QUESTION_TYPES)
    priors = {name: prior(name, rank) for name in names}
    for start in range(0, size, _CHUNK):
        drawn = []
        for _ in range(min(_CHUNK, size - start)):
            name = names[int(rng.integers(len(names)))]
            answers = QUESTION_TYPES[name].answers
            answer = answers[rng.choice(len(answers), p=priors[name])]
            drawn.append((name, answer, draw_scene(name, answer, rng)))
        images = render([scene for _, _, scene in drawn], scans, rng)
        for image, example in zip(images, drawn, strict=True):
            yield Example(image, *example)


def digit_scans(split: str) -> dict[int, np.ndarray]:
    """Scans [n, 8, 8] in [0, 1] of each digit that the data set `digits` has there."""
    from sklearn.datasets import load_digits  # needed to prepare, not to read

    pixels, labels = load_digits(return_X_y=True)
    residues = rank_in_class(labels) % len(SPLIT_OF_RESIDUE)
    chosen = np.array(SPLIT_OF_RESIDUE)[residues] == split
    scans = pixels.reshape(-1, CELL, CELL) / 16
    return {digit: scans[chosen & (labels == digit)] for digit in range(10)}


class ChangingPriorsVqa(tfds.core.GeneratorBasedBuilder):
    """TFDS builder `changing_priors_vqa`; see the module docstring."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        side = GRID * CELL
        per_cell = (CELLS,)
        features = {
            "image": tfds.features.Image(shape=(side, side, 3)),
            "question": tfds.features.Text(),
            "question_type": tfds.features.ClassLabel(names=list(QUESTION_TYPES)),
            "answer": tfds.features.ClassLabel(names=list(ANSWERS)),
            "answers": tfds.features.Sequence(tfds.features.Text(), length=10),
            "relevant": tfds.features.Tensor(
                shape=per_cell,
                dtype=np.bool_,
                doc="Cells, row by row, that the question is about; may be none.",
            ),
            "things": tfds.features.Tensor(
                shape=(CELLS, 3),
                dtype=np.float32,
                doc=f"In each cell: the place of its kind in {KINDS}, the digit, the "
                "hue in degrees; -1 for what it has not.",
            ),
            "index": tfds.features.Scalar(np.int64, doc="Place in the split."),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(features),
            license="CC BY 4.0",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        return {split: self._generate_examples(split) for split in SPLITS}

    def _generate_examples(self, split):
        from PIL import Image

        for index, example in enumerate(generate(split, str(self.VERSION))):
            scene = example.scene
            yield (
                index,
                {
                    # TFDS needs TensorFlow to encode an array, but not a PIL image.
                    "image": Image.fromarray(example.image),
                    "question": scene.question,
                    "question_type": example.question_type,
                    "answer": example.answer,
                    "answers": list(scene.answers),
                    "relevant": scene.relevant,
                    "things": np.array([_numbers(thing) for thing in scene.cells]),
                    "index": index,
                },
            )


def _numbers(thing: Thing | None) -> np.ndarray:
    numbers = (KINDS.index(thing.kind), thing.digit, thing.hue) if thing else [-1] * 3
    return np.array(numbers, np.float32)
