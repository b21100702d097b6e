"""The library needs jax, numpy and jaxtyping alone."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
OTHERS = {
    "chex",
    "flax",
    "matplotlib",
    "optax",
    "orbax",
    "sklearn",
    "tensorflow_datasets",
    "train",
}


def test_import_brings_in_nothing_else():
    code = "import sys, jaxloss; print(*{m.split('.')[0] for m in sys.modules})"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    loaded = set(done.stdout.split())
    assert "jaxloss" in loaded
    assert not loaded & OTHERS
