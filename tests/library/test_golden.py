"""Losses and gradients against released code and exact arithmetic, to 1e-9."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import collections
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from tests.library.golden import FOLDER, load
from tests.library.golden_losses import (
    BRANCHING,
    LOSSES,
    Traced,
    every_label,
    learned_mixin,
    log_prior,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

# What must be there: a missing file or an empty family is no success.
NUM_CASES = {
    "softmax_ce": {"softmax_ce": 6},
    "gce": {"gce": 12, "gce_trunc_direct": 8, "gce_truncated": 17},
    "mae": {"mae": 6},
    "encouraging": {"encouraging": 12},
    "logit_adjustment": {"logit_adjustment_loss": 15},
    "balanced_softmax": {"balanced_softmax": 9},
    "gala_static": {"gala_code": 11, "gala_paper": 11},
    "gala_sequence": {
        "gala_sequence_code": 3,
        "gala_sequence_code_single_accum": 3,
        "gala_sequence_paper": 3,
    },
    "prediction_rebalance": {"prediction_rebalance": 4},
    "tau_norm": {"tau_norm": 4},
    "noise_transition": {"noise_pairflip": 2, "noise_symmetric": 2},
    "focal_softmax": {"focal_softmax": 13},
    "focal_sigmoid": {"focal_sigmoid": 15},
    "halted_focal": {
        "halted_focal": 8,
        "sigmoid_focal_code": 3,
        "sigmoid_focal_star_code": 3,
    },
    "asymmetric_loss": {"asymmetric_loss": 12},
    "sigmoid_encourage": {"sigmoid_encourage": 9},
    "class_balanced": {
        "class_balanced_focal": 13,
        "class_balanced_softmax": 3,
        "class_balanced_softmax_paper": 3,
    },
    "equalization_sigmoid": {"equalization_sigmoid": 9},
    "gge_plain_bce": {"plain_bce": 5},
    "gge_softmax": {"gge_softmax": 7},
    "gge_greedy_bce": {"gge_greedy_bce": 8, "gge_exact_bce": 12},
    "ggd": {"ggd": 10, "ggd_decompose_code": 5},
    "poly1": {"poly1": 9},
    "taylor_ce": {"taylor_ce": 10},
    "symmetric_ce": {"symmetric_ce": 10},
    "label_smoothing": {"label_smoothing": 9},
    "encouraging_label_smooth": {"encouraging_label_smooth": 10},
    "encourage_general": {"encourage_general": 38},
    "normalized_ce": {"normalized_ce": 9},
    "bi_tempered": {"bi_tempered": 14},
    "forward_correction": {"forward_correction": 10},
    "backward_correction": {"backward_correction": 8},
    "label_aware_smoothing": {"label_aware_smoothing": 9},
    "vs_loss": {"vs_loss": 11},
    "ldam": {"ldam": 9},
    "equalization_softmax": {"equalization_softmax": 10},
    "eqv1_softmax_code": {"eqv1_softmax_code": 9},
    "seesaw": {"seesaw": 10},
    "arcface": {"arcface": 8},
    "cosface": {"cosface": 9},
    "logit_norm": {"logit_norm": 7},
    "vqa_debias": {
        "bias_product": 6,
        "learned_mixin": 6,
        "reweight_inv_bias": 4,
        "vqa_focal_code": 4,
    },
    "gge_modes": {
        "gge_mode_q": 3,
        "gge_mode_joint": 3,
        "gge_mode_tog": 3,
        "gge_mode_d_bias": 3,
        "gge_mode_q_bias": 3,
    },
    "ggd_vqa_modes": {"ggd_vqa_q": 3, "ggd_vqa_joint": 6, "ggd_vqa_d_bias": 3},
}


def close(actual, expected):
    __tracebackhide__ = True
    assert actual.shape == expected.shape and actual.dtype == np.float64
    error = np.abs(np.asarray(actual) - expected) / np.maximum(1, np.abs(expected))
    assert np.max(error) <= 1e-9  # a NaN fails too


def cases(*families):
    found = [case for family in families for case in load(*family.split("/"))]
    return pytest.mark.parametrize(
        "case", found, ids=[f"{case.family}-{case.name}" for case in found]
    )


GREEDY_MODES = ("gge_modes", "ggd_vqa_modes")
BY_THEMSELVES = (
    "gala_sequence",
    "noise_transition",
    "prediction_rebalance",
    "tau_norm",
    *GREEDY_MODES,
)
SEQUENCES = {
    "gala_sequence_code": "released",
    "gala_sequence_code_single_accum": "released_once",
    "gala_sequence_paper": "paper",
}


class Program(NamedTuple):
    """What the cases of one compilation have in common."""

    loss: str
    fixed: tuple[tuple[str, Any], ...]
    shapes: tuple[tuple[str, Any], ...]


def is_output(name):
    return name.startswith(("loss", "grad"))


def traced_numbers(case):
    """The hyper-parameters that are arguments: so a sweep over them is a vmap."""
    if case.loss in BRANCHING:
        return {}
    return {k: v for k, v in case.hyper.items() if isinstance(v, float)}


def program_of(case):
    numbers = traced_numbers(case)
    fixed = [(k, str(v)) for k, v in sorted(case.hyper.items()) if k not in numbers]
    inputs = [(k, v.shape) for k, v in case.arrays.items() if not is_output(k)]
    return Program(case.loss, tuple(fixed), tuple(sorted(inputs)))


def programs():
    found = collections.defaultdict(list)
    for family in NUM_CASES:
        for case in load(family) if family not in BY_THEMSELVES else ():
            found[program_of(case)].append(case)
    ids = [
        f"{group[0].family}-{group[0].name}+{len(group) - 1}"
        for group in found.values()
    ]
    return pytest.mark.parametrize("group", found.values(), ids=ids)


@programs()
def test_loss_and_gradient(group):
    """All cases of one program: most of the time is compilation."""
    loss, fixed = group[0].loss, group[0].hyper

    @jax.jit
    def losses_and_gradients(z, arrays, numbers):
        case = Traced(loss, fixed | numbers, arrays)
        losses, pull = jax.vjp(lambda z: LOSSES[loss](z, case), z)
        return losses, pull(jnp.ones_like(losses))[0]

    for case in group:
        inputs = {k: v for k, v in case.arrays.items() if not is_output(k)}
        losses, grads = losses_and_gradients(
            case["logits"], inputs, traced_numbers(case)
        )
        close(losses, case.exact("loss"))
        close(grads, case.exact("grad"))


@cases("gala_sequence")
def test_gala_over_a_training_run(case):
    hyper = case.hyper
    objective = jaxloss.gala_objective(
        case["logits"].shape[-1],
        lambda1=hyper["lam1"],
        lambda2=hyper["lam2"],
        epsilon=hyper["eps"],
        variant=SEQUENCES[case.loss],
    )

    def step(state, batch):
        z, y = batch
        losses, pull = jax.vjp(lambda z: objective.loss(state, z, y, None), z)
        (grads,) = pull(jnp.ones_like(losses))
        state = objective.update(state, jaxloss.Signals(z, y, grads))
        # Stored: the gradient of the batch mean.
        return state, (losses, grads / len(y), state.positive, state.negative)

    run = functools.partial(jax.lax.scan, step, objective.init())
    losses, grads, theta, phi = jax.jit(run)((case["logits"], case["labels"]))[1]
    close(losses, case["loss"])
    close(grads, case["grad"])
    close(theta, case["theta"])
    close(phi, case["phi"])
    np.testing.assert_allclose(theta, phi, rtol=1e-12)  # for every softmax loss


@cases("logit_adjustment")
def test_posthoc_adjustment(case):
    adjusted = jaxloss.posthoc_adjust_logits(
        jnp.asarray(case["logits"]), log_prior=log_prior(case), tau=case.hyper["tau"]
    )
    expected = case.exact("posthoc_logits")
    close(adjusted, expected)
    assert np.array_equal(jnp.argmax(adjusted, -1), np.argmax(expected, -1))


@cases("gce/gce_truncated")
def test_pruning(case):
    z, index = case["logits"], jnp.arange(len(case["logits"]))
    objective = jaxloss.truncated_gce_objective(len(z), **case.hyper)
    signals = jaxloss.Signals(z, case["labels"], jnp.zeros_like(z), index)
    kept = objective.refresh(objective.init(), signals)
    assert np.array_equal(kept, case["updated_weight"] == 1)


@cases("prediction_rebalance")
def test_rebalanced_predictions(case):
    p = jax.nn.softmax(case["logits"])
    scores = jaxloss.rebalance_predictions(p, tau=case.hyper["pow"])
    close(scores, case.exact("scores"))
    close(scores / jnp.sum(scores, -1, keepdims=True), case["scores_normalized"])
    assert np.array_equal(jnp.argmax(scores, -1), case["preds"])


@cases("tau_norm")
def test_tau_normalised_classifier(case):
    kernel = jaxloss.tau_normalize(
        jnp.asarray(case["weights"].T), tau=case.hyper["tau"]
    )
    close(kernel, case["weights_normalized"].T)
    scores = case["features"] @ kernel
    close(scores, case["logits"])
    assert np.array_equal(jnp.argmax(scores, -1), case["preds"])


@cases("vqa_debias/learned_mixin")
def test_the_gate_of_the_learned_mixin(case):
    total = jax.grad(lambda h: jnp.sum(learned_mixin(case["logits"], case, h)))
    close(total(case["hidden"]), case.exact("grad_hidden"))


def greedy_of(targets):
    """The base model's loss, given its logits and what the pseudo-labels are made of:
    a probability or the sum of two, but for q_bias a logit."""
    return lambda z, b: jaxloss.greedy_gradient(
        z, targets, bias_logits=b, form="relaxed"
    )


def leaking_greedy_of(targets):
    """Pseudo-labels that are not constant, as in the released code."""
    return lambda z, b: jaxloss.sigmoid_cross_entropy(
        z, 2 * targets * jax.nn.sigmoid(-2 * targets * b)
    )


def gge_mode(mode, greedy, targets, *, logits, q_out, q_pred, bias):
    match mode:
        case "q":
            return greedy(q_out, bias)
        case "joint":
            return greedy(logits, jax.nn.sigmoid(q_pred) + bias)
        case "tog":
            of_both = greedy(logits, jax.nn.sigmoid(q_out) + bias)
            return of_both + greedy(q_out, bias)
        case "d_bias":
            return greedy(logits, bias)
        case "q_bias":
            own = jaxloss.sigmoid_cross_entropy(q_out, targets)
            return greedy(logits, q_out) + own


def of_the_batch_mean(losses, case, names):
    """The mean loss, and its gradients in the stored arrays of those names."""
    return jax.value_and_grad(lambda inputs: jnp.mean(losses(**inputs)))(
        {name: case[name] for name in names}
    )


def stored(name, suffix):
    return f"grad{'' if name == 'logits' else '_' + name}{suffix}"


@pytest.mark.parametrize("leaking", [False, True], ids=["paper", "released"])
@cases("gge_modes")
def test_modes_of_the_greedy_ensemble(case, leaking):
    targets = case["targets"]
    losses = functools.partial(
        gge_mode,
        case.hyper["mode"],
        (leaking_greedy_of if leaking else greedy_of)(targets),
        targets,
    )
    names = ("logits", "q_out", "q_pred", "bias")
    value, grads = of_the_batch_mean(losses, case, names)
    close(value, case["loss"])
    for name, grad in grads.items():
        close(grad, case[stored(name, "" if leaking else "_stopgrad")])


def ggd_mode(mode, weight, constant, targets, *, logits, q_out, bias):
    """Soft cross-entropies with weights t - w r, of any sign."""
    if mode == "q":
        return jnp.sum(targets * every_label(q_out), axis=-1)
    reference = bias
    if mode == "joint":
        reference = jnp.clip(jax.nn.softmax(q_out) + bias, 0, 1) * targets
    weights = targets - weight * constant(reference)
    return jnp.sum(weights * every_label(logits), axis=-1)


@pytest.mark.parametrize("leaking", [False, True], ids=["paper", "released"])
@cases("ggd_vqa_modes")
def test_modes_of_general_greedy_debiasing(case, leaking):
    hyper = case.hyper
    weight = jaxloss.curriculum_weight(
        hyper["epoch"], hyper["num_epochs"], offset=hyper["offset"]
    )
    constant = (lambda x: x) if leaking else jax.lax.stop_gradient
    losses = functools.partial(
        ggd_mode, hyper["mode"], weight, constant, case["targets"]
    )
    names = ("logits", "q_out", "bias")
    value, grads = of_the_batch_mean(losses, case, names)
    close(value, case["loss"])
    for name, grad in grads.items():
        close(grad, case[stored(name, "" if leaking else "_stopgrad")])


def multinomial(random, probabilities):
    """One draw, as NumPy before 2.5 makes it: a binomial for each class that may be."""
    remaining = 1.0
    for k in np.flatnonzero(probabilities[:-1]):
        if random.binomial(1, min(1, probabilities[k] / remaining)):
            return k
        remaining -= probabilities[k]
    return len(probabilities) - 1


@cases("noise_transition")
def test_noise_models(case):
    """The matrices, and the labels that the released generator draws by them."""
    models = {
        "noise_symmetric": jaxloss.symmetric_transition,
        "noise_pairflip": jaxloss.pair_transition,
    }
    transition = models[case.loss](case.hyper["num_classes"], case.hyper["rate"])
    close(transition, case["T"])
    random = np.random.RandomState(case.hyper["random_state"])
    rows = np.asarray(transition)[case["labels"]]
    noisy = np.array([multinomial(random, row) for row in rows])
    assert np.array_equal(noisy, case["noisy_labels"])
    classes = len(transition)
    estimate = jaxloss.transition_from_labels(case["labels"], noisy, classes)
    kept = np.bincount(case["labels"], minlength=classes) @ np.diag(estimate)
    np.testing.assert_allclose(1 - kept / len(rows), case["actual_rate"], rtol=1e-9)


def test_nothing_is_missing():
    for family, expected in NUM_CASES.items():
        assert {loss: len(load(family, loss)) for loss in expected} == expected
        assert len(load(family)) == sum(expected.values())
        for case in load(family):
            assert family == "noise_transition" or case["logits"].size > 0
    assert NUM_CASES.keys() == {path.stem for path in FOLDER.glob("*.npz")}
    specific = {loss for family in BY_THEMSELVES for loss in NUM_CASES[family]}
    tested = LOSSES.keys() | specific
    assert tested == {loss for losses in NUM_CASES.values() for loss in losses}
