"""`run --probes all`: what is written down, and that watching changes nothing."""

import json
from typing import get_args

import numpy as np
import pytest
from tensorboardX.proto import event_pb2

from train import cli, probes
from train.commands import ProbeName

EPOCHS = 3


def read_lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(folder, data_dir, *argv):
    options = ["--epochs", str(EPOCHS), "--widths", "16", "--data-dir", data_dir]
    assert cli.main(["run", *argv, *options, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def tailed(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("runs") / "tailed"
    return run(folder, data_dir, "--probes", "all", "long-tail", "gala")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("runs") / "noisy"
    return run(folder, data_dir, "--probes", "all", "symmetric-noise")


def test_watching_changes_nothing(tailed, tmp_path, data_dir):
    plain = run(tmp_path / "plain", data_dir, "long-tail", "gala")
    for name in ("last.npz", "best.npz"):
        watched, unwatched = np.load(tailed / name), np.load(plain / name)
        assert watched.files == unwatched.files
        for key in watched.files:
            np.testing.assert_array_equal(watched[key], unwatched[key])
    assert not (plain / "statistics.jsonl").exists()
    assert not (plain / "statistics.npz").exists()


def test_a_line_per_epoch(tailed, data_dir):
    lines = read_lines(tailed / "statistics.jsonl")
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    counts = np.array(json.loads((tailed / "classes.json").read_text())["train_counts"])
    seen = sum(counts) // 64 * 64  # whole batches
    for line in lines:
        assert line.keys() == {
            "epoch",
            "class_gradients",
            "class_vectors",
            "log_odds",
            "gradient_norms",
            "gradient_norms_sure",
            "agreement",
        }
        sums = line["class_gradients"]
        np.testing.assert_allclose(sums["positive"], sums["caused"], rtol=1e-4)
        np.testing.assert_allclose(
            np.sum(sums["received"]), np.sum(sums["caused"]), rtol=1e-4
        )
        assert np.sum(line["log_odds"]["counts"]) == seen
        for name in ("gradient_norms", "gradient_norms_sure"):
            assert np.sum(line[name]["examples"]) == seen
            np.testing.assert_allclose(np.nansum(line[name]["share"]), 1, rtol=1e-5)
        assert line["log_odds"]["groups"] == ["many", "medium", "few"]
        cosine = np.array(line["agreement"]["cosine"])
        np.testing.assert_allclose(np.diag(cosine), 1, rtol=1e-4)
        norm = np.array(line["class_vectors"]["norm"])
        correlation = np.corrcoef(norm, np.log(counts))[0, 1]
        np.testing.assert_allclose(
            line["class_vectors"]["prior_correlation"], correlation, rtol=1e-3
        )
    kernel = np.load(tailed / "last.npz")["params/layers/1/kernel"]
    norm = lines[-1]["class_vectors"]["norm"]
    np.testing.assert_allclose(norm, np.linalg.norm(kernel, axis=0), rtol=1e-5)


def test_the_matrix_is_that_of_the_whole_training(tailed):
    lines = read_lines(tailed / "statistics.jsonl")
    matrix = np.load(tailed / "statistics.npz")["class_matrix"]
    own = np.diag(matrix)
    for name, total in (
        ("positive", own),
        ("received", np.sum(matrix, axis=0) - own),
        ("caused", np.sum(matrix, axis=1) - own),
    ):
        epochs = [line["class_gradients"][name] for line in lines]
        np.testing.assert_allclose(np.sum(epochs, axis=0), total, rtol=1e-4)


def test_noisy_labels_are_a_group(noisy):
    wrong = json.loads((noisy / "config.json").read_text())["data"]["noise_rate"]
    for line in read_lines(noisy / "statistics.jsonl"):
        assert "agreement" not in line  # of nothing but "all"
        assert line["log_odds"]["groups"] == ["all"]
        norms = line["gradient_norms_noise"]
        assert norms["groups"] == ["clean", "noisy"]
        share = norms["examples"][1] / np.sum(norms["examples"])
        np.testing.assert_allclose(share, wrong["train"], atol=0.02)
        # A label that contradicts the image pulls harder.
        assert norms["mean"][1] > norms["mean"][0]
        np.testing.assert_allclose(
            np.sum(line["log_odds_noise"]["counts"], axis=1), norms["examples"]
        )


def test_classes_of_the_evaluation(tailed, noisy):
    for folder, shots in ((tailed, (40, 10)), (noisy, (None, None))):
        classes = json.loads((folder / "classes.json").read_text())
        results = json.loads((folder / "results.json").read_text())["splits"]
        assert (classes["many"], classes["few"]) == shots
        assert classes["class_names"] == [str(digit) for digit in range(10)]
        assert classes["splits"].keys() == results.keys()
        for split, epochs in classes["splits"].items():
            for when, found in epochs.items():
                error = 1 - np.mean(found["class_accuracy"])
                expected = results[split][when]
                np.testing.assert_allclose(
                    error, expected["balanced_error"], rtol=1e-4, atol=1e-6
                )
                bins = {k: np.array(v, float) for k, v in found["calibration"].items()}
                gaps = np.abs(bins["accuracy"] - bins["confidence"])
                calibration = np.nansum(gaps * bins["count"]) / np.sum(bins["count"])
                np.testing.assert_allclose(
                    calibration,
                    expected["expected_calibration_error"],
                    rtol=1e-3,
                    atol=1e-5,
                )


def tags(folder):
    (path,) = folder.glob("events.out.tfevents.*")
    content, found, place = path.read_bytes(), set(), 0
    while place < len(content):  # length, its checksum, the event, its checksum
        size = int.from_bytes(content[place : place + 8], "little")
        event = event_pb2.Event.FromString(  # pyright: ignore[reportAttributeAccessIssue]
            content[place + 12 : place + 12 + size]
        )
        found |= {value.tag for value in event.summary.value}
        place += 16 + size
    return found


def test_tensorboard_shows_the_statistics(tailed):
    assert {
        "learning_rate",
        "received/variation",
        "gradient_ratio/smallest",
        "class_vectors/norm_prior_correlation",
        "gradient_norms/share/few",
        "gradient_norms_sure/share/well_classified",
        "agreement/many_few",
        "log_odds/many",
    } <= tags(tailed)


def test_learning_rates_are_those_of_the_schedule(tailed):
    rates = [line["learning_rate"] for line in read_lines(tailed / "metrics.jsonl")]
    # The last steps of the epochs; the first of the 12 is the warm-up.
    steps = np.arange(1, EPOCHS + 1) * 4 - 1
    np.testing.assert_allclose(
        rates, 0.05 * (1 + np.cos(np.pi * (steps - 1) / 11)), rtol=1e-4
    )


def test_some_of_the_probes(tmp_path, data_dir):
    words = ["--probes", "log-odds", "class-vectors", "clean"]
    folder = run(tmp_path / "few", data_dir, *words)
    for line in read_lines(folder / "statistics.jsonl"):
        assert line.keys() == {"epoch", "log_odds", "class_vectors"}
    assert not (folder / "statistics.npz").exists()


def test_every_probe_has_a_name_on_the_command_line():
    assert {"all", *probes.ALL} == {*get_args(ProbeName)}
