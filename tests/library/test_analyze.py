"""The probes over saved arrays."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import io

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss

N, C, D = 70, 5, 4
random = np.random.default_rng(0)
Z = random.normal(size=(N, C))
LABELS = random.integers(0, C, N)
FEATURES, KERNEL = random.normal(size=(N, D)), random.normal(size=(D, C))
TAIL = jaxloss.by_class(np.array([0, 0, 1, 1, 2]))


def close(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-10), a, b)


@pytest.mark.parametrize("batch_size", [1, 32, 1024])
def test_analyze_is_one_batch(batch_size):
    file = io.BytesIO()  # as saved by whatever framework
    np.savez(file, logits=Z, labels=LABELS, features=FEATURES, kernel=KERNEL)
    file.seek(0)
    found = jaxloss.analyze(
        **np.load(file), loss=jaxloss.focal, groups=TAIL, batch_size=batch_size
    )
    grads = jax.grad(lambda z: jnp.sum(jaxloss.focal(z, LABELS)))(Z)
    signals = jaxloss.Signals(Z, LABELS, grads, np.arange(N), FEATURES)

    def read(probe):
        return probe.read(probe.update(probe.init(), signals))

    means = read(jaxloss.feature_means(C, D))
    expected = {
        "class_gradients": read(jaxloss.class_gradients(C, full=True)),
        "gradient_norms": read(jaxloss.gradient_norms(TAIL)),
        "confidence": read(jaxloss.gradient_norms(jaxloss.by_confidence())),
        "log_odds": read(jaxloss.log_odds_histogram(TAIL)),
        "feature_means": means,
        "head_gradients": read(jaxloss.head_gradients(TAIL, D, C)),
        "class_vectors": jaxloss.class_vectors(KERNEL, feature_means=means.mean),
    }
    assert found.keys() == expected.keys()
    close(found, expected)
    assert all(isinstance(leaf, np.ndarray) for leaf in jax.tree.leaves(found))


def test_analyze_with_the_least():
    found = jaxloss.analyze(Z, LABELS)
    assert found.keys() == {
        "class_gradients",
        "gradient_norms",
        "confidence",
        "log_odds",
    }
    assert found["gradient_norms"].mean.shape == (C,)
    counts = np.bincount(LABELS)
    vectors = jaxloss.analyze(
        Z, LABELS, kernel=KERNEL, log_prior=jaxloss.class_log_prior(counts)
    )["class_vectors"]
    norms = np.linalg.norm(KERNEL, axis=0)
    close(vectors.norm, norms)
    close(vectors.prior_correlation, np.corrcoef(norms, np.log(counts))[0, 1])
    assert vectors.alignment is None


def test_analyze_with_a_probe_of_your_own():
    each = jaxloss.gradient_norms(jaxloss.by_example(np.arange(N)))
    found = jaxloss.analyze(Z, LABELS, probe=each, batch_size=16)
    grads = jax.grad(lambda z: jnp.sum(jaxloss.cross_entropy(z, LABELS)))(Z)
    close(found["probe"].mean, np.linalg.norm(grads, axis=1))


@pytest.mark.parametrize(
    ("change", "error", "words"),
    [
        ({"labels": LABELS[:-1]}, ValueError, "labels must have as many rows"),
        ({"labels": np.eye(C)[LABELS]}, TypeError, "pass labels.argmax"),
        ({"labels": np.r_[LABELS[:-1], C]}, ValueError, r"got 5 at 69 \(1 are not\)"),
        ({"logits": Z.astype(int)}, TypeError, "logits must be floating"),
        ({"logits": Z[None], "labels": LABELS[None]}, ValueError, "examples, classes"),
        ({"features": FEATURES[1:]}, ValueError, "features must have as many rows"),
        ({"kernel": KERNEL.T, "features": FEATURES}, ValueError, "feature_means must"),
        ({"log_prior": np.zeros(3), "kernel": KERNEL}, ValueError, "log_prior must"),
    ],
)
def test_wrong_arrays(change, error, words):
    with pytest.raises(error, match=words):
        jaxloss.analyze(**{"logits": Z, "labels": LABELS} | change)
