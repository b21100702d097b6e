"""Question answering over a grid or boxes: top-down attention, and the question alone.

The base model of the papers: embedding, GRU, one look at the picture, the product of
both, a classifier with one logit per answer for a sigmoid loss. `functional` of
`train.models` makes pure functions of it. There is no dropout.
"""

from collections.abc import Callable
from typing import Any, Literal, NamedTuple, cast

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from train.data.vqa.arrays import Inputs
from train.data.vqa.text import PADDING
from train.models import Model, Outputs, functional

Form = Literal["gated_tanh", "weight_norm"]


class VqaOutputs(NamedTuple):
    """`Outputs`, and where the model looked."""

    logits: Array  # [batch, answers]
    features: Array  # [batch, width], the input of the last layer
    attention: Array  # [batch, cells], sums to 1


class GatedTanh(nnx.Module):
    """tanh(W x + b) * sigmoid(W' x + b'). Teney et al., 2018, arXiv:1708.02711."""

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        self.linear = nnx.Linear(inputs, 2 * outputs, rngs=rngs)

    def __call__(self, x: Array) -> Array:
        value, gate = jnp.split(self.linear(x), 2, axis=-1)
        return jnp.tanh(value) * jax.nn.sigmoid(gate)


class WeightNormRelu(nnx.Module):
    """relu(g V / ||V|| x + b), the norm over the whole matrix, as released.

    Source: Salimans & Kingma, 2016, arXiv:1602.07868; one scale per layer in the base
        model that the released code of GGE and GGD builds on.
    """

    def __init__(self, inputs: int, outputs: int, *, rngs: nnx.Rngs):
        draw = nnx.initializers.lecun_normal()
        self.kernel = nnx.Param(draw(rngs.params(), (inputs, outputs)))
        self.scale = nnx.Param(jnp.linalg.norm(self.kernel[...]))
        self.bias = nnx.Param(jnp.zeros(outputs))

    def __call__(self, x: Array) -> Array:
        kernel = self.kernel[...]
        scale = self.scale[...] / jnp.linalg.norm(kernel)
        return nnx.relu(scale * (x @ kernel) + self.bias[...])


_LAYERS = {"gated_tanh": GatedTanh, "weight_norm": WeightNormRelu}


class QuestionEncoder(nnx.Module):
    """The state of a GRU after the last word; padding does not move it.

    r, z = sigmoid(.), n = tanh(W x + b + r (U h + c)), h <- (1 - z) n + z h.
    """

    def __init__(self, words: int, embedding: int, width: int, *, rngs: nnx.Rngs):
        self.width = width
        self.embed = nnx.Embed(
            words, embedding, embedding_init=nnx.initializers.normal(1.0), rngs=rngs
        )
        self.enter = nnx.Linear(embedding, 3 * width, rngs=rngs)
        draw = nnx.initializers.orthogonal()
        self.recur = nnx.Param(draw(rngs.params(), (width, 3 * width)))
        self.recur_bias = nnx.Param(jnp.zeros(3 * width))

    def __call__(self, question: Array) -> Array:
        tokens = question.T  # scan runs over the words
        kernel, bias = self.recur[...], self.recur_bias[...]

        def step(h: Array, word: tuple[Array, Array]) -> tuple[Array, None]:
            entered, is_word = word
            rx, zx, nx = jnp.split(entered, 3, axis=-1)
            rh, zh, nh = jnp.split(h @ kernel + bias, 3, axis=-1)
            update = jax.nn.sigmoid(zx + zh)
            proposed = jnp.tanh(nx + jax.nn.sigmoid(rx + rh) * nh)
            new = (1 - update) * proposed + update * h
            return jnp.where(is_word[:, None], new, h), None

        entered = self.enter(self.embed(tokens))
        start = jnp.zeros((len(question), self.width), entered.dtype)
        return jax.lax.scan(step, start, (entered, tokens != PADDING), unroll=True)[0]


class TopDown(nnx.Module):
    """Looks where the question tells it to: softmax over cells of w . (f(v) * g(q))."""

    def __init__(
        self,
        words: int,
        features: int,
        answers: int,
        *,
        embedding: int,
        state: int,
        hidden: int,
        form: Form,
        rngs: nnx.Rngs,
    ):
        layer = _LAYERS[form]
        self.encoder = QuestionEncoder(words, embedding, state, rngs=rngs)
        self.attend_image = layer(features, hidden, rngs=rngs)
        self.attend_question = layer(state, hidden, rngs=rngs)
        self.attend = nnx.Linear(hidden, 1, rngs=rngs)
        self.image = layer(features, hidden, rngs=rngs)
        self.question = layer(state, hidden, rngs=rngs)
        self.classify = layer(hidden, 2 * hidden, rngs=rngs)
        self.head = nnx.Linear(2 * hidden, answers, rngs=rngs)

    def __call__(self, inputs: Inputs) -> VqaOutputs:
        state = self.encoder(jnp.asarray(inputs.question))
        image = jnp.asarray(inputs.image)
        asked = self.attend_question(state)[:, None, :]
        scores = self.attend(self.attend_image(image) * asked)[..., 0]
        if inputs.present is not None:
            scores = jnp.where(inputs.present, scores, -jnp.inf)
        attention = jax.nn.softmax(scores, axis=-1)
        seen = jnp.einsum("nc,ncf->nf", attention, image)
        features = self.classify(self.question(state) * self.image(seen))
        return VqaOutputs(self.head(features), features, attention)


class QuestionOnly(nnx.Module):
    """Never sees the picture: what it gets right is a shortcut (the bias Q)."""

    def __init__(
        self,
        words: int,
        answers: int,
        *,
        embedding: int,
        state: int,
        hidden: int,
        form: Form,
        rngs: nnx.Rngs,
    ):
        self.encoder = QuestionEncoder(words, embedding, state, rngs=rngs)
        self.classify = _LAYERS[form](state, 2 * hidden, rngs=rngs)
        self.head = nnx.Linear(2 * hidden, answers, rngs=rngs)

    def __call__(self, inputs: Inputs) -> Outputs:
        features = self.classify(self.encoder(jnp.asarray(inputs.question)))
        return Outputs(self.head(features), features)


def top_down(
    words: int,
    features: int,
    answers: int,
    *,
    embedding: int = 300,
    state: int = 1024,
    hidden: int = 1024,
    form: Form = "weight_norm",
) -> Model:
    """Bottom-up top-down attention, as pure functions of `Inputs`.

    Args:
        words: size of the question vocabulary, padding included.
        features: numbers per cell or box (2048 for the papers' boxes).
        answers: logits.
        embedding: width of a word; the papers' 300 by default.
        state: width of the GRU; the papers' 1024 by default.
        hidden: width of the projections, 1024 as well. The classifier's hidden layer is
            twice as wide.
        form: of the layers, "weight_norm" as in the code that the papers build on, or
            "gated_tanh" as published.
    Returns:
        A `Model` whose outputs also have `attention`. A cell that `present` marks as
        missing gets none; in a row without any cell everything is NaN.
    Source: Anderson et al., CVPR 2018, arXiv:1707.07998. Attention is by product, as in
        the base that GGE (arXiv:2107.12651) uses; the paper's is a layer of the
        concatenation.
    """

    def build(rngs: nnx.Rngs) -> TopDown:
        return TopDown(
            words,
            features,
            answers,
            embedding=embedding,
            state=state,
            hidden=hidden,
            form=form,
            rngs=rngs,
        )

    return functional(build, _head_kernel)


def question_only(
    words: int,
    answers: int,
    *,
    embedding: int = 300,
    state: int = 1024,
    hidden: int = 1024,
    form: Form = "weight_norm",
) -> Model:
    """The question alone; arguments as in `top_down`."""

    def build(rngs: nnx.Rngs) -> QuestionOnly:
        return QuestionOnly(
            words,
            answers,
            embedding=embedding,
            state=state,
            hidden=hidden,
            form=form,
            rngs=rngs,
        )

    return functional(build, _head_kernel)


def attention(model: Model) -> Callable[[Any, Any, Inputs], Array]:
    """Where a `top_down` model looks: params, stats, inputs -> [batch, cells]."""

    def look(params: Any, stats: Any, inputs: Inputs) -> Array:
        return cast(VqaOutputs, model.apply(params, stats, inputs)[0]).attention

    return look


def _head_kernel(params: Any) -> Array:
    return params["head"]["kernel"]
