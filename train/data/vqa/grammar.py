"""The questions of `changing_priors_vqa`, their answers and how often each is right."""

from typing import NamedTuple

import numpy as np

# Named colours lie 60 degrees of hue apart, in this order, red at 0.
COLOURS = ("red", "yellow", "green", "cyan", "blue", "magenta")
SHAPES = ("square", "disc", "triangle", "cross")
KINDS = ("digit", *SHAPES)
DIGITS = tuple("0123456789")
ANSWERS = (*DIGITS, *COLOURS, *SHAPES, "no", "yes")

# How many times more often the first answer of a type is right than the last, in train.
IMBALANCE = 10.0


class QuestionType(NamedTuple):
    """`answers` come in the order of their frequency in train, an arbitrary one."""

    answers: tuple[str, ...]
    wordings: tuple[str, ...]


QUESTION_TYPES = {
    "what_digit": QuestionType(
        tuple("4906175382"),
        (
            "what is the {colour} digit?",
            "which digit is drawn in {colour}?",
            "what digit is {colour}?",
        ),
    ),
    "what_colour": QuestionType(
        ("green", "magenta", "red", "cyan", "yellow", "blue"),
        (
            "what colour is the {kind}?",
            "which colour does the {kind} have?",
            "the {kind} is of which colour?",
        ),
    ),
    "what_shape": QuestionType(
        ("triangle", "square", "cross", "disc"),
        (
            "what is the {colour} shape?",
            "which shape is drawn in {colour}?",
            "what shape is {colour}?",
        ),
    ),
    "which_largest": QuestionType(
        ("disc", "cross", "triangle", "square"),
        (
            "which shape is the largest?",
            "what is the largest shape?",
            "which of the shapes is larger than the others?",
        ),
    ),
    "how_many": QuestionType(
        tuple("3254"),
        (
            "how many things are there?",
            "what is the number of things?",
            "count the things.",
        ),
    ),
    "is_even": QuestionType(
        ("yes", "no"),
        (
            "is the {colour} digit even?",
            "is the digit in {colour} an even number?",
        ),
    ),
    "is_colour": QuestionType(
        ("yes", "no"),
        (
            "is the {kind} {colour}?",
            "is the colour of the {kind} {colour}?",
            "does the {kind} appear in {colour}?",
        ),
    ),
    "same_colour": QuestionType(
        ("no", "yes"),
        (
            "are all things of the same colour?",
            "do the things have the same colour?",
        ),
    ),
}


def prior(question_type: str, rank: str) -> np.ndarray:
    """Probability of each of the type's `answers`, in their order.

    The exponential profile of a long tail: the k-th of K answers weighs
    IMBALANCE ** (-k / (K - 1)).

    Args:
        question_type: a key of `QUESTION_TYPES`.
        rank: "same" as in train, "reversed" (the rarest becomes the most frequent), or
            "uniform".
    """
    k = len(QUESTION_TYPES[question_type].answers)
    weights = IMBALANCE ** (-np.arange(k) / (k - 1))
    profile = {"same": weights, "reversed": weights[::-1], "uniform": np.ones(k)}[rank]
    return profile / profile.sum()
