"""Losses on a mesh: the same numbers, and the logits stay where they are."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jaxloss
from tests.library.catalogue import CASES, POINTS, mixed_logits

pytestmark = pytest.mark.slow

N, C = 16, 24
Z, LABELS = mixed_logits((N, C)), np.arange(N)
SPECS = {
    "batch": PartitionSpec(("data", "model"), None),
    "classes": PartitionSpec(None, ("data", "model")),
    "both": PartitionSpec("data", "model"),
}
ALL_GATHER = re.compile(r"= \(?\w+\[([\d,]*)\]\S* all-gather")


def mesh(kind):
    return jax.make_mesh((2, 4), ("data", "model"), axis_types=(kind,) * 2)


def losses_and_grads(case):
    def both(z, labels):
        losses, pull = jax.vjp(lambda z: case(z, labels), z)
        return losses, pull(jnp.ones_like(losses))[0]

    return jax.jit(both)


def placed(kind, spec):
    on = mesh(kind)
    z = jax.device_put(Z, NamedSharding(on, spec))
    labels = jax.device_put(LABELS, NamedSharding(on, PartitionSpec(spec[0])))
    return on, z, labels


def close(case, losses, grads):
    expected, slopes = case.expected(Z, LABELS)
    np.testing.assert_allclose(losses, expected, rtol=1e-11, atol=1e-13)
    np.testing.assert_allclose(grads, slopes, rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("case", POINTS, ids=CASES)
def test_every_loss_on_both_axes(case):
    _, z, labels = placed(AxisType.Auto, SPECS["both"])
    compiled = losses_and_grads(case).lower(z, labels).compile()
    close(case, *compiled(z, labels))
    assert not gathered_logits(compiled)


def gathered_logits(compiled):
    """Shapes of all-gathers that hold a whole row of classes for several examples."""
    shapes = ALL_GATHER.findall(compiled.as_text())
    sizes = [np.prod([int(n) for n in s.split(",") if n]) for s in shapes]
    return [s for s, size in zip(shapes, sizes, strict=True) if size >= N * C // 2]


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("name", ["cross_entropy", "gce", "gala"])
def test_auto_axes(name, spec):
    _, z, labels = placed(AxisType.Auto, spec)
    compiled = losses_and_grads(CASES[name]).lower(z, labels).compile()
    losses, grads = compiled(z, labels)
    close(CASES[name], losses, grads)
    assert not gathered_logits(compiled)


def test_an_all_gather_would_be_seen():
    on, z, _ = placed(AxisType.Auto, SPECS["both"])
    everywhere = NamedSharding(on, PartitionSpec())
    whole = jax.jit(lambda z: z + 1, out_shardings=everywhere)
    assert gathered_logits(whole.lower(z).compile())


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
@pytest.mark.parametrize("name", ["cross_entropy", "gala"])
def test_explicit_axes(name, spec):
    on, z, labels = placed(AxisType.Explicit, spec)
    with jax.set_mesh(on):
        losses, grads = losses_and_grads(CASES[name])(z, labels)
    close(CASES[name], losses, grads)
    assert jax.typeof(grads).sharding.spec == spec


PROBES = {
    "class_gradients": lambda: jaxloss.class_gradients(C, full=True),
    "gradient_norms": lambda: jaxloss.gradient_norms(jaxloss.by_confidence()),
    "log_odds_histogram": lambda: jaxloss.log_odds_histogram(jaxloss.by_label(C)),
    "feature_means": lambda: jaxloss.feature_means(C, 3),
    "head_gradients": lambda: jaxloss.head_gradients(jaxloss.by_confidence(), 3, C),
}


@pytest.mark.parametrize("make", PROBES.values(), ids=PROBES)
@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_statistics_of_a_sharded_batch(make, spec):
    probe = make()
    on, z, labels = placed(AxisType.Auto, spec)
    rows = NamedSharding(on, PartitionSpec(spec[0], None))
    features = np.random.default_rng(0).normal(size=(N, 3))
    grads = np.random.default_rng(1).normal(size=(N, C))
    whole = jaxloss.Signals(Z, jnp.asarray(LABELS), grads, features=features)
    parts = jaxloss.Signals(
        z,
        labels,
        jax.device_put(grads, z.sharding),
        features=jax.device_put(features, rows),
    )
    update = jax.jit(probe.update)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-15),
        update(probe.init(), parts),
        update(probe.init(), whole),
    )
