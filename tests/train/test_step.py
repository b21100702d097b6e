"""One step by hand: gradients of the tap, purity, and the state of the objective."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

import jaxloss
from train import config
from train.fit import make_optimizer, make_schedule
from train.models import mlp
from train.objectives import Facts, build_objective
from train.step import Batch, Trainer, init_state, train_epoch, train_step

N, CLASSES = 12, 3
RNG = np.random.default_rng(0)
# Made before the switch to float32, hence the explicit types.
DATA = Batch(
    image=jnp.asarray(RNG.random((N, 2, 2, 1)), jnp.float32),
    label=jnp.arange(N, dtype=jnp.int32) % CLASSES,
    index=jnp.arange(N, dtype=jnp.int32),
)
FACTS = Facts(
    labels=DATA.label,
    num_classes=CLASSES,
    total_steps=10,
)
LOSSES = [
    config.CrossEntropy(),
    config.LogitAdjusted(),
    config.Gala(),
    config.Gala(variant="released", decay=0.9),
    config.Ldam(),
    config.Seesaw(),
    config.EqualizationV2(),
    config.Focal(),
    config.MeanAbsoluteError(),
    config.GeneralizedCrossEntropy(),
    config.TruncatedGce(),
    config.Encouraging(),
]


def trainer_of(loss):
    model = mlp((2, 2, 1), (5,), CLASSES)
    options = config.Optimizer()
    optimizer = make_optimizer(options, make_schedule(options, steps=10))
    return Trainer(model, optimizer, build_objective(loss, FACTS))


def spied(trainer):
    """The trainer, keeping the signals of its last step as its state."""
    signals = jaxloss.Signals(
        jnp.zeros((N, CLASSES)), DATA.label, jnp.zeros((N, CLASSES)), DATA.index
    )
    inner = trainer.objective
    objective = jaxloss.Objective(
        init=lambda: (inner.init(), signals),
        loss=lambda state, *batch: inner.loss(state[0], *batch),
        update=lambda state, signals: (state[0], signals),
    )
    return trainer._replace(objective=objective)


@pytest.mark.parametrize("loss", LOSSES, ids=str)
def test_every_loss_takes_a_step(loss):
    trainer = trainer_of(loss)
    state = init_state(trainer, jax.random.key(0))
    after, numbers = jax.jit(lambda s, b: train_step(trainer, s, b))(state, DATA)
    assert all(jnp.isfinite(value) for value in numbers.values())
    assert numbers["gradient_norm"] > 0
    chex.assert_trees_all_equal_shapes_and_dtypes(state, after)
    chex.assert_tree_all_finite(after.params)


@pytest.mark.parametrize("loss", [config.Gala(), config.Focal()], ids=str)
def test_the_tap_sees_the_gradient_of_the_sum_of_the_losses(loss):
    trainer = spied(trainer_of(loss))
    state = init_state(trainer, jax.random.key(0))
    after, _ = train_step(trainer, state, DATA)
    outputs, _ = trainer.model.apply(state.params, state.stats, DATA.image)

    def total(logits):
        losses = trainer.objective.loss(state.objective, logits, *DATA[1:])
        return jnp.sum(losses)

    signals = after.objective[1]
    np.testing.assert_allclose(signals.logits, outputs.logits, atol=1e-6)
    expected = jax.grad(total)(outputs.logits)
    np.testing.assert_allclose(signals.logit_grads, expected, rtol=1e-5, atol=1e-6)


def products(jaxpr):
    count = 0
    for equation in jaxpr.eqns:
        count += equation.primitive.name == "dot_general"
        count += sum(map(products, jaxprs_in_params(equation.params)))
    return count


def test_the_tap_costs_no_second_backward_pass():
    trainer = trainer_of(config.CrossEntropy())
    state = init_state(trainer, jax.random.key(0))

    def without_tap(params):
        logits = trainer.model.apply(params, state.stats, DATA.image)[0].logits
        losses = trainer.objective.loss(state.objective, logits, *DATA[1:])
        return jnp.mean(losses)

    plain = jax.make_jaxpr(jax.value_and_grad(without_tap))(state.params)
    tapped = jax.make_jaxpr(lambda s: train_step(spied(trainer), s, DATA))(
        init_state(spied(trainer), jax.random.key(0))
    )
    # Forward: two layers. Backward: two kernels and the hidden layer.
    assert products(plain.jaxpr) == products(tapped.jaxpr) == 5


def test_a_step_is_compiled_once_and_pure():
    trainer = trainer_of(config.Gala())
    chex.clear_trace_counter()
    step = jax.jit(chex.assert_max_traces(lambda s, b: train_step(trainer, s, b), n=1))
    state = init_state(trainer, jax.random.key(0))
    first, numbers = step(state, DATA)
    again, numbers_again = step(state, DATA)
    chex.assert_trees_all_equal(jax.random.key_data(first.key), _data(again.key))
    chex.assert_trees_all_equal(
        first._replace(key=None), again._replace(key=None), strict=True
    )
    chex.assert_trees_all_equal(numbers, numbers_again)
    step(first, DATA)


def _data(key):
    return jax.random.key_data(key)


def test_gala_accumulates_as_by_hand_over_two_steps():
    trainer = trainer_of(config.Gala(lambda1=0.7, lambda2=1.3, decay=0.9))
    state = init_state(trainer, jax.random.key(0))
    positive, negative = np.zeros(CLASSES), np.zeros(CLASSES)
    for _ in range(2):
        logits = trainer.model.apply(state.params, state.stats, DATA.image)[0].logits
        y = np.asarray(DATA.label)
        f = np.asarray(logits, np.float64)
        for i in range(N):
            for k in set(range(CLASSES)) - {y[i]}:
                f[i, k] += 0.7 * np.log(positive[k] + 1e-3)
                f[i, k] -= 1.3 * np.log(negative[y[i]] + 1e-3)
        g = np.exp(f) / np.exp(f).sum(1, keepdims=True) - np.eye(CLASSES)[y]
        own, others = np.zeros(CLASSES), np.zeros(CLASSES)
        for i in range(N):
            for j in range(CLASSES):
                if j == y[i]:
                    own[j] += abs(g[i, j]) / N
                else:
                    others[y[i]] += abs(g[i, j]) / N
        positive, negative = 0.9 * positive + own, 0.9 * negative + others
        state, _ = train_step(trainer, state, DATA)
    np.testing.assert_allclose(state.objective.positive, positive, rtol=1e-4)
    np.testing.assert_allclose(state.objective.negative, negative, rtol=1e-4)


def watched(loss):
    probe = jaxloss.combine_probes(
        classes=jaxloss.class_gradients(CLASSES, full=True),
        head=jaxloss.head_gradients(jaxloss.by_confidence(), 5, CLASSES),
    )
    return trainer_of(loss)._replace(probe=probe)


def test_a_resumed_run_ends_with_the_same_bits(tmp_path):
    trainer = watched(config.Gala())
    run = jax.jit(lambda state: train_epoch(trainer, 4, state, DATA)[0])
    middle = run(run(init_state(trainer, jax.random.key(0))))
    straight = run(run(middle))

    # Through a file, as after a crash.
    leaves, structure = jax.tree.flatten(middle._replace(key=_data(middle.key)))
    np.savez(tmp_path / "state.npz", *leaves)
    with np.load(tmp_path / "state.npz") as saved:
        leaves = [jnp.asarray(saved[name]) for name in saved.files]
    resumed = jax.tree.unflatten(structure, leaves)
    resumed = resumed._replace(key=jax.random.wrap_key_data(resumed.key))
    resumed = run(run(resumed))
    chex.assert_trees_all_equal(resumed.params, straight.params)
    chex.assert_trees_all_equal(resumed.objective, straight.objective)
    chex.assert_trees_all_equal(resumed.probe, straight.probe)
    assert resumed.step == straight.step == 4 * (N // 4)


@pytest.mark.parametrize("loss", [config.Gala(), config.EqualizationV2()], ids=str)
def test_a_batch_over_several_devices(loss):
    """Objective and probe see the whole batch, wherever its parts are."""
    trainer = watched(loss)
    state = init_state(trainer, jax.random.key(0))
    kinds = (jax.sharding.AxisType.Auto,)
    mesh = jax.make_mesh((4,), ("data",), axis_types=kinds)
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    step = jax.jit(lambda state, batch: train_step(trainer, state, batch)[0])
    parts, whole = (
        step(step(state, batch), batch) for batch in (jax.device_put(DATA, rows), DATA)
    )
    for a, b in zip(parts[2:], whole[2:], strict=True):
        chex.assert_trees_all_close(a, b, rtol=1e-4, atol=1e-6)


def test_an_epoch_sees_every_example_once_in_a_new_order():
    """Counts by an objective that remembers the indices of its batches."""
    objective = jaxloss.Objective(
        init=lambda: (jnp.zeros((), jnp.int32), jnp.zeros((2 * N,), jnp.int32)),
        loss=lambda state, logits, labels, index: jaxloss.cross_entropy(logits, labels),
        update=lambda state, signals: (
            state[0] + 4,
            jax.lax.dynamic_update_slice(
                state[1], jnp.asarray(signals.index), state[:1]
            ),
        ),
    )
    trainer = trainer_of(config.CrossEntropy())._replace(objective=objective)
    state = init_state(trainer, jax.random.key(0))
    for _ in range(2):
        state, _ = train_epoch(trainer, 4, state, DATA)
    first, second = np.asarray(state.objective[1]).reshape(2, N)
    assert sorted(first) == sorted(second) == list(range(N))
    assert list(first) != list(second)
