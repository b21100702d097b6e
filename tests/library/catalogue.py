"""Every loss per example, at fixed hyper-parameters, beside its closed form in numpy.

The property tests are parametrized over `CASES`.
"""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from jaxloss import curves
from tests.library import closed_forms as exact


@dataclasses.dataclass(frozen=True)
class Case:
    """A loss as a function of logits and integer labels.

    `hyper` holds what may be traced: numbers, or functions of the number of classes.
    """

    name: str
    loss: Callable[..., jax.Array]  # (logits, labels, **hyper)
    exact: Callable[..., tuple[Any, np.ndarray]]  # (z, y, **hyper) -> loss, gradient
    hyper: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    held_constant: tuple[str, ...] = ()  # hyper-parameters that get no gradient
    takes_labels: bool = True  # not targets, made of the labels here
    surrogate: bool = False  # the gradient is not the derivative, by design
    finite_only: bool = False  # a logit of -inf is no class that is out
    zero_when_sure: bool = True  # without rivals
    shift_invariant: bool = True  # of a constant added to all logits
    zero_sum: bool = True  # of the gradient over the classes
    cancels: bool = False  # gradients are accurate by row, not each by itself
    largest_factor: float = 1.0  # what the gradient multiplies a probability with

    def hypers(self, num_classes, dtype=np.float64):
        dtype = jnp.promote_types(dtype, np.float32)
        return {
            name: np.asarray(v(num_classes) if callable(v) else v, dtype)
            for name, v in self.hyper.items()
        }

    def __call__(self, logits, labels):
        hypers = self.hypers(logits.shape[-1], logits.dtype)
        return self.loss(logits, labels, **hypers)

    def expected(self, logits, labels, **changed):
        """Losses and gradients of a batch `[n, classes]`, in float64."""
        hypers = self.hypers(np.shape(logits)[-1]) | changed
        rows = [
            self.exact(np.asarray(z, np.float64), y, **hypers)
            for z, y in zip(logits, np.asarray(labels), strict=True)
        ]
        losses, grads = zip(*rows, strict=True)
        return np.array(losses), np.stack(grads)


def counts(num_classes):
    return np.round(900 * 0.01 ** (np.arange(num_classes) / max(1, num_classes - 1)))


def log_prior(num_classes):
    return np.log(counts(num_classes) / np.sum(counts(num_classes)))


def transition(num_classes):
    """Labels of class i become another, the next one most often."""
    c = num_classes
    away = 0.1 / max(1, c - 1) + 0.2 * np.roll(np.eye(c), 1, axis=1)
    away = away * (1 - np.eye(c))
    return away + np.diag(1 - np.sum(away, axis=1))


def bias(num_classes):
    return 2 * np.cos(3 * np.arange(num_classes))


def one_hot(logits, labels):
    return jax.nn.one_hot(labels, logits.shape[-1], dtype=logits.dtype)


def with_bias(loss, **fixed):
    def call(logits, labels, *, bias_logits, **hyper):
        row = jnp.broadcast_to(bias_logits, logits.shape)
        return loss(logits, labels, bias_logits=row, **hyper, **fixed)

    return call


def with_gate(loss):
    def call(logits, labels, *, gate, **hyper):
        gates = jnp.broadcast_to(gate, logits.shape[:-1])
        return loss(logits, labels, gate=gates, **hyper)

    return call


def with_targets(loss):
    def call(logits, labels, **hyper):
        return loss(logits, one_hot(logits, labels), **hyper)

    return call


def multilabel_gce(logits, targets, *, q):
    return jaxloss.multilabel(
        lambda u: jaxloss.curves.generalized_cross_entropy(u, q=q), logits, targets
    )


def on_adjusted(loss):
    def call(logits, labels, *, log_prior, tau, **hyper):
        adjusted = jaxloss.adjust_logits(logits, log_prior=log_prior, tau=tau)
        return loss(adjusted, labels, **hyper)

    return call


PRIOR = {"log_prior": log_prior, "tau": 1.3}
GALA = {
    "positive": lambda c: 0.1 + np.arange(c) / c,
    "negative": lambda c: 2.0 - np.arange(c) / c,
    "lambda1": 1.2,
    "lambda2": 0.9,
    "epsilon": 1e-3,
}
BIAS = {"hyper": {"bias_logits": bias}, "held_constant": ("bias_logits",)}
ON_BIAS = {**BIAS, "takes_labels": False}
NOT_A_SOFTMAX: Any = {
    "zero_when_sure": False,
    "shift_invariant": False,
    "zero_sum": False,
}
THIRD_ORDER = partial(exact.taylor, order=3)
POINTS = [
    Case(
        "label_log_odds",
        jaxloss.label_log_odds,
        exact.log_odds,
        zero_when_sure=False,
    ),
    Case("cross_entropy", jaxloss.cross_entropy, exact.cross_entropy),
    Case("focal", jaxloss.focal, exact.focal, {"gamma": 2.0}),
    Case("focal_half", jaxloss.focal, exact.focal, {"gamma": 0.5}),
    Case("gce", jaxloss.generalized_cross_entropy, exact.gce, {"q": 0.7}),
    Case(
        "truncated_gce",
        jaxloss.truncated_generalized_cross_entropy,
        exact.truncated_gce,
        {"q": 0.7, "k": 0.3},
    ),
    Case("mae", jaxloss.mean_absolute_error, exact.mae),
    Case(
        "encouraging",
        jaxloss.encouraging,
        exact.encouraging,
        {"log_end": 0.75},
        zero_when_sure=False,
    ),
    Case(
        "logit_adjusted",
        jaxloss.logit_adjusted_cross_entropy,
        exact.shifted(exact.cross_entropy, exact.prior_shift),
        PRIOR,
    ),
    Case(
        "margin",
        jaxloss.margin_cross_entropy,
        exact.shifted(exact.cross_entropy, exact.margin_shift),
        {"margin": lambda c: np.sin(np.arange(c * c)).reshape(c, c)},
    ),
    Case(
        "gala", jaxloss.gala, exact.shifted(exact.cross_entropy, exact.gala_shift), GALA
    ),
    Case(
        "general_greedy_debias",
        with_bias(jaxloss.general_greedy_debias),
        exact.debias,
        {"bias_logits": bias, "weight": 0.8},
        held_constant=("bias_logits",),
    ),
    Case(
        "sigmoid",
        with_targets(jaxloss.sigmoid_cross_entropy),
        lambda z, y: exact.binary(z, exact.hot(z, y)),
        takes_labels=False,
    ),
    Case(
        "multilabel_gce",
        with_targets(multilabel_gce),
        exact.each_class(exact.gce.at),
        {"q": 0.7},
        takes_labels=False,
    ),
    Case(
        "sigmoid_focal",
        with_targets(jaxloss.sigmoid_focal),
        exact.balanced(exact.focal),
        {"gamma": 2.0, "alpha": 0.25},
        takes_labels=False,
    ),
    Case(
        "sigmoid_focal_half",
        with_targets(jaxloss.sigmoid_focal),
        exact.each_class(exact.focal.at),
        {"gamma": 0.5},
        takes_labels=False,
    ),
    Case(  # with points on both sides of p = clip in test_derivatives
        "asymmetric",
        with_targets(jaxloss.asymmetric),
        exact.asymmetric,
        {"gamma_positive": 1.0, "gamma_negative": 4.0, "clip": 0.3},
        takes_labels=False,
    ),
    Case(
        "asymmetric_0",
        with_targets(functools.partial(jaxloss.asymmetric, clip=0.0)),
        exact.asymmetric,
        {"gamma_positive": 0.5, "gamma_negative": 2.0},
        takes_labels=False,
    ),
    Case(
        "halted_focal",
        with_targets(jaxloss.halted_focal),
        exact.balanced(exact.halted_focal),
        {"gamma": 2.0, "alpha": 0.25},
        takes_labels=False,
    ),
    Case(
        "sigmoid_encouraging",
        with_targets(jaxloss.sigmoid_encouraging),
        exact.each_class(exact.encouraging.at),
        {"log_end": 0.75},
        takes_labels=False,
    ),
    Case(
        "sigmoid_equalization",
        with_targets(jaxloss.sigmoid_equalization),
        exact.equalization,
        {"weights": lambda c: 1 / (1 + np.arange(c))},
        takes_labels=False,
    ),
    Case(
        "greedy_exact",
        with_targets(with_bias(jaxloss.greedy_gradient)),
        exact.greedy(exact.residual),
        **ON_BIAS,
    ),
    Case(
        "greedy_relaxed",
        with_targets(with_bias(jaxloss.greedy_gradient, form="relaxed")),
        exact.greedy(exact.relaxed),
        **ON_BIAS,
    ),
    Case(
        "greedy_softmax",
        with_targets(with_bias(jaxloss.greedy_gradient, form="softmax")),
        exact.greedy_softmax,
        **ON_BIAS,
    ),
    Case(
        "gce_adjusted",
        on_adjusted(jaxloss.generalized_cross_entropy),
        exact.shifted(exact.gce, exact.prior_shift),
        {"q": 0.7, **PRIOR},
    ),
    Case(
        "encouraging_adjusted",
        on_adjusted(jaxloss.encouraging),
        exact.shifted(exact.encouraging, exact.prior_shift),
        {"log_end": 0.6, **PRIOR},
        zero_when_sure=False,
    ),
    Case("poly1", jaxloss.poly1, exact.poly1, {"epsilon": 1.5}),
    Case("taylor", partial(jaxloss.taylor_cross_entropy, order=3), THIRD_ORDER),
    Case(
        "symmetric",
        jaxloss.symmetric_cross_entropy,
        exact.symmetric,
        {"alpha": 0.1, "beta": 1.0, "log_zero": -4.0},
    ),
    Case(
        "smoothing",
        jaxloss.cross_entropy,
        exact.smoothed(exact.cross_entropy),
        {"label_smoothing": 0.1},
    ),
    Case(
        "smoothed_gce",
        partial(
            jaxloss.label_smoothed, partial(curves.generalized_cross_entropy, q=0.7)
        ),
        exact.smoothed(partial(exact.gce, q=0.7)),
        {"label_smoothing": 0.1},
    ),
    Case(
        "encouraging_smoothing",
        jaxloss.encouraging,
        exact.smoothed(exact.encouraging),
        {"log_end": 0.6, "label_smoothing": 0.1},
        zero_when_sure=False,
    ),
    Case("squared_error", jaxloss.squared_error, exact.brier),
    Case(
        "squared_error_sigmoid",
        partial(jaxloss.squared_error, activation="sigmoid"),
        exact.sigmoid_brier,
        **NOT_A_SOFTMAX,
    ),
    Case(
        "mae_sigmoid",
        partial(jaxloss.mean_absolute_error, activation="sigmoid"),
        exact.sigmoid_mae,
        **NOT_A_SOFTMAX,
    ),
    Case(
        "mirror_bonus",
        jaxloss.mirror_bonus,
        exact.mirror_bonus,
        {"gamma": 2.0},
        zero_when_sure=False,
    ),
    Case(
        "bi_tempered",
        jaxloss.bi_tempered_logistic,
        exact.bi_tempered,
        {"t1": 0.8, "t2": 1.2},
    ),
    Case(
        "bi_tempered_smoothing",
        jaxloss.bi_tempered_logistic,
        exact.bi_tempered,
        {"t1": 0.5, "t2": 2.0, "label_smoothing": 0.1},
        zero_when_sure=False,
    ),
    Case("normalized", jaxloss.normalized_cross_entropy, exact.normalized_ce),
    Case(
        "forward",
        jaxloss.forward_corrected_cross_entropy,
        exact.forward,
        {"transition": transition},
        zero_when_sure=False,
    ),
    Case(
        "backward",
        jaxloss.backward_corrected_cross_entropy,
        exact.backward,
        {"transition": transition},
        finite_only=True,
    ),
    Case(
        "z_loss",
        lambda logits, labels: jaxloss.z_loss(logits),
        exact.z_loss,
        takes_labels=False,
        largest_factor=200.0,
    ),
    Case(
        "label_aware",
        jaxloss.label_aware_smoothing,
        exact.label_aware,
        {"counts": counts, "head": 0.3, "tail": 0.05},
    ),
    Case(
        "vector_scaling",
        jaxloss.vector_scaling,
        exact.affine(exact.cross_entropy, exact.vector_scaling),
        {"counts": counts, "tau": 1.2, "gamma": 0.15},
        shift_invariant=False,
        zero_sum=False,
    ),
    Case(
        "ldam",
        jaxloss.ldam,
        exact.affine(exact.cross_entropy, exact.ldam),
        {"counts": counts, "max_margin": 0.5, "scale": 3.0},
    ),
    Case(
        "equalization",
        jaxloss.equalization,
        exact.affine(exact.cross_entropy, exact.rival_weights),
        {"weights": lambda c: 0.2 + np.arange(c) / c},
    ),
    Case(
        "seesaw",
        jaxloss.seesaw,
        exact.affine(exact.cross_entropy, exact.seesaw),
        {"counts": counts, "p": 0.8, "q": 2.0, "epsilon": 1e-2},
        surrogate=True,
    ),
    Case(
        "cosface",
        jaxloss.cosface,
        exact.affine(exact.cross_entropy, exact.cosface),
        {"margin": 0.35, "scale": 4.0},
    ),
    Case(
        "arcface",
        # Quarters: the kink at the cosine 1 is no point for differences.
        lambda logits, labels, **hyper: jaxloss.arcface(logits / 4, labels, **hyper),
        exact.quartered(exact.arcface),
        {"margin": 0.5, "scale": 4.0},
        shift_invariant=False,
        zero_sum=False,
    ),
    Case(
        "logit_norm",
        jaxloss.logit_norm,
        exact.logit_norm,
        {"temperature": 0.5, "epsilon": 1e-7},
        finite_only=True,
        shift_invariant=False,
        zero_sum=False,
        cancels=True,
    ),
    Case(
        "bias_product",
        with_targets(with_bias(jaxloss.bias_product)),
        exact.bias_product,
        {"bias_logits": bias, "smoothing": 0.05},
        takes_labels=False,
    ),
    Case(
        "bias_product_unsmoothed",
        with_targets(with_bias(jaxloss.bias_product)),
        exact.bias_product,
        {"bias_logits": bias},
        takes_labels=False,
    ),
    Case(
        "bias_product_softmax",
        with_targets(with_bias(jaxloss.bias_product, form="softmax")),
        exact.bias_product_softmax,
        {"bias_logits": bias},
        takes_labels=False,
    ),
    Case(
        "bias_product_softmax_smoothed",
        with_targets(with_bias(jaxloss.bias_product, form="softmax")),
        exact.bias_product_softmax,
        {"bias_logits": bias, "smoothing": 0.05},
        takes_labels=False,
    ),
    Case(
        "learned_mixin",
        with_targets(with_gate(with_bias(jaxloss.learned_mixin))),
        exact.learned_mixin,
        {"bias_logits": bias, "gate": 0.7, "entropy_weight": 0.36, "smoothing": 0.05},
        takes_labels=False,
    ),
    Case(
        "learned_mixin_softmax",
        with_targets(with_gate(with_bias(jaxloss.learned_mixin, form="softmax"))),
        exact.learned_mixin_softmax,
        {"bias_logits": bias, "gate": 0.7, "entropy_weight": 0.36},
        takes_labels=False,
        zero_when_sure=False,
    ),
    Case(
        "bias_reweighted",
        with_targets(with_bias(jaxloss.bias_reweighted)),
        exact.bias_reweighted,
        **ON_BIAS,
    ),
    Case(
        "rubi",
        with_bias(jaxloss.rubi),
        exact.rubi,
        {"bias_logits": bias},
        shift_invariant=False,
        zero_sum=False,
    ),
]
CASES = {case.name: case for case in POINTS}


def both(case, logits, labels):
    """Losses and gradients; compiled once for each shape and type."""
    return _compiled(case.name)(jnp.asarray(logits), labels)


@functools.cache
def _compiled(name):
    def losses_and_gradients(z, labels):
        losses, pull = jax.vjp(lambda z: CASES[name](z, labels), z)
        return losses, pull(jnp.ones_like(losses))[0]

    return jax.jit(losses_and_gradients)


all_losses = pytest.mark.parametrize("case", POINTS, ids=CASES)
labelled = pytest.mark.parametrize(
    "case", [c for c in POINTS if c.takes_labels], ids=lambda c: c.name
)


def mixed_logits(shape, scale=3.0, seed=0):
    """Logits that cover doubtful and sure examples, multiples of 2^-10, so that the
    differences are exact in float32."""
    rng = np.random.default_rng(seed)
    spread = scale * np.exp(rng.normal(size=(*shape[:-1], 1)))
    return np.round(rng.normal(size=shape) * spread * 1024) / 1024
