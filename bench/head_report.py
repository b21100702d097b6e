"""What `python -m bench head` prints and writes."""

from typing import Any

import numpy as np

from bench import head, report

_INTRODUCTION = """\
Cross-entropy from the classifier head: value, gradient of the features and of the
kernel, float32, (examples, features, classes). Each way runs in processes of its own,
in turns; times are processor seconds on one core, medians over all calls but the first
of each process. **temporary** is what the compiled program asks for beyond inputs and
outputs; **growth** is the peak resident memory beyond what was resident before the
first call, outputs included (PyTorch has no other number). **roofline** is the four
matrix products of two passes over the classes, at the best rate that one of them
reaches at our block size, over the time of each; who keeps the logits, or makes the
gradients in the forward pass, needs three and can exceed 1.
"""
_MEGABYTE = 1e6
_TOLERANCE = 1e-3


def markdown(runs: dict[str, dict[str, Any]]) -> str:
    (run,) = runs.values()
    parts = ["# The fused head", _INTRODUCTION, report.describe(run["environment"])]
    ways = [found for record in run["records"] for found in record["ways"].values()]
    fewest = min((len(found["seconds"]) for found in ways), default=0)
    parts.append(f"Calls behind each time: at least {fewest}.")
    for way, reason in run["missing"].items():
        parts.append(f"**NOT COMPARED with {way}: {reason}.**")
    parts += [f"- {line}" for line in mistakes(runs)]
    for record in run["records"]:
        parts += [f"## {tuple(record['shape'])}", *_tables(record)]
    largest = run["largest"]
    parts.append(
        f"## {tuple(largest['shape'])}\n\n{_gigabytes_of_logits(largest['shape'])} of "
        f"logits if they were held: {largest['seconds'][0]:.0f} s, compilation apart, "
        f"temporary {_mb(largest['temporary'])} MB, peak resident memory of the "
        f"process {largest['peak'] / 1e9:.2f} GB."
    )
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def mistakes(runs: dict[str, dict[str, Any]]) -> list[str]:
    (run,) = runs.values()
    found = []
    for record in run["records"]:
        expected = record["ways"].get(head.OURS, {}).get("checks")
        for way, measured in record["ways"].items():
            if expected and not np.allclose(
                measured["checks"], expected, rtol=_TOLERANCE
            ):
                found.append(
                    f"{way} at {tuple(record['shape'])}: loss and norms of the "
                    f"gradients {measured['checks']}, ours {expected}"
                )
    return found


def _tables(record: dict[str, Any]) -> list[str]:
    n, d, c = record["shape"]
    ways = record["ways"]
    least = 8 * n * d * c / record["gemm_rate"]
    base = ways.get(head.MATERIALISED)
    rows = []
    for way, found in ways.items():
        seconds = float(np.median(found["seconds"]))
        over = seconds / float(np.median(base["seconds"])) if base else float("nan")
        temporary = found["temporary"]
        rows.append(
            [
                way,
                f"{seconds:.2f}",
                f"{over:.2f}",
                "-" if temporary is None else _mb(temporary),
                _mb(found["growth"]),
                f"{least / seconds:.2f}",
            ]
        )
    columns = ["", "seconds", "over logits", "temporary MB", "growth MB", "roofline"]
    tables = [
        report.table(rows, columns),
        f"Matrix products at {record['gemm_rate'] / 1e9:.0f} Gflop/s: four of them "
        f"{least:.2f} s, three (logits held) {0.75 * least:.2f} s.",
    ]
    curves = [[name, f"{ratio:.2f}"] for name, ratio in record["curves"].items()]
    if curves:
        columns = ["through the head, over cross-entropy", "time"]
        tables.append(report.table(curves, columns))
    return tables


def _mb(size: float) -> str:
    return f"{size / _MEGABYTE:.0f}"


def _gigabytes_of_logits(shape: tuple[int, int, int]) -> str:
    n, _, c = shape
    return f"{4 * n * c / 1e9:.0f} GB"
