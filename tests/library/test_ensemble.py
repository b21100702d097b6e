"""Greedy ensembles: goldens of the modes, and what users asked the authors."""

# pyright: reportArgumentType=false

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from tests.library.golden import load

pytestmark = pytest.mark.usefixtures("quick_compilation")
RNG = np.random.default_rng(0)
FORMS = ["exact", "relaxed", "softmax", "weighted"]


def draw(*shape):
    return jnp.asarray(RNG.normal(size=shape))


def released(case, leak, *, logits, q_out, q_pred, bias):
    """The modes of the released code: which pairs of models, and sums of what."""
    ensemble = functools.partial(
        jaxloss.greedy_ensemble, targets=case["targets"], form="relaxed", leak=leak
    )
    statistic = jnp.log(bias) - jnp.log1p(-bias)
    both = functools.partial(ensemble, sum_of="probabilities")
    match case.hyper["mode"]:
        case "q":
            return both([statistic, q_out])[1]
        case "d_bias":
            return both([statistic, logits])[1]
        case "joint":
            return both([statistic, q_pred, logits])[2]
        case "tog":
            return sum(both([statistic, q_out, logits])[1:])
        case "q_bias":
            return sum(ensemble([q_out, logits]))


@pytest.mark.parametrize("leak", [False, True], ids=["paper", "released"])
@pytest.mark.parametrize("case", load("gge_modes"), ids=lambda case: case.name)
def test_the_released_modes(case, leak):
    arrays = {n: jnp.asarray(case[n]) for n in ("logits", "q_out", "q_pred", "bias")}
    value, grads = jax.value_and_grad(
        lambda arrays: jnp.mean(released(case, leak, **arrays))
    )(arrays)
    np.testing.assert_allclose(value, case["loss"], rtol=1e-9, atol=1e-9)
    for name, grad in grads.items():
        stored = "grad" if name == "logits" else f"grad_{name}"
        expected = case[stored if leak else f"{stored}_stopgrad"]
        np.testing.assert_allclose(grad, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
def test_each_loss_has_a_gradient_for_its_own_model_alone(form):
    logits, targets = list(draw(3, 4, 5)), jax.nn.softmax(draw(4, 5))
    jacobian = jax.jacrev(
        lambda logits: jaxloss.greedy_ensemble(logits, targets, form=form, weight=0.7)
    )(logits)
    for m, row in enumerate(jacobian):
        for i, block in enumerate(row):
            assert np.any(block != 0) == (m == i)


@pytest.mark.parametrize("form", FORMS)
def test_of_two_models_it_is_the_greedy_gradient(form):
    bias, z, labels = draw(6, 4), draw(6, 4), jnp.arange(6) % 4
    targets = jax.nn.one_hot(labels, 4)
    first, second = jaxloss.greedy_ensemble([bias, z], targets, form=form)
    if form in ("exact", "relaxed"):
        plain = jaxloss.sigmoid_cross_entropy(bias, targets)
    else:
        plain = jaxloss.cross_entropy(bias, labels)
    np.testing.assert_allclose(first, plain, rtol=1e-12)
    hard = jaxloss.greedy_gradient(
        z, targets, bias_logits=bias, form="softmax" if form == "weighted" else form
    )
    np.testing.assert_allclose(second, hard, rtol=1e-12)


def test_hard_labels_make_it_a_weight():
    """Softmax GGE is (1 - b_y) CE, GGD is (1 - w b_y) CE."""
    bias, z, labels = draw(6, 4), draw(6, 4), jnp.arange(6) % 4
    targets, ce = jax.nn.one_hot(labels, 4), jaxloss.cross_entropy(z, labels)
    b = np.exp(bias) / np.exp(bias).sum(-1, keepdims=True)
    b = b[np.arange(6), labels]
    (_, gge) = jaxloss.greedy_ensemble([bias, z], targets, form="softmax")
    np.testing.assert_allclose(gge, (1 - b) * ce, rtol=1e-12)
    for w in (0.0, 0.3, 1.0):
        ggd = jaxloss.greedy_ensemble([bias, z], targets, form="weighted", weight=w)
        np.testing.assert_allclose(ggd[1], (1 - w * b) * ce, rtol=1e-12)


def test_what_is_left_of_the_cue_in_the_population():
    """The gradient vanishes where the docstring says that training ends."""
    classes, share = 10, 0.95
    cue = jnp.where(jnp.eye(classes) == 1, share, (1 - share) / (classes - 1))  # [c, y]
    picture = jax.nn.softmax(draw(4, classes), axis=0)  # p(x | y), [x, y]
    joint = cue[:, None] * picture[None] / classes  # [c, x, y]
    targets = jnp.eye(classes)[None, None]  # every label of every (c, x)
    shape = (classes, 4, classes, classes)

    def risk(z, loss):
        losses = loss(
            jnp.broadcast_to(jnp.log(cue)[:, None, None], shape),
            jnp.broadcast_to(z[:, :, None], shape),
            jnp.broadcast_to(targets, shape),
        )
        return jnp.sum(joint * losses)

    def greedy(weight):
        return lambda b, z, t: jaxloss.greedy_ensemble(
            [b, z], t, form="weighted", weight=weight
        )[1]

    def product(b, z, t):
        return jaxloss.bias_product(z, t, bias_logits=b, form="softmax")

    for loss, prior in (
        (greedy(0.0), cue),
        (greedy(1.0), cue * (1 - cue)),
        (greedy(0.7), cue * (1 - 0.7 * cue)),
        (product, jnp.ones_like(cue)),
    ):
        optimum = jnp.log(prior)[:, None] + jnp.log(picture)[None]
        np.testing.assert_allclose(jax.grad(risk)(optimum, loss), 0, atol=1e-15)
        off = optimum.at[..., 0].add(1)
        assert np.abs(jax.grad(risk)(off, loss)).max() > 1e-4
    believed = cue[0, 0] / cue[0, 1], (cue * (1 - cue))[0, 0] / (cue * (1 - cue))[0, 1]
    np.testing.assert_allclose(believed, (171, 8.6), rtol=0.01)


def test_soft_targets_tell_gge_from_ggd():
    """clip(t - b) against t (1 - b): the answer of score .3 that the bias gives .4."""
    bias, z = jnp.log(jnp.array([0.4, 0.6])), jnp.zeros(2)
    targets = jnp.array([0.3, 1.0])
    (_, gge) = jaxloss.greedy_ensemble([bias, z], targets, form="softmax")
    (_, ggd) = jaxloss.greedy_ensemble([bias, z], targets, form="weighted")
    np.testing.assert_allclose(gge, (0 + 0.4) * np.log(2), rtol=1e-12)
    np.testing.assert_allclose(ggd, (0.3 * 0.6 + 0.4) * np.log(2), rtol=1e-12)


@pytest.mark.parametrize("form", ["exact", "relaxed"])
def test_what_the_bias_model_knows_pushes_every_logit_down_under_bce(form):
    """The question users asked the authors, and what cross-entropy does instead."""
    z, targets = draw(5), jnp.eye(5)[2]
    sure = jnp.where(targets == 1, 40.0, -40.0)

    def push(z, form):
        return jaxloss.greedy_ensemble([sure, z], targets, form=form)[1]

    grad = jax.grad(push)(z, form)
    np.testing.assert_allclose(grad, 1 / (1 + np.exp(-z)), atol=1e-15)
    assert (grad > 0).all()
    np.testing.assert_allclose(jax.grad(push)(z, "softmax"), 0, atol=1e-15)


def test_sums_of_probabilities_take_both_models_at_their_word():
    one, two, z = jnp.log(jnp.array([[0.3, 0.7], [0.4, 0.6], [0.5, 0.5]]))
    targets = jnp.array([1.0, 0.0])
    for form, left in {"softmax": 0.3, "weighted": 0.3}.items():
        losses = jaxloss.greedy_ensemble(
            [one, two, z], targets, form=form, sum_of="probabilities"
        )
        np.testing.assert_allclose(losses[2], left * np.log(2), rtol=1e-12)
    # log-odds 0.3 - 0.7 + 0.4 - 0.6 of probabilities: sigma of the difference
    losses = jaxloss.greedy_ensemble([one, two, z], targets, form="softmax")
    b = 0.3 * 0.4 / (0.3 * 0.4 + 0.7 * 0.6)
    np.testing.assert_allclose(losses[2], (1 - b) * np.log(2), rtol=1e-12)


def test_halves_and_transformations():
    logits, targets = list(draw(2, 3, 4)), jax.nn.softmax(draw(3, 4))
    for form in FORMS:
        ensemble = functools.partial(jaxloss.greedy_ensemble, form=form)
        expected = ensemble(logits, targets)
        halves = ensemble([z.astype(jnp.bfloat16) for z in logits], targets)
        assert [each.dtype for each in halves] == [jnp.bfloat16] * 2
        rows = jax.jit(jax.vmap(ensemble))(logits, targets)
        for a, b in zip(expected, rows, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize(
    ("models", "options", "message"),
    [
        ([], {}, "one model at least"),
        ([jnp.zeros((2, 3)), jnp.zeros((2, 4))], {}, r"targets must have shape \(2, 4"),
        ([jnp.zeros((2, 3))] * 2, {"form": "soft"}, 'form must be one of "exact"'),
        ([jnp.zeros((2, 3))] * 2, {"sum_of": "all"}, 'sum_of must be one of "logits"'),
        ([jnp.zeros((2, 3))] * 2, {"weight": 1.5}, r"weight must be in \[0, 1"),
    ],
)
def test_wrong_calls(models, options, message):
    with pytest.raises(ValueError, match=message):
        jaxloss.greedy_ensemble(models, jnp.zeros((2, 3)), **options)


def test_group_dro_against_its_algorithm():
    losses, groups = jnp.array([1.0, 3.0, 2.0, 4.0]), jnp.array([0, 0, 2, 2])
    weights = jnp.array([0.5, 0.25, 0.25])
    moved, after = jaxloss.group_dro(losses, groups, weights, step_size=0.1)
    raised = np.array([0.5, 0.25, 0.25]) * np.exp(0.1 * np.array([2.0, 0.0, 3.0]))
    np.testing.assert_allclose(after, raised / raised.sum(), rtol=1e-12)
    mean = after[0] * 2.0 + after[2] * 3.0
    np.testing.assert_allclose(jnp.mean(moved), mean, rtol=1e-12)
    # The weights are constants of the gradient.
    grad = jax.grad(
        lambda x: jnp.mean(jaxloss.group_dro(x, groups, weights, step_size=0.1)[0])
    )(losses)
    np.testing.assert_allclose(grad, after[groups] / 2, rtol=1e-12)
    lost, _ = jaxloss.group_dro(losses, jnp.array([0, 3, -1, 2]), weights)
    assert np.isnan(lost).tolist() == [False, True, True, False]
    with pytest.raises(ValueError, match=r"losses and groups must be \[batch\]"):
        jaxloss.group_dro(losses, groups[:2], weights)
    with pytest.raises(ValueError, match="step_size must be in"):
        jaxloss.group_dro(losses, groups, weights, step_size=-1.0)


def test_relative_difficulty():
    weight = jaxloss.relative_difficulty(
        jnp.array([0.0, 1.0, 1.0]), jnp.array([2.0, 0.0, 3.0])
    )
    assert weight.tolist() == [1.0, 0.0, 0.75]
    grads = jax.grad(
        lambda a, b: jnp.sum(jaxloss.relative_difficulty(a, b)), argnums=(0, 1)
    )(jnp.ones(2), jnp.zeros(2))
    assert not np.any(grads)
    with pytest.raises(ValueError, match="the same shape"):
        jaxloss.relative_difficulty(jnp.zeros(2), jnp.zeros(3))
