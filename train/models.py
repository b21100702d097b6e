"""Flax modules, and how they leave Flax: a pair of pure functions."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from flax import nnx
from jax import Array


class Mlp(nnx.Module):
    """Flattens the image; ReLU between the layers."""

    def __init__(
        self, features: int, widths: Sequence[int], classes: int, *, rngs: nnx.Rngs
    ):
        sizes = [features, *widths, classes]
        self.layers = nnx.List(
            nnx.Linear(a, b, rngs=rngs) for a, b in zip(sizes, sizes[1:], strict=False)
        )

    def __call__(self, images: Array) -> "Outputs":
        x = images.reshape(len(images), -1)
        for layer in self.layers[:-1]:
            x = nnx.relu(layer(x))
        return Outputs(self.layers[-1](x), x)


class Outputs(NamedTuple):
    logits: Array  # [batch, classes]
    features: Array  # [batch, features], the input of the classifier head
    gate: Array | None = None  # [batch], trust in a bias model, of models that have it


class Model(NamedTuple):
    """A network as pure functions; `stats` is what it keeps besides its parameters."""

    init: Callable[[Array], tuple[Any, Any]]  # key -> params, stats
    apply: Callable[..., tuple[Outputs, Any]]  # params, stats, images -> outputs, stats
    kernel: Callable[[Any], Array]  # params -> of the head, [features, classes]
    # params -> of the head, [classes]
    bias: Callable[[Any], Array | None] = lambda params: None


def functional(
    build: Callable[[nnx.Rngs], nnx.Module],
    kernel: Callable[[Any], Array],
    bias: Callable[[Any], Array | None] = lambda params: None,
) -> Model:
    """Splits a module into functions once; past this point nothing knows about Flax."""
    abstract = nnx.eval_shape(lambda: build(nnx.Rngs(0)))
    graph, _, _ = nnx.split(abstract, nnx.Param, ...)

    def init(key: Array) -> tuple[Any, Any]:
        _, params, stats = nnx.split(build(nnx.Rngs(key)), nnx.Param, ...)
        return nnx.as_pure(params), nnx.as_pure(stats)

    def apply(params: Any, stats: Any, images: Array) -> tuple[Outputs, Any]:
        module = nnx.merge(graph, params, stats)
        outputs = module(images)
        _, _, stats = nnx.split(module, nnx.Param, ...)
        return outputs, nnx.as_pure(stats)

    return Model(init, apply, kernel, bias)


def mlp(image_shape: Sequence[int], widths: Sequence[int], classes: int) -> Model:
    features = math.prod(image_shape)
    return functional(
        lambda rngs: Mlp(features, widths, classes, rngs=rngs),
        lambda params: params["layers"][len(widths)]["kernel"],
        lambda params: params["layers"][len(widths)]["bias"],
    )


def size(params: Any) -> int:
    """Number of parameters."""
    return sum(leaf.size for leaf in jax.tree.leaves(params))
