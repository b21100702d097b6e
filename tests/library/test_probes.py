"""Gradient statistics against loops in numpy."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false, reportOptionalSubscript=false
# pyright: reportOptionalMemberAccess=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from tests.library.catalogue import mixed_logits

N, C, D = 24, 5, 3
random = np.random.default_rng(0)
Z, GRADS = mixed_logits((N, C)), random.normal(size=(N, C))
LABELS = np.minimum(random.integers(0, C, N), random.integers(0, C, N))
FEATURES = random.normal(size=(N, D))
SIGNALS = jaxloss.Signals(Z, LABELS, GRADS, np.arange(N), FEATURES)
MEMBER = random.integers(0, 3, N)


def part(start, stop):
    return jaxloss.Signals(*(x[start:stop] for x in SIGNALS))


def after(probe, *batches):
    state = probe.init()
    for batch in batches:
        state = probe.update(state, batch)
    return probe.read(state)


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-12, atol=1e-15)


def matrix_of(labels=LABELS, grads=GRADS):
    matrix = np.zeros((C, C))
    for row, y in zip(np.abs(grads), labels, strict=True):
        if 0 <= y < C:
            matrix[y] += row
    return matrix


def check_classes(found, matrix):
    own = np.diag(matrix)
    close(found.positive, own)
    close(found.received, np.sum(matrix, axis=0) - own)
    close(found.caused, np.sum(matrix, axis=1) - own)
    close(found.gradient_ratio, own / (np.sum(matrix, axis=0) - own))


def test_class_gradients():
    found = after(jaxloss.class_gradients(C, full=True), SIGNALS)
    check_classes(found, matrix_of())
    close(found.matrix, matrix_of())
    assert after(jaxloss.class_gradients(C), SIGNALS).matrix is None


def test_a_window_forgets():
    matrices = [matrix_of(LABELS[i : i + 8], GRADS[i : i + 8]) for i in (0, 8, 16)]
    probe = jaxloss.class_gradients(C, full=True, decay=0.5)
    found = after(probe, part(0, 8), part(8, 16), part(16, 24))
    expected = matrices[0] / 4 + matrices[1] / 2 + matrices[2]
    check_classes(found, expected)
    close(found.matrix, expected)


@pytest.mark.parametrize("decay", [0, -1, 1.5])
def test_windows_that_are_none(decay):
    with pytest.raises(ValueError, match=r"decay must be in \(0, 1\]"):
        jaxloss.class_gradients(C, decay=decay)


def test_a_small_remainder_is_exact():
    """The negative gradient of a class with nearly all of the mass."""
    probe = jaxloss.class_gradients(2)
    grads = np.array([[-1.0, 1.0], [1e-12, -1e-12]], np.float32) * 1e3
    signals = jaxloss.Signals(np.zeros((2, 2), np.float32), np.array([0, 1]), grads)
    np.testing.assert_allclose(
        after(probe, signals).received, [1e-9, 1e3], rtol=1e-6, atol=0
    )


def test_softmax_losses_push_as_much_as_they_pull():
    for loss in (jaxloss.cross_entropy, jaxloss.focal, jaxloss.encouraging):
        grads = jax.grad(lambda z, loss=loss: jnp.sum(loss(z, LABELS)))(Z)
        found = after(jaxloss.class_gradients(C), jaxloss.Signals(Z, LABELS, grads))
        np.testing.assert_allclose(found.positive, found.caused, rtol=1e-9)


PROBES = {
    "class_gradients": lambda decay=1.0: jaxloss.class_gradients(
        C, full=True, decay=decay
    ),
    "norms": lambda decay=1.0: jaxloss.gradient_norms(
        jaxloss.by_example(MEMBER), decay=decay
    ),
    "histogram": lambda decay=1.0: jaxloss.log_odds_histogram(
        jaxloss.by_label(C), bins=6, decay=decay
    ),
    "feature_means": lambda decay=1.0: jaxloss.feature_means(C, D, decay=decay),
    "head": lambda decay=1.0: jaxloss.head_gradients(
        jaxloss.by_confidence(), D, C, decay=decay
    ),
}
PROBES["combined"] = lambda decay=1.0: jaxloss.combine_probes(
    a=PROBES["norms"](decay), b=PROBES["head"](decay)
)
all_probes = pytest.mark.parametrize("make", PROBES.values(), ids=PROBES)


def assert_same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, rtol=1e-12), a, b)


@all_probes
def test_shards_add_up(make):
    """Each with its part of every batch, and with a window."""
    probe = make(0.75)
    whole = probe.update(probe.update(probe.init(), part(0, 12)), part(12, 24))
    left, right = (
        probe.update(probe.update(probe.init(), part(i, i + 6)), part(j, j + 6))
        for i, j in ((0, 12), (6, 18))
    )
    assert_same(jaxloss.merge_probe_states(left, right), whole)


@all_probes
def test_microbatches_add_up(make):
    probe = make()
    parts = [probe.update(probe.init(), part(i, i + 8)) for i in (0, 8, 16)]
    whole = probe.update(probe.init(), SIGNALS)
    assert_same(jaxloss.merge_probe_states(*parts), whole)


@all_probes
def test_padding_counts_nowhere(make):
    probe = make()
    labels = np.r_[LABELS, -1, C, 2**40]
    padded = jaxloss.Signals(
        np.r_[Z, np.ones((3, C))],
        labels,
        np.r_[GRADS, np.zeros((3, C))],
        np.r_[np.arange(N), N, -1, 10**6],
        np.r_[FEATURES, np.full((3, D), 7.0)],
    )
    assert_same(after(probe, padded), after(probe, SIGNALS))


@all_probes
def test_any_batch_shape(make):
    probe = make()
    folded = jaxloss.Signals(*(x.reshape(4, 6, *x.shape[1:]) for x in SIGNALS))
    assert_same(after(probe, folded), after(probe, SIGNALS))


@all_probes
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float32, jnp.float64])
def test_state_is_a_scan_carry(make, dtype):
    probe = make(0.9)
    batch = SIGNALS._replace(
        **{
            name: jnp.asarray(getattr(SIGNALS, name), dtype)
            for name in ("logits", "logit_grads", "features")
        }
    )
    start = probe.init()

    def steps(state):
        return jax.lax.scan(lambda s, _: (probe.update(s, batch), None), state, None, 3)

    end = jax.eval_shape(lambda s: steps(s)[0], start)
    for a, b in zip(jax.tree.leaves(start), jax.tree.leaves(end), strict=True):
        assert (a.shape, a.dtype) == (b.shape, b.dtype)
        assert a.dtype == np.float64  # of the sums, with x64


def check_norms(found, member, groups):
    norms = np.sqrt(np.sum(GRADS**2, axis=1))
    for k in range(groups):
        mine = norms[member == k]
        close(found.examples[k], len(mine))
        close(found.mean[k], np.mean(mine))
        close(found.share[k], np.sum(mine) / np.sum(norms[member >= 0]))


def test_gradient_norms():
    u = Z[np.arange(N), LABELS] - np.log(
        [np.sum(np.exp(np.delete(z, y))) for z, y in zip(Z, LABELS, strict=True)]
    )
    tail = np.array([0, 0, 1, 1, 1])
    for groups, member in (
        (jaxloss.by_example(MEMBER), MEMBER),
        (jaxloss.by_class(tail), tail[LABELS]),
        (jaxloss.by_class(tail - 1, 1), tail[LABELS] - 1),
        (jaxloss.by_confidence(), (u > 0).astype(int)),
        (jaxloss.by_label(C), LABELS),
        (None, np.zeros(N, int)),
    ):
        number = 1 if groups is None else groups.number
        check_norms(after(jaxloss.gradient_norms(groups), SIGNALS), member, number)
    each = jaxloss.gradient_norms(jaxloss.by_example(np.arange(N)))
    close(after(each, part(8, 16)).mean[8:16], np.linalg.norm(GRADS[8:16], axis=1))


def test_histogram():
    logits = np.array([[u, 0.0] for u in (-50, -3, -2.9, 0, 1.9, 2, 50, np.nan)])
    labels = np.zeros(8, int)
    signals = jaxloss.Signals(logits, labels, np.zeros((8, 2)))
    probe = jaxloss.log_odds_histogram(low=-4, high=4, bins=8)
    edges, counts = after(probe, signals)
    close(edges, np.arange(-4, 5))
    close(counts, [[1, 2, 0, 0, 1, 1, 1, 1]])
    sure = jaxloss.log_odds_histogram(jaxloss.by_confidence(), low=-4, high=4, bins=2)
    close(after(sure, signals).counts, [[3, 1], [0, 3]])  # 1/2 is not sure
    with pytest.raises(ValueError, match="low < high"):
        jaxloss.log_odds_histogram(low=1, high=1)


def test_feature_means():
    found = after(jaxloss.feature_means(C + 1, D), SIGNALS)
    for k in range(C):
        close(found.mean[k], np.mean(FEATURES[LABELS == k], axis=0))
        close(found.examples[k], np.sum(LABELS == k))
    assert np.all(np.isnan(found.mean[C])) and found.examples[C] == 0


def test_class_vectors():
    kernel, means = random.normal(size=(D, C)), random.normal(size=(C, D))
    log_prior = np.array([-0.5, -1.5, -2.0, -3.0, -np.inf])
    found = jaxloss.class_vectors(kernel, feature_means=means, log_prior=log_prior)
    close(found.norm, np.sqrt(np.sum(kernel**2, axis=0)))
    for k, (w, h) in enumerate(zip(kernel.T, means, strict=True)):
        close(found.alignment[k], w @ h / np.sqrt(w @ w) / np.sqrt(h @ h))
    close(found.prior_correlation, np.corrcoef(found.norm[:4], log_prior[:4])[0, 1])
    assert jaxloss.class_vectors(kernel)[1:] == (None, None)
    with pytest.raises(ValueError, match=r"feature_means must be \[classes, features"):
        jaxloss.class_vectors(kernel, feature_means=means.T)
    with pytest.raises(ValueError, match="log_prior must have shape"):
        jaxloss.class_vectors(kernel, log_prior=log_prior[:2])


def test_head_gradients():
    found = after(jaxloss.head_gradients(jaxloss.by_example(MEMBER), D, C), SIGNALS)
    means = [FEATURES[MEMBER == k].T @ GRADS[MEMBER == k] for k in range(3)]
    means = [m.ravel() / np.sum(MEMBER == k) for k, m in enumerate(means)]
    for k, a in enumerate(means):
        close(found.norm[k], np.linalg.norm(a))
        for j, b in enumerate(means):
            cosine = a @ b / np.linalg.norm(a) / np.linalg.norm(b)
            close(found.cosine[k, j], cosine)


def test_missing_signals():
    bare = jaxloss.Signals(Z, LABELS, GRADS)
    with pytest.raises(ValueError, match=r"needs Signals\.features"):
        after(jaxloss.feature_means(C, D), bare)
    with pytest.raises(ValueError, match=r"need Signals\.index"):
        after(jaxloss.gradient_norms(jaxloss.by_example(MEMBER)), bare)
    with pytest.raises(ValueError, match="features must be"):
        after(jaxloss.feature_means(C, D + 1), SIGNALS)
    with pytest.raises(ValueError, match="5 classes, not 6"):
        after(jaxloss.class_gradients(6), SIGNALS)
    with pytest.raises(ValueError, match="logit_grads must have shape"):
        after(jaxloss.class_gradients(C), SIGNALS._replace(logit_grads=GRADS[:, :2]))
    with pytest.raises(ValueError, match="integer ids"):
        jaxloss.by_class([0.5, 1])


def test_your_own_probe():
    worst = jaxloss.summed_probe(
        lambda: jnp.zeros(C),
        lambda s: jnp.zeros(C).at[jnp.argmax(s.logits, -1)].add(1.0),
        lambda state: state / jnp.sum(state),
    )
    shares = np.bincount(np.argmax(Z, 1), minlength=C) / N
    close(after(worst, SIGNALS), shares)
