"""Trainings through the fused head are those through the logits."""

import json
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.train.test_step import DATA, trainer_of
from train import cli, config
from train.fit import make_optimizer, make_schedule
from train.models import mlp
from train.objectives import Facts, build_objective
from train.step import Batch, Trainer, init_state, train_step

CURVES = [
    config.CrossEntropy(),
    config.LogitAdjusted(tau=1.5),
    config.Gala(lambda2=0.5),
    config.Gala(variant="released", decay=0.9),
    config.Focal(),
    config.MeanAbsoluteError(),
    config.GeneralizedCrossEntropy(),
    config.Encouraging(),
]


@pytest.mark.parametrize("loss", CURVES, ids=str)
def test_three_steps(loss):
    trainer = trainer_of(loss)

    def three(trainer, key):
        state, history = init_state(trainer, key), []
        for _ in range(3):
            state, numbers = train_step(trainer, state, DATA)
            history.append(numbers)
        return history, state._replace(key=())

    both = jax.jit(
        lambda key: [three(t, key) for t in (trainer._replace(fused=True), trainer)]
    )
    found, expected = both(jax.random.key(0))
    chex.assert_trees_all_close(found, expected, rtol=1e-5, atol=1e-6)


def test_a_step_holds_no_logits():
    n, classes = 64, 100_000
    labels = jnp.arange(n) % classes
    batch = Batch(jnp.ones((n, 2, 2, 1)), labels, jnp.arange(n))
    facts = Facts(labels=labels, num_classes=classes, total_steps=10)
    optimizer = config.Optimizer()
    trainer = Trainer(
        mlp((2, 2, 1), (5,), classes),
        make_optimizer(optimizer, make_schedule(optimizer, steps=10)),
        build_objective(config.Gala(), facts),
        fused=True,
    )
    state = jax.eval_shape(lambda: init_state(trainer, jax.random.key(0)))
    step = jax.jit(lambda s, b: train_step(trainer, s, b))
    text = step.lower(state, batch).compile().as_text()
    assert text is not None
    assert re.search(rf"\[5,{classes}\]", text)  # the kernel, so the pattern is right
    assert not re.search(rf"\[{n},{classes}\]|\[{classes},{n}\]", text)


def run(folder, data_dir, *words):
    argv = ["run", "--epochs", "3", "--widths", "16", "--data-dir", data_dir]
    assert cli.main([*argv, *words, "--out", str(folder)]) == 0


@pytest.mark.parametrize("loss", ["gala", "generalized-cross-entropy"])
def test_a_run(loss, tmp_path, data_dir):
    """Metrics of every epoch, and what is measured at the end."""
    run(tmp_path / "logits", data_dir, "long-tail", loss)
    run(tmp_path / "fused", data_dir, "--fused-above", "0", "long-tail", loss)

    def read(name):
        for folder in ("fused", "logits"):
            lines = (tmp_path / folder / name).read_text().splitlines()
            text = ",".join(lines) if name.endswith("l") else "".join(lines)
            yield json.loads(f"[{text}]")

    for name in ("metrics.jsonl", "results.json", "classes.json"):
        found, expected = read(name)
        jax.tree.map(
            lambda a, b: (
                a == b
                if isinstance(a, str)
                else np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
            ),
            found,
            expected,
        )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["long-tail", "seesaw"], "seesaw needs all logits"),
        (["symmetric-noise", "truncated-gce"], "choose a loss that is a curve"),
        (["--probes", "all", "--fused-above", "9", "gala"], "leave out --probes"),
    ],
)
def test_what_cannot_do_without_logits(words, message, tmp_path, data_dir, capsys):
    argv = ["run", "--fused-above", "0", *words, "--data-dir", data_dir]
    assert cli.main([*argv, "--out", str(tmp_path / "run")]) != 0
    assert message in capsys.readouterr().err
