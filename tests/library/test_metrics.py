"""Metrics against numpy and by hand."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxloss import metrics
from tests.library.catalogue import mixed_logits

N, C = 60, 5
Z = mixed_logits((N, C), scale=1.0)
LABELS = np.random.default_rng(3).choice(C, N, p=[0.5, 0.3, 0.1, 0.1, 0.0])
WHERE = np.arange(N) % 3 > 0
P = np.exp(Z) / np.sum(np.exp(Z), 1, keepdims=True)
HITS = np.argmax(Z, 1) == LABELS
ALL = {
    "accuracy": metrics.accuracy,
    "per_class_accuracy": metrics.per_class_accuracy,
    "balanced_error": metrics.balanced_error,
    "negative_log_likelihood": metrics.negative_log_likelihood,
    "expected_calibration_error": metrics.expected_calibration_error,
}
all_metrics = pytest.mark.parametrize("metric", ALL.values(), ids=ALL)


def recall(hits, labels):
    seen = [hits[labels == j] for j in range(C)]
    return np.array([np.mean(h) if len(h) else np.nan for h in seen])


def calibration(p, hits, bins):
    """Edges one by one: (b / bins, (b + 1) / bins]."""
    confidence, total = np.max(p, 1), 0.0
    for b in range(bins):
        inside = (confidence > b / bins) & (confidence <= (b + 1) / bins)
        if np.any(inside):
            gap = np.mean(hits[inside]) - np.mean(confidence[inside])
            total += np.mean(inside) * abs(gap)
    return total


@pytest.mark.parametrize("where", [None, WHERE], ids=["all", "where"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_closed_forms(where, dtype):
    counted = np.ones(N, bool) if where is None else where
    hits, labels, p = HITS[counted], LABELS[counted], P[counted]
    per_class = recall(hits, labels)
    expected = {
        "accuracy": np.mean(hits),
        "per_class_accuracy": per_class,
        "balanced_error": 1 - np.nanmean(per_class),
        "negative_log_likelihood": np.mean(-np.log(p[np.arange(len(p)), labels])),
        "expected_calibration_error": calibration(p, hits, 15),
    }
    for name, metric in ALL.items():
        actual = metric(Z.astype(dtype), LABELS, where=where)
        assert actual.dtype == dtype
        np.testing.assert_allclose(actual, expected[name], rtol=2e-6)
    assert np.isnan(per_class[4])  # the class that does not occur


@all_metrics
@pytest.mark.parametrize("label", [-1, C, -100])
def test_a_label_that_is_no_class(metric, label):
    labels = np.where(np.arange(N) == 7, label, LABELS)
    assert np.all(np.isnan(metric(Z, labels)))
    known = np.arange(N) != 7
    masked = metric(Z, labels, where=known)
    np.testing.assert_allclose(masked, metric(Z, LABELS, where=known), rtol=1e-12)


@all_metrics
def test_any_batch_shape_under_jit(metric):
    shaped = jax.jit(metric)(Z.reshape(3, 20, C), LABELS.reshape(3, 20))
    np.testing.assert_allclose(shaped, metric(Z, LABELS), rtol=1e-12)


def test_masked_logits_may_be_anything():
    z = np.where(WHERE[:, None], Z, np.nan)
    for metric in ALL.values():
        expected = metric(Z, LABELS, where=WHERE)
        np.testing.assert_allclose(metric(z, LABELS, where=WHERE), expected)


def test_ties_go_to_the_first_class():
    z = np.zeros((2, 3))
    assert metrics.accuracy(z, np.array([0, 1])) == 0.5


def test_shots_by_hand():
    """More than 100 is many, fewer than 20 few: 100 and 20 are both medium."""
    accuracy = np.array([0.9, 0.7, 0.5, 0.3, 0.1, np.nan])
    counts = np.array([101, 100, 20, 19, 1, 500])
    shots = metrics.shot_accuracy(accuracy, counts)
    np.testing.assert_allclose(shots, [0.9, 0.6, 0.2], rtol=1e-12)
    shots = metrics.shot_accuracy(accuracy, counts, many=50, few=2)
    np.testing.assert_allclose(shots, [0.8, 0.4, 0.1], rtol=1e-12)
    none = metrics.shot_accuracy(accuracy[:1], counts[:1])
    np.testing.assert_allclose(none, [0.9, np.nan, np.nan])


def test_calibration_by_hand():
    """Confidences .6 (wrong), .7 and .9 (right), bins of a half and of a fifth."""
    p = np.array([[0.6, 0.4], [0.7, 0.3], [0.1, 0.9]])
    labels = np.array([1, 0, 1])
    two = metrics.expected_calibration_error(np.log(p), labels, bins=2)
    np.testing.assert_allclose(two, abs(2 - 2.2) / 3, rtol=1e-9)
    five = metrics.expected_calibration_error(np.log(p), labels, bins=5)
    expected = (0.6 + 0.3 + 0.1) / 3
    assert five == pytest.approx(expected, rel=1e-9)


def test_balanced_error_of_a_constant_prediction():
    z = np.tile([1.0, 0.0, 0.0], (6, 1))
    labels = np.array([0, 0, 0, 0, 1, 1])  # class 2 is absent and does not count
    assert metrics.balanced_error(z, labels) == 0.5
    nothing = metrics.balanced_error(z, labels, where=jnp.zeros(6, bool))
    assert np.isnan(nothing)
