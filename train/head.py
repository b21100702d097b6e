"""Training and evaluation through the fused head: for classes whose logits do not fit.

The loss must be a curve of the label's log-odds after a shift per class; `Objective`
says whether it is.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

import jaxloss
from train import config
from train.models import Model


class Outcome(NamedTuple):
    """What is measured of predictions, without their logits."""

    predicted: Array  # [n], the class of the largest logit
    confidence: Array  # [n], its probability
    log_likelihood: Array  # [n], log probability of the label


def is_needed(
    loss: Any, objective: jaxloss.Objective, options: config.Fit, num_classes: int
) -> bool:
    """Whether the logits are too many; raises if the loss cannot do without them."""
    if num_classes <= options.fused_above:
        return False
    if objective.curve is None:
        name = config.name_of(loss) if isinstance(loss, config.Loss) else "a comparison"
        raise ValueError(
            f"{name} needs all logits, and {num_classes} classes are more than "
            f"--fused-above {options.fused_above}: choose a loss that is a curve of "
            "shifted log-odds (cross-entropy, logit-adjusted, gala, focal, "
            "generalized-cross-entropy, mean-absolute-error, encouraging), or raise "
            "--fused-above to hold the logits of a batch"
        )
    return True


def value_grad_and_signals(
    model: Model, objective: jaxloss.Objective, state: Any, batch: Any
) -> tuple[tuple[Array, Any], Any, jaxloss.HeadSignals]:
    """`jaxloss.value_grad_and_signals` of the mean loss of the batch; has the model's
    new statistics beside the loss."""
    curve = objective.curve
    assert curve is not None

    def mean_loss(params, zero):
        # Its logits are used by nobody, and are never computed.
        outputs, stats = model.apply(params, state.stats, batch.image)
        u = jaxloss.linear_label_log_odds(
            outputs.features,
            model.kernel(params),
            batch.label,
            bias=model.bias(params),
            **objective.margins(state.objective)._asdict(),
        )
        return jnp.mean(curve(u + zero)), (stats, u, outputs.features)

    step = jax.value_and_grad(mean_loss, (0, 1), has_aux=True)
    (loss, (stats, u, features)), (grads, slopes) = step(
        state.params, jnp.zeros(batch.label.shape)
    )
    slopes = slopes * batch.label.size
    signals = jaxloss.HeadSignals(batch.label, u, slopes, batch.index, features)
    return (loss, stats), grads, signals


def predict(
    model: Model, params: Any, stats: Any, images: Array, labels: Array
) -> Outcome:
    """Outcomes of any number of images, a thousand at a time."""

    def outcome(batch: tuple[Array, Array]) -> Outcome:
        images, labels = batch
        features = model.apply(params, stats, images)[0].features
        head = {"kernel": model.kernel(params), "bias": model.bias(params)}
        u, log_normalizer = jaxloss.linear_log_odds_and_normalizer(
            features, labels=labels, **head
        )
        values, classes = jaxloss.linear_top_k(features, k=1, **head)
        return Outcome(
            classes[:, 0],
            jnp.exp(values[:, 0] - log_normalizer),
            -jaxloss.curves.cross_entropy(u),
        )

    size = len(images)
    if size <= 1024:
        return outcome((images, labels))

    def in_thousands(x):
        padded = jnp.pad(x, [(0, -size % 1024)] + [(0, 0)] * (x.ndim - 1))
        return padded.reshape(-1, 1024, *x.shape[1:])

    found = jax.lax.map(outcome, (in_thousands(images), in_thousands(labels)))
    return Outcome(*(x.reshape(-1)[:size] for x in found))


def balanced_accuracy(outcome: Outcome, labels: Array, num_classes: int) -> Array:
    """Mean recall of the classes that occur."""
    hit = (outcome.predicted == labels).astype(outcome.confidence.dtype)
    both = jnp.stack([jnp.ones_like(hit), hit], axis=1)
    count, hits = jax.ops.segment_sum(both, labels, num_classes).T
    seen = count > 0
    recall = jnp.where(seen, hits / jnp.where(seen, count, 1), 0)
    return jnp.sum(recall) / jnp.sum(seen)
