"""Margins, scales, cosines, gradient sums, devices, predictions of the fused head."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import NamedSharding as Sharding
from jax.sharding import PartitionSpec as P
from jax.test_util import check_grads

import jaxloss
from jaxloss import curves
from tests.library.test_linear import BIAS, LABELS, MARGIN, C, H, N, W, close, random

pytestmark = pytest.mark.usefixtures("quick_compilation")

OFFSET, SCALE = random.normal(size=C), random.normal(size=C)
COUNTS = np.geomspace(500, 3, C)
LOG_PRIOR = np.log(COUNTS / COUNTS.sum())


def columns(w, scale, cosine):
    w = w / jnp.linalg.norm(w, axis=0, keepdims=True) if cosine else w
    return w * jnp.broadcast_to(jnp.asarray(scale), (C,))[None]


@pytest.mark.parametrize("cosine", [False, True])
def test_scales_cosines_and_offsets(cosine):
    """Against the logits written out, with the gradient of everything."""

    def of_head(h, w, scale, margin, offset):
        u, log_z = jaxloss.linear_log_odds_and_normalizer(
            h,
            w,
            LABELS,
            bias=BIAS,
            margin=margin,
            label_offset=offset,
            scale=scale,
            cosine=cosine,
            block=5,
        )
        return jnp.sum(curves.focal(u, gamma=2.0) + 0.1 * log_z**2)

    def of_logits(h, w, scale, margin, offset):
        h = h / jnp.linalg.norm(h, axis=1, keepdims=True) if cosine else h
        z = h @ columns(w, scale, cosine) + (BIAS + margin)[None]
        z = z.at[jnp.arange(N), LABELS].add(offset[LABELS])
        u = jaxloss.label_log_odds(z, LABELS)
        return jnp.sum(curves.focal(u, gamma=2.0) + 0.1 * jaxloss.z_loss(z))

    inputs = H, W, SCALE, MARGIN, OFFSET
    close(*(jax.value_and_grad(f, range(5))(*inputs) for f in (of_head, of_logits)))


def test_gradients_of_cosines_are_differences():
    def f(h, w, scale):
        return jaxloss.linear_label_log_odds(
            h, w, np.array([0, 2]), scale=scale, cosine=True, block=2
        )

    small = H[:2], W[:, :3], SCALE[:3]
    check_grads(f, small, order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


def test_cosines_of_zeros():
    h, w = np.where(np.arange(N)[:, None] == 2, 0, H), W * (np.arange(C) != 12)

    def f(h, w):
        return jnp.sum(jaxloss.linear_label_log_odds(h, w, LABELS, cosine=True))

    value, grads = jax.value_and_grad(f, (0, 1))(h, w)
    assert np.isfinite(value)
    assert all(np.all(np.isfinite(g)) for g in grads)
    assert np.all(grads[0][2] == 0) and np.all(grads[1][:, 12] == 0)


# Losses whose margins are a row plus a column, in their own words and in the head's.
THETA, PHI = 50 * random.random(C), 50 * random.random(C)
LDAM = 0.5 * (COUNTS.min() / COUNTS) ** 0.25
SHIFTS = {
    "logit adjustment": (
        lambda z: jaxloss.logit_adjusted_cross_entropy(
            z, LABELS, log_prior=LOG_PRIOR, tau=1.5
        ),
        {"margin": 1.5 * LOG_PRIOR},
    ),
    "LDAM": (
        lambda z: jaxloss.ldam(z, LABELS, counts=COUNTS, max_margin=0.5, scale=7.0),
        {"scale": 7.0, "label_offset": -7 * LDAM},
    ),
    "vector scaling": (
        lambda z: jaxloss.vector_scaling(z, LABELS, counts=COUNTS, tau=1.2, gamma=0.3),
        {"scale": (COUNTS / COUNTS.max()) ** 0.3, "margin": 1.2 * LOG_PRIOR},
    ),
    "GALA": (
        lambda z: jaxloss.gala(z, LABELS, positive=THETA, negative=PHI, lambda2=0.7),
        jaxloss.gala_margins(positive=THETA, negative=PHI, lambda2=0.7)._asdict(),
    ),
    "CosFace": (
        lambda z: jaxloss.cosface(z, LABELS, margin=0.2, scale=9.0),
        {"scale": 9.0, "label_offset": np.full(C, -9 * 0.2)},
    ),
}


@pytest.mark.parametrize("name", SHIFTS)
def test_shifts_are_a_row_and_a_column(name):
    loss, options = SHIFTS[name]

    def of_head(h, w):
        u = jaxloss.linear_label_log_odds(h, w, LABELS, block=5, **options)
        return curves.cross_entropy(u)

    close(of_head(H, W), loss(H @ W))
    grads = [
        jax.grad(lambda h, w, f=f: jnp.sum(f(h, w)), (0, 1))(H, W)
        for f in (of_head, lambda h, w: loss(h @ w))
    ]
    close(*grads)


def test_what_classes_receive():
    """The tap's gradient, against the statistics of materialised logits."""

    def losses(u):
        return jnp.sum(
            curves.symmetric_cross_entropy(u, alpha=0.1, beta=1.0, log_zero=-4.0)
        )

    def of_head(tap):
        u = jaxloss.linear_label_log_odds(H, W, LABELS, bias=BIAS, tap=tap, block=5)
        return losses(u)

    z = H @ W + BIAS[None]
    grads = jax.grad(lambda z: losses(jaxloss.label_log_odds(z, LABELS)))(z)
    probe = jaxloss.class_gradients(C)
    state = probe.update(probe.init(), jaxloss.Signals(z, LABELS, grads))
    close(jax.grad(of_head)(jnp.zeros(C)), probe.read(state).received)


@pytest.mark.parametrize("variant", ["paper", "released", "released_once"])
def test_gala_runs_along_without_logits(variant):
    """Three steps of margins and sums, as with the logits."""
    objective = jaxloss.gala_objective(C, variant=variant, decay=0.9)
    curve = objective.curve
    assert curve is not None
    with_logits = without = objective.init()
    signals = None
    for i in range(3):
        w = W + 0.3 * i

        def losses(z, state=with_logits):
            return jnp.sum(objective.loss(state, z, LABELS, None))

        def of_head(zero, w=w, state=without):
            margins = objective.margins(state)._asdict()
            u = jaxloss.linear_label_log_odds(H, w, LABELS, block=5, **margins) + zero
            return jnp.sum(curve(u)), u

        expected, grads = jax.value_and_grad(losses)(H @ w)
        (found, u), slopes = jax.value_and_grad(of_head, has_aux=True)(jnp.zeros(N))
        close(found, expected)
        with_logits = objective.update(
            with_logits, jaxloss.Signals(H @ w, LABELS, grads)
        )
        signals = jaxloss.HeadSignals(LABELS, u, slopes)
        without = objective.update(without, signals)
        close(without, with_logits)
    full = jaxloss.gala_objective(C, full=True)
    with pytest.raises(ValueError, match="every logit"):
        full.update(full.init(), signals)


@pytest.mark.parametrize("shape", [(1, 4), (2, 4), (4, 2)])
def test_sharded_is_the_same(shape):
    """Classes over one axis of devices, examples over the other."""
    n, d, classes = 8, 3, 24
    h, w = random.normal(size=(n, d)), random.normal(size=(d, classes))
    bias, scale = random.normal(size=classes), random.normal(size=classes)
    labels = np.r_[0, 5, 6, 11, 12, 23, -1, 17]
    zeros = np.zeros(classes)
    mesh = jax.make_mesh(shape, ("data", "model"), axis_types=(AxisType.Auto,) * 2)

    def loss(h, w, bias, scale, tap, mesh=None):
        u, log_z = jaxloss.linear_log_odds_and_normalizer(
            h,
            w,
            labels,
            bias=bias,
            scale=scale,
            tap=tap,
            cosine=True,
            block=5,
            mesh=mesh,
        )
        losses = curves.generalized_cross_entropy(u, q=0.7) + 0.1 * log_z**2
        return jnp.sum(jnp.where(labels >= 0, losses, 0)), u

    def run(mesh, *inputs):
        bound = functools.partial(loss, mesh=mesh)
        step = jax.value_and_grad(bound, range(5), has_aux=True)
        return jax.jit(step)(*inputs)

    by_class = Sharding(mesh, P("model"))
    placed = (
        jax.device_put(h, Sharding(mesh, P("data"))),
        jax.device_put(w, Sharding(mesh, P(None, "model"))),
        *(jax.device_put(x, by_class) for x in (bias, scale, zeros)),
    )
    found = run(mesh, *placed)
    expected = run(None, h, w, bias, scale, zeros)
    close(found, expected)
    assert found[1][1].sharding.spec == P(None, "model")


def test_what_a_sharded_head_exchanges():
    """One maximum and one sum of the examples, nothing with a class axis."""
    mesh = jax.make_mesh((8,), ("model",), axis_types=(AxisType.Auto,))
    n, d, classes = 16, 4, 64

    def log_odds(h, w, labels):
        return jaxloss.linear_label_log_odds(
            h, w, labels, mesh=mesh, axes=(None, "model")
        )

    placed = jax.ShapeDtypeStruct(
        (d, classes), np.float32, sharding=Sharding(mesh, P(None, "model"))
    )
    text = str(
        jax.make_jaxpr(log_odds)(
            jax.ShapeDtypeStruct((n, d), np.float32),
            placed,
            jax.ShapeDtypeStruct((n,), np.int32),
        )
    )
    assert text.count("pmax") == 1
    assert text.count("psum") == 1
    compiled = (
        jax.jit(log_odds)
        .lower(
            jax.ShapeDtypeStruct((n, d), np.float32),
            placed,
            jax.ShapeDtypeStruct((n,), np.int32),
        )
        .compile()
        .as_text()
    )
    assert compiled is not None
    assert "all-gather" not in compiled


def test_sizes_that_a_mesh_does_not_divide():
    mesh = jax.make_mesh((2, 4), ("data", "model"), axis_types=(AxisType.Auto,) * 2)
    for n, c, axes, words in (
        (8, 23, ("data", "model"), "23 classes"),
        (9, 24, ("data", "model"), "9 examples"),
        (8, 24, ("data", "classes"), "no axis 'classes'"),
    ):
        with pytest.raises(ValueError, match=words):
            jaxloss.linear_label_log_odds(
                np.ones((n, 2)),
                np.ones((2, c)),
                np.zeros(n, int),
                mesh=mesh,
                axes=axes,
            )


@pytest.mark.parametrize("block", [1, 4, 5, C, None])
@pytest.mark.parametrize("k", [1, 3, C])
def test_top_k(block, k):
    options = {"bias": BIAS, "margin": -0.7 * LOG_PRIOR, "scale": SCALE, "cosine": True}
    found = jaxloss.linear_top_k(H, W, k, block=block, **options)
    h = H / np.linalg.norm(H, axis=1, keepdims=True)
    z = h @ columns(W, SCALE, True) + (BIAS - 0.7 * LOG_PRIOR)[None]
    close(found, tuple(jax.lax.top_k(jnp.asarray(z), k)))


def test_top_k_of_ties_and_of_classes_that_are_out():
    margin = np.where(np.arange(6) == 3, 0, -np.inf)
    h = np.ones((2, 1, 1))
    values, ids = jaxloss.linear_top_k(h, np.ones((1, 6)), 3, block=2)
    assert np.array_equal(ids, np.broadcast_to([0, 1, 2], (2, 1, 3)))
    values, ids = jaxloss.linear_top_k(h, np.ones((1, 6)), 2, margin=margin, block=4)
    assert np.array_equal(ids, np.broadcast_to([3, -1], (2, 1, 2)))
    assert np.array_equal(values, np.broadcast_to([1, -np.inf], (2, 1, 2)))
    assert jaxloss.linear_top_k(h[:0], np.ones((1, 6)), 2)[1].shape == (0, 1, 2)
    for k in (0, 7):
        with pytest.raises(ValueError, match="k must be in"):
            jaxloss.linear_top_k(h, np.ones((1, 6)), k)
