r"""The label's log-odds: the primitive under every softmax loss of this library.

With $u = z_y - \log\sum_{k\ne y} e^{z_k}$ the softmax gives $p_y = \sigma(u)$ and
$1 - p_y = \sigma(-u)$, both without cancellation however sure the model is. A
multi-class problem has become a binary one, and a loss is a curve $\ell(u)$ whose
gradient is

$$\frac{\partial\ell}{\partial z_y} = \ell'(u), \qquad
  \frac{\partial\ell}{\partial z_k} = -\ell'(u)\, r_k, \quad
  r_k = \frac{e^{z_k}}{\sum_{j\ne y} e^{z_j}}, \quad r_y = 0.$$

`r`, the softmax over the rivals of the label, is the only thing kept for the backward
pass.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss._checks import check_logits_labels
from jaxloss._exact import log_sigmoid, times

Curve = Callable[[Array], Array]  # of the log-odds, elementwise
_Parts = tuple[Array, Array, Array]  # z_y - top, exp(z - top) of the rivals, their sum


def label_log_odds(
    logits: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""Log-odds of the label: $u$ such that $p_y = \sigma(u)$.

    $$u = z_y - \log\sum_{k\ne y} e^{z_k}, \qquad
      \frac{\partial u}{\partial z_y} = 1, \qquad
      \frac{\partial u}{\partial z_k} = -\frac{p_k}{1 - p_y} \quad (k \ne y).$$

    Exact to a few ulp at any gap between the logits, also where $p_y$ itself would have
    rounded to 0 or 1. Logits of $-\infty$ take a class out; if that leaves the label
    without a rival, $u = +\infty$ with a zero gradient on the rivals.

    Args:
        logits: unnormalized scores. float16 and bfloat16 are computed in float32.
        labels: class ids in `[0, classes)`. Any other id, such as -1 or -100 for
            padding, gives NaN for its example alone, and no gradient.
    Returns:
        One log-odds per example, in the dtype of the logits.
    Raises:
        TypeError: logits that are not floating, labels that are not integers.
        ValueError: labels whose shape is not that of the logits without the class axis.

    >>> label_log_odds(jnp.array([2.0, 0.0, 0.0]), jnp.array(0)).round(4)  # 2 - log 2
    Array(1.3069, dtype=float32)
    """
    return apply_curve(lambda u: u, logits, labels)


def apply_curve(
    curve: Curve,
    logits: Array,
    labels: Array,
    *,
    scale: Array | None = None,
    margin: Array | None = None,
    label_offset: Array | None = None,
) -> Array:
    """`curve(u)` for each example: what every softmax loss is made of.

    Args:
        curve: function of the log-odds.
        logits: `[*batch, classes]`.
        labels: `[*batch]`.
        scale: multiplies the logits; of their rank, its last axis 1 or the classes.
        margin: added to the (scaled) logits of the rivals, not to the label's; any
            shape that broadcasts against the logits.
        label_offset: its entry at the label is added to the log-odds; likewise. The
            margin itself makes it a shift of all logits.
    """
    logits, labels = check_logits_labels(logits, labels)
    valid = is_class(logits, labels)
    u, _ = log_odds_and_rivals(logits, labels, scale=scale, margin=margin)
    if label_offset is not None:
        u = u + jnp.squeeze(at_label(label_offset, labels), -1)
    # The inner select keeps what stands beside an invalid label out of every gradient,
    # the hyper-parameters' included: 0 * NaN is NaN. The outer one makes its loss loud.
    losses = curve(jnp.where(valid, u, 0))
    return jnp.where(valid, losses, jnp.nan).astype(logits.dtype)


def per_example(
    loss: Callable[[Array, Array], Array], logits: Array, labels: Array
) -> Array:
    """`loss(logits, labels)` for a loss that is no curve: wide; NaN, without any
    gradient, where the label is no class."""
    logits, labels = check_logits_labels(logits, labels)
    valid = is_class(logits, labels)
    z = jnp.where(valid[..., None], logits.astype(wide(logits.dtype)), 0)
    losses = loss(z, jnp.where(valid, labels, 0))
    return jnp.where(valid, losses, jnp.nan).astype(logits.dtype)


def log_softmax(logits: Array) -> tuple[Array, Array]:
    """`log p` of every class, and its log-odds: each exact to a few ulp.

    The largest class is the one whose `log p` and `1 - p` may be tiny; it gets its own
    log-odds. The others have p <= 1/2.
    """
    z = logits.astype(wide(logits.dtype))
    top = jnp.argmax(jax.lax.stop_gradient(z), axis=-1)
    u, _ = log_odds_and_rivals(z, top)
    log_top = log_sigmoid(u)[..., None]
    is_top = is_label(z, top)
    # A select, for in the gradient of the top class z - z would hide a small 1 - p.
    log_p = jnp.where(is_top, log_top, z - at_label(z, top) + log_top)
    rest = jnp.log1p(-jnp.exp(jnp.where(is_top, -1, log_p)))
    return log_p, jnp.where(is_top, u[..., None], log_p - rest)


def soft_cross_entropy(log_p: Array, targets: Array) -> Array:
    """`-sum(targets * log_p)` over the classes; one without a target may have p = 0."""
    return -jnp.sum(times(targets, log_p), axis=-1)


def wide(dtype: jnp.dtype) -> jnp.dtype:
    """The dtype to compute in: float32, or float64 if that is what came in."""
    return jnp.promote_types(dtype, jnp.float32)


def log_odds_and_rivals(
    logits: Array,
    labels: Array,
    *,
    scale: Array | None = None,
    margin: Array | None = None,
) -> tuple[Array, Array]:
    """The log-odds `[*batch]` and the softmax over the rivals `[*batch, classes]`, 0 at
    the label; see `apply_curve`. Labels must be classes."""
    return _log_odds_and_rivals(logits, scale, margin, labels)


def at_label(values: Array, labels: Array) -> Array:
    """Each row's entry at its label, class axis kept; saves no `[N, C]` for AD."""
    if values.shape[-1] == 1:
        return values
    if _explicit(values, labels):  # a gather wants to be told its sharding
        hot = is_label(values, labels)
        return jnp.sum(jnp.where(hot, values, 0), axis=-1, keepdims=True)
    return jnp.take_along_axis(values, labels[..., None], axis=-1, mode="clip")


def as_scale(scale: ArrayLike, logits: Array) -> Array:
    """A number as the `scale` of `apply_curve`."""
    dtype = wide(logits.dtype)
    return jnp.broadcast_to(jnp.asarray(scale, dtype), (1,) * logits.ndim)


def is_class(logits: Array, labels: Array) -> Array:
    return (labels >= 0) & (labels < logits.shape[-1])


def is_label(z: Array, labels: Array) -> Array:
    row = (1,) * (z.ndim - 1) + z.shape[-1:]
    return jax.lax.broadcasted_iota(labels.dtype, row, z.ndim - 1) == labels[..., None]


@jax.custom_jvp
def _log_odds_and_rivals(
    logits: Array, scale: Array | None, margin: Array | None, labels: Array
) -> tuple[Array, Array]:
    """Exact: the log-odds, the softmax over the rivals, and all their derivatives."""
    label, exps, total = _parts(logits, scale, margin, labels)
    valid = is_class(logits, labels) & (total > 0)
    rivals = jnp.where(valid[..., None], exps / total[..., None], 0)
    return label - jnp.log(total), rivals


def _log_odds_and_rivals_jvp(primals, tangents):
    logits, scale, margin, labels = primals
    dlogits, dscale, dmargin, _ = map(_unless_zero, tangents)
    u, rivals = _log_odds_and_rivals(logits, scale, margin, labels)
    valid = is_class(logits, labels)[..., None]  # NaN may stand beside no class
    dlogits = jnp.zeros(logits.shape) if dlogits is None else dlogits
    dlogits = dlogits.astype(u.dtype)

    def dz(entries):  # at the labels first: the gradient is scattered once, scaled
        dz = entries(dlogits) * (1 if scale is None else entries(scale))
        if dscale is not None:
            dz = dz + jnp.where(valid, entries(logits), 0) * entries(dscale)
        return dz

    rivals_dz = dz(lambda x: x)
    rivals_dz = rivals_dz if dmargin is None else rivals_dz + dmargin
    mean = jnp.sum(rivals * rivals_dz, axis=-1)
    du = jnp.squeeze(dz(lambda x: at_label(x, labels)), -1) - mean
    return (u, rivals), (du, rivals * (rivals_dz - mean[..., None]))


# Symbolic zeros: a scale or margin that nobody differentiates costs nothing.
_log_odds_and_rivals.defjvp(_log_odds_and_rivals_jvp, symbolic_zeros=True)


def _unless_zero(tangent):
    return None if isinstance(tangent, SymbolicZero) else tangent


@custom_vmap
def _parts(
    logits: Array, scale: Array | None, margin: Array | None, labels: Array
) -> _Parts:
    if _explicit(logits, labels):
        return _masked(logits, scale, margin, labels)
    return jax.lax.platform_dependent(
        logits, scale, margin, labels, cpu=_gathered, default=_masked
    )


@_parts.def_vmap
def _parts_vmap(axis_size, in_batched, *args):
    """One more batch axis. Left to `vmap`, both ways of the `cond` would run."""

    def with_axis(x, batched):
        return x if batched else jnp.broadcast_to(x, (axis_size, *x.shape))

    return _parts(*jax.tree.map(with_axis, args, tuple(in_batched))), (True,) * 3


def _masked(
    logits: Array, scale: Array | None, margin: Array | None, labels: Array
) -> _Parts:
    """The definition: masks fuse with what stands around them and shard freely."""
    z = _scaled(logits, scale)
    hot = is_label(z, labels)
    label = jnp.sum(jnp.where(hot, z, 0), axis=-1)
    others = jnp.where(hot, -jnp.inf, z if margin is None else z + margin)
    top = _finite_max(others)
    exps = jnp.exp(others - top)
    return label - jnp.squeeze(top, -1), exps, jnp.sum(exps, axis=-1)


def _gathered(
    logits: Array, scale: Array | None, margin: Array | None, labels: Array
) -> _Parts:
    """The same, faster on CPUs: one exp per logit, less a bound of the row.

    XLA would write scaled or shifted logits out to find their maximum, so the bound is
    made of the maxima of the parts. Where the largest rival is far from it (mostly for
    a label far above all of them) the exps under- or overflow, and the whole batch
    takes `_masked`. Underflow drops at most `tiny` per class, hence the limit that
    keeps its share below eps.
    """
    z = logits.astype(wide(logits.dtype))
    top = _finite_max(logits).astype(z.dtype)
    own_scale = None
    if scale is not None:
        own_scale = at_label(scale, labels)
        ends = jnp.min(scale, -1, keepdims=True), jnp.max(scale, -1, keepdims=True)
        top = jnp.maximum(_scaled(top, ends[0]), _scaled(top, ends[1]))
        z = z * scale  # may overflow here
    label = _scaled(at_label(logits, labels), own_scale) - top
    exponents = z - top
    if margin is not None:
        most = _finite_max(margin)
        label, exponents = label - most, exponents + (margin - most)
    exps = jnp.put_along_axis(
        jnp.exp(exponents), labels[..., None], 0, axis=-1, inplace=False, mode="clip"
    )
    total = jnp.sum(exps, axis=-1)
    info = jnp.finfo(z.dtype)
    lost = (total < z.shape[-1] * info.tiny / info.eps) | jnp.isinf(total)
    lost = jnp.any(lost & is_class(logits, labels))
    # XLA takes what leaves a `cond` as [N, 1] one number at a time.
    parts = jnp.squeeze(label, -1), exps, total
    # `_masked` scales and shifts again: given z, XLA would have to write it out for it.
    return jax.lax.cond(
        lost, lambda: _masked(logits, scale, margin, labels), lambda: parts
    )


def _scaled(logits: Array, scale: Array | None) -> Array:
    z = logits.astype(wide(logits.dtype))
    if scale is None:
        return z
    largest = jnp.finfo(z.dtype).max
    product = z * scale
    # A product that overflows is large, not out: the largest less itself is no NaN.
    overflow = jnp.isinf(product) & jnp.isfinite(z)
    return jnp.where(overflow, jnp.sign(product) * largest, product)


def _finite_max(z: Array) -> Array:
    top = jnp.max(z, axis=-1, keepdims=True)
    return jnp.where(jnp.isneginf(top), 0, top)  # no rival: -inf - -inf is NaN


def _explicit(*arrays: Array) -> bool:
    return any(jax.typeof(x).sharding.mesh.explicit_axes for x in arrays)
