"""Questions about pictures, whose answers change their frequency after training."""

import dataclasses
from typing import Any

import numpy as np

from train.data import vqa
from train.debias.ensemble import Networks
from train.debias.fit import Problem
from train.debias.rules import Batch
from train.vqa_models import question_only, top_down


@dataclasses.dataclass(frozen=True)
class Questions:
    """Visual question answering; the shortcut is what the question alone gives away.

    Tests: "same" has the answer frequencies of training within each type of question,
    "reversed" the opposite ones, in "uniform" all answers of a type are as frequent.
    """

    source: vqa.ChangingPriorsVqa = vqa.ChangingPriorsVqa(train_fraction=0.75)
    """Data set; every seed draws its share of the training questions."""
    embedding: int = 16
    """Width of a word."""
    state: int = 32
    """Width of the question encoders."""
    hidden: int = 64
    """Width of every layer of the base model but the last, which is twice as wide."""
    shortcut_hidden: int = 32
    """The same for the question-only model."""

    def datasets(self, seeds: int) -> tuple[vqa.VqaDataset, ...]:
        return tuple(vqa.load(self.source, seed) for seed in range(seeds))

    def networks(self, dataset: vqa.VqaDataset) -> Networks:
        words, answers = len(dataset.vocabulary), len(dataset.answers)
        features = dataset.train.inputs.image.shape[-1]
        return Networks(
            base=top_down(
                words,
                features,
                answers,
                embedding=self.embedding,
                state=self.state,
                hidden=self.hidden,
            ),
            shortcut=question_only(
                words,
                answers,
                embedding=self.embedding,
                state=self.state,
                hidden=self.shortcut_hidden,
            ),
            base_features=2 * self.hidden,
            num_classes=answers,
            num_cues=len(dataset.question_types),
            link="sigmoid",
            form="exact",
        )

    def problem(self, dataset: vqa.VqaDataset) -> Problem:
        types = len(dataset.question_types)
        train = dataset.train
        sums = np.zeros((types, len(dataset.answers)))
        np.add.at(sums, train.inputs.question_type, train.targets)
        usual = sums.argmax(-1)

        def batch(split: vqa.VqaSplit) -> Any:
            cue = split.inputs.question_type
            return Batch(
                inputs=split.inputs,
                targets=split.targets,
                label=split.label,
                cue=cue,
                conflicting=split.label != usual[cue],
                index=np.arange(len(split.label)),
            )

        tests = {name: batch(split) for name, split in dataset.tests.items()}
        return Problem(batch(train), batch(dataset.validation), tests)

    def describe(self, dataset: vqa.VqaDataset) -> str:
        sizes = dataset.facts["sizes"]
        shares = dataset.facts["answer_shares"]["train"]
        usual = ", ".join(
            f"{kind} {100 * max(s for s in answers.values() if s is not None):.0f} %"
            for kind, answers in shares.items()
        )
        return (
            "questions: "
            + ", ".join(f"{name} {size}" for name, size in sizes.items())
            + f"\nmost frequent answer in training, by type of question: {usual}"
        )
