"""jit, vmap, scan and checkpoint give the same numbers for every loss."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from tests.library.catalogue import CASES, POINTS, all_losses, both, mixed_logits

pytestmark = pytest.mark.slow

Z, LABELS = mixed_logits((8, 10)), np.arange(8)


def summed(case):
    def loss(z, labels):
        losses = case(z, labels)
        return jnp.sum(losses), losses

    return loss


def gradients(case):
    """What the transformed ones are compared with."""
    losses, grads = both(case, Z, LABELS)
    return grads, losses


def close(actual, expected):
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-14)


@all_losses
def test_jit_vmap_scan_and_checkpoint(case, quick_compilation):
    """In one program, for compilation is what takes the time."""
    remade = jax.grad(jax.checkpoint(summed(case)), has_aux=True)

    @jax.jit
    def transformed(z, labels):
        groups = z.reshape(2, 4, 10), labels.reshape(2, 4)

        def total(z):
            losses = jax.vmap(case)(z, labels)
            return jnp.sum(losses), losses

        return {
            "grad of vmap": jax.grad(total, has_aux=True)(z),
            "scan of vmap of grad of checkpoint": jax.lax.scan(
                lambda carry, group: (carry, jax.vmap(remade)(*group)), (), groups
            )[1],
        }

    expected = gradients(case)
    for grads, losses in transformed(Z, LABELS).values():
        close((grads.reshape(8, 10), losses.reshape(8)), expected)


@pytest.mark.parametrize(
    "case", [case for case in POINTS if case.hyper], ids=lambda case: case.name
)
def test_a_sweep_is_a_vmap(case):
    hypers = case.hypers(10)
    several = {name: np.stack([v, 0.9 * v]) for name, v in hypers.items()}
    sweep = jax.jit(jax.vmap(lambda hypers: case.loss(Z, LABELS, **hypers)))(several)
    np.testing.assert_allclose(sweep[0], both(case, Z, LABELS)[0], rtol=1e-12)
    weaker = case.expected(Z, LABELS, **{k: v[1] for k, v in several.items()})[0]
    np.testing.assert_allclose(sweep[1], weaker, rtol=1e-11, atol=1e-13)


def test_vmap_of_the_logits_alone_or_the_labels_alone():
    loss = jaxloss.cross_entropy
    several = np.stack([Z, Z + np.arange(10.0)])
    expected = [loss(z, LABELS) for z in several]
    actual = jax.vmap(loss, (0, None))(several, LABELS)
    np.testing.assert_allclose(actual, np.stack(expected), rtol=1e-12)
    labels = np.stack([LABELS, LABELS[::-1]])
    expected = [loss(Z, y) for y in labels]
    actual = jax.vmap(loss, (None, 0))(Z, labels)
    np.testing.assert_allclose(actual, np.stack(expected), rtol=1e-12)
    last = jax.vmap(loss, (2, 0))(np.moveaxis(several, 0, 2), labels)
    np.testing.assert_allclose(last[1], loss(several[1], labels[1]), rtol=1e-12)


def test_one_trace_per_shape():
    @jax.jit
    @chex.assert_max_traces(n=2)
    def loss(z, labels, q):
        return jaxloss.generalized_cross_entropy(z, labels, q=q)

    for q in (0.1, 0.5, 1.0):
        for size in (8, 4):
            loss(Z[:size], LABELS[:size], q)


def test_vmap_keeps_the_fast_path_apart():
    """A `cond` under vmap becomes a select that computes both branches; batching rules
    of our own keep it."""
    grad = jax.vmap(jax.grad(CASES["cross_entropy"]))
    text = jax.jit(grad).lower(Z, LABELS).compile().as_text()
    assert re.search(r"= .* conditional\(", str(text))


FOR_THE_BACKWARD_PASS = [
    "cross_entropy",
    "focal",
    "gce",
    "truncated_gce",
    "mae",
    "encouraging",
    "poly1",
    "taylor",
    "symmetric",
    "logit_adjusted",
    "gala",
    "ldam",
    "vector_scaling",
    "equalization",
    "cosface",
    "arcface",
]


@pytest.mark.parametrize("name", FOR_THE_BACKWARD_PASS)
def test_one_array_of_the_size_of_the_logits_is_kept(name):
    """Measured on what is compiled: no one-hot array, no second copy."""
    n, c = 256, 512
    z, labels = jnp.zeros((n, c), jnp.float32), jnp.zeros(n, jnp.int32)
    forward = jax.jit(lambda z: jax.vjp(lambda z: CASES[name](z, labels), z)[1])
    memory = forward.lower(z).compile().memory_analysis()
    assert memory is not None
    assert memory.output_size_in_bytes <= 1.05 * z.nbytes
