"""`vqa` from files in the published formats to a table."""

import json

import jax
import numpy as np
import pytest

from tests.train.test_vqa_v2 import ASKED, COUNTS, features, write
from train import cli
from train.commands import Vqa
from train.debias import stream

SMALL = "--batch-size 4 --hidden 8 --embedding 4 --minimum-answers 3 --epochs 3"


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    folder = tmp_path_factory.mktemp("vqa")
    questions, annotations = write(folder)
    stored = folder / "features.npy"
    padded = [np.resize(features(image), (36, 2048)) for image in COUNTS]
    np.save(stored, np.stack(padded))
    np.save(folder / "features_ids.npy", np.array([*COUNTS]))
    paths = {
        "train-questions": questions,
        "train-annotations": annotations,
        "test-questions": questions,
        "test-annotations": annotations,
        "features": stored,
    }
    return [
        "vqa",
        *SMALL.split(),
        *(w for k, v in paths.items() for w in (f"--{k}", str(v))),
    ]


@pytest.mark.parametrize("method", ["base", "dq-iter"])
def test_from_files_to_a_table(words, tmp_path, method, capsys):
    out = tmp_path / "run"
    assert cli.main([*words, "--method", method, "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"{len(ASKED)} questions to train on" in printed
    lines = [
        json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()
    ]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["loss/base"] < lines[0]["loss/base"]
    assert all(0 <= line["test"] <= 1 for line in lines)
    with np.load(out / "last.npz") as arrays:
        assert all(np.isfinite(arrays[name]).all() for name in arrays)
        assert arrays["params/head/kernel"].shape == (16, 3)


def test_the_seed_decides_everything(words, tmp_path):
    lines = []
    for name in ("one", "two"):
        assert (
            cli.main([*words, "--method", "base", "--out", str(tmp_path / name)]) == 0
        )
        lines.append((tmp_path / name / "metrics.jsonl").read_bytes())
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("--method bias-product", "method must be one of base question-only"),
        ("--epochs 0", "epochs must be at least 1"),
        ("--batch-size 100", "has 12 questions, less than one batch of 100"),
        ("--features-per-box 7", "wanted [boxes, 7]"),
    ],
)
def test_refused(words, tmp_path, change, message, capsys):
    argv = [*words, *change.split(), "--out", str(tmp_path / "run")]
    assert cli.main(argv) == 1
    assert message in capsys.readouterr().err


def test_the_accuracy_is_the_mean_score_of_the_predicted_answers(words):
    command = cli.parse(words)
    assert isinstance(command, Vqa)
    train, test = stream.read(command)
    training = stream.make(command, stream.check(command), train)
    state = stream.init_state(training.ensemble, jax.random.key(0))
    found = stream.evaluate(training.ensemble, state, test, 5)
    whole = next(test.batches(len(test), seed=None, epochs=1, threads=0))
    model = training.ensemble.members["base"].model
    outputs, _ = model.apply(state.params["base"], state.stats["base"], whole.inputs)
    predicted = np.argmax(outputs.logits, -1)
    expected = whole.targets[np.arange(len(test)), predicted].mean()
    assert found == pytest.approx(expected, rel=1e-5)
