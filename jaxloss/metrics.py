"""What to report where plain accuracy hides the tail. Scalars unless said otherwise.

All take logits (or adjusted scores: only their order matters, except for likelihood and
calibration) and integer labels of any batch shape. A label that is no class makes the
result NaN; take it out with `where`.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, Integer

from jaxloss._checks import check_logits_labels, check_shape
from jaxloss._log_odds import wide
from jaxloss._reduce import masked_mean
from jaxloss._softmax import cross_entropy


def accuracy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    """Share of examples whose largest logit (the first of them) is the label's.

    >>> accuracy(jnp.array([[1.0, 0.0], [1.0, 0.0]]), jnp.array([0, 1]))
    Array(0.5, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    return masked_mean(_correct(logits, labels), where=where)


def per_class_accuracy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, " classes"]:
    """Recall of each class, `[classes]`; NaN for a class without examples.

    >>> per_class_accuracy(jnp.array([[1.0, 0.0, 0.0]] * 2), jnp.array([0, 1]))
    Array([ 1.,  0., nan], dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    correct, num_classes = _correct(logits, labels), logits.shape[-1]
    if where is not None:
        check_shape("where", where, labels.shape, logits)
        # What does not count goes to a class of its own, cut off at the end.
        labels = jnp.where(where, labels, num_classes)
        correct = jnp.where(where, correct, 0)
    hits = jax.ops.segment_sum(correct.ravel(), labels.ravel(), num_classes + 1)
    counts = jax.ops.segment_sum(
        jnp.ones(labels.size, correct.dtype), labels.ravel(), num_classes + 1
    )
    recall = (hits / counts)[:-1]  # 0 / 0 is the NaN that is meant
    poison = jnp.sum(jnp.where(jnp.isnan(correct), correct, 0))
    return recall + poison


def balanced_error(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    """Mean over the classes that occur of the error on the class.

    >>> balanced_error(jnp.array([[1.0, 0.0]] * 4), jnp.array([0, 0, 0, 1]))
    Array(0.5, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    return 1 - jnp.nanmean(per_class_accuracy(logits, labels, where=where))


class ShotAccuracy(NamedTuple):
    """Mean recall over the classes with many, medium and few training examples."""

    many: Array
    medium: Array
    few: Array


def shot_accuracy(
    class_accuracy: Float[Array, " classes"],
    counts: Integer[Array, " classes"],
    *,
    many: float = 100,
    few: float = 20,
) -> ShotAccuracy:
    """Many-, medium- and few-shot accuracy: means of recall by training set size.

    Source: Liu et al., CVPR 2019, arXiv:1904.05160.

    Args:
        class_accuracy: recall per class, from `per_class_accuracy`; NaN classes are
            left out.
        counts: training examples per class.
        many: classes with more examples than this are many-shot.
        few: classes with fewer than this are few-shot; those between are medium-shot.
    Returns:
        The three means; NaN where there is no such class.

    >>> shot_accuracy(jnp.array([1.0, 0.5, 0.0]), jnp.array([500, 100, 2])).medium
    Array(0.5, dtype=float32)
    """
    class_accuracy, counts = jnp.asarray(class_accuracy), jnp.asarray(counts)
    check_shape("counts", counts, class_accuracy.shape, class_accuracy)
    known = ~jnp.isnan(class_accuracy)

    def mean(group):
        group = group & known
        total = jnp.sum(jnp.where(group, class_accuracy, 0))
        return total / jnp.sum(group).astype(total.dtype)

    is_many, is_few = counts > many, counts < few
    return ShotAccuracy(mean(is_many), mean(~is_many & ~is_few), mean(is_few))


def negative_log_likelihood(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    """Mean cross-entropy, in nats.

    >>> negative_log_likelihood(jnp.zeros((3, 2)), jnp.array([0, 1, 1])).round(4)
    Array(0.6931, dtype=float32)
    """
    return masked_mean(cross_entropy(logits, labels), where=where)


def expected_calibration_error(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    bins: int = 15,
    where: Bool[Array, "*batch"] | None = None,
) -> Float[Array, ""]:
    r"""Calibration, $\sum_b \frac{n_b}{n} |\mathrm{acc}_b - \mathrm{conf}_b|$.

    Summed over bins of confidence, the largest softmax probability; the bins are of
    equal width on (0, 1], closed above.
    Source: Guo et al., ICML 2017, arXiv:1706.04599.

    >>> expected_calibration_error(jnp.array([[0.0, 0.0]]), jnp.array([0]))
    Array(0.5, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    p = jax.nn.softmax(logits.astype(wide(logits.dtype)), axis=-1)
    confidence = jnp.max(p, axis=-1)
    correct = _correct(logits, labels)
    counted = jnp.ones(labels.shape, bool) if where is None else jnp.asarray(where)
    check_shape("where", counted, labels.shape, logits)
    index = jnp.clip(jnp.ceil(confidence * bins).astype(jnp.int32) - 1, 0, bins - 1)
    gap = jnp.where(counted, correct - confidence, 0)
    gaps = jax.ops.segment_sum(gap.ravel(), index.ravel(), bins)
    return jnp.sum(jnp.abs(gaps)) / jnp.maximum(jnp.sum(counted), 1)


def _correct(logits: Array, labels: Array) -> Array:
    """1 or 0 per example, NaN for a label that is no class."""
    valid = (labels >= 0) & (labels < logits.shape[-1])
    hit = jnp.argmax(logits, axis=-1).astype(labels.dtype) == labels
    return jnp.where(valid, hit.astype(wide(logits.dtype)), jnp.nan)
