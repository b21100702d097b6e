"""The digits against scikit-learn's own arrays, and what each corruption touches."""

import itertools
import json
import pathlib
import subprocess
import sys
import textwrap
import zlib

import numpy as np
import pytest
from sklearn.datasets import load_digits

from train.data import (
    Clean,
    ColouredBackground,
    Digits,
    LongTail,
    Split,
    SymmetricNoise,
    Tfds,
    load,
)
from train.data import digits as digits_builder
from train.data import read as reading

ROOT = pathlib.Path(__file__).parents[2]
PIXELS, TARGETS = load_digits(return_X_y=True)
CORRUPTIONS = Clean(), LongTail(), SymmetricNoise(), ColouredBackground()


def expected_rows():
    """The rows of scikit-learn's array in each split, by the documented rule."""
    rows = {"train": [], "validation": [], "test": []}
    seen = [0] * 10
    for row, label in enumerate(TARGETS):
        residue = seen[label] % 5
        seen[label] += 1
        split = "train" if residue < 3 else "validation" if residue == 3 else "test"
        rows[split].append(row)
    return rows


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


def arrays(dataset) -> list[np.ndarray]:
    splits = [dataset.train, dataset.validation, *dataset.tests.values()]
    return list(itertools.chain(*splits))


def same(a, b) -> bool:
    pairs = zip(arrays(a), arrays(b), strict=True)
    return all(x.shape == y.shape and np.array_equal(x, y) for x, y in pairs)


def digest(dataset) -> int:
    return zlib.crc32(b"".join(array.tobytes() for array in arrays(dataset)))


def splits_of(dataset) -> dict[str, Split]:
    return {"train": dataset.train, "validation": dataset.validation, **dataset.tests}


# The digits


def test_every_digit_is_scikit_learns(data_dir):
    dataset = load(Digits(data_dir), Clean(), 0)
    assert (dataset.num_classes, list(dataset.tests)) == (10, ["test"])
    assert dataset.class_names == tuple("0123456789")
    for name, rows in expected_rows().items():
        split = splits_of(dataset)[name]
        assert split.image.dtype == np.float32
        np.testing.assert_array_equal(
            np.rint(split.image * 16), PIXELS[rows].reshape(-1, 8, 8, 1)
        )
        np.testing.assert_allclose(
            split.image.ravel() * 16, PIXELS[rows].ravel(), atol=0.04
        )
        for labels in (split.label, split.true_label):
            assert labels.dtype == np.int32
            np.testing.assert_array_equal(labels, TARGETS[rows])
        assert split.group.dtype == np.int32 and not split.group.any()


def test_stored_index_and_pixels_lead_back_to_scikit_learn(data_dir):
    builder = reading.prepared_builder("digits", data_dir)
    indices = []
    for split in ("train", "validation", "test"):
        for record in builder.as_data_source(split):
            indices.append(int(record["index"]))
            pixels = digits_builder.from_uint8(record["image"]).ravel()
            np.testing.assert_array_equal(pixels, PIXELS[indices[-1]])
            assert record["label"] == TARGETS[indices[-1]]
    assert sorted(indices) == list(range(1797))  # disjoint, and nothing left out
    assert "Kaynak" in builder.info.citation


def test_the_generic_loader_finds_the_digits(data_dir):
    digits, generic = Digits(data_dir), Tfds("digits", data_dir)
    assert same(load(digits, Clean(), 0), load(generic, Clean(), 0))


def test_pixels_scale_to_the_whole_range_and_back():
    levels = np.arange(17)
    stored = digits_builder.to_uint8(levels)
    assert (stored.dtype, stored[0], stored[16]) == (np.uint8, 0, 255)
    np.testing.assert_array_equal(digits_builder.from_uint8(stored), levels)


def test_splits_are_stratified(data_dir):
    dataset = load(Digits(data_dir), Clean(), 0)
    sizes = np.bincount(TARGETS)
    for name, residues in {"train": 3, "validation": 1, "test": 1}.items():
        offset = {"train": 0, "validation": 3, "test": 4}[name]
        expected = residues * (sizes // 5) + np.clip(sizes % 5 - offset, 0, residues)
        counts = np.bincount(splits_of(dataset)[name].label)
        np.testing.assert_array_equal(counts, expected)


def test_killed_preparation_no_tensorflow_same_bits_in_another_process(
    tmp_path, data_dir
):
    script = """
        import importlib.machinery, itertools, os, sys, zlib

        finder = importlib.machinery.PathFinder
        find = finder.find_spec

        def no_tensorflow(name, *rest):
            return None if name == "tensorflow" else find(name, *rest)

        finder.find_spec = no_tensorflow
        from train.data import *

        assert "tensorflow_datasets" not in sys.modules  # keeps --help fast
        import sklearn.datasets  # slow: once, for both processes
        source = Digits(sys.argv[1])
        if os.fork() == 0:
            from train.data.digits import Digits as Builder
            whole = Builder._generate_examples
            def killed(self, split):
                yield from itertools.islice(whole(self, split), 5)
                os._exit(9)
            Builder._generate_examples = killed
            load(source, Clean(), 0)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 9
        left, = os.listdir(os.path.join(sys.argv[1], "digits"))
        assert left.startswith("incomplete."), left
        for corruption in Clean(), LongTail(), SymmetricNoise(), ColouredBackground():
            data = load(source, corruption, 3)
            splits = data.train, data.validation, *data.tests.values()
            print(zlib.crc32(b"".join(x.tobytes() for split in splits for x in split)))
        assert "tensorflow" not in sys.modules
    """
    command = [sys.executable, "-c", textwrap.dedent(script), str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    here = [str(digest(load(Digits(data_dir), c, 3))) for c in CORRUPTIONS]
    assert [line for line in done.stdout.split() if line.isdigit()] == here


# What each corruption touches


@pytest.mark.parametrize("corruption", CORRUPTIONS, ids=lambda c: type(c).__name__)
def test_the_seed_alone_decides_and_facts_fit_in_json(corruption, data_dir):
    before = np.random.get_state(legacy=False)["state"]
    dataset = load(Digits(data_dir), corruption, 5)
    after = np.random.get_state(legacy=False)["state"]
    assert before["pos"] == after["pos"]
    np.testing.assert_array_equal(before["key"], after["key"])
    assert same(dataset, load(Digits(data_dir), corruption, 5))
    changes = not same(dataset, load(Digits(data_dir), corruption, 6))
    assert changes == (corruption != Clean())
    assert json.loads(json.dumps(dataset.facts, allow_nan=False)) == dataset.facts
    sizes = {name: len(split.label) for name, split in splits_of(dataset).items()}
    assert dataset.facts["sizes"] == sizes
    assert dataset.facts["train_counts"] == np.bincount(dataset.train.label).tolist()


def test_long_tail_touches_train_alone(data_dir):
    clean = load(Digits(data_dir), Clean(), 0)
    tail = load(Digits(data_dir), LongTail(50.0), 0)
    # The smallest class of train has 105; floor(105 * 50 ** (-j / 9)).
    counts = [105, 67, 44, 28, 18, 11, 7, 5, 3, 2]
    assert tail.facts["train_counts"] == counts
    assert tail.facts["imbalance"] == 105 / 2
    for name in ("validation", "test"):
        for x, y in zip(splits_of(tail)[name], splits_of(clean)[name], strict=True):
            np.testing.assert_array_equal(x, y)
    kept = {image.tobytes() for image in tail.train.image}
    assert kept <= {image.tobytes() for image in clean.train.image}


def test_noise_touches_train_and_validation_labels_alone(data_dir):
    clean = load(Digits(data_dir), Clean(), 0)
    noisy = load(Digits(data_dir), SymmetricNoise(0.4), 0)
    for name, split in splits_of(noisy).items():
        reference = splits_of(clean)[name]
        np.testing.assert_array_equal(split.image, reference.image)
        np.testing.assert_array_equal(split.true_label, reference.label)
        wrong, n = np.sum(split.label != split.true_label), len(split.label)
        rate = 0.0 if name == "test" else 0.4
        assert abs(wrong - rate * n) <= 5 * np.sqrt(n * rate * (1 - rate))
        assert noisy.facts["noise_rate"][name] == wrong / n


def test_the_two_noisy_splits_do_not_share_a_stream(data_dir):
    noisy = load(Digits(data_dir), SymmetricNoise(0.5), 0)
    flips = [s.label != s.true_label for s in (noisy.train, noisy.validation)]
    n = len(flips[1])
    agree = np.sum(flips[0][:n] == flips[1])
    assert abs(agree - n / 2) < 5 * np.sqrt(n) / 2


def test_colour_predicts_the_class_but_not_in_the_unbiased_test(data_dir):
    clean = load(Digits(data_dir), Clean(), 0)
    biased = load(Digits(data_dir), ColouredBackground(0.9), 0)
    assert list(biased.tests) == ["test", "unbiased"]
    for name, split in splits_of(biased).items():
        reference = splits_of(clean)["test" if name == "unbiased" else name]
        np.testing.assert_array_equal(split.label, reference.label)
        assert split.image.shape == (*reference.image.shape[:3], 3)
        aligned, n = np.sum(split.group == split.true_label), len(split.label)
        p = 0.1 if name == "unbiased" else 0.9
        assert abs(aligned - p * n) < 5 * np.sqrt(n * p * (1 - p))
        assert biased.facts["correlation"][name] == aligned / n


def test_no_two_splits_share_their_colours(data_dir):
    splits = splits_of(load(Digits(data_dir), ColouredBackground(0.1), 0)).values()
    for a, b in itertools.combinations(splits, 2):
        # Independent colours agree on one image in ten. Shifts from the label too.
        n = min(len(a.group), len(b.group))
        shifts = [(s.group[:n] - s.true_label[:n]) % 10 for s in (a, b)]
        assert np.sum(shifts[0] == shifts[1]) < n * 0.1 + 5 * np.sqrt(n * 0.09)


def test_correlation_changes_colours_of_train_only_where_it_must(data_dir):
    weak, strong = (
        load(Digits(data_dir), ColouredBackground(c), 0) for c in (0.5, 0.9)
    )
    for x, y in zip(weak.tests["unbiased"], strong.tests["unbiased"], strict=True):
        np.testing.assert_array_equal(x, y)
    for name in ("train", "validation", "test"):
        a, b = splits_of(weak)[name], splits_of(strong)[name]
        np.testing.assert_array_equal(a.true_label, b.true_label)
        moved = a.group != b.group
        np.testing.assert_array_equal(b.group[moved], b.true_label[moved])


def test_negative_seeds_are_refused():
    with pytest.raises(ValueError, match="seed: got -1, wanted a non-negative"):
        load(Digits(), Clean(), -1)
