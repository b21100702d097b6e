"""A label that is no class: NaN for its example, and nothing at all under a mask."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from tests.library.catalogue import both, labelled, mixed_logits

pytestmark = pytest.mark.usefixtures("quick_compilation")

C = 10
Z = mixed_logits((8, C))
LABELS = np.array([3, -1, 0, -100, 9, C, 5, C + 5])
REAL = np.isin(np.arange(8), [0, 2, 4, 6])
POISON = [np.nan, np.inf, -np.inf, 3e38]


@labelled
def test_no_class_is_nan_for_that_example_alone(case):
    losses, grads = both(case, Z, LABELS)
    expected, slopes = case.expected(Z[REAL], LABELS[REAL])
    assert np.array_equal(np.isnan(losses), ~REAL)
    np.testing.assert_allclose(losses[REAL], expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(grads[REAL], slopes, rtol=1e-12, atol=1e-12)
    assert np.all(grads[~REAL] == 0)


@labelled
def test_under_a_mask_padding_counts_exactly_nothing(case):
    """Also where its logits are NaN or infinite, and in the hyper-parameters."""

    def mean(z, hyper, labels):
        return jaxloss.masked_mean(case.loss(z, labels, **hyper), where=REAL)

    gradients = jax.jit(jax.value_and_grad(mean, (0, 1)))
    poisoned = np.where(REAL[:, None], Z, np.resize(POISON, (8, 1)))
    poisoned[3] = np.resize(POISON, C)
    # What does not count is finite and of a real class here.
    value, (grads, hypers) = gradients(Z, case.hypers(C), np.where(REAL, LABELS, 0))
    for padding in (-1, C, 2**40):
        labels = np.where(REAL, LABELS, padding)
        masked, (masked_grads, masked_hypers) = gradients(
            poisoned, case.hypers(C), labels
        )
        assert masked == value and np.isfinite(value)
        assert np.array_equal(masked_grads, grads)
        assert np.all(masked_grads[~REAL] == 0) and np.any(masked_grads[REAL] != 0)
        for name in hypers:
            assert np.array_equal(masked_hypers[name], hypers[name])


def test_padding_ids_below_zero_under_vmap_and_jit():
    labels = np.where(REAL, LABELS, -100).reshape(2, 4)
    z = np.where(REAL[:, None], Z, np.nan).reshape(2, 4, C)

    @jax.jit
    @jax.vmap
    def mean(z, y):
        return jax.value_and_grad(
            lambda z: jaxloss.masked_mean(jaxloss.cross_entropy(z, y), where=y >= 0)
        )(z)

    values, grads = mean(z, labels)
    logs = np.log(np.sum(np.exp(Z - np.max(Z, 1, keepdims=True)), 1)) + np.max(Z, 1)
    expected = (logs - Z[np.arange(8), LABELS.clip(0, C - 1)])[REAL].reshape(2, 2)
    np.testing.assert_allclose(values, expected.mean(1), rtol=1e-12)
    assert np.all(grads.reshape(8, C)[~REAL] == 0)
    assert np.all(np.isfinite(grads))


def test_a_batch_of_padding_alone_is_zero():
    labels = np.full(8, -1)
    value, grad = jax.value_and_grad(
        lambda z: jaxloss.masked_mean(
            jaxloss.cross_entropy(z, labels), where=labels > 0
        )
    )(np.full((8, C), np.nan))
    assert value == 0 and np.all(grad == 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.int16, np.uint32, np.int64])
def test_labels_of_any_width(dtype):
    """A uint8 label compares with 1000 classes; -1 that became 255 is class 255."""
    z = np.zeros((3, 1000), np.float32)
    labels = np.array([0, 100, 127])
    z[np.arange(3), labels] = [1, 2, 3]
    losses = jaxloss.cross_entropy(z, jnp.asarray(labels, dtype))
    expected = np.log(np.exp([1.0, 2, 3]) + 999) - [1, 2, 3]
    np.testing.assert_allclose(losses, expected, rtol=1e-6)


@pytest.mark.parametrize("label", [2**32, 2**32 + 3, -(2**32), 2**63 - 1, -(2**63)])
def test_wide_labels_do_not_wrap_around(label):
    labels = np.array([3, label])
    losses = jaxloss.cross_entropy(np.zeros((2, 10)), labels)
    np.testing.assert_allclose(losses, [np.log(10), np.nan], rtol=1e-12)


def test_unsigned_labels_beyond_the_classes():
    labels = np.array([1, 200], np.uint8)
    losses = jaxloss.cross_entropy(np.zeros((2, 10)), labels)
    np.testing.assert_allclose(losses, [np.log(10), np.nan], rtol=1e-12)
