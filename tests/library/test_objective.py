"""Losses with memory: their state step by step, by hand, and as a scan carry."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from tests.library.catalogue import mixed_logits

Z, LABELS = mixed_logits((8, 10)), np.arange(8) % 4
GRADS = np.random.default_rng(4).normal(size=(8, 10))
INDEX = np.arange(8)


def signals(labels=LABELS, z=Z, grads=GRADS):
    return jaxloss.Signals(z, jnp.asarray(labels), jnp.asarray(grads), INDEX)


def masses(labels=LABELS):
    """|gradient| of the batch mean: on the own logit and on all others, by class."""
    own, other = np.zeros(10), np.zeros(10)
    for row, y in zip(np.abs(GRADS) / 8, labels, strict=True):
        if 0 <= y < 10:
            own[y] += row[y]
            other[y] += np.sum(row) - row[y]
    return own, other


def close(state, positive, negative):
    np.testing.assert_allclose(state.positive, positive, rtol=1e-12)
    np.testing.assert_allclose(state.negative, negative, rtol=1e-12)


def test_stateless():
    objective = jaxloss.stateless(jaxloss.cross_entropy)
    state = objective.init()
    losses = objective.loss(state, Z, LABELS, None)
    expected = np.log(np.sum(np.exp(Z), 1)) - Z[INDEX, LABELS]
    np.testing.assert_allclose(losses, expected, rtol=1e-12)
    assert state == objective.update(state, signals()) == ()
    assert objective.refresh(state, signals()) == ()


@pytest.mark.parametrize("decay", [1.0, 0.5])
def test_gala_sums(decay):
    own, other = masses()
    objective = jaxloss.gala_objective(10, decay=decay)
    state = objective.init()
    close(state, np.zeros(10), np.zeros(10))
    for kept in (1, 1 + decay, 1 + decay + decay**2):
        state = objective.update(state, signals())
        close(state, kept * own, kept * other)


def test_gala_as_released_sums_the_running_sum():
    own, other = masses()
    objective = jaxloss.gala_objective(10, variant="released")
    state = objective.init()
    for total in (1, 1 + 2, 1 + 2 + 3):
        state = objective.update(state, signals())
        close(state, total * own, total * other)


def test_gala_ignores_padding():
    labels = np.where(INDEX < 4, LABELS, [-1, -1, -1, -1, -100, 10, 15, 2**40])
    state = jaxloss.gala_objective(10).update(
        jaxloss.gala_objective(10).init(), signals(labels)
    )
    close(state, *masses(labels))


@pytest.mark.parametrize("variant", ["paper", "released", "released_once"])
def test_first_margins_are_log_epsilon(variant):
    """On the rivals alone in the paper, on all classes, hence on none, as released."""
    objective = jaxloss.gala_objective(
        10, lambda1=1.2, lambda2=0.9, epsilon=1e-2, variant=variant
    )
    losses = objective.loss(objective.init(), Z, LABELS, INDEX)
    margin = 0.3 * np.log(1e-2) if variant == "paper" else 0.0
    shifted = Z + margin * (1 - np.eye(10)[LABELS])
    expected = np.log(np.sum(np.exp(shifted), 1)) - Z[INDEX, LABELS]
    np.testing.assert_allclose(losses, expected, rtol=1e-11)


def test_pruning_waits_for_a_refresh():
    objective = jaxloss.truncated_gce_objective(12, q=0.7, k=0.3)
    kept = objective.init()
    assert kept.shape == (12,) and np.all(kept)
    p = (np.exp(Z) / np.sum(np.exp(Z), 1, keepdims=True))[INDEX, LABELS]
    loss = (1 - p**0.7) / 0.7 - (1 - 0.3**0.7) / 0.7
    np.testing.assert_allclose(
        objective.loss(kept, Z, LABELS, INDEX), loss, rtol=1e-10, atol=1e-12
    )
    assert np.array_equal(objective.update(kept, signals()), kept)
    shuffled = np.array([11, 2, 5, 7, 1, 0, 3, 9])
    kept = objective.refresh(kept, signals()._replace(index=shuffled))
    expected = np.ones(12, bool)
    expected[shuffled] = p > 0.3
    assert np.array_equal(kept, expected) and 0 < np.sum(p > 0.3) < 8

    def total(z):
        return jnp.sum(objective.loss(kept, z, LABELS, shuffled))

    value, grads = jax.value_and_grad(total)(Z)
    np.testing.assert_allclose(value, np.sum(loss[p > 0.3]), rtol=1e-10)
    assert np.all(grads[p <= 0.3] == 0) and np.all(grads[p > 0.3] != 0)
    # An example that has become sure comes back.
    sure = signals(z=50 * np.eye(10)[LABELS])._replace(index=shuffled)
    assert np.all(objective.refresh(kept, sure))


OBJECTIVES = {
    "stateless": lambda: jaxloss.stateless(jaxloss.mean_absolute_error),
    "gala": lambda: jaxloss.gala_objective(10, decay=0.9),
    "gala_released": lambda: jaxloss.gala_objective(10, variant="released"),
    "truncated_gce": lambda: jaxloss.truncated_gce_objective(8),
}


@pytest.fixture(params=[True, False], ids=["float64", "float32"])
def precision(request):
    jax.config.update("jax_enable_x64", request.param)
    yield np.float64 if request.param else np.float32
    jax.config.update("jax_enable_x64", True)


@pytest.mark.parametrize("make", OBJECTIVES.values(), ids=OBJECTIVES)
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32])
def test_state_is_a_scan_carry(make, dtype, precision):
    """Structure and dtypes stay, whatever the dtype of the logits."""
    objective = make()
    z = jnp.asarray(Z, dtype)

    def step(state, _):
        losses, pull = jax.vjp(lambda z: objective.loss(state, z, LABELS, INDEX), z)
        grads = pull(jnp.ones_like(losses))[0]
        seen = jaxloss.Signals(z, LABELS, grads, INDEX)
        return objective.refresh(objective.update(state, seen), seen), losses

    start = objective.init()
    end, losses = jax.eval_shape(lambda s: jax.lax.scan(step, s, length=3), start)
    assert losses.dtype == dtype and losses.shape == (3, 8)
    for a, b in zip(jax.tree.leaves(start), jax.tree.leaves(end), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert a.dtype in (precision, np.bool_)
