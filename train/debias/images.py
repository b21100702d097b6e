"""Digits whose background colour gives them away."""

import dataclasses
from typing import Any

import numpy as np

from train import data
from train.debias.ensemble import Networks
from train.debias.fit import Problem
from train.debias.models import colour_net
from train.debias.rules import Batch
from train.models import mlp
from train.report.text import describe


@dataclasses.dataclass(frozen=True)
class Images:
    """Classification with a colour that predicts the class.

    Tests: "test" is distributed as the training set, in "unbiased" colours say nothing.
    """

    source: data.Source = data.Digits()
    """Data set."""
    corruption: data.ColouredBackground = data.ColouredBackground()
    """The shortcut."""
    widths: tuple[int, ...] = (128, 128)
    """Hidden layers of the base model, a multi-layer perceptron [units]."""
    shortcut_widths: tuple[int, ...] = (16, 16)
    """Channels of the 1x1 convolutions of the colour model."""

    def datasets(self, seeds: int) -> tuple[data.Dataset, ...]:
        return tuple(data.load(self.source, self.corruption, s) for s in range(seeds))

    def networks(self, dataset: data.Dataset) -> Networks:
        shape, classes = dataset.train.image.shape[1:], dataset.num_classes
        return Networks(
            base=mlp(shape, self.widths, classes),
            shortcut=colour_net(shape[-1], self.shortcut_widths, classes),
            base_features=self.widths[-1],
            num_classes=classes,
            num_cues=classes,
            link="softmax",
            form="softmax",
        )

    def problem(self, dataset: data.Dataset) -> Problem:
        def batch(split: data.Split) -> Any:
            label = split.label
            return Batch(
                inputs=split.image,
                targets=np.eye(dataset.num_classes, dtype=np.float32)[label],
                label=label,
                cue=split.group,
                conflicting=split.group != label,
                index=np.arange(len(label)),
            )

        tests = {name: batch(split) for name, split in dataset.tests.items()}
        return Problem(batch(dataset.train), batch(dataset.validation), tests)

    def describe(self, dataset: data.Dataset) -> str:
        return describe(dataset.facts)
