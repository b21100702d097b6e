"""Losses for noisy labels, and the bonuses: what each is of the others."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from jaxloss import curves
from tests.library.catalogue import mixed_logits, transition

C = 10
Z, LABELS = mixed_logits((8, C)), np.arange(8)
NOISE = transition(C)
EVERY_ROW, EVERY_LABEL = np.repeat(Z, C, 0), np.tile(np.arange(C), 8)

CE = jaxloss.cross_entropy
MAE = jaxloss.mean_absolute_error


def close(actual, expected, rtol=1e-11):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-13)


def for_every_label(loss):
    """[8, C]: the loss of each row for each label."""
    return loss(EVERY_ROW, EVERY_LABEL).reshape(8, C)


def test_ends_of_the_hyper_parameters():
    plain, mae = CE(Z, LABELS), MAE(Z, LABELS)
    close(jaxloss.poly1(Z, LABELS, epsilon=0.0), plain)
    close(jaxloss.taylor_cross_entropy(Z, LABELS, order=1), mae / 2)
    likely = Z / 100 + 3 * np.eye(C)[LABELS]  # the rest is (1 - p)^30 / 30
    many = jaxloss.taylor_cross_entropy(likely, LABELS, order=30)
    close(many, CE(likely, LABELS), 1e-9)
    symmetric = partial(jaxloss.symmetric_cross_entropy, Z, LABELS, log_zero=-4.0)
    close(symmetric(alpha=1.0, beta=0.0), plain)
    close(symmetric(alpha=0.0, beta=1.0), 2 * mae)
    for correct in (
        jaxloss.forward_corrected_cross_entropy,
        jaxloss.backward_corrected_cross_entropy,
    ):
        close(correct(Z, LABELS, transition=np.eye(C)), plain)
    for smoothing in (np.float64(0.0), np.zeros(8)):
        close(CE(Z, LABELS, label_smoothing=smoothing), plain)
    smoothed = jaxloss.label_smoothed(
        curves.cross_entropy, Z, LABELS, label_smoothing=0.3
    )
    close(CE(Z, LABELS, label_smoothing=0.3), smoothed)


@pytest.mark.parametrize(
    ("loss", "total"),
    [
        (MAE, 2.0 * (C - 1)),
        (partial(jaxloss.symmetric_cross_entropy, alpha=0.0), 4.0 * (C - 1)),
        (jaxloss.normalized_cross_entropy, 1.0),
        (partial(jaxloss.generalized_cross_entropy, q=1.0), C - 1.0),
    ],
    ids=["mae", "reverse", "normalized", "gce_1"],
)
def test_symmetric_losses(loss, total):
    """The same sum over all labels for any logits: symmetric noise moves no minimum."""
    close(np.sum(for_every_label(loss), 1), np.full(8, total))


def test_backward_correction_is_unbiased():
    backward = partial(jaxloss.backward_corrected_cross_entropy, transition=NOISE)
    expected = for_every_label(CE)
    close(for_every_label(backward) @ NOISE.T, expected, 1e-9)


def test_forward_correction_is_the_noisy_likelihood():
    p = np.exp(-for_every_label(CE))
    forward = partial(jaxloss.forward_corrected_cross_entropy, transition=NOISE)
    close(np.exp(-for_every_label(forward)), p @ NOISE, 1e-10)


def test_gradient_of_a_transition_without_some_flips():
    """Entries of 0 have a derivative like the others."""
    noise = np.where(NOISE > 0.05, NOISE, 0)
    noise /= np.sum(noise, 1, keepdims=True)

    def total(t):
        return jnp.sum(
            jax.vmap(
                lambda z, y: jaxloss.forward_corrected_cross_entropy(z, y, transition=t)
            )(Z, LABELS)
        )

    p = np.exp(-for_every_label(CE))
    noisy = p @ noise
    expected = np.zeros((C, C))
    for row, y in enumerate(LABELS):
        expected[:, y] -= p[row] / noisy[row, y]
    close(jax.grad(total)(noise), expected, 1e-9)


def test_transition_from_labels():
    rng = np.random.default_rng(0)
    clean = rng.integers(0, 4, 1000)
    noisy = np.where(rng.random(1000) < 0.3, (clean + 1) % 4, clean)
    estimate = jaxloss.transition_from_labels(
        np.append(clean, [-1, 2]), np.append(noisy, [1, 9]), 5
    )
    for i in range(4):
        of_class = noisy[clean == i]
        close(estimate[i], [np.mean(of_class == j) for j in range(5)])
    close(estimate[4], np.eye(5)[4])  # no examples: nothing is known to flip


def test_transition_from_anchors():
    """Exact where anchors exist: their noisy posterior is a row of T."""
    posterior = np.random.default_rng(0).dirichlet(np.ones(4), 100)
    clean = np.concatenate([posterior, np.eye(4)])
    noise = transition(4)
    close(jaxloss.transition_from_anchors(clean @ noise), noise)
    softer = jaxloss.transition_from_anchors(clean @ noise, quantile=0.9)
    assert np.all(np.diag(softer) < np.diag(noise))
    close(np.sum(softer, 1), np.ones(4))


def test_encouraging_is_cross_entropy_and_its_bonus():
    u = np.linspace(-30, 30, 61)
    for log_end in (0.3, 0.75, 1.0):
        bonus = curves.log_bonus(u, log_end=log_end)
        expected = curves.encouraging(u, log_end=log_end)
        np.testing.assert_allclose(
            curves.cross_entropy(u) + bonus, expected, rtol=1e-12, atol=1e-12
        )


P = np.array([0.01, 0.3, 0.5, 0.6, 0.75, 0.9, 0.999])
BONUSES = {
    "log": (curves.log_bonus, lambda p: np.log(1 - p)),
    "power": (partial(curves.power_bonus, gamma=0.5), lambda p: -np.sqrt(p)),
    "cosine": (curves.cosine_bonus, lambda p: np.cos(np.pi * p) - 1),
}


@pytest.mark.parametrize("name", BONUSES)
def test_bonuses_in_terms_of_the_probability(name):
    bonus, formula = BONUSES[name]
    u = np.log(P / (1 - P))
    close(bonus(u), formula(P), 1e-9)
    later = np.where(P > 0.4, formula(P) - formula(0.4), 0)
    close(bonus(u, start=0.4), later, 1e-9)
    close(bonus(u, end=0.7), np.where(P > 0.7, 0, formula(P)), 1e-9)
    slopes = jax.vmap(jax.grad(bonus))(u)
    step = 1e-6
    expected = (formula(P + step) - formula(P - step)) / (2 * step) * P * (1 - P)
    np.testing.assert_allclose(slopes, expected, rtol=1e-6)
    assert np.all(jax.vmap(jax.grad(partial(bonus, start=0.4)))(u[:2]) == 0)


def test_the_mirror_bonus_of_power_one_doubles_an_absolute_error():
    for activation in ("softmax", "sigmoid"):
        error = MAE(Z, LABELS, activation=activation)
        bonus = jaxloss.mirror_bonus(Z, LABELS, gamma=1.0, activation=activation)
        close(error + bonus, 2 * error - C)


def test_halted_focal_is_continuous_and_then_cross_entropy():
    u = np.array([-1e-9, 1e-9, 0.5, 8.0])
    halted = partial(curves.halted_focal, gamma=2.0)
    close(halted(u)[0], halted(u)[1], 1e-8)
    slopes = jax.vmap(jax.grad(halted))(u)
    close(slopes[0], jax.grad(partial(curves.focal, gamma=2.0))(u[0]))
    close(slopes[1:], -1 / (1 + np.exp(u[1:])))


def test_schedules():
    weight = jaxloss.encouraging_schedule
    close(weight(3, 10, form="linear"), 0.3)
    close(weight(3, 10, form="exponential", rate=5.0), np.exp(-3.5))
    close(weight(3, 10, form="exponential", rate=-5.0), 1 - np.exp(-1.5))
    close(weight(3, 10, form="cosine"), (np.cos(1.3 * np.pi) + 1) / 2)
    close([weight(t, 10, after=4) for t in (4, 5, 10, 20)], [0, 0.5, 1, 1])


def test_z_loss_pulls_the_normalizer_to_one():
    normalized = jax.nn.log_softmax(Z)
    close(jaxloss.z_loss(normalized), np.zeros(8))
    close(jaxloss.z_loss(normalized + 3.0), np.full(8, 9.0))
