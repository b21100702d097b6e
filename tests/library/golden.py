"""The reference data of tests/golden; see the README there."""

import dataclasses
import functools
import json
from pathlib import Path
from typing import Any

import numpy as np

FOLDER = Path(__file__).parent.parent / "golden"


@dataclasses.dataclass(frozen=True)
class Golden:
    """One stored case: inputs, hyper-parameters and what should come out."""

    family: str
    name: str
    loss: str
    hyper: dict[str, Any]

    def __getitem__(self, name) -> np.ndarray:
        return _arrays(self.family)[f"{self.name}/{name}"]

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        stored, prefix = _arrays(self.family), f"{self.name}/"
        return {k[len(prefix) :]: v for k, v in stored.items() if k.startswith(prefix)}

    def exact(self, name) -> np.ndarray:
        """High precision where it was stored, else what the released code gives."""
        key = f"{self.name}/{name}_exact"
        return _arrays(self.family)[key] if key in _arrays(self.family) else self[name]


@functools.cache
def load(family, loss=None) -> list[Golden]:
    index = json.loads((FOLDER / f"{family}.json").read_text())["cases"]
    cases = [Golden(family, k, v["loss"], v["hp"]) for k, v in sorted(index.items())]
    return [case for case in cases if loss in (None, case.loss)]


@functools.cache
def _arrays(family):
    with np.load(FOLDER / f"{family}.npz") as file:
        return dict(file)
