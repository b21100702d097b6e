"""Bias models for images, and what some methods add to a model."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jax import Array

from train.models import Model, Outputs, functional


class ColourNet(nnx.Module):
    """Convolutions with 1x1 kernels, then the mean over the image: colours, no shapes.

    Source: the bias model of Bahng et al., "Learning De-biased Representations with
    Biased Representations", ICML 2020, arXiv:1910.02806, without its batch
    normalisation, which would mix the images of a batch.
    """

    def __init__(
        self, channels: int, widths: Sequence[int], classes: int, *, rngs: nnx.Rngs
    ):
        sizes = [channels, *widths]
        self.layers = nnx.List(
            nnx.Linear(a, b, rngs=rngs) for a, b in zip(sizes, sizes[1:], strict=False)
        )
        self.classifier = nnx.Linear(sizes[-1], classes, rngs=rngs)

    def __call__(self, images: Array) -> Outputs:
        x = images
        for layer in self.layers:
            x = nnx.relu(layer(x))
        x = jnp.mean(x, axis=(1, 2))
        return Outputs(self.classifier(x), x)


def colour_net(channels: int, widths: Sequence[int], classes: int) -> Model:
    return functional(
        lambda rngs: ColourNet(channels, widths, classes, rngs=rngs),
        lambda params: params["classifier"]["kernel"],
    )


def gated(model: Model, features: int) -> Model:
    """The model, and how far it trusts its bias model: softplus of a linear map.

    Source: Clark et al., EMNLP 2019, arXiv:1909.03683, section 3.2.5.
    """

    def init(key: Array) -> tuple[Any, Any]:
        params, stats = model.init(key)
        # softplus(0.54) = 1: at first the product of experts
        gate = {"kernel": jnp.zeros(features), "bias": jnp.asarray(0.5413)}
        return {"model": params, "gate": gate}, stats

    def apply(params: Any, stats: Any, inputs: Any) -> tuple[Outputs, Any]:
        outputs, stats = model.apply(params["model"], stats, inputs)
        linear = params["gate"]
        scores = outputs.features @ linear["kernel"] + linear["bias"]
        gate = jax.nn.softplus(scores)
        return Outputs(outputs.logits, outputs.features, gate), stats

    return Model(init, apply, lambda params: model.kernel(params["model"]))


def masking(model: Model, classes: int) -> Model:
    """The bias branch of RUBi: the logits become the mask, a linear map classifies.

    Source: Cadene et al., NeurIPS 2019, arXiv:1906.10169, section 3.3.
    """

    def init(key: Array) -> tuple[Any, Any]:
        params, stats = model.init(key)
        kernel = jax.nn.initializers.lecun_normal()(
            jax.random.fold_in(key, 1), (classes, classes)
        )
        return {"model": params, "kernel": kernel, "bias": jnp.zeros(classes)}, stats

    def apply(params: Any, stats: Any, inputs: Any) -> tuple[Outputs, Any]:
        outputs, stats = model.apply(params["model"], stats, inputs)
        mask = outputs.logits
        return Outputs(mask @ params["kernel"] + params["bias"][None], mask), stats

    return Model(init, apply, lambda params: params["kernel"])
