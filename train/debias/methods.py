"""The ways to keep a model from a shortcut, by name: what each is made of.

A method is a rule for the loss of the base model, the bias models it knows, and the
order in which they learn. What is not a method's own (the curriculum, the strength of a
penalty) is in `Hyper`.
"""

import dataclasses
from typing import Literal

Rule = Literal[
    "plain",  # no bias model
    "greedy",  # fits what the bias models leave over
    "weighted",  # (1 - w b_y) CE, with a curriculum for w
    "reweighted",  # weights 1 - b_y, divided by their mean in the batch
    "bias-product",
    "learned-mixin",
    "rubi",
    "learning-from-failure",
    "group-dro",
    "group-weighted",
]
Mode = Literal["first", "iterative", "together"]


@dataclasses.dataclass(frozen=True)
class Method:
    """What stands in one row of a table."""

    rule: Rule = "plain"
    """Of the base model's loss."""
    bias: tuple[str, ...] = ()
    """Bias models in greedy order: "statistic", "shortcut" (a net that sees nothing
    else) or "self" (a second base model, without prior knowledge)."""
    mode: Mode = "first"
    """first: bias models are fitted to the end, then held; iterative: in each step the
    bias models move, then the base model; together: all move in one step."""
    form: Literal["exact", "relaxed", "softmax"] | None = None
    """Of the pseudo-labels, with the losses that go with it, of sigmoids or a softmax;
    that of the task when None."""
    curriculum: bool = False
    """Whether the weight grows over the training; 1 from the start if not."""
    penalty: bool = False
    """Entropy penalty of the learned mixin, "+H"."""
    leak: bool = False
    """Released code: let gradients through the pseudo-labels to the bias models."""
    accumulate: bool = False
    """Released code: do not clear the gradients between the two iterative steps."""
    probabilities: bool = False
    """Add what bias models say as probabilities, not as logits; in the relaxed form, as
    released, where the formula takes logits."""
    base: Literal["base", "shortcut"] = "base"
    """Which network is the base model; "shortcut" shows what the shortcut is worth."""


@dataclasses.dataclass(frozen=True)
class Hyper:
    """Numbers that methods share; times are shares of the training."""

    offset: float = 1 / 6
    """Head start t0 of the curriculum w = sin(pi/2 (t + t0) / (T + t0)), at least 0."""
    length: float = 1.0
    """Length T of the curriculum, positive; the weight stays 1 after it."""
    gce_q: float = 0.7
    """q of the L_q that the bias model of learning from failure is trained with."""
    failure_decay: float = 0.7
    """What learning from failure keeps of an example's losses from epoch to epoch."""
    entropy_weight: float = 0.36
    """Of the learned mixin's penalty."""
    group_step: float = 0.01
    """Step size of group DRO for the weights of the groups."""


_IMAGES: dict[str, Method] = {
    "erm": Method(),
    "erm-sigmoid": Method(form="exact"),
    "colour-only": Method(base="shortcut"),
    "gge": Method("greedy", ("shortcut",)),
    "gge-exact": Method("greedy", ("shortcut",), form="exact"),
    "gge-relaxed": Method("greedy", ("shortcut",), form="relaxed"),
    "gge-iter": Method("greedy", ("shortcut",), "iterative"),
    "gge-tog": Method("greedy", ("shortcut",), "together"),
    "gge-statistic": Method("greedy", ("statistic",)),
    "ggd": Method("weighted", ("shortcut",), curriculum=True),
    "ggd-self": Method("weighted", ("self",), curriculum=True),
    "reweighted": Method("reweighted", ("shortcut",)),
    "bias-product": Method("bias-product", ("shortcut",)),
    "learned-mixin": Method("learned-mixin", ("shortcut",)),
    "learned-mixin-h": Method("learned-mixin", ("shortcut",), penalty=True),
    "rubi": Method("rubi", ("shortcut",), "together"),
    "lff": Method("learning-from-failure", ("self",), "together"),
    "group-dro": Method("group-dro"),
    "oracle": Method("group-weighted"),
}
_QUESTIONS: dict[str, Method] = {
    "base": Method(),
    "question-only": Method(base="shortcut"),
    "d": Method("greedy", ("statistic",)),
    "d-relaxed": Method("greedy", ("statistic",), form="relaxed", probabilities=True),
    "q": Method("greedy", ("shortcut",), "iterative"),
    "q-relaxed": Method(
        "greedy", ("shortcut",), "iterative", form="relaxed", probabilities=True
    ),
    "q-softmax": Method("greedy", ("shortcut",), "iterative", form="softmax"),
    "q-tog": Method("greedy", ("shortcut",), "together"),
    "q-first": Method("greedy", ("shortcut",), "first"),
    # Q fits what D leaves over: probabilities, to be added to D's. Its logits are far
    # below 0, and added to D's they would say no to everything.
    "dq-iter": Method(
        "greedy", ("statistic", "shortcut"), "iterative", probabilities=True
    ),
    "dq-tog": Method(
        "greedy", ("statistic", "shortcut"), "together", probabilities=True
    ),
    "dq-iter-logits": Method("greedy", ("statistic", "shortcut"), "iterative"),
    "q-released": Method(
        "greedy", ("shortcut",), "together", form="relaxed", leak=True
    ),
    "dq-iter-released": Method(
        "greedy",
        ("statistic", "shortcut"),
        "iterative",
        form="relaxed",
        leak=True,
        accumulate=True,
        probabilities=True,
    ),
    "dq-tog-released": Method(
        "greedy",
        ("statistic", "shortcut"),
        "together",
        form="relaxed",
        leak=True,
        probabilities=True,
    ),
    "ggd-d": Method("weighted", ("statistic",), curriculum=True),
    "ggd-q": Method("weighted", ("shortcut",), "iterative", curriculum=True),
    "ggd-dq": Method(
        "weighted", ("statistic", "shortcut"), "iterative", curriculum=True
    ),
    "ggd-self": Method("weighted", ("self",), "iterative", curriculum=True),
    "reweighted": Method("reweighted", ("shortcut",)),
    "bias-product": Method("bias-product", ("shortcut",)),
    "learned-mixin": Method("learned-mixin", ("shortcut",)),
    "learned-mixin-h": Method("learned-mixin", ("shortcut",), penalty=True),
    "rubi": Method("rubi", ("shortcut",), "together"),
    "lff": Method("learning-from-failure", ("self",), "together"),
    "group-dro": Method("group-dro"),
    "oracle": Method("group-weighted"),
}
METHODS = {"images": _IMAGES, "questions": _QUESTIONS}
