r"""Greedy ensembles of any number of models: each fits what those before it leave over.

Statistics, a net that sees nothing but the shortcut, the base model: the order is the
order of greed. Only the last one predicts; the others are there to have had the easy
answers first.
"""

from collections.abc import Sequence
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float

from jaxloss._checks import check_logits_targets, check_range, unknown
from jaxloss._debias import pseudo_labels
from jaxloss._exact import sigmoid
from jaxloss._log_odds import log_softmax, soft_cross_entropy, wide
from jaxloss._sigmoid import sigmoid_cross_entropy

EnsembleForm = Literal["exact", "relaxed", "softmax", "weighted"]
SumOf = Literal["logits", "probabilities"]


def greedy_ensemble(
    logits: Sequence[Float[Array, "*batch classes"]],
    targets: Float[Array, "*batch classes"],
    *,
    form: EnsembleForm = "exact",
    weight: ArrayLike = 1.0,
    sum_of: SumOf = "logits",
    leak: bool = False,
) -> tuple[Float[Array, "*batch"], ...]:
    r"""A loss for each model of a greedy ensemble, all in one differentiable function.

    With $z_1, z_2, \dots$ in greedy order, $H_m = \sum_{i<m} z_i$ and the
    `greedy_pseudo_labels` $\tilde t_m$ of $H_m$, or $t$ for the first model:

    exact, relaxed: binary cross-entropy of $z_m$ and $\tilde t_m$;
    softmax: $\ell_m = -\sum_j \tilde t_{mj} \log p_{mj}$;
    weighted: $\ell_m = -\sum_j t_j (1 - w\, b_j) \log p_{mj}$ with
    $b = \mathrm{softmax}(H_m)$, `general_greedy_debias` for soft targets. For hard
    targets and $w = 1$ it is the softmax form.

    $\ell_m$ has a gradient for $z_m$ alone, that of `greedy_gradient`: the sum of the
    losses trains all models together, each on its own; and a model that is trained by
    itself, with the others as constants, gets the same gradient.

    How far it goes: where the bias model knows $p(y \mid \text{cue})$ and a base model
    can see the cue as well, cross-entropy ends at $p_y \propto b_y\, p(x \mid y)$, the
    softmax and weighted forms at $p_y \propto b_y (1 - w\, b_y)\, p(x \mid y)$,
    `bias_product` at $p_y \propto p(x \mid y)$. A cue that is right in 95 of 100 cases,
    of ten classes, is believed 171, 8.6 and 1 times more than any other class.

    Args:
        logits: of each model, the base model last. A statistic takes part by its
            log-odds (exact, relaxed) or log-probabilities (softmax, weighted), which
            must be finite.
        targets: soft or hard labels in [0, 1].
        form: of the losses and of the pseudo-labels.
        weight: w in [0, 1] of the weighted form; may be traced.
        sum_of: "probabilities" adds $\sigma(z_i)$ or $\mathrm{softmax}(z_i)$ instead:
            in place of $\sigma(H)$ or $b$, clipped to [0, 1]; in the relaxed form in
            place of H, as the released code does, although that takes logits. With
            sigmoids and two bias models choose it: the second fits a residual, its
            logits are far below 0, and added to the first one's they deny everything.
        leak: let the gradient through the pseudo-labels to the models before, as the
            released code does.
    Returns:
        One loss per example and model, in the order of the models.
    Raises:
        TypeError: logits that are not floating.
        ValueError: no models; shapes that differ; an unknown form; weight out of range.
    Source: Han et al., "Greedy Gradient Ensemble for Robust Visual Question Answering",
        ICCV 2021, arXiv:2107.12651, section 3.2; "General Greedy De-bias Learning",
        TPAMI 2023, IEEE 10027464.

    >>> statistic, base = jnp.array([2.0, -2.0]), jnp.zeros(2)
    >>> losses = greedy_ensemble([statistic, base], jnp.array([1.0, 0.0]))
    >>> losses[1].round(4)  # the pseudo-labels are 0.12 and 0
    Array(1.3863, dtype=float32)
    """
    if not logits:
        raise ValueError("logits must be those of one model at least, got none")
    check_range("weight", weight, 0, 1)
    models = [check_logits_targets(each, targets)[0] for each in logits]
    targets = jnp.asarray(targets)
    losses = []
    for m, z in enumerate(models):
        labels = targets
        if m:
            labels = _left_over(models[:m], targets, form, weight, sum_of)
            labels = labels if leak else jax.lax.stop_gradient(labels)
        losses.append(_loss(z, labels, form))
    return tuple(losses)


def _left_over(
    models: Sequence[Array],
    targets: Array,
    form: EnsembleForm,
    weight: ArrayLike,
    sum_of: SumOf,
) -> Array:
    t = targets.astype(wide(targets.dtype))
    scores = [z.astype(wide(z.dtype)) for z in models]
    if sum_of == "logits":
        total = sum(scores[1:], scores[0])
        if form != "weighted":
            return pseudo_labels(t, total, form)
        # 1 - w b, without cancellation where b is near 1
        left = (1 - jnp.asarray(weight)) + weight * sigmoid(-log_softmax(total)[1])
        return t * left
    if sum_of != "probabilities":
        unknown("sum_of", sum_of, SumOf)
    link = sigmoid if form in ("exact", "relaxed") else jax.nn.softmax
    shares = [link(z) for z in scores]
    total = sum(shares[1:], shares[0])
    match form:
        case "relaxed":
            return pseudo_labels(t, total, form)
        case "exact" | "softmax":
            return jnp.clip(t - total, 0, 1)
        case "weighted":
            return t * (1 - weight * jnp.clip(total, 0, 1))
        case _:
            unknown("form", form, EnsembleForm)


def _loss(z: Array, labels: Array, form: EnsembleForm) -> Array:
    match form:
        case "exact" | "relaxed":
            return sigmoid_cross_entropy(z, labels)
        case "softmax" | "weighted":
            log_p, _ = log_softmax(z)
            return soft_cross_entropy(log_p, labels).astype(z.dtype)
        case _:
            unknown("form", form, EnsembleForm)
