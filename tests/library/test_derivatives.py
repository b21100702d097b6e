"""Every derivative of every loss: closed form, all modes, finite differences."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxloss import _log_odds, curves
from tests.library.catalogue import CASES, POINTS, all_losses, mixed_logits

# Away from the kinks of the truncated losses, both sides of each.
Z = np.array([[1.0, -0.5, 0.25], [-1.0, 0.5, 2.5]])
LABELS = np.array([0, 2])
V, W = np.random.default_rng(0).normal(size=(2, 2, 3))
LARGE, LARGE_LABELS = mixed_logits((8, 10)), np.arange(8)


def scalar(case):
    return lambda z: jnp.sum(case(jnp.asarray(z), LABELS))


def check_numerically(case):
    """chex multiplies atol by the size of the logits, six here, and makes ones of
    `stop_gradient`, on which the pseudo-labels depend."""
    check = check_grads if case.held_constant else chex.assert_numerical_grads
    check(
        lambda z: case(jnp.asarray(z), LABELS),
        (Z,),
        order=2,
        modes=("fwd", "rev"),
        atol=1e-7,
        rtol=1e-6,
    )


@all_losses
def test_closed_form(case):
    losses, pull = jax.vjp(lambda z: case(z, LARGE_LABELS), LARGE)
    expected, slopes = case.expected(LARGE, LARGE_LABELS)
    np.testing.assert_allclose(losses, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(pull(jnp.ones(8))[0], slopes, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize(
    "case", [case for case in POINTS if not case.surrogate], ids=lambda case: case.name
)
def test_finite_differences(case):
    check_numerically(case)


@all_losses
def test_all_modes_agree(case):
    f = scalar(case)
    grad = jax.grad(f)(Z)
    _, slope = jax.jvp(f, (Z,), (V,))
    close = np.testing.assert_allclose
    close(jax.jacfwd(f)(Z), grad, rtol=1e-12, atol=1e-14)
    close(jax.jacrev(f)(Z), grad, rtol=1e-12, atol=1e-14)
    close(slope, np.sum(grad * V), rtol=1e-12, atol=1e-14)
    forward_over_reverse = jax.jvp(jax.grad(f), (Z,), (V,))[1]
    reverse_over_forward = jax.grad(lambda z: jax.jvp(f, (z,), (V,))[1])(Z)
    reverse_over_reverse = jax.grad(lambda z: jnp.sum(jax.grad(f)(z) * V))(Z)
    close(reverse_over_forward, forward_over_reverse, rtol=1e-11, atol=1e-14)
    close(reverse_over_reverse, forward_over_reverse, rtol=1e-11, atol=1e-14)


@all_losses
def test_third_derivative(case):
    """Along a line, against differences of the second."""

    def line(t):
        return scalar(case)(Z + t * V)

    def second(t):
        def slope(s):
            return jax.jvp(line, (s,), (1.0,))[1]

        return jax.jvp(slope, (t,), (1.0,))[1]

    _, third = jax.jvp(second, (0.0,), (1.0,))
    step = 1e-4
    expected = (second(step) - second(-step)) / (2 * step)
    assert np.isfinite(third)
    np.testing.assert_allclose(third, expected, rtol=1e-5, atol=1e-6)


with_hypers = pytest.mark.parametrize(
    ("case", "name"),
    [(case, name) for case in POINTS for name in case.hyper],
    ids=lambda x: x if isinstance(x, str) else x.name,
)


@with_hypers
def test_hyper_parameters(case, name):
    """Traced ones have derivatives, except for the bias model: exactly zero."""
    hypers = case.hypers(10)
    direction = np.random.default_rng(1).normal(size=hypers[name].shape)

    def total(t):
        moved = hypers | {name: hypers[name] + t * direction}
        return jnp.sum(case.loss(LARGE, LARGE_LABELS, **moved))

    slope, reverse = jax.jvp(total, (0.0,), (1.0,))[1], jax.grad(total)(0.0)
    step = 1e-5
    expected = (total(step) - total(-step)) / (2 * step)
    if name in case.held_constant:
        assert slope == reverse == 0 and expected != 0
    else:
        np.testing.assert_allclose(slope, expected, rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(reverse, slope, rtol=1e-11)
        assert slope != 0


def test_the_check_has_teeth_for_the_rivals(monkeypatch):
    exact = _log_odds._log_odds_and_rivals

    @jax.custom_jvp
    def wrong(logits, scale, margin, labels):
        return exact(logits, scale, margin, labels)

    @wrong.defjvp
    def wrong_jvp(primals, tangents):
        (u, rivals), (du, drivals) = jax.jvp(
            lambda z: exact(z, *primals[1:]), primals[:1], tangents[:1]
        )
        return (u, rivals), (1.001 * du, drivals)

    monkeypatch.setattr(_log_odds, "_log_odds_and_rivals", wrong)
    with pytest.raises(AssertionError):
        check_numerically(CASES["cross_entropy"])


def test_the_check_has_teeth_for_a_curve(monkeypatch):
    @jax.custom_jvp
    def wrong(u):
        return jax.nn.log_sigmoid(u)

    wrong.defjvps(lambda t, _, u: 1.001 * jax.nn.sigmoid(-u) * t)
    monkeypatch.setattr(curves, "log_sigmoid", wrong)
    for name in ("cross_entropy", "gce", "focal"):
        with pytest.raises(AssertionError):
            check_numerically(CASES[name])
