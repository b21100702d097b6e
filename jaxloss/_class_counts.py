"""What class counts say: log-priors, weights of the examples, how much to smooth."""

from typing import Literal

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss._checks import check_counts, check_logits_labels, check_range, unknown
from jaxloss._softmax import cross_entropy

Counts = Float[Array, " classes"] | Integer[Array, " classes"]
Scheme = Literal["inverse", "sqrt", "effective"]
Form = Literal["concave", "linear", "convex", "exponential"]


def class_log_prior(
    counts: Counts, *, smoothing: ArrayLike = 0.0
) -> Float[Array, " classes"]:
    r"""Log-frequency of each class, $\log\pi_j = \log\frac{n_j + s}{\sum_k (n_k + s)}$.

    Args:
        counts: training examples per class, at least 0.
        smoothing: s, added to every count. With 0 an empty class gets $-\infty$:
            `adjust_logits` then takes it out of the softmax of the other classes and
            `posthoc_adjust_logits` never predicts it. With 1 (Laplace) it stays in
            play.
    Returns:
        Log-probabilities, float32 or wider.
    Raises:
        ValueError: counts that are not a vector, are negative, or are all zero.

    >>> class_log_prior(jnp.array([3, 1, 0])).round(4)
    Array([-0.2877, -1.3863,    -inf], dtype=float32)
    """
    smoothed = check_counts(counts) + smoothing
    return jnp.log(smoothed) - jnp.log(jnp.sum(smoothed))


def class_weights(
    counts: Counts, *, scheme: Scheme = "inverse", beta: ArrayLike = 0.9999
) -> Float[Array, " classes"]:
    r"""Weights of the examples of each class, with mean 1 over the classes.

    inverse: $w_j \propto 1 / n_j$; sqrt: $w_j \propto 1 / \sqrt{n_j}$; effective:
    $w_j \propto (1 - \beta) / (1 - \beta^{n_j})$, the class-balanced loss, from no
    weights ($\beta = 0$) to the inverse ($\beta \to 1$).

        losses = class_weights(counts)[labels] * cross_entropy(logits, labels)

    Args:
        counts: training examples per class, at least 0.
        scheme: "inverse", "sqrt" or "effective".
        beta: in [0, 1), of the effective numbers only.
    Returns:
        Weights; 0 for a class without examples, which the mean leaves out.
    Raises:
        ValueError: counts that are not a vector, are negative, or are all zero; beta
            out of range; an unknown scheme.
    Source: Cui et al., "Class-Balanced Loss Based on Effective Number of Samples", CVPR
        2019, arXiv:1901.05555, eq. 2.

    >>> class_weights(jnp.array([1, 3, 0]))
    Array([1.5, 0.5, 0. ], dtype=float32)
    """
    counts = check_counts(counts)
    check_range("beta", beta, 0, 1, open_high=True)
    some = counts > 0
    n = jnp.where(some, counts, 1)
    match scheme:
        case "inverse":
            weights = 1 / n
        case "sqrt":
            weights = 1 / jnp.sqrt(n)
        case "effective":
            # beta^n by log1p, for beta near 1; at 0 it is 0.
            log_beta = jnp.log1p(jnp.asarray(beta) - 1)
            weights = (1 - jnp.asarray(beta)) / -jnp.expm1(n * log_beta)
        case _:
            unknown("scheme", scheme, Scheme)
    weights = jnp.where(some, weights, 0)
    return weights / jnp.sum(weights) * jnp.sum(some)


def deferred_weights(
    weights: Float[Array, " classes"], step: ArrayLike, *, start: ArrayLike
) -> Float[Array, " classes"]:
    """Deferred re-weighting: no weights before step `start`, `weights` from then on.

    Args:
        weights: of the classes, such as `class_weights(counts, scheme="effective")`.
        step: in epochs or steps; may be traced.
        start: in the same unit; the source starts at four fifths of training, together
            with a lower learning rate.
    Returns:
        Weights of this step.
    Source: Cao et al., "Learning Imbalanced Datasets with Label-Distribution-Aware
        Margin Loss", NeurIPS 2019, arXiv:1906.07413, algorithm 1.

    >>> deferred_weights(jnp.array([1.5, 0.5]), 3, start=160)
    Array([1., 1.], dtype=float32)
    """
    weights = jnp.asarray(weights)
    return jnp.where(jnp.asarray(step) >= start, weights, jnp.ones_like(weights))


def label_aware_smoothing(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    counts: Counts,
    head: ArrayLike = 0.3,
    tail: ArrayLike = 0.0,
    form: Form = "concave",
    power: ArrayLike = 2.0,
) -> Float[Array, "*batch"]:
    r"""Label smoothing that is stronger for frequent classes, which are over-confident.

    $$\ell = -(1 - s_y) \log p_y - \frac{s_y}{C} \sum_j \log p_j, \qquad
      \frac{\partial\ell}{\partial z_k} = p_k - (1 - s_y) [k = y] - \frac{s_y}{C}.$$

    With $v = (n_y - n_{\min}) / (n_{\max} - n_{\min})$, head h and tail t: concave
    $s_y = t + (h - t) \sin\frac{\pi v}{2}$; linear $t + (h - t) v$; convex
    $h + (h - t) \sin(\frac{3\pi}{2} + \frac{\pi v}{2})$; exponential $t + (h - t) v^a$.

    Args:
        logits: unnormalized scores.
        labels: class ids in `[0, classes)`; NaN for any other.
        counts: training examples per class.
        head: h in [0, 1], smoothing of the largest class; may be traced.
        tail: t in [0, 1], of the smallest; may be traced.
        form: "concave", "linear", "convex" or "exponential".
        power: a, positive; of the exponential only.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; counts that are not `[classes]`, are
            negative, or are all zero; a hyper-parameter out of range; an unknown form.
    Source: Zhong et al., "Improving Calibration for Long-Tailed Recognition", CVPR
        2021, arXiv:2104.00466, eq. 5. There the C - 1 rivals share $s_y$; the code
        released with GALA, and ours, smooths over all C classes, which is the same at
        $s_y\,C / (C - 1)$.

    >>> z, y, counts = jnp.array([2.0, 0.0]), jnp.array(0), jnp.array([10, 1])
    >>> label_aware_smoothing(z, y, counts=counts, head=1.0).round(4)
    Array(1.1269, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    for name, value in (("head", head), ("tail", tail)):
        check_range(name, value, 0, 1)
    check_range("power", power, 0, float("inf"), open_low=True)
    n = jnp.ravel(check_counts(counts, logits))
    least, spread = jnp.min(n), jnp.max(n) - jnp.min(n)
    v = (n - least) / jnp.where(spread > 0, spread, 1)
    span = jnp.asarray(head) - tail
    match form:
        case "concave":
            smoothing = tail + span * jnp.sin(0.5 * jnp.pi * v)
        case "linear":
            smoothing = tail + span * v
        case "convex":
            smoothing = head - span * jnp.cos(0.5 * jnp.pi * v)
        case "exponential":
            some = v > 0
            log_v = jnp.log(jnp.where(some, v, 1))
            smoothing = tail + span * jnp.where(some, jnp.exp(power * log_v), 0)
        case _:
            unknown("form", form, Form)
    own = jnp.asarray(smoothing).at[labels].get(mode="clip")
    return cross_entropy(logits, labels, label_smoothing=own)
