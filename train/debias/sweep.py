"""Methods over learning rates and seeds."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from train.debias.ensemble import Networks, programs
from train.debias.fit import Fit, Problem, fit
from train.debias.methods import Method
from train.sweep import Sweep, train_all


def sweep(
    methods: Mapping[str, Method],
    options: Fit,
    networks: Networks,
    problems: Sequence[Problem],
    learning_rates: Sequence[float],
    *,
    on_trained: Callable[[], None] | None = None,
) -> dict[str, Sweep]:
    """Trains methods that `programs` puts together, at every rate, on every problem.

    Problem i is that of seed i; so differences between methods are paired.
    """
    (together,) = programs(methods)
    choices = tuple(together.values())

    def train(which, problem, key, rate):
        return fit(choices, which, options, networks, problem, key, rate)

    trained = train_all(
        train, tuple(together), problems, learning_rates, on_trained=on_trained
    )
    rates = tuple(learning_rates)
    return {
        name: Sweep(rates, tuple(problems), *each) for name, each in trained.items()
    }


def score(logits: np.ndarray, split, seed: int) -> float:
    """Mean target of the predicted class."""
    del seed
    predicted = logits.argmax(-1)
    return float(split.targets[np.arange(len(predicted)), predicted].mean())


def score_where(chosen: np.ndarray, logits: np.ndarray, split) -> float:
    predicted = logits.argmax(-1)
    return float(split.targets[np.arange(len(predicted)), predicted][chosen].mean())


def conflicting(logits: np.ndarray, split, seed: int) -> float:
    """The score on the examples whose cue speaks against the label."""
    del seed
    return score_where(split.conflicting, logits, split)


def worst_group(logits: np.ndarray, split, seed: int) -> float:
    """The lowest score of a class's aligned or conflicting examples."""
    del seed
    groups = split.label * 2 + split.conflicting
    return min(score_where(groups == g, logits, split) for g in np.unique(groups))
