"""Data sets of TFDS by name: what is read, what is refused, what a failure leaves."""

import itertools

import numpy as np
import pytest
import tensorflow_datasets as tfds
from PIL import Image

from train.data import Clean, Digits, Tfds, load
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
