"""Predictions straight from the classifier head, without `[N, C]` logits."""

import operator

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss._linear_blocks import Plan, block_logits, each_block, unit_rows
from jaxloss._linear_inputs import check_block, check_features_kernel, head_of


def linear_top_k(
    features: Float[Array, "*batch features"],
    kernel: Float[Array, "features classes"],
    k: int,
    *,
    bias: Float[Array, " classes"] | None = None,
    margin: Float[Array, " classes"] | None = None,
    scale: ArrayLike | None = None,
    cosine: bool = False,
    block: int | None = None,
) -> tuple[Float[Array, "*batch k"], Integer[Array, "*batch k"]]:
    r"""The k largest of $z_j = s_j\, h \cdot w_j + b_j + m_j$, and their classes.

    Post-hoc logit adjustment is `margin=-tau * log_prior`. Has no gradient.

    Args:
        features: h, the input of the head.
        kernel: W, a column per class.
        k: how many, at most the classes.
        bias: b.
        margin: m; $-\infty$ takes a class out.
        scale: s, one number or one per class.
        cosine: whether h and each $w_k$ are divided by their lengths first.
        block: classes at a time, chosen by `block_size` when None.
    Returns:
        Logits (float32 or wider) and class ids, largest first; of equal logits the
        lowest id first, as `jax.lax.top_k`. Where fewer than k classes are not out, the
        id is -1.
    Raises:
        TypeError, ValueError: as `linear_label_log_odds`; k that is not in [1, C].

    >>> h, kernel = jnp.array([[1.0, 2.0]]), jnp.eye(2, 3)
    >>> linear_top_k(h, kernel, 2)[1]  # of logits 1, 2, 0
    Array([[1, 0]], dtype=int32)
    """
    features, kernel = check_features_kernel(features, kernel)
    features, kernel = jax.lax.stop_gradient((features, kernel))
    width, classes = kernel.shape
    if not 1 <= operator.index(k) <= classes:
        raise ValueError(f"k must be in [1, {classes}], the classes, got {k}")
    head = jax.lax.stop_gradient(head_of(kernel, bias=bias, margin=margin, scale=scale))
    rows = unit_rows(features.reshape(-1, width), cosine)
    plan = Plan(check_block(block, len(rows), width, classes), cosine)

    def add(state, begin, part):
        values, ids = state
        z, _ = block_logits(plan, rows, part)
        both = jnp.concatenate([values, z], axis=1)  # on a tie what came first
        values, places = jax.lax.top_k(both, k)
        old = jnp.take_along_axis(ids, jnp.minimum(places, k - 1), axis=1)
        ids = jnp.where(places < k, old, begin + places - k)
        return values, ids.astype(jnp.int32)

    wide = jnp.promote_types(kernel.dtype, jnp.float32)
    start = jnp.full((len(rows), k), -jnp.inf, wide), jnp.full((len(rows), k), -1)
    start = start[0], start[1].astype(jnp.int32)
    values, ids = each_block(plan, head, start, add)
    shape = (*features.shape[:-1], k)
    return values.reshape(shape), ids.reshape(shape)
