"""The tables of a benchmark, and what they were measured on."""

import os
import platform
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import jax

_PACKAGES = (
    "jax",
    "jaxlib",
    "numpy",
    "optax",
    "keras",
    "jax-bitempered-loss",
    "jax-cce",
    "torch",
)


def environment() -> dict[str, Any]:
    """What matters for a timing, and nothing that names the machine."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    device = jax.devices()[0]
    return {
        "platform": device.platform,
        "device": device.device_kind,
        "cpu": _cpu_model(),
        "cores": _cores(),
        "versions": versions,
    }


def describe(environment: dict[str, Any]) -> str:
    versions = ", ".join(f"{k} {v}" for k, v in environment["versions"].items())
    return (
        f"{environment['platform']} ({environment['device']}); CPU: "
        f"{environment['cpu']}, {environment['cores']} core(s) allowed; {versions}."
    )


def table(rows: Iterable[Sequence[str]], head: Sequence[str]) -> str:
    """A Markdown table with aligned columns."""
    cells = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]

    def line(row: Sequence[str]) -> str:
        pairs = list(zip(row, widths, strict=True))
        first, *rest = pairs
        padded = [first[0].ljust(first[1]), *(text.rjust(w) for text, w in rest)]
        return f"| {' | '.join(padded)} |"

    first, *rest = widths
    rule = ["-" * first, *("-" * (width - 1) + ":" for width in rest)]
    return "\n".join([line(head), f"| {' | '.join(rule)} |", *map(line, cells[1:])])


def _cpu_model() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
