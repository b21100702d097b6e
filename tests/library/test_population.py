r"""Which rule a loss leads to: minimisers of the expected loss, against closed forms.

There are six values of x, each with its own free row of logits, so nothing is sampled
and nothing depends on a network. The expected loss of a curve $\ell(u)$ of the label's
log-odds has gradient zero where, at each x, for all labels,

$$P(y \mid x) \propto \frac{p_y (1 - p_y)}{-\ell'(u_y)}.$$
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import optimize  # a requirement of jax

import jaxloss

CE = jaxloss.cross_entropy
GCE = jaxloss.generalized_cross_entropy
MAE = jaxloss.mean_absolute_error


def normalized(rows):
    return rows / np.sum(rows, 1, keepdims=True)


def winners(scores):
    return np.eye(scores.shape[1])[np.argmax(scores, 1)]


def softmax(z):
    return normalized(np.exp(z))


def balanced_error(scores):
    return 1 - np.mean(np.sum(LIKELIHOOD * winners(scores), 0))


def close(actual, expected, atol=1e-6):
    np.testing.assert_allclose(actual, expected, rtol=0, atol=atol)


@functools.partial(jax.jit, static_argnums=0)
def risks(loss, z, joint, hyper):
    """Expected loss of each x, and its gradient on the logits of that x."""
    labels = jnp.broadcast_to(jnp.arange(z.shape[1]), z.shape)

    def rows(z):
        losses = loss(jnp.repeat(z[:, None], z.shape[1], 1), labels, **hyper)
        return jnp.sum(joint * losses, 1)

    values, pull = jax.vjp(rows, z)
    return values, *pull(jnp.ones(len(z)))


def minimise(loss, joint, **hyper):
    """Logits of least expected loss. How often an x occurs does not move its row."""

    def risk(z):
        rows, grads = risks(loss, z.reshape(joint.shape), normalized(joint), hyper)
        return np.sum(rows), np.ravel(grads)

    found = optimize.minimize(risk, np.zeros(joint.size), jac=True, tol=1e-10)
    assert np.max(np.abs(found.jac)) < 5e-8, found
    return found.x.reshape(joint.shape)


LIKELIHOOD = 0.01 * np.array(  # P(x | y), a column per class
    [[40, 10, 4], [20, 10, 6], [10, 35, 12], [5, 25, 12], [20, 8, 30], [5, 12, 36]]
)
PRIOR = np.array([0.80, 0.15, 0.05])
JOINT = PRIOR * LIKELIHOOD
POSTERIOR = normalized(JOINT)
BALANCED = normalized(LIKELIHOOD)  # the posterior, were the classes equally frequent
OPTIMUM = 1 - (0.40 + 0.20 + 0.35 + 0.25 + 0.30 + 0.36) / 3  # 0.38


def test_cross_entropy_finds_the_posterior_and_forgets_the_tail():
    z = minimise(CE, JOINT)
    close(softmax(z), POSTERIOR)
    close(np.sum(JOINT * winners(z)), 0.8)  # the best accuracy: the head everywhere
    close(balanced_error(z), 2 / 3)


@pytest.mark.parametrize(
    "tau, excess", [(1.0, 0), (0.5, 0.1 / 3), (2.0, 0.86 / 3), (-1.0, 0.86 / 3)]
)
def test_logit_adjustment_is_balanced_at_tau_1_alone(tau, excess):
    prior = {"log_prior": np.log(PRIOR), "tau": tau}
    z = minimise(jaxloss.logit_adjusted_cross_entropy, JOINT, **prior)
    close(softmax(z), normalized(POSTERIOR * PRIOR**-tau))
    close(balanced_error(z), OPTIMUM + excess)
    posthoc = jaxloss.posthoc_adjust_logits(minimise(CE, JOINT), **prior)
    close(softmax(posthoc), softmax(z))


@pytest.mark.parametrize("delta", [PRIOR, np.ones(3), np.array([1.0, 9.0, 0.3])])
def test_margins_are_balanced_if_their_weights_match(delta):
    """Menon et al., theorem 1. The prior: logit adjustment; ones: weights alone."""
    loss, margin = jaxloss.margin_cross_entropy, np.log(delta / delta[:, None])
    z = minimise(loss, JOINT * (delta / PRIOR), margin=margin)
    close(softmax(z), BALANCED)
    close(balanced_error(z), OPTIMUM)
    unweighted = minimise(loss, JOINT, margin=margin)
    close(softmax(unweighted), normalized(JOINT / delta))


@pytest.mark.parametrize(
    "of_label, of_rival, excess", [(1, 1, 0), (1, 0, 0.41 / 3), (0, 1, 0.1 / 3)]
)
def test_half_of_the_adjustment_is_not_balanced(of_label, of_rival, excess):
    r"""Neither LDAM's half nor equalization's. With $\Delta_{yk} = a_y + b_k$ the loss
    is $\log(1 + e^{a_y + b_y - u})$, a curve for each label, of the logits $z + b$."""
    a, b = -of_label * np.log(PRIOR), of_rival * np.log(PRIOR)
    z = minimise(jaxloss.margin_cross_entropy, JOINT, margin=a[:, None] + b)
    p = softmax(z + b)
    close(normalized(p * (1 - p + p * np.exp(-a - b))), POSTERIOR)
    close(balanced_error(z), OPTIMUM + excess)


def adjusted(logits, labels, **prior):
    return GCE(jaxloss.adjust_logits(logits, **prior), labels, q=0.7)


@pytest.mark.parametrize("tau, excess", [(1.0, 0.1 / 3), (1 / 0.3, 0)])
def test_adjusted_generalized_cross_entropy_wants_a_larger_tau(tau, excess):
    """L_q sharpens the posterior, not the prior; with weights it sharpens both."""
    z = minimise(adjusted, JOINT, log_prior=np.log(PRIOR), tau=tau)
    close(softmax(z + tau * np.log(PRIOR)), normalized(POSTERIOR ** (1 / 0.3)))
    close(balanced_error(z), OPTIMUM + excess)
    weighted = minimise(GCE, JOINT / PRIOR, q=0.7)
    close(softmax(weighted), normalized(BALANCED ** (1 / 0.3)))


@pytest.mark.parametrize(
    "loss, weight, surest",  # weight = slope / (p - 1); surest of the posterior: 0.9496
    [
        (jaxloss.focal, lambda p: (1 - p) * (1 - p - 2 * p * np.log(p)), 0.7460),
        (jaxloss.encouraging, lambda p: np.minimum(1 / (1 - p), 1 + 4 * p), 0.9893),
    ],
)
def test_curves_keep_the_winner_and_not_its_probability(loss, weight, surest):
    p = softmax(minimise(loss, JOINT))
    close(normalized(p / weight(p)), POSTERIOR)
    np.testing.assert_array_equal(winners(p), winners(POSTERIOR))
    close(np.max(p), surest, 1e-4)


CLEAN = normalized(LIKELIHOOD * np.array([0.5, 0.3, 0.2]))
# Noise: row = true label, column = observed label.
CLASS_DEPENDENT = np.array([[0.6, 0.4, 0.0], [0.0, 1.0, 0.0], [0.0, 0.1, 0.9]])


def symmetric(rate):
    return (1 - 1.5 * rate) * np.eye(3) + rate / 2


@pytest.mark.parametrize("noise", [symmetric(0.4), CLASS_DEPENDENT])
@pytest.mark.parametrize(
    "loss, hyper, expected",  # hyper of the noise; expected of both posteriors
    [
        (CE, lambda noise: {}, lambda clean, noisy: noisy),
        (GCE, lambda noise: {"q": 0.8}, lambda clean, noisy: noisy**5),
    ],
)
def test_minimisers_under_noise(noise, loss, hyper, expected):
    p = softmax(minimise(loss, CLEAN @ noise, **hyper(noise)))
    close(p, normalized(expected(CLEAN, CLEAN @ noise)))


@pytest.mark.parametrize("rate", [0.2, 0.6, 0.8])
def test_symmetric_noise_only_scales_the_risk_of_mean_absolute_error(rate):
    z = 3 * np.random.default_rng(0).normal(size=CLEAN.shape)
    clean, noisy = (risks(MAE, z, p, {})[0] for p in (CLEAN, CLEAN @ symmetric(rate)))
    close(noisy, 2 * rate + (1 - 1.5 * rate) * clean, 1e-14)


def test_noise_and_the_rule_of_mean_absolute_error():
    """Linear in p, the risk is least where the model is sure of one class."""
    sure = [np.tile(np.where(v > 0, 0, -np.inf), (6, 1)) for v in np.eye(3)]

    def rule(posterior):
        return np.argmin([risks(MAE, z, posterior, {})[0] for z in sure], 0).tolist()

    for rate in 0.0, 0.2, 0.6:
        assert rule(CLEAN @ symmetric(rate)) == [0, 0, 1, 1, 0, 2]
    assert rule(CLEAN @ symmetric(0.8)) == [2, 2, 2, 2, 1, 0]  # too much: above 2 / 3
    # Other noise is harmless where the classes do not overlap; where they do, the rule
    # follows the noisy majority, as that of cross-entropy does.
    assert rule(winners(CLEAN) @ CLASS_DEPENDENT) == [0, 0, 1, 1, 0, 2]
    assert rule(CLEAN @ CLASS_DEPENDENT) == [0, 1, 1, 1, 1, 2]
    assert np.argmax(CLEAN @ CLASS_DEPENDENT, 1).tolist() == [0, 1, 1, 1, 1, 2]


def test_noise_moves_what_cross_entropy_prefers():
    """Between a sure model and a doubtful one, if those are all there are. A free row
    of logits for each x hides it."""

    def gain(loss, noise):
        tables = (scale * winners(CLEAN) for scale in (1.5, 0.5))
        sure, doubtful = (np.sum(risks(loss, z, CLEAN @ noise, {})[0]) for z in tables)
        return doubtful - sure

    assert gain(MAE, symmetric(0.0)) > 0 and gain(MAE, symmetric(0.4)) > 0
    assert gain(CE, symmetric(0.0)) > 0 > gain(CE, symmetric(0.4))
