"""`python -m train gallery`: what each loss does to the logits, drawn.

Every public loss of the library has an `Entry` in `TABLE`. The example they are all
shown: three classes, the label is class 0 with log-odds u, of what it leaves the strong
rival, class 1, holds 80 % and the weak one, class 2, 20 %. The sigmoid losses see one
class.
"""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

import jaxloss
from train.commands import Gallery
from train.debias.figures import push_figure
from train.report.gallery import (
    Line,
    Panel,
    loss_figure,
    overview,
    page,
    write_figure,
)

RIVALS = np.log([0.8, 0.2])
# Frequencies of the label, the strong and the weak rival; the largest class is ninety
# times the smallest.
RARE = np.array([0.01, 0.9, 0.09])
FREQUENT = np.array([0.9, 0.09, 0.01])
POINTS = 201


@dataclasses.dataclass(frozen=True)
class Setting:
    """Hyper-parameters under the caption of their line."""

    caption: str
    hyper: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    target: float = 1.0  # of the one class, for sigmoid losses: value and pull


@dataclasses.dataclass(frozen=True)
class Entry:
    """A loss, what its slope does in a few plain words, and settings to draw it at.

    The first setting is drawn boldest. `call` stands in for a loss whose logits are of
    another kind, such as cosines.
    """

    loss: Callable[..., jax.Array]
    words: str
    settings: tuple[Setting, ...] = (Setting(""),)
    call: Callable[..., jax.Array] | None = None

    @property
    def name(self) -> str:
        return self.loss.__name__

    @property
    def is_sigmoid(self) -> bool:
        return [*inspect.signature(self.loss).parameters][1] == "targets"


def sweep(caption: str, name: str, *values: Any, **fixed: Any) -> tuple[Setting, ...]:
    """A setting for each value of a hyper-parameter, the default first."""
    return tuple(
        Setting(caption.format(value), {name: value, **fixed}) for value in values
    )


def biases(classes: int = 3, **fixed: Any) -> tuple[Setting, ...]:
    """Settings by the probability that a bias model gives the label."""
    settings = []
    for share in (0.5, 0.1, 0.9):
        logits = np.concatenate([[np.log(share / (1 - share))], RIVALS])[:classes]
        settings.append(Setting(f"bias {share}", {"bias_logits": logits, **fixed}))
    return tuple(settings)


def by_frequency(name: str, **fixed: Any) -> tuple[Setting, ...]:
    """A rare and a frequent label."""
    return (
        Setting("rare label", {name: 1000 * RARE, **fixed}),
        Setting("frequent label", {name: 1000 * FREQUENT, **fixed}),
    )


def noisy(rate: float) -> Setting:
    """A label that is wrong at this rate, either rival as often as the other."""
    transition = np.where(np.eye(3) == 1, 1 - rate, rate / 2)
    return Setting(f"noise {rate:g}", {"transition": transition})


ASYMMETRIC = {"gamma_positive": 0.0, "gamma_negative": 4.0, "clip": 0.05}
TABLE: Mapping[str, tuple[Entry, ...]] = {
    "Curves: how much an example counts at each confidence": (
        Entry(jaxloss.cross_entropy, "pulls by what is missing, 1 − p"),
        Entry(
            jaxloss.focal,
            "ignores sure examples",
            sweep("γ = {:g}", "gamma", 2.0, 0.5, 5.0),
        ),
        Entry(
            jaxloss.encouraging,
            "keeps pulling when the answer is right; at e = 1 never stops",
            sweep("e = {:g}", "log_end", 0.75, 0.5, 1.0),
        ),
        Entry(
            jaxloss.poly1,
            "pulls harder where the label is half believed",
            sweep("ε = {:g}", "epsilon", 1.0, 2.0, -1.0),
        ),
        Entry(jaxloss.squared_error, "hardly pulls on hopeless or sure examples"),
        Entry(
            jaxloss.mirror_bonus,
            "no loss: a bonus on top of an error, for what is right already",
            sweep("γ = {:g}", "gamma", 2.0, 0.5),
        ),
        Entry(
            jaxloss.logit_norm,
            "turns the logits towards the label, whatever their length",
            sweep("t = {:g}", "temperature", 1.0, 0.3),
        ),
        Entry(
            jaxloss.cosface,
            "asks for a margin on the cosine of the label",
            sweep("m = {:g}", "margin", 0.35, 0.0, scale=10.0),
            call=lambda z, y, **hyper: jaxloss.cosface(z / 10, y, **hyper),
        ),
        Entry(
            jaxloss.arcface,
            "asks for a margin on the angle of the label",
            sweep("m = {:g}", "margin", 0.5, 0.0, scale=10.0),
            call=lambda z, y, **hyper: jaxloss.arcface(z / 10, y, **hyper),
        ),
    ),
    "Label noise: what the model doubts may be mislabelled": (
        Entry(
            jaxloss.generalized_cross_entropy,
            "ignores doubtful examples",
            sweep("q = {:g}", "q", 0.7, 0.3, 1.0),
        ),
        Entry(
            jaxloss.truncated_generalized_cross_entropy,
            "drops examples up to p = k altogether",
            sweep("k = {:g}", "k", 0.5, 0.3, q=0.7),
        ),
        Entry(
            jaxloss.mean_absolute_error,
            "pulls on the undecided only: robust, but slow to start",
        ),
        Entry(
            jaxloss.taylor_cross_entropy,
            "ignores hopeless examples, cross-entropy for the others",
            sweep("order {}", "order", 2, 1, 6),
        ),
        Entry(
            jaxloss.symmetric_cross_entropy,
            "a little cross-entropy to learn, absolute error to be robust",
            (
                Setting("α = 0.1, β = 1", {"alpha": 0.1, "beta": 1.0}),
                Setting("α = 1, β = 0.5", {"alpha": 1.0, "beta": 0.5}),
            ),
        ),
        Entry(
            jaxloss.normalized_cross_entropy,
            "shares one unit of loss among all labels",
        ),
        Entry(
            jaxloss.bi_tempered_logistic,
            "bounded for hopeless examples, heavy-tailed for doubtful ones",
            (
                Setting("t₁ = 0.8, t₂ = 1.2", {"t1": 0.8, "t2": 1.2}),
                Setting("t₁ = 0.2, t₂ = 4", {"t1": 0.2, "t2": 4.0}),
            ),
        ),
        Entry(
            jaxloss.forward_corrected_cross_entropy,
            "stops pulling once the noise explains the label",
            (noisy(0.4), noisy(0.1)),
        ),
        Entry(
            jaxloss.backward_corrected_cross_entropy,
            "pulls more on the given label, as it counts for the flipped ones too",
            (noisy(0.4), noisy(0.1)),
        ),
    ),
    "Long tail: shifts by class": (
        Entry(
            jaxloss.logit_adjusted_cross_entropy,
            "pulls a rare label until it is sure, lets go of a frequent one early",
            (
                Setting("rare label", {"log_prior": np.log(RARE)}),
                Setting("frequent label", {"log_prior": np.log(FREQUENT)}),
            ),
        ),
        Entry(
            jaxloss.margin_cross_entropy,
            "keeps pulling until the margin Δ is won",
            (
                Setting("Δ = 2", {"margin": np.full((3, 3), 2.0)}),
                Setting("Δ = 1", {"margin": np.full((3, 3), 1.0)}),
                Setting("Δ = −1", {"margin": np.full((3, 3), -1.0)}),
            ),
        ),
        Entry(
            jaxloss.gala,
            "margins learned from the gradients so far: more for labels that had less",
            (
                Setting("little so far", {"positive": RARE, "negative": RARE}),
                Setting("much so far", {"positive": FREQUENT, "negative": FREQUENT}),
            ),
        ),
        Entry(
            jaxloss.vector_scaling,
            "logit adjustment that also shrinks the logits of rare classes",
            by_frequency("counts"),
        ),
        Entry(
            jaxloss.ldam,
            "a margin for the label, larger when it is rare",
            by_frequency("counts", max_margin=2.0, scale=1.0),
        ),
        Entry(
            jaxloss.equalization,
            "spares the rivals that it would discourage most often",
            (
                Setting("strong spared", {"weights": np.array([1.0, 0.1, 1.0])}),
                Setting("weak spared", {"weights": np.array([1.0, 1.0, 0.1])}),
            ),
        ),
        Entry(
            jaxloss.seesaw,
            "spares rare rivals unless they are mistaken for the label",
            by_frequency("counts"),
        ),
        Entry(
            jaxloss.label_aware_smoothing,
            "pulls a frequent label to less than certainty",
            by_frequency("counts"),
        ),
    ),
    "Sigmoid: each class by itself": (
        Entry(jaxloss.sigmoid_cross_entropy, "cross-entropy of one class against none"),
        Entry(
            jaxloss.sigmoid_focal,
            "ignores sure classes, present or absent",
            sweep("γ = {:g}", "gamma", 2.0, 0.5),
        ),
        Entry(
            jaxloss.halted_focal,
            "focal up to a half, cross-entropy beyond",
            sweep("γ = {:g}", "gamma", 2.0, 0.5),
        ),
        Entry(
            jaxloss.asymmetric,
            "forgets absent classes that are nearly out, never present ones",
            (
                Setting("present", ASYMMETRIC),
                Setting("absent", ASYMMETRIC, target=0.0),
            ),
        ),
        Entry(
            jaxloss.sigmoid_encouraging,
            "keeps pulling when the answer is right",
            sweep("e = {:g}", "log_end", 0.75, 0.5, 1.0),
        ),
        Entry(
            jaxloss.sigmoid_equalization,
            "pushes spared classes down less when they are absent",
            (
                Setting("present", {"weights": np.array([0.2])}),
                Setting("absent, w = 0.2", {"weights": np.array([0.2])}, target=0.0),
            ),
        ),
    ),
    "De-bias: a second model knows the shortcut": (
        Entry(
            jaxloss.general_greedy_debias,
            "pulls less on what the bias model already knows",
            biases(),
        ),
        Entry(
            jaxloss.greedy_gradient,
            "pulls up to what the bias model leaves over, then pushes back",
            biases(classes=1),
        ),
        Entry(
            jaxloss.bias_product,
            "pulls until both models together are sure",
            biases(classes=1),
        ),
        Entry(
            jaxloss.learned_mixin,
            "the same, trusting the bias model by a learned gate",
            tuple(
                dataclasses.replace(x, hyper={**x.hyper, "gate": 0.5})
                for x in biases(classes=1)
            ),
        ),
        Entry(
            jaxloss.bias_reweighted,
            "weighs the answer by what the bias model misses",
            biases(classes=1),
        ),
        Entry(
            jaxloss.rubi,
            "mutes the logits of classes that the bias model rules out",
            biases(),
        ),
    ),
}

BIASED = """
## What happens to an example that the bias model knows?

![minus the gradient against the confidence of the bias model](greedy_push.svg)

The base model knows nothing yet: ten classes, all logits 0. Under cross-entropy (GGE
with a softmax, GGD) the example fades out as the bias model gets surer. Under BCE a
pseudo-label of 0 is a target like any other: it pushes every logit down, the right one
included.
"""


def main(options: Gallery) -> None:
    families = {
        title: [measure(entry) for entry in entries] for title, entries in TABLE.items()
    }
    panels = [panel for family in families.values() for panel in family]
    reference = next(p for p in panels if p.name == "cross_entropy").lines[0]
    options.out.mkdir(parents=True, exist_ok=True)
    sheet = overview(families, reference)
    for suffix in (".svg", ".png"):
        write_figure(sheet, options.out / f"gallery{suffix}")
    for panel in panels:
        figure = loss_figure(panel, reference)
        write_figure(figure, options.out / f"{panel.name}.svg")
    write_figure(push_figure(), options.out / "greedy_push.svg")
    (options.out / "README.md").write_text(page(families) + BIASED)
    print(f"{len(panels)} losses: {options.out / 'gallery.svg'}")


def measure(entry: Entry) -> Panel:
    """Value, pull and steps of a loss over the probability of the label."""
    # p = sin^2 of equal steps, through its log-odds: exact, and denser at both ends.
    angle = np.linspace(0, np.pi / 2, POINTS + 2)[1:-1]
    u, p = 2 * np.log(np.tan(angle)), np.sin(angle) ** 2
    lines = []
    for setting in entry.settings:
        if entry.is_sigmoid:
            sign = 2 * setting.target - 1
            value, along = _descent(entry, setting, sign * u[:, None], setting.target)
            pull = sign * along[:, 0]
            present = _descent(entry, setting, u[:, None], 1.0)[1]
            absent = _descent(entry, setting, u[:, None], 0.0)[1]
            steps = np.concatenate([present, absent], axis=1)
        else:
            logits = np.column_stack([u, np.broadcast_to(RIVALS, (POINTS, 2))])
            value, steps = _descent(entry, setting, logits, 0)
            pull = steps[:, 0]
        lines.append(Line(setting.caption, p, value, pull, steps))
    if entry.is_sigmoid:
        return Panel(
            entry.name,
            entry.words,
            lines,
            ("present", "absent"),
            "one class, with target 1 (present) and 0 (absent)",
        )
    return Panel(
        entry.name,
        entry.words,
        lines,
        ("label", "strong rival", "weak rival"),
        "the rivals share what the label leaves 80 to 20",
    )


def _descent(
    entry: Entry, setting: Setting, logits: np.ndarray, answer: float
) -> tuple[np.ndarray, np.ndarray]:
    """Losses, and their gradients with the sign of a step downhill."""
    traced, static = {}, {}
    for name, value in setting.hyper.items():
        kind = traced if isinstance(value, float | np.ndarray) else static
        kind[name] = value
    losses, gradients = values_and_gradients(
        entry.call or entry.loss,
        tuple(static.items()),
        traced,
        logits,
        np.array([answer]) if entry.is_sigmoid else answer,
    )
    return np.asarray(losses, float), -np.asarray(gradients, float)


@functools.partial(jax.jit, static_argnums=(0, 1))
def values_and_gradients(loss, static, traced, logits, answer):
    """Of a batch; compiled once for all settings of a loss that are numbers."""
    call = functools.partial(loss, **dict(static), **traced)
    return jax.vmap(jax.value_and_grad(lambda z: call(z, answer)))(logits)
