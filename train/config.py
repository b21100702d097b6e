"""What can be chosen on the command line: frozen dataclasses, one class per choice."""

import dataclasses
import re
from typing import Annotated, Literal

import tyro

from train import data


@dataclasses.dataclass(frozen=True)
class CrossEntropy:
    """Plain cross-entropy (ERM)."""


@dataclasses.dataclass(frozen=True)
class LogitAdjusted:
    """Logit adjustment: cross-entropy of z + tau log pi."""

    tau: float = 1.0
    """Strength; 0 is cross-entropy, 1 is consistent for the balanced error."""


@dataclasses.dataclass(frozen=True)
class Gala:
    """Gradient-aware logit adjustment."""

    lambda1: float = 1.0
    """Weight of the accumulated positive gradient."""
    lambda2: float = 1.0
    """Weight of the accumulated negative gradient."""
    epsilon: float = 1e-3
    """Added to the sums inside the logs."""
    decay: float = 1.0
    """What the sums keep from step to step, in (0, 1]."""
    variant: Literal["paper", "released", "released_once"] = "paper"
    """Form of the margin and of the sums."""


@dataclasses.dataclass(frozen=True)
class Ldam:
    """LDAM: margins by class frequency; class weights from a late step on (DRW)."""

    max_margin: float = 0.5
    """Of the rarest class."""
    scale: float = 4.0
    """Of the logits; the source takes 30, for cosines."""
    start: float = 0.8
    """When the class weights set in, as a share of the steps; 1 is never."""
    beta: float = 0.9999
    """Of the effective numbers that the weights are made of, in [0, 1)."""


@dataclasses.dataclass(frozen=True)
class Seesaw:
    """Seesaw: rare rivals are spared, by the counts of the labels seen so far."""

    p: float = 0.8
    """Strength of the mitigation by frequency."""
    q: float = 2.0
    """Strength of the compensation of mistakes."""


@dataclasses.dataclass(frozen=True)
class EqualizationV2:
    """Equalization v2: sigmoids whose gradients are evened out as they run."""

    gamma: float = 12.0
    """Steepness of the weights in the gradient ratio."""
    mu: float = 0.8
    """Gradient ratio that weighs one half."""
    alpha: float = 4.0
    """How much more the positive gradient of a starved class counts."""


@dataclasses.dataclass(frozen=True)
class Focal:
    """Focal loss: sure examples count less."""

    gamma: float = 2.0
    """At least 0, which is cross-entropy."""


@dataclasses.dataclass(frozen=True)
class MeanAbsoluteError:
    """2 (1 - p_y): robust to symmetric noise, slow."""


@dataclasses.dataclass(frozen=True)
class GeneralizedCrossEntropy:
    """L_q: between cross-entropy and the mean absolute error."""

    q: float = 0.7
    """In (0, 1]; towards 0 cross-entropy, 1 half the mean absolute error."""


@dataclasses.dataclass(frozen=True)
class TruncatedGce:
    """Truncated L_q: prunes the examples the best model so far gives at most k."""

    q: float = 0.7
    """In (0, 1]."""
    k: float = 0.5
    """Probability of the label, in (0, 1), up to which an example is pruned."""
    start: float = 1 / 3
    """When to prune first, as a share of the epochs."""
    every: float = 1 / 12
    """How often to prune from then on, as a share of the epochs."""


@dataclasses.dataclass(frozen=True)
class Encouraging:
    """Cross-entropy plus a bonus for well-classified examples."""

    log_end: float = 0.75
    """Probability, in (0, 1], from which the bonus goes on along its tangent."""


# What an analysis of saved logits can look at: losses of logits and labels alone.
Stateless = (
    CrossEntropy
    | LogitAdjusted
    | Focal
    | MeanAbsoluteError
    | GeneralizedCrossEntropy
    | Encouraging
)

Loss = (
    CrossEntropy
    | LogitAdjusted
    | Gala
    | Ldam
    | Seesaw
    | EqualizationV2
    | Focal
    | MeanAbsoluteError
    | GeneralizedCrossEntropy
    | TruncatedGce
    | Encouraging
)


@dataclasses.dataclass(frozen=True)
class Optimizer:
    """Optax's optimizer and schedule."""

    name: Annotated[Literal["sgd", "adam"], tyro.conf.arg(name="optimizer")] = "sgd"
    """SGD with Nesterov momentum 0.9, or Adam with decoupled weight decay."""
    learning_rate: float = 0.1
    """At the peak."""
    weight_decay: float = 5e-4
    """Of all parameters, per step and unit of learning rate."""
    warmup: float = 0.05
    """Linear warm-up, as a share of the steps."""
    # On the command line `--decay` is that of GALA.
    decay: Annotated[Literal["cosine", "constant"], tyro.conf.arg(name="schedule")] = (
        "cosine"
    )
    """After the warm-up: to zero along a cosine, or not at all."""


@dataclasses.dataclass(frozen=True)
class Fit:
    """One training, whatever the loss and the data."""

    widths: tuple[int, ...] = (128,)
    """Hidden layers of the multi-layer perceptron [units]."""
    epochs: int = 60
    """Passes over the training set."""
    batch_size: int = 64
    """Examples per step; at most the training set."""
    optimizer: Optimizer = Optimizer()
    """Optimizer and schedule."""
    fused_above: int = 20_000
    """With more classes than this the logits are never held: `run` trains and evaluates
    through the fused head, block by block."""


@dataclasses.dataclass(frozen=True)
class Task:
    """A data set and what happens to its labels or images."""

    source: data.Source = data.Digits()
    """Data set."""
    corruption: data.Corruption = data.LongTail()
    """What misbehaves."""


def name_of(choice: Loss | data.Source | data.Corruption) -> str:
    """As it is called on the command line."""
    return kebab(type(choice))


def kebab(choice: type) -> str:
    """LogitAdjusted -> logit-adjusted, as tyro does it."""
    return re.sub("(?<!^)([A-Z])", r"-\1", choice.__name__).lower()


def check(options: Fit) -> None:
    """Raises when a choice does not make sense, before anything is read or trained."""
    for name, value in (("epochs", options.epochs), ("batch size", options.batch_size)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")
    if options.fused_above < 0:
        raise ValueError(f"fused-above must be at least 0, got {options.fused_above}")
    if min(options.widths, default=1) < 1:
        raise ValueError(f"widths must be at least 1, got {options.widths}")
    rate = options.optimizer.learning_rate
    if not 0 < rate < float("inf"):
        raise ValueError(f"the learning rate must be positive and finite, got {rate}")
    if not 0 <= options.optimizer.warmup <= 1:
        raise ValueError(
            f"warmup is a share of the steps, in [0, 1], got {options.optimizer.warmup}"
        )
