"""Top-down attention: where it looks, what it must not see, and a value by hand."""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from train.data.vqa import Inputs
from train.models import functional
from train.vqa_models import QuestionEncoder, attention, question_only, top_down

WORDS, FEATURES, ANSWERS, CELLS = 20, 6, 5, 4
SIZES: dict[str, Any] = {"embedding": 3, "state": 4, "hidden": 7}
FORMS = pytest.mark.parametrize("form", ["weight_norm", "gated_tanh"])


def some_inputs(present=False) -> Any:
    rng = np.random.default_rng(0)
    question = rng.integers(1, WORDS, (3, 5)).astype(np.int32)
    question[0, 3:] = question[1, 1:] = 0
    mask = np.array([[1, 1, 0, 1], [0, 0, 1, 0], [1, 1, 1, 1]], bool)
    image = rng.normal(size=(3, CELLS, FEATURES)).astype(np.float32)
    kinds = np.zeros(3, np.int32)
    return Inputs(image, question, kinds, mask if present else None)


@functools.cache
def base(form: Any = "weight_norm") -> Any:
    model = top_down(WORDS, FEATURES, ANSWERS, form=form, **SIZES)
    # Op by op, every call would compile the scan anew.
    model = model._replace(apply=jax.jit(model.apply))
    return model, jax.jit(model.init)(jax.random.key(1))


@FORMS
def test_shapes_and_the_head(form):
    model, (params, stats) = base(form)
    out, _ = model.apply(params, stats, some_inputs())
    assert out.logits.shape == (3, ANSWERS)
    assert out.features.shape == (3, 14) and model.kernel(params).shape == (14, ANSWERS)
    expected = np.asarray(out.features @ model.kernel(params))
    np.testing.assert_allclose(
        out.logits, expected + np.asarray(params["head"]["bias"]), atol=1e-5
    )


@FORMS
def test_more_padding_changes_nothing(form):
    inputs = some_inputs()
    longer = inputs._replace(question=np.pad(inputs.question, ((0, 0), (0, 6))))
    model, (params, stats) = base(form)
    short = model.apply(params, stats, inputs)[0]
    for a, b in zip(short, model.apply(params, stats, longer)[0], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    words = inputs.question.copy()
    words[0, 2] = words[0, 2] % (WORDS - 1) + 1  # another word does
    other = model.apply(params, stats, inputs._replace(question=words))[0]
    assert np.abs(other.logits - short.logits)[0].max() > 1e-4
    np.testing.assert_allclose(other.logits[1:], short.logits[1:], atol=1e-6)


@FORMS
def test_attention_sums_to_one_over_the_boxes_there_are(form):
    inputs = some_inputs(present=True)
    model, (params, stats) = base(form)
    look = attention(model)(params, stats, inputs)
    assert look.shape == (3, CELLS)
    np.testing.assert_allclose(look.sum(axis=1), 1, atol=1e-6)
    assert np.all(np.asarray(look)[~inputs.present] == 0)
    np.testing.assert_allclose(look[1], [0, 0, 1, 0], atol=1e-6)
    # What a missing box holds does not matter.
    image = np.where(inputs.present[..., None], inputs.image, 1e3).astype(np.float32)
    full = model.apply(params, stats, inputs)[0].logits
    other = model.apply(params, stats, inputs._replace(image=image))[0].logits
    np.testing.assert_allclose(full, other, atol=1e-5)


def test_attention_moves_with_the_cells():
    inputs, order = some_inputs(), np.array([2, 0, 3, 1])
    moved = inputs._replace(image=inputs.image[:, order])
    model, (params, stats) = base()
    a, b = (model.apply(params, stats, x)[0] for x in (inputs, moved))
    np.testing.assert_allclose(b.attention, a.attention[:, order], atol=1e-6)
    np.testing.assert_allclose(b.logits, a.logits, atol=1e-5)


def test_attention_by_hand():
    """One unit: scores w relu(v) relu(q) of cells v = 0, 1, 3 for w relu(q) = 2."""
    model: Any = top_down(2, 1, 2, embedding=1, state=1, hidden=1)
    params, stats = jax.jit(model.init)(jax.random.key(0))
    params = jax.tree.map(jnp.zeros_like, params)
    for name in ("attend_image", "attend_question", "image", "question", "classify"):
        kernel = jnp.ones_like(params[name]["linear"]["kernel"])
        params[name]["linear"]["kernel"] = kernel
        params[name]["scale"] = jnp.linalg.norm(kernel)
    # The state is 0 whatever the question; the projections of it are their biases.
    params["attend_question"]["linear"]["bias"] = jnp.array([4.0])
    params["question"]["linear"]["bias"] = jnp.array([1.0])
    params["attend"]["kernel"] = jnp.array([[0.5]])
    params["head"]["kernel"] = jnp.array([[1.0, 0.0], [1.0, -1.0]])
    image = np.array([[[0.0], [1.0], [3.0]]], np.float32)
    inputs = Inputs(image, np.array([[1]]), np.zeros(1, np.int32))
    out = model.apply(params, stats, inputs)[0]
    weights = np.exp([0.0, 2.0, 6.0])
    np.testing.assert_allclose(out.attention[0], weights / weights.sum(), rtol=1e-5)
    seen = (weights[1] + 3 * weights[2]) / weights.sum()
    np.testing.assert_allclose(out.logits[0], [2 * seen, -seen], rtol=1e-5)


def test_the_encoder_by_hand():
    """Two words, width one, in plain Python."""
    model = functional(lambda rngs: QuestionEncoder(4, 1, 1, rngs=rngs), lambda p: p)
    params, stats = model.init(jax.random.key(3))
    params["recur"]["bias"] = jnp.array([0.1, -0.2, 0.3])
    embedding = np.asarray(params["embed"]["embedding"])[:, 0]
    enter, bias = (np.asarray(params["enter"][k]).ravel() for k in ("kernel", "bias"))
    recur, shift = (np.asarray(params["recur"][k]).ravel() for k in ("kernel", "bias"))
    h = 0.0
    for word in (3, 2):
        x = embedding[word] * enter + bias
        u = h * recur + shift
        reset = 1 / (1 + math.exp(-(x[0] + u[0])))
        keep = 1 / (1 + math.exp(-(x[1] + u[1])))
        h = (1 - keep) * math.tanh(x[2] + reset * u[2]) + keep * h
    state: Any = model.apply(params, stats, np.array([[3, 2, 0, 0]]))[0]
    np.testing.assert_allclose(state, [[h]], rtol=1e-5)


def test_question_only_sees_no_image():
    model = question_only(WORDS, ANSWERS, **SIZES)
    params, stats = jax.jit(model.init)(jax.random.key(0))
    inputs = some_inputs()
    blind = inputs._replace(image=np.full_like(inputs.image, np.nan))
    out = model.apply(params, stats, blind)[0]
    np.testing.assert_array_equal(out.logits, model.apply(params, stats, inputs)[0][0])
    assert np.isfinite(out.logits).all() and out.features.shape == (3, 14)
    expected = np.asarray(out.features @ model.kernel(params))
    np.testing.assert_allclose(
        out.logits, expected + np.asarray(params["head"]["bias"]), atol=1e-5
    )


@FORMS
def test_gradients_are_finite_and_reach_every_parameter(form):
    model, (params, stats) = base(form)
    inputs = jax.tree.map(jnp.asarray, some_inputs(present=True))

    def loss(params):
        return jnp.sum(model.apply(params, stats, inputs)[0].logits ** 2)

    leaves, _ = jax.tree.flatten_with_path(jax.jit(jax.grad(loss))(params))
    for path, leaf in leaves:
        assert np.isfinite(leaf).all(), path
        # Softmax takes no notice of a number that is added to every score.
        if jax.tree_util.keystr(path) != "['attend']['bias']":
            assert np.abs(leaf).max() > 0, path


def test_the_sizes_of_the_papers():
    model = top_down(18_000, 2048, 2274)
    params, stats = jax.eval_shape(model.init, jax.random.key(0))
    shapes: Any = (  # in the place of arrays
        jax.ShapeDtypeStruct((8, 36, 2048), jnp.float32),
        jax.ShapeDtypeStruct((8, 14), jnp.int32),
        jax.ShapeDtypeStruct((8,), jnp.int32),
        jax.ShapeDtypeStruct((8, 36), jnp.bool_),
    )
    inputs = Inputs(*shapes)
    out, _ = jax.eval_shape(model.apply, params, stats, inputs)
    assert out.logits.shape == (8, 2274) and out.attention.shape == (8, 36)
    assert params["encoder"]["embed"]["embedding"].shape == (18_000, 300)
    assert params["encoder"]["recur"]["kernel"].shape == (1024, 3 * 1024)
    assert out.features.shape == (8, 2048)
