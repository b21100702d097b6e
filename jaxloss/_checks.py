"""What a caller can get wrong, said at trace time: which argument, what it wants."""

from collections.abc import Sequence
from typing import Any, NoReturn, get_args

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jax.typing import ArrayLike


def check_logits(logits: ArrayLike, name: str = "logits") -> Array:
    """Logits as an array: floating, at least one axis, at least one class."""
    logits = jnp.asarray(logits)
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise TypeError(f"{name} must be floating, got {describe(logits)}")
    if logits.ndim == 0 or logits.shape[-1] == 0:
        raise ValueError(
            f"{name} must be [*batch, classes], one class at least, got "
            f"{describe(logits)}"
        )
    return logits


def check_bias_logits(bias_logits: ArrayLike, logits: Array) -> Array:
    """The logits of a second model: floating, of the shape of the first one's."""
    bias_logits = check_logits(bias_logits, "bias_logits")
    check_shape("bias_logits", bias_logits, logits.shape, logits)
    return bias_logits


def check_logits_labels(logits: ArrayLike, labels: ArrayLike) -> tuple[Array, Array]:
    """Logits `[*batch, classes]` and integer labels `[*batch]`, nothing else."""
    logits, labels = check_logits(logits), jnp.asarray(labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(
            f"labels must be integer class ids, got {describe(labels)} for logits "
            f"{describe(logits)}; for one-hot labels pass labels.argmax(-1)"
        )
    if labels.shape != logits.shape[:-1]:
        hint = "; squeeze the last axis" if labels.shape[-1:] == (1,) else ""
        raise ValueError(
            f"labels must have the shape of logits without its class axis: got labels "
            f"{describe(labels)} for logits {describe(logits)}{hint}"
        )
    if labels.dtype.itemsize < 4:  # a uint8 label could not be compared with 1000
        labels = labels.astype(jnp.int32)
    return logits, labels


def check_logits_targets(logits: ArrayLike, targets: ArrayLike) -> tuple[Array, Array]:
    """Logits and dense targets of the same shape `[*batch, classes]`."""
    logits, targets = check_logits(logits), jnp.asarray(targets)
    check_shape("targets", targets, logits.shape, logits)
    return logits, targets


def check_per_class(name: str, values: ArrayLike, logits: Array) -> Array:
    """Values `[classes]`, returned with the rank of `logits` so that they broadcast."""
    values = jnp.asarray(values)
    check_shape(name, values, logits.shape[-1:], logits)
    return values.reshape((1,) * (logits.ndim - 1) + values.shape)


def check_weights(weights: ArrayLike, logits: Array) -> Array:
    """`[classes]` or one row per example, at least 0; with the rank of `logits`."""
    check_range("weights", weights, 0, float("inf"), open_high=True)
    weights = jnp.asarray(weights)
    if weights.ndim == 1:
        return check_per_class("weights", weights, logits)
    check_shape("weights", weights, logits.shape, logits)
    return weights


def check_counts(counts: ArrayLike, logits: Array | None = None) -> Array:
    """Examples per class, `[classes]`, none negative, not all 0, as floats; with the
    rank of `logits` if those are given."""
    # Before they become an array: under jit that makes even constants a tracer.
    check_range("counts", counts, 0, float("inf"), open_high=True)
    if not isinstance(counts, Tracer):
        total = np.sum(np.asarray(counts))
        check_range("the sum of counts", total, 0, float("inf"), open_low=True)
    counts = jnp.asarray(counts)
    if counts.ndim != 1:
        raise ValueError(f"counts must be [classes], got {describe(counts)}")
    dtype = jnp.promote_types(jnp.result_type(counts, float), jnp.float32)
    counts = counts.astype(dtype)
    return counts if logits is None else check_per_class("counts", counts, logits)


def check_shape(name: str, array: Array, shape: Sequence[int], logits: Array) -> None:
    if array.shape != tuple(shape):
        raise ValueError(
            f"{name} must have shape {tuple(shape)} for logits {describe(logits)}, got "
            f"{describe(array)}"
        )


def check_range(
    name: str,
    value: Any,
    low: float,
    high: float,
    *,
    open_low: bool = False,
    open_high: bool = False,
) -> None:
    """Concrete values must lie in the interval; traced ones are the caller's care."""
    if isinstance(value, Tracer):
        return
    array = np.asarray(value)
    above = array > low if open_low else array >= low
    below = array < high if open_high else array <= high
    if not np.all(above & below):
        interval = f"{'(' if open_low else '['}{low}, {high}{')' if open_high else ']'}"
        raise ValueError(f"{name} must be in {interval}, got {value}")


def unknown(name: str, value: Any, allowed: Any) -> NoReturn:
    """A value that is none of a `Literal`."""
    names = ", ".join(f'"{x}"' for x in get_args(allowed))
    raise ValueError(f"{name} must be one of {names}, got {value!r}")


def describe(array: Array | np.ndarray) -> str:
    """Dtype and shape in the notation of jaxprs: `float32[8,10]`."""
    return f"{array.dtype}[{','.join(map(str, array.shape))}]"
