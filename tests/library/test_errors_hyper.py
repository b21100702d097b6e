"""Wrong hyper-parameters fail at once, by name; NaN logits stay where they are."""

# numpy arrays are as good as the jax ones in the annotations.
# pyright: reportArgumentType=false

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxloss
from jaxloss import curves
from tests.library.catalogue import both, labelled, mixed_logits
from tests.library.test_errors import raises

U = jnp.zeros(4)
NOISE = np.full((3, 3), 0.25) + 0.25 * np.eye(3)
COUNTED = {
    "ldam": jaxloss.ldam,
    "vector_scaling": jaxloss.vector_scaling,
    "seesaw": jaxloss.seesaw,
    "label_aware_smoothing": jaxloss.label_aware_smoothing,
}
CORRECTED = {
    "forward": jaxloss.forward_corrected_cross_entropy,
    "backward": jaxloss.backward_corrected_cross_entropy,
}


def call(loss, **hyper):
    """Of logits and labels, for the table; hyper-parameters are concrete."""
    return functools.partial(loss, **hyper)


def alone(function, *args, **hyper):
    return lambda z, y: function(*args, **hyper)


WRONG_VALUES = {
    "label smoothing above 1": (
        call(jaxloss.cross_entropy, label_smoothing=1.5),
        ["label_smoothing", "[0, 1]", "1.5"],
    ),
    "label smoothing of a curve": (
        lambda z, y: jaxloss.label_smoothed(
            curves.cross_entropy, z, y, label_smoothing=-0.1
        ),
        ["label_smoothing", "[0, 1]", "-0.1"],
    ),
    "label smoothing of encouraging": (
        call(jaxloss.encouraging, label_smoothing=2.0),
        ["label_smoothing", "2.0"],
    ),
    "poly-1 below -1": (call(jaxloss.poly1, epsilon=-2.0), ["epsilon", "-2.0"]),
    "order 0": (call(jaxloss.taylor_cross_entropy, order=0), ["order", "0"]),
    "log 0 positive": (
        call(jaxloss.symmetric_cross_entropy, log_zero=4.0),
        ["log_zero", "4.0"],
    ),
    "negative weight of the reverse": (
        call(jaxloss.symmetric_cross_entropy, beta=-1.0),
        ["beta", "-1.0"],
    ),
    "unknown activation of Brier": (
        call(jaxloss.squared_error, activation="relu"),
        ["activation", "softmax", "sigmoid", "relu"],
    ),
    "unknown activation of MAE": (
        call(jaxloss.mean_absolute_error, activation="tanh"),
        ["activation", "softmax", "sigmoid", "tanh"],
    ),
    "mirror bonus of power 0": (call(jaxloss.mirror_bonus, gamma=0.0), ["gamma"]),
    "bonus that starts at 1": (
        alone(curves.log_bonus, U, start=1.0),
        ["start", "[0, 1)", "1.0"],
    ),
    "bonus that ends at 0": (alone(curves.cosine_bonus, U, end=0.0), ["end", "(0, 1]"]),
    "power bonus of power 0": (alone(curves.power_bonus, U, gamma=0.0), ["gamma"]),
    "log_end 0 of a bonus": (alone(curves.log_bonus, U, log_end=0.0), ["log_end"]),
    "unknown schedule": (
        alone(jaxloss.encouraging_schedule, 1, 2, form="step"),
        ["form", "linear", "exponential", "cosine", "step"],
    ),
    "schedule of no length": (alone(jaxloss.encouraging_schedule, 1, 0), ["total"]),
    "t1 of 2": (call(jaxloss.bi_tempered_logistic, t1=2.0, t2=1.0), ["t1", "2.0"]),
    "t2 below 1": (call(jaxloss.bi_tempered_logistic, t1=0.5, t2=0.5), ["t2", "0.5"]),
    "unknown scheme": (
        alone(jaxloss.class_weights, jnp.ones(3), scheme="log"),
        ["scheme", "inverse", "sqrt", "effective", "log"],
    ),
    "beta 1": (
        alone(jaxloss.class_weights, np.ones(3), scheme="effective", beta=1.0),
        ["beta", "[0, 1)", "1.0"],
    ),
    "unknown form of smoothing": (
        call(jaxloss.label_aware_smoothing, counts=np.ones(3), form="square"),
        ["form", "concave", "exponential", "square"],
    ),
    "head above 1": (
        call(jaxloss.label_aware_smoothing, counts=np.ones(3), head=1.5),
        ["head", "1.5"],
    ),
    "negative p of seesaw": (
        call(jaxloss.seesaw, counts=np.ones(3), p=-1.0),
        ["p must", "-1.0"],
    ),
    "weights of another length": (
        call(jaxloss.equalization, weights=np.ones(4)),
        ["weights", "[4]", "(3,)", "float32[4,3]"],
    ),
    "weights [B, 1]": (
        call(jaxloss.equalization, weights=np.ones((4, 1))),
        ["weights", "[4,1]", "(4, 3)"],
    ),
    "negative weights": (
        call(jaxloss.equalization, weights=np.array([1.0, -1.0, 1.0])),
        ["weights", "-1."],
    ),
    "margin beyond pi": (call(jaxloss.arcface, margin=4.0), ["margin", "4.0"]),
    "temperature 0": (
        call(jaxloss.logit_norm, temperature=0.0),
        ["temperature", "(0, inf]", "0.0"],
    ),
    "negative epsilon of a norm": (
        call(jaxloss.logit_norm, temperature=1.0, epsilon=-1.0),
        ["epsilon", "-1.0"],
    ),
    "gradient weights that do not broadcast": (
        lambda z, y: jaxloss.scale_gradient(z, jnp.ones((4, 1, 1))),
        ["weights", "[4,1,1]", "float32[4,3]"],
    ),
    "noise rate above 1": (
        alone(jaxloss.symmetric_transition, 3, 1.5),
        ["rate", "1.5"],
    ),
    "negative noise rate": (alone(jaxloss.pair_transition, 3, -0.5), ["rate", "-0.5"]),
    "quantile 0": (
        alone(jaxloss.transition_from_anchors, jnp.ones((2, 2)), quantile=0.0),
        ["quantile", "0.0"],
    ),
    "probabilities of no examples": (
        alone(jaxloss.transition_from_anchors, jnp.ones((0, 2))),
        ["probabilities", "[0,2]"],
    ),
    "clean and noisy labels of two lengths": (
        alone(jaxloss.transition_from_labels, jnp.zeros(3, int), jnp.zeros(4, int), 2),
        ["clean", "noisy", "[3]", "[4]"],
    ),
}
for name, loss in COUNTED.items():
    WRONG_VALUES |= {
        f"{name}: counts of another length": (
            call(loss, counts=np.ones(4)),
            ["counts", "[4]", "(3,)", "float32[4,3]"],
        ),
        f"{name}: counts [1, C]": (
            call(loss, counts=np.ones((1, 3))),
            ["counts", "[1,3]"],
        ),
        f"{name}: negative counts": (
            call(loss, counts=np.array([1, -1, 1])),
            ["counts", "-1"],
        ),
        f"{name}: no counts": (call(loss, counts=np.zeros(3)), ["sum of counts"]),
    }
for name, loss in CORRECTED.items():
    WRONG_VALUES |= {
        f"{name}: transition of another size": (
            call(loss, transition=np.eye(4)),
            ["transition", "[4,4]", "(3, 3)", "float32[4,3]"],
        ),
        f"{name}: columns that sum to 1": (
            call(loss, transition=np.array([[1, 0.5, 0], [0, 0.5, 0], [0, 0, 1.0]])),
            ["rows of transition", "sum to 1", "0.5", "1.5"],
        ),
        f"{name}: negative probabilities": (
            call(loss, transition=2 * np.eye(3) - NOISE),
            ["transition", "[0, 1]"],
        ),
    }
WRONG_TYPES = {
    "int logits of a gradient": (
        alone(jaxloss.scale_gradient, jnp.ones((4, 3), int), jnp.ones(3)),
        ["logits", "int64[4,3]"],
    ),
    "float clean labels": (
        alone(jaxloss.transition_from_labels, jnp.ones(3), jnp.ones(3, int), 2),
        ["clean", "float64[3]"],
    ),
    "one-hot labels": (
        lambda z, y: jaxloss.poly1(z, jax.nn.one_hot(y, 3)),
        ["labels", "argmax"],
    ),
    "int cosines": (
        alone(jaxloss.cosface, jnp.ones((4, 3), int), jnp.zeros(4, int)),
        ["logits", "int64[4,3]"],
    ),
}


@pytest.mark.parametrize(
    ("error", "wrong", "words"),
    [(ValueError, *row) for row in WRONG_VALUES.values()]
    + [(TypeError, *row) for row in WRONG_TYPES.values()],
    ids=[*WRONG_VALUES, *WRONG_TYPES],
)
def test_a_wrong_call(error, wrong, words):
    raises(error, wrong, words)


def test_traced_hyper_parameters_are_not_checked():
    """A transition that is learned is no matrix of numbers yet."""
    z, y = jnp.zeros((4, 3)), jnp.zeros(4, int)
    forward = jaxloss.forward_corrected_cross_entropy
    shape = jax.eval_shape(lambda t: forward(z, y, transition=t), jnp.ones((3, 3)))
    assert shape.shape == (4,)


@labelled
def test_nan_logits_are_nan_for_that_example_alone(case):
    """Loud, and contained: the mask of a caller can still take the example out."""
    z, labels = mixed_logits((8, 10)), np.arange(8)
    broken = np.where(np.arange(8)[:, None] == 3, np.nan, z)
    losses, plain = (both(case, logits, labels)[0] for logits in (broken, z))
    assert np.array_equal(np.isnan(losses), np.arange(8) == 3)
    np.testing.assert_allclose(
        np.delete(losses, 3), np.delete(plain, 3), rtol=1e-12, atol=1e-13
    )
