"""What one loss is of another, and the symmetries they share."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from jaxloss import curves
from tests.library.catalogue import (
    CASES,
    all_losses,
    counts,
    labelled,
    log_prior,
    mixed_logits,
)

C = 10
Z, LABELS = mixed_logits((8, C)), np.arange(8)
PRIOR = log_prior(C)
SUMS = 0.1 + np.arange(C) / C  # as of accumulated gradients
U = np.linspace(-30, 30, 61)

CE = jaxloss.cross_entropy
MARGIN = jaxloss.margin_cross_entropy


def close(actual, expected, rtol=1e-11):
    np.testing.assert_allclose(actual, expected, rtol=rtol, atol=1e-13)


def test_ends_of_the_hyper_parameters():
    plain = CE(Z, LABELS)
    close(jaxloss.generalized_cross_entropy(Z, LABELS, q=1e-13), plain, 1e-9)
    mae = jaxloss.mean_absolute_error(Z, LABELS)
    close(jaxloss.generalized_cross_entropy(Z, LABELS, q=1.0), mae / 2)
    close(jaxloss.focal(Z, LABELS, gamma=0.0), plain)
    empty = jaxloss.class_log_prior(np.arange(C))  # class 0 has no examples
    for prior in (PRIOR, empty, np.zeros(C)):
        tau = 0.0 if prior is not PRIOR else 1e-14
        adjusted = jaxloss.logit_adjusted_cross_entropy(
            Z, LABELS, log_prior=prior, tau=tau
        )
        close(adjusted, plain)
    bias = np.random.default_rng(0).normal(size=Z.shape)
    close(jaxloss.general_greedy_debias(Z, LABELS, bias_logits=bias, weight=0.0), plain)
    whole = jaxloss.truncated_generalized_cross_entropy(Z, LABELS, k=0.0)
    close(whole, jaxloss.generalized_cross_entropy(Z, LABELS))


def test_a_uniform_bias_model_scales_cross_entropy():
    uniform = np.full(Z.shape, 3.0)
    losses = jaxloss.general_greedy_debias(Z, LABELS, bias_logits=uniform)
    close(losses, (1 - 1 / C) * CE(Z, LABELS))


def test_margins_are_the_long_tailed_losses():
    ratio = 1.3 * (PRIOR[None, :] - PRIOR[:, None])
    adjusted = jaxloss.logit_adjusted_cross_entropy(Z, LABELS, log_prior=PRIOR, tau=1.3)
    close(MARGIN(Z, LABELS, margin=ratio), adjusted)
    # LDAM: a margin of the label; equalization: of the rival.
    label = 0.5 * (counts(C) / np.min(counts(C))) ** -0.25
    hot = np.eye(C)[LABELS]
    ldam = CE(Z - hot * label, LABELS)
    close(MARGIN(Z, LABELS, margin=np.tile(label[:, None], (1, C))), ldam)
    keep = np.where(counts(C) < 50, 0.0, 1.0)
    log_keep = np.where(keep == 0, -np.inf, 0.0)
    rivals = np.sum(keep * np.exp(Z) * (1 - hot), 1)
    own = Z[np.arange(8), LABELS]
    equalization = np.log(np.exp(own) + rivals) - own
    close(MARGIN(Z, LABELS, margin=np.tile(log_keep, (C, 1))), equalization)


@pytest.mark.parametrize("strength", [0.7, 1.0])
def test_gala_of_equal_sums_is_logit_adjustment(strength):
    losses = jaxloss.gala(
        Z, LABELS, positive=SUMS, negative=SUMS, lambda1=strength, lambda2=strength
    )
    adjusted = jaxloss.logit_adjusted_cross_entropy(
        Z, LABELS, log_prior=np.log(SUMS + 1e-3), tau=strength
    )
    close(losses, adjusted)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_greedy_debiasing_is_weighted_cross_entropy(weight):
    bias = 2 * np.random.default_rng(1).normal(size=Z.shape)
    share = np.exp(bias) / np.sum(np.exp(bias), 1, keepdims=True)
    expected = (1 - weight * share[np.arange(8), LABELS]) * CE(Z, LABELS)
    debiased = jaxloss.general_greedy_debias(Z, LABELS, bias_logits=bias, weight=weight)
    close(debiased, expected)
    if weight == 1:
        hot = np.eye(C)[LABELS]
        greedy = jaxloss.greedy_gradient(Z, hot, bias_logits=bias, form="softmax")
        close(greedy, expected, 1e-9)


def test_two_classes_are_a_sigmoid():
    z = mixed_logits((8, 2))
    labels = np.arange(8) % 2
    u = (z[:, 1] - z[:, 0]) * (2 * labels - 1)
    close(jaxloss.label_log_odds(z, labels), u)
    sigmoid = jaxloss.sigmoid_cross_entropy((z[:, 1:] - z[:, :1]), labels[:, None])
    close(CE(z, labels), sigmoid)


@labelled
def test_gradients_sum_to_zero_and_shifts_do_not_matter(case):
    losses, pull = jax.vjp(lambda z: case(z, LABELS), Z)
    grads = pull(jnp.ones(8))[0]
    size = jnp.sum(jnp.abs(grads), -1)
    assert np.all(np.abs(jnp.sum(grads, -1)) <= 1e-14 * np.maximum(1, size))
    offsets = 64 * np.arange(-4, 4)[:, None]
    close(case(Z + offsets, LABELS), losses, 1e-9)


@all_losses
def test_names_of_the_classes_do_not_matter(case):
    order = np.random.default_rng(2).permutation(C)
    position = np.argsort(order)
    hypers = {
        name: v[np.ix_(*[order] * v.ndim)] if v.ndim else v
        for name, v in case.hypers(C).items()
    }
    permuted = case.loss(Z[:, order], position[LABELS], **hypers)
    close(permuted, case(Z, LABELS), 1e-10)


@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_sums_over_all_labels_are_bounded(q):
    """Zhang & Sabuncu, lemma 1: the reason why L_q stands symmetric noise."""
    z = np.repeat(Z, C, 0)
    labels = np.tile(np.arange(C), 8)
    losses = jaxloss.generalized_cross_entropy(z, labels, q=q).reshape(8, C)
    sums = jnp.sum(losses, 1)
    assert np.all(sums >= (C - C ** (1 - q)) / q - 1e-12)
    assert np.all(sums <= (C - 1) / q + 1e-12)
    if q == 1:  # symmetric: the same sum for any logits
        close(sums, np.full(8, C - 1.0))


CURVES = {
    "cross_entropy": curves.cross_entropy,
    "focal": lambda u: curves.focal(u, gamma=2.0),
    "generalized": lambda u: curves.generalized_cross_entropy(u, q=0.7),
    "truncated": lambda u: curves.truncated_generalized_cross_entropy(u, q=0.7, k=0.3),
    "mae": curves.mean_absolute_error,
    "encouraging": lambda u: curves.encouraging(u, log_end=0.75),
    "encouraging_1": lambda u: curves.encouraging(u, log_end=1.0),
}


@pytest.mark.parametrize("curve", CURVES.values(), ids=CURVES)
def test_curves_do_not_increase(curve):
    values = curve(U)
    assert np.all(np.diff(values) <= 0)
    assert np.all(jax.grad(lambda u: jnp.sum(curve(u)))(U) <= 0)


@pytest.mark.parametrize("log_end", [0.2, 0.5, 0.75, 0.99])
def test_encouraging_joins_its_tangent_smoothly(log_end):
    end = np.log(log_end / (1 - log_end))
    u = end + np.array([-1e-9, 1e-9])
    values, slopes = jax.jvp(
        lambda u: curves.encouraging(u, log_end=log_end), (u,), (jnp.ones(2),)
    )
    close(values[0] - values[1], 2e-9, 1e-5)
    close(slopes, [-1.0, -1.0], 1e-8)
    close(values, -u, 1e-9)


def test_prediction_undoes_the_adjustment():
    adjusted = jaxloss.adjust_logits(Z, log_prior=PRIOR, tau=1.3)
    close(jaxloss.posthoc_adjust_logits(adjusted, log_prior=PRIOR, tau=1.3), Z)


def test_adjusting_the_logits_is_the_shift_of_the_loss():
    adjusted = jaxloss.adjust_logits(Z, log_prior=PRIOR, tau=1.3)
    close(CE(adjusted, LABELS), CASES["logit_adjusted"](Z, LABELS), 1e-10)


ONE_HOT = np.eye(C)[LABELS]
SOFT = np.random.default_rng(3).uniform(size=Z.shape)
both_targets = pytest.mark.parametrize("targets", [ONE_HOT, SOFT], ids=["hard", "soft"])


def with_slopes(loss):
    losses, pull = jax.vjp(loss, Z)
    return losses, pull(jnp.ones_like(losses))[0]


def same_loss(loss, other, rtol=1e-11):
    for ours, theirs in zip(with_slopes(loss), with_slopes(other), strict=True):
        close(ours, theirs, rtol)


@both_targets
def test_sigmoid_losses_that_are_binary_cross_entropy(targets):
    def plain(z):
        return jaxloss.sigmoid_cross_entropy(z, targets)

    same_loss(lambda z: jaxloss.multilabel(curves.cross_entropy, z, targets), plain)
    same_loss(lambda z: jaxloss.sigmoid_focal(z, targets, gamma=0.0), plain)
    same_loss(lambda z: jaxloss.halted_focal(z, targets, gamma=0.0), plain)
    same_loss(
        lambda z: jaxloss.asymmetric(
            z, targets, gamma_positive=0, gamma_negative=0, clip=0
        ),
        plain,
    )
    for weights in (np.ones(C), np.ones(Z.shape)):
        same_loss(
            lambda z, w=weights: jaxloss.sigmoid_equalization(z, targets, weights=w),
            plain,
        )


@both_targets
def test_alpha_of_a_half_halves_and_the_two_ends_are_the_two_sides(targets):
    def focal(alpha):
        return lambda z: jaxloss.sigmoid_focal(z, targets, alpha=alpha)

    same_loss(lambda z: 2 * focal(0.5)(z), focal(None))
    same_loss(lambda z: focal(1.0)(z) + focal(0.0)(z), focal(None))
    # Targets and signs turned around together are the same problem.
    same_loss(
        focal(0.3), lambda z: jaxloss.sigmoid_focal(-z, 1 - targets, alpha=0.7), 1e-9
    )


@both_targets
@pytest.mark.parametrize("gamma", [0.0, 0.5, 2.0])
def test_asymmetric_without_asymmetry_is_focal(targets, gamma):
    def asymmetric(z):
        return jaxloss.asymmetric(
            z, targets, gamma_positive=gamma, gamma_negative=gamma, clip=0.0
        )

    same_loss(asymmetric, lambda z: jaxloss.sigmoid_focal(z, targets, gamma=gamma))


@pytest.mark.parametrize("gamma", [0.0, 0.5, 4.0])
def test_clipped_focal_without_a_clip_is_focal_at_any_log_odds(gamma):
    u = np.concatenate([U, -U * 1e3, [-750.0, 750.0, np.inf]])

    def pair(curve):
        return jax.jvp(curve, (u,), (np.ones_like(u),))

    clipped = pair(lambda u: curves.clipped_focal(u, gamma=gamma, clip=0.0))
    for ours, theirs in zip(
        clipped, pair(lambda u: curves.focal(u, gamma=gamma)), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12)  # no atol


def test_clipped_focal_is_constant_at_both_ends():
    """Nothing is lost or gained by a class that is out, or by a hopeless one."""
    u = np.array([-np.inf, -1e4, -750.0, 1.5, 40.0, 1e4, np.inf])
    values, slopes = jax.jvp(
        lambda u: curves.clipped_focal(u, gamma=2.0, clip=0.2), (u,), (np.ones(7),)
    )
    close(values, [-(0.8**2) * np.log(0.2)] * 3 + [0.0] * 4)
    close(slopes, np.zeros(7))


def test_two_classes_are_twice_a_sigmoid():
    """Logits z and -z, one of them with target 1: the same term twice."""
    z = mixed_logits((8, 1))
    pair, targets = np.concatenate([z, -z], -1), np.array([[1.0, 0.0]] * 8)
    for loss in (
        jaxloss.sigmoid_cross_entropy,
        jaxloss.sigmoid_focal,
        jaxloss.halted_focal,
        jaxloss.sigmoid_encouraging,
    ):
        close(loss(pair, targets), 2 * loss(z, np.ones((8, 1))))
    # A softmax over z / 2 and -z / 2 is the sigmoid of z.
    halves, labels = pair / 2, np.zeros(8, int)
    for loss, softmax in (
        (jaxloss.sigmoid_focal, jaxloss.focal),
        (jaxloss.sigmoid_encouraging, jaxloss.encouraging),
    ):
        close(loss(z, np.ones((8, 1))), softmax(halves, labels))


@pytest.mark.parametrize("halting", ["well_classified", "released"])
@pytest.mark.parametrize("target", [0.0, 1.0])
def test_halting_joins_at_zero(halting, target):
    z = np.array([[-1e-9], [0.0], [1e-9]])
    losses = jaxloss.halted_focal(
        z, np.full((3, 1), target), gamma=1.5, halting=halting
    )
    close(losses, np.full(3, 2**-1.5 * np.log(2)), 1e-8)


@both_targets
def test_soft_targets_mix_the_two_sides(targets):
    for loss in (jaxloss.sigmoid_focal, jaxloss.halted_focal):
        ends = [loss(Z[..., None], np.full((*Z.shape, 1), t)) for t in (0.0, 1.0)]
        mixed = jnp.sum((1 - targets) * ends[0] + targets * ends[1], -1)
        close(loss(Z, targets), mixed, 1e-10)


@pytest.mark.parametrize("target", [0.0, 1.0])
def test_targets_have_a_gradient_at_their_ends(target):
    """Dropping the term of a target of 0 must not drop its derivative."""
    slopes = jax.grad(lambda t: jnp.sum(jaxloss.sigmoid_cross_entropy(Z, t)))(
        np.full(Z.shape, target)
    )
    close(slopes, -Z)


def test_a_weight_of_zero_spares_a_class():
    weights = np.where(np.arange(C) < 4, 0.0, 1.0)

    def spared(z):
        return jaxloss.sigmoid_equalization(z, ONE_HOT, weights=weights)

    grads = with_slopes(spared)[1]
    rare = (weights == 0) & (ONE_HOT == 0)
    assert np.all(grads[rare] == 0) and np.all(grads[~rare] != 0)
    z = np.where(rare, np.inf, Z)
    close(spared(z), spared(np.where(rare, -3.0, Z)))
