"""The label's log-odds straight from the classifier head, without `[N, C]` logits.

The classes go by in blocks; what stays of a block is a running maximum and a running
sum for each example. Every curve, and every shift that is a margin per class, then
costs what plain cross-entropy costs:

    u = linear_label_log_odds(features, kernel, labels, margin=tau * log_prior)
    losses = curves.generalized_cross_entropy(u, q=0.7)
"""

import operator
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss._checks import check_logits, describe
from jaxloss._log_odds import wide

BUDGET = 32 * 2**20  # bytes for what lives while a block is worked on; see `block_size`


def linear_label_log_odds(
    features: Float[Array, "*batch features"],
    kernel: Float[Array, "features classes"],
    labels: Integer[Array, "*batch"],
    *,
    bias: Float[Array, " classes"] | None = None,
    margin: Float[Array, " classes"] | None = None,
    block: int | None = None,
) -> Float[Array, "*batch"]:
    r"""`label_log_odds` of $z = h W + b + m$, never holding z.

    $$u = z_y - \log\sum_{k \ne y} e^{z_k}, \qquad
      \frac{\partial u}{\partial h} = w_y - \sum_{k \ne y} s_k w_k, \qquad
      \frac{\partial u}{\partial w_k} = ([k = y] - [k \ne y]\, s_k)\, h, \qquad
      s_k = \frac{e^{z_k}}{\sum_{j \ne y} e^{z_j}}.$$

    The derivative is exact, and in reverse mode alone; the backward pass makes the
    logits once more, block by block. With `bias` and `margin` it is that of w, without
    the h.

    A margin on the label's row needs no z: it is added to u. So GALA is
    `linear_label_log_odds(..., margin=a) - a[y] + b[y]` with
    $a = \lambda_1 \log(\theta + \epsilon)$, $b = \lambda_2 \log(\phi + \epsilon)$, and
    LDAM is u less the margin of the label. GALA's sums need no pass of their own
    either: with a curve, $|\partial\ell/\partial u|$ is what an example adds both to
    $\theta$ and to $\phi$ of its class.

    Args:
        features: h, the input of the head.
        kernel: W.
        labels: class ids in `[0, classes)`; NaN for any other, and no gradient.
        bias: b; may be learned.
        margin: m, added to the logits of all classes: `tau * log_prior` for logit
            adjustment. $-\infty$ takes a class out.
        block: classes at a time, chosen by `block_size` when None.
    Returns:
        One log-odds per example, in the dtype of the features. bfloat16 and float16 are
        multiplied as they are and summed in float32.
    Raises:
        TypeError: features or kernel that are not floating, labels that are not
            integers; from JAX, forward mode, for which there is
            `label_log_odds(features @ kernel, labels)`.
        ValueError: shapes that do not match; a block below 1.

    >>> h, kernel = jnp.array([[1.0, 2.0]]), jnp.eye(2, 3)
    >>> linear_label_log_odds(h, kernel, jnp.array([1])).round(4)  # of logits 1, 2, 0
    Array([0.6867], dtype=float32)
    """
    parts = _head_parts(features, kernel, labels, bias, margin, block)
    return (parts.label - parts.rivals).astype(parts.dtype)


def linear_log_odds_and_normalizer(
    features: Float[Array, "*batch features"],
    kernel: Float[Array, "features classes"],
    labels: Integer[Array, "*batch"],
    *,
    bias: Float[Array, " classes"] | None = None,
    margin: Float[Array, " classes"] | None = None,
    block: int | None = None,
) -> tuple[Float[Array, "*batch"], Float[Array, "*batch"]]:
    r"""`linear_label_log_odds` and, from the same pass, $\log\sum_k e^{z_k}$.

    The normalizer is what a z-loss squares.

    Args:
        features: h, the input of the head.
        kernel: W.
        labels: class ids in `[0, classes)`; NaN for any other, and no gradient.
        bias: b; may be learned.
        margin: m, added to the logits of all classes.
        block: classes at a time, chosen by `block_size` when None.
    Returns:
        The log-odds and the normalizer of each example, in the dtype of the features.
    Raises:
        TypeError, ValueError: as `linear_label_log_odds`.

    >>> h, kernel = jnp.array([[1.0, 2.0]]), jnp.eye(2, 3)
    >>> linear_log_odds_and_normalizer(h, kernel, jnp.array([1]))[1].round(4)
    Array([2.4076], dtype=float32)
    """
    parts = _head_parts(features, kernel, labels, bias, margin, block)
    u = (parts.label - parts.rivals).astype(parts.dtype)
    return u, jnp.logaddexp(parts.label, parts.rivals).astype(parts.dtype)


def block_size(
    examples: int, features: int, classes: int, *, budget: int = BUDGET
) -> int:
    """How many classes at a time, so that a block fits into `budget` bytes.

    For each of its classes a block holds two float32 numbers per example (logit and its
    gradient) and two per feature (a part of the kernel and of its gradient).

    Args:
        examples: N, of the batch.
        features: D.
        classes: C.
        budget: bytes; the inputs, the outputs and two `[N, D]` arrays come on top.

    >>> block_size(2048, 256, 32_000)
    1820
    """
    return max(1, min(classes, budget // (8 * (max(examples, 1) + features))))


class _Parts(NamedTuple):
    label: Array  # z_y [*batch]
    rivals: Array  # log of the sum of exp over the rivals [*batch]
    dtype: jnp.dtype  # of the features


def _head_parts(
    features: ArrayLike,
    kernel: ArrayLike,
    labels: ArrayLike,
    bias: ArrayLike | None,
    margin: ArrayLike | None,
    block: int | None,
) -> _Parts:
    features, kernel = (
        check_logits(features, "features"),
        check_logits(kernel, "kernel"),
    )
    labels = jnp.asarray(labels)
    if kernel.ndim != 2 or kernel.shape[0] != features.shape[-1]:
        raise ValueError(
            f"kernel must be [features, classes], {features.shape[-1]} features for "
            f"features {describe(features)}, got {describe(kernel)}"
        )
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"labels must be integer class ids, got {describe(labels)}")
    if labels.shape != features.shape[:-1]:
        raise ValueError(
            f"labels must have the shape of features without its last axis: got labels "
            f"{describe(labels)} for features {describe(features)}"
        )
    width, classes = kernel.shape
    shift = _shift(bias, margin, kernel)
    size = block_size(labels.size, width, classes) if block is None else block
    size = min(operator.index(size), classes)
    if size < 1:
        raise ValueError(f"block must be at least 1, got {block}")
    if labels.dtype.itemsize < 4:
        labels = labels.astype(jnp.int32)
    flat = labels.reshape(-1)
    valid = (flat >= 0) & (flat < classes)
    label, rivals = _label_and_rivals(
        size,
        features.reshape(-1, width),
        kernel,
        shift,
        jnp.where(valid, flat, 0).astype(jnp.int32),
    )
    # Selected away: neither of them hands a gradient on.
    label, rivals = (jnp.where(valid, part, jnp.nan) for part in (label, rivals))
    return _Parts(
        label.reshape(labels.shape), rivals.reshape(labels.shape), features.dtype
    )


def _shift(bias: ArrayLike | None, margin: ArrayLike | None, kernel: Array) -> Array:
    """What is added to the logits of each class, `[classes]`, wide."""
    shift = jnp.zeros(kernel.shape[1:], wide(kernel.dtype))
    for name, values in (("bias", bias), ("margin", margin)):
        if values is None:
            continue
        values = jnp.asarray(values)
        if values.shape != shift.shape:
            raise ValueError(
                f"{name} must have shape {shift.shape} for kernel {describe(kernel)}, "
                f"got {describe(values)}"
            )
        shift = shift + values.astype(shift.dtype)
    return shift


def _label_and_rivals(
    size: int, features: Array, kernel: Array, shift: Array, labels: Array
) -> tuple[Array, Array]:
    """Exact: z_y and the log-sum-exp over the rivals, of flat batches."""
    return _forward(size, features, kernel, shift, labels)[0]


_label_and_rivals = jax.custom_vjp(_label_and_rivals, nondiff_argnums=(0,))


def _forward(size, features, kernel, shift, labels):
    own = jnp.take(kernel, labels, axis=1, mode="clip")
    label = jnp.einsum("nd,dn->n", features, own, preferred_element_type=shift.dtype)
    label = label + jnp.take(shift, labels, mode="clip")

    def add(i, state):
        top, total = state
        z, _, fresh, hot = _block(i, size, features, kernel, shift, labels)
        z = jnp.where(fresh & ~hot, z, -jnp.inf)
        higher = jnp.maximum(top, jnp.max(z, axis=1))
        # Of classes that are all out: 0, so that nothing becomes inf - inf.
        base = jnp.where(jnp.isneginf(higher), 0, higher)
        total = total * jnp.exp(top - base) + jnp.sum(
            jnp.exp(z - base[:, None]), axis=1
        )
        return higher, total

    start = jnp.full_like(label, -jnp.inf), jnp.zeros_like(label)
    top, total = jax.lax.fori_loop(0, _blocks(size, kernel), add, start)
    rivals = jnp.where(jnp.isneginf(top), -jnp.inf, top + jnp.log(total))
    return (label, rivals), (features, kernel, shift, labels, rivals)


def _backward(size, saved, cotangents):
    features, kernel, shift, labels, rivals = saved
    of_label, of_rivals = (c[:, None] for c in cotangents)
    # Without rivals there is nothing to hand on, and no inf - inf to make it NaN.
    alone = jnp.isneginf(rivals)[:, None]
    base = jnp.where(alone, jnp.inf, rivals[:, None])

    def add(i, state):
        d_features, d_kernel, d_shift = state
        z, part, fresh, hot = _block(i, size, features, kernel, shift, labels)
        grads = jnp.where(hot, of_label, of_rivals * jnp.exp(z - base))
        grads = jnp.where(fresh, grads, 0).astype(features.dtype)
        d_features = d_features + jnp.dot(
            grads, part.T, preferred_element_type=d_features.dtype
        )
        added = jnp.dot(features.T, grads, preferred_element_type=shift.dtype)
        begin = _begin(i, size, kernel)
        # The last block overlaps the one before where it is not `fresh`: hence added.
        before = jax.lax.dynamic_slice_in_dim(d_kernel, begin, size, 1)
        after = (before + added).astype(d_kernel.dtype)
        d_kernel = jax.lax.dynamic_update_slice_in_dim(d_kernel, after, begin, 1)
        sums = jnp.sum(grads, axis=0, dtype=d_shift.dtype)
        before = jax.lax.dynamic_slice_in_dim(d_shift, begin, size, 0)
        d_shift = jax.lax.dynamic_update_slice_in_dim(d_shift, before + sums, begin, 0)
        return d_features, d_kernel, d_shift

    start = (
        jnp.zeros(features.shape, shift.dtype),
        jnp.zeros_like(kernel),
        jnp.zeros_like(shift),
    )
    d_features, d_kernel, d_shift = jax.lax.fori_loop(
        0, _blocks(size, kernel), add, start
    )
    return d_features.astype(features.dtype), d_kernel, d_shift, None


_label_and_rivals.defvjp(_forward, _backward)


def _blocks(size: int, kernel: Array) -> int:
    return -(-kernel.shape[1] // size)


def _begin(i: Array, size: int, kernel: Array) -> Array:
    """The last block begins early instead of ending late: no padded kernel."""
    return jnp.minimum(i * size, kernel.shape[1] - size)


def _block(
    i: Array, size: int, features: Array, kernel: Array, shift: Array, labels: Array
) -> tuple[Array, Array, Array, Array]:
    """Logits `[N, size]`, the part of the kernel, which columns no block has had, and
    which cell is the label's."""
    begin = _begin(i, size, kernel)
    part = jax.lax.dynamic_slice_in_dim(kernel, begin, size, 1)
    z = jnp.dot(features, part, preferred_element_type=shift.dtype)
    z = z + jax.lax.dynamic_slice_in_dim(shift, begin, size, 0)[None]
    columns = begin + jax.lax.broadcasted_iota(jnp.int32, (1, size), 1)
    return z, part, columns >= i * size, columns == labels[:, None]
