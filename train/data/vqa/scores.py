"""From what ten people answer to a score in [0, 1], and to accuracy."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

Rule = Literal["leave_one_out", "table", "plain"]

# By how many of ten gave the answer; more than four score 1.
_TABLE = np.array([0, 0.3, 0.6, 0.9, 1.0])


def annotator_scores(
    counts: np.ndarray | Sequence[int],
    *,
    people: int = 10,
    rule: Rule = "leave_one_out",
) -> np.ndarray:
    r"""Score of an answer that `counts` of `people` annotators gave.

    An answer is fully right when three people gave it: $\min(1, n / 3)$. The official
    metric scores against each nine of the ten and takes the mean,

    $$\frac{n \min(1, (n - 1)/3) + (m - n) \min(1, n/3)}{m}, \quad m \text{ people},$$

    which for ten people is 0, .3, .6, .9, 1: the table that released code holds, which
    says nothing about any other number of people.

    Args:
        counts: integers in [0, people], of any shape.
        people: how many answered, at least 2.
        rule: "leave_one_out", "table", or "plain" for min(1, n / 3).
    Returns:
        float32 scores of the shape of `counts`.
    Source: Antol et al., ICCV 2015, arXiv:1505.00468, and visualqa.org/evaluation; the
        table in the released code of GGE, arXiv:2107.12651.
    """
    n = np.asarray(counts)
    if people < 2 or np.any((n < 0) | (n > people)):
        raise ValueError(
            f"counts: got {n.min()} to {n.max()} of {people} people, wanted counts of "
            "at least 2 people, each in [0, people]"
        )
    match rule:
        case "leave_one_out":
            left = np.minimum(1, (n - 1) / 3)
            kept = np.minimum(1, n / 3)
            scores = (n * left + (people - n) * kept) / people
        case "table":
            if people != 10:
                raise ValueError(f"people: got {people}, wanted 10 for the table")
            scores = _TABLE[np.minimum(n, 4)]
        case "plain":
            scores = np.minimum(1, n / 3)
        case _:
            raise ValueError(
                f"rule: got {rule!r}, wanted 'leave_one_out', 'table' or 'plain'"
            )
    return scores.astype(np.float32)


def vqa_accuracy(predicted: np.ndarray, targets: np.ndarray) -> float:
    """VQA accuracy: the mean score of the predicted answers.

    Args:
        predicted: answer ids, integers [n] in [0, answers).
        targets: scores [n, answers] in [0, 1].
    Returns:
        A number in [0, 1]; where annotators disagree even the best answer may score
        less than 1, and several answers may score 1.
    """
    rows = np.arange(len(targets))
    return float(np.mean(np.asarray(targets)[rows, np.asarray(predicted)]))


def answer_priors(
    question_type: np.ndarray,
    targets: np.ndarray,
    num_types: int,
    *,
    smoothing: float = 1.0,
) -> np.ndarray:
    r"""Mean score of each answer per question type: the distribution bias D.

    $$b_{ta} = \frac{\sum_{i : t_i = t} s_{ia} + \lambda / A}{n_t + \lambda}$$

    for A answers: as if each type had lambda more questions whose score is spread
    evenly over the answers. So no answer has 0 and, for A > 1, none has 1: log-odds
    log(b / (1 - b)) are finite. A type without questions gets 1 / A throughout.

    Args:
        question_type: integers [n] in [0, num_types), of training questions.
        targets: their scores [n, answers] in [0, 1], at least two answers.
        num_types: number of question types.
        smoothing: lambda > 0 [questions].
    Returns:
        float32 [num_types, answers], strictly between 0 and 1.
    Source: the statistic of RUBi's and GGE's question-type bias, Han et al., ICCV 2021,
        arXiv:2107.12651, section 4.1 (unsmoothed there).
    """
    question_type, targets = np.asarray(question_type), np.asarray(targets)
    if not smoothing > 0:
        raise ValueError(f"smoothing: got {smoothing}, wanted a number > 0")
    if targets.ndim != 2 or targets.shape[1] < 2:
        raise ValueError(
            f"targets: got shape {targets.shape}, wanted [n, answers >= 2]"
        )
    if question_type.shape != targets.shape[:1]:
        raise ValueError(
            f"question_type: got shape {question_type.shape}, wanted one per row of "
            f"targets {targets.shape}"
        )
    if np.any((question_type < 0) | (question_type >= num_types)):
        raise ValueError(
            f"question_type: got {question_type.min()} to {question_type.max()}, "
            f"wanted integers in [0, {num_types})"
        )
    sums = np.zeros((num_types, targets.shape[1]))
    np.add.at(sums, question_type, targets)
    counts = np.bincount(question_type, minlength=num_types)
    return smoothed_priors(sums, counts, smoothing)


def smoothed_priors(
    sums: np.ndarray, counts: np.ndarray, smoothing: float
) -> np.ndarray:
    """`answer_priors` from sums of scores [types, answers] and questions [types]."""
    even = smoothing / sums.shape[1]
    return ((sums + even) / (counts[:, None] + smoothing)).astype(np.float32)
