"""Any classification data set TFDS knows by name, as arrays, without TensorFlow."""

import contextlib
import difflib
import functools
import io
import logging
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from train.data.checks import check_images, check_labels, require
from train.data.splits import held_out
from train.data.without_tensorflow import without_tensorflow

FILE_FORMAT = "array_record"  # the format TFDS reads without TensorFlow


class Examples(NamedTuple):
    image: np.ndarray  # float32 [n, height, width, channels] in [0, 1]
    label: np.ndarray  # int32 [n]


class RawData(NamedTuple):
    splits: dict[str, Examples]  # train, validation, test
    class_names: tuple[str, ...]


@functools.lru_cache(maxsize=4)
def read(name: str, data_dir: str | None, validation_fraction: float) -> RawData:
    """Reads a whole data set into memory, preparing it first where needed.

    A set without a `validation` split gives up a stratified part of `train`. The
    arrays are cached and shared by every caller, hence read-only.
    """
    builder = prepared_builder(name, data_dir)
    found = sorted(builder.info.splits)
    require(
        {"train", "test"} <= set(found),
        f"splits of data set {name!r}",
        found,
        "`train` and `test`",
    )
    image_key, label_key = _feature_keys(builder)
    splits = {
        split: _read_split(builder, split, image_key, label_key)
        for split in ("train", "validation", "test")
        if split in found
    }
    if "validation" not in splits:
        train = splits["train"]
        mask = held_out(train.label, validation_fraction)
        splits["train"] = Examples(*(array[~mask] for array in train))
        splits["validation"] = Examples(*(array[mask] for array in train))
    for examples in splits.values():
        for array in examples:
            array.flags.writeable = False
    return RawData(splits, tuple(builder.info.features[label_key].names))


def prepared_builder(name: str, data_dir: str | None) -> Any:
    """The TFDS builder of a data set that is on disk, complete, when this returns."""
    # Slow to import, and the command line needs only the configs to print its help.
    import tensorflow_datasets as tfds

    import train.data.digits  # noqa: F401  TFDS knows a builder once it is imported

    try:
        builder = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError:
        known = tfds.list_builders(with_community_datasets=False)
        close = difflib.get_close_matches(name, known)
        hint = f"did you mean {' or '.join(close)}?" if close else f"known: {known}"
        raise ValueError(f"TFDS knows no data set named {name!r}; {hint}") from None
    failure = None
    if not builder.data_path.exists():
        print(f"preparing data set {name!r} in {builder.data_dir_root}, once")
        tfds.disable_progress_bar()
        try:
            # TFDS writes to a sibling folder and renames it once everything is there.
            with contextlib.redirect_stdout(io.StringIO()), without_tensorflow(builder):
                builder.download_and_prepare(
                    file_format=FILE_FORMAT,
                    download_config=tfds.download.DownloadConfig(
                        try_download_gcs=False
                    ),
                )
        except Exception as error:  # of any kind: it becomes the cause below
            failure = error
    # A fresh builder, because another process may have prepared the set meanwhile.
    builder = tfds.builder(name, data_dir=data_dir)
    if not builder.data_path.exists():
        raise RuntimeError(
            f"data set {name!r} is not in {builder.data_dir_root} and could not be "
            f"prepared ({type(failure).__name__}: {failure}). Once, where there is a "
            "network and TensorFlow (builders other than MNIST's and CIFAR's may need "
            f"it; reading never does), run `tfds build {name} --file_format="
            f"{FILE_FORMAT}`, then copy the folder here, or point TFDS_DATA_DIR or "
            "data_dir to it"
        ) from failure
    if not builder.is_prepared():
        raise RuntimeError(
            f"{builder.data_path} is not a complete data set (it has no "
            "dataset_info.json): delete it and start again"
        )
    return builder


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the advice to install OpenCV at the first image."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def _feature_keys(builder: Any) -> tuple[str, str]:
    """Names of the image and of the label among the features of a data set."""
    import tensorflow_datasets as tfds

    features = builder.info.features
    kinds = (tfds.features.Image, tfds.features.ClassLabel)
    keys = builder.info.supervised_keys
    if keys is None:
        keys = [k for kind in kinds for k in features if isinstance(features[k], kind)]
    ok = len(keys) == 2 and all(
        isinstance(key, str) and isinstance(features[key], kind)
        for key, kind in zip(keys, kinds, strict=True)
    )
    wanted = "one Image and one ClassLabel"
    require(ok, f"features of data set {builder.name!r}", features, wanted)
    return keys[0], keys[1]


def _read_split(builder: Any, split: str, image_key: str, label_key: str) -> Examples:
    where = f"data set {builder.name!r} ({builder.data_path}), split {split!r}"
    source = builder.as_data_source(split)
    with _quiet():
        records = [source[i] for i in range(len(source))]
    expected = builder.info.splits[split].num_examples
    require(
        len(records) == expected > 0, f"{where}: records", len(records), str(expected)
    )
    shapes = {record[image_key].shape for record in records}
    require(len(shapes) == 1, f"{where}: image shapes", sorted(shapes)[:3], "one size")
    image = np.stack([record[image_key] for record in records])
    label = np.array([record[label_key] for record in records])
    if np.issubdtype(image.dtype, np.integer):
        image = image.astype(np.float32) / np.float32(np.iinfo(image.dtype).max)
    check_images(image, where)
    check_labels(label, builder.info.features[label_key].num_classes, where)
    return Examples(image.astype(np.float32, copy=False), label.astype(np.int32))
