"""Logits that are cosines, or have their norm taken out."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._checks import check_logits_labels, check_range
from jaxloss._log_odds import Curve, apply_curve, as_scale, at_label, is_class, wide


def cosface(
    cosines: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    margin: ArrayLike = 0.35,
    scale: ArrayLike = 64.0,
    curve: Curve = curves.cross_entropy,
) -> Float[Array, "*batch"]:
    r"""CosFace: an additive margin on the label's cosine.

    $$\ell = \mathrm{CE}(F, y), \qquad F_j = s\,(c_j - m [j = y]), \qquad
      \frac{\partial\ell}{\partial c_k} = s\,(\mathrm{softmax}(F)_k - [k = y]).$$

    Args:
        cosines: of the features with each class vector, c.
        labels: class ids in `[0, classes)`; NaN for any other.
        margin: m; may be traced.
        scale: s; may be traced.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`.
    Source: Wang et al., "CosFace: Large Margin Cosine Loss for Deep Face Recognition",
        CVPR 2018, arXiv:1801.09414, eq. 4.

    >>> cosines, y = jnp.array([0.5, 0.0]), jnp.array(0)
    >>> cosface(cosines, y, margin=0.5, scale=1.0).round(4)  # log 2
    Array(0.6931, dtype=float32)
    """
    cosines, labels = check_logits_labels(cosines, labels)
    scale = as_scale(scale, cosines)
    return apply_curve(
        curve,
        cosines,
        labels,
        scale=scale,
        label_offset=-scale * margin,
    )


def arcface(
    cosines: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    margin: ArrayLike = 0.5,
    scale: ArrayLike = 64.0,
    curve: Curve = curves.cross_entropy,
) -> Float[Array, "*batch"]:
    r"""ArcFace: an additive margin on the label's angle.

    $$\ell = \mathrm{CE}(F, y), \qquad F_y = s\,\phi, \quad F_k = s\, c_k, \qquad
      \phi = \cos(\arccos c_y + m),$$
    $$\frac{\partial\ell}{\partial c_k} = s\, p_k, \qquad
      \frac{\partial\ell}{\partial c_y} =
      -s\,(1 - p_y) \Big(\cos m + \frac{c_y \sin m}{\sqrt{1 - c_y^2}}\Big), \quad
      p = \mathrm{softmax}(F).$$

    Where the angle and the margin exceed $\pi$, $\phi = c_y - m \sin m$ instead, with
    slope 1.

    Args:
        cosines: of the features with each class vector, c in [-1, 1]; at and beyond
            the ends the margin has no slope.
        labels: class ids in `[0, classes)`; NaN for any other.
        margin: m in [0, pi], an angle in radians; may be traced.
        scale: s; may be traced.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; margin out of range.
    Source: Deng et al., "ArcFace: Additive Angular Margin Loss for Deep Face
        Recognition", CVPR 2019, arXiv:1801.07698, eq. 3; the continuation from the
        released code.

    >>> cosines, y = jnp.array([0.5, -0.5]), jnp.array(0)  # 60 and 120 degrees
    >>> arcface(cosines, y, margin=jnp.pi / 3, scale=1.0).round(4)  # log 2
    Array(0.6931, dtype=float32)
    """
    cosines, labels = check_logits_labels(cosines, labels)
    check_range("margin", margin, 0, float(jnp.pi))
    m, scale = jnp.asarray(margin), as_scale(scale, cosines)
    # Wide from here on: both ways of its gradient are added before they are rounded.
    z = cosines.astype(wide(cosines.dtype))
    c = jnp.where(is_class(z, labels)[..., None], at_label(z, labels), 0)
    c = jnp.where(jnp.abs(c) < 1, c, jnp.sign(c))
    square = (1 - c) * (1 + c)
    sine = jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
    within = c > -jnp.cos(m)
    # Less c itself, which the log-odds have already.
    moved = c * (jnp.cos(m) - 1) - sine * jnp.sin(m)
    moved = scale * jnp.where(within, moved, -m * jnp.sin(m))
    losses = apply_curve(curve, z, labels, scale=scale, label_offset=moved)
    return losses.astype(cosines.dtype)


def logit_norm(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    temperature: ArrayLike,
    epsilon: ArrayLike = 1e-7,
    curve: Curve = curves.cross_entropy,
) -> Float[Array, "*batch"]:
    r"""Cross-entropy of logits of constant norm: against over-confidence.

    $$\ell = \mathrm{CE}(F, y), \qquad F = \frac{z}{t\,(\lVert z\rVert + \epsilon)},
      \qquad \frac{\partial\ell}{\partial z_k} =
      \frac{g_k - \hat z_k \sum_j g_j F_j t}{t\,(\lVert z\rVert + \epsilon)}, \quad
      g_k = \mathrm{softmax}(F)_k - [k = y], \; \hat z = \frac{z}{\lVert z\rVert}.$$

    Args:
        logits: unnormalized scores, finite.
        labels: class ids in `[0, classes)`; NaN for any other.
        temperature: t, positive, small (the source has .04 for CIFAR-10); may be
            traced.
        epsilon: added to the norm, at least 0.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; a hyper-parameter out of range.
    Source: Wei et al., "Mitigating Neural Network Overconfidence with Logit
        Normalization", ICML 2022, arXiv:2205.09310, eq. 5.

    >>> z, y = jnp.array([3.0, 4.0]), jnp.array(1)
    >>> logit_norm(z, y, temperature=1.0).round(4)  # CE(.6, .8)
    Array(0.5981, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    check_range("temperature", temperature, 0, float("inf"), open_low=True)
    check_range("epsilon", epsilon, 0, float("inf"), open_high=True)
    # Wide from here on: both ways of its gradient are added before they are rounded.
    z = logits.astype(wide(logits.dtype))
    norm = _norm(jnp.where(is_class(z, labels)[..., None], z, 0))
    whole = jnp.where(norm > 0, norm, 1) + epsilon  # all zero: any scale will do
    losses = apply_curve(curve, z, labels, scale=1 / (whole * temperature))
    return losses.astype(logits.dtype)


def _norm(z: Array) -> Array:
    """Euclidean, class axis kept, without overflow and with the derivative 0 at 0."""
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(z)), axis=-1, keepdims=True)
    largest = jnp.where(largest > 0, largest, 1)
    square = jnp.sum((z / largest) ** 2, axis=-1, keepdims=True)
    return largest * jnp.where(
        square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0
    )
