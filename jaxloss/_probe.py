"""Gradient statistics: what a loss does to a training, as sums in the step.

    probe = combine_probes(classes=class_gradients(10), sure=gradient_norms(...))
    state = probe.init()
    state = probe.update(state, signals)     # in the step, on its `Signals`
    probe.read(state)["classes"].gradient_ratio

A state is a tree of sums over examples, of fixed structure, in float32 or wider: it can
be a scan carry, part of a checkpoint, and the states of several shards (or, without
decay, microbatches) add up: `merge_probe_states`. An example whose label is no class
and whose gradient is zero, such as padding, counts nowhere.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxloss._checks import check_range
from jaxloss._groups import Groups, everyone
from jaxloss._log_odds import is_label, label_log_odds, wide
from jaxloss._signals import Signals
from jaxloss._sums import (
    by_group,
    counted,
    flat_gradients,
    masses_by_label,
    sum_dtype,
)


@dataclasses.dataclass(frozen=True)
class Probe:
    """A statistic of training, in three pure functions.

    Attributes:
        init: `() -> state`.
        update: `(state, signals) -> state`, after every step, with its batch.
        read: `(state) -> results`, whenever somebody looks.
    """

    init: Callable[[], Any]
    update: Callable[[Any, Signals], Any]
    read: Callable[[Any], Any]


def summed_probe(
    zeros: Callable[[], Any],
    measure: Callable[[Signals], Any],
    read: Callable[[Any], Any],
    decay: ArrayLike = 1.0,
) -> Probe:
    r"""A probe of your own: sums over examples, with an exponential window.

    $s \leftarrow \mathrm{decay} \cdot s + m(\text{batch})$.

    Args:
        zeros: `() -> state`, of zeros.
        measure: `(signals) -> sums` of one batch, a tree like the state.
        read: `(state) -> results`.
        decay: what the sums keep from update to update, in (0, 1]; 1 sums from the
            start. Below 1 about the last 1 / (1 - decay) updates are in the sums.
    Returns:
        A `Probe`.
    Raises:
        ValueError: decay out of range.

    >>> def losses(signals):
    ...     return jnp.sum(jaxloss.cross_entropy(signals.logits, signals.labels))
    >>> probe = summed_probe(lambda: jnp.zeros(()), losses, lambda total: total)
    >>> z = jnp.zeros((3, 2))
    >>> probe.update(probe.init(), Signals(z, jnp.array([0, 0, 1]), z)).round(4)
    Array(2.0794, dtype=float32)
    """
    check_range("decay", decay, 0, 1, open_low=True)

    def update(state, signals):
        def moved(total, batch):
            kept = total if isinstance(decay, float) and decay == 1 else decay * total
            return (kept + batch).astype(total.dtype)

        return jax.tree.map(moved, state, measure(signals))

    return Probe(zeros, update, read)


def combine_probes(**probes: Probe) -> Probe:
    """Several probes as one, their states and results in dictionaries by name.

    Args:
        probes: each under its name.

    >>> both = combine_probes(all=gradient_norms(), sure=log_odds_histogram(bins=2))
    >>> both.read(both.init())["sure"].counts
    Array([[0., 0.]], dtype=float32)
    """
    return Probe(
        init=lambda: {name: probe.init() for name, probe in probes.items()},
        update=lambda state, signals: {
            name: probe.update(state[name], signals) for name, probe in probes.items()
        },
        read=lambda state: {
            name: probe.read(state[name]) for name, probe in probes.items()
        },
    )


def merge_probe_states(*states: Any) -> Any:
    """The state of a probe that had seen what each of these has seen.

    Exactly so for states of shards, which see parts of the same batches; with decay 1
    also for states of different batches.

    Args:
        states: of the same probe.

    >>> merge_probe_states({"seen": jnp.ones(2)}, {"seen": jnp.ones(2)})
    {'seen': Array([2., 2.], dtype=float32)}
    """
    return jax.tree.map(lambda *sums: functools.reduce(jnp.add, sums), *states)


class ClassGradients(NamedTuple):
    """Sums of |gradient of the logits| over examples; j a class vector, k a label."""

    positive: Array  # [classes] on logit j by examples of class j
    received: Array  # [classes] on logit j by all other examples
    caused: Array  # [classes] by examples of class k on all other logits
    gradient_ratio: Array  # [classes] positive / received; NaN before both are known
    matrix: Array | None  # [classes, classes] by examples of class k on logit j


def class_gradients(
    num_classes: int, *, full: bool = False, decay: ArrayLike = 1.0
) -> Probe:
    r"""Which classes push which: sums of $|g_{ij}|$, $g_{ij} = \partial\ell_i/\partial
    z_{ij}$.

    $$\mathrm{positive}_j = \sum_{i: y_i = j} |g_{ij}|, \quad
      \mathrm{received}_j = \sum_{i: y_i \ne j} |g_{ij}|, \quad
      \mathrm{caused}_k = \sum_{i: y_i = k} \sum_{j \ne k} |g_{ij}|.$$

    A softmax loss pushes as much as it pulls: positive equals caused. What starves a
    tail class is received: gradient_ratio = positive / received far below 1.

    Args:
        num_classes: C.
        full: whether to keep $M_{kj} = \sum_{i: y_i = k} |g_{ij}|$ too, `[C, C]`.
        decay: what the sums keep from update to update, in (0, 1].
    Returns:
        A `Probe` that reads `ClassGradients`.
    Source: the statistics of GALA, Zhang et al., ICASSP 2024, arXiv:2403.09036, and the
        ratio of Tan et al., CVPR 2021, arXiv:2012.08548.

    >>> probe, z, y = class_gradients(2), jnp.zeros((3, 2)), jnp.array([0, 0, 1])
    >>> grads = jax.grad(lambda z: jnp.sum(jaxloss.cross_entropy(z, y)))(z)
    >>> state = probe.update(probe.init(), Signals(z, y, grads))
    >>> probe.read(state).gradient_ratio
    Array([2. , 0.5], dtype=float32)
    """

    def zeros():
        rows = {"own": (2,), "received": ()} | (
            {"matrix": (num_classes,)} if full else {}
        )
        return {
            name: jnp.zeros((*shape, num_classes), sum_dtype())
            for name, shape in rows.items()
        }

    def measure(signals):
        grads, labels = flat_gradients(signals, num_classes)
        # A column's own examples are left out, not taken away again: for a class with
        # most of the examples little would be left of the difference.
        others = jnp.where(is_label(grads, labels), 0, jnp.abs(grads))
        received = jnp.sum(others, axis=0)
        sums = {"own": masses_by_label(grads, labels), "received": received}
        if full:
            sums["matrix"] = by_group(jnp.abs(grads), labels, num_classes)
        return sums

    def read(state):
        positive, caused = state["own"]
        received = state["received"]
        ratio = positive / received  # 0 / 0 is the NaN that is meant
        matrix = state.get("matrix")
        return ClassGradients(positive, received, caused, ratio, matrix)

    return summed_probe(zeros, measure, read, decay)


class GradientNorms(NamedTuple):
    """Of the logit gradient of single examples, `[groups]` each."""

    examples: Array  # how many were seen
    mean: Array  # Euclidean norm, mean over those; NaN for a group without any
    share: Array  # of the sum of the norms of all groups


def gradient_norms(groups: Groups | None = None, *, decay: ArrayLike = 1.0) -> Probe:
    r"""How strongly examples push: mean of $\lVert g_i \rVert_2$, and who pushes most.

    With `by_confidence()` the share of what is well classified, with `by_example` of
    what is mislabelled (or, with a group for each, the norm of every example), with
    `by_class` of the tail.

    Args:
        groups: who is counted together; everyone by default.
        decay: what the sums keep from update to update, in (0, 1].
    Returns:
        A `Probe` that reads `GradientNorms`.

    >>> probe, z = gradient_norms(jaxloss.by_label(2)), jnp.eye(2)
    >>> grads = jnp.array([[0.3, -0.3], [-0.9, 0.9]])
    >>> state = probe.update(probe.init(), Signals(z, jnp.array([1, 0]), grads))
    >>> probe.read(state).share
    Array([0.75, 0.25], dtype=float32)
    """
    chosen = everyone() if groups is None else groups

    def measure(signals):
        grads = signals.logit_grads.astype(wide(signals.logit_grads.dtype))
        norms = jnp.linalg.norm(grads, axis=-1)
        both = jnp.stack([counted(signals).astype(norms.dtype), norms], axis=-1)
        return by_group(both.reshape(-1, 2), chosen.of(signals), chosen.number)

    def read(state):
        count, total = state.T
        return GradientNorms(count, total / count, total / jnp.sum(total))

    return summed_probe(
        lambda: jnp.zeros((chosen.number, 2), sum_dtype()), measure, read, decay
    )


class Histogram(NamedTuple):
    edges: Array  # [bins + 1]
    counts: Array  # [groups, bins]; what lies outside counts in the first or last bin


def log_odds_histogram(
    groups: Groups | None = None,
    *,
    low: float = -20.0,
    high: float = 20.0,
    bins: int = 80,
    decay: ArrayLike = 1.0,
) -> Probe:
    """How sure the model was of the labels: a histogram of `label_log_odds`.

    Args:
        groups: a histogram for each; one for everyone by default.
        low: left edge of the first bin.
        high: right edge of the last bin.
        bins: of equal width, each with its left edge.
        decay: what the counts keep from update to update, in (0, 1].
    Returns:
        A `Probe` that reads `Histogram`. A label that is no class is not counted.

    >>> probe, z = log_odds_histogram(low=-2, high=2, bins=4), jnp.array([[1.0, 0.0]])
    >>> probe.read(probe.update(probe.init(), Signals(z, jnp.array([0]), z))).counts
    Array([[0., 0., 0., 1.]], dtype=float32)
    """
    if not low < high or bins < 1:
        raise ValueError(
            f"a histogram needs low < high and bins >= 1, got {low}, {high}, {bins}"
        )
    chosen = everyone() if groups is None else groups
    shape = chosen.number, bins

    def measure(signals):
        u = label_log_odds(signals.logits, signals.labels).astype(jnp.float32)
        place = jnp.floor((u - low) * (bins / (high - low)))
        place = jnp.clip(jnp.where(jnp.isnan(u), 0, place), 0, bins - 1)
        group = chosen.of(signals)
        known = ~jnp.isnan(u) & (group >= 0) & (group < chosen.number)
        cell = jnp.where(known, group * bins + place.astype(group.dtype), -1)
        ones = jnp.ones((u.size, 1), sum_dtype())
        return by_group(ones, cell, chosen.number * bins).reshape(shape)

    def read(state):
        return Histogram(jnp.linspace(low, high, bins + 1), state)

    return summed_probe(lambda: jnp.zeros(shape, sum_dtype()), measure, read, decay)
