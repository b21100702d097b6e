"""float32 keeps its relative accuracy at any gap between the logits."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxloss
from jaxloss import _log_odds
from tests.library import closed_forms as exact
from tests.library.catalogue import (
    CASES,
    POINTS,
    all_losses,
    both,
    mixed_logits,
)

GAPS = [0, 2**-10, 1, 10, 40, 87, 104, 200, 1e4]
SMALL = np.resize(GAPS[:5], 9)  # as many, for one compilation
TINY = np.finfo(np.float32).tiny

# A logit of -inf takes a class out of a softmax; to a sigmoid it is an infinite loss.
softmax_losses = pytest.mark.parametrize(
    "case",
    [
        c
        for c in POINTS
        if not c.finite_only and (c.takes_labels or "softmax" in c.name)
    ],
    ids=lambda case: case.name,
)


def gap_logits(gaps, num_rivals=2):
    """The label's logit is `gap` above its rivals, or below them."""
    labels = np.concatenate([gaps, np.negative(gaps)])
    rivals = np.linspace(0, -2, num_rivals)
    rows = [np.insert(rivals, i % (num_rivals + 1), z) for i, z in enumerate(labels)]
    return np.array(rows, np.float32), np.arange(len(rows)) % (num_rivals + 1)


def exact_log_odds(z, y):
    with mpmath.workdps(60):
        rivals = mpmath.fsum(mpmath.exp(mpmath.mpf(float(r))) for r in np.delete(z, y))
        return float(mpmath.mpf(float(z[y])) - mpmath.log(rivals))


@pytest.mark.parametrize("num_rivals", [1, 2])
@pytest.mark.parametrize("gaps", [GAPS, SMALL], ids=["any gap", "small gaps"])
def test_log_odds_to_a_few_ulp(gaps, num_rivals):
    z, y = gap_logits(gaps, num_rivals)
    expected = [exact_log_odds(*row) for row in zip(z, y, strict=True)]
    u = jaxloss.label_log_odds(z, y)
    np.testing.assert_allclose(u, expected, rtol=1e-6, atol=1e-7)
    assert u.dtype == np.float32


@all_losses
@pytest.mark.parametrize("gaps", [GAPS, SMALL], ids=["any gap", "small gaps"])
def test_float32_is_as_good_as_float64(case, gaps):
    """Loss and gradient to 1e-5 of their own size, however small they are."""
    z, y = gap_logits(gaps)
    hyper = {k: v.astype(np.float64) for k, v in case.hypers(3, np.float32).items()}
    losses, grads = both(case, z, y)
    assert losses.dtype == grads.dtype == np.float32
    pairs = zip((losses, grads), case.expected(z, y, **hyper), strict=True)
    for actual, expected in pairs:
        size = np.abs(expected)
        if case.cancels and size.ndim == 2:
            size = np.max(size, axis=1, keepdims=True)
        error = np.abs(np.asarray(actual, np.float64) - expected)
        # What is below `TINY` may be flushed to zero, here and on the way.
        assert np.all(error <= 1e-5 * size + 2 * TINY * case.largest_factor)


@pytest.mark.parametrize(
    "case",
    [c for c in POINTS if c.takes_labels and not c.finite_only],
    ids=lambda case: case.name,
)
def test_rivals_at_minus_infinity_are_out(case):
    z = mixed_logits((8, 10))
    labels = np.arange(8) % 5
    z[:, [6, 9]] = -np.inf
    losses, grads = both(case, z, labels)
    expected, slopes = case.expected(z, labels)
    np.testing.assert_allclose(losses, expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(grads, slopes, rtol=1e-12, atol=1e-12)
    assert np.all(grads[:, [6, 9]] == 0)


@softmax_losses
def test_without_rivals_nothing_is_nan(case):
    z = np.full((8, 10), -np.inf)
    z[:, 3] = np.linspace(-50, 50, 8)
    losses, grads = both(case, z, np.full(8, 3))
    assert not np.any(np.isnan(losses)) and not np.any(np.isnan(grads))
    if case.zero_when_sure:
        np.testing.assert_allclose(losses, 0, atol=1e-14)
        np.testing.assert_allclose(grads, 0, atol=1e-16)


@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_focal_without_rivals(gamma):
    """0 * inf in the exponent for gamma = 0, and in the derivative for any."""
    z = np.array([[1.0, -np.inf, -np.inf]] * 2)

    def focal(z, gamma):
        return jnp.sum(jaxloss.focal(z, np.zeros(2, int), gamma=gamma))

    value, grads = jax.value_and_grad(focal, (0, 1))(z, gamma)
    assert value == 0 and np.all(grads[0] == 0) and grads[1] == 0


def test_one_class_is_always_right():
    z = np.array([[-3.0], [0.0], [1e4]])
    losses, grads = both(CASES["cross_entropy"], z, np.zeros(3, int))
    assert np.all(losses == 0) and np.all(grads == 0)
    assert np.all(np.isposinf(jaxloss.label_log_odds(z, np.zeros(3, int))))


@pytest.mark.parametrize("name", ["cross_entropy", "gce_adjusted", "encouraging"])
def test_many_classes(name):
    z = mixed_logits((3, 100_000), scale=1.0).astype(np.float32)
    labels = np.array([0, 99_999, 5])
    z[2, 5] = 60
    losses, grads = both(CASES[name], z, labels)
    expected, slopes = CASES[name].expected(z, labels)
    np.testing.assert_allclose(losses, expected, rtol=1e-5)
    np.testing.assert_allclose(grads, slopes, rtol=2e-5, atol=1e-9)


@pytest.mark.parametrize(
    "case",
    # These round before the loss: adjust_logits returns logits, ArcFace's row makes
    # cosines of them.
    [c for c in POINTS if not c.name.endswith(("_adjusted", "arcface"))],
    ids=lambda case: case.name,
)
def test_half_precision_is_float32_rounded(case, quick_compilation):
    for dtype in (jnp.bfloat16, jnp.float16):
        half = jnp.asarray(mixed_logits((8, 10)), dtype)
        labels = np.arange(8)
        losses, grads = both(case, half, labels)
        wide, wide_grads = both(case, half.astype(np.float32), labels)
        assert losses.dtype == grads.dtype == dtype
        assert np.array_equal(losses, wide.astype(dtype))
        assert np.array_equal(grads, wide_grads.astype(dtype))


@all_losses
def test_empty_batch(case):
    losses, grads = both(case, np.zeros((0, 10)), np.zeros(0, int))
    assert losses.shape == (0,) and grads.shape == (0, 10)
    assert jaxloss.masked_mean(losses) == 0


@pytest.mark.parametrize("name", ["logit_adjusted", "gce_adjusted"])
def test_classes_without_examples_leave_the_softmax(name):
    case, z, labels = CASES[name], mixed_logits((8, 10)), np.arange(8) % 5
    counts = np.array([5, 4, 3, 2, 1, 0, 0, 1, 0, 9])
    seen = counts > 0
    hyper = case.hypers(10) | {"log_prior": jaxloss.class_log_prior(counts)}
    losses, pull = jax.vjp(lambda z: case.loss(z, labels, **hyper), z)
    grads = pull(jnp.ones(8))[0]
    prior = np.log(counts[seen] / counts.sum())
    expected, slopes = case.expected(z[:, seen], labels, log_prior=prior)
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    np.testing.assert_allclose(grads[:, seen], slopes, atol=1e-12)
    assert np.all(grads[:, ~seen] == 0)
    prediction = jaxloss.posthoc_adjust_logits(z, log_prior=hyper["log_prior"])
    assert np.all(np.isneginf(prediction[:, ~seen]))
    # Without strength an empty class is like any other.
    plain = case.loss(z, labels, **(hyper | {"tau": 0.0}))
    expected, _ = case.expected(z, labels, log_prior=np.zeros(10))
    np.testing.assert_allclose(plain, expected, rtol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "scale", [None, 3.0, np.linspace(0.3, 1, 10), -np.linspace(0.3, 1, 10)]
)
@pytest.mark.parametrize(
    "margin", [None, np.linspace(0, -5, 10), np.r_[-np.inf, np.linspace(60, 0, 9)]]
)
def test_the_fast_path_and_the_masks_agree(dtype, scale, margin):
    z = mixed_logits((8, 10)).astype(dtype)
    y = np.arange(8)
    scale, margin = (
        None if x is None else jnp.asarray(np.atleast_1d(x)[None], dtype)
        for x in (scale, margin)
    )
    parts = {}
    for path in (_log_odds._gathered, _log_odds._masked):
        label, exps, total = path(jnp.asarray(z), scale, margin, jnp.asarray(y))
        parts[path.__name__] = label - jnp.log(total), exps / total[:, None]
    eps = np.finfo(dtype).eps
    for fast, masks in zip(*parts.values(), strict=True):
        np.testing.assert_allclose(fast, masks, rtol=400 * eps, atol=60 * eps)


def test_one_saturated_row_does_not_change_the_others():
    """It sends the whole batch another way."""
    z, y = mixed_logits((8, 10)).astype(np.float32), np.arange(8)
    sure = z.copy()
    sure[7] = np.where(np.arange(10) == 7, 1e4, 0)
    case = CASES["cross_entropy"]
    for alone, beside in zip(both(case, z, y), both(case, sure, y), strict=True):
        np.testing.assert_allclose(alone[:7], beside[:7], rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_class_ruled_out_costs_the_sigmoid_nothing(dtype):
    """0 * inf, in value and gradient, where the target agrees with the logit."""
    z = np.array([[-np.inf, 1.0, np.inf], [0.5, -np.inf, -np.inf]], dtype)
    targets = np.array([[0.0, 0.0, 1.0], [0.25, 0.0, 0.0]], dtype)
    losses, pull = jax.vjp(lambda z: jaxloss.sigmoid_cross_entropy(z, targets), z)
    (grads,) = pull(jnp.ones_like(losses))
    finite = np.isfinite(z)
    zero = np.where(finite, z, 0).astype(dtype)
    expected, slopes = exact.binary(np.float64(zero[finite]), targets[finite])
    np.testing.assert_allclose(np.sum(losses), expected, rtol=2e-3)
    np.testing.assert_allclose(grads[finite], slopes, rtol=2e-3)
    assert np.all(grads[~finite] == 0)
