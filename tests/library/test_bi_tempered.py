"""The bi-tempered loss: what the table over all losses does not ask of it."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import pytest

import jaxloss
from jaxloss import _bi_tempered
from jaxloss._bi_tempered import bi_tempered_logistic
from tests.library import closed_forms
from tests.library.catalogue import mixed_logits

TEMPERATURES = [(0.2, 4), (0.8, 1.2), (0.7, 1), (1, 1), (1, 1.5), (0.5, 2)]
NEAR_ONE = [(1, 1 + 1e-6), (1 - 1e-6, 1.5), (0.999, 1), (1.5, 2)]
Z, LABELS = mixed_logits((8, 10)), np.arange(8)


@functools.partial(jax.jit, static_argnames="smooth")
def _both(z, labels, t1, t2, label_smoothing, smooth):
    def loss(z):
        smoothing = label_smoothing if smooth else 0.0
        return bi_tempered_logistic(z, labels, t1=t1, t2=t2, label_smoothing=smoothing)

    losses, pull = jax.vjp(loss, z)
    return losses, pull(jnp.ones_like(losses))[0]


def both(z, labels, t1, t2, label_smoothing=0.0):
    """Losses and gradients; the temperatures traced, so that few programs do."""
    z = jnp.asarray(z)
    dtype = jnp.promote_types(z.dtype, np.float32)
    hypers = [jnp.asarray(x, dtype) for x in (t1, t2, label_smoothing)]
    return _both(z, labels, *hypers, smooth=bool(label_smoothing))


def expected(z, labels, *hypers):
    rows = [
        closed_forms.bi_tempered(np.asarray(row, np.float64), y, *hypers)
        for row, y in zip(z, labels, strict=True)
    ]
    losses, grads = zip(*rows, strict=True)
    return np.array(losses), np.stack(grads)


def close(actual, wanted, tolerance):
    for a, b in zip(actual, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("t1", "t2"), TEMPERATURES + NEAR_ONE)
def test_closed_form(t1, t2, smoothing):
    actual = both(Z, LABELS, t1, t2, smoothing)
    close(actual, expected(Z, LABELS, t1, t2, smoothing), 1e-11)


def test_at_ones_it_is_cross_entropy():
    actual = both(Z, LABELS, 1.0, 1.0)[0]
    wanted = jaxloss.cross_entropy(Z, LABELS)
    np.testing.assert_allclose(actual, wanted, rtol=1e-12)
    # Here the rivals alone share the smoothing, and the entropy of the targets is out.
    entropy = 0.9 * np.log(0.9) + 0.1 * np.log(0.1 / 9)
    wanted = jaxloss.cross_entropy(Z, LABELS, label_smoothing=0.1 * 10 / 9) + entropy
    np.testing.assert_allclose(both(Z, LABELS, 1.0, 1.0, 0.1)[0], wanted, rtol=1e-11)


def test_its_first_term_is_generalized_cross_entropy():
    t1, p = 0.3, np.asarray(jax.nn.softmax(Z))
    rest = 1 / (2 - t1) - np.sum(p ** (2 - t1), axis=-1) / (2 - t1)
    gce = jaxloss.generalized_cross_entropy(Z, LABELS, q=1 - t1)
    np.testing.assert_allclose(both(Z, LABELS, t1, 1.0)[0] + rest, gce, rtol=1e-12)


def test_two_classes_are_symmetric():
    z = np.array([[0.3, -1.2], [-1.2, 0.3]])
    losses, grads = both(z, np.array([0, 1]), 0.4, 1.7)
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-14)
    np.testing.assert_allclose(grads, grads[::-1, ::-1], rtol=1e-14)
    np.testing.assert_allclose(np.sum(grads, axis=-1), 0, atol=1e-15)


def test_no_loop_and_three_arrays_of_the_size_of_the_logits_for_the_backward_pass():
    z, labels = jnp.zeros((64, 100)), jnp.zeros(64, int)

    def loss(z):
        return bi_tempered_logistic(z, labels, t1=0.5, t2=1.5)

    pull = jax.jit(lambda z: jax.vjp(loss, z)[1])(z)
    assert sum(x.size >= 6400 for x in jax.tree.leaves(pull)) <= 3
    jaxpr = str(jax.make_jaxpr(pull)(jnp.ones(64)))
    assert "while" not in jaxpr and "scan" not in jaxpr
    assert "while" in str(jax.make_jaxpr(loss)(z))  # so the search finds one


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("classes", [2, 1000, 100_000])
def test_probabilities_sum_to_one(classes, dtype):
    """One class far above many equal ones is what converges slowest."""
    gaps = np.geomspace(1e-3, 1e4, 8)
    d = np.repeat(gaps[:, None], classes, axis=1).astype(dtype)
    d[:, 0] = 0
    normalizer = jax.jit(_bi_tempered._normalizer)
    for t2 in (1, 1.2, 2, 4, 10):
        s = dtype(t2 - 1)
        alpha = np.asarray(normalizer(d, s), np.float64)
        y = alpha + np.asarray(d, np.float64)
        p = np.exp(-y if t2 == 1 else -np.log1p(float(s) * y) / float(s))
        bound = 3e-5 if dtype == np.float32 else 1e-11
        if alpha.max() < 1e18:  # beyond that all are equal
            np.testing.assert_allclose(np.sum(p, axis=-1), 1, rtol=bound)


@pytest.mark.parametrize("t", TEMPERATURES)
def test_extreme_logits_are_no_nan(t):
    largest = np.finfo(np.float32).max
    values = np.array([0, 1, largest, -largest, largest / 2, -largest / 2, 1e4, -1e4])
    z = np.stack(np.meshgrid(values, values, values), -1).reshape(-1, 3)
    losses, grads = both(z.astype(np.float32), np.arange(len(z)) % 3, *t)
    assert not np.any(np.isnan(losses)) and np.all(np.isfinite(grads))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("t1", -0.1),
        ("t1", 2.0),
        ("t2", 0.9),
        ("t2", np.inf),
        ("label_smoothing", 1.0),
        ("label_smoothing", -0.1),
        ("t1", np.full(8, 0.5)),
        ("t2", np.full(8, 1.5)),
    ],
)
def test_errors_name_the_argument(name, value):
    hypers = {"t1": 0.5, "t2": 1.5, name: value}
    with pytest.raises(ValueError, match=f"^{name} must be"):
        bi_tempered_logistic(Z, LABELS, **hypers)


def test_the_closed_form_is_the_definition():
    """Where everything is simple: t1 = 0, t2 = 2 and two equal logits."""
    value, grad = closed_forms.bi_tempered(np.zeros(2), 0, 0.0, 2.0)
    assert value == 0.25 and mpmath.almosteq(grad[0], -0.125)
