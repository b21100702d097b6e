"""TFDS's own MNIST and CIFAR sets, prepared where TensorFlow is not installed.

Their builders need it for two things, and both have a plain equivalent: opening a file,
and encoding an array as PNG, which Pillow does as losslessly.
"""

import contextlib
import importlib.util
import sys
import types
from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np


@contextlib.contextmanager
def without_tensorflow(builder: Any) -> Iterator[None]:
    """Stands in for what an image builder uses of TensorFlow; does nothing where it is
    installed. Whatever else a builder wants of it fails, and says what is missing."""
    if importlib.util.find_spec("tensorflow") is not None:
        yield
        return
    from PIL import Image
    from tensorflow_datasets.core.features import image_feature

    def encode(encoder: Any, array: np.ndarray) -> bytes:
        if array.dtype != np.uint8 or encoder.encoding_format != "png":
            raise TypeError(
                f"only 8-bit PNG can be encoded without TensorFlow, got {array.dtype} "
                f"as {encoder.encoding_format}"
            )
        grey = array.shape[-1] == 1
        return encoder._encode_pil_image(Image.fromarray(array[..., 0] if grey else array))

    stand_in = types.SimpleNamespace(
        io=types.SimpleNamespace(gfile=types.SimpleNamespace(GFile=open))
    )
    with contextlib.ExitStack() as stack:
        encoder = image_feature._ImageEncoder
        stack.enter_context(mock.patch.object(encoder, "_encode_image", encode))
        module = sys.modules[type(builder).__module__]
        if hasattr(module, "tf"):
            stack.enter_context(mock.patch.object(module, "tf", stand_in))
        yield
