"""scikit-learn's handwritten digits as a TFDS data set: real, tiny, never downloaded.

1797 images of 8x8 pixels, the test part of the UCI set "Optical Recognition of
Handwritten Digits" (Alpaydin & Kaynak, 1998, CC BY 4.0). The whole set ships with
scikit-learn, so preparing it needs no network.
"""

import numpy as np
import tensorflow_datasets as tfds

from train.data.splits import rank_in_class

_DESCRIPTION = """\
1797 grey 8x8 images of handwritten digits, as shipped with scikit-learn (the test part
of the UCI set "Optical Recognition of Handwritten Digits", CC BY 4.0). Pixel v of 0..16
is stored as round(255 v / 16). Within each class, in scikit-learn's order, example i is
in train if i mod 5 is 0, 1 or 2, in validation if it is 3, in test if it is 4.
"""

_CITATION = """\
@misc{alpaydin1998optical,
  author = {Alpaydin, E. and Kaynak, C.},
  title = {Optical Recognition of Handwritten Digits},
  year = {1998},
  publisher = {UCI Machine Learning Repository},
  doi = {10.24432/C50P49},
}
"""

SPLIT_OF_RESIDUE = ("train", "train", "train", "validation", "test")


def to_uint8(pixels: np.ndarray) -> np.ndarray:
    """Scales intensities 0..16 to 0..255, to the nearest integer (8 -> 128)."""
    return ((pixels.astype(np.int64) * 255 + 8) // 16).astype(np.uint8)


def from_uint8(pixels: np.ndarray) -> np.ndarray:
    """The exact inverse of `to_uint8`."""
    return ((pixels.astype(np.int64) * 16 + 127) // 255).astype(np.uint8)


class Digits(tfds.core.GeneratorBasedBuilder):
    """TFDS builder `digits`; see the module docstring."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First version."}

    def _info(self) -> tfds.core.DatasetInfo:
        features = {
            "image": tfds.features.Image(shape=(8, 8, 1)),
            "label": tfds.features.ClassLabel(num_classes=10),
            "index": tfds.features.Scalar(np.int64, doc="Row in scikit-learn's array."),
        }
        return tfds.core.DatasetInfo(
            builder=self,
            description=_DESCRIPTION,
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            homepage="https://archive.ics.uci.edu/dataset/80",
            citation=_CITATION,
            license="CC BY 4.0",
            disable_shuffling=True,  # keep scikit-learn's order within a split
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing to download
        return {
            split: self._generate_examples(split)
            for split in dict.fromkeys(SPLIT_OF_RESIDUE)
        }

    def _generate_examples(self, split):
        # Needed to prepare, not to read.
        from PIL import Image
        from sklearn.datasets import load_digits

        pixels, labels = load_digits(return_X_y=True)
        images = to_uint8(pixels.reshape(-1, 8, 8))
        residues = rank_in_class(labels) % len(SPLIT_OF_RESIDUE)
        for index in np.flatnonzero(np.array(SPLIT_OF_RESIDUE)[residues] == split):
            # TFDS needs TensorFlow to encode an array, but not to encode a PIL image.
            image = Image.fromarray(images[index])
            label = int(labels[index])
            yield int(index), {"image": image, "label": label, "index": int(index)}
