"""Run folders with a long tail that look real, without a training."""

import base64
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

ANIMALS = (
    "cat",
    "dog",
    "horse",
    "otter",
    "lynx",
    "heron",
    "newt",
    "ibex",
    "kiwi",
    "eel",
)


def names_of(classes: int) -> list[str]:
    if classes <= len(ANIMALS):
        return list(ANIMALS[:classes])
    kinds = -(-classes // len(ANIMALS))
    return [f"{animal} {kind}" for kind in range(kinds) for animal in ANIMALS][:classes]


def write_run(
    folder: pathlib.Path,
    *,
    classes: int = 10,
    epochs: int = 8,
    loss: str = "cross-entropy",
    seed: int = 0,
    statistics: bool = True,
    noise: bool = True,
    names: Sequence[str] | None = None,
    status: str = "finished",
) -> pathlib.Path:
    """What `run` leaves behind; `gala` evens the classes out, other losses do not."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed + 1000 * len(loss))
    names = names_of(classes) if names is None else list(names)
    counts = np.maximum(500 * 100 ** (-np.arange(classes) / (classes - 1)), 1).astype(
        int
    )
    even = 0.75 if loss == "gala" else 0.1
    made = {
        "config.json": _config(folder, loss, seed, epochs, counts),
        "status.json": {"status": status, "reason": ""},
    }
    lines = [_metrics(epoch, epochs, even, random) for epoch in range(1, epochs + 1)]
    accuracy = np.clip(
        0.95
        - (1 - even) * 0.7 * np.arange(classes) / classes
        + random.normal(0, 0.04, classes),
        0,
        1,
    )
    made["classes.json"] = _classes(names, counts, accuracy, even)
    made["results.json"] = _results(counts, accuracy, random)
    for name, value in made.items():
        (folder / name).write_text(json.dumps(value))
    _write_lines(folder / "metrics.jsonl", lines)
    if statistics:
        _write_lines(
            folder / "statistics.jsonl",
            [
                _statistics(e, epochs, counts, even, noise, random)
                for e in range(1, epochs + 1)
            ],
        )
        np.savez(folder / "statistics.npz", class_matrix=_matrix(counts, even, random))
    return folder


def _write_lines(path: pathlib.Path, lines: Sequence[Any]) -> None:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))


def _config(folder, loss, seed, epochs, counts):
    choice = {"kind": loss, **({"lambda1": 1.0} if loss == "gala" else {})}
    return {
        "command": f"python -m train run {loss} --seed {seed}",
        "chosen": {
            "kind": "run",
            "source": {"kind": "digits", "data_dir": None},
            "corruption": {"kind": "long-tail", "imbalance": 100.0},
            "loss": choice,
            "fit": {"kind": "fit", "epochs": epochs},
            "seed": seed,
            "out": str(folder.name),
        },
        "data": {"sizes": {"train": int(counts.sum()), "test": 50 * len(counts)}},
        "versions": {"python": "3.11", "jax": "0.10.2"},
        "devices": ["cpu"],
    }


def _metrics(epoch, epochs, even, random):
    done = epoch / epochs
    value = 0.2 + (0.45 + 0.3 * even) * (1 - np.exp(-4 * done)) + random.normal(0, 0.01)
    return {
        "epoch": epoch,
        "loss": 2.2 * np.exp(-3 * done) + 0.1,
        "gradient_norm": 1.3 * np.exp(-2 * done) + abs(random.normal(0, 0.05)),
        "learning_rate": 0.05 * (1 + np.cos(np.pi * done)),
        "balanced_accuracy": {"validation": value, "test": value - 0.01},
        "negative_log_likelihood": {
            "validation": 2.5 - 2 * value,
            "test": 2.55 - 2 * value,
        },
    }


def _classes(names, counts, accuracy, even):
    confidence = (np.arange(15) + 0.5) / 15
    bins = {
        "confidence": confidence.tolist(),
        "accuracy": np.clip(confidence - 0.2 * (1 - even), 0, 1).tolist(),
        "count": (np.arange(15) ** 2 + 2).tolist(),
    }
    bins["count"][0], bins["accuracy"][0], bins["confidence"][0] = 0, None, None
    measured = {
        "class_accuracy": accuracy.tolist(),
        "class_counts": [50] * len(names),
        "calibration": bins,
    }
    return {
        "class_names": names,
        "train_counts": counts.tolist(),
        "many": 100,
        "few": 20,
        "splits": {
            "test": {"last": measured, "best": measured},
            "validation": {"last": measured},
        },
    }


def _results(counts, accuracy, random):
    groups = {
        "many": counts > 100,
        "medium": (counts <= 100) & (counts >= 20),
        "few": counts < 20,
    }
    metrics = {
        "accuracy": float(np.average(accuracy, weights=counts)),
        "balanced_error": float(1 - accuracy.mean()),
        **{
            k: float(accuracy[v].mean()) if v.any() else None for k, v in groups.items()
        },
        "negative_log_likelihood": 0.9 + random.normal(0, 0.05),
        "expected_calibration_error": 0.1 + random.normal(0, 0.01),
    }
    epochs = {"last": metrics, "best": metrics}
    splits = {"train": epochs, "validation": epochs, "test": epochs}
    return {"epochs": 8, "best_epoch": 7, "splits": splits}


def _statistics(epoch, epochs, counts, even, noise, random):
    size, done = len(counts), epoch / epochs
    share = counts / counts.mean()
    wobble = random.lognormal(0, 0.15, (3, size))
    positive = share ** (1 - 0.6 * even * done) * np.exp(-2 * done) * wobble[0]
    received = share ** ((1 - even) * done + (1 - done)) * np.exp(-2 * done) * wobble[1]
    received = received * share**0.1 + 0.02
    norm = 1 + done * (1 - even) * 0.4 * np.log(share) * wobble[2]
    ratio = positive / received
    ratio_line = [
        None if i == size - 1 and epoch == 1 else float(r) for i, r in enumerate(ratio)
    ]
    edges = np.linspace(-8, 8, 41)
    line = {
        "epoch": epoch,
        "class_gradients": {
            "positive": positive.tolist(),
            "received": received.tolist(),
            "caused": (received * wobble[2]).tolist(),
            "gradient_ratio": ratio_line,
        },
        "class_vectors": {
            "norm": norm.tolist(),
            "alignment": np.tanh(done + 0.2 * np.log(share)).tolist(),
        },
        "log_odds": _histogram(
            edges,
            ["many", "medium", "few"],
            [4 * done, 2 * done, even * 2 - 2 + done],
            counts.sum(),
        ),
        "gradient_norms": _shares(
            ["many", "medium", "few"], [700, 200, 50], [1 - done * 0.8, 1, 1.5]
        ),
        "gradient_norms_sure": _shares(
            ["unsure", "well classified"],
            [1 - 0.8 * done, 0.1 + 0.8 * done],
            [1.2, 0.1 + 0.3 * even],
        ),
        "agreement": {
            "groups": ["many", "medium", "few"],
            "cosine": [
                [1, 0.3 - done, -0.4 * done],
                [0.3 - done, 1, 0.1],
                [-0.4 * done, 0.1, 1],
            ],
        },
    }
    if noise:
        line["log_odds_noise"] = _histogram(
            edges, ["clean", "noisy"], [3 * done, done * (2 - 4 * even)], 900
        )
        line["gradient_norms_noise"] = _shares(
            ["clean", "noisy"], [800, 200], [1 - 0.7 * done, 1.2 - even * done]
        )
    return line


def _histogram(edges, groups, means, total):
    middles = (edges[1:] + edges[:-1]) / 2
    counts = [
        np.rint(total * np.exp(-0.5 * (middles - mean) ** 2 / 3)).tolist()
        for mean in means
    ]
    return {"edges": edges.tolist(), "groups": groups, "counts": counts}


def _shares(groups, count, mean):
    total = np.array(count) * np.array(mean)
    return {
        "groups": groups,
        "count": count,
        "mean": mean,
        "share": (total / total.sum()).tolist(),
    }


def _matrix(counts, even, random):
    size = len(counts)
    rows, columns = np.ogrid[:size, :size]
    near = np.exp(-np.abs(rows - columns) / (0.05 * size + 1))
    kin = (rows % 10 == columns % 10) * 0.5
    share = counts / counts.mean()
    mass = share[:, None] * (near + kin + 0.02) * share[None, :] ** (0.5 * (1 - even))
    mass = mass * random.lognormal(0, 0.5, (size, size))
    np.fill_diagonal(mass, mass.sum(axis=1))
    return mass.astype(np.float32)


def page_data(text: str) -> dict[str, Any]:
    """The JSON that a page carries."""
    _, _, rest = text.partition('<script type="application/json" id="data">')
    return json.loads(rest.partition("</script>")[0])


def decoded(packed: dict[str, Any]) -> np.ndarray:
    """The reverse of `train.report.html.pack`, as `web/data.js` has it."""
    kind = np.uint8 if packed["bytes"] == 1 else np.dtype("<u2")
    codes = np.frombuffer(base64.b64decode(packed["data"]), kind).astype(float)
    top, log = 256 ** packed["bytes"] - 1, packed["scale"] == "log"
    step = (packed["high"] - packed["low"]) / (top - (2 if log else 1))
    values = packed["low"] + (codes - log) * step
    if log:
        values = np.where(codes == 0, 0, np.exp(values))
    return np.where(codes == top, np.nan, values).reshape(packed["shape"])
