"""What `python -m bench probes` prints and writes."""

from typing import Any

from bench import probes, report


def markdown(runs: dict[str, dict[str, Any]]) -> str:
    first = next(iter(runs.values()))
    parts = ["# Probes", probes.INTRODUCTION, report.describe(first["environment"])]
    for allocator, run in runs.items():
        rows = probes.rows(run["records"])
        parts += [f"## Memory allocator: {allocator}", report.table(rows, probes.HEAD)]
    return "\n\n".join(part.rstrip() for part in parts) + "\n"


def mistakes(runs: dict[str, dict[str, Any]]) -> list[str]:
    del runs
    return []
