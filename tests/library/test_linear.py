"""The log-odds straight from the head against those of the logits, in float64."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import functools
import os
import pathlib
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

import jaxloss
from jaxloss import curves
from tests.library.golden import load

pytestmark = pytest.mark.usefixtures("quick_compilation")

ROOT = pathlib.Path(__file__).parents[2]
N, D, C = 9, 4, 23
random = np.random.default_rng(0)
H, W = random.normal(size=(N, D)), 3 * random.normal(size=(D, C))
BIAS, MARGIN = random.normal(size=C), random.normal(size=C)
LABELS = np.r_[0, C - 1, C - 2, 12, 11, 5, 6, 17, 18]
INPUTS = (H, W, BIAS, MARGIN)


def close(actual, expected, rtol=1e-11):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12),
        actual,
        expected,
    )


def fused(h, w, bias, margin, labels=LABELS, block=None):
    return jaxloss.linear_label_log_odds(
        h, w, labels, bias=bias, margin=margin, block=block
    )


def composed(h, w, bias, margin, labels=LABELS):
    return jaxloss.label_log_odds(h @ w + (bias + margin)[None], labels)


def total(log_odds, curve=curves.focal, **options):
    options = {"gamma": 2.0} if curve is curves.focal else options
    return lambda *inputs: jnp.sum(curve(log_odds(*inputs), **options))


@pytest.mark.parametrize("block", [1, 5, 6, C - 1, C, C + 1, None])
def test_any_block_gives_the_log_odds_of_the_logits(block):
    """Also one that does not divide the classes, with labels in the overlap."""

    def blocked(*inputs):
        return fused(*inputs, block=block)

    close(blocked(*INPUTS), composed(*INPUTS))
    grads = [jax.grad(total(f), range(4))(*INPUTS) for f in (blocked, composed)]
    close(*grads)


def test_gradients_are_differences():
    small = H[:2], W[:, :3], BIAS[:3], MARGIN[:3]

    def f(*inputs):
        return fused(*inputs, labels=np.array([0, 2]), block=2)

    check_grads(f, small, order=1, modes=["rev"], atol=1e-6, rtol=1e-6)


def test_the_normalizer():
    def of_head(h, w, bias, margin):
        u, log_z = jaxloss.linear_log_odds_and_normalizer(
            h, w, LABELS, bias=bias, margin=margin, block=5
        )
        return jnp.sum(curves.cross_entropy(u) + 0.1 * log_z**2), (u, log_z)

    def of_logits(h, w, bias, margin):
        z = h @ w + (bias + margin)[None]
        losses = jaxloss.cross_entropy(z, LABELS) + 0.1 * jaxloss.z_loss(z)
        parts = jaxloss.label_log_odds(z, LABELS), jax.nn.logsumexp(z, axis=-1)
        return jnp.sum(losses), parts

    close(
        *[
            jax.value_and_grad(f, range(4), has_aux=True)(*INPUTS)
            for f in (of_head, of_logits)
        ]
    )


CURVES = {
    "softmax_ce": lambda u, hyper: curves.cross_entropy(u),
    "gce": lambda u, hyper: curves.generalized_cross_entropy(u, q=hyper["q"]),
    "focal_softmax": lambda u, hyper: curves.focal(u, gamma=hyper["gamma"]),
    "encouraging": lambda u, hyper: curves.encouraging(u, log_end=hyper["log_end"]),
    "poly1": lambda u, hyper: curves.poly1(u, epsilon=hyper["eps"]),
    "mae": lambda u, hyper: curves.mean_absolute_error(u),
    "taylor_ce": lambda u, hyper: curves.taylor(u, order=hyper["order"]),
}


@functools.partial(jax.jit, static_argnums=(0, 1))
def through_identity(curve, fixed, z, labels, hyper, margin, offset):
    """Losses and gradient of the features, which are the logits; compiled by shape."""
    classes = z.shape[-1]

    def losses(z):
        u = jaxloss.linear_label_log_odds(
            z,
            jnp.eye(classes),
            labels,
            margin=margin,
            label_offset=offset,
            block=max(classes // 3, 1),
        )
        return curve(u, {**hyper, **dict(fixed)})

    found, pull = jax.vjp(losses, z)
    return found, pull(jnp.ones_like(found))[0]


def as_stored(case, found):
    expected = case.exact("loss"), case.exact("grad")
    for actual, wanted in zip(found, expected, strict=True):
        error = np.abs(actual - wanted) / np.maximum(1, np.abs(wanted))
        assert np.max(error) <= 1e-9


@pytest.mark.parametrize("name", CURVES)
def test_golden_curves_through_an_identity_kernel(name):
    for case in load(name, name):
        z, y = case["logits"], case["labels"]
        wanted = ("q", "gamma", "log_end", "eps")
        hyper = {k: v for k, v in case.hyper.items() if k in wanted}
        fixed = tuple((k, v) for k, v in case.hyper.items() if k == "order")
        none = np.zeros(z.shape[-1])
        as_stored(case, through_identity(CURVES[name], fixed, z, y, hyper, none, none))


@pytest.mark.parametrize("name", CURVES)
def test_curves_through_any_kernel(name):
    hyper = {"q": 0.6, "gamma": 1.5, "log_end": 0.75, "eps": 0.5, "order": 3}

    def of(log_odds):
        return lambda *inputs: jnp.sum(CURVES[name](log_odds(*inputs), hyper))

    def blocked(*inputs):
        return fused(*inputs, block=7)

    close(*[jax.value_and_grad(of(f), range(4))(*INPUTS) for f in (blocked, composed)])


@pytest.mark.parametrize("name", ["logit_adjustment", "gala_static"])
def test_golden_shifts_through_an_identity_kernel(name):
    losses = {"logit_adjustment": "logit_adjustment_loss", "gala_static": "gala_paper"}
    for case in load(name, losses[name]):
        z, y, hyper = case["logits"], case["labels"], case.hyper
        if name == "gala_static":
            column = hyper["lam1"] * np.log(case["theta"] + hyper["eps"])
            offset = hyper["lam2"] * np.log(case["phi"] + hyper["eps"]) - column
        else:
            log_prior = np.asarray(jaxloss.class_log_prior(case["class_counts"]))
            column = hyper["tau"] * log_prior if hyper["tau"] else 0 * case["logits"][0]
            offset = np.zeros_like(column)
        ce = CURVES["softmax_ce"]
        as_stored(case, through_identity(ce, (), z, y, {}, column, offset))


def test_extremes():
    for scale in (1e-4, 1e4):
        inputs = H, scale * W, scale * BIAS, scale * MARGIN
        close(fused(*inputs, block=5), composed(*inputs))
        for f in (fused, composed):
            grads = jax.grad(total(f), range(4))(*inputs)
            assert all(np.all(np.isfinite(g)) for g in grads)
    out = np.where(np.arange(C) % 3 == 1, -np.inf, MARGIN)
    labels = np.arange(N) * 3 % 21
    close(fused(H, W, BIAS, out, labels, 5), composed(H, W, BIAS, out, labels))

    def pulled(f):
        return jax.grad(total(lambda h, w: f(h, w, BIAS, out, labels)), (0, 1))(H, W)

    close(pulled(lambda *inputs: fused(*inputs, block=5)), pulled(composed))


def test_without_rivals():
    """One class, and all others ruled out: sure, and no gradient on anybody."""
    lonely = np.full(C, -np.inf)
    lonely[7] = 0
    for inputs, labels in (
        ((H, W[:, :1], BIAS[:1], MARGIN[:1]), np.zeros(N, int)),
        ((H, W, np.zeros(C), lonely), np.full(N, 7)),
    ):
        u = fused(*inputs, labels=labels, block=5)
        assert np.all(np.isposinf(u))
        loss = total(lambda h, w, i=inputs, y=labels: fused(h, w, *i[2:], y, 5))
        for grads in jax.grad(loss, (0, 1))(*inputs[:2]):
            assert np.all(grads == 0)


def test_labels_that_are_no_class():
    labels = np.r_[LABELS[:5], -1, C, -100, 2**40]

    def loss(h, w):
        u = fused(h, w, BIAS, MARGIN, labels, 5)
        return jnp.sum(curves.cross_entropy(u)), u

    (_, u), grads = jax.value_and_grad(loss, (0, 1), has_aux=True)(H, W)
    assert np.array_equal(np.isnan(u), np.arange(N) >= 5)
    kept = jax.grad(
        lambda h, w: jnp.sum(
            curves.cross_entropy(fused(h, w, BIAS, MARGIN, LABELS[:5], 5))
        ),
        (0, 1),
    )(H[:5], W)
    close(grads[0][:5], kept[0])
    close(grads[1], kept[1])
    assert np.all(grads[0][5:] == 0)


def test_empty_batch_and_any_batch_shape():
    u = jaxloss.linear_label_log_odds(np.zeros((0, D)), W, np.zeros(0, int), block=5)
    assert u.shape == (0,)
    grads = jax.grad(
        lambda w: jnp.sum(
            jaxloss.linear_label_log_odds(np.zeros((0, D)), w, np.zeros(0, int))
        )
    )(W)
    assert np.all(grads == 0)
    folded = fused(H.reshape(3, 3, D), W, BIAS, MARGIN, LABELS.reshape(3, 3), 5)
    close(folded.reshape(-1), fused(*INPUTS))


def test_transformations():
    expected = jax.value_and_grad(total(composed), range(4))(*INPUTS)
    plain = jax.value_and_grad(total(fused), range(4))
    remade = jax.value_and_grad(jax.checkpoint(total(fused)), range(4))
    several = tuple(np.stack([x, x]) for x in INPUTS)
    for f in (jax.jit(plain), jax.jit(remade)):
        close(f(*INPUTS), expected)
    for value in (0, 1):
        both = jax.tree.map(lambda x, i=value: x[i], jax.vmap(plain)(*several))
        close(both, expected)
    scanned = jax.lax.scan(lambda c, x: (c, plain(*x)), None, several)[1]
    close(jax.tree.map(lambda x: x[1], scanned), expected)


def test_forward_mode_is_refused():
    def f(h):
        return fused(h, W, BIAS, MARGIN)

    for mode in (lambda h: jax.jvp(f, (h,), (h,)), jax.jacfwd(f)):
        with pytest.raises(TypeError, match=r"label_log_odds\(features @ kernel"):
            mode(H)
    # Inside of `jit` JAX finds out later, and says so in its own words.
    with pytest.raises(TypeError, match="forward-mode"):
        jax.jvp(jax.jit(f), (H,), (H,))


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_summed_in_float32(dtype):
    h, w = jnp.asarray(H, dtype), jnp.asarray(W, dtype)
    wide = h.astype(np.float32), w.astype(np.float32)
    exact = jaxloss.linear_label_log_odds(*wide, LABELS, block=5)
    u = jaxloss.linear_label_log_odds(h, w, LABELS, block=5)
    assert u.dtype == dtype
    np.testing.assert_allclose(
        u.astype(np.float32), exact, rtol=2 * float(jnp.finfo(dtype).eps)
    )
    grads = jax.grad(
        lambda h, w: jnp.sum(
            jaxloss.linear_label_log_odds(h, w, LABELS, block=5).astype(np.float32)
        ),
        (0, 1),
    )
    for grad, full in zip(grads(h, w), grads(*wide), strict=True):
        assert grad.dtype == dtype
        error = np.abs(grad.astype(np.float32) - full)
        assert np.max(error) <= 4 * float(jnp.finfo(dtype).eps) * np.max(np.abs(full))


def test_many_examples_of_a_class_are_summed_in_float32():
    """In bfloat16 a sum would stop growing after 256 of them."""
    n = 4096
    h, w = jnp.ones((n, 1), jnp.bfloat16), jnp.zeros((1, 2), jnp.bfloat16)

    def loss(w):
        u = jaxloss.linear_label_log_odds(h, w, np.zeros(n, int), block=1)
        return jnp.sum(curves.cross_entropy(u.astype(np.float32)))

    assert np.array_equal(jax.grad(loss)(w), [[-n / 2, n / 2]])


def test_no_array_of_all_logits():
    """In the compiled module, and in the memory that it asks for."""
    n, d, classes = 512, 16, 20_000
    shapes = [
        jax.ShapeDtypeStruct(s, np.float32) for s in ((n, d), (d, classes), (classes,))
    ]
    labels = jax.ShapeDtypeStruct((n,), np.int32)

    def loss(h, w, bias, labels):
        u = jaxloss.linear_label_log_odds(h, w, labels, bias=bias)
        return jnp.mean(curves.encouraging(u, log_end=0.75))

    step = jax.jit(jax.value_and_grad(loss, (0, 1, 2)))
    compiled = step.lower(*shapes, labels).compile()
    text = compiled.as_text()
    assert text is not None
    sizes = [
        np.prod([int(x) for x in dims.split(",") if x])
        for dims in re.findall(r"[a-z]\d+\[([\d,]*)\]", text)
    ]
    assert max(sizes) <= max(d * classes, n * 8192) < n * classes
    memory = compiled.memory_analysis()
    assert memory is not None
    assert memory.temp_size_in_bytes < 33 * 2**20 < 4 * n * classes


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_resident_memory():
    """Of a fresh process, beyond inputs and outputs."""
    program = """
import pathlib, jax, jax.numpy as jnp, jaxloss
n, d, classes = 1024, 16, 100_000  # 410 MB of logits
h, w = jnp.ones((n, d)), jnp.ones((d, classes))
labels = jnp.arange(n) * 97
def loss(h, w):
    u = jaxloss.linear_label_log_odds(h, w, labels)
    return jnp.mean(jaxloss.curves.cross_entropy(u))
step = jax.jit(jax.value_and_grad(loss, (0, 1))).lower(h, w).compile()
def status(key):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith(key)) * 1024
before = status("VmRSS")
jax.block_until_ready(step(h, w))
print(status("VmHWM") - before - 4 * d * (n + classes))
"""
    # Without what pytest and the other tests have set: a user's process.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    found = subprocess.run(
        [sys.executable, "-c", program],
        check=True,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment,
    )
    assert int(found.stdout) < 100 * 2**20


def test_block_size():
    budget = 10**6
    for n, d, classes in ((64, 32, 10**6), (10_000, 128, 10**6), (10**9, 1, 10)):
        size = jaxloss.block_size(n, d, classes, budget=budget)
        assert 1 <= size <= classes
        assert size == 1 or size * 8 * (n + d) <= budget < (size + 17) * 8 * (n + d)
    assert jaxloss.block_size(0, 1, 7) == 7
    assert jaxloss.block_size(768, 256, 10**6) % 512  # would be 4096


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"kernel": W.T}, ValueError, "kernel must be"),
        ({"kernel": W[0]}, ValueError, "kernel must be"),
        ({"features": H.astype(int)}, TypeError, "features must be floating"),
        ({"labels": LABELS * 1.0}, TypeError, "labels must be integer"),
        ({"labels": LABELS[:, None]}, ValueError, "labels must have the shape"),
        ({"bias": BIAS[:3]}, ValueError, "bias must have shape"),
        ({"margin": MARGIN[None]}, ValueError, "margin must have shape"),
        ({"scale": BIAS[:3]}, ValueError, "scale must have shape"),
        ({"label_offset": BIAS[:3]}, ValueError, "label_offset must have shape"),
        ({"tap": BIAS[:3]}, ValueError, "tap must have shape"),
        ({"block": 0}, ValueError, "block must be at least 1"),
        ({"block": 2.5}, TypeError, "integer"),
    ],
)
def test_wrong_calls(change, error, words):
    arguments = {"features": H, "kernel": W, "labels": LABELS} | change
    with pytest.raises(error, match=words):
        jaxloss.linear_label_log_odds(**arguments)


def test_a_long_tail_is_learnt_through_it():
    """One line of loss, GCE on adjusted logits, step by step as through the logits."""
    classes, width, tau = 12, 6, 2.0  # tau = 1 / (1 - q)
    counts = np.geomspace(200, 2, classes).astype(int)
    y = np.repeat(np.arange(classes), counts)
    centres = 3 * np.random.default_rng(1).normal(size=(classes, width))
    h = centres[y] + np.random.default_rng(2).normal(size=(len(y), width))
    log_prior = jaxloss.class_log_prior(counts)

    def from_head(kernel):
        u = jaxloss.linear_label_log_odds(h, kernel, y, margin=tau * log_prior, block=5)
        return jnp.mean(curves.generalized_cross_entropy(u, q=0.5))

    def from_logits(kernel):
        z = jaxloss.adjust_logits(h @ kernel, log_prior=log_prior, tau=tau)
        return jnp.mean(jaxloss.generalized_cross_entropy(z, y, q=0.5))

    def train(loss):
        def step(kernel, _):
            value, grads = jax.value_and_grad(loss)(kernel)
            return kernel - 0.5 * grads, value

        return jax.lax.scan(step, jnp.zeros((width, classes)), length=100)

    (kernel, losses), expected = train(from_head), train(from_logits)
    close((kernel, losses), expected, rtol=1e-8)
    assert losses[-1] < losses[0] / 5
