"""The curves on logits and integer labels: one softmax loss per curve.

Each is `curve(label_log_odds(logits, labels))`, computed in float32 or wider and
returned in the dtype of the logits. Labels, padding, shapes and errors are those of
`label_log_odds`; formula and slope stand with the curve; the gradient of all of them is

    d loss / d z_y = slope,    d loss / d z_k = -slope * p_k / (1 - p_y)    for k != y.
"""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._checks import check_logits, check_logits_labels, check_range
from jaxloss._log_odds import (
    Curve,
    apply_curve,
    at_label,
    is_class,
    log_softmax,
    per_example,
    wide,
)


def cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    label_smoothing: ArrayLike = 0.0,
) -> Float[Array, "*batch"]:
    r"""Cross-entropy $\ell = -\log p_y$, with label smoothing if asked for.

    $$\ell = -(1 - s) \log p_y - \frac{s}{C} \sum_j \log p_j, \qquad
      \frac{\partial\ell}{\partial z_k} = p_k - (1 - s) [k = y] - \frac{s}{C}.$$

    Args:
        logits: unnormalized scores. Classes at $-\infty$ are out and get no share of
            the smoothing.
        labels: class ids in `[0, classes)`; NaN for any other.
        label_smoothing: s in [0, 1], a number or one per example; may be traced.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; label_smoothing out of range.
    Source: Szegedy et al., "Rethinking the Inception Architecture for Computer Vision",
        CVPR 2016, arXiv:1512.00567, section 7.

    >>> cross_entropy(jnp.array([[0.0, 0.0], [0.0, 9.0]]), jnp.array([0, 0])).round(4)
    Array([0.6931, 9.0001], dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    check_range("label_smoothing", label_smoothing, 0, 1)
    if isinstance(label_smoothing, float) and label_smoothing == 0:
        return apply_curve(curves.cross_entropy, logits, labels)
    z = logits.astype(wide(logits.dtype))
    # The mean of all -log p is that of the label plus its lead over the mean logit.
    inside = ~jnp.isneginf(z)
    size = z.shape[-1]
    count = jnp.sum(inside, axis=-1, keepdims=True)
    # Divided before the sum, which could overflow, by a number that nobody has to keep.
    mean = jnp.sum(jnp.where(inside, z / size, 0), axis=-1, keepdims=True)
    mean = mean * (size / count)
    lead = jnp.squeeze(at_label(z, labels) - mean, -1)
    losses = apply_curve(curves.cross_entropy, z, labels)
    # An infinite loss stays infinite: the lead may be -inf.
    finite = is_class(z, labels) & (losses < jnp.inf)
    return (losses + label_smoothing * jnp.where(finite, lead, 0)).astype(logits.dtype)


def label_smoothed(
    curve: Curve,
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    label_smoothing: ArrayLike,
) -> Float[Array, "*batch"]:
    r"""Label smoothing for any curve: it is evaluated at every class's log-odds.

    $$\ell = (1 - s)\,\ell(u_y) + \frac{s}{C} \sum_j \ell(u_j), \qquad
      u_j = \log\frac{p_j}{1 - p_j}.$$

    For cross-entropy `cross_entropy(label_smoothing=...)` is the same, and faster.

    Args:
        curve: a function of log-odds, such as one of `curves`.
        logits: unnormalized scores. Classes at $-\infty$ are out.
        labels: class ids in `[0, classes)`; NaN for any other.
        label_smoothing: s in [0, 1], a number or one per example; may be traced.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; label_smoothing out of range.

    >>> z, y = jnp.array([2.0, 0.0]), jnp.array(0)
    >>> label_smoothed(curves.mean_absolute_error, z, y, label_smoothing=1.0).round(4)
    Array(1., dtype=float32)
    """
    check_range("label_smoothing", label_smoothing, 0, 1)

    def loss(z: Array, labels: Array) -> Array:
        inside = ~jnp.isneginf(z)
        losses = curve(jnp.where(inside, log_softmax(z)[1], 0))
        mean = jnp.mean(losses, axis=-1, where=inside)
        label = apply_curve(curve, z, labels)
        return (1 - jnp.asarray(label_smoothing)) * label + label_smoothing * mean

    return per_example(loss, logits, labels)


def focal(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    gamma: ArrayLike = 2.0,
) -> Float[Array, "*batch"]:
    r"""Focal loss on the softmax, $\ell = -(1 - p_y)^\gamma \log p_y$.

    $$\frac{\partial\ell}{\partial z_k} = (1 - p_y)^{\gamma - 1}
      \left(1 - p_y - \gamma\, p_y \log p_y\right) (p_k - [k = y]).$$

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        gamma: at least 0, which is cross-entropy; may be traced.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; gamma out of range.
    Source: Lin et al., ICCV 2017, arXiv:1708.02002, eq. 4, there for the sigmoid.

    >>> focal(jnp.array([0.0, 0.0]), jnp.array(0)).round(4)  # log(2) / 4
    Array(0.1733, dtype=float32)
    """
    return apply_curve(lambda u: curves.focal(u, gamma=gamma), logits, labels)


def poly1(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    epsilon: ArrayLike = 1.0,
) -> Float[Array, "*batch"]:
    r"""Poly-1: cross-entropy with a heavier first term.

    $$\ell = -\log p_y + \epsilon (1 - p_y), \qquad
      \frac{\partial\ell}{\partial z_k} = (1 + \epsilon p_y) (p_k - [k = y]).$$

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        epsilon: at least -1; 0 is cross-entropy. May be traced.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; epsilon out of range.
    Source: Leng et al., "PolyLoss: A Polynomial Expansion Perspective of Classification
        Loss Functions", ICLR 2022, arXiv:2204.12511, eq. 7.

    >>> poly1(jnp.array([0.0, 0.0]), jnp.array(0), epsilon=2.0).round(4)  # log(2) + 1
    Array(1.6931, dtype=float32)
    """
    return apply_curve(lambda u: curves.poly1(u, epsilon=epsilon), logits, labels)


def taylor_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    order: int = 2,
) -> Float[Array, "*batch"]:
    r"""The first terms of cross-entropy around $p_y = 1$: bounded, robust to noise.

    $$\ell = \sum_{k=1}^{n} \frac{(1 - p_y)^k}{k}, \qquad
      \frac{\partial\ell}{\partial z_k} =
      \left(1 - (1 - p_y)^n\right) (p_k - [k = y]).$$

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        order: n, an int of at least 1 that cannot be traced: 1 is half the mean
            absolute error, many terms approach cross-entropy.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; order out of range.
    Source: Feng et al., "Can Cross Entropy Loss Be Robust to Label Noise?", IJCAI 2020,
        eq. 7.

    >>> taylor_cross_entropy(jnp.array([0.0, 0.0]), jnp.array(0))  # 1/2 + 1/8
    Array(0.625, dtype=float32)
    """
    return apply_curve(lambda u: curves.taylor(u, order=order), logits, labels)


def generalized_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    q: ArrayLike = 0.7,
) -> Float[Array, "*batch"]:
    r"""$L_q$: cross-entropy for $q \to 0$, half the mean absolute error at $q = 1$.

    $$\ell = \frac{1 - p_y^q}{q}, \qquad
      \frac{\partial\ell}{\partial z_k} = p_y^q\,(p_k - [k = y]).$$

    Doubtful examples, among them the wrongly labelled ones, count less by $p_y^q$.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        q: in (0, 1]; may be traced, so a sweep over q is a `vmap`.
    Returns:
        One loss per example, in [0, 1/q].
    Raises:
        TypeError, ValueError: as `label_log_odds`; q out of range.
    Source: Zhang & Sabuncu, "Generalized Cross Entropy Loss for Training Deep Neural
        Networks with Noisy Labels", NeurIPS 2018, arXiv:1805.07836, eq. 6.

    >>> generalized_cross_entropy(jnp.array([0.0, 0.0]), jnp.array(0), q=1.0)
    Array(0.5, dtype=float32)
    """
    return apply_curve(
        lambda u: curves.generalized_cross_entropy(u, q=q), logits, labels
    )


def truncated_generalized_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    q: ArrayLike = 0.7,
    k: ArrayLike = 0.5,
) -> Float[Array, "*batch"]:
    r"""$L_q$ that ignores examples with $p_y \le k$.

    $$\ell = \frac{1 - \max(p_y, k)^q}{q}, \qquad
      \frac{\partial\ell}{\partial z_j} = [p_y > k]\, p_y^q\,(p_j - [j = y]).$$

    An untrained network has $p_y$ below $k$ everywhere and learns nothing from it:
    train with `generalized_cross_entropy` first, or use `truncated_gce_objective`, the
    alternate search of the paper.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        q: in (0, 1]; may be traced.
        k: in [0, 1); may be traced.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; q or k out of range.
    Source: Zhang & Sabuncu, NeurIPS 2018, arXiv:1805.07836, eq. 8.

    >>> truncated_generalized_cross_entropy(jnp.array([0.0, 9.0]), jnp.array(0), q=1.0)
    Array(0.5, dtype=float32)
    """
    return apply_curve(
        lambda u: curves.truncated_generalized_cross_entropy(u, q=q, k=k),
        logits,
        labels,
    )


def symmetric_cross_entropy(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    alpha: ArrayLike = 0.1,
    beta: ArrayLike = 1.0,
    log_zero: ArrayLike = -4.0,
) -> Float[Array, "*batch"]:
    r"""Cross-entropy plus reverse cross-entropy, whose $\log 0$ is a number $A < 0$.

    $$\ell = -\alpha \log p_y - \beta A (1 - p_y), \qquad
      \frac{\partial\ell}{\partial z_k} = (\alpha - \beta A p_y) (p_k - [k = y]).$$

    The reverse part is $-A/2$ times the mean absolute error: robust, where the other
    part learns.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        alpha: weight of cross-entropy; may be traced.
        beta: weight of the reverse; may be traced.
        log_zero: A, negative; may be traced.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; a hyper-parameter out of range.
    Source: Wang et al., "Symmetric Cross Entropy for Robust Learning with Noisy
        Labels", ICCV 2019, arXiv:1908.06112, eq. 6 and 7.

    >>> z, y = jnp.array([0.0, 0.0]), jnp.array(0)
    >>> symmetric_cross_entropy(z, y, alpha=0.0)
    Array(2., dtype=float32)
    """
    return apply_curve(
        lambda u: curves.symmetric_cross_entropy(
            u, alpha=alpha, beta=beta, log_zero=log_zero
        ),
        logits,
        labels,
    )


def z_loss(logits: Float[Array, "*batch classes"]) -> Float[Array, "*batch"]:
    r"""Keeps the normalizer near 1: $\ell = (\log\sum_j e^{z_j})^2$.

    $$\frac{\partial\ell}{\partial z_k} = 2\, p_k \log\sum\nolimits_j e^{z_j}.$$

    To be added to a loss with a small factor, 1e-4 in the source.

    Args:
        logits: unnormalized scores.
    Returns:
        One penalty per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`.
    Source: Chowdhery et al., "PaLM: Scaling Language Modeling with Pathways", JMLR
        2023, arXiv:2204.02311, section 5.

    >>> z_loss(jnp.array([0.0, 0.0])).round(2)  # log(2) squared
    Array(0.48, dtype=float32)
    """
    logits = check_logits(logits)
    normalizer = jax.nn.logsumexp(logits.astype(wide(logits.dtype)), axis=-1)
    return (normalizer * normalizer).astype(logits.dtype)
