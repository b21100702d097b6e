"""Where released code departs from its paper: what it gives, what we give, and why."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from tests.library.golden import load


def of_sum(losses, z):
    values, pull = jax.vjp(losses, z)
    return values, pull(jnp.ones_like(values))[0]


def same(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


def differ(a, b):
    return np.max(np.abs(np.asarray(a) - b)) > 1e-3


def only(family, loss=None, **hyper):
    cases = load(family, loss)
    return [c for c in cases if hyper.items() <= c.hyper.items()]


@pytest.mark.parametrize("case", only("encouraging", log_end=1.0), ids=lambda c: c.name)
def test_encouraging_is_clamped_at_1e_5(case):
    """Its bonus is log(max(1 - p, 1e-5)), so the slope vanishes from u = 11.5 on, where
    the paper's stays -1."""
    labels = case["labels"]

    def released(z):
        p = jnp.take_along_axis(jax.nn.softmax(z), labels[:, None], 1)[:, 0]
        bonus = jnp.log(jnp.maximum(1 - p, 1e-5))
        return jaxloss.cross_entropy(z, labels) + bonus

    def ours(z):
        return jaxloss.encouraging(z, labels, log_end=1.0)

    z = case["logits"]
    u = np.asarray(jaxloss.label_log_odds(z, labels))
    sure, rows = u > np.log(1e5), np.arange(len(z))
    losses, grads = of_sum(released, z)
    np.testing.assert_allclose(losses, case["loss"], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(grads, case["grad"], rtol=1e-6, atol=1e-6)
    losses, grads = of_sum(ours, z)
    same(losses, -u)
    same(np.asarray(grads)[rows, labels], -np.ones(len(z)))
    assert np.all(np.abs(case["loss"] - losses)[~sure] < 1e-9)
    if np.any(sure):
        assert differ(case["loss"], losses)
        assert np.all(np.abs(case["grad"][rows, labels][sure]) < 1.1e-5)


def test_gce_as_a_power_of_p_has_no_gradient_where_p_underflows():
    """d p**q / dp = q p**(q - 1) is infinite at p = 0, and inf * 0 is NaN."""
    z, labels = jnp.array([[0.0, 104.0]], jnp.float32), np.array([0])

    def released(z):
        p = jax.nn.softmax(z)[:, 0]
        return (1 - p**0.7) / 0.7

    assert np.all(np.isnan(of_sum(released, z)[1]))
    losses, grads = of_sum(
        lambda z: jaxloss.generalized_cross_entropy(z, labels, q=0.7), z
    )
    weight = np.exp(-104 * 0.7)
    np.testing.assert_allclose(losses, [1 / 0.7], rtol=1e-6)
    np.testing.assert_allclose(grads, [[-weight, weight]], rtol=1e-5)


@pytest.mark.parametrize("case", load("logit_adjustment"), ids=lambda c: c.name)
def test_logit_adjustment_has_a_floor_of_1e_12(case):
    """log(pi^tau + 1e-12): a rare class stops becoming rarer."""
    z, labels, tau = case["logits"], case["labels"], case.hyper["tau"]
    prior = case["class_counts"] / np.sum(case["class_counts"])
    floored = np.log(prior**tau + 1e-12)
    losses, grads = of_sum(
        lambda z: jaxloss.logit_adjusted_cross_entropy(z, labels, log_prior=floored), z
    )
    same(losses, case["loss"])
    same(grads, case["grad"])
    scores = jaxloss.posthoc_adjust_logits(z, log_prior=floored)
    same(scores, case["posthoc_logits"])
    assert np.array_equal(jnp.argmax(scores, -1), case["posthoc_preds"])
    exact = jaxloss.logit_adjusted_cross_entropy(
        z, labels, log_prior=np.log(prior), tau=tau
    )
    assert differ(exact, case["loss"]) == (np.min(prior) ** tau < 1e-9)


@pytest.mark.parametrize(
    "case", load("gge_greedy_bce", "gge_greedy_bce"), ids=lambda c: c.name
)
def test_pseudo_labels_leak_gradient_into_the_bias_model(case):
    """The released pseudo-labels are not detached; ours are constants."""
    z, t, bias = case["logits"], case["targets"], case["bias"]

    def released(b):
        pseudo = 2 * t * jax.nn.sigmoid(-2 * t * b)
        return jaxloss.sigmoid_cross_entropy(z, pseudo)

    def ours(b):
        return jaxloss.greedy_gradient(z, t, bias_logits=b, form="relaxed")

    values, leak = of_sum(released, bias)
    same(leak, case.exact("grad_bias"))
    assert np.any(leak != 0)
    losses, none = of_sum(ours, bias)
    same(losses, values)
    assert np.all(none == 0)
    pseudo = jaxloss.greedy_pseudo_labels(t, bias, form="relaxed")
    same(pseudo, case["pseudo_label"])


@pytest.mark.parametrize("case", load("ggd", "ggd"), ids=lambda c: c.name)
def test_the_notebook_of_greedy_debiasing_averages_over_classes(case):
    """A factor 1 / C, which is a smaller learning rate for more classes."""
    losses, grads = of_sum(
        lambda z: jaxloss.general_greedy_debias(
            z,
            case["labels"],
            bias_logits=case["bias_logits"],
            weight=case.hyper["weight"],
        ),
        case["logits"],
    )
    num_classes = case["logits"].shape[-1]
    same(losses / num_classes, case["loss"])
    same(grads / num_classes, case["grad"])


def test_without_the_target_factor_debiasing_has_no_lower_bound():
    """`Decompose` adds w sum_j b_j log p_j over all classes: pushing down any class
    that the bias model believes in pays without end."""
    bias, targets = np.array([0.2, 0.8]), np.array([1.0, 0.0])
    z = np.stack([np.linspace(0, 100, 5), np.zeros(5)], 1)

    log_p = z - np.log(np.sum(np.exp(z), 1, keepdims=True))
    released = np.sum((0.9 * bias - targets) * log_p, 1)
    assert released[-1] < -70 and np.all(np.diff(released) < 0)
    ours = jaxloss.general_greedy_debias(
        z, np.zeros(5, int), bias_logits=np.tile(np.log(bias), (5, 1)), weight=0.9
    )
    same(ours, (1 - 0.9 * 0.2) * np.log1p(np.exp(-z[:, 0])))
    assert np.all(ours >= 0)


@pytest.mark.parametrize("case", load("gala_static", "gala_code"), ids=lambda c: c.name)
def test_phi_cancels_in_the_released_gala(case):
    """Its margin is on all logits, the label's too, where phi_y is one constant."""
    hyper, labels, z = case.hyper, case["labels"], case["logits"]
    eps = hyper["eps"]
    theta = hyper["lam1"] * np.log(case["theta"] + eps)
    for phi in (case["phi"], np.ones_like(case["phi"])):
        shift = theta - hyper["lam2"] * np.log(phi[labels, None] + eps)
        released = jaxloss.cross_entropy(z + shift, labels)
        same(released, case["loss"])
    paper = jaxloss.gala(
        z,
        labels,
        positive=case["theta"],
        negative=case["phi"],
        lambda1=hyper["lam1"],
        lambda2=hyper["lam2"],
        epsilon=eps,
    )
    assert differ(paper, case["loss"])
