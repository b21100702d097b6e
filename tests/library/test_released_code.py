"""Where released code departs from its paper: what it gives, what we give, and why."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from jaxloss import curves
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


@pytest.mark.parametrize(
    "case", only("halted_focal", "halted_focal", beta=0.0), ids=lambda c: c.name
)
def test_halting_is_of_negatives_that_are_wrong(case):
    """The condition is sigmoid(z) > 1/2 whatever the target, so a sure negative keeps
    the vanishing slope of the focal loss; in the paper it gets that of cross-entropy
    back. For the positives both are the same."""
    z, targets, gamma = case["logits"], case["targets"], case.hyper["gamma"]
    alpha = case.hyper["alpha"]
    share = {1.0: alpha, 0.0: 1 - alpha} if alpha >= 0 else {1.0: 1.0, 0.0: 1.0}
    alpha = alpha if alpha >= 0 else None

    def slopes(halting):
        return of_sum(
            lambda z: jaxloss.halted_focal(
                z, targets, gamma=gamma, alpha=alpha, halting=halting
            ),
            z,
        )[1]

    paper = slopes("well_classified")
    same(slopes("released"), case.exact("grad"))
    positive, sure = targets == 1, (targets == 0) & (z < 0)
    same(paper[positive], case.exact("grad")[positive])
    assert np.any(sure)
    same(paper[sure], share[0.0] / (1 + np.exp(-z[sure])))  # that of cross-entropy
    # p**(1 + gamma), nearly; -(1 - p) log(1 - p) <= p bounds the other term
    bound = paper[sure] * (1 + np.exp(-z[sure])) ** -gamma * (1 + gamma)
    assert np.all(case.exact("grad")[sure] <= bound * (1 + 1e-9))


@pytest.mark.parametrize(
    ("dtype", "sure"), [(np.float32, [18.0, 80.0]), (np.float64, [40.0, 700.0])]
)
def test_focal_as_a_power_of_p_has_no_gradient_where_p_rounds_to_1(dtype, sure):
    """d (1 - p)**gamma is infinite at p = 1 for gamma < 1, and inf * 0 is NaN."""
    z, targets = np.array([sure], dtype), np.ones((1, 2), dtype)

    def released(z):
        p = jax.nn.sigmoid(z)
        return jnp.sum((1 - p) ** 0.5 * -jnp.log(p), axis=-1)

    assert np.all(np.isnan(of_sum(released, z)[1]))
    losses, grads = of_sum(lambda z: jaxloss.sigmoid_focal(z, targets, gamma=0.5), z)
    # -log p = 1 - p, and gamma p log p - (1 - p) = -1.5 (1 - p), nearly
    power = np.exp(-1.5 * np.float64(sure))
    np.testing.assert_allclose(losses, [np.sum(power)], rtol=1e-5)
    np.testing.assert_allclose(grads, [-1.5 * power], rtol=1e-5, atol=1e-38)


def test_the_golden_of_focal_at_gamma_below_1_is_nan():
    (case,) = only("halted_focal", "halted_focal", gamma=0.5)
    bad = np.isnan(case["grad"])
    assert np.any(bad) and np.all(np.abs(case["logits"][bad]) > 36)
    _, grads = of_sum(
        lambda z: jaxloss.halted_focal(
            z, case["targets"], gamma=0.5, alpha=0.25, halting="released"
        ),
        case["logits"],
    )
    same(grads, case.exact("grad"))


@pytest.mark.parametrize(
    "case",
    only("sigmoid_encourage", base_loss="mle", add_loss="ell"),
    ids=lambda c: c.name,
)
def test_a_bonus_with_one_sigmoid_too_many(case):
    """`ell` takes the cross-entropy of the logit 1 - p: its bonus is between log 2 and
    log(1 + e) in size, where log(1 - p) grows without end, and never has a slope above
    a quarter of sigmoid(1)."""
    z, targets = case["logits"], case["targets"]
    signed = np.where(targets == 1, z, -z)
    _, plain = of_sum(lambda z: jaxloss.sigmoid_cross_entropy(z, targets), z)
    bonus = (case["grad"] - plain) / 0.5 * np.where(targets == 1, 1, -1)
    rest = np.where(targets == 1, jax.nn.sigmoid(-signed), -jax.nn.sigmoid(signed))
    expected = -jax.nn.sigmoid(-rest) * jax.nn.sigmoid(z) * jax.nn.sigmoid(-z)
    same(bonus, expected)
    assert np.all(np.abs(bonus) <= 0.25 / (1 + np.exp(-1.0)))
    slopes = jax.vmap(jax.vmap(jax.grad(lambda u: curves.log_bonus(u))))(signed)
    same(slopes, -jax.nn.sigmoid(signed))
    sure = signed > 1
    assert np.all(np.abs(slopes)[sure] > 2 * np.abs(bonus)[sure])


@pytest.mark.parametrize(
    "case", load("class_balanced", "class_balanced_softmax"), ids=lambda c: c.name
)
def test_class_balanced_softmax_is_binary(case):
    """A binary cross-entropy of the softmax's p and a mean over the classes, not the
    cross-entropy of the paper. torch clamps its logs at -100."""
    z, labels = case["logits"], case["labels"]
    hot = np.eye(z.shape[-1])[labels]
    weights = jaxloss.class_weights(
        case["class_counts"], scheme="effective", beta=case.hyper["beta"]
    )[labels]
    p = jax.nn.softmax(z)
    logs = np.maximum(jnp.log(jnp.where(hot == 1, p, 1 - p)), -100)
    released = -weights * np.mean(logs, axis=-1)
    np.testing.assert_allclose(released, case["loss"], rtol=1e-6, atol=1e-6)
    assert differ(released, case.exact("loss")) == (case.name == "case024")
    assert differ(weights * jaxloss.cross_entropy(z, labels), case["loss"])


def test_class_balanced_focal_overflows_in_float32():
    """log(1 + exp(-z)), the modulator, is NaN in the gradient below z = -88."""
    z, targets = np.array([[-100.0, 100.0]], np.float32), np.array([[0.0, 1.0]])

    def released(z, gamma=2.0):
        bce = jaxloss.sigmoid_cross_entropy(z[..., None], targets[..., None])
        log_modulator = -gamma * targets * z - gamma * jnp.log(1 + jnp.exp(-z))
        return jnp.sum(jnp.exp(log_modulator) * bce, axis=-1)

    assert np.isnan(of_sum(released, z)[1][0, 0])
    losses, grads = of_sum(lambda z: jaxloss.sigmoid_focal(z, targets), z)
    assert losses == 0 and np.all(np.abs(grads) < 1e-37)
