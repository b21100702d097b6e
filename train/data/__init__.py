"""Data sets and what can be wrong with their labels; `load` is the way in."""

from train.data.load import (
    Clean,
    ColouredBackground,
    Corruption,
    Dataset,
    Digits,
    LongTail,
    Source,
    Split,
    SymmetricNoise,
    Tfds,
    load,
)

__all__ = [
    "Clean",
    "ColouredBackground",
    "Corruption",
    "Dataset",
    "Digits",
    "LongTail",
    "Source",
    "Split",
    "SymmetricNoise",
    "Tfds",
    "load",
]
