"""What a run leaves behind: a folder that can be read at any moment, also after Ctrl-C.

    config.json     everything that was chosen, versions, the data as they came out
    metrics.jsonl   a line per epoch, there as soon as the epoch is over
    statistics.jsonl  likewise, the gradient statistics, if any were asked for
    events.out.*    the same for TensorBoard
    status.json     running, finished, interrupted or failed, and why
    table.txt, results.json, *.png, *.npz   at the end, of what there is

Files but the logs appear whole or not at all: written aside, then renamed.
"""

import dataclasses
import datetime
import importlib.metadata
import json
import math
import os
import pathlib
import platform
import shlex
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

import jax
import numpy as np
from matplotlib.figure import Figure
from tensorboardX import SummaryWriter

from train import config

_VERSIONS = ("jax", "jaxlib", "flax", "optax", "numpy", "jaxloss")


def new_path(out: pathlib.Path | None, *words: str) -> pathlib.Path:
    """The folder of a run that is about to start; raises when something is there."""
    if out is None:
        now = datetime.datetime.now()
        out = pathlib.Path("runs") / "-".join([now.strftime("%Y%m%d-%H%M%S"), *words])
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise FileExistsError(
            f"{out} exists and is not empty, and nothing is overwritten: choose "
            "another folder with --out, or delete this one"
        )
    return out


class RunFolder:
    """Of one command; as a context it records how the command ended."""

    def __init__(
        self,
        path: pathlib.Path,
        chosen: Any,
        argv: Sequence[str],
        facts: Mapping[str, Any],
    ):
        self.path = path
        path.mkdir(parents=True, exist_ok=True)
        self._started = datetime.datetime.now(datetime.UTC)
        self._set_status("running", "")
        self.write_json(
            "config.json",
            {
                "command": shlex.join(["python", "-m", "train", *argv]),
                "chosen": plain(chosen),
                "data": facts,
                "versions": {
                    "python": platform.python_version(),
                    **{name: _version(name) for name in _VERSIONS},
                },
                "devices": [device.device_kind for device in jax.devices()],
            },
        )
        self._logs: dict[str, IO[str]] = {}
        self._events = SummaryWriter(str(path))

    def log(self, name: str, line: Mapping[str, Any]) -> None:
        """Adds a line to a file of JSON lines."""
        if name not in self._logs:
            self._logs[name] = (self.path / name).open("w")
        print(_json(line), file=self._logs[name], flush=True)

    def scalars(self, step: int, values: Mapping[str, float]) -> None:
        """Adds points to the curves of TensorBoard."""
        for name, value in values.items():
            if math.isfinite(value):  # tensorboardX warns of others
                self._events.add_scalar(name, value, step)
        self._events.flush()

    def histogram(self, step: int, name: str, edges: np.ndarray, counts: np.ndarray):
        """Adds a histogram that is counted already to TensorBoard."""
        middles = (edges[1:] + edges[:-1]) / 2
        self._events.add_histogram_raw(
            name,
            min=float(edges[0]),
            max=float(edges[-1]),
            num=float(np.sum(counts)),
            sum=float(counts @ middles),
            sum_squares=float(counts @ middles**2),
            bucket_limits=edges[1:].tolist(),
            bucket_counts=counts.tolist(),
            global_step=step,
        )

    def write_text(self, name: str, text: str) -> None:
        self._write(name, lambda file: file.write((text.rstrip() + "\n").encode()))

    def write_json(self, name: str, value: Any) -> None:
        self.write_text(name, _json(value, indent=1))

    def write_figure(self, name: str, figure: Figure) -> None:
        self._write(name, lambda file: figure.savefig(file, format="png"))

    def write_arrays(self, name: str, tree: Any) -> None:
        """The leaves of a tree of arrays under their paths, such as layers/0/kernel."""
        leaves, _ = jax.tree.flatten_with_path(tree)
        arrays = {
            jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
            for path, leaf in leaves
        }
        self._write(name, lambda file: np.savez(file, allow_pickle=False, **arrays))

    def _write(self, name: str, write: Callable[[IO[bytes]], Any]) -> None:
        aside = self.path / f".{name}.tmp"
        with aside.open("wb") as file:
            write(file)
        os.replace(aside, self.path / name)

    def __enter__(self) -> "RunFolder":
        return self

    def __exit__(self, kind, error, trace) -> None:
        del trace
        if kind is None:
            self._set_status("finished", "")
        elif issubclass(kind, KeyboardInterrupt):
            self._set_status("interrupted", str(error) or "Ctrl-C")
        else:
            self._set_status("failed", str(error) or kind.__name__)
        for file in self._logs.values():
            file.close()
        self._events.close()

    def _set_status(self, status: str, reason: str) -> None:
        now = datetime.datetime.now(datetime.UTC)
        self.write_json(
            "status.json",
            {
                "status": status,
                "reason": reason,
                "started": self._started.isoformat(timespec="seconds"),
                "changed": now.isoformat(timespec="seconds"),
                "process": os.getpid(),
            },
        )


def plain(value: Any) -> Any:
    """A choice as JSON: every dataclass says which it is."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {
            field.name: plain(vars(value)[field.name])
            for field in dataclasses.fields(value)
        }
        return {"kind": config.kebab(type(value)), **fields}
    if isinstance(value, tuple | list):
        return [plain(element) for element in value]
    return str(value) if isinstance(value, pathlib.Path) else value


def _json(value: Any, indent: int | None = None) -> str:
    return json.dumps(_finite(value), indent=indent, allow_nan=False)


def _finite(value: Any) -> Any:
    """JSON has no NaN and no infinity: null stands for both."""
    if isinstance(value, Mapping):
        return {key: _finite(element) for key, element in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(element) for element in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "from source"
