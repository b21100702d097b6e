"""Signals and probes in the loops of other people: bare JAX, Flax, Equinox, optax."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

import jaxloss

N, D, H, C = 32, 4, 8, 3
random = np.random.default_rng(0)
X = random.normal(size=(N, D)).astype(np.float32)
LABELS = np.minimum(random.integers(0, C, N), random.integers(0, C, N)).astype(np.int32)
PROBE = jaxloss.combine_probes(
    classes=jaxloss.class_gradients(C, full=True),
    sure=jaxloss.gradient_norms(jaxloss.by_confidence()),
)


def losses_of(logits, labels):
    return jaxloss.generalized_cross_entropy(logits, labels)


def check(signals, logits, grads, expected_grads):
    """Against the gradient of the sum with respect to the logits, and the plain one."""
    np.testing.assert_allclose(signals.logits, logits, rtol=1e-5, atol=1e-6)
    direct = jax.grad(lambda z: jnp.sum(losses_of(z, LABELS)))(logits)
    np.testing.assert_allclose(signals.logit_grads, direct, rtol=1e-4, atol=1e-6)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7),
        grads,
        expected_grads,
    )


def test_bare_jax():
    params = {
        "w": jnp.asarray(random.normal(size=(D, C)), jnp.float32),
        "b": jnp.zeros(C),
    }

    def apply(params, x):
        return x @ params["w"] + params["b"][None]

    def loss_fn(params, batch, tap):
        x, labels = batch
        logits = tap(apply(params, x), labels, features=x)
        return jnp.mean(losses_of(logits, labels))

    step = jax.jit(jaxloss.value_grad_and_signals(loss_fn))
    _, grads, signals = step(params, (X, LABELS))
    plain = jax.grad(lambda p: jnp.mean(losses_of(apply(p, X), LABELS)))(params)
    check(signals, apply(params, X), grads, plain)


def test_flax():
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.first = nnx.Linear(D, H, rngs=rngs)
            self.head = nnx.Linear(H, C, rngs=rngs)

        def __call__(self, x):
            features = nnx.relu(self.first(x))
            return self.head(features), features

    graph, params = nnx.split(Net(nnx.Rngs(0)))

    def loss_fn(params, x, labels, tap):
        logits, features = nnx.merge(graph, params)(x)
        logits = tap(logits, labels, features=features)
        return jnp.mean(losses_of(logits, labels))

    _, grads, signals = jax.jit(jaxloss.value_grad_and_signals(loss_fn))(
        params, X, LABELS
    )
    logits, features = nnx.merge(graph, params)(jnp.asarray(X))
    plain = jax.grad(
        lambda p: jnp.mean(losses_of(nnx.merge(graph, p)(jnp.asarray(X))[0], LABELS))
    )(params)
    check(signals, logits, grads, plain)
    np.testing.assert_allclose(signals.features, features, rtol=1e-5, atol=1e-6)


def test_equinox():
    net = eqx.nn.MLP(D, C, H, 1, key=jax.random.key(0))
    params, static = eqx.partition(net, eqx.is_inexact_array)

    def loss_fn(params, x, labels, tap):
        logits = tap(jax.vmap(eqx.combine(params, static))(x), labels)
        return jnp.mean(losses_of(logits, labels))

    _, grads, signals = jax.jit(jaxloss.value_grad_and_signals(loss_fn))(
        params, X, LABELS
    )
    x = jnp.asarray(X)
    plain = eqx.filter_grad(lambda net: jnp.mean(losses_of(jax.vmap(net)(x), LABELS)))(
        net
    )
    check(signals, jax.vmap(net)(x), grads, eqx.filter(plain, eqx.is_inexact_array))


def loss_fn(params, tap):
    return jnp.mean(losses_of(tap(X @ params, LABELS), LABELS))


def test_statistics_in_the_optimizer():
    """One more element of a chain; the updates are those without it."""
    with_probe = optax.chain(
        optax.clip_by_global_norm(1.0), jaxloss.observe(PROBE), optax.adam(0.1)
    )
    without = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1))
    params = jnp.asarray(random.normal(size=(D, C)), jnp.float32)

    @jax.jit
    def step(params, state, plain_state, seen):
        _, grads, signals = jaxloss.value_grad_and_signals(loss_fn)(params)
        updates, state = with_probe.update(grads, state, params, signals=signals)
        plain, plain_state = without.update(grads, plain_state, params)
        seen = PROBE.update(seen, signals)
        return (
            optax.apply_updates(params, updates),
            state,
            plain_state,
            seen,
            (updates, plain),
        )

    state, plain_state, seen = (
        with_probe.init(params),
        without.init(params),
        PROBE.init(),
    )
    for _ in range(3):
        params, state, plain_state, seen, (updates, plain) = step(
            params, state, plain_state, seen
        )
        np.testing.assert_array_equal(updates, plain)
    kept = optax.tree.get(state, "probe")
    jax.tree.map(np.testing.assert_array_equal, kept, seen)
    examples = PROBE.read(kept)["sure"].examples
    assert np.sum(examples) == 3 * N


def test_the_optimizer_asks_for_signals():
    optimizer = optax.chain(jaxloss.observe(PROBE), optax.sgd(0.1))
    params = jnp.zeros((D, C))
    with pytest.raises(TypeError, match="observe needs the keyword argument `signals`"):
        optimizer.update(params, optimizer.init(params), params)
