"""Losses whose weights or margins follow the training: schedules, running sums."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from jaxloss import curves
from jaxloss._checks import check_range
from jaxloss._class_counts import deferred_weights
from jaxloss._gradient import scale_gradient
from jaxloss._log_odds import Curve, is_class, is_label
from jaxloss._margins import seesaw
from jaxloss._objective import Objective
from jaxloss._probe import class_gradients
from jaxloss._sigmoid import sigmoid_cross_entropy
from jaxloss._softmax import cross_entropy
from jaxloss._sums import by_group, sum_dtype


def deferred_objective(
    weights: ArrayLike,
    *,
    start: ArrayLike,
    loss: Callable[[Array, Array], Array] = cross_entropy,
) -> Objective:
    r"""Deferred re-weighting: $\ell_i$ until step `start`, then $w_{y_i} \ell_i$.

    The state is the number of steps so far.

    Args:
        weights: of the classes, such as `class_weights(counts, scheme="effective")`.
        start: steps without weights; the source defers for four fifths of them, and
            lowers the learning rate when it starts.
        loss: `(logits, labels) -> losses`; the source takes `ldam`.
    Source: Cao et al., NeurIPS 2019, arXiv:1906.07413, algorithm 1.
    """
    # Closed over and used in every step: an index outside is a label that is no class,
    # whose loss is NaN already.
    table = jnp.asarray(weights)

    def weighted(step, logits, labels, index):
        del index
        now = deferred_weights(table, step, start=start)
        factors = now.at[labels].get(mode="fill", fill_value=1)
        return (loss(logits, labels) * factors).astype(logits.dtype)

    return Objective(
        lambda: jnp.zeros((), jnp.int32),
        weighted,
        lambda step, signals: step + 1,
    )


def seesaw_objective(
    num_classes: int,
    *,
    p: ArrayLike = 0.8,
    q: ArrayLike = 2.0,
    epsilon: ArrayLike = 1e-2,
    curve: Curve = curves.cross_entropy,
) -> Objective:
    """`seesaw` with the counts of the labels seen so far, as the source trains it.

    The state is those counts; a class that did not occur yet counts as seen once.

    Args:
        num_classes: C.
        p: strength of the mitigation by frequency; may be traced.
        q: strength of the compensation of mistakes; may be traced.
        epsilon: floor of the label's probability in that.
        curve: of the log-odds, cross-entropy by default; any of `curves`.
    Source: Wang et al., CVPR 2021, arXiv:2008.10032, section 3.2.
    """

    def loss(counts, logits, labels, index):
        del index
        counts = jnp.maximum(counts, 1)
        return seesaw(
            logits, labels, counts=counts, p=p, q=q, epsilon=epsilon, curve=curve
        )

    def update(counts, signals):
        ones = is_class(signals.logits, signals.labels).reshape(-1)
        seen = by_group(ones.astype(counts.dtype), signals.labels, num_classes)
        return counts + seen

    return Objective(lambda: jnp.zeros(num_classes, sum_dtype()), loss, update)


def equalization_v2_objective(
    num_classes: int,
    *,
    gamma: ArrayLike = 12.0,
    mu: ArrayLike = 0.8,
    alpha: ArrayLike = 4.0,
    decay: ArrayLike = 1.0,
) -> Objective:
    r"""Equalization v2: a sigmoid for each class, gradients evened out as they run.

    With $r_j$ the ratio of the positive to the negative gradient that class vector j
    has received so far (infinite before the first),

    $$\ell = \sum_j \mathrm{BCE}(z_j, [j = y]), \qquad
      \frac{\partial\ell}{\partial z_j} := \begin{cases}
      -(1 + \alpha (1 - f_j))\,\sigma(-z_j) & j = y \\
      f_j\,\sigma(z_j) & j \ne y \end{cases}, \qquad
      f_j = \frac{1}{1 + e^{-\gamma (r_j - \mu)}}.$$

    Surrogate gradient: the weights are no part of the value (see `scale_gradient`). The
    state is that of `class_gradients`, of the gradients as weighted.

    Args:
        num_classes: C.
        gamma: steepness of f.
        mu: the ratio that weighs one half.
        alpha: how much more the positive gradient of a starved class counts.
        decay: what the sums keep from step to step, in (0, 1].
    Source: Tan et al., CVPR 2021, arXiv:2012.08548, eq. 5 to 7.
    """
    check_range("gamma", gamma, 0, float("inf"))
    probe = class_gradients(num_classes, decay=decay)

    def loss(state, logits, labels, index):
        del index
        even = _evenness(probe.read(state), gamma, mu)
        even = even.astype(logits.dtype).reshape((1,) * labels.ndim + even.shape)
        hot = is_label(logits, labels)
        weights = jnp.where(hot, 1 + alpha * (1 - even), even)
        losses = sigmoid_cross_entropy(
            scale_gradient(logits, weights), hot.astype(logits.dtype)
        )
        return jnp.where(is_class(logits, labels), losses, jnp.nan)

    return Objective(probe.init, loss, probe.update)


def _evenness(sums: Any, gamma: ArrayLike, mu: ArrayLike) -> Array:
    """1 for a class that has received nothing, as before the first step."""
    known = sums.received > 0
    ratio = sums.positive / jnp.where(known, sums.received, 1)
    return jnp.where(known, jax.nn.sigmoid(gamma * (ratio - mu)), 1)
