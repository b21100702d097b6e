"""Bottom-up features, [boxes, 2048] per image, that never come into memory at once."""

import os
import pathlib
from typing import Any, Protocol

import numpy as np


class Boxes(Protocol):
    """Where the features of images come from."""

    where: str  # for messages

    def __contains__(self, image_id: object) -> bool: ...

    def __getitem__(self, image_id: int) -> np.ndarray: ...  # [boxes, features]


class BoxFolder:
    """One file per image, `<image_id>.npy`, [boxes, features]; boxes may differ."""

    def __init__(self, folder: str | os.PathLike[str]):
        self.where = os.fspath(folder)
        names = os.listdir(folder)
        self._names = {int(n[:-4]): n for n in names if _is_image_file(n)}
        if not self._names:
            raise ValueError(f"{self.where}: no file named <image_id>.npy")

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._names

    def __getitem__(self, image_id: int) -> np.ndarray:
        return np.load(pathlib.Path(self.where, self._names[image_id]))


class BoxArray:
    """One `.npy` file [images, boxes, features], memory-mapped, and its rows' ids.

    Args:
        features: the file.
        image_ids: a `.npy` file of integers [images].
    """

    def __init__(
        self, features: str | os.PathLike[str], image_ids: str | os.PathLike[str]
    ):
        self.where = os.fspath(features)
        self._features = np.load(features, mmap_mode="r")
        ids = np.load(image_ids)
        self._rows = _rows(self._features.shape, ids, self.where, os.fspath(image_ids))

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def __getitem__(self, image_id: int) -> np.ndarray:
        return np.asarray(self._features[self._rows[image_id]])


class BoxHdf5:
    """An HDF5 file with a data set [images, boxes, features] and one of image ids.

    Args:
        file: its path; rows are read from it one at a time.
        features, image_ids: names of the two data sets.
    Raises:
        ImportError: where h5py is not installed.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        *,
        features: str = "image_features",
        image_ids: str = "image_ids",
    ):
        try:
            import h5py  # pyright: ignore[reportMissingImports]  only these files need it
        except ImportError as error:
            raise ImportError(
                f"{os.fspath(file)}: reading HDF5 needs h5py: pip install h5py"
            ) from error
        self.where = os.fspath(file)
        content: Any = h5py.File(file, "r")
        for name in (features, image_ids):
            if name not in content:
                raise ValueError(
                    f"{self.where}: no data set {name!r}, found {sorted(content)}"
                )
        self._features = content[features]
        ids = np.asarray(content[image_ids])
        self._rows = _rows(self._features.shape, ids, self.where, image_ids)

    def __contains__(self, image_id: object) -> bool:
        return image_id in self._rows

    def __getitem__(self, image_id: int) -> np.ndarray:
        return np.asarray(self._features[self._rows[image_id]])


def pad_boxes(
    boxes: np.ndarray, image_id: int, where: str, *, most: int, features: int
) -> tuple[np.ndarray, np.ndarray]:
    """Float32 [most, features], zeros after the image's own, and which are its own."""
    if boxes.ndim != 2 or boxes.shape[1] != features or not 0 < len(boxes) <= most:
        raise ValueError(
            f"{where}: image {image_id} has features of shape {boxes.shape}, wanted "
            f"[boxes, {features}] with 1 to {most} boxes"
        )
    if not np.isfinite(boxes).all():
        raise ValueError(f"{where}: image {image_id} has features that are not finite")
    image = np.zeros((most, features), np.float32)
    image[: len(boxes)] = boxes
    return image, np.arange(most) < len(boxes)


def _is_image_file(name: str) -> bool:
    return name.endswith(".npy") and name[:-4].isdigit()


def _rows(
    shape: tuple[int, ...], ids: np.ndarray, where: str, ids_where: str
) -> dict[int, int]:
    if len(shape) != 3 or ids.shape != shape[:1]:
        raise ValueError(
            f"{where}: got features of shape {list(shape)} and, in {ids_where}, ids of "
            f"shape {list(ids.shape)}; wanted [images, boxes, features] and [images]"
        )
    rows = {int(image_id): row for row, image_id in enumerate(ids)}
    if len(rows) != len(ids):
        raise ValueError(f"{ids_where}: some image ids come twice")
    return rows
