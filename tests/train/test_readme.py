"""The examples of the documentation are run, not trusted."""

import functools
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp

import jaxloss

ROOT = pathlib.Path(__file__).parents[2]


def examples(name):
    return re.findall(r"```python\n(.*?)```", (ROOT / name).read_text(), re.DOTALL)


EXAMPLES = examples("README.md")


def test_the_example_learns_the_rare_class_and_skips_padding():
    scope = {}
    exec(EXAMPLES[0], scope)
    labels = jnp.array([0, 1, 2, -1] * 3)
    x = 5 * jax.nn.one_hot(labels, 8)
    kernel, state = scope["kernel"], scope["tx"].init(scope["kernel"])
    for _ in range(200):
        kernel, state = scope["step"](kernel, state, x, labels)
    kept = labels >= 0
    assert jnp.mean(jnp.argmax(x @ kernel, -1)[kept] == labels[kept]) > 0.8
    moved, _ = scope["step"](kernel, state, x.at[3].set(1e6), labels)
    still, _ = scope["step"](kernel, state, x, labels)
    assert (moved == still).all()


def test_the_compositions_are_losses():
    scope: dict[str, Any] = {"functools": functools, "jaxloss": jaxloss}
    scope |= {"logits": jnp.zeros((2, 3)), "labels": jnp.array([0, 2])}
    scope |= {"margin": jnp.ones((3, 3)), "sums": jnp.ones(3)}
    for line in re.split(r"\n(?=\w)", EXAMPLES[1].strip()):
        exec(line, scope)
        if line.startswith("losses"):
            assert scope["losses"].shape == (2,)
            assert jnp.all(jnp.isfinite(scope["losses"]))


def test_the_fused_head_is_a_loss():
    scope: dict[str, Any] = {"jaxloss": jaxloss, "features": jnp.ones((2, 4))}
    scope |= {"kernel": jnp.zeros((4, 3)), "labels": jnp.array([0, 2])}
    exec(EXAMPLES[2], scope | {"log_prior": jnp.zeros(3)}, scope)
    # p = 1/3 for each
    assert jnp.allclose(scope["losses"], (1 - 3**-0.7) / 0.7)


def test_the_probe_counts_what_the_step_saw():
    scope: dict[str, Any] = {"jax": jax, "jnp": jnp, "jaxloss": jaxloss}
    scope["labels"] = jnp.array([0, 0, 0, 1])
    exec(EXAMPLES[3], scope)
    found = scope["probe"].read(scope["sums"])
    # With p = 1/3 everywhere: 3 x 2/3 over 1/3, 2/3 over 3 x 1/3, nothing over 4/3.
    ratio = found["classes"].gradient_ratio
    assert jnp.allclose(ratio, jnp.array([6, 2 / 3, 0]), rtol=1e-5)
    assert found["sure"].examples.tolist() == [4, 0]


def test_the_greedy_models_get_their_gradients():
    scope: dict[str, Any] = {"jax": jax, "jnp": jnp, "jaxloss": jaxloss}
    labels, x = jnp.array([0, 0, 1, 2]), jnp.arange(32.0).reshape(4, 8) / 32
    scope |= {"labels": labels, "x": x}
    exec(EXAMPLES[4], scope)
    # At logits of 0 the shortcut's residual is (1 - b_y) (1/3 - [k = y]); the base
    # model's has the weights of a statistic and a uniform shortcut: the same ones.
    weight = 1 - jnp.array([0.7, 0.7, 0.2, 0.1])
    residual = weight[:, None] * (1 / 3 - jax.nn.one_hot(labels, 3)) / 4
    for grad, seen in zip(scope["grads"], (x[:, :2], x), strict=True):
        assert jnp.allclose(grad, seen.T @ residual, atol=1e-6)


def test_the_loops_of_others_see_their_gradients(capsys):
    scope: dict[str, Any] = {}
    for example in examples("docs/your_loop.md"):
        exec(example, scope)
    ratios = re.findall(r"\[([^\]]*)\]", capsys.readouterr().out)
    assert len(ratios) == 3
    for ratio in ratios:
        values = [float(number) for number in ratio.split()]
        assert len(values) == 3 and all(0 < value < 10 for value in values)
