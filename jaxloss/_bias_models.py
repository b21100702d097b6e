r"""Ensembles with a bias model: it explains what it can, the base model the rest.

In training the loss is that of both models' predictions together; for prediction the
base model stands alone. Other than in `greedy_gradient` both may learn: gradients flow
to the bias logits as well, unless the docstring says otherwise. A bias model that was
fitted first is held constant by the caller, with `jax.lax.stop_gradient`.
"""

from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike
from jaxtyping import Float, Integer

from jaxloss import curves
from jaxloss._checks import (
    check_bias_logits,
    check_logits_labels,
    check_logits_targets,
    check_range,
    check_shape,
    unknown,
)
from jaxloss._exact import log_sigmoid, sigmoid, times
from jaxloss._log_odds import (
    apply_curve,
    log_softmax,
    per_example,
    soft_cross_entropy,
    wide,
)

Form = Literal["sigmoid", "softmax"]


def bias_product(
    logits: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    bias_logits: Float[Array, "*batch classes"],
    form: Form = "sigmoid",
    smoothing: ArrayLike = 0.0,
) -> Float[Array, "*batch"]:
    r"""Product of experts: the base model is to correct the bias model.

    sigmoid: binary cross-entropy, summed over the classes, of the logits plus the bias
    model's log-odds; with $b = \sigma(\text{bias logits})$

    $$d_j = z_j + \log\frac{b_j + s}{1 - b_j + s}, \qquad
      \ell = -\sum_j t_j \log\sigma(d_j) + (1 - t_j) \log\sigma(-d_j),$$
    $$\frac{\partial\ell}{\partial z_j} = \sigma(d_j) - t_j, \qquad
      \frac{\partial\ell}{\partial\text{bias}_j} =
      (\sigma(d_j) - t_j) \frac{(1 + 2 s)\, b_j (1 - b_j)}{(b_j + s)(1 - b_j + s)};$$

    softmax: with $b = \mathrm{softmax}(\text{bias logits})$

    $$\ell = -\sum_j t_j \log q_j, \quad q = \mathrm{softmax}(z + \log(b + s)), \qquad
      \frac{\partial\ell}{\partial z_j} = q_j \sum\nolimits_k t_k - t_j.$$

    Without smoothing that is the loss of `logits + bias_logits`, and the gradient is
    the same in both: logit adjustment with a prior for each example. Where the bias
    model is sure and right, d is large, and nothing is left to learn.

    Args:
        logits: scores of the base model, the ones to predict with.
        targets: soft or hard labels in [0, 1].
        bias_logits: scores of the bias model; $-\infty$ for probability 0, a veto
            unless there is smoothing. Not held constant.
        form: "sigmoid" or "softmax".
        smoothing: s, at least 0, added to the bias model's probabilities: no more than
            $\log(1 + 1/s)$ is its say. The released code learns it, from 0.27 on. May
            be traced.
    Returns:
        One loss per example.
    Raises:
        TypeError: logits or bias_logits that are not floating.
        ValueError: shapes that differ; an unknown form; smoothing out of range.
    Source: Clark et al., "Don't Take the Easy Way Out: Ensemble Based Methods for
        Avoiding Known Dataset Biases", EMNLP 2019, arXiv:1909.03683, section 3.2;
        Hinton, "Training Products of Experts by Minimizing Contrastive Divergence",
        Neural Computation 2002. The sigmoid form and the smoothing are those of the
        code released for VQA.

    >>> z, targets = jnp.zeros(2), jnp.array([1.0, 0.0])
    >>> bias_product(z, targets, bias_logits=jnp.array([2.0, -2.0])).round(4)
    Array(0.2539, dtype=float32)
    """
    logits, targets = check_logits_targets(logits, targets)
    bias = _bias_scores(bias_logits, logits, form, smoothing)
    return _loss(logits + bias, targets, form).astype(logits.dtype)


def learned_mixin(
    logits: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    bias_logits: Float[Array, "*batch classes"],
    gate: Float[Array, "*batch"],
    entropy_weight: ArrayLike = 0.0,
    form: Form = "sigmoid",
    smoothing: ArrayLike = 0.0,
) -> Float[Array, "*batch"]:
    r"""Bias product in which the model decides how far to trust the bias model.

    sigmoid: with $f_j = \log(b_j + s) - \log(1 - b_j + s)$, $d_j = z_j + g f_j$ and the
    binary entropy $H(\sigma(x)) = -\sigma(x) \log\sigma(x) - \sigma(-x)
    \log\sigma(-x)$,

    $$\ell = -\sum_j \left[t_j \log\sigma(d_j) + (1 - t_j) \log\sigma(-d_j)\right]
      + \frac{w}{C} \sum_j H(\sigma(g f_j)),$$
    $$\frac{\partial\ell}{\partial z_j} = \sigma(d_j) - t_j, \qquad
      \frac{\partial\ell}{\partial g} = \sum_j f_j \left[\sigma(d_j) - t_j
      - \frac{w}{C}\, g f_j\, \sigma(g f_j)\, \sigma(-g f_j)\right];$$

    softmax: with $f = \log(b + s)$, $q = \mathrm{softmax}(z + g f)$ and
    $m = \mathrm{softmax}(g f)$,

    $$\ell = -\sum_j t_j \log q_j - w \sum_j m_j \log m_j, \qquad
      \frac{\partial\ell}{\partial z_j} = q_j \sum\nolimits_k t_k - t_j, \quad
      \frac{\partial\ell}{\partial g} = \sum_j f_j
      \frac{\partial\ell}{\partial z_j} - w\, g\, \mathrm{Var}_m(f).$$

    Left to itself the gate closes, $g \to 0$, and the base model learns the bias; the
    entropy ("+H") is what keeps the bias model's part sure. Gradients flow to the gate
    and the bias logits. $g = 1$, $w = 0$ is `bias_product`.

    Args:
        logits: scores of the base model, the ones to predict with.
        targets: soft or hard labels in [0, 1].
        bias_logits: scores of the bias model; not held constant.
        gate: g, at least 0, one per example: `jax.nn.softplus` of a learned linear
            function of the base model's features, which is the caller's.
        entropy_weight: w, at least 0; more than 0 is "+H", 0.36 in the source for VQA.
            May be traced.
        form: "sigmoid" or "softmax".
        smoothing: s, as in `bias_product`.
    Returns:
        One loss per example.
    Raises:
        TypeError: logits or bias_logits that are not floating.
        ValueError: shapes that differ; an unknown form; gate, entropy_weight or
            smoothing out of range.
    Source: Clark et al., EMNLP 2019, arXiv:1909.03683, section 3.2. As in the code
        released for VQA the sigmoid form sums the cross-entropy over the classes and
        averages the entropy.

    >>> z, bias, targets = jnp.zeros(2), jnp.array([2.0, -2.0]), jnp.array([1.0, 0.0])
    >>> learned_mixin(z, targets, bias_logits=bias, gate=jnp.array(0.5)).round(4)
    Array(0.6265, dtype=float32)
    """
    logits, targets = check_logits_targets(logits, targets)
    check_range("gate", gate, 0, float("inf"), open_high=True)
    check_range("entropy_weight", entropy_weight, 0, float("inf"), open_high=True)
    gate = jnp.asarray(gate)
    check_shape("gate", gate, logits.shape[:-1], logits)
    bias = _bias_scores(bias_logits, logits, form, smoothing)
    trusted = times(gate.astype(wide(gate.dtype))[..., None], bias)
    losses = _loss(logits + trusted, targets, form)
    if not (isinstance(entropy_weight, float) and entropy_weight == 0):
        losses = losses + entropy_weight * _entropy(trusted, form)
    return losses.astype(logits.dtype)


def bias_reweighted(
    logits: Float[Array, "*batch classes"],
    targets: Float[Array, "*batch classes"],
    *,
    bias_logits: Float[Array, "*batch classes"],
) -> Float[Array, "*batch"]:
    r"""Binary cross-entropy in which a class counts less where the bias model says yes.

    $$\ell = -\sum_j (1 - b_j) \left[t_j \log\sigma(z_j)
      + (1 - t_j) \log\sigma(-z_j)\right], \quad b = \sigma(\text{bias logits}),$$
    $$\frac{\partial\ell}{\partial z_j} = (1 - b_j)(\sigma(z_j) - t_j), \qquad
      \frac{\partial\ell}{\partial b} = 0.$$

    The same for the softmax and integer labels is `general_greedy_debias`.

    Args:
        logits: scores of the base model.
        targets: soft or hard labels in [0, 1].
        bias_logits: scores of the bias model, held constant.
    Returns:
        One loss per example.
    Raises:
        TypeError: logits or bias_logits that are not floating.
        ValueError: shapes that differ.
    Source: Clark et al., EMNLP 2019, arXiv:1909.03683, section 4, the baseline
        "Reweight". The code released for VQA divides the sum over the batch by that of
        the weights: `jnp.sum(losses) / jnp.sum(jax.nn.sigmoid(-bias_logits))`.

    >>> z, targets = jnp.zeros(2), jnp.array([1.0, 0.0])
    >>> bias_reweighted(z, targets, bias_logits=jnp.array([0.0, 0.0])).round(4)
    Array(0.6931, dtype=float32)
    """
    logits, targets = check_logits_targets(logits, targets)
    bias = jax.lax.stop_gradient(_wide_bias(bias_logits, logits))
    weight, z = sigmoid(-bias), logits.astype(wide(logits.dtype))
    losses = _binary(z, weight * targets, weight * (1 - targets))
    return losses.astype(logits.dtype)


def rubi(
    logits: Float[Array, "*batch classes"],
    labels: Integer[Array, "*batch"],
    *,
    bias_logits: Float[Array, "*batch classes"],
) -> Float[Array, "*batch"]:
    r"""Cross-entropy of logits under a mask that the bias model predicts.

    $$\ell = -\log p_y, \quad p = \mathrm{softmax}(m \odot z), \quad
      m = \sigma(\text{bias logits}),$$
    $$\frac{\partial\ell}{\partial z_k} = m_k (p_k - [k = y]), \qquad
      \frac{\partial\ell}{\partial\text{bias}_k} =
      z_k\, m_k (1 - m_k)(p_k - [k = y]).$$

    The mask raises the label where the bias model knows it: small losses for biased
    examples, large ones for the others. It matters where the zero of the logits lies:
    adding a constant to all of them changes the loss.

    Gradients flow to both models. The bias branch has a loss of its own, which is the
    caller's: in the source `cross_entropy` of a linear map of `bias_logits`, added to
    this one. Stop its gradient at the features that it shares with the base model.

    Args:
        logits: scores of the base model, the ones to predict with. Classes at $-\infty$
            are out.
        labels: class ids in `[0, classes)`; NaN for any other.
        bias_logits: scores of the bias model, before the sigmoid; not held constant.
    Returns:
        One loss per example.
    Raises:
        TypeError, ValueError: as `label_log_odds`; bias_logits that are not floating or
            of another shape.
    Source: Cadene et al., "RUBi: Reducing Unimodal Biases for Visual Question
        Answering", NeurIPS 2019, arXiv:1906.10169, section 3.

    >>> z = jnp.array([1.0, 0.0])
    >>> rubi(z, jnp.array(0), bias_logits=jnp.array([0.0, 0.0])).round(4)
    Array(0.4741, dtype=float32)
    """
    logits, labels = check_logits_labels(logits, labels)
    bias = _wide_bias(bias_logits, logits)

    def masked(z: Array, labels: Array) -> Array:
        # -inf * mask would be NaN where the mask is 0, and in its gradient anywhere.
        mask = jnp.where(jnp.isneginf(z), 1, sigmoid(bias))
        return apply_curve(curves.cross_entropy, mask * z, labels)

    return per_example(masked, logits, labels)


def _wide_bias(bias_logits: ArrayLike, logits: Array) -> Array:
    bias_logits = check_bias_logits(bias_logits, logits)
    return bias_logits.astype(wide(bias_logits.dtype))


def _bias_scores(
    bias_logits: ArrayLike, logits: Array, form: Form, smoothing: ArrayLike
) -> Array:
    """What the bias model adds to the logits. Its softmax needs no normalizer here."""
    bias = _wide_bias(bias_logits, logits)
    check_range("smoothing", smoothing, 0, float("inf"), open_high=True)
    plain = isinstance(smoothing, float) and smoothing == 0
    s = jnp.asarray(smoothing, bias.dtype)
    match form:
        case "sigmoid" | "softmax" if plain:
            return bias
        case "sigmoid":
            return _log_sum(log_sigmoid(bias), s) - _log_sum(log_sigmoid(-bias), s)
        case "softmax":
            return _log_sum(log_softmax(bias)[0], s)
        case _:
            unknown("form", form, Form)


@jax.custom_jvp
def _log_sum(log_p: Array, s: Array) -> Array:
    """Exact: log(p + s) and its derivatives, finite at s = 0, where those of log s are
    not."""
    return jnp.logaddexp(log_p, jnp.log(s))


@_log_sum.defjvp
def _log_sum_jvp(primals, tangents):
    (log_p, s), (dlog_p, ds) = primals, tangents
    log_sum = _log_sum(log_p, s)
    share = jnp.exp(jnp.where(jnp.isneginf(log_sum), 0, log_p - log_sum))
    # Bounded, for a tangent of 0 stays 0.
    largest = jnp.log(jnp.finfo(log_sum.dtype).max)
    inverse = jnp.exp(jnp.minimum(-log_sum, largest))
    return log_sum, share * dlog_p + inverse * ds


def _loss(scores: Array, targets: Array, form: Form) -> Array:
    if form == "sigmoid":
        return _binary(scores, targets, 1 - targets)
    return soft_cross_entropy(log_softmax(scores)[0], targets)


def _entropy(scores: Array, form: Form) -> Array:
    """Of the softmax, or the mean over the classes of that of the sigmoids."""
    if form == "sigmoid":
        sums = _binary(scores, sigmoid(scores), sigmoid(-scores))
        return sums / scores.shape[-1]
    log_p, _ = log_softmax(scores)
    return soft_cross_entropy(log_p, jnp.exp(log_p))


def _binary(z: Array, positive: Array, negative: Array) -> Array:
    """Weighted binary cross-entropies, summed over the classes."""
    found = soft_cross_entropy(log_sigmoid(z), positive)
    return found + soft_cross_entropy(log_sigmoid(-z), negative)
