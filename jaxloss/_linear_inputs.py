"""What the fused head is given: checks with both shapes, and the size of a block."""

import operator

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxloss._checks import check_logits, describe
from jaxloss._linear_blocks import Head
from jaxloss._log_odds import wide

BUDGET = 32 * 2**20  # bytes for what lives while a block is worked on


def block_size(
    examples: int, features: int, classes: int, *, budget: int = BUDGET
) -> int:
    """How many classes at a time, so that a block fits into `budget` bytes.

    For each of its classes a block holds two float32 numbers per example (logit and its
    gradient) and two per feature (a part of the kernel and of its gradient). Multiples
    of 512 are avoided: rows that are a multiple of 2 kB apart fall into the same few
    lines of a CPU's cache, and a matrix product over them takes twice the time.

    Args:
        examples: N, of the batch.
        features: D.
        classes: C.
        budget: bytes; the inputs, the outputs and two `[N, D]` arrays come on top.

    >>> block_size(2048, 256, 32_000)
    1820
    """
    size = max(1, min(classes, budget // (8 * (max(examples, 1) + features))))
    return size - 16 if size % 512 == 0 and size < classes else size


def check_features_kernel(
    features: ArrayLike, kernel: ArrayLike
) -> tuple[Array, Array]:
    features = check_logits(features, "features")
    kernel = check_logits(kernel, "kernel")
    if kernel.ndim != 2 or kernel.shape[0] != features.shape[-1]:
        raise ValueError(
            f"kernel must be [features, classes], {features.shape[-1]} features for "
            f"features {describe(features)}, got {describe(kernel)}"
        )
    return features, kernel


def check_labels(labels: ArrayLike, features: Array) -> Array:
    labels = jnp.asarray(labels)
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"labels must be integer class ids, got {describe(labels)}")
    if labels.shape != features.shape[:-1]:
        raise ValueError(
            f"labels must have the shape of features without its last axis: got labels "
            f"{describe(labels)} for features {describe(features)}"
        )
    return labels.astype(jnp.int32) if labels.dtype.itemsize < 4 else labels


def check_block(block: int | None, examples: int, width: int, classes: int) -> int:
    size = block_size(examples, width, classes) if block is None else block
    if operator.index(size) < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    return min(operator.index(size), classes)


def head_of(
    kernel: Array,
    *,
    bias: ArrayLike | None = None,
    margin: ArrayLike | None = None,
    scale: ArrayLike | None = None,
    tap: ArrayLike | None = None,
) -> Head:
    shift = None
    for name, values in (("bias", bias), ("margin", margin)):
        if values is not None:
            values = per_class(name, values, kernel)
            shift = values if shift is None else shift + values
    if scale is not None and jnp.ndim(scale) == 0:
        scale = jnp.broadcast_to(jnp.asarray(scale), kernel.shape[1:])
    if scale is not None:
        scale = per_class("scale", scale, kernel)
    return Head(
        kernel, scale, shift, None if tap is None else per_class("tap", tap, kernel)
    )


def per_class(name: str, values: ArrayLike, kernel: Array) -> Array:
    values = jnp.asarray(values)
    if values.shape != kernel.shape[1:]:
        raise ValueError(
            f"{name} must have shape {kernel.shape[1:]} for kernel {describe(kernel)}, "
            f"got {describe(values)}"
        )
    return values.astype(wide(kernel.dtype))


def shards(
    mesh: jax.sharding.Mesh | None,
    axes: tuple[str | None, str],
    examples: int,
    classes: int,
) -> tuple[int, int]:
    """Into how many parts examples and classes are cut."""
    if mesh is None:
        return 1, 1
    parts = []
    for what, name, size in zip(
        ("examples", "classes"), axes, (examples, classes), strict=True
    ):
        if name is not None and name not in mesh.shape:
            raise ValueError(f"the mesh has no axis {name!r}, only {mesh.axis_names}")
        parts.append(1 if name is None else mesh.shape[name])
        if size % parts[-1]:
            raise ValueError(
                f"{size} {what} do not divide into the {parts[-1]} parts of mesh axis "
                f"{name!r}: pad them (labels -1, margin -inf), or choose other axes"
            )
    return parts[0], parts[1]
