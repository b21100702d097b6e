"""Textbook formulas in PyTorch, as a paper's repository would write them.

They run eagerly, with autograd. `z` are logits `[N, C]`, `y` integer labels `[N]`,
and one loss per example comes out.
"""

from typing import Any

from bench.peers import torch as _torch

torch: Any = _torch  # asked for only where it is not None


def _label(values, y):
    return values.gather(1, y[:, None])[:, 0]


def _one_hot(z, y):
    return torch.nn.functional.one_hot(y, z.shape[1]).to(z.dtype)


def cross_entropy(z, y, **options):
    return torch.nn.functional.cross_entropy(z, y, reduction="none", **options)


def generalized_cross_entropy(z, y, q):
    return (1 - _label(z.softmax(1), y) ** q) / q


def truncated_generalized_cross_entropy(z, y, q, k):
    return (1 - _label(z.softmax(1), y).clamp(min=k) ** q) / q


def mean_absolute_error(z, y):
    return (z.softmax(1) - _one_hot(z, y)).abs().sum(1)


def focal(z, y, gamma):
    log_p = _label(z.log_softmax(1), y)
    return -((1 - log_p.exp()) ** gamma) * log_p


def poly1(z, y, epsilon):
    return cross_entropy(z, y) + epsilon * (1 - _label(z.softmax(1), y))


def taylor_cross_entropy(z, y, order):
    rest = 1 - _label(z.softmax(1), y)
    return sum(rest**k / k for k in range(1, order + 1))


def symmetric_cross_entropy(z, y, alpha, beta, log_zero):
    log_target = _one_hot(z, y).clamp(min=2.718281828459045**log_zero).log()
    reverse = -(z.softmax(1) * log_target).sum(1)
    return alpha * cross_entropy(z, y) + beta * reverse


def encouraging(z, y, log_end):
    p = _label(z.softmax(1), y)
    end = torch.as_tensor(log_end)
    tangent = (1 - end).log() - (p - end) / (1 - end)
    bonus = torch.where(p > end, tangent, (1 - p.clamp(max=log_end)).log())
    return cross_entropy(z, y) + bonus


def normalized_cross_entropy(z, y):
    log_p = z.log_softmax(1)
    return _label(log_p, y) / log_p.sum(1)


def squared_error(z, y):
    return ((z.softmax(1) - _one_hot(z, y)) ** 2).sum(1)


def forward_corrected(z, y, transition):
    return -_label(z.softmax(1) @ transition, y).log()


def backward_corrected(z, y, transition):
    return -(transition.inverse()[y] * z.log_softmax(1)).sum(1)


def logit_adjusted(z, y, log_prior):
    return cross_entropy(z + log_prior, y)


def margin(z, y, margin):
    return cross_entropy(z + margin[y], y)


def gala(z, y, rival, label):
    return cross_entropy(z + rival - _one_hot(z, y) * (rival - label), y)


def vector_scaling(z, y, scale, shift):
    return cross_entropy(scale * z + shift, y)


def ldam(z, y, margins, scale):
    return cross_entropy(scale * (z - _one_hot(z, y) * margins), y)


def equalization(z, y, weights):
    hot = _one_hot(z, y)
    return cross_entropy(z + (hot + (1 - hot) * weights).log(), y)


def seesaw(z, y, counts, p, q, epsilon):
    mitigation = (counts[None] / counts[y][:, None]).clamp(max=1) ** p
    s = z.detach().softmax(1)
    own = _label(s, y)[:, None].clamp(min=epsilon)
    factor = mitigation * (s / own).clamp(min=1) ** q
    hot = _one_hot(z, y)
    return cross_entropy(z + (hot + (1 - hot) * factor).log(), y)


def cosface(z, y, margin, scale):
    return cross_entropy(scale * (z - margin * _one_hot(z, y)), y)


def arcface(z, y, margin, scale):
    sine = (1 - z * z).sqrt()
    m = torch.as_tensor(margin)
    moved = z * m.cos() - sine * m.sin()
    moved = torch.where(z > -m.cos(), moved, z - margin * m.sin())
    hot = _one_hot(z, y)
    return cross_entropy(scale * (hot * moved + (1 - hot) * z), y)


def logit_norm(z, y, temperature, epsilon):
    norm = z.norm(dim=1, keepdim=True) + epsilon
    return cross_entropy(z / norm / temperature, y)


def sigmoid_cross_entropy(z, t):
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    return bce(z, t, reduction="none").sum(1)


def sigmoid_focal(z, t, gamma, alpha):
    bce = torch.nn.functional.binary_cross_entropy_with_logits
    p = z.sigmoid()
    rest = p * (1 - t) + (1 - p) * t
    weight = alpha * t + (1 - alpha) * (1 - t)
    return (weight * rest**gamma * bce(z, t, reduction="none")).sum(1)


def asymmetric(z, t, gamma_positive, gamma_negative, clip):
    p = z.sigmoid()
    rest = (1 - p + clip).clamp(max=1)
    log_likelihood = t * p.clamp(min=1e-8).log() + (1 - t) * rest.clamp(min=1e-8).log()
    kept = p * t + rest * (1 - t)
    gamma = gamma_positive * t + gamma_negative * (1 - t)
    return -((1 - kept) ** gamma * log_likelihood).sum(1)
