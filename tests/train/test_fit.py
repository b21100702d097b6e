"""The schedule, when truncated L_q prunes, and what counts as the best epoch."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train import config, data
from train.fit import (
    as_batch,
    epoch,
    make_optimizer,
    make_schedule,
    make_trainer,
    splits,
    start,
)


def learning_rates(options, steps):
    """Of plain descent: minus the updates of a constant gradient of one."""
    optimizer = make_optimizer(options, make_schedule(options, steps))
    state = optimizer.init(jnp.zeros(()))
    rates = []
    for _ in range(steps):
        # Momentum is undone by starting anew, the count by carrying it on.
        fresh = optimizer.init(jnp.zeros(()))
        carried = jax.tree.map(
            lambda new, old: old if old.dtype == jnp.int32 else new, fresh, state
        )
        update, state = optimizer.update(jnp.ones(()), carried, jnp.zeros(()))
        rates.append(-np.asarray(update).item() / 1.9)  # Nesterov's first step: 1 + 0.9
    return rates


def test_the_schedule_warms_up_and_falls_along_a_cosine():
    rates = learning_rates(config.Optimizer(learning_rate=0.5, warmup=0.2), 20)
    np.testing.assert_allclose(rates[:4], 0.5 * np.arange(1, 5) / 5, rtol=1e-5)
    cosine = 0.25 * (1 + np.cos(np.pi * np.arange(16) / 16))
    np.testing.assert_allclose(rates[4:], cosine, rtol=1e-5)


def test_a_constant_schedule_is_constant():
    options = config.Optimizer(learning_rate=0.5, warmup=0.0, decay="constant")
    np.testing.assert_allclose(learning_rates(options, 5), 0.5, rtol=1e-5)


@pytest.fixture(scope="module")
def pruned(data_dir):
    """The masks after every epoch of a truncated run, and its validation scores."""
    loss = config.TruncatedGce(start=1 / 3, every=1 / 6)
    options = config.Fit(widths=(8,), epochs=12)
    dataset = data.load(data.Digits(data_dir), data.SymmetricNoise(0.4), 0)
    trainer = make_trainer(loss, options, dataset)
    train = as_batch(dataset.train)
    step = jax.jit(lambda p: epoch(trainer, loss, options, dataset, train, p))
    progress, masks, scores, best = start(trainer, jax.random.key(1)), [], [], []
    for _ in range(options.epochs):
        progress, numbers = step(progress)
        masks.append(np.asarray(progress.state.objective))
        scores.append(float(numbers["validation"]))
        best.append(int(progress.best_epoch))
    return masks, scores, best, dataset


def test_truncated_gce_prunes_only_at_its_epochs(pruned):
    masks, *_ = pruned
    changed = [
        i
        for i, (before, after) in enumerate(
            zip([np.ones_like(masks[0]), *masks], masks, strict=False)
        )
        if not np.array_equal(before, after)
    ]
    # Before epochs 4, 6, 8 and 10 (from 0), where anything may change.
    assert 4 in changed
    assert set(changed) <= {4, 6, 8, 10}
    assert masks[3].all()


def test_wrong_labels_are_pruned_more_often(pruned):
    masks, _, _, dataset = pruned
    wrong = dataset.train.label != dataset.train.true_label
    assert wrong[~masks[-1]].mean() > 1.2 * wrong[masks[-1]].mean()


def test_the_best_epoch_is_the_first_of_the_best(pruned):
    _, scores, best, _ = pruned
    for i, epoch_number in enumerate(best):
        assert epoch_number == 1 + int(np.argmax(scores[: i + 1]))


def test_validation_and_tests_are_evaluated(data_dir):
    dataset = data.load(data.Digits(data_dir), data.ColouredBackground(), 0)
    assert list(splits(dataset)) == ["validation", "test", "unbiased"]
