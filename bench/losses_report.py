"""What `python -m bench losses` prints and writes."""

from typing import Any

from bench import report
from bench.losses import BASELINE, NAN

_INTRODUCTION = f"""\
Time of value and gradient with respect to the logits, float32. **ours** is this library
over optax's `softmax_cross_entropy_with_integer_labels` at the same shape
(`{BASELINE}`): what a loss costs. A library's column is its time over ours: how often
ours fits into theirs. Ratios are medians over interleaved rounds in one process; every
peer that was timed gave the same losses as ours, to 1e-4, and gradients, to 1e-3. `-`
is a peer without that loss, or a shape that was left out. "torch" is the textbook
formula, eager, with autograd, on one thread.
"""


def markdown(runs: dict[str, dict[str, Any]]) -> str:
    first = next(iter(runs.values()))
    parts = ["# Losses", _INTRODUCTION, report.describe(first["environment"])]
    for package in first["missing"]:
        parts.append(f"**NOT COMPARED with {package}: it could not be imported.**")
    parts += [f"- {line}" for line in disagreements(runs)]
    for allocator, run in runs.items():
        parts += [f"## Memory allocator: {allocator}", *_tables(run["records"])]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def disagreements(runs: dict[str, dict[str, Any]]) -> list[str]:
    """Peers that were not timed, because they compute something else."""
    return [
        f"{record['loss']} {record['shape']}, {allocator}: {library}'s {difference}"
        for allocator, run in runs.items()
        for record in run["records"]
        for library, difference in record["disagree"].items()
    ]


def mistakes(runs: dict[str, dict[str, Any]]) -> list[str]:
    """The disagreements that are no finding about the peer."""
    return [line for line in disagreements(runs) if not line.endswith(NAN)]


def _tables(records: list[dict[str, Any]]) -> list[str]:
    losses = list(dict.fromkeys(record["loss"] for record in records))
    shapes = list(dict.fromkeys(tuple(record["shape"]) for record in records))
    cells = {(r["loss"], tuple(r["shape"])): r for r in records}
    head = [str(shape) for shape in shapes]

    def ratio(loss: str, shape: tuple, library: str | None) -> str:
        record = cells.get((loss, shape))
        value = record and (record["peers"].get(library) if library else record["ours"])
        return f"{value:.2f}" if value else "-"

    def rows(library: str | None) -> list[list[str]]:
        found = [[loss, *(ratio(loss, s, library) for s in shapes)] for loss in losses]
        return [row for row in found if set(row[1:]) != {"-"}]

    tables = [report.table(rows(None), ["ours / optax CE", *head])]
    libraries = dict.fromkeys(library for r in records for library in r["peers"])
    for library in libraries:
        tables.append(report.table(rows(library), [f"{library} / ours", *head]))
    return tables
