"""Value and gradient of the losses beside the same losses of other libraries.

All candidates of a row take turns in one process, and a ratio is the median over the
rounds: what slows one round down slows all of it. A peer is timed only if its losses
and gradients are ours: see `agree`.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import jaxloss
from bench import formulas
from bench.peers import keras, tempered, torch
from bench.timing import alternate

SHAPES = ((1024, 10), (4096, 100), (4096, 1000), (1024, 8142), (256, 32000))
QUICK_SHAPES = SHAPES[:3]
NAN = "NaN"  # where p, or a power of it, leaves float32: a finding, not a mistake
BASELINE = "optax CE"  # what every loss is compared with, whatever its own peers are

Loss = Callable[[Any, Any], Any]


class Entry(NamedTuple):
    """One row: our loss and the same function elsewhere, each of (logits, labels)."""

    name: str
    ours: Loss
    peers: dict[str, Loss]  # by library; those that cannot be imported are left out
    inputs: str = "logits"  # or "cosines", in (-1, 1); or "targets", not integer labels
    max_classes: int = 10**9  # where an argument is [classes, classes]


def entries(classes: int) -> Iterator[Entry | None]:
    """The table. To add a loss, yield one more `row`."""
    counts = np.geomspace(1000, 5, classes).astype(np.float32)
    log_prior = np.log(counts / counts.sum())
    weights = np.linspace(1, 0.1, classes, dtype=np.float32)

    def one_hot(y, dtype):
        return jax.nn.one_hot(y, classes, dtype=dtype)

    def optax_smoothed(z, y, alpha):
        labels = optax.smooth_labels(one_hot(y, z.dtype), alpha)
        return optax.softmax_cross_entropy(z, labels)

    optax_ce = optax.softmax_cross_entropy_with_integer_labels
    yield row(
        "cross_entropy",
        {},
        optax=optax_ce,
        keras=_keras("sparse_categorical_crossentropy"),
        torch=formulas.cross_entropy,
    )
    yield row(
        "cross_entropy",
        {"label_smoothing": 0.1},
        label="label smoothing",
        optax=partial(optax_smoothed, alpha=0.1),
        keras=_keras("categorical_crossentropy", classes, label_smoothing=0.1),
        torch=partial(formulas.cross_entropy, label_smoothing=0.1),
    )
    keras_focal = _keras(
        "categorical_focal_crossentropy", classes, alpha=1.0, gamma=2.0
    )
    yield row(
        "focal",
        {"gamma": 2.0},
        keras=keras_focal if classes <= 100 else None,  # clips p at 1e-7
        torch=partial(formulas.focal, gamma=2.0),
    )
    yield row(
        "poly1",
        {"epsilon": 2.0},
        optax=lambda z, y: optax.losses.poly_loss_cross_entropy(
            z, one_hot(y, z.dtype), epsilon=2.0
        ),
        torch=partial(formulas.poly1, epsilon=2.0),
    )
    yield row(
        "taylor_cross_entropy",
        {"order": 2},
        torch=partial(formulas.taylor_cross_entropy, order=2),
    )
    yield row(
        "generalized_cross_entropy",
        {"q": 0.7},
        keras=_keras_gce(0.7),
        torch=partial(formulas.generalized_cross_entropy, q=0.7),
    )
    yield row(
        "truncated_generalized_cross_entropy",
        {"q": 0.7, "k": 0.01},
        torch=partial(formulas.truncated_generalized_cross_entropy, q=0.7, k=0.01),
    )
    yield row("mean_absolute_error", {}, torch=formulas.mean_absolute_error)
    symmetric = {"alpha": 0.1, "beta": 1.0, "log_zero": -4.0}
    yield row(
        "symmetric_cross_entropy",
        symmetric,
        torch=partial(formulas.symmetric_cross_entropy, **symmetric),
    )
    yield row(
        "encouraging",
        {"log_end": 0.75},
        torch=partial(formulas.encouraging, log_end=0.75),
    )
    yield row("normalized_cross_entropy", {}, torch=formulas.normalized_cross_entropy)
    yield row("squared_error", {}, torch=formulas.squared_error)
    yield row(
        "bi_tempered_logistic",
        {"t1": 0.8, "t2": 1.2},
        jax_bitempered_loss=_tempered(classes, t1=0.8, t2=1.2),
    )

    small = 1000
    if classes <= small:
        transition = np.full((classes, classes), 0.4 / (classes - 1), np.float32)
        np.fill_diagonal(transition, 0.6)
        margin = log_prior[None] - log_prior[:, None]
    else:  # its rows are skipped
        transition = margin = np.zeros((0, 0), np.float32)
    for name, formula in (
        ("forward_corrected_cross_entropy", formulas.forward_corrected),
        ("backward_corrected_cross_entropy", formulas.backward_corrected),
    ):
        yield row(
            name,
            {"transition": transition},
            max_classes=small,
            torch=partial(formula, transition=_tensor(transition)),
        )
    yield row(
        "margin_cross_entropy",
        {"margin": margin},
        max_classes=small,
        torch=partial(formulas.margin, margin=_tensor(margin)),
    )

    yield row(
        "logit_adjusted_cross_entropy",
        {"log_prior": log_prior},
        optax=lambda z, y: optax_ce(z + log_prior[None], y),
        torch=partial(formulas.logit_adjusted, log_prior=_tensor(log_prior)),
    )
    sums = weights + 0.01
    yield row(
        "gala",
        {"positive": sums, "negative": weights},
        torch=partial(
            formulas.gala,
            rival=_tensor(np.log(sums + 1e-3)),
            label=_tensor(np.log(weights + 1e-3)),
        ),
    )
    yield row(
        "vector_scaling",
        {"counts": counts, "tau": 1.0, "gamma": 0.15},
        optax=lambda z, y: optax_ce(z * _scale(counts) + log_prior[None], y),
        torch=partial(
            formulas.vector_scaling,
            scale=_tensor(_scale(counts)),
            shift=_tensor(log_prior),
        ),
    )
    yield row(
        "ldam",
        {"counts": counts, "max_margin": 0.5, "scale": 30.0},
        inputs="cosines",
        torch=partial(
            formulas.ldam,
            margins=_tensor(0.5 * (counts.min() / counts) ** 0.25),
            scale=30.0,
        ),
    )
    yield row(
        "equalization",
        {"weights": weights},
        torch=partial(formulas.equalization, weights=_tensor(weights)),
    )
    seesaw = {"p": 0.8, "q": 2.0, "epsilon": 0.01}
    yield row(
        "seesaw",
        {"counts": counts} | seesaw,
        torch=partial(formulas.seesaw, counts=_tensor(counts), **seesaw),
    )
    for name, formula, margin_size in (
        ("cosface", formulas.cosface, 0.35),
        ("arcface", formulas.arcface, 0.5),
    ):
        hyper = {"margin": margin_size, "scale": 64.0}
        yield row(name, hyper, inputs="cosines", torch=partial(formula, **hyper))
    norm = {"temperature": 0.04, "epsilon": 1e-7}
    yield row("logit_norm", norm, torch=partial(formulas.logit_norm, **norm))

    yield row(
        "sigmoid_cross_entropy",
        {},
        inputs="targets",
        optax=lambda z, t: optax.sigmoid_binary_cross_entropy(z, t).sum(-1),
        keras=_keras_binary("binary_crossentropy", classes, from_logits=True),
        torch=formulas.sigmoid_cross_entropy,
    )
    focal = {"gamma": 2.0, "alpha": 0.25}
    yield row(
        "sigmoid_focal",
        focal,
        inputs="targets",
        optax=lambda z, t: optax.sigmoid_focal_loss(z, t, **focal).sum(-1),
        keras=_keras_binary(
            "binary_focal_crossentropy",
            classes,
            from_logits=True,
            apply_class_balancing=True,
            **focal,
        ),
        torch=partial(formulas.sigmoid_focal, **focal),
    )
    asymmetric = {"gamma_positive": 1.0, "gamma_negative": 4.0, "clip": 0.05}
    yield row(
        "asymmetric",
        asymmetric,
        inputs="targets",
        torch=partial(formulas.asymmetric, **asymmetric),
    )
    yield row("halted_focal", {"gamma": 2.0}, inputs="targets")


def row(
    name: str,
    hyper: dict[str, Any],
    *,
    label: str | None = None,
    inputs: str = "logits",
    max_classes: int = 10**9,
    **peers: Loss | None,
) -> Entry | None:
    """The entry of `jaxloss.<name>`, or nothing while the library has no such loss."""
    if not hasattr(jaxloss, name):
        return None
    if torch is None:
        peers.pop("torch", None)
    known = {library: peer for library, peer in peers.items() if peer is not None}
    ours = partial(getattr(jaxloss, name), **hyper)
    return Entry(label or name, ours, known, inputs, max_classes)


def measure(
    *, shapes: tuple[tuple[int, int], ...], seconds: float, only: str = ""
) -> Iterator[dict[str, Any]]:
    """One record per loss and shape.

    Its ratios are `ours` over optax's cross-entropy and each peer over `ours`;
    `disagree` has the peers that were not timed, because they compute something else.
    """
    for batch, classes in shapes:
        for entry in entries(classes):
            if entry is None or only not in entry.name or classes > entry.max_classes:
                continue
            logits, labels = example(entry.inputs, batch, classes)
            plain = example("logits", batch, classes)
            ours = on_jax(entry.ours, logits, labels)
            baseline = on_jax(optax.softmax_cross_entropy_with_integer_labels, *plain)
            peers, disagree = {}, {}
            for library, loss in entry.peers.items():
                on = on_torch if library == "torch" else on_jax
                peers[library] = on(loss, logits, labels)
                difference = disagreement(peers[library](), ours())
                if difference:
                    disagree[library] = difference
                    del peers[library]
            times = alternate({BASELINE: baseline, "ours": ours} | peers, seconds)
            yield {
                "loss": entry.name,
                "shape": [batch, classes],
                "rounds": len(times["ours"]),
                "baseline_seconds": float(np.median(times[BASELINE])),
                "ours": _ratio(times["ours"], times[BASELINE]),
                "peers": {k: _ratio(times[k], times["ours"]) for k in peers},
                "disagree": disagree,
            }


def example(inputs: str, batch: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    logits = 2 * rng.standard_normal((batch, classes), np.float32)
    if inputs == "targets":
        few = rng.random((batch, classes)) < min(0.3, 3 / classes)
        return logits, few.astype(np.float32)
    if inputs == "cosines":
        logits = np.tanh(logits / 4)
    return logits, rng.integers(classes, size=batch, dtype=np.int32)


def on_jax(loss: Loss, logits: np.ndarray, labels: np.ndarray) -> Callable[[], Any]:
    def total(z, y):
        losses = loss(z, y)
        return jnp.sum(losses), losses

    step = jax.jit(jax.value_and_grad(total, has_aux=True))
    z, y = jnp.asarray(logits), jnp.asarray(labels)

    def run():
        (_, losses), gradient = step(z, y)
        return jax.block_until_ready((losses, gradient))

    return run


def on_torch(loss: Loss, logits: np.ndarray, labels: np.ndarray) -> Callable[[], Any]:
    assert torch is not None
    gradients, tensor = torch.autograd.grad, torch.from_numpy
    z = tensor(logits).requires_grad_()
    y = tensor(labels if labels.ndim == 2 else labels.astype(np.int64))

    def run():
        losses = loss(z, y)
        (gradient,) = gradients(losses.sum(), z)
        return losses.detach(), gradient

    return run


def disagreement(theirs: Any, ours: Any) -> str:
    """Empty where losses agree to 1e-4 of theirs and the mean, and gradients to 1e-3 of
    the largest."""
    for what, a, b in zip(("losses", "gradients"), theirs, ours, strict=True):
        a, b = np.asarray(a), np.asarray(b)
        if a.shape != b.shape:
            return f"{what} of shape {a.shape}, ours {b.shape}"
        if what == "losses":
            size, limit = np.abs(b) + np.mean(np.abs(b)), 1e-4
        else:
            size, limit = np.max(np.abs(b)), 1e-3
        worst = float(np.max(np.abs(a - b) / size))
        if not worst <= limit:
            if np.isnan(worst):
                return f"{what} are {NAN}"
            return f"{what} differ by {worst:.1e}"
    return ""


def _ratio(times: np.ndarray, others: np.ndarray) -> float:
    return float(np.median(times / others))


def _tensor(array: np.ndarray) -> Any:
    return torch.from_numpy(array) if torch else None


def _scale(counts: np.ndarray) -> np.ndarray:
    return (counts / counts.max()) ** np.float32(0.15)


def _keras(name: str, classes: int | None = None, **options: Any) -> Loss | None:
    """A Keras loss of (targets, logits); `classes` asks for one-hot targets."""
    if keras is None:
        return None
    loss = getattr(keras.losses, name)

    def call(z, y):
        targets = y if classes is None else jax.nn.one_hot(y, classes, dtype=z.dtype)
        return loss(targets, z, from_logits=True, **options)

    return call


def _keras_binary(name: str, classes: int, **options: Any) -> Loss | None:
    """Keras averages over the classes."""
    if keras is None:
        return None
    loss = getattr(keras.losses, name)
    return lambda z, t: classes * loss(t, z, **options)


def _keras_gce(q: float) -> Loss | None:
    """It takes probabilities, and no logits."""
    if keras is None:
        return None
    loss = keras.losses.categorical_generalized_cross_entropy
    return lambda z, y: loss(y, jax.nn.softmax(z), q)


def _tempered(classes: int, t1: float, t2: float) -> Loss | None:
    """Its 5 iterations by default leave losses wrong in the third digit."""
    if tempered is None:
        return None
    loss = tempered.bi_tempered_logistic_loss

    def call(z, y):
        return loss(z, jax.nn.one_hot(y, classes, dtype=z.dtype), t1, t2, 0.0, 10)

    return call
