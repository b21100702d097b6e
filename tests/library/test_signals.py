"""The gradient of the logits, from the backward pass that training makes anyway."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

N, D, H, C = 16, 4, 6, 5
random = np.random.default_rng(0)
PARAMS = {
    "first": jnp.asarray(random.normal(size=(D, H))),
    "head": jnp.asarray(random.normal(size=(H, C))),
}
X = jnp.asarray(random.normal(size=(N, D)))
LABELS = jnp.asarray(random.integers(0, C, N))


def apply(params, x):
    h = jax.nn.relu(x @ params["first"])
    return h, h @ params["head"]


def loss_fn(params, x, labels, tap, *, tempered=1.0):
    h, logits = apply(params, x)
    logits = tap(logits, labels, features=h, index=jnp.arange(len(x)))
    losses = jaxloss.generalized_cross_entropy(logits * tempered, labels)
    return jnp.mean(losses)


def plain(params, x, labels):
    losses = jaxloss.generalized_cross_entropy(apply(params, x)[1], labels)
    return jnp.mean(losses)


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12), a, b)


def expected_signals(tempered=1.0):
    h, logits = apply(PARAMS, X)
    grads = jax.grad(
        lambda z: jnp.sum(jaxloss.generalized_cross_entropy(z * tempered, LABELS))
    )(logits)
    return jaxloss.Signals(logits, LABELS, grads, jnp.arange(N), h)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_value_grad_and_signals(transform):
    step = transform(jaxloss.value_grad_and_signals(loss_fn))
    value, grads, signals = step(PARAMS, X, LABELS)
    close((value, grads), jax.value_and_grad(plain)(PARAMS, X, LABELS))
    close(signals, expected_signals())
    close(step(PARAMS, X, LABELS, tempered=0.5)[2], expected_signals(0.5))


def test_over_seeds():
    stacked = jax.tree.map(lambda x: jnp.stack([x, 2 * x]), PARAMS)
    step = jaxloss.value_grad_and_signals(loss_fn)
    _, _, signals = jax.vmap(step, (0, None, None))(stacked, X, LABELS)
    assert signals.logit_grads.shape == (2, N, C)
    close(signals.logit_grads[0], expected_signals().logit_grads)


def test_aux_and_divisor():
    mask = np.arange(N) < 10

    def masked(params, tap):
        logits = tap(apply(params, X)[1], LABELS, divisor=np.sum(mask))
        losses = jaxloss.generalized_cross_entropy(logits, LABELS)
        return jaxloss.masked_mean(losses, where=mask), {"seen": jnp.sum(mask)}

    step = jaxloss.value_grad_and_signals(masked, has_aux=True)
    (_, aux), _, signals = step(PARAMS)
    assert aux["seen"] == 10
    close(signals.logit_grads, np.where(mask[:, None], expected_signals()[2], 0))


def dots(function, *args):
    """Matrix products of the compiled program."""
    text = jax.jit(function).lower(*args).compile().as_text()
    assert text is not None
    return text.count(" dot(")


def test_no_second_backward_pass():
    probes = jaxloss.combine_probes(
        classes=jaxloss.class_gradients(C, full=True),
        norms=jaxloss.gradient_norms(jaxloss.by_confidence()),
        odds=jaxloss.log_odds_histogram(),
        features=jaxloss.feature_means(C, H),
    )

    def with_probes(state, params):
        step = jaxloss.value_grad_and_signals(loss_fn)
        value, grads, signals = step(params, X, LABELS)
        return value, grads, probes.update(state, signals)

    def without(params):
        return jax.value_and_grad(plain)(params, X, LABELS)

    products = dots(without, PARAMS)
    assert products == 2 + 3  # forward; backward, but for the inputs' gradient
    assert dots(with_probes, probes.init(), PARAMS) == products


def test_half_precision_keeps_its_dtype():
    half = jax.tree.map(lambda x: x.astype(jnp.bfloat16), (PARAMS, X))
    signals = jaxloss.value_grad_and_signals(loss_fn)(*half, LABELS)[2]
    assert signals.logits.dtype == signals.logit_grads.dtype == jnp.bfloat16


def test_loss_functions_that_do_not_tap():
    def never(params, tap):
        return plain(params, X, LABELS)

    def twice(params, tap):
        logits = tap(tap(apply(params, X)[1], LABELS), LABELS)
        return jnp.mean(jaxloss.cross_entropy(logits, LABELS))

    def one_hot(params, tap):
        return jnp.mean(tap(apply(params, X)[1], jax.nn.one_hot(LABELS, C)))

    with pytest.raises(ValueError, match="never called tap"):
        jaxloss.value_grad_and_signals(never)(PARAMS)
    with pytest.raises(ValueError, match="called twice"):
        jaxloss.value_grad_and_signals(twice)(PARAMS)
    with pytest.raises(TypeError, match="labels must be integer class ids"):
        jaxloss.value_grad_and_signals(one_hot)(PARAMS)
