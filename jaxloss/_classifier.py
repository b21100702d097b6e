"""Statistics of the last layer: class vectors, features, and gradients of both.

The head computes $z = h W + b$ from features $h$; column $w_k$ of the kernel $W$,
`[features, classes]`, is the class vector of class k.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxloss._checks import check_logits, check_shape, describe
from jaxloss._groups import Groups
from jaxloss._log_odds import wide
from jaxloss._probe import Probe, summed_probe
from jaxloss._signals import Signals
from jaxloss._sums import by_group, counted, sum_dtype


class FeatureMeans(NamedTuple):
    examples: Array  # [classes] how many were seen
    mean: Array  # [classes, features]; NaN for a class without any


def feature_means(
    num_classes: int, num_features: int, *, decay: ArrayLike = 1.0
) -> Probe:
    """The mean feature of each class, which its class vector should point to.

    Args:
        num_classes: C.
        num_features: size of the input of the head, `Signals.features`.
        decay: what the sums keep from update to update, in (0, 1].
    Returns:
        A `Probe` that reads `FeatureMeans`; see `class_vectors`.

    >>> probe, z, h = feature_means(2, 1), jnp.zeros((2, 2)), jnp.array([[1.0], [3.0]])
    >>> batch = Signals(z, jnp.array([1, 1]), z, features=h)
    >>> probe.read(probe.update(probe.init(), batch)).mean
    Array([[nan],
           [ 2.]], dtype=float32)
    """

    def measure(signals):
        features = _features(signals, num_features)
        ones = counted(signals).reshape(-1, 1).astype(features.dtype)
        rows = jnp.concatenate([ones, features], axis=1)
        return by_group(rows, signals.labels, num_classes)

    def read(state):
        return FeatureMeans(state[:, 0], state[:, 1:] / state[:, :1])

    return summed_probe(
        lambda: jnp.zeros((num_classes, 1 + num_features), sum_dtype()),
        measure,
        read,
        decay,
    )


class ClassVectors(NamedTuple):
    norm: Array  # [classes]
    alignment: Array | None  # [classes] cosine with the mean feature of the class
    prior_correlation: Array | None  # of the norm with log prior, over the classes


def class_vectors(
    kernel: Float[Array, "features classes"],
    *,
    feature_means: Float[Array, "classes features"] | None = None,
    log_prior: Float[Array, " classes"] | None = None,
) -> ClassVectors:
    r"""What is wrong with the class vectors of a long tail: norms, directions.

    $\lVert w_k \rVert$; $\cos(w_k, \bar h_k)$ with the mean feature of the class; and
    Pearson's correlation of $\lVert w_k \rVert$ with $\log\pi_k$, which is what weight
    normalisation assumes to be high (it is with SGD, and need not be with Adam).

    Args:
        kernel: of the head, `[features, classes]`.
        feature_means: from the probe `feature_means`.
        log_prior: from `class_log_prior`; classes at $-\infty$ are left out.
    Returns:
        `ClassVectors`, None for what was not asked for.
    Raises:
        ValueError: shapes that do not match.
    Source: Menon et al., ICLR 2021, arXiv:2007.07314, section 4.2 and figure 1.

    >>> kernel = jnp.array([[3.0, 1.0], [4.0, 0.0]])
    >>> class_vectors(kernel).norm
    Array([5., 1.], dtype=float32)
    """
    kernel = check_logits(kernel, "kernel")
    if kernel.ndim != 2:
        raise ValueError(f"kernel must be [features, classes], got {describe(kernel)}")
    vectors = kernel.T.astype(wide(kernel.dtype))
    norm = jnp.linalg.norm(vectors, axis=1)
    alignment = correlation = None
    if feature_means is not None:
        means = jnp.asarray(feature_means)
        if means.shape != vectors.shape:
            raise ValueError(
                f"feature_means must be [classes, features], {vectors.shape} for "
                f"kernel {describe(kernel)}, got {describe(means)}"
            )
        alignment = jnp.sum(vectors * means, axis=1)
        alignment /= norm * jnp.linalg.norm(means, axis=1)
    if log_prior is not None:
        log_prior = jnp.asarray(log_prior)
        check_shape("log_prior", log_prior, norm.shape, kernel)
        correlation = _correlation(norm, log_prior, jnp.isfinite(log_prior))
    return ClassVectors(norm, alignment, correlation)


class HeadGradients(NamedTuple):
    norm: Array  # [groups] of the mean gradient
    cosine: Array  # [groups, groups] between mean gradients


def head_gradients(
    groups: Groups, num_features: int, num_classes: int, *, decay: ArrayLike = 1.0
) -> Probe:
    r"""Whether groups pull the head the same way: cosines of their mean gradients.

    $G_a = \frac{1}{n_a} \sum_{i \in a} h_i\, g_i^\top$, the gradient of the kernel by
    the examples of group a. The state holds one of these for each group, so a few
    groups (`by_class` for head and tail) are meant, not a group for each of a thousand
    classes; it costs a matrix product per group and step.

    Args:
        groups: whose gradients are compared.
        num_features: size of the input of the head, `Signals.features`.
        num_classes: C.
        decay: what the sums keep from update to update, in (0, 1].
    Returns:
        A `Probe` that reads `HeadGradients`; NaN for groups without a gradient.

    >>> probe = head_gradients(jaxloss.by_label(2), 1, 2)
    >>> grads = jnp.array([[-0.5, 0.5], [0.5, -0.5]])
    >>> batch = Signals(grads, jnp.array([0, 1]), grads, features=jnp.ones((2, 1)))
    >>> probe.read(probe.update(probe.init(), batch)).cosine[0, 1].round(3)
    Array(-1., dtype=float32)
    """

    def measure(signals):
        features = _features(signals, num_features)
        grads = signals.logit_grads.reshape(-1, num_classes).astype(features.dtype)
        group = groups.of(signals).reshape(1, -1)
        member = group == jnp.arange(groups.number, dtype=group.dtype)[:, None]
        parts = jnp.where(member[..., None], features[None], 0)
        known = member & counted(signals).reshape(1, -1)
        count = jnp.sum(known, axis=1).astype(sum_dtype())
        return count, jnp.einsum("gnd,nc->gdc", parts, grads)

    def read(state):
        count, total = state
        means = total.reshape(groups.number, -1) / count[:, None]
        norm = jnp.linalg.norm(means, axis=1)
        unit = means / norm[:, None]
        return HeadGradients(norm, unit @ unit.T)

    shape = groups.number, num_features, num_classes
    return summed_probe(
        lambda: (jnp.zeros(shape[0], sum_dtype()), jnp.zeros(shape, sum_dtype())),
        measure,
        read,
        decay,
    )


def _features(signals: Signals, num_features: int) -> Array:
    if signals.features is None:
        raise ValueError("this probe needs Signals.features, which is None")
    features = signals.features.reshape(-1, signals.features.shape[-1])
    if features.shape != (signals.labels.size, num_features):
        raise ValueError(
            f"features must be [*batch, {num_features}] for labels "
            f"{describe(signals.labels)}, got {describe(signals.features)}"
        )
    return features.astype(wide(features.dtype))


def _correlation(x: Array, y: Array, where: Array) -> Array:
    x, y = (v - jnp.mean(v, where=where) for v in (x, y))
    x, y = (jnp.where(where, v, 0) for v in (x, y))
    return jnp.sum(x * y) / jnp.sqrt(jnp.sum(x**2) * jnp.sum(y**2))
