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
    both,
    counts,
    labelled,
    log_prior,
    mixed_logits,
)

pytestmark = pytest.mark.usefixtures("quick_compilation")

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


SOFT = np.random.default_rng(3).uniform(size=Z.shape)  # targets
BIAS = 2 * np.random.default_rng(4).normal(size=Z.shape)  # logits of a bias model
PRODUCT, MIXIN = jaxloss.bias_product, jaxloss.learned_mixin
ONES = np.ones(len(Z))


def soft_cross_entropy(z, targets):
    log_p = z - np.log(np.sum(np.exp(z), 1, keepdims=True))
    return -np.sum(targets * log_p, 1)


PLAIN = {"sigmoid": jaxloss.sigmoid_cross_entropy, "softmax": soft_cross_entropy}
both_forms = pytest.mark.parametrize("form", PLAIN)


@both_forms
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
def test_a_bias_model_without_an_opinion_changes_nothing(form, smoothing):
    """Probabilities 1/2 of the sigmoid, 1/C of the softmax; or a closed gate, whose
    entropy is the largest there is."""
    plain, how = PLAIN[form](Z, SOFT), {"form": form, "smoothing": smoothing}
    uniform = np.full(Z.shape, 0.0 if form == "sigmoid" else 3.0)
    close(PRODUCT(Z, SOFT, bias_logits=uniform, **how), plain)
    closed = MIXIN(Z, SOFT, bias_logits=BIAS, gate=0 * ONES, entropy_weight=0.36, **how)
    close(closed, plain + 0.36 * np.log(2 if form == "sigmoid" else C))
    weighted = jaxloss.bias_reweighted(Z, SOFT, bias_logits=0 * Z)
    close(2 * weighted, PLAIN["sigmoid"](Z, SOFT))
    close(jaxloss.rubi(Z, LABELS, bias_logits=0 * Z), CE(Z / 2, LABELS))


@both_forms
def test_the_mixin_with_an_open_gate_is_the_bias_product(form):
    for smoothing in (0.0, 0.3):
        how = {"bias_logits": BIAS, "form": form, "smoothing": smoothing}
        close(MIXIN(Z, SOFT, gate=ONES, **how), PRODUCT(Z, SOFT, **how))
    sum_of_logits = PLAIN[form](Z + BIAS, SOFT)
    close(PRODUCT(Z, SOFT, bias_logits=BIAS, form=form), sum_of_logits)
    # Twice the trust: two such bias models.
    twice = MIXIN(Z, SOFT, bias_logits=BIAS, gate=2 * ONES, form=form)
    close(twice, PLAIN[form](Z + 2 * BIAS, SOFT))


def test_the_bias_product_adjusts_the_logits_by_a_prior_for_each_example():
    log_prior = jax.nn.log_softmax(BIAS)
    product = PRODUCT(Z, np.eye(C)[LABELS], bias_logits=BIAS, form="softmax")
    adjusted = [
        jaxloss.logit_adjusted_cross_entropy(*row[:2], log_prior=row[2])
        for row in zip(Z, jnp.asarray(LABELS), log_prior, strict=True)
    ]
    close(product, adjusted)


@both_forms
def test_the_mixin_s_entropy_is_that_of_what_is_trusted(form):
    how = {"bias_logits": BIAS, "gate": 0.5 * ONES, "form": form}
    difference = MIXIN(Z, SOFT, entropy_weight=2.0, **how) - MIXIN(Z, SOFT, **how)
    p = jax.nn.sigmoid(BIAS / 2) if form == "sigmoid" else jax.nn.softmax(BIAS / 2)
    surprise = -np.sum(p * np.log(p), 1)
    if form == "sigmoid":
        surprise = (surprise - np.sum((1 - p) * np.log1p(-p), 1)) / C
    close(difference, 2 * surprise, 1e-9)


def test_no_smoothing_is_the_limit_of_little():
    """log s has no derivative at s = 0; the loss has one."""

    @jax.value_and_grad
    def loss(s, form):
        return jnp.sum(PRODUCT(Z, SOFT, bias_logits=BIAS, smoothing=s, form=form))

    def slopes(s, form):
        return loss(s, form)[1]

    for form in PLAIN:
        total = jnp.sum(PRODUCT(Z, SOFT, bias_logits=BIAS, form=form))
        value, slope = loss(jnp.array(0.0), form)
        close(value, total)
        close(slope, (loss(1e-7, form)[0] - total) / 1e-7, 1e-3)
        curvature = jax.grad(slopes)(0.0, form)
        close(curvature, (slopes(1e-7, form) - slope) / 1e-7, 1e-3)


@both_forms
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("size", [30.0, 1e4, np.inf])
def test_a_bias_model_beyond_doubt(form, smoothing, size):
    """Its probability of 0 is a veto, unless it is smoothed; nothing is NaN."""
    sure = 0.0 if form == "softmax" else size
    bias = np.tile(np.where(np.arange(C) < 3, -size, sure), (8, 1))
    targets = np.where(bias == -size, 0, SOFT if form == "softmax" else 1)

    def total(z, bias, gate, s):
        how = {"entropy_weight": 0.36, "form": form, "smoothing": s}
        return jnp.sum(MIXIN(z, targets, bias_logits=bias, gate=gate, **how))

    everything = size < np.inf or smoothing > 0
    for gate in (ONES, 0 * ONES):
        value, grads = jax.value_and_grad(total, range(4) if everything else (0,))(
            Z, bias, gate, smoothing
        )
        close(value, total(Z, bias, gate, smoothing))  # which is not traced
        assert np.isfinite(value)
        assert all(np.all(np.isfinite(grad)) for grad in grads)


def test_an_example_without_a_pseudo_label():
    """Where the bias model knows the answer: ignored by the softmax, but the sigmoid
    pushes every logit down (bias over-estimation)."""
    hot = np.eye(C)[LABELS]
    sure = np.where(hot == 1, 1e4, -1e4)

    def grads(form):
        return jax.grad(
            lambda z: jnp.sum(
                jaxloss.greedy_gradient(z, hot, bias_logits=sure, form=form)
            )
        )(Z)

    for form in ("exact", "relaxed", "softmax"):
        assert np.all(jaxloss.greedy_pseudo_labels(hot, sure, form=form) == 0)
    assert np.all(grads("softmax") == 0)
    for form in ("exact", "relaxed"):
        assert np.all(grads(form) > 0)
        close(grads(form), jax.nn.sigmoid(Z))


def test_two_classes_are_a_sigmoid():
    z = mixed_logits((8, 2))
    labels = np.arange(8) % 2
    u = (z[:, 1] - z[:, 0]) * (2 * labels - 1)
    close(jaxloss.label_log_odds(z, labels), u)
    sigmoid = jaxloss.sigmoid_cross_entropy((z[:, 1:] - z[:, :1]), labels[:, None])
    close(CE(z, labels), sigmoid)


@labelled
def test_gradients_sum_to_zero_and_shifts_do_not_matter(case):
    losses, grads = both(case, Z, LABELS)
    size = jnp.sum(jnp.abs(grads), -1)
    sums = np.abs(jnp.sum(grads, -1)) <= 2e-14 * np.maximum(1, size)
    assert np.all(sums) == case.zero_sum
    moved, _ = both(case, Z + 64 * np.arange(1, 9)[:, None], LABELS)
    if case.shift_invariant:
        close(moved, losses, 1e-9)
    else:
        assert not np.allclose(moved, losses, rtol=1e-9, atol=0)


@all_losses
def test_names_of_the_classes_do_not_matter(case):
    order = np.random.default_rng(2).permutation(C)
    position = np.argsort(order)
    hypers = {
        name: v[np.ix_(*[order] * v.ndim)] if v.ndim else v
        for name, v in case.hypers(C).items()
    }
    permuted = jax.jit(case.loss)(Z[:, order], position[LABELS], **hypers)
    close(permuted, both(case, Z, LABELS)[0], 1e-10)


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
