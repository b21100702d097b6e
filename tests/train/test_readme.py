"""The README's example is run, not trusted."""

import pathlib
import re

import jax
import jax.numpy as jnp

README = pathlib.Path(__file__).parents[2] / "README.md"


def test_the_example_learns_the_rare_class_and_skips_padding():
    (example,) = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    scope = {}
    exec(example, scope)
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
