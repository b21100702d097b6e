"""Other people's libraries, used where they can be imported and missed out loud."""

import importlib
import os
import sys
from types import ModuleType

# Read by Keras when it is imported.
os.environ.setdefault("KERAS_BACKEND", "jax")

MISSING: list[str] = []


def _optional(module: str, package: str) -> ModuleType | None:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        MISSING.append(package)
        print(f"NOT COMPARED with {package}: {error}", file=sys.stderr)
        return None


keras = _optional("keras", "keras")
tempered = _optional("jax_bitempered_loss.loss", "jax-bitempered-loss")
torch = _optional("torch", "torch")
if torch:
    torch.set_num_threads(1)
