"""The bi-tempered loss against exact arithmetic, and its limits."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import functools

import jax
import jax.numpy as jnp
import mpmath
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

import jaxloss
from jaxloss import _bi_tempered
from jaxloss._bi_tempered import bi_tempered_logistic
from tests.library import closed_forms
from tests.library.catalogue import mixed_logits
from tests.library.golden import load

TEMPERATURES = [(0.2, 4), (0.8, 1.2), (0.7, 1), (1, 1), (1, 1.5), (0.5, 2)]
NEAR_ONE = [(1, 1 + 1e-6), (1 - 1e-6, 1.5), (0.999, 1), (1.5, 2)]
GAPS = np.array([0, 2**-10, 1, 10, 40, 87, 104, 200, 1e4])
TINY = np.finfo(np.float32).tiny
Z, LABELS = mixed_logits((8, 10)), np.arange(8)
SMALL, SMALL_LABELS = np.array([[1.0, -0.5, 0.25], [-1.0, 0.5, 2.5]]), np.array([0, 2])


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


@pytest.mark.parametrize("case", load("bi_tempered"), ids=lambda case: case.name)
def test_golden(case):
    hypers = [case.hyper[name] for name in ("t1", "t2", "eps")]
    actual = both(case["logits"], case["labels"], *hypers)
    close(actual, (case["loss"], case["grad"]), 1e-9)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize(("t1", "t2"), TEMPERATURES + NEAR_ONE)
def test_closed_form(t1, t2, smoothing):
    hypers = t1, t2, smoothing
    close(both(Z, LABELS, *hypers), expected(Z, LABELS, *hypers), 1e-12)


@pytest.mark.parametrize(("t1", "t2"), TEMPERATURES + NEAR_ONE)
def test_float32_is_as_good_as_exact(t1, t2):
    """Loss and gradient to 1e-5 of their own size, however small they are."""
    gaps = np.concatenate([GAPS, -GAPS])
    labels = np.arange(len(gaps)) % 3
    rows = [np.insert([0.0, -2.0], y, gap) for gap, y in zip(gaps, labels, strict=True)]
    z = np.array(rows, np.float32)
    exact = expected(z, labels, np.float32(t1), np.float32(t2))
    for actual, wanted in zip(both(z, labels, t1, t2), exact, strict=True):
        assert actual.dtype == np.float32
        normal = np.abs(wanted) >= TINY
        error = np.abs(np.asarray(actual, np.float64) - wanted)
        assert np.all(error[normal] <= 1e-5 * np.abs(wanted[normal]))
        assert np.all(error[~normal] <= 2 * TINY)


def test_at_ones_it_is_cross_entropy():
    actual = both(Z, LABELS, 1.0, 1.0)[0]
    wanted = jaxloss.cross_entropy(Z, LABELS)
    np.testing.assert_allclose(actual, wanted, rtol=1e-12)
    each = 0.1 / 9
    targets = np.full((8, 10), each)
    targets[np.arange(8), LABELS] = 0.9
    entropy = 0.9 * np.log(0.9) + 0.1 * np.log(each)
    wanted = optax.softmax_cross_entropy(Z, targets) + entropy
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


def on(z, t1, t2, smoothing):
    return bi_tempered_logistic(
        z, SMALL_LABELS, t1=t1, t2=t2, label_smoothing=smoothing
    )


@pytest.mark.parametrize("t", [(0.6, 1.4, 0.2), (1.0, 1.0, 0.2), (1.0, 1.0, 0.0)])
def test_finite_differences_in_everything(t):
    """At t2 = 1 and without smoothing those step over the edge, where nothing breaks:
    the formulas hold on both sides."""
    t1, t2, smoothing = map(np.float64, t)
    names = (SMALL, t1, t2) if smoothing == 0 else (SMALL, t1, t2, smoothing)

    def total(*args):
        return jnp.sum(on(*args, *([] if len(args) == 4 else [0.0])))

    check_grads(jax.jit(total), names, order=2, atol=1e-6, rtol=1e-5, eps=1e-5)


@pytest.mark.parametrize(("t1", "t2"), [(0.6, 1.4), (1.0, 1.0)])
def test_all_modes_agree(t1, t2):
    v, w = np.random.default_rng(0).normal(size=(2, 2, 3))

    def f(z):
        return jnp.sum(on(z, t1, t2, 0.0) * jnp.array([1.0, 2.0]))

    def line(x):
        return f(SMALL + x * v)

    def second(x):
        return jax.jvp(lambda s: jax.jvp(line, (s,), (1.0,))[1], (x,), (1.0,))[1]

    @jax.jit
    def everything(z):
        grad, step = jax.grad(f)(z), 1e-4
        first = {
            "grad": jnp.sum(grad * v),
            "jvp": jax.jvp(f, (z,), (v,))[1],
            "jacfwd": jnp.sum(jax.jacfwd(f)(z) * v),
            "jacrev": jnp.sum(jax.jacrev(f)(z) * v),
        }
        product = {
            "forward over reverse": jax.jvp(jax.grad(f), (z,), (v,))[1],
            "reverse over forward": jax.grad(lambda z: jax.jvp(f, (z,), (v,))[1])(z),
            "reverse over reverse": jax.grad(lambda z: jnp.sum(jax.grad(f)(z) * v))(z),
        }
        third = jax.jvp(second, (0.0,), (1.0,))[1]
        return first, product, third, (second(step) - second(-step)) / (2 * step)

    first, product, third, difference = everything(SMALL)
    for values in (first, product):
        one, *others = values.values()
        for other in others:
            np.testing.assert_allclose(other, one, rtol=1e-11, atol=1e-14)
    np.testing.assert_allclose(third, difference, rtol=1e-5, atol=1e-6)
    assert np.isfinite(third) and not np.any(np.isnan(w))


def test_ties_have_second_derivatives():
    z = np.array([[1.0, 1.0, 0.5], [0.5, 2.0, 2.0]])
    f = jax.jit(lambda z: jnp.sum(on(z, 0.6, 1.4, 0.0)))
    check_grads(f, (z,), order=2, atol=1e-6, rtol=1e-5, eps=1e-5)


def test_no_loop_and_one_array_of_the_size_of_the_logits_in_the_backward_pass():
    z, labels = jnp.zeros((64, 100)), jnp.zeros(64, int)

    def loss(z):
        return bi_tempered_logistic(z, labels, t1=0.5, t2=1.5)

    pull = jax.jit(lambda z: jax.vjp(loss, z)[1])(z)
    assert [x.shape for x in jax.tree.leaves(pull) if x.size >= 6400] == [(64, 100)]
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


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_rivals_at_minus_infinity_are_out(smoothing):
    z = Z.copy()
    z[:, [8, 9]] = -np.inf
    losses, grads = both(z, LABELS, 0.5, 1.5, smoothing)
    assert np.all(np.isfinite(losses)) and np.all(grads[:, [8, 9]] == 0)
    if smoothing == 0:
        close((losses, grads), expected(z, LABELS, 0.5, 1.5), 1e-12)


@pytest.mark.parametrize("t", TEMPERATURES)
def test_without_rivals(t):
    z = np.full((4, 10), -np.inf)
    z[:, 3] = np.linspace(-50, 50, 4)
    losses, grads = both(z, np.full(4, 3), *t)
    assert np.all(losses == 0) and np.all(grads == 0)
    losses, grads = both(z, np.full(4, 2), *t)  # the label itself is out
    assert not np.any(np.isnan(losses)) and not np.any(np.isnan(grads))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_one_class_is_always_right(smoothing):
    z = np.array([[-3.0], [0.0], [1e4]])
    losses, grads = both(z, np.zeros(3, int), 0.5, 1.5, smoothing)
    assert np.all(losses == 0) and np.all(grads == 0)


@pytest.mark.parametrize("t", TEMPERATURES)
def test_extreme_logits_are_no_nan(t):
    largest = np.finfo(np.float32).max
    values = np.array([0, 1, largest, -largest, largest / 2, -largest / 2, 1e4, -1e4])
    z = np.stack(np.meshgrid(values, values, values), -1).reshape(-1, 3)
    losses, grads = both(z.astype(np.float32), np.arange(len(z)) % 3, *t)
    assert not np.any(np.isnan(losses)) and np.all(np.isfinite(grads))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_float32_rounded(dtype):
    half = jnp.asarray(Z, dtype)
    pairs = zip(
        both(half, LABELS, 0.5, 1.5),
        both(half.astype(np.float32), LABELS, 0.5, 1.5),
        strict=True,
    )
    for actual, wide in pairs:
        assert actual.dtype == dtype and np.array_equal(actual, wide.astype(dtype))


def test_empty_batch():
    losses, grads = both(np.zeros((0, 10)), np.zeros(0, int), 0.5, 1.5)
    assert losses.shape == (0,) and grads.shape == (0, 10)


def test_padding_counts_nothing_whatever_its_logits():
    real = np.arange(8) % 2 == 0
    poison = [np.nan, np.inf, -np.inf, 3e38]
    poisoned = np.where(real[:, None], Z, np.resize(poison, (8, 1)))
    poisoned[3] = np.resize(poison, 10)

    @jax.jit
    def gradients(z, hypers, labels):
        def mean(z, hypers):
            losses = bi_tempered_logistic(z, labels, **hypers)
            return jaxloss.masked_mean(losses, where=real), losses

        return jax.value_and_grad(mean, (0, 1), has_aux=True)(z, hypers)

    hypers = {"t1": 0.5, "t2": 1.5, "label_smoothing": 0.1}
    (value, _), wanted = gradients(Z, hypers, np.where(real, LABELS, 0))
    for padding in (-1, 10, 2**40):
        labels = np.where(real, LABELS, padding)
        (masked, losses), actual = gradients(poisoned, hypers, labels)
        assert masked == value and np.array_equal(np.isnan(losses), ~real)
        assert np.all(actual[0][~real] == 0) and np.any(actual[0][real] != 0)
        assert jax.tree.all(jax.tree.map(np.array_equal, actual, wanted))


def test_a_sweep_is_a_vmap():
    values = np.array([1.0, 1.3, 2.0])

    def mean(z, t2):
        return jnp.sum(bi_tempered_logistic(z, LABELS, t1=0.7, t2=t2))

    losses, grads = jax.vmap(jax.value_and_grad(mean, 1), (None, 0))(Z, values)
    for value, loss, grad in zip(values, losses, grads, strict=True):
        wanted, slope = jax.value_and_grad(mean, 1)(Z, value)
        np.testing.assert_allclose(loss, wanted, rtol=1e-12)
        np.testing.assert_allclose(grad, slope, rtol=1e-11)
    each = jax.jit(jax.vmap(lambda z, y: bi_tempered_logistic(z, y, t1=0.7, t2=1.3)))
    np.testing.assert_allclose(
        each(Z, LABELS), both(Z, LABELS, 0.7, 1.3)[0], rtol=1e-12
    )


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
