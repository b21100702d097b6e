"""Who belongs together: groups of examples, to split a statistic by."""

import operator
from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxloss._log_odds import label_log_odds
from jaxloss._signals import Signals


class Groups(NamedTuple):
    """A number of groups, and the group of every example of a batch."""

    number: int
    of: Callable[[Signals], Array]  # ids [*batch]; outside [0, number): in no group


def everyone() -> Groups:
    """One group, of everyone."""
    return Groups(1, lambda signals: jnp.zeros_like(signals.labels))


def by_label(num_classes: int) -> Groups:
    """A group for every class, by the label that training sees.

    Args:
        num_classes: C, the number of groups.

    >>> by_label(3).of(Signals(jnp.zeros((1, 3)), jnp.array([2]), jnp.zeros((1, 3))))
    Array([2], dtype=int32)
    """
    return Groups(num_classes, lambda signals: signals.labels)


def by_class(groups: ArrayLike, number: int | None = None) -> Groups:
    """Groups of classes, such as many-, medium- and few-shot ones.

    Args:
        groups: `[classes]`, the group of each class.
        number: of groups; by default as many as the ids need.

    >>> tail = by_class(jnp.array([0, 0, 1]))
    >>> tail.of(Signals(jnp.zeros((2, 3)), jnp.array([2, 0]), jnp.zeros((2, 3))))
    Array([1, 0], dtype=int32)
    """
    groups, number = _ids(groups, number)

    def of(signals):
        labels = signals.labels
        valid = (labels >= 0) & (labels < len(groups))
        return jnp.where(valid, groups[jnp.where(valid, labels, 0)], -1)

    return Groups(number, of)


def by_example(groups: ArrayLike, number: int | None = None) -> Groups:
    """Groups of training examples, such as clean and noisy ones.

    `jnp.arange(num_examples)` makes every example a group of its own.

    Args:
        groups: `[examples]`, the group of each, by its `Signals.index`.
        number: of groups; by default as many as the ids need.

    >>> noisy, z = by_example(jnp.array([0, 0, 1])), jnp.zeros((2, 3))
    >>> noisy.of(Signals(z, jnp.array([0, 0]), z, index=jnp.array([2, 0])))
    Array([1, 0], dtype=int32)
    """
    groups, number = _ids(groups, number)

    def of(signals):
        if signals.index is None:
            raise ValueError("groups by example need Signals.index, which is None")
        return groups.at[signals.index].get(mode="fill", fill_value=-1)

    return Groups(number, of)


def by_confidence() -> Groups:
    """0 for examples whose label has at most probability 1/2, 1 for those above.

    >>> z = jnp.array([[2.0, 0.0], [0.0, 2.0]])
    >>> by_confidence().of(Signals(z, jnp.array([0, 0]), z))
    Array([1, 0], dtype=int32)
    """

    def of(signals):
        u = label_log_odds(signals.logits, signals.labels)
        return jnp.where(jnp.isnan(u), -1, (u > 0).astype(jnp.int32))

    return Groups(2, of)


def _ids(groups: ArrayLike, number: int | None) -> tuple[Array, int]:
    ids = jnp.asarray(groups)
    if ids.ndim != 1 or not jnp.issubdtype(ids.dtype, jnp.integer):
        raise ValueError(f"groups must be integer ids of rank 1, got {ids.aval}")
    if number is None:
        number = int(np.max(np.asarray(groups), initial=-1)) + 1
    return ids, operator.index(number)
