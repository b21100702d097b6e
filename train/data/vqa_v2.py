"""VQA v2 and VQA-CP v2 from their own files, streamed through grain.

Questions fit in memory; features of boxes stay on disk, and a batch reads its own.
Questions none of whose answers is in the vocabulary stay, with all scores 0, as in the
evaluation, where they cannot be answered.
"""

import dataclasses
from typing import Any, NamedTuple

import grain
import numpy as np

from train.data.vqa.answers import answer_vocabulary, count_known
from train.data.vqa.arrays import Inputs
from train.data.vqa.boxes import Boxes, pad_boxes
from train.data.vqa.files import Path, read_files
from train.data.vqa.scores import Rule, annotator_scores, smoothed_priors
from train.data.vqa.text import encode, vocabulary


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How the papers turn files into arrays."""

    question_length: int = 14
    """Words of a question that are read; the rest is cut off."""
    minimum_answers: int = 9
    """Times that an answer must be the most frequent one of a training question."""
    boxes: int = 36
    """Most boxes of an image; images with fewer are padded and masked."""
    features: int = 2048
    """Numbers per box."""
    score: Rule = "leave_one_out"
    """From ten people's answers to a score; see `annotator_scores`."""


class Vocabularies(NamedTuple):
    """What the training questions know; the tests are read with it."""

    answers: tuple[str, ...]  # most frequent first
    words: tuple[str, ...]  # padding, unknown, then alphabetical
    question_types: tuple[str, ...]


class VqaBatch(NamedTuple):
    inputs: Inputs
    targets: np.ndarray  # float32 [n, answers], scores in [0, 1]
    label: np.ndarray  # int32 [n], the best-scored answer; -1 when all are unknown
    # Position in the split, int32 [n]; hides a method of tuples that nobody calls.
    index: np.ndarray  # pyright: ignore[reportIncompatibleMethodOverride]


@dataclasses.dataclass(frozen=True)
class Questions:
    """One split; scores are kept sparse, about three of thousands differ from 0."""

    question: np.ndarray  # int32 [n, question_length]
    question_type: np.ndarray  # int32 [n]
    image_id: np.ndarray  # int64 [n]
    question_id: np.ndarray  # int64 [n]
    scored: tuple[tuple[np.ndarray, np.ndarray], ...]  # n times answer ids, scores
    boxes: Boxes
    known: Vocabularies
    recipe: Recipe

    def __len__(self) -> int:
        return len(self.question)

    def example(self, position: int) -> VqaBatch:
        """One question with its picture, all without the leading axis."""
        image_id = int(self.image_id[position])
        image, present = pad_boxes(
            self.boxes[image_id],
            image_id,
            self.boxes.where,
            most=self.recipe.boxes,
            features=self.recipe.features,
        )
        ids, scores = self.scored[position]
        targets = np.zeros(len(self.known.answers), np.float32)
        targets[ids] = scores
        label = np.argmax(targets) if len(ids) else -1
        question, kind = self.question[position], self.question_type[position]
        inputs = Inputs(image, question, kind, present)
        place = np.array(position, np.int32)
        return VqaBatch(inputs, targets, np.array(label, np.int32), place)

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None,
        epochs: int | None = None,
        threads: int = 16,
    ) -> Any:
        """A grain iterator of `VqaBatch`; its get_state and set_state resume exactly.

        Args:
            batch_size: questions; with a seed a last, smaller batch is left out.
            seed: of the order, another one every epoch; None keeps that of the file.
            epochs: how often every question comes; None never ends.
            threads: that read ahead; 0 reads in the caller's.
        """
        positions = grain.MapDataset.range(len(self))
        if seed is not None:
            positions = positions.seed(seed).shuffle()
        batches = (
            positions.repeat(epochs)
            .map(self.example)
            .batch(batch_size, drop_remainder=seed is not None)
        )
        options = grain.ReadOptions(
            num_threads=threads, prefetch_buffer_size=2 * threads
        )
        return iter(batches.to_iter_dataset(options))

    def answer_priors(self, *, smoothing: float = 1.0) -> np.ndarray:
        """The distribution bias D, as `train.data.vqa.answer_priors` has it."""
        sums = np.zeros((len(self.known.question_types), len(self.known.answers)))
        for kind, (ids, scores) in zip(self.question_type, self.scored, strict=True):
            sums[kind, ids] += scores
        counts = np.bincount(self.question_type, minlength=len(sums))
        return smoothed_priors(sums, counts, smoothing)


def read_vqa(
    questions: Path,
    annotations: Path,
    boxes: Boxes,
    *,
    recipe: Recipe | None = None,
    known: Vocabularies | None = None,
) -> Questions:
    """Reads one split of VQA v2 or VQA-CP v2.

    Args:
        questions, annotations: JSON files of the same split.
        boxes: features of every image that is asked about.
        recipe: the papers' by default.
        known: vocabularies of the training questions; None builds them, from these.
    Raises:
        ValueError: naming the file and the entry that is wrong.
    """
    recipe = Recipe() if recipe is None else recipe
    asked = read_files(questions, annotations)
    missing = sorted({a.image_id for a in asked if a.image_id not in boxes})
    if missing:
        first = next(a for a in asked if a.image_id == missing[0])
        raise ValueError(
            f"{boxes.where}: no features of image {missing[0]}, which question "
            f"{first.question_id} of {questions} is about ({len(missing)} images have "
            "none)"
        )
    if known is None:
        known = Vocabularies(
            answer_vocabulary(
                (a.answer for a in asked), minimum=recipe.minimum_answers
            ),
            vocabulary(a.question for a in asked),
            tuple(sorted({a.question_type for a in asked})),
        )
    kinds = {kind: i for i, kind in enumerate(known.question_types)}
    for a in asked:
        if a.question_type not in kinds:
            raise ValueError(
                f"{annotations}: question {a.question_id} has the type "
                f"{a.question_type!r}, which no training question has"
            )
    ids = {answer: i for i, answer in enumerate(known.answers)}
    texts = [a.question for a in asked]
    return Questions(
        encode(texts, known.words, recipe.question_length),
        np.array([kinds[a.question_type] for a in asked], np.int32),
        np.array([a.image_id for a in asked], np.int64),
        np.array([a.question_id for a in asked], np.int64),
        tuple(_scored(a.answers, ids, recipe.score) for a in asked),
        boxes,
        known,
        recipe,
    )


def _scored(
    answers: tuple[str, ...], ids: dict[str, int], rule: Rule
) -> tuple[np.ndarray, np.ndarray]:
    counts = count_known(answers, ids)
    scores = annotator_scores(list(counts.values()), people=len(answers), rule=rule)
    return np.array(list(counts), np.int32), scores
