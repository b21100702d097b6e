"""The README's examples are run, not trusted."""

import functools
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp

import jaxloss

README = pathlib.Path(__file__).parents[2] / "README.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


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
