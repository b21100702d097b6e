"""Margins, scales and weights by class: what each is of the others, composed."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from jaxloss import curves
from tests.library.catalogue import counts, log_prior, mixed_logits
from tests.library.golden import load

C = 10
Z, LABELS = mixed_logits((8, C)), np.arange(8)
COUNTS, PRIOR = counts(C), log_prior(C)
SUMS = 0.1 + np.arange(C) / C

CE = jaxloss.cross_entropy
MARGIN = jaxloss.margin_cross_entropy


def close(actual, expected, rtol=1e-11):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-13)


def test_ends_of_the_hyper_parameters():
    plain = CE(Z, LABELS)
    adjusted = jaxloss.logit_adjusted_cross_entropy(Z, LABELS, log_prior=PRIOR, tau=1.3)
    scaled = partial(jaxloss.vector_scaling, Z, LABELS, counts=COUNTS)
    close(scaled(tau=0.0, gamma=0.0), plain)
    close(scaled(tau=1.3, gamma=0.0), adjusted)
    close(jaxloss.ldam(Z, LABELS, counts=COUNTS, max_margin=0.0, scale=1.0), plain)
    close(jaxloss.equalization(Z, LABELS, weights=np.ones(C)), plain)
    close(jaxloss.seesaw(Z, LABELS, counts=COUNTS, p=0.0, q=0.0), plain)
    for face in (jaxloss.cosface, jaxloss.arcface):
        close(face(Z, LABELS, margin=0.0, scale=3.0), CE(3 * Z, LABELS))


def test_ldam_and_equalization_are_margins():
    ldam = 0.5 * (np.min(COUNTS) / COUNTS) ** 0.25
    rows = np.tile(ldam[:, None], (1, C))
    close(
        jaxloss.ldam(Z, LABELS, counts=COUNTS, scale=1.0),
        MARGIN(Z, LABELS, margin=rows),
    )
    weights = np.where(COUNTS < 50, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        columns = np.tile(np.log(weights), (C, 1))
    expected = MARGIN(Z, LABELS, margin=columns)
    close(jaxloss.equalization(Z, LABELS, weights=weights), expected)
    each = np.tile(weights, (8, 1))
    close(jaxloss.equalization(Z, LABELS, weights=each), expected)


def test_seesaw_by_frequency_alone_is_equalization():
    ratio = np.minimum(1, COUNTS[None, :] / COUNTS[LABELS][:, None]) ** 0.8
    expected = jaxloss.equalization(Z, LABELS, weights=ratio)
    close(jaxloss.seesaw(Z, LABELS, counts=COUNTS, q=0.0), expected)


def test_seesaw_holds_its_factors_constant_in_every_order():
    """The surrogate is the loss at frozen factors: so are its second derivatives."""
    p = np.exp(Z - np.max(Z, 1, keepdims=True))
    p /= np.sum(p, 1, keepdims=True)
    own = p[LABELS, LABELS][:, None]
    factors = np.minimum(1, COUNTS / COUNTS[LABELS][:, None]) ** 0.8
    factors = factors * np.maximum(1, p / np.maximum(own, 1e-2)) ** 2

    def surrogate(z):
        return jnp.sum(jaxloss.seesaw(z, LABELS, counts=COUNTS))

    def frozen(z):
        return jnp.sum(jaxloss.equalization(z, LABELS, weights=factors))

    direction = np.random.default_rng(0).normal(size=Z.shape)
    close(surrogate(Z), frozen(Z))
    close(jax.grad(surrogate)(Z), jax.grad(frozen)(Z))
    slopes = [jax.jvp(jax.grad(f), (Z,), (direction,))[1] for f in (surrogate, frozen)]
    close(*slopes)


def test_cosines_at_the_ends():
    """arccos has no slope there, and rounding leaves [-1, 1]."""
    c = np.array([[1.0, 0.5], [-1.0, 0.5], [1 + 1e-7, 0.5], [0.99999999, 0.5]])

    def total(c):
        return jnp.sum(jaxloss.arcface(c, np.zeros(4, int)))

    assert np.all(np.isfinite(jax.grad(total)(c)))
    angles = np.arccos(np.array([0.3, -0.2, 0.8]))
    inner = np.stack([np.cos(angles), np.zeros(3)], 1)
    losses = jaxloss.arcface(inner, np.zeros(3, int), margin=0.5, scale=2.0)
    close(losses, np.log1p(np.exp(-2 * np.cos(angles + 0.5))))


def test_the_norm_of_the_logits_does_not_matter():
    loss = partial(jaxloss.logit_norm, labels=LABELS, temperature=0.5, epsilon=0.0)
    close(loss(7 * Z), loss(Z))
    gradient = jax.grad(lambda z: jnp.sum(loss(z)))(Z)
    close(np.sum(gradient * Z, 1), np.zeros(8))
    zero = jax.grad(lambda z: jnp.sum(loss(z)))(np.zeros((8, C)))
    assert np.all(np.isfinite(zero))


@pytest.mark.parametrize(
    "name", ["class_balanced_softmax_paper", "class_balanced_focal"]
)
def test_effective_numbers(name):
    for case in load("class_balanced", name):
        weights = jaxloss.class_weights(
            case["class_counts"], scheme="effective", beta=case.hyper["beta"]
        )
        close(weights, case["weights"], 1e-9)


def test_class_weights():
    n = np.array([1, 4, 16, 0])
    close(jaxloss.class_weights(n), np.array([16, 4, 1, 0]) / 7)
    close(jaxloss.class_weights(n, scheme="sqrt"), np.array([4, 2, 1, 0]) * 3 / 7)
    effective = partial(jaxloss.class_weights, n, scheme="effective")
    close(effective(beta=0.0), [1, 1, 1, 0])
    close(effective(beta=1 - 1e-12), jaxloss.class_weights(n), 1e-9)
    weights = np.array([2.0, 0.5])
    close(jaxloss.deferred_weights(weights, 159, start=160), [1, 1])
    close(jaxloss.deferred_weights(weights, 160, start=160), weights)


@pytest.mark.parametrize(
    ("form", "middle"),
    [
        ("concave", 0.1 + 0.2 * np.sqrt(0.5)),
        ("linear", 0.2),
        ("convex", 0.3 - 0.2 * np.sqrt(0.5)),
        ("exponential", 0.1 + 0.2 * 0.25),
    ],
)
def test_forms_of_label_aware_smoothing(form, middle):
    n, labels = np.array([1, 3, 5]), np.array([0, 1, 2])
    z = mixed_logits((3, 3))
    losses = jaxloss.label_aware_smoothing(
        z, labels, counts=n, head=0.3, tail=0.1, form=form
    )
    smoothing = np.array([0.1, middle, 0.3])
    close(losses, CE(z, labels, label_smoothing=smoothing))
    # Classes that are all equally frequent are all the smallest.
    same = jaxloss.label_aware_smoothing(z, labels, counts=np.ones(3), tail=0.2)
    close(same, CE(z, labels, label_smoothing=0.2))


WEIGHTS = {"weights": 0.2 + np.arange(C) / C}
SHIFTS = {
    "adjusted": (
        partial(jaxloss.logit_adjusted_cross_entropy, log_prior=PRIOR),
        lambda z: z + PRIOR,
    ),
    "equalization": (
        partial(jaxloss.equalization, **WEIGHTS),
        lambda z: z + np.log(WEIGHTS["weights"]) * (1 - np.eye(C)[LABELS]),
    ),
    "label-dependent margins": (
        partial(MARGIN, margin=np.sin(np.arange(C * C)).reshape(C, C)),
        lambda z: (
            z + np.sin(np.arange(C * C)).reshape(C, C)[LABELS] * (1 - np.eye(C)[LABELS])
        ),
    ),
    "gala": (
        partial(jaxloss.gala, positive=SUMS, negative=2 * SUMS, epsilon=1e-3),
        lambda z: (
            z
            + (np.log(SUMS + 1e-3) - np.log(2 * SUMS[LABELS] + 1e-3)[:, None])
            * (1 - np.eye(C)[LABELS])
        ),
    ),
    "ldam": (
        partial(jaxloss.ldam, counts=COUNTS, scale=3.0),
        lambda z: 3 * (z - 0.5 * (np.min(COUNTS) / COUNTS) ** 0.25 * np.eye(C)[LABELS]),
    ),
    "vector scaling": (
        partial(jaxloss.vector_scaling, counts=COUNTS),
        lambda z: z * (COUNTS / np.max(COUNTS)) ** 0.15 + PRIOR,
    ),
}
BENT = {
    "focal": (partial(curves.focal, gamma=2.0), partial(jaxloss.focal, gamma=2.0)),
    "gce": (
        partial(curves.generalized_cross_entropy, q=0.7),
        jaxloss.generalized_cross_entropy,
    ),
    "encouraging": (partial(curves.encouraging, log_end=0.75), jaxloss.encouraging),
}


@pytest.mark.parametrize("bent", BENT)
@pytest.mark.parametrize("shift", SHIFTS)
def test_any_shift_with_any_curve(shift, bent):
    loss, moved = SHIFTS[shift]
    curve, plain = BENT[bent]
    close(loss(Z, LABELS, curve=curve), plain(moved(Z), LABELS), 1e-9)


def test_objectives_bend_the_curve_too():
    """GALA with the encouraging curve: a state, a shift and a bonus."""
    curve = partial(curves.encouraging, log_end=0.75)
    for variant in ("paper", "released"):
        objective = jaxloss.gala_objective(C, variant=variant, curve=curve)
        # Before the first step every margin is the same: with it, no margin at all.
        losses = objective.loss(objective.init(), Z, LABELS, None)
        close(losses, jaxloss.encouraging(Z, LABELS), 1e-9)


def test_scaled_gradients():
    weights = np.linspace(0, 2, C)[None]

    def total(z):
        return jnp.sum(CE(jaxloss.scale_gradient(z, weights), LABELS))

    close(total(Z), np.sum(CE(Z, LABELS)))
    plain = jax.grad(lambda z: jnp.sum(CE(z, LABELS)))
    close(jax.grad(total)(Z), weights * plain(Z))
    close(jax.jacfwd(total)(Z), weights * plain(Z))
    v = np.random.default_rng(0).normal(size=Z.shape)
    # Of the surrogate: once more with every order.
    expected = weights * jax.jvp(plain, (Z,), (weights * v,))[1]
    close(jax.jvp(jax.grad(total), (Z,), (v,))[1], expected)
    held = jax.grad(lambda w: jnp.sum(jaxloss.scale_gradient(Z, w) ** 2))(weights)
    assert np.all(held == 0)


def test_equalization_v2_in_one_line():
    """Gradients of each sigmoid scaled by how even they were so far."""
    targets = np.eye(C)[LABELS]
    balance = np.linspace(0.1, 1, C)
    weights = np.where(targets == 1, 1 + 4 * (1 - balance), balance)

    def total(z):
        scaled = jaxloss.scale_gradient(z, weights)
        return jnp.sum(jaxloss.sigmoid_cross_entropy(scaled, targets))

    close(jax.grad(total)(Z), weights * (1 / (1 + np.exp(-Z)) - targets))
