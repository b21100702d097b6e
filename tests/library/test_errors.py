"""A wrong call fails while it is traced, and says which argument and both shapes."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from jaxloss import curves

Z, Y = jnp.zeros((4, 3), jnp.float32), jnp.zeros(4, jnp.int32)
T = jnp.zeros((4, 3), jnp.float32)
SHAPE = "float32[4,3]"  # of the logits
U = jnp.zeros(4)

CE, GCE = jaxloss.cross_entropy, jaxloss.generalized_cross_entropy
LA, MARGIN = jaxloss.logit_adjusted_cross_entropy, jaxloss.margin_cross_entropy
TGCE = jaxloss.truncated_generalized_cross_entropy
GGD, GREEDY = jaxloss.general_greedy_debias, jaxloss.greedy_gradient
PRODUCT, MIXIN = jaxloss.bias_product, jaxloss.learned_mixin


def gala(z, y, positive, negative):
    return jaxloss.gala(z, y, positive=positive, negative=negative)


def asl(z, clip, gamma_positive=1.0, gamma_negative=4.0):
    return jaxloss.asymmetric(
        z,
        T,
        gamma_positive=gamma_positive,
        gamma_negative=gamma_negative,
        clip=clip,
    )


def as_classes(z, y):
    return jax.nn.one_hot(y, 3)


WRONG_SHAPES = {
    "labels [B, 1]": (
        lambda z, y: CE(z, y[:, None]),
        ["labels", "int32[4,1]", SHAPE, "squeeze"],
    ),
    "labels of another length": (lambda z, y: CE(z, y[:3]), ["labels", "[3]", SHAPE]),
    "one label for a batch": (lambda z, y: CE(z, y[0]), ["labels", "int32[]", SHAPE]),
    "logits [B, 1, C]": (lambda z, y: CE(z[:, None], y), ["int32[4]", "[4,1,3]"]),
    "log-odds": (
        lambda z, y: jaxloss.label_log_odds(z, y[:, None]),
        ["labels", "int32[4,1]", SHAPE],
    ),
    "log_prior of another length": (
        lambda z, y: LA(z, y, log_prior=jnp.zeros(5)),
        ["log_prior", "float64[5]", SHAPE],
    ),
    "log_prior [1, C]": (
        lambda z, y: LA(z, y, log_prior=jnp.zeros((1, 3))),
        ["log_prior", "float64[1,3]", SHAPE],
    ),
    "log_prior for training": (
        lambda z, y: jaxloss.adjust_logits(z, log_prior=jnp.zeros(4)),
        ["log_prior", "float64[4]", SHAPE],
    ),
    "log_prior for prediction": (
        lambda z, y: jaxloss.posthoc_adjust_logits(z, log_prior=jnp.zeros(())),
        ["log_prior", "float64[]", SHAPE],
    ),
    "margin [C]": (
        lambda z, y: MARGIN(z, y, margin=jnp.zeros(3)),
        ["margin", "float64[3]", "(3, 3)", SHAPE],
    ),
    "margin [C, C + 1]": (
        lambda z, y: MARGIN(z, y, margin=jnp.zeros((3, 4))),
        ["margin", "float64[3,4]", SHAPE],
    ),
    "positive": (
        lambda z, y: gala(z, y, jnp.ones(4), jnp.ones(3)),
        ["positive", "float64[4]", SHAPE],
    ),
    "negative": (
        lambda z, y: gala(z, y, jnp.ones(3), jnp.ones((3, 3))),
        ["negative", "float64[3,3]", SHAPE],
    ),
    "bias_logits per class": (
        lambda z, y: GGD(z, y, bias_logits=jnp.zeros(3)),
        ["bias_logits", "float64[3]", SHAPE],
    ),
    "bias_logits of another batch": (
        lambda z, y: GREEDY(z, as_classes(z, y), bias_logits=z[:2]),
        ["bias_logits", "float32[2,3]", SHAPE],
    ),
    "bias_logits of a product": (
        lambda z, y: PRODUCT(z, T, bias_logits=z[:, :2]),
        ["bias_logits", "float32[4,2]", SHAPE],
    ),
    "bias_logits of a mixin": (
        lambda z, y: MIXIN(z, T, bias_logits=z[0], gate=z[:, 0]),
        ["bias_logits", "float32[3]", SHAPE],
    ),
    "bias_logits as weights": (
        lambda z, y: jaxloss.bias_reweighted(z, T, bias_logits=z[:2]),
        ["bias_logits", "float32[2,3]", SHAPE],
    ),
    "bias_logits as a mask": (
        lambda z, y: jaxloss.rubi(z, y, bias_logits=z[:, 0]),
        ["bias_logits", "float32[4]", SHAPE],
    ),
    "one gate for a batch": (
        lambda z, y: MIXIN(z, T, bias_logits=z, gate=jnp.ones(())),
        ["gate", "float64[]", "(4,)", SHAPE],
    ),
    "gate [B, 1]": (
        lambda z, y: MIXIN(z, T, bias_logits=z, gate=z[:, :1]),
        ["gate", "float32[4,1]", SHAPE],
    ),
    "labels of a product": (
        lambda z, y: PRODUCT(z, y, bias_logits=z),
        ["targets", "int32[4]", SHAPE],
    ),
    "targets as labels": (
        lambda z, y: jaxloss.sigmoid_cross_entropy(z, y),
        ["targets", "int32[4]", SHAPE],
    ),
    "targets of one class": (
        lambda z, y: jaxloss.sigmoid_cross_entropy(z, T[:, :1]),
        ["targets", "float32[4,1]", SHAPE],
    ),
    "targets of a curve": (
        lambda z, y: jaxloss.multilabel(curves.cross_entropy, z, T[0]),
        ["targets", "float32[3]", SHAPE],
    ),
    "targets of the sigmoid focal loss": (
        lambda z, y: jaxloss.sigmoid_focal(z, T.T),
        ["targets", "float32[3,4]", SHAPE],
    ),
    "weights of the negatives": (
        lambda z, y: jaxloss.sigmoid_equalization(z, T, weights=jnp.ones(4)),
        ["weights", "float64[4]", "(3,)", SHAPE],
    ),
    "weights [B, 1]": (
        lambda z, y: jaxloss.sigmoid_equalization(z, T, weights=jnp.ones((4, 1))),
        ["weights", "float64[4,1]", "(4, 3)", SHAPE],
    ),
    "where": (
        lambda z, y: jaxloss.masked_mean(CE(z, y), where=jnp.ones((4, 1), bool)),
        ["where", "bool[4,1]", "float32[4]"],
    ),
    "weights": (
        lambda z, y: jaxloss.masked_mean(CE(z, y), weights=jnp.ones(3)),
        ["weights", "float64[3]", "float32[4]"],
    ),
    "where of a metric": (
        lambda z, y: jaxloss.metrics.per_class_accuracy(z, y, where=y[:2] > 0),
        ["where", "bool[2]", SHAPE],
    ),
    "where of the calibration": (
        lambda z, y: jaxloss.metrics.expected_calibration_error(z, y, where=y[:1] > 0),
        ["where", "bool[1]", SHAPE],
    ),
    "labels of a metric": (
        lambda z, y: jaxloss.metrics.accuracy(z, y[:, None]),
        ["labels", "int32[4,1]", SHAPE],
    ),
    "counts of another length": (
        lambda z, y: jaxloss.metrics.shot_accuracy(z[0], y),
        ["counts", "int32[4]", "float32[3]"],
    ),
    "no classes": (lambda z, y: CE(z[:, :0], y), ["logits", "float32[4,0]"]),
    "scalar logits": (lambda z, y: CE(z[0, 0], y[0]), ["logits", "float32[]"]),
    "counts [1, C]": (
        lambda z, y: jaxloss.class_log_prior(np.ones((1, 3))),
        ["counts", "float64[1,3]"],
    ),
    "kernel": (
        lambda z, y: jaxloss.tau_normalize(z[0], tau=1.0),
        ["kernel", "float32[3]"],
    ),
}
WRONG_TYPES = {
    "float labels": (lambda z, y: CE(z, z[:, 0]), ["labels", "float32[4]", SHAPE]),
    "bool labels": (lambda z, y: CE(z, y > 0), ["labels", "bool[4]", SHAPE]),
    "one-hot labels": (
        lambda z, y: CE(z, as_classes(z, y)),
        ["labels", "[4,3]", SHAPE, "argmax"],
    ),
    "int logits": (lambda z, y: CE(jnp.ones((4, 3), int), y), ["logits", "int64"]),
    "complex logits": (lambda z, y: CE(z + 1j, y), ["logits", "complex64[4,3]"]),
    "int logits of a sigmoid": (
        lambda z, y: jaxloss.sigmoid_cross_entropy(jnp.ones((4, 3), int), T),
        ["logits", "int64[4,3]"],
    ),
    "int logits of a curve": (
        lambda z, y: jaxloss.halted_focal(jnp.ones((4, 3), int), T),
        ["logits", "int64[4,3]"],
    ),
    "labels swapped with logits": (lambda z, y: CE(y, z), ["logits", "int32[4]"]),
}
OUT_OF_RANGE = {
    "q = 0": (lambda z, y: GCE(z, y, q=0.0), ["q", "(0, 1]", "0.0"]),
    "q > 1": (lambda z, y: GCE(z, y, q=1.5), ["q", "1.5"]),
    "q NaN": (lambda z, y: GCE(z, y, q=float("nan")), ["q", "nan"]),
    "q in an array": (lambda z, y: GCE(z, y, q=np.array(-1.0)), ["q", "-1.0"]),
    "k = 1": (lambda z, y: TGCE(z, y, k=1.0), ["k", "[0, 1)", "1.0"]),
    "k < 0": (lambda z, y: TGCE(z, y, k=-0.1), ["k", "-0.1"]),
    "q of the truncated": (lambda z, y: TGCE(z, y, q=2.0), ["q", "2.0"]),
    "k = 0 for pruning": (
        lambda z, y: jaxloss.truncated_gce_objective(4, k=0.0).init(),
        ["k", "(0, 1)"],
    ),
    "log_end = 0": (lambda z, y: jaxloss.encouraging(z, y, log_end=0.0), ["log_end"]),
    "log_end > 1": (lambda z, y: jaxloss.encouraging(z, y, log_end=1.1), ["log_end"]),
    "gamma < 0": (lambda z, y: jaxloss.focal(z, y, gamma=-1.0), ["gamma", "-1.0"]),
    "gamma infinite": (lambda z, y: curves.focal(U, gamma=np.inf), ["gamma", "inf"]),
    "q of the curve": (
        lambda z, y: curves.generalized_cross_entropy(U, q=-1.0),
        ["q", "-1.0"],
    ),
    "weight > 1": (
        lambda z, y: GGD(z, y, bias_logits=z, weight=1.2),
        ["weight", "[0, 1]", "1.2"],
    ),
    "weight < 0": (lambda z, y: GGD(z, y, bias_logits=z, weight=-1.0), ["weight"]),
    "decay = 0": (lambda z, y: jaxloss.gala_objective(3, decay=0.0).init(), ["decay"]),
    "decay > 1": (lambda z, y: jaxloss.gala_objective(3, decay=2.0).init(), ["decay"]),
    "negative counts": (
        lambda z, y: jaxloss.class_log_prior(np.array([3, -1])),
        ["counts"],
    ),
    "NaN counts": (
        lambda z, y: jaxloss.class_log_prior(np.array([3, np.nan])),
        ["counts", "nan"],
    ),
    "no example at all": (
        lambda z, y: jaxloss.class_log_prior(np.zeros(3)),
        ["counts", "(0"],
    ),
    "negative step": (
        lambda z, y: jaxloss.curriculum_weight(-1, 10, offset=0),
        ["step", "-1"],
    ),
    "no steps": (lambda z, y: jaxloss.curriculum_weight(0, 0, offset=0), ["total"]),
    "negative offset": (
        lambda z, y: jaxloss.curriculum_weight(0, 9, offset=-1),
        ["offset", "-1"],
    ),
    "gamma < 0 of a sigmoid": (
        lambda z, y: jaxloss.sigmoid_focal(z, T, gamma=-0.5),
        ["gamma", "-0.5"],
    ),
    "gamma < 0, halted": (
        lambda z, y: jaxloss.halted_focal(z, T, gamma=-0.5),
        ["gamma", "-0.5"],
    ),
    "gamma < 0 of the positives": (lambda z, y: asl(z, 0.0, gamma_positive=-1), ["-1"]),
    "gamma < 0 of the negatives": (lambda z, y: asl(z, 0.0, gamma_negative=-2), ["-2"]),
    "alpha > 1": (
        lambda z, y: jaxloss.sigmoid_focal(z, T, alpha=1.5),
        ["alpha", "[0, 1]", "1.5"],
    ),
    "alpha of torchvision's none": (
        lambda z, y: jaxloss.multilabel(curves.cross_entropy, z, T, alpha=-1),
        ["alpha", "-1"],
    ),
    "clip < 0": (lambda z, y: asl(z, -0.05), ["clip", "[0, 1)", "-0.05"]),
    "clip = 1": (lambda z, y: asl(z, 1.0), ["clip", "[0, 1)", "1.0"]),
    "log_end of a sigmoid": (
        lambda z, y: jaxloss.sigmoid_encouraging(z, T, log_end=1.5),
        ["log_end", "1.5"],
    ),
    "negative weights": (
        lambda z, y: jaxloss.sigmoid_equalization(z, T, weights=-np.ones(3)),
        ["weights", "-1"],
    ),
    "unknown halting": (
        lambda z, y: jaxloss.halted_focal(z, T, halting="paper"),
        ["halting", "well_classified", "released", "paper"],
    ),
    "unknown form of a product": (
        lambda z, y: PRODUCT(z, T, bias_logits=z, form="exact"),
        ["form", "sigmoid", "softmax", "exact"],
    ),
    "unknown form of a mixin": (
        lambda z, y: MIXIN(z, T, bias_logits=z, gate=z[:, 0], form="logits"),
        ["form", "sigmoid", "softmax", "logits"],
    ),
    "smoothing < 0": (
        lambda z, y: PRODUCT(z, T, bias_logits=z, smoothing=-0.1),
        ["smoothing", "[0", "-0.1"],
    ),
    "smoothing infinite": (
        lambda z, y: MIXIN(z, T, bias_logits=z, gate=z[:, 0], smoothing=np.inf),
        ["smoothing", "inf"],
    ),
    "gate < 0": (
        lambda z, y: MIXIN(z, T, bias_logits=z, gate=np.array([0, 1, -1, 0.0])),
        ["gate", "[0"],
    ),
    "entropy_weight < 0": (
        lambda z, y: MIXIN(z, T, bias_logits=z, gate=z[:, 0], entropy_weight=-1.0),
        ["entropy_weight", "[0", "-1.0"],
    ),
    "unknown form": (
        lambda z, y: GREEDY(z, as_classes(z, y), bias_logits=z, form="hard"),
        ["form", "exact", "relaxed", "softmax", "hard"],
    ),
    "unknown variant": (
        lambda z, y: jaxloss.gala_objective(3, variant="code").init(),
        ["variant", "paper", "released", "code"],
    ),
}
VALUE_ERRORS = WRONG_SHAPES | OUT_OF_RANGE


def raises(error, call, words):
    pattern = "".join(rf"(?=[\s\S]*{re.escape(word)})" for word in words)
    with pytest.raises(error, match=pattern):
        jax.eval_shape(call, Z, Y)


@pytest.mark.parametrize(("call", "words"), VALUE_ERRORS.values(), ids=VALUE_ERRORS)
def test_a_wrong_shape_or_value(call, words):
    raises(ValueError, call, words)


@pytest.mark.parametrize(("call", "words"), WRONG_TYPES.values(), ids=WRONG_TYPES)
def test_a_wrong_type(call, words):
    raises(TypeError, call, words)


def test_traced_hyper_parameters_are_not_checked():
    losses = jax.eval_shape(lambda q: GCE(Z, Y, q=q), 2.0)
    assert losses.shape == (4,)
