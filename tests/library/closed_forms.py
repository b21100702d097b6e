"""Losses in plain numpy: one example in float64, value and gradient by hand."""

import dataclasses
from collections.abc import Callable
from typing import Any

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
