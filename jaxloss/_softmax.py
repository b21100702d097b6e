"""The curves on logits and integer labels: one softmax loss per curve.

Each is `curve(label_log_odds(logits, labels))`, computed in float32 or wider and
returned in the dtype of the logits. Labels, padding, shapes and errors are those of
`label_log_odds`; formula and slope stand with the curve; the gradient of all of them is

    d loss / d z_y = slope,    d loss / d z_k = -slope * p_k / (1 - p_y)    for k != y.
"""

from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._log_odds import apply_curve


def cross_entropy(
    logits: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""Cross-entropy $\ell = -\log p_y$: $\partial\ell/\partial z_k = p_k - [k = y]$.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`.

    >>> cross_entropy(jnp.array([[0.0, 0.0], [0.0, 9.0]]), jnp.array([0, 0])).round(4)
    Array([0.6931, 9.0001], dtype=float32)
    """
    return apply_curve(curves.cross_entropy, logits, labels)


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


def mean_absolute_error(
    logits: Float[Array, "*batch classes"], labels: Integer[Array, "*batch"]
) -> Float[Array, "*batch"]:
    r"""$\ell = \sum_j |[j = y] - p_j| = 2 (1 - p_y)$, robust to symmetric noise, slow.

    $$\frac{\partial\ell}{\partial z_k} = 2 p_y\,(p_k - [k = y]).$$

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
    Returns:
        One loss per example, in [0, 2]; its sum over all labels is the constant
        $2 (C - 1)$.
    Raises:
        TypeError, ValueError: as `label_log_odds`.
    Source: Ghosh et al., "Robust Loss Functions under Label Noise for Deep Neural
        Networks", AAAI 2017, arXiv:1712.09482.

    >>> mean_absolute_error(jnp.array([0.0, 0.0]), jnp.array(0))
    Array(1., dtype=float32)
    """
    return apply_curve(curves.mean_absolute_error, logits, labels)


def encouraging(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    log_end: ArrayLike = 0.75,
) -> Float[Array, "*batch"]:
    r"""Cross-entropy plus the bonus $\log(1 - p_y)$ for well-classified examples.

    $$\ell = -u \;\; (p_y \le e), \qquad
      \ell = -\log p_y + \log(1 - e) - \frac{p_y - e}{1 - e} \;\; (p_y > e).$$

    The slope on the label's log-odds $u$ is -1 up to $p_y = e$ (`log_end`) and
    $-(1 - p_y)(1 + p_y / (1 - e))$ beyond: the margin of easy examples keeps growing.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        log_end: in (0, 1]; at 1 the loss is $-u$, unbounded below. May be traced.
    Returns:
        One loss per example; negative for sure ones.
    Raises:
        TypeError, ValueError: as `label_log_odds`; log_end out of range.
    Source: Zhao et al., "Well-classified Examples are Underestimated in Classification
        with Deep Neural Networks", AAAI 2022, arXiv:2110.06537. The released code
        clamps $1 - p$ at 1e-5; ours is exact.

    >>> encouraging(jnp.array([20.0, 0.0]), jnp.array(0), log_end=1.0)
    Array(-20., dtype=float32)
    """
    return apply_curve(lambda u: curves.encouraging(u, log_end=log_end), logits, labels)
