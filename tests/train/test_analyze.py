"""`analyze`: a page from saved arrays, and what it says to wrong ones."""

import json
import re

import numpy as np
import pytest

from train import analyze, cli, config
from train.commands import Analyze

N, C, D = 200, 6, 4
random = np.random.default_rng(0)
COUNTS = np.array([300, 150, 60, 40, 15, 5])
ARRAYS = {
    "logits": random.normal(size=(N, C)).astype(np.float32),
    "labels": random.integers(0, C, N),
    "features": random.normal(size=(N, D)).astype(np.float32),
    "kernel": random.normal(size=(D, C)).astype(np.float32),
    "train_counts": COUNTS,
    "true_labels": random.integers(0, C, N),
    "class_names": np.array(["cat", "dog", "</script>", "owl", "newt", "axolotl"]),
}


def saved(folder, **arrays):
    np.savez(folder / "logits.npz", **arrays)
    return folder / "logits.npz"


def test_everything_that_can_be_known(tmp_path):
    file = saved(tmp_path, **ARRAYS)
    assert cli.main(["analyze", str(file), "focal", "--gamma", "1"]) == 0
    page = (tmp_path / "logits.html").read_text()
    for words in (
        "axolotl",
        "Gradients of the classes",
        "Class vectors",
        "Calibration",
    ):
        assert words in page
    record = analyze.analyze(Analyze(file), analyze.load(file))
    assert record.statistics.keys() == {
        "class_gradients",
        "class_vectors",
        "log_odds",
        "log_odds_noise",
        "gradient_norms",
        "gradient_norms_noise",
        "gradient_norms_sure",
        "agreement",
    }
    assert record.statistics["gradient_norms"].groups == ("many", "medium", "few")
    noisy = np.sum(ARRAYS["labels"] != ARRAYS["true_labels"])
    counts = record.statistics["gradient_norms_noise"].values["count"]
    np.testing.assert_array_equal(counts, [[N - noisy, noisy]])
    norm = record.statistics["class_vectors"].values["norm"][0]
    np.testing.assert_allclose(
        norm, np.linalg.norm(ARRAYS["kernel"], axis=0), rtol=1e-5
    )


def softmax(z):
    e = np.exp(z - np.max(z, axis=1, keepdims=True))
    return e / np.sum(e, axis=1, keepdims=True)


def test_the_gradient_is_that_of_the_loss(tmp_path):
    file = saved(tmp_path, logits=ARRAYS["logits"], labels=ARRAYS["labels"])
    z, y = ARRAYS["logits"].astype(np.float64), ARRAYS["labels"]
    record = analyze.analyze(Analyze(file), analyze.load(file))
    grads = np.abs(softmax(z) - np.eye(C)[y])
    expected = np.zeros((C, C))
    np.add.at(expected, y, grads)
    assert record.class_matrix is not None
    np.testing.assert_allclose(record.class_matrix, expected, rtol=1e-4)
    assert record.statistics["log_odds"].groups == ("all",)
    assert "class_vectors" not in record.statistics
    assert record.classes is not None and record.classes.train_counts is None
    accuracy = record.results["splits"]["test"]["last"]["accuracy"]
    np.testing.assert_allclose(accuracy, np.mean(np.argmax(z, 1) == y), rtol=1e-6)


def test_logit_adjustment_takes_the_training_counts(tmp_path):
    names = ("logits", "labels", "train_counts")
    file = saved(tmp_path, **{name: ARRAYS[name] for name in names})
    command = Analyze(file, loss=config.LogitAdjusted())
    record = analyze.analyze(command, analyze.load(file))
    shifted = ARRAYS["logits"] + np.log(COUNTS / np.sum(COUNTS))
    grads = np.abs(softmax(shifted.astype(np.float64)) - np.eye(C)[ARRAYS["labels"]])
    expected = np.zeros((C, C))
    np.add.at(expected, ARRAYS["labels"], grads)
    assert record.class_matrix is not None
    np.testing.assert_allclose(record.class_matrix, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"logits": None}, "lacks logits"),
        ({"labels": None, "weights": np.ones(3)}, "lacks labels and has weights"),
        ({"kernel": ARRAYS["kernel"].T}, r"kernel must be \[features, classes\]"),
        ({"train_counts": COUNTS[:3]}, r"train_counts must be \[classes\]"),
        ({"labels": ARRAYS["labels"] + 1}, r"labels must be in \[0, 6\), got 6"),
        ({"labels": ARRAYS["labels"] * 1.0}, "labels must be integer class ids"),
        ({"logits": ARRAYS["labels"][:, None]}, "must be"),
    ],
)
def test_wrong_arrays(change, words, tmp_path, capsys):
    arrays = {k: v for k, v in (ARRAYS | change).items() if v is not None}
    file = saved(tmp_path, **arrays)
    assert cli.main(["analyze", str(file)]) == 1
    assert re.search(words, capsys.readouterr().err)
    assert not (tmp_path / "logits.html").exists()


def test_wrong_files(tmp_path, capsys):
    (tmp_path / "a.npz").write_text("no archive")
    np.save(tmp_path / "b.npy", ARRAYS["logits"])
    np.savez(tmp_path / "c.npz", logits=np.array([{}], object), labels=np.zeros(1, int))
    for name in ("a.npz", "b.npy", "c.npz", "nowhere.npz"):
        assert cli.main(["analyze", str(tmp_path / name)]) == 1
        assert name in capsys.readouterr().err
    file = saved(tmp_path, logits=ARRAYS["logits"], labels=ARRAYS["labels"])
    assert cli.main(["analyze", str(file), "logit-adjusted"]) == 1
    assert "no train_counts" in capsys.readouterr().err


def test_no_script_gets_out_of_the_data(tmp_path):
    file = saved(tmp_path, **ARRAYS)
    assert cli.main(["analyze", str(file)]) == 0
    page = (tmp_path / "logits.html").read_text()
    data = re.search(r'<script type="application/json"[^>]*>(.*?)</script>', page, re.S)
    assert data and "axolotl" in data[1] and json.loads(data[1])
