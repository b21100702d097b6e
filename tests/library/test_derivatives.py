"""Every derivative of every loss: closed form, all modes, finite differences."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from jaxloss import _log_odds, curves
from tests.library.catalogue import CASES, POINTS, all_losses, both, mixed_logits

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("quick_compilation")]

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
        jax.jit(lambda z: case(jnp.asarray(z), LABELS)),
        (Z,),
        order=2,
        modes=("fwd", "rev"),
        atol=1e-7,
        rtol=1e-6,
    )


@all_losses
def test_closed_form(case):
    losses, grads = both(case, LARGE, LARGE_LABELS)
    expected, slopes = case.expected(LARGE, LARGE_LABELS)
    np.testing.assert_allclose(losses, expected, rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(grads, slopes, rtol=1e-11, atol=1e-13)


def every_derivative(case):
    """Of the sum of the losses, in one program: compilation is what takes the time."""
    f = scalar(case)

    def second(z, v):
        return jax.jvp(lambda z: jax.jvp(f, (z,), (v,))[1], (z,), (v,))[1]

    @jax.jit
    def derivatives(z, v):
        return {
            "value": f(z),
            "grad": jax.grad(f)(z),
            "jvp": jax.jvp(f, (z,), (v,))[1],
            "jacfwd": jax.jacfwd(f)(z),
            "jacrev": jax.jacrev(f)(z),
            "forward over reverse": jax.jvp(jax.grad(f), (z,), (v,))[1],
            "reverse over forward": jax.grad(lambda z: jax.jvp(f, (z,), (v,))[1])(z),
            "reverse over reverse": jax.grad(lambda z: jnp.sum(jax.grad(f)(z) * v))(z),
            "second": second(z, v),
            "third": jax.jvp(lambda z: second(z, v), (z,), (v,))[1],
        }

    return derivatives


@all_losses
def test_all_modes_and_orders(case):
    """Modes against each other, every order against differences of the one below."""
    derivatives, step = every_derivative(case), 1e-5
    found = derivatives(Z, V)
    close = np.testing.assert_allclose
    for mode in ("jacfwd", "jacrev"):
        close(found[mode], found["grad"], rtol=1e-12, atol=1e-14)
    close(found["jvp"], np.sum(found["grad"] * V), rtol=1e-12, atol=1e-14)
    for mode in ("reverse over forward", "reverse over reverse"):
        close(found[mode], found["forward over reverse"], rtol=1e-11, atol=1e-14)
    close(np.sum(found["forward over reverse"] * V), found["second"], rtol=1e-11)
    above, below = derivatives(Z + step * V, V), derivatives(Z - step * V, V)

    def difference(name):
        return (above[name] - below[name]) / (2 * step)

    close(difference("second"), found["third"], rtol=1e-5, atol=1e-6)
    close(difference("grad"), found["forward over reverse"], rtol=1e-6, atol=1e-7)
    if not case.surrogate:
        close(difference("value"), found["jvp"], rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", ["label_log_odds", "gce", "encouraging", "gala"])
def test_chex_agrees(name):
    """Every entry, both modes, two orders."""
    check_numerically(CASES[name])


@pytest.mark.parametrize(
    "case", [case for case in POINTS if case.hyper], ids=lambda case: case.name
)
def test_hyper_parameters(case):
    """Traced ones have derivatives, except for the bias model: exactly zero."""
    hypers, rng = case.hypers(10), np.random.default_rng(1)
    directions = {k: rng.normal(size=v.shape) for k, v in hypers.items()}

    @jax.jit
    def total(hypers):
        def f(hypers):
            return jnp.sum(case.loss(LARGE, LARGE_LABELS, **hypers))

        value, slope = jax.jvp(f, (hypers,), (directions,))
        return value, slope, jax.grad(f)(hypers)

    _, slope, grads = total(hypers)
    sums = {k: np.sum(grads[k] * directions[k]) for k in hypers}
    np.testing.assert_allclose(slope, sum(sums.values()), rtol=1e-10, atol=1e-12)
    step = 1e-5
    for name in hypers:
        ends = [
            total(hypers | {name: hypers[name] + t * directions[name]})[0]
            for t in (step, -step)
        ]
        expected = (ends[0] - ends[1]) / (2 * step)
        if name in case.held_constant:
            assert np.all(np.asarray(grads[name]) == 0) and expected != 0
        else:
            np.testing.assert_allclose(sums[name], expected, rtol=1e-6, atol=1e-7)
            assert sums[name] != 0


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
