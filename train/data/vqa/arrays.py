"""What models of visual question answering see, and what they are trained towards."""

from typing import Any, NamedTuple

import numpy as np


class Inputs(NamedTuple):
    """A pytree: `jax.tree.map(lambda a: a[positions], inputs)` picks a batch."""

    image: np.ndarray  # float32 [n, cells, features]: cells of a grid, or boxes
    question: np.ndarray  # int32 [n, length] token ids; 0, padding, comes last
    question_type: np.ndarray  # int32 [n]
    present: np.ndarray | None = None  # bool [n, cells]; None where every cell is


class VqaSplit(NamedTuple):
    inputs: Inputs
    targets: np.ndarray  # float32 [n, answers], scores in [0, 1]
    label: np.ndarray  # int32 [n], the answer most annotators gave
    relevant: np.ndarray  # bool [n, cells], what the question is about; may be none
    picture: np.ndarray  # uint8 [n, height, width, 3], for figures


class VqaDataset(NamedTuple):
    train: VqaSplit
    validation: VqaSplit
    tests: dict[str, VqaSplit]  # by prior: same as in train, reversed, uniform
    answers: tuple[str, ...]
    vocabulary: tuple[str, ...]  # of the questions; token id -> word
    question_types: tuple[str, ...]
    facts: dict[str, Any]  # realised numbers, ready for JSON
