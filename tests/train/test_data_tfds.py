"""Data sets of TFDS by name: what is read, what is refused, what a failure leaves."""

import itertools

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from train.data import Clean, ColouredBackground, Digits, Tfds, load
from train.data import digits as digits_builder
from train.data import read as reading
from train.data.splits import held_out


class NoValidation(tfds.core.GeneratorBasedBuilder):
    """Classes of 40, 15 and 5 examples, told apart by their pixels; no extras."""

    VERSION = tfds.core.Version("1.0.0")
    test_labels = (0, 1, 2)

    def _info(self):
        features = {
            "kind": tfds.features.ClassLabel(names=["ape", "bee", "cow"]),
            "picture": tfds.features.Image(shape=(2, 3, 3)),
        }
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        train = self._generate_examples([0] * 40 + [1] * 15 + [2] * 5)
        return {"train": train, "test": self._generate_examples(self.test_labels)}

    def _generate_examples(self, labels):
        for key, label in enumerate(labels):
            picture = Image.fromarray(np.full((2, 3, 3), key, np.uint8))
            yield key, {"kind": label, "picture": picture}


class Unlabelled(NoValidation):
    """TFDS writes -1, its mark for a missing label, without complaint."""

    VERSION = tfds.core.Version("1.0.0")
    test_labels = (-1, -1)


class OnlyTest(NoValidation):
    VERSION = tfds.core.Version("1.0.0")

    def _split_generators(self, dl_manager):
        return {"test": self._generate_examples(self.test_labels)}


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory):
    return str(tmp_path_factory.mktemp("tfds"))


def test_validation_is_cut_from_train_by_a_fixed_rule(data_dir):
    dataset = load(Tfds("no_validation", data_dir, validation_fraction=0.2), Clean(), 0)
    assert dataset.class_names == ("ape", "bee", "cow")
    assert np.bincount(dataset.train.label).tolist() == [32, 12, 4]
    assert np.bincount(dataset.validation.label).tolist() == [8, 3, 1]
    keys = [
        np.rint(s.image[:, 0, 0, 0] * 255) for s in (dataset.train, dataset.validation)
    ]
    assert sorted(np.concatenate(keys)) == list(range(60))
    labels = np.repeat([0, 1, 2], [40, 15, 5])
    np.testing.assert_array_equal(labels[keys[1].astype(int)], dataset.validation.label)
    assert dataset.tests["test"].image.shape == (3, 2, 3, 3)


@pytest.mark.parametrize("fraction", [0.1, 0.29, 0.5, 0.99])
def test_held_out_share_of_every_class(fraction):
    labels = np.random.default_rng(0).permutation(np.repeat([0, 1, 2], [7, 100, 300]))
    counts = np.bincount(labels[held_out(labels, fraction)], minlength=3)
    assert counts.tolist() == [int(n * fraction + 1e-6) for n in (7, 100, 300)]


def test_every_tenth_is_held_out():
    assert np.flatnonzero(held_out(np.zeros(35, int), 0.1)).tolist() == [9, 19, 29]


def test_labels_out_of_range_are_refused_by_place_and_value(data_dir):
    message = (
        r"'unlabelled' \(.*unlabelled.1\.0\.0\), split 'test': "
        r"label of example 0 is -1, wanted an integer in \[0, 3\) \(2 of 2"
    )
    with pytest.raises(ValueError, match=message):
        load(Tfds("unlabelled", data_dir), Clean(), 0)


def test_a_set_needs_train_and_test(data_dir):
    with pytest.raises(
        ValueError, match=r"'only_test': got \['test'\], wanted `train`"
    ):
        load(Tfds("only_test", data_dir), Clean(), 0)


def test_unknown_names_get_a_suggestion():
    with pytest.raises(
        ValueError, match="no data set named 'minst'; did you mean mnist"
    ):
        load(Tfds("minst"), Clean(), 0)


def test_what_cannot_be_downloaded_says_what_to_do(tmp_path, monkeypatch):
    def offline(*_):
        raise ConnectionError("no route to host")

    monkeypatch.setattr(tfds.download.DownloadManager, "download_and_extract", offline)
    with pytest.raises(RuntimeError) as error:
        load(Tfds("mnist", str(tmp_path)), Clean(), 0)
    for words in ("'mnist'", str(tmp_path), "no route to host", "tfds build mnist"):
        assert words in str(error.value)


def test_a_failed_preparation_leaves_nothing_to_read(tmp_path, monkeypatch):
    def torn(self, split):
        yield from itertools.islice(whole(self, split), 5)
        raise OSError("disk full")

    whole = digits_builder.Digits._generate_examples
    with monkeypatch.context() as patch:
        patch.setattr(digits_builder.Digits, "_generate_examples", torn)
        with pytest.raises(RuntimeError, match="'digits' is not in .*disk full"):
            load(Digits(str(tmp_path)), Clean(), 0)
    assert list((tmp_path / "digits").iterdir()) == []


def test_a_folder_without_its_description_is_refused(tmp_path):
    (tmp_path / "digits" / "1.0.0").mkdir(parents=True)
    with pytest.raises(
        RuntimeError, match=r"1\.0\.0 is not a complete data set.*delete"
    ):
        load(Digits(str(tmp_path)), Clean(), 0)


def test_the_disk_is_read_once_and_its_arrays_are_safe(data_dir, monkeypatch):
    source = Tfds("no_validation", data_dir)
    first = load(source, Clean(), 0)
    monkeypatch.delattr(reading, "prepared_builder")
    again = load(source, Clean(), 1)
    np.testing.assert_array_equal(first.train.image, again.train.image)
    with pytest.raises(ValueError, match="read-only"):
        first.train.image[0] = 0


def idx(values):
    """MNIST's file format: 0, 0, type 8 (bytes), rank, sizes, then the values."""
    header = bytes([0, 0, 8, values.ndim])
    sizes = b"".join(size.to_bytes(4, "big") for size in values.shape)
    return header + sizes + values.astype(np.uint8).tobytes()


@pytest.fixture
def tiny_mnist(tmp_path, monkeypatch):
    """The four files of MNIST with 40 and 20 images, as if just downloaded."""
    from tensorflow_datasets.image_classification import mnist

    rng = np.random.default_rng(0)
    made = {}
    for part, n in (("train", 40), ("test", 20)):
        made[part] = rng.integers(0, 256, (n, 28, 28)), np.arange(n) % 10
        monkeypatch.setattr(mnist, f"_{part.upper()}_EXAMPLES", n)
        for kind, values in zip(("data", "labels"), made[part], strict=True):
            (tmp_path / f"{part}_{kind}").write_bytes(idx(values))
    monkeypatch.setattr(
        tfds.download.DownloadManager,
        "download_and_extract",
        lambda self, urls: {name: tmp_path / name for name in urls},
    )
    return made


def test_mnist_is_prepared_without_tensorflow(tiny_mnist, tmp_path):
    source = Tfds("mnist", str(tmp_path / "data"), validation_fraction=0.25)
    dataset = load(source, Clean(), 0)
    assert len(dataset.train.label) + len(dataset.validation.label) == 40
    pixels = {part: {image.tobytes() for image in tiny_mnist[part][0].astype(np.uint8)}
              for part in tiny_mnist}
    for split, part in ((dataset.train, "train"), (dataset.tests["test"], "test")):
        for image, label in zip(split.image, split.label, strict=True):
            stored = np.rint(image[..., 0] * 255).astype(np.uint8)
            assert stored.tobytes() in pixels[part]
            (place,) = np.flatnonzero(
                (tiny_mnist[part][0] == stored).all(axis=(1, 2))
            )
            assert tiny_mnist[part][1][place] == label


def test_biased_mnist_has_the_published_colours(tiny_mnist, tmp_path):
    """White strokes wherever the scan is not black, the class's colour elsewhere."""
    source = Tfds("mnist", str(tmp_path / "data"), validation_fraction=0.25)
    shortcut = ColouredBackground(1.0, palette="biased-mnist")
    grey, coloured = (load(source, c, 0).tests["test"] for c in (Clean(), shortcut))
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (225, 225, 0), (225, 0, 225),
               (0, 255, 255), (255, 128, 0), (255, 0, 128), (128, 0, 255),
               (128, 128, 128)]
    for scan, image, label in zip(grey.image, coloured.image, grey.label, strict=True):
        stroke = scan[..., 0] > 0
        assert (image[stroke] == 1).all()
        np.testing.assert_allclose(
            image[~stroke] * 255,
            np.broadcast_to(colours[label], image[~stroke].shape),
            rtol=1e-5,
        )
    # With two confusing labels the other colours are those of the next two classes.
    few = load(source, ColouredBackground(0.0, 2, "biased-mnist"), 0)
    ahead = (few.train.group - few.train.label) % 10
    assert set(ahead) == {1, 2}
    assert set((few.tests["unbiased"].group - few.tests["unbiased"].label) % 10) > {1, 2}
