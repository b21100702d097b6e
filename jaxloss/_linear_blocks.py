"""The passes of the fused head: blocks of classes go by, forward and backward.

Forward keeps a running maximum and a running sum for each example; backward makes the
logits once more and writes each part of the kernel's gradient once. That is four matrix
products against the three of materialised logits, and no `[N, C]`.

A kernel for an accelerator would replace `block_logits` and the `add`s around it.
"""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P


class Head(NamedTuple):
    """Logits are `features @ columns(kernel, scale) + shift`."""

    kernel: Array  # [D, C]
    scale: Array | None = None  # [C]
    shift: Array | None = None  # [C], wide
    tap: Array | None = None  # [C], wide; see `linear_label_log_odds`


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is static."""

    size: int  # of a block, in classes
    cosine: bool = False
    mesh: Mesh | None = None
    axes: tuple[str | None, str] = ("data", "model")  # of examples and of classes


def _label_and_rivals(
    plan: Plan, features: Array, head: Head, labels: Array
) -> tuple[Array, Array]:
    """Exact: z_y and the log-sum-exp over the rivals, of flat batches."""
    return _forward(plan, features, head, labels)[0]


label_and_rivals = jax.custom_vjp(_label_and_rivals, nondiff_argnums=(0,))


def _forward(plan, features, head, labels):
    found = _over_mesh(plan, _sums, (features, head, labels), ("n", "n"))
    return found, (features, head, labels, found[1])


def _backward(plan, saved, cotangents):
    features, head, labels, rivals = saved
    args = (features, head, labels, rivals, *cotangents)
    d_features, d_head = _over_mesh(plan, _gradients, args, ("n", "c"))
    return d_features, d_head, None


label_and_rivals.defvjp(_forward, _backward)


def _over_mesh(plan: Plan, function: Callable, args: tuple, outs: tuple) -> Any:
    """`function(plan, first, *args)` where `first` is the first class it has."""
    if plan.mesh is None:
        return function(plan, 0, *args)
    of_examples, of_classes = plan.axes
    specs = {"n": P(of_examples), "c": P(of_classes), "k": P(None, of_classes)}

    def spec(argument):
        if not isinstance(argument, Head):
            return specs["n"]
        return jax.tree.map(lambda x: specs["k" if x.ndim == 2 else "c"], argument)

    head = spec(next(a for a in args if isinstance(a, Head)))

    def local(*args):
        (kernel,) = (a.kernel for a in args if isinstance(a, Head))
        first = jax.lax.axis_index(of_classes) * kernel.shape[1]
        return function(plan, first, *args)

    return jax.shard_map(
        local,
        mesh=plan.mesh,
        in_specs=tuple(map(spec, args)),
        out_specs=tuple(head if kind == "c" else specs[kind] for kind in outs),
        check_vma=False,  # nobody differentiates it: forward and backward are both here
    )(*args)


def _sums(plan: Plan, first: Any, features: Array, head: Head, labels: Array):
    own = labels - first  # a class elsewhere is in no block
    here = (own >= 0) & (own < head.kernel.shape[1])
    at = partial(jnp.take, indices=jnp.where(here, own, 0), mode="clip")
    columns = _columns(plan.cosine, at(head.kernel, axis=1), _maybe(at, head.scale))
    dtype = jnp.promote_types(head.kernel.dtype, jnp.float32)
    label = jnp.einsum("nd,dn->n", features, columns, preferred_element_type=dtype)
    label = label if head.shift is None else label + at(head.shift)

    def add(state, begin, part):
        top, total = state
        z, _ = block_logits(plan, features, part)
        z = jnp.where(_hot(own, begin, z), -jnp.inf, z)
        higher = jnp.maximum(top, jnp.max(z, axis=1))
        base = _finite(higher)
        total = total * jnp.exp(top - base)
        return higher, total + jnp.sum(jnp.exp(z - base[:, None]), axis=1)

    start = jnp.full_like(label, -jnp.inf), jnp.zeros_like(label)
    top, total = each_block(plan, head, start, add)
    if plan.mesh is not None:
        higher = jax.lax.pmax(top, plan.axes[1])
        total = total * jnp.exp(top - _finite(higher))
        both = jnp.stack([total, jnp.where(here, label, 0)])
        top, (total, label) = higher, jax.lax.psum(both, plan.axes[1])
    return label, jnp.where(jnp.isneginf(top), -jnp.inf, top + jnp.log(total))


def _gradients(plan, first, features, head, labels, rivals, of_label, of_rivals):
    own = (labels - first).astype(labels.dtype)
    # Without rivals there is nothing to hand on, and no inf - inf to make it NaN.
    base = jnp.where(jnp.isneginf(rivals), jnp.inf, rivals)[:, None]
    of_label, of_rivals = of_label[:, None], of_rivals[:, None]

    def add(state, begin, part):
        d_features, d_head = state
        z, pull = block_logits(plan, features, part)
        hot = _hot(own, begin, z)
        exps = jnp.exp(z - base)  # the label's may overflow: selected away
        grads = jnp.where(hot, of_label, of_rivals * exps)
        added, d_part = pull(grads)
        if part.tap is not None:
            received = jnp.where(hot, 0, jnp.abs(of_rivals) * exps)
            d_part = d_part._replace(tap=jnp.sum(received, axis=0))
        d_head = jax.tree.map(
            lambda whole, new: jax.lax.dynamic_update_slice_in_dim(
                whole, new.astype(whole.dtype), begin, whole.ndim - 1
            ),
            d_head,
            d_part,
        )
        return d_features + added, d_head

    start = jnp.zeros(features.shape, base.dtype), jax.tree.map(jnp.zeros_like, head)
    d_features, d_head = each_block(plan, head, start, add)
    if plan.mesh is not None:
        of_examples, of_classes = plan.axes
        d_features = jax.lax.psum(d_features, of_classes)
        if of_examples is not None:
            d_head = jax.lax.psum(d_head, of_examples)
    return d_features.astype(features.dtype), d_head


def each_block(plan: Plan, head: Head, state: Any, add: Callable) -> Any:
    """`add(state, begin, part of the head)` over all classes; the last, smaller block
    stands outside the loop: no padded kernel, and no class twice."""
    classes = head.kernel.shape[1]
    size = min(plan.size, classes)
    whole = classes // size * size

    def part(begin, size):
        return jax.tree.map(
            lambda x: jax.lax.dynamic_slice_in_dim(x, begin, size, x.ndim - 1), head
        )

    state = jax.lax.fori_loop(
        0, whole // size, lambda i, s: add(s, i * size, part(i * size, size)), state
    )
    if whole < classes:
        state = add(state, whole, part(whole, classes - whole))
    return state


def block_logits(plan: Plan, features: Array, part: Head) -> tuple[Array, Callable]:
    """Logits `[N, block]`, and their pull-back to the features (wide) and the part."""
    wide = jnp.promote_types(part.kernel.dtype, jnp.float32)
    columns, pull_columns = jax.vjp(
        partial(_columns, plan.cosine), part.kernel, part.scale
    )
    z = jnp.dot(features, columns, preferred_element_type=wide)
    z = z if part.shift is None else z + part.shift[None]

    def pull(grads):
        narrow = grads.astype(features.dtype)
        d_features = jnp.dot(narrow, columns.T, preferred_element_type=wide)
        d_columns = jnp.dot(features.T, narrow, preferred_element_type=wide)
        d_kernel, d_scale = pull_columns(d_columns.astype(columns.dtype))
        d_shift = None if part.shift is None else jnp.sum(grads, axis=0)
        return d_features, Head(d_kernel, d_scale, d_shift)

    return z, pull


def _columns(cosine: bool, kernel: Array, scale: Array | None) -> Array:
    """The class vectors that the features are multiplied with, in the kernel's dtype.

    Of a block at a time: there is no normalised copy of the whole kernel.
    """
    columns = kernel.astype(jnp.promote_types(kernel.dtype, jnp.float32))
    columns = _unit(columns, axis=0) if cosine else columns
    columns = columns if scale is None else columns * scale[None]
    return columns.astype(kernel.dtype)


def _unit(x: Array, axis: int) -> Array:
    """Of length 1; zeros stay zeros, without a gradient."""
    square = jnp.sum(x * x, axis=axis, keepdims=True)
    return x * jnp.where(square > 0, jax.lax.rsqrt(jnp.where(square > 0, square, 1)), 0)


def unit_rows(features: Array, cosine: bool) -> Array:
    if not cosine:
        return features
    wide = features.astype(jnp.promote_types(features.dtype, jnp.float32))
    return _unit(wide, axis=1).astype(features.dtype)


def _hot(own: Array, begin: Any, z: Array) -> Array:
    """Which cell is the label's."""
    columns = jax.lax.broadcasted_iota(own.dtype, (1, z.shape[1]), 1)
    return columns == (own - begin)[:, None]


def _finite(top: Array) -> Array:
    """0 for the maximum of classes that are all out, so that nothing is inf - inf."""
    return jnp.where(jnp.isneginf(top), 0, top)


def _maybe(function: Callable, x: Array | None) -> Array | None:
    return None if x is None else function(x)
