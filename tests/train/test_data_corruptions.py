"""Corruptions against published counts, closed forms and binomial bounds."""

import numpy as np
import pytest

from train.data.checks import check_images, check_labels
from train.data.corruptions import (
    COLOURS,
    coloured_background,
    long_tail,
    long_tail_counts,
    symmetric_noise,
)

LABELS = np.tile(np.arange(10), 2000)
IMAGES = np.random.default_rng(0).random((200, 4, 5, 1), np.float32)


def within_five_sigma(count, n, p):
    return abs(count - n * p) < 5 * np.sqrt(n * p * (1 - p))


def test_counts_are_those_of_the_published_long_tailed_cifar():
    ten = long_tail_counts(10, 5000, 100)
    assert ten.tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    hundred = long_tail_counts(100, 500, 100)
    assert (ten.sum(), hundred.sum(), hundred[-1]) == (12406, 10847, 5)


def test_counts_at_the_ends():
    assert long_tail_counts(4, 27, 27).tolist() == [27, 9, 3, 1]
    assert long_tail_counts(3, 7, 1).tolist() == [7, 7, 7]
    assert long_tail_counts(3, 10, 1e6).tolist() == [10, 1, 1]


def test_long_tail_keeps_the_same_counts_of_other_examples_for_every_seed():
    rng = np.random.default_rng(1)
    labels = rng.permutation(np.repeat([0, 1, 2, 3], [90, 30, 27, 50]))
    picks = [long_tail(labels, 27, seed) for seed in range(5)]
    for kept in picks:
        assert np.all(np.diff(kept) > 0)  # sorted, no example twice
        assert np.bincount(labels[kept]).tolist() == [27, 9, 3, 1]
    assert len({kept.tobytes() for kept in picks}) == 5


def test_stronger_corruptions_extend_weaker_ones():
    assert set(long_tail(LABELS, 100, 0)) < set(long_tail(LABELS, 10, 0))
    weak, strong = (symmetric_noise(LABELS, rate, 10, 0) for rate in (0.2, 0.4))
    flipped = weak != LABELS
    np.testing.assert_array_equal(weak[flipped], strong[flipped])


@pytest.mark.parametrize("rate", [0.0, 0.2, 0.8, 1.0])
def test_noise_has_its_rate_and_no_favourite_class(rate):
    noisy = symmetric_noise(LABELS, rate, 10, 7)
    assert noisy.dtype == np.int32
    for label in range(10):
        counts = np.bincount(noisy[LABELS == label], minlength=10)
        for other in range(10):
            p = 1 - rate if other == label else rate / 9
            assert counts[other] == 2000 * p or within_five_sigma(
                counts[other], 2000, p
            )


def test_two_classes_swap_under_certain_noise():
    labels = np.array([0, 1, 1])
    np.testing.assert_array_equal(symmetric_noise(labels, 1, 2, 0), [1, 0, 0])


def test_the_background_is_painted_and_strokes_stay_white():
    images = IMAGES.copy()
    images[:, 0, 0], images[:, 0, 1] = 0, 1
    painted, colour = coloured_background(images, LABELS[:200], 0.5, 10, 0)
    assert (painted.dtype, colour.dtype) == (np.float32, np.int32)
    palette = list(COLOURS.values())
    for image, grey, c in zip(painted, images, colour, strict=True):
        np.testing.assert_array_equal(image[0, 0], palette[c])
        np.testing.assert_array_equal(image[0, 1], [1, 1, 1])
        expected = 1 - (1 - grey) * (1 - np.array(palette[c]))
        np.testing.assert_allclose(image, expected, atol=1e-6)


@pytest.mark.parametrize("correlation", [0.1, 0.95, 1.0])
def test_colours_have_their_correlation_and_no_favourite(correlation):
    images = np.zeros((len(LABELS), 1, 1, 1), np.float32)
    _, colour = coloured_background(images, LABELS, correlation, 10, 3)
    for label in range(10):
        counts = np.bincount(colour[LABELS == label], minlength=10)
        for other in range(10):
            p = correlation if other == label else (1 - correlation) / 9
            assert counts[other] == 2000 * p or within_five_sigma(
                counts[other], 2000, p
            )


def test_colours_are_far_apart_and_far_from_white():
    colours = np.array([*COLOURS.values(), (1, 1, 1)])
    distances = np.linalg.norm(colours[:, None] - colours[None], axis=-1)
    assert len(COLOURS) == 10
    assert distances[~np.eye(11, dtype=bool)].min() >= 0.5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: long_tail_counts(1, 5, 10), "num_classes: got 1, wanted at least 2"),
        (lambda: long_tail_counts(3, 0, 10), "largest: got 0, wanted at least 1"),
        (lambda: long_tail_counts(3, 5, 0.5), "imbalance: got 0.5, wanted"),
        (lambda: long_tail_counts(3, 5, np.nan), "imbalance: got nan, wanted"),
        (lambda: long_tail(np.array([0, 2]), 2, 0), r"per class: got \[1, 0, 1\]"),
        (lambda: symmetric_noise(LABELS, 1.1, 10, 0), "rate: got 1.1, wanted"),
        (lambda: symmetric_noise(LABELS, 0.1, 9, 0), "example 9 is 9, wanted"),
        (lambda: symmetric_noise(LABELS * 0.5, 0.1, 10, 0), "labels: got float64"),
        (
            lambda: coloured_background(IMAGES, LABELS[:200], np.nan, 10, 0),
            "correlation: got nan, wanted a probability",
        ),
        (
            lambda: coloured_background(IMAGES, LABELS[:200], 0.9, 11, 0),
            "num_classes: got 11, wanted 2 to 10",
        ),
        (
            lambda: coloured_background(IMAGES, LABELS[:7], 0.9, 10, 0),
            r"number of labels: got 7, wanted one per image \(200\)",
        ),
        (
            lambda: coloured_background(IMAGES.repeat(3, -1), LABELS[:200], 0.9, 10, 0),
            r"images: got shape \(200, 4, 5, 3\), wanted one grey channel",
        ),
    ],
)
def test_bad_arguments_are_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_bad_values_are_located():
    labels = np.array([0, 3, 1, -7])
    with pytest.raises(ValueError, match=r"here: label of example 1 is 3.*\(2 of 4"):
        check_labels(labels, 3, "here")
    for value in (np.nan, np.inf, -0.1, 1.5):
        images = IMAGES.copy()
        images[4, 1, 2, 0] = value
        with pytest.raises(ValueError, match=f"here: image of example 4 holds {value}"):
            check_images(images, "here")
    check_labels(labels[:1], 3, "here")
    check_images(IMAGES, "here")
