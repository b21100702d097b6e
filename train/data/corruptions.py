"""Three ways for labels to misbehave, as functions of arrays and a seed.

Each draws the same random numbers whatever its strength, so a stronger corruption
extends a weaker one of the same seed: the examples kept at imbalance 100 are among
those kept at 10, the labels flipped at rate 0.2 are flipped at 0.4 to the same class.
"""

from typing import Literal

import numpy as np

from train.data.checks import check_images, check_labels, require

# What `np.random.default_rng` takes; global numpy state is never touched.
Seed = int | np.random.SeedSequence

# Corners of the RGB cube (but white, the colour of the strokes), its centre and the
# middle of two edges: no two nearer than 0.5, none nearer to white than 0.86.
COLOURS = {
    "red": (1.0, 0.0, 0.0),
    "green": (0.0, 1.0, 0.0),
    "blue": (0.0, 0.0, 1.0),
    "yellow": (1.0, 1.0, 0.0),
    "cyan": (0.0, 1.0, 1.0),
    "magenta": (1.0, 0.0, 1.0),
    "black": (0.0, 0.0, 0.0),
    "grey": (0.5, 0.5, 0.5),
    "orange": (1.0, 0.5, 0.0),
    "violet": (0.5, 0.0, 1.0),
}
# Of Biased-MNIST (Bahng et al., ICML 2020, arXiv:1910.02806), class by class [of 255].
BIASED_MNIST = (
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (225, 225, 0),
    (225, 0, 225),
    (0, 255, 255),
    (255, 128, 0),
    (255, 0, 128),
    (128, 0, 255),
    (128, 128, 128),
)


def long_tail_counts(num_classes: int, largest: int, imbalance: float) -> np.ndarray:
    r"""Exponential profile, $n_j = \lfloor n_0\,\rho^{-j/(C-1)} \rfloor$, at least 1.

    Args:
        num_classes: C, at least 2; class 0 is the head.
        largest: n_0, at least 1 [examples].
        imbalance: the ratio rho of the largest to the smallest class, at least 1.
    Returns:
        Integer counts [C].
    Source: Cui et al., CVPR 2019, arXiv:1901.05555; rounded down as in the released
        CIFAR-LT, which has 5000, 2997, 1796, ... images at imbalance 100.
    """
    require(num_classes >= 2, "num_classes", num_classes, "at least 2")
    require(largest >= 1, "largest", largest, "at least 1")
    require(1 <= imbalance < np.inf, "imbalance", imbalance, "a finite number >= 1")
    sizes = largest * imbalance ** (-np.arange(num_classes) / (num_classes - 1))
    # Rounding errors must not take one from a size that is an integer.
    return np.maximum(np.floor(sizes * (1 + 1e-12)), 1).astype(np.int64)


def long_tail(labels: np.ndarray, imbalance: float, seed: Seed) -> np.ndarray:
    """Sorted indices of the examples kept to give `labels` a long tail.

    The head is as large as the smallest class, so that every class can fill its place
    and the counts depend on the labels alone: arrays of different seeds stack.
    """
    sizes = np.bincount(labels)
    require(sizes.min() > 0, "examples per class", sizes.tolist(), "at least 1 each")
    counts = long_tail_counts(len(sizes), int(sizes.min()), imbalance)
    order = np.random.default_rng(seed).permutation(len(labels))
    kept = [order[labels[order] == j][:count] for j, count in enumerate(counts)]
    return np.sort(np.concatenate(kept))


def symmetric_noise(
    labels: np.ndarray,
    rate: float,
    num_classes: int,
    seed: Seed,
    others: int | None = None,
) -> np.ndarray:
    """Moves each label, with probability `rate`, to one of the others, all alike.

    The label itself is never drawn, so `rate` is the expected share of wrong labels.
    With `others` it is moved to one of the next so many classes, round the circle.
    """
    require(0 <= rate <= 1, "rate", rate, "a probability")
    require(num_classes >= 2, "num_classes", num_classes, "at least 2")
    others = num_classes - 1 if others is None else others
    wanted = f"1 to {num_classes - 1}, the number of other classes"
    require(1 <= others < num_classes, "confusing classes", others, wanted)
    check_labels(labels, num_classes, "symmetric_noise")
    rng = np.random.default_rng(seed)
    flipped = rng.random(len(labels)) < rate
    shift = rng.integers(1, others + 1, len(labels))
    noisy = np.where(flipped, (labels + shift) % num_classes, labels)
    return noisy.astype(np.int32)


def coloured_background(
    images: np.ndarray,
    labels: np.ndarray,
    correlation: float,
    num_classes: int,
    seed: Seed,
    *,
    confusing: int | None = None,
    palette: Literal["corners", "biased-mnist"] = "corners",
) -> tuple[np.ndarray, np.ndarray]:
    """Paints the background; strokes stay white: v + (1 - v) colour.

    With probability `correlation` the colour is that of the class, otherwise that of
    one of the other classes, all alike: at 1 / num_classes colour and class are
    independent.

    The palette "biased-mnist" is that of Bahng et al., ICML 2020, and so is its brush:
    whatever is not black becomes white, the rest background. Their generator fills the
    classes to exact numbers, ours draws each image by itself.

    Args:
        images: grey, [n, height, width, 1] in [0, 1].
        labels: integers [n] in [0, num_classes).
        correlation: probability in [0, 1].
        num_classes: 2 to 10; class j has the j-th colour of the palette.
        seed: of the colours.
        confusing: how many other classes' colours an image may have, those of the next
            so many classes; all when None.
        palette: colours and brush.
    Returns:
        Images, float32 [n, height, width, 3], and colour ids, int32 [n].
    """
    require(0 <= correlation <= 1, "correlation", correlation, "a probability")
    wanted = f"2 to {len(COLOURS)}, one colour per class"
    require(2 <= num_classes <= len(COLOURS), "num_classes", num_classes, wanted)
    require(
        images.shape[-1:] == (1,), "images", f"shape {images.shape}", "one grey channel"
    )
    check_images(images, "coloured_background")
    require(
        len(images) == len(labels),
        "number of labels",
        len(labels),
        f"one per image ({len(images)})",
    )
    # A colour is the label as seen through symmetric noise.
    colour = symmetric_noise(labels, 1 - correlation, num_classes, seed, confusing)
    colours = np.array(list(COLOURS.values()), np.float32)
    if palette == "biased-mnist":
        colours = np.array(BIASED_MNIST, np.float32) / 255
        images = (images > 0).astype(np.float32)
    background = colours[colour][:, None, None, :]
    return (images + (1 - images) * background).astype(np.float32), colour
