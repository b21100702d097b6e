"""Sums over the examples of a batch, by class or group: what statistics are made of."""

import jax
import jax.numpy as jnp
from jax import Array

from jaxloss._checks import check_logits_labels, check_shape
from jaxloss._log_odds import at_label, is_class, wide
from jaxloss._signals import Signals


def sum_dtype() -> jnp.dtype:
    return wide(jnp.result_type(float))


def flat_gradients(signals: Signals, num_classes: int) -> tuple[Array, Array]:
    """Gradients `[examples, classes]`, wide, and labels `[examples]`."""
    logits, labels = check_logits_labels(signals.logits, signals.labels)
    check_shape("logit_grads", signals.logit_grads, logits.shape, logits)
    if logits.shape[-1] != num_classes:
        raise ValueError(f"logits have {logits.shape[-1]} classes, not {num_classes}")
    grads = signals.logit_grads.astype(wide(signals.logit_grads.dtype))
    return grads.reshape(-1, num_classes), labels.reshape(-1)


def masses_by_label(grads: Array, labels: Array) -> Array:
    """`[2, classes]`: |gradient| on the own logit, and on all others, by label."""
    # The gather reads the gradients as they are: |g| would be written out for it.
    own = jnp.abs(at_label(grads, labels)[:, 0])
    own = jnp.where(is_class(grads, labels), own, 0)
    masses = jnp.stack([own, jnp.sum(jnp.abs(grads), axis=1) - own], axis=1)
    return by_group(masses, labels, grads.shape[1]).T


def by_group(values: Array, groups: Array, number: int) -> Array:
    """Sums of the rows of each group, `[number, ...]`; of no group, of no sum."""
    groups = groups.reshape(-1)
    # segment_sum drops what is out of range, but wraps int64 around at 2**32 first.
    groups = jnp.where((groups >= 0) & (groups < number), groups, number)
    return jax.ops.segment_sum(values, groups, number)


def counted(signals: Signals) -> Array:
    """Which examples have a label that is a class."""
    return is_class(signals.logits, signals.labels)
