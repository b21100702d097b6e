"""Losses that follow the training, step by step in numpy."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import functools

import jax
import jax.numpy as jnp
import numpy as np

import jaxloss
from tests.library.catalogue import mixed_logits

N, C = 12, 5
Z = mixed_logits((N, C))
LABELS = np.minimum(np.arange(N) % C, 3)  # class 4 never occurs


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


def step(objective, state, z=Z, labels=LABELS):
    """Losses, gradient of their sum, next state."""
    index = np.arange(len(labels))
    losses, pull = jax.vjp(lambda z: objective.loss(state, z, labels, index), z)
    (grads,) = pull(jnp.ones_like(losses))
    signals = jaxloss.Signals(z, jnp.asarray(labels), grads, index)
    return losses, grads, objective.update(state, signals)


def test_deferred_weights_start_late():
    weights = np.array([0.1, 0.5, 1.0, 1.4, 2.0])
    margins = functools.partial(jaxloss.ldam, counts=np.array([9, 7, 5, 3, 1]))
    objective = jaxloss.deferred_objective(weights, start=2, loss=margins)
    state = objective.init()
    plain = margins(Z, LABELS)
    for factors in (np.ones(N), np.ones(N), weights[LABELS], weights[LABELS]):
        losses, _, state = step(objective, state)
        close(losses, factors * plain)
    assert np.asarray(state) == 4
    labels = np.where(LABELS == 1, -1, LABELS)
    losses = objective.loss(state, Z, labels, None)
    assert np.array_equal(np.isnan(losses), labels == -1)


def test_seesaw_counts_as_it_goes():
    objective = jaxloss.seesaw_objective(C, p=0.5)
    state = objective.init()
    seen = np.bincount(LABELS, minlength=C)
    for counts in (np.ones(C), np.maximum(seen, 1), np.maximum(2 * seen, 1)):
        losses, _, state = step(objective, state)
        close(losses, jaxloss.seesaw(Z, LABELS, counts=counts, p=0.5))
    close(state, 3 * seen)
    padded = np.where(LABELS == 0, -1, LABELS)
    _, _, after = step(objective, state, labels=padded)
    close(after - state, np.where(np.arange(C) == 0, 0, seen))


def test_equalization_v2():
    """By the paper: weights from the ratio of weighted gradients so far."""
    gamma, mu, alpha = 3.0, 0.4, 2.0
    objective = jaxloss.equalization_v2_objective(C, gamma=gamma, mu=mu, alpha=alpha)
    state = objective.init()
    hot = np.eye(C)[LABELS]
    positive, negative, even = np.zeros(C), np.zeros(C), np.ones(C)
    sigmoid = 1 / (1 + np.exp(-Z))
    bce = -np.sum(np.log(np.where(hot == 1, sigmoid, 1 - sigmoid)), axis=1)
    for i in range(3):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = positive / negative if i else np.full(C, np.inf)
        even = 1 / (1 + np.exp(-gamma * (ratio - mu)))
        weights = np.where(hot == 1, 1 + alpha * (1 - even), even)
        losses, grads, state = step(objective, state)
        close(losses, bce)
        close(grads, weights * (sigmoid - hot))
        positive += np.sum(hot * np.abs(grads), axis=0)
        negative += np.sum((1 - hot) * np.abs(grads), axis=0)
    assert even[4] < 0.3  # a class that only receives
    losses = objective.loss(state, Z, np.where(LABELS == 2, C, LABELS), None)
    assert np.array_equal(np.isnan(losses), LABELS == 2)


def test_gala_can_keep_the_whole_matrix():
    objective = jaxloss.gala_objective(C, full=True, decay=0.5)
    state = objective.init()
    expected = np.zeros((C, C))
    for _ in range(3):
        _, grads, state = step(objective, state)
        expected *= 0.5
        np.add.at(expected, LABELS, np.abs(grads) / N)
    close(state.matrix, expected)
    close(state.positive, np.diag(expected))
    close(state.negative, np.sum(expected, axis=1) - np.diag(expected))
    assert jaxloss.gala_objective(C).init().matrix is None
