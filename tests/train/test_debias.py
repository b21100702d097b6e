"""Several models in one step, against each of them by hand."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jaxloss
from train.debias import ensemble as parts
from train.debias import fit as fitting
from train.debias.ensemble import Networks, make_ensemble, phases_of, programs
from train.debias.figures import push
from train.debias.fit import Fit, Problem
from train.debias.methods import METHODS, Hyper, Method
from train.debias.models import colour_net, gated, masking
from train.debias.rules import Batch, Facts, build_rule
from train.debias.step import Ensemble, Member, init_state, train_step
from train.models import Outputs, mlp

N, CLASSES = 12, 3
RNG = np.random.default_rng(0)
LABEL: Any = np.arange(N) % CLASSES
CUE = np.where(np.arange(N) < 9, LABEL, (LABEL + 1) % CLASSES)
BATCH = Batch(
    inputs=RNG.random((N, 2, 2, 3), np.float32),
    targets=np.eye(CLASSES, dtype=np.float32)[LABEL],
    label=LABEL,
    cue=CUE,
    conflicting=CUE != LABEL,
    index=np.arange(N),
)
NETWORKS = Networks(
    base=mlp((2, 2, 3), (5,), CLASSES),
    shortcut=colour_net(3, (4,), CLASSES),
    base_features=5,
    num_classes=CLASSES,
    num_cues=CLASSES,
    link="softmax",
    form="softmax",
)
FACTS: Any = Facts("softmax", "softmax", LABEL, CUE * CLASSES + LABEL, CLASSES, 9, 10)
DEFAULTS = Hyper()
# The same method may have a name in each family.
ALL = {m: n for methods in METHODS.values() for n, m in methods.items()}


def ensemble_of(method, **changes):
    train = jax.tree.map(jnp.asarray, BATCH)
    made = make_ensemble(
        [method],
        0,
        DEFAULTS,
        NETWORKS,
        FACTS,
        lambda: parts.cue_statistic(train, NETWORKS, 1.0),
        {"base": optax.adam(1e-3), "bias": optax.sgd(0.1, momentum=0.9)},
    )
    return made._replace(**changes)


def one_step(method, phases=None, **changes):
    ensemble = ensemble_of(method, **changes)
    phases = phases or phases_of(method.mode, [*ensemble.members])
    state = init_state(ensemble, jax.random.key(0))
    step = jax.jit(lambda state: train_step(ensemble, phases, state, BATCH))
    after, numbers = step(state)
    return ensemble, state, after, numbers


def updated(ensemble, name, state, grads):
    member = ensemble.members[name]
    updates, _ = member.optimizer.update(
        grads, state.optimizer[name], state.params[name]
    )
    return optax.apply_updates(state.params[name], updates)


def logits(ensemble, name, params, state):
    outputs, _ = ensemble.members[name].model.apply(
        params, state.stats[name], BATCH.inputs
    )
    return outputs.logits


def close(one, other):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6), one, other
    )


@pytest.mark.parametrize("method", ALL, ids=ALL.get)
def test_every_method_takes_a_step(method):
    """Of both families on the small images: the rules do not know what inputs are."""
    ensemble, state, after, numbers = one_step(method)
    assert all(jnp.isfinite(value) for value in numbers.values())
    jax.tree.map(
        lambda a, b: np.testing.assert_array_equal(a.shape, b.shape), state, after
    )
    for member in ensemble.members:
        moved = jax.tree.map(
            lambda a, b: np.any(a != b), state.params[member], after.params[member]
        )
        assert any(jax.tree.leaves(moved)), member
    assert 0 <= numbers["gradient_of_conflicting"] <= numbers["gradient"]


@pytest.mark.parametrize("form", ["exact", "relaxed", "softmax"])
@pytest.mark.parametrize("mode", ["together", "iterative"])
def test_each_model_gets_its_own_gradient_and_no_other(mode, form):
    """The bias model learns as if alone; the base model from its pseudo-labels: of the
    bias model before the step (together) or after its own (iterative)."""
    method = Method("greedy", ("shortcut",), mode, form=form)
    ensemble, state, after, _ = one_step(method)

    def plain(params):
        z = logits(ensemble, "shortcut", params, state)
        if form == "softmax":
            return jnp.mean(jaxloss.cross_entropy(z, LABEL))
        return jnp.mean(jaxloss.sigmoid_cross_entropy(z, BATCH.targets))

    shortcut = updated(
        ensemble, "shortcut", state, jax.grad(plain)(state.params["shortcut"])
    )
    close(after.params["shortcut"], shortcut)
    seen = shortcut if mode == "iterative" else state.params["shortcut"]
    bias = logits(ensemble, "shortcut", seen, state)

    def greedy(params):
        z = logits(ensemble, "base", params, state)
        return jnp.mean(
            jaxloss.greedy_gradient(z, BATCH.targets, bias_logits=bias, form=form)
        )

    base = updated(ensemble, "base", state, jax.grad(greedy)(state.params["base"]))
    close(after.params["base"], base)


def test_the_released_steps_leak_and_accumulate():
    """Iterative, as released: all gradients of the bias step stay for the base step,
    whose own flow through the pseudo-labels."""
    method = Method(
        "greedy", ("shortcut",), "iterative", form="relaxed", leak=True, accumulate=True
    )
    ensemble, state, after, _ = one_step(method)
    names = [*ensemble.members]

    def bias_loss(params):
        z = logits(ensemble, "shortcut", params["shortcut"], state)
        return jnp.mean(jaxloss.sigmoid_cross_entropy(z, BATCH.targets))

    def base_loss(params):
        b, z = (logits(ensemble, name, params[name], state) for name in names)
        labels = 2 * BATCH.targets * jax.nn.sigmoid(-2 * BATCH.targets * b)
        return jnp.mean(jaxloss.sigmoid_cross_entropy(z, labels))

    first = jax.grad(bias_loss)(state.params)
    params, optimizer = dict(state.params), dict(state.optimizer)

    def move(grads):
        for name in names:
            updates, optimizer[name] = ensemble.members[name].optimizer.update(
                grads[name], optimizer[name], params[name]
            )
            params[name] = optax.apply_updates(params[name], updates)

    move(first)
    second = jax.grad(base_loss)(dict(params))
    assert any(np.any(leaf != 0) for leaf in jax.tree.leaves(second["shortcut"]))
    move(jax.tree.map(jnp.add, first, second))
    close(after.params, params)


def test_a_step_of_one_model_leaves_the_others_alone():
    method = Method("greedy", ("shortcut",))
    _, state, after, _ = one_step(method, phases=(("shortcut",),))
    close(after.params["base"], state.params["base"])
    assert np.any(
        jax.tree.leaves(after.params["shortcut"])[0]
        != jax.tree.leaves(state.params["shortcut"])[0]
    )


def test_the_statistic_counts_targets_by_cue():
    train = jax.tree.map(jnp.asarray, BATCH)
    found = parts.cue_statistic(train, NETWORKS, smoothing=1.0)
    counts = np.zeros((CLASSES, CLASSES))
    np.add.at(counts, (CUE, LABEL), 1)
    expected = (counts + 1 / 3) / (counts.sum(1, keepdims=True) + 1)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    log_odds = parts.as_scores(found, "sigmoid")
    np.testing.assert_allclose(jax.nn.sigmoid(log_odds), expected, rtol=1e-5)
    np.testing.assert_allclose(
        jnp.exp(parts.as_scores(found, "softmax")), expected, rtol=1e-5
    )


def outputs(**scores):
    return {name: Outputs(jnp.asarray(z), jnp.asarray(z)) for name, z in scores.items()}


Z, B = RNG.normal(size=(2, N, CLASSES)).astype(np.float32)
CE = -np.log(np.exp(Z) / np.exp(Z).sum(-1, keepdims=True))[np.arange(N), LABEL]
SHARE = (np.exp(B) / np.exp(B).sum(-1, keepdims=True))[np.arange(N), LABEL]


def losses_of(method, step=0, hyper=DEFAULTS, state=None, **scores):
    rule = build_rule(method, hyper, FACTS)
    state = rule.init() if state is None else state
    return rule.losses(
        state,
        outputs(**(scores or {"base": Z, "shortcut": B})),
        jax.tree.map(jnp.asarray, BATCH),
        step,
    )


@pytest.mark.parametrize(("step", "weight"), [(0, 0.5), (5, 0.8660254), (10, 1.0)])
def test_the_curriculum_has_an_offset_and_a_length(step, weight):
    """sin(pi/2 (t + 5) / (10 + 5)) is 1/2 at t = 0 and sqrt(3)/2 at t = 5."""
    method = Method("weighted", ("shortcut",), curriculum=True)
    found, _ = losses_of(method, step, Hyper(offset=0.5, length=1.0))
    np.testing.assert_allclose(found["base"], (1 - weight * SHARE) * CE, rtol=1e-5)
    shorter, _ = losses_of(method, step, Hyper(offset=0.25, length=0.5))
    at_half = np.sin(np.pi / 2 * min((step + 2.5) / 7.5, 1))
    np.testing.assert_allclose(shorter["base"], (1 - at_half * SHARE) * CE, rtol=1e-5)


def test_reweighting_divides_by_the_mean_weight():
    found, _ = losses_of(Method("reweighted", ("shortcut",)))
    weight = 1 - SHARE
    np.testing.assert_allclose(found["base"], weight * CE / weight.mean(), rtol=1e-5)


def test_the_oracle_weighs_every_cell_alike_and_one_on_average():
    found, _ = losses_of(Method("group-weighted"))
    weight = np.asarray(found["base"]) / CE
    assert weight.mean() == pytest.approx(1, rel=1e-5)
    cells = CUE * CLASSES + LABEL
    totals = [weight[cells == cell].sum() for cell in np.unique(cells)]
    np.testing.assert_allclose(totals, totals[0], rtol=1e-5)


def test_group_dro_moves_towards_the_worst_cell_that_exists():
    _, weights = losses_of(Method("group-dro"), hyper=Hyper(group_step=1.0))
    cells = CUE * CLASSES + LABEL
    means = {cell: CE[cells == cell].mean() for cell in np.unique(cells)}
    assert int(jnp.argmax(weights)) == max(means, key=means.__getitem__)
    assert np.flatnonzero(np.asarray(weights) == 0).tolist() == [
        cell for cell in range(9) if cell not in means
    ]


def test_learning_from_failure_weighs_by_running_relative_losses():
    method, hyper = Method("learning-from-failure", ("self",), "together"), Hyper()
    found, state = losses_of(method, base=Z, self=B)
    bias_ce = -np.log(SHARE)

    def of_the_largest(values):
        largest = np.array([values[LABEL == c].max() for c in range(CLASSES)])
        return values / largest[LABEL]

    def weight(base, bias):
        base, bias = of_the_largest(base), of_the_largest(bias)
        return bias / (base + bias)

    np.testing.assert_allclose(found["base"], weight(CE, bias_ce) * CE, rtol=1e-4)
    easy = (1 - SHARE**hyper.gce_q) / hyper.gce_q
    np.testing.assert_allclose(found["self"], easy, rtol=1e-4)
    # The second time the running mean moves by 0.3 of the way.
    found, _ = losses_of(method, state=state, base=B, self=Z)
    base = 0.7 * CE + 0.3 * bias_ce
    bias = 0.7 * bias_ce + 0.3 * CE
    np.testing.assert_allclose(found["base"], weight(base, bias) * bias_ce, rtol=1e-4)


def test_rubi_masks_by_what_its_classifier_sees():
    model = masking(colour_net(3, (4,), CLASSES), CLASSES)
    params, stats = model.init(jax.random.key(0))
    branch, _ = model.apply(params, stats, BATCH.inputs)
    np.testing.assert_allclose(
        branch.logits, branch.features @ params["kernel"], rtol=1e-5
    )
    rule = build_rule(Method("rubi", ("shortcut",), "together"), Hyper(), FACTS)
    found, _ = rule.losses((), {"base": Outputs(Z, Z), "shortcut": branch}, BATCH, 0)
    masked = Z / (1 + np.exp(-branch.features))
    p = np.exp(masked) / np.exp(masked).sum(-1, keepdims=True)
    np.testing.assert_allclose(
        found["base"], -np.log(p[np.arange(N), LABEL]), rtol=1e-5
    )


def test_the_learned_mixin_starts_as_the_product_of_experts():
    model = gated(mlp((2, 2, 3), (5,), CLASSES), 5)
    params, stats = model.init(jax.random.key(0))
    base, _ = model.apply(params, stats, BATCH.inputs)
    assert base.gate is not None
    np.testing.assert_allclose(base.gate, 1, rtol=1e-4)
    method = Method("learned-mixin", ("shortcut",))
    rule = build_rule(method, Hyper(), FACTS)
    found, _ = rule.losses((), {"base": base, "shortcut": Outputs(B, B)}, BATCH, 0)
    both = np.asarray(base.logits) + B
    p = np.exp(both) / np.exp(both).sum(-1, keepdims=True)
    np.testing.assert_allclose(
        found["base"], -np.log(p[np.arange(N), LABEL]), rtol=1e-3
    )


def test_the_colour_net_sees_no_shapes():
    """Pixels in another order, the same logits."""
    model = colour_net(3, (4, 4), CLASSES)
    params, stats = model.init(jax.random.key(0))
    image = RNG.random((2, 4, 4, 3), np.float32)
    mixed = image.reshape(2, 16, 3)[:, RNG.permutation(16)].reshape(image.shape)
    one, other = (model.apply(params, stats, x)[0].logits for x in (image, mixed))
    np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("family", METHODS)
def test_programs_hold_every_method_once(family):
    found = programs(METHODS[family])
    names = [name for program in found for name in program]
    assert sorted(names) == sorted(METHODS[family])
    for program in found:
        assert (
            len(
                {(m.mode, m.base, m.leak, m.accumulate) for m in program.values()}
                - {("first", "base", False, False)}
            )
            <= 1
        )


def test_a_method_does_not_notice_its_company():
    """The same numbers alone, and beside others that have a bias model."""
    problem = Problem(BATCH, BATCH, {"test": BATCH})
    options = Fit(epochs=3, batch_size=4, bias_epochs=2)
    methods = {name: METHODS["images"][name] for name in ("gge", "erm", "oracle")}
    (program,) = programs(methods)
    for i, (name, method) in enumerate(program.items()):
        runs = [
            jax.jit(
                lambda key, c=choices, w=which: fitting.fit(
                    c, w, options, NETWORKS, problem, key
                )
            )(jax.random.key(1))
            for choices, which in (((method,), 0), (tuple(program.values()), i))
        ]
        alone, together = (run.history["loss/base"] for run in runs)
        np.testing.assert_allclose(alone, together, rtol=1e-5, err_msg=name)
        close(runs[0].last["test"], runs[1].last["test"])


def test_bias_models_are_fitted_first_and_then_held():
    """Greedy on constants: the same as a member that does not move."""
    method = METHODS["images"]["gge"]
    problem = Problem(BATCH, BATCH, {})
    options = Fit(epochs=2, batch_size=N, bias_epochs=4)
    trained = fitting.fit((method,), 0, options, NETWORKS, problem, jax.random.key(2))
    losses = np.asarray(trained.history["loss/shortcut"])
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    never = Fit(epochs=2, batch_size=N, bias_epochs=0)
    fresh = fitting.fit((method,), 0, never, NETWORKS, problem, jax.random.key(2))
    assert losses[0] < fresh.history["loss/shortcut"][0]


def test_an_ensemble_can_be_put_together_by_hand():
    """What the docstring of `greedy_ensemble` promises, in a loop of one's own."""
    facts = FACTS._replace(form="exact", link="sigmoid")
    rule = build_rule(Method("greedy", ("statistic",)), Hyper(), facts)
    member = Member(NETWORKS.base, optax.sgd(0.1))
    scores = jnp.asarray(B[:CLASSES])
    ensemble = Ensemble({"base": member}, rule, scores)
    state = init_state(ensemble, jax.random.key(0))
    _, numbers = train_step(ensemble, (("base",),), state, BATCH)
    z = logits(ensemble, "base", state.params["base"], state)
    expected = jaxloss.greedy_gradient(z, BATCH.targets, bias_logits=scores[CUE])
    np.testing.assert_allclose(numbers["loss/base"], jnp.mean(expected), rtol=1e-5)
    part = jnp.mean(BATCH.conflicting * expected)
    np.testing.assert_allclose(numbers["loss_of_conflicting"], part, rtol=1e-5)


def test_the_figure_for_the_question_of_the_users():
    """Ten classes at logits of 0: softmax 1/10, sigmoid 1/2."""
    b = np.array([0.1, 0.5, 0.9])
    found = push(b)
    expected = {
        "cross-entropy": (0.9 + 0 * b, -0.1 + 0 * b),
        "GGD, w = 0.5": (0.9 * (1 - 0.5 * b), -0.1 * (1 - 0.5 * b)),
        "GGD, w = 0.9": (0.9 * (1 - 0.9 * b), -0.1 * (1 - 0.9 * b)),
        "GGE, softmax = GGD, w = 1": (0.9 * (1 - b), -0.1 * (1 - b)),
        "GGE, BCE exact": (1 - b - 0.5, -0.5 + 0 * b),
        "GGE, BCE relaxed": (2 / (1 + (b / (1 - b)) ** 2) - 0.5, -0.5 + 0 * b),
    }
    assert found.keys() == expected.keys()
    for name, (label, others) in expected.items():
        np.testing.assert_allclose(found[name][0], label, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(found[name][1], others, atol=1e-5, err_msg=name)
