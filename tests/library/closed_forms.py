"""Losses in plain numpy: one example in float64, value and gradient by hand."""

import dataclasses
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np


@dataclasses.dataclass(frozen=True)
class curve:
    """A loss of the label's log-odds, given `p`, `1 - p` and the logs of both."""

    value_and_slope: Callable[..., Any]

    def at(self, u, **hyper):
        log_p, log_rest = -np.logaddexp(0, -u), -np.logaddexp(0, u)
        p, rest = np.exp(log_p), np.exp(log_rest)
        return np.array(self.value_and_slope(u, p, rest, log_p, log_rest, **hyper))

    def __call__(self, z, y, **hyper):
        rivals = np.delete(z, y)
        top = np.max(rivals)
        exps = np.exp(rivals - top)
        value, slope = self.at(z[y] - (top + np.log(np.sum(exps))), **hyper)
        return value, np.insert(-slope * exps / np.sum(exps), y, slope)


def shifted(exact: Callable[..., Any], shift: Any) -> Callable[..., Any]:
    """The same loss of `z + shift(z, y)`, whose gradient in `z` is that at the sum."""

    def moved(z, y, **hyper):
        rest = {k: v for k, v in hyper.items() if k not in shift.takes}
        return exact(z + shift(z, y, **{k: hyper[k] for k in shift.takes}), y, **rest)

    return moved


def takes(*names):
    def mark(function):
        function.takes = names
        return function

    return mark


@takes("log_prior", "tau")
def prior_shift(z, y, log_prior, tau):
    return tau * log_prior


@takes("margin")
def margin_shift(z, y, margin):
    return np.where(np.arange(len(z)) == y, 0, margin[y])


@takes("positive", "negative", "lambda1", "lambda2", "epsilon")
def gala_shift(z, y, positive, negative, lambda1, lambda2, epsilon):
    shift = lambda1 * np.log(positive + epsilon)
    shift = shift - lambda2 * np.log(negative[y] + epsilon)
    return np.where(np.arange(len(z)) == y, 0, shift)


@curve
def cross_entropy(u, p, rest, log_p, log_rest):
    return -log_p, -rest


@curve
def log_odds(u, p, rest, log_p, log_rest):
    return u, 1.0


@curve
def focal(u, p, rest, log_p, log_rest, gamma):
    power = np.exp(gamma * log_rest)
    return -power * log_p, power * (gamma * p * log_p - rest)


@curve
def gce(u, p, rest, log_p, log_rest, q):
    return -np.expm1(q * log_p) / q, -np.exp(q * log_p) * rest


@curve
def truncated_gce(u, p, rest, log_p, log_rest, q, k):
    if p <= k:
        return (1 - k**q) / q, 0.0
    return -np.expm1(q * log_p) / q, -np.exp(q * log_p) * rest


@curve
def mae(u, p, rest, log_p, log_rest):
    return 2 * rest, -2 * p * rest


@curve
def encouraging(u, p, rest, log_p, log_rest, log_end):
    if p <= log_end:
        return -log_p + log_rest, -1.0
    bonus = np.log(1 - log_end) - (1 - log_end - rest) / (1 - log_end)
    return -log_p + bonus, -rest * (1 + p / (1 - log_end))


def debias(z, y, bias_logits, weight):
    b = np.exp(bias_logits - np.max(bias_logits))
    value, grad = cross_entropy(z, y)
    factor = 1 - weight * b[y] / np.sum(b)
    return factor * value, factor * grad


def binary(z, targets):
    value = targets * np.logaddexp(0, -z) + (1 - targets) * np.logaddexp(0, z)
    p, rest = np.exp(-np.logaddexp(0, -z)), np.exp(-np.logaddexp(0, z))
    return np.sum(value), (1 - targets) * p - targets * rest


def hot(z, y):
    return (np.arange(len(z)) == y).astype(np.float64)


def greedy(pseudo):
    return lambda z, y, bias_logits: binary(z, pseudo(hot(z, y), bias_logits))


def greedy_softmax(z, y, bias_logits):
    b = np.exp(bias_logits - np.max(bias_logits))
    factor = 1 - b[y] / np.sum(b)
    value, grad = cross_entropy(z, y)
    return factor * value, factor * grad


def relaxed(t, b):
    return 2 * t / (1 + np.exp(2 * t * b))


def residual(t, b):
    return np.clip(t - 1 / (1 + np.exp(-b)), 0, 1)


@curve
def poly1(u, p, rest, log_p, log_rest, epsilon):
    return -log_p + epsilon * rest, -rest * (1 + epsilon * p)


@curve
def taylor(u, p, rest, log_p, log_rest, order):
    value = sum(rest**k / k for k in range(1, order + 1))
    return value, rest * np.expm1(order * log_rest)


@curve
def symmetric(u, p, rest, log_p, log_rest, alpha, beta, log_zero):
    reverse = -beta * log_zero
    return reverse * rest - alpha * log_p, -rest * (alpha + reverse * p)


def probabilities(z):
    """p and 1 - p of every class, without cancellation."""
    u = np.array([log_odds(z, k)[0] for k in range(len(z))])
    return np.exp(-np.logaddexp(0, -u)), np.exp(-np.logaddexp(0, u)), u


def smoothed(exact):
    """The mean over the labels that are in, for a share of the weight."""

    def loss(z, y, label_smoothing, **hyper):
        inside = [k for k in range(len(z)) if z[k] > -np.inf]
        values, grads = zip(*[exact(z, k, **hyper) for k in inside], strict=True)
        value, grad = exact(z, y, **hyper)
        s = label_smoothing
        mean_grad = np.mean(grads, axis=0)
        return (1 - s) * value + s * np.mean(values), (1 - s) * grad + s * mean_grad

    return loss


def label_aware(z, y, counts, head, tail):
    share = (counts - counts.min()) / (counts.max() - counts.min())
    s = tail + (head - tail) * np.sin(np.pi / 2 * share)
    return smoothed(cross_entropy)(z, y, label_smoothing=s[y])


def brier(z, y):
    p, rest, _ = probabilities(z)
    t = hot(z, y)
    d = np.where(t == 1, -rest, p)
    # p_k sum_j p_j (d_k - d_j), written so that nothing near 1 is subtracted
    difference = p[:, None] - p[None, :] - (t[:, None] - t[None, :])
    difference[y] = -rest[y] - p
    difference[:, y] = p + rest[y]
    difference[y, y] = 0
    return np.sum(d * d), 2 * p * np.sum(difference * p, axis=1)


def signs(z, y):
    return np.where(hot(z, y) == 1, 1, -1)


def sigmoid_brier(z, y):
    s = signs(z, y)
    wrong = np.exp(-np.logaddexp(0, s * z))
    right = np.exp(-np.logaddexp(0, -s * z))
    return np.sum(wrong**2), -2 * s * wrong**2 * right


def sigmoid_mae(z, y):
    s = signs(z, y)
    wrong = np.exp(-np.logaddexp(0, s * z))
    right = np.exp(-np.logaddexp(0, -s * z))
    return np.sum(wrong), -s * wrong * right


def mirror_bonus(z, y, gamma):
    _, _, u = probabilities(z)
    s = signs(z, y)
    power = np.exp(-gamma * np.logaddexp(0, -s * u))
    wrong = np.exp(-np.logaddexp(0, s * u))
    slopes = -gamma * s * power * wrong
    grads = [log_odds(z, k)[1] for k in range(len(z))]
    return -np.sum(power), slopes @ np.array(grads)


def z_loss(z, y):
    top = np.max(z)
    log = top + np.log(np.sum(np.exp(z - top)))
    return log**2, 2 * log * np.exp(z - log)


def normalized_ce(z, y):
    num_classes, inside = np.sum(z > -np.inf), z > -np.inf
    p, rest, u = probabilities(z)
    log_p = np.where(inside, -np.logaddexp(0, -u), 0)
    own, others = -log_p[y], -(np.sum(log_p) - log_p[y])
    others = -np.sum(np.delete(log_p, y))
    d_own = np.where(hot(z, y) == 1, -rest, p)
    d_others = (num_classes - 2) * p - rest
    d_others[y] = (num_classes - 1) * p[y]
    total = own + others
    grad = (others * d_own - own * d_others) / total / total
    return own / total, np.where(inside, grad, 0)


def softmax(z):
    e = np.exp(z - np.max(z))
    return e / np.sum(e)


def forward(z, y, transition):
    share = transition[:, y]
    with np.errstate(divide="ignore"):
        right, wrong = z + np.log(share), z + np.log(1 - share)
    logs = [np.max(x) + np.log(np.sum(np.exp(x - np.max(x)))) for x in (right, wrong)]
    u = logs[0] - logs[1]
    slope = -np.exp(-np.logaddexp(0, u))
    return np.logaddexp(0, -u), slope * (softmax(right) - softmax(wrong))


def backward(z, y, transition):
    p, rest, u = probabilities(z)
    weights = np.linalg.inv(transition)[y]
    # sum_j w_j (p_k - [j = k]), the weights summing to 1
    others = np.sum(weights) - weights
    return weights @ np.logaddexp(0, -u), others * p - weights * rest


def affine(exact, scale_and_shift):
    """The same loss of `scale * z + shift`."""

    def moved(z, y, **hyper):
        scale, shift = scale_and_shift(z, y, **hyper)
        value, grad = exact(scale * z + shift, y)
        return value, scale * grad

    return moved


def vector_scaling(z, y, counts, tau, gamma):
    return (counts / counts.max()) ** gamma, tau * np.log(counts / counts.sum())


def ldam(z, y, counts, max_margin, scale):
    return scale, -scale * max_margin * (counts.min() / counts) ** 0.25 * hot(z, y)


def cosface(z, y, margin, scale):
    return scale, -scale * margin * hot(z, y)


def rival_weights(z, y, weights):
    with np.errstate(divide="ignore"):
        return 1.0, np.where(hot(z, y) == 1, 0, np.log(weights))


def seesaw(z, y, counts, p, q, epsilon):
    sigma, _, u = probabilities(z)
    log_sigma = -np.logaddexp(0, -u)
    floor = max(log_sigma[y], np.log(epsilon))
    fewer = p * np.minimum(0, np.log(counts / counts[y]))
    mistakes = q * np.maximum(0, log_sigma - floor)
    return 1.0, np.where(hot(z, y) == 1, 0, fewer + mistakes)


def arcface(c, y, margin, scale):
    x = np.clip(c[y], -1, 1)
    sine = np.sqrt(1 - x * x)
    if x > -np.cos(margin):
        moved = x * (np.cos(margin) - 1) - sine * np.sin(margin)
        slope = np.cos(margin) + (x / sine * np.sin(margin) if sine else 0)
    else:
        moved, slope = -margin * np.sin(margin), 1.0
    slope = slope if abs(c[y]) < 1 else 1.0
    value, grad = cross_entropy(scale * (c + moved * hot(c, y)), y)
    return value, scale * grad * np.where(hot(c, y) == 1, slope, 1)


def quartered(exact):
    def loss(z, y, **hyper):
        value, grad = exact(z / 4, y, **hyper)
        return value, grad / 4

    return loss


def logit_norm(z, y, temperature, epsilon):
    norm = np.sqrt(np.sum(z * z))
    size = temperature * (norm + epsilon)
    value, grad = cross_entropy(z / size, y)
    along = np.sum(grad * z) / (norm * (norm + epsilon)) if norm else 0.0
    return value, (grad - z * along) / size


def each_class(positive, negative=None):
    """Value and slope of each class's log-odds, `-z` for those that are no label."""

    def exact(z, y, **hyper):
        terms = [(negative or positive)(-u, **hyper) for u in z]
        terms[y] = positive(z[y], **hyper)
        values, slopes = np.array(terms).T
        return np.sum(values), np.where(hot(z, y) == 1, slopes, -slopes)

    return exact


def balanced(curve):
    return each_class(
        lambda u, alpha, **hyper: alpha * curve.at(u, **hyper),
        lambda u, alpha, **hyper: (1 - alpha) * curve.at(u, **hyper),
    )


@curve
def clipped_focal(u, p, rest, log_p, log_rest, gamma, clip):
    r = rest - clip
    if r <= 0:
        return 0.0, 0.0
    log_sum = log_p if clip == 0 else np.log1p(-r) if r < 0.5 else np.log(p + clip)
    share = 1.0 if clip == 0 else p / (p + clip)
    slope = gamma * r ** (gamma - 1) * p * log_sum - r**gamma * share
    return -(r**gamma) * log_sum, rest * slope


@curve
def halted_focal(u, p, rest, log_p, log_rest, gamma):
    if u <= 0:
        return focal.at(u, gamma=gamma)
    return -log_p - (1 - 2**-gamma) * np.log(2), -rest


def asymmetric(z, y, gamma_positive, gamma_negative, clip=0.0):
    terms = each_class(
        lambda u: focal.at(u, gamma=gamma_positive),
        lambda u: clipped_focal.at(u, gamma=gamma_negative, clip=clip),
    )
    return terms(z, y)


def equalization(z, y, weights):
    kept = np.where(hot(z, y) == 1, 1, weights)
    terms = np.array([cross_entropy.at(u) for u in np.where(hot(z, y) == 1, z, -z)])
    signs = np.where(hot(z, y) == 1, 1, -1)
    return np.sum(kept * terms[:, 0]), signs * kept * terms[:, 1]


def smoothed_odds(b, s):
    """log(p + s) of binary probabilities p, less that of 1 - p."""
    p, rest = np.exp(-np.logaddexp(0, -b)), np.exp(-np.logaddexp(0, b))
    return np.log(p + s) - np.log(rest + s)


def bias_product(z, y, bias_logits, smoothing=0.0):
    return binary(z + smoothed_odds(bias_logits, smoothing), hot(z, y))


def bias_product_softmax(z, y, bias_logits, smoothing=0.0):
    return cross_entropy(z + np.log(softmax(bias_logits) + smoothing), y)


def learned_mixin(z, y, bias_logits, gate, entropy_weight=0.0, smoothing=0.0):
    bias = gate * smoothed_odds(bias_logits, smoothing)
    value, grad = binary(z + bias, hot(z, y))
    p = 1 / (1 + np.exp(-bias))
    entropy = -p * np.log(p) - (1 - p) * np.log1p(-p)
    return value + entropy_weight * np.mean(entropy), grad


def learned_mixin_softmax(z, y, bias_logits, gate, entropy_weight=0.0):
    bias = gate * np.log(softmax(bias_logits))
    value, grad = cross_entropy(z + bias, y)
    p = softmax(bias)
    return value - entropy_weight * np.sum(p * np.log(p)), grad


def bias_reweighted(z, y, bias_logits):
    each = [binary(*pair) for pair in zip(z[:, None], hot(z, y)[:, None], strict=True)]
    values, grads = zip(*each, strict=True)
    weight = 1 / (1 + np.exp(bias_logits))
    return np.sum(weight * values), weight * np.concatenate(grads)


def rubi(z, y, bias_logits):
    mask = 1 / (1 + np.exp(-bias_logits))
    value, grad = cross_entropy(mask * z, y)
    return value, mask * grad


def bi_tempered(z, y, t1, t2, label_smoothing=0.0):
    """The paper's formulas to the letter: with digits to spare nothing cancels."""
    with mpmath.workdps(120):
        one, t1, t2, eps = map(mpmath.mpf, map(float, (1, t1, t2, label_smoothing)))

        def log_t(x):
            return mpmath.log(x) if t1 == 1 else (x ** (1 - t1) - 1) / (1 - t1)

        def exp_t(x):
            return mpmath.exp(x) if t2 == 1 else (1 + (1 - t2) * x) ** (1 / (1 - t2))

        seen = np.flatnonzero(z > -np.inf)
        z_seen = [mpmath.mpf(float(z[k])) for k in seen]
        # Newton on the sum, which is convex in the normalizer: from below to the root.
        normalizer, step = max(z_seen), one
        while abs(step) > mpmath.mpf(10) ** -110 * (1 + abs(normalizer)):
            p = [exp_t(x - normalizer) for x in z_seen]
            step = (mpmath.fsum(p) - 1) / mpmath.fsum(x**t2 for x in p)
            normalizer += step
        p = np.full(len(z), 0 * one)
        p[seen] = [exp_t(x - normalizer) for x in z_seen]
        q = np.full(len(z), eps / max(1, len(z) - 1))
        q[y] = 1 - eps if len(z) > 1 else one
        value = 0 * one
        for p_k, q_k in zip(p, q, strict=True):
            if q_k > 0:
                value += q_k * (log_t(q_k) - log_t(p_k))
            value -= (q_k ** (2 - t1) - p_k ** (2 - t1)) / (2 - t1)
        weights, escorts = 0 * p, 0 * p
        weights[seen] = (p[seen] - q[seen]) * p[seen] ** (t2 - t1)
        escorts[seen] = p[seen] ** t2 / np.sum(p[seen] ** t2)
        return float(value), (weights - escorts * np.sum(weights)).astype(np.float64)
