"""Questions as rows of integers."""

import re
from collections.abc import Iterable, Sequence

import numpy as np

PADDING, UNKNOWN = 0, 1
SPECIAL = "<pad>", "<unknown>"

_WORD = re.compile(r"[a-z0-9]+(?:'[a-z]+)?")


def words(question: str) -> list[str]:
    """Lower-case words and numbers; punctuation is dropped, "what's" is one word."""
    return _WORD.findall(question.lower())


def vocabulary(questions: Iterable[str]) -> tuple[str, ...]:
    """Padding, unknown, then the words of the questions in alphabetical order."""
    return (*SPECIAL, *sorted({word for text in questions for word in words(text)}))


def encode(
    questions: Sequence[str], known: Sequence[str], length: int | None = None
) -> np.ndarray:
    """Token ids, int32 [n, length]: the first `length` words, then padding.

    A word outside the vocabulary `known` becomes `UNKNOWN`. The length is that of the
    longest question when not given.
    """
    ids = {word: i for i, word in enumerate(known)}
    split = [words(question) for question in questions]
    if length is None:
        length = max(map(len, split), default=0)
    tokens = np.full((len(split), length), PADDING, np.int32)
    for row, found in zip(tokens, split, strict=True):
        found = found[:length]
        row[: len(found)] = [ids.get(word, UNKNOWN) for word in found]
    return tokens
