"""Losses in plain numpy: one example in float64, value and gradient by hand."""

from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np


def curve(value_and_slope: Callable[..., Any]) -> Callable[..., Any]:
    """A loss of the label's log-odds, given `p`, `1 - p` and the logs of both."""

    def exact(z, y, **hyper):
        rivals = np.delete(z, y)
        top = np.max(rivals)
        exps = np.exp(rivals - top)
        u = z[y] - (top + np.log(np.sum(exps)))
        log_p, log_rest = -np.logaddexp(0, -u), -np.logaddexp(0, u)
        p, rest = np.exp(log_p), np.exp(log_rest)
        value, slope = value_and_slope(u, p, rest, log_p, log_rest, **hyper)
        grad = np.insert(-slope * exps / np.sum(exps), y, slope)
        return value, grad

    return exact


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
