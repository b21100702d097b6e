"""Value checks on the host: bad data stops here, not as NaN in the middle of a run."""

import numpy as np


def require(ok: bool, what: str, got: object, wanted: str) -> None:
    """Raises a `ValueError` that says what was wrong, what came and what should."""
    if not ok:
        raise ValueError(f"{what}: got {got}, wanted {wanted}")


def check_labels(labels: np.ndarray, num_classes: int, where: str) -> None:
    """Raises unless every label is an integer in [0, num_classes)."""
    require(
        labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer),
        f"{where}: labels",
        f"{labels.dtype}{list(labels.shape)}",
        "one integer per example",
    )
    bad = np.flatnonzero((labels < 0) | (labels >= num_classes))
    if bad.size:
        raise ValueError(
            f"{where}: label of example {bad[0]} is {labels[bad[0]]}, wanted an "
            f"integer in [0, {num_classes}) ({bad.size} of {labels.size} are outside)"
        )


def check_images(images: np.ndarray, where: str) -> None:
    """Raises unless images are [n, height, width, channels] with values in [0, 1]."""
    require(
        images.ndim == 4,
        f"{where}: images",
        f"shape {images.shape}",
        "[n, height, width, channels]",
    )
    # Written so that NaN counts as outside.
    bad = np.flatnonzero(~((images >= 0) & (images <= 1)).all(axis=(1, 2, 3)))
    if bad.size:
        image = images[bad[0]]
        value = image[~((image >= 0) & (image <= 1))][0]
        raise ValueError(
            f"{where}: image of example {bad[0]} holds {value}, wanted finite values "
            f"in [0, 1] ({bad.size} of {len(images)} examples are affected)"
        )
