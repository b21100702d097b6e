"""The statistics of a training step, of a model that was trained elsewhere."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxloss._checks import check_logits_labels, describe
from jaxloss._classifier import class_vectors, feature_means, head_gradients
from jaxloss._groups import Groups, by_confidence, by_label
from jaxloss._probe import (
    Probe,
    class_gradients,
    combine_probes,
    gradient_norms,
    log_odds_histogram,
)
from jaxloss._signals import Signals
from jaxloss._softmax import cross_entropy


def analyze(
    logits: ArrayLike,
    labels: ArrayLike,
    *,
    loss: Callable[[Array, Array], Array] = cross_entropy,
    features: ArrayLike | None = None,
    kernel: ArrayLike | None = None,
    log_prior: ArrayLike | None = None,
    groups: Groups | None = None,
    probe: Probe | None = None,
    batch_size: int = 1024,
) -> dict[str, Any]:
    """What a loss would do to a trained model: the probes, over saved arrays.

    One pass over the examples, as if they were one batch: no parameters move. Logits
    of any framework do, such as those of `np.load("logits.npz")`.

    Args:
        logits: `[examples, classes]`.
        labels: `[examples]`, class ids.
        loss: `(logits, labels) -> losses`, whose gradient is looked at.
        features: `[examples, features]`, input of the classifier head.
        kernel: `[features, classes]`, of the head (PyTorch stores its transpose).
        log_prior: `[classes]`, for the correlation with the norms of class vectors.
        groups: splits the norms, the histogram and the head's gradients; classes for
            the former two by default, and no comparison of head gradients.
        probe: in place of the probes chosen here; its results are under "probe".
        batch_size: examples at a time, so that memory stays small.
    Returns:
        The results of the probes in numpy arrays: "class_gradients" (`ClassGradients`
        with the matrix), "gradient_norms" and "log_odds" by group, "confidence" (norms
        of well-classified examples against the others); with features
        "feature_means"; with features and groups "head_gradients"; with a kernel
        "class_vectors".
    Raises:
        TypeError, ValueError: as `label_log_odds`; a label that is no class, shapes
            that do not match.

    >>> found = analyze(jnp.zeros((3, 2)), jnp.array([0, 0, 1]))
    >>> found["class_gradients"].gradient_ratio
    array([2. , 0.5], dtype=float32)
    """
    arrays = {"logits": np.asarray(logits), "labels": np.asarray(labels)}
    if features is not None:
        arrays["features"] = np.asarray(features)
    num_classes = _check(arrays)
    if probe is None:
        probe = _default_probes(num_classes, arrays, groups)
    else:
        probe = combine_probes(probe=probe)

    @jax.jit
    def update(state, batch):
        z, y = jnp.asarray(batch["logits"]), batch["labels"]
        losses, pull = jax.vjp(lambda z: loss(z, y), z)
        (grads,) = pull(jnp.ones_like(losses))
        signals = Signals(z, y, grads, batch["index"], batch.get("features"))
        return probe.update(state, signals)

    state = probe.init()
    for start in range(0, len(arrays["labels"]), batch_size):
        batch = {name: x[start : start + batch_size] for name, x in arrays.items()}
        batch["index"] = np.arange(start, start + len(batch["labels"]))
        state = update(state, batch)
    found = probe.read(state)
    if kernel is not None:
        means = found["feature_means"].mean if "feature_means" in found else None
        found["class_vectors"] = class_vectors(
            jnp.asarray(kernel),
            feature_means=means,
            log_prior=None if log_prior is None else jnp.asarray(log_prior),
        )
    return jax.device_get(found)


def _check(arrays: dict[str, np.ndarray]) -> int:
    logits, labels = arrays["logits"], arrays["labels"]
    check_logits_labels(logits[:1], labels[:1])
    if logits.ndim != 2:
        raise ValueError(f"logits must be [examples, classes], got {describe(logits)}")
    for name, array in arrays.items():
        if len(array) != len(logits):
            raise ValueError(
                f"{name} must have as many rows as logits {describe(logits)}, got "
                f"{describe(array)}"
            )
    wrong = np.flatnonzero((labels < 0) | (labels >= logits.shape[1]))
    if len(wrong):
        raise ValueError(
            f"labels must be in [0, {logits.shape[1]}), got {labels[wrong[0]]} at "
            f"{wrong[0]} ({len(wrong)} are not)"
        )
    return logits.shape[1]


def _default_probes(
    num_classes: int, arrays: dict[str, np.ndarray], groups: Groups | None
) -> Probe:
    split = by_label(num_classes) if groups is None else groups
    probes = {
        "class_gradients": class_gradients(num_classes, full=True),
        "gradient_norms": gradient_norms(split),
        "confidence": gradient_norms(by_confidence()),
        "log_odds": log_odds_histogram(split),
    }
    if "features" in arrays:
        width = arrays["features"].shape[-1]
        probes["feature_means"] = feature_means(num_classes, width)
        if groups is not None:
            probes["head_gradients"] = head_gradients(groups, width, num_classes)
    return combine_probes(**probes)
