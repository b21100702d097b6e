"""`run` and `compare` end to end: what the folder holds, and how each can end."""

import json
import pathlib
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from train import cli, config, data, loop
from train.fit import fit
from train.report.text import describe

ROOT = pathlib.Path(__file__).parents[2]


def lines(folder):
    text = (folder / "metrics.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def read(folder, name):
    return json.loads((folder / name).read_text())


def files(folder):
    return {path.name for path in folder.iterdir() if "tfevents" not in path.name}


@pytest.fixture(scope="module")
def clean_run(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("runs") / "clean"
    argv = ["run", "--epochs", "8", "clean", "--out", str(folder)]
    argv += ["--data-dir", data_dir]
    assert cli.main(argv) == 0
    return folder, argv


def test_a_run_leaves_everything_it_promises(clean_run):
    folder, argv = clean_run
    assert files(folder) == {
        "config.json",
        "metrics.jsonl",
        "status.json",
        "table.txt",
        "results.json",
        "classes.json",
        "curves.png",
        "last.npz",
        "best.npz",
    }
    assert len(list(folder.glob("events.out.tfevents.*"))) == 1
    chosen = read(folder, "config.json")
    assert chosen["command"].split()[3:] == argv
    assert chosen["chosen"]["corruption"] == {"kind": "clean"}
    assert chosen["chosen"]["fit"]["optimizer"]["learning_rate"] == 0.1
    assert chosen["data"]["sizes"] == {"train": 1085, "validation": 357, "test": 355}
    assert chosen["versions"]["jax"] == jax.__version__
    assert read(folder, "status.json")["status"] == "finished"
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_clean_digits_are_learnt_in_a_few_epochs(clean_run):
    folder, _ = clean_run
    assert [line["epoch"] for line in lines(folder)] == list(range(1, 9))
    results = read(folder, "results.json")
    test = results["splits"]["test"]
    assert test["last"]["accuracy"] > 0.9
    assert test["last"]["balanced_error"] < 0.1
    assert 0 < test["last"]["expected_calibration_error"] < 0.2
    assert "many" not in test["last"]
    best = results["best_epoch"]
    validation = [line["balanced_accuracy"]["validation"] for line in lines(folder)]
    assert best == 1 + int(np.argmax(validation))
    measured = results["splits"]["validation"]["best"]["balanced_error"]
    assert measured == pytest.approx(1 - max(validation), abs=1e-6)
    assert lines(folder)[-1]["negative_log_likelihood"]["test"] == pytest.approx(
        test["last"]["negative_log_likelihood"], abs=1e-5
    )


def test_checkpoints_have_names_and_are_those_of_the_table(clean_run, data_dir):
    folder, _ = clean_run
    with np.load(folder / "last.npz") as arrays:
        p = dict(arrays)
    assert {name: array.shape for name, array in p.items()} == {
        "params/layers/0/kernel": (64, 128),
        "params/layers/0/bias": (128,),
        "params/layers/1/kernel": (128, 10),
        "params/layers/1/bias": (10,),
    }
    test = data.load(data.Digits(data_dir), data.Clean(), 0).tests["test"]
    hidden = test.image.reshape(-1, 64) @ p["params/layers/0/kernel"]
    hidden = np.maximum(hidden + p["params/layers/0/bias"], 0)
    logits = hidden @ p["params/layers/1/kernel"] + p["params/layers/1/bias"]
    accuracy = np.mean(logits.argmax(-1) == test.label)
    expected = read(folder, "results.json")["splits"]["test"]["last"]["accuracy"]
    assert accuracy == pytest.approx(expected, abs=1e-6)


def test_the_same_seed_gives_the_same_bytes(clean_run, tmp_path):
    folder, argv = clean_run
    again = [str(tmp_path) if word == str(folder) else word for word in argv]
    assert cli.main(again) == 0
    one, other = (path / "metrics.jsonl" for path in (folder, tmp_path))
    assert one.read_bytes() == other.read_bytes()


LOSSES = [config.TruncatedGce(), config.Ldam()]


@pytest.mark.parametrize("loss", LOSSES, ids=config.name_of)
def test_the_loop_computes_what_fit_computes(loss, data_dir):
    source, seed = data.Digits(data_dir), 3
    dataset = data.load(source, data.ColouredBackground(), seed)
    options = config.Fit(widths=(16,), epochs=6, batch_size=128)
    key = jax.random.fold_in(jax.random.key(0), seed)
    # Compiled with the data as constants: not the same program.
    fitted = jax.jit(lambda key: fit(loss, options, dataset, key))(key)

    training = loop.compiled(loss, options, dataset, seed)
    progress, history = training.begin(), []
    for _ in range(options.epochs):
        progress, numbers = training.advance(progress)
        history.append(numbers)
    for name, values in fitted.history.items():
        stepped = [numbers[name] for numbers in history]
        np.testing.assert_allclose(stepped, values, rtol=2e-5, atol=1e-5)
    assert progress.best_epoch == fitted.best_epoch
    logits = training.logits(progress.state.params, progress.state.stats)
    np.testing.assert_allclose(logits["test"], fitted.last["test"], atol=1e-4)


def test_a_long_tail_adds_the_shots(tmp_path, data_dir, capsys):
    argv = ["run", "--epochs", "2", "gala", "--many", "50", "--data-dir", data_dir]
    assert cli.main([*argv, "--out", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "training images per class: 105, 67, 44, 28, 18, 11, 7, 5, 3, 2" in out
    assert "epoch 1/2: loss" in out
    assert "> 50 / between / < 10" in out
    last = read(tmp_path, "results.json")["splits"]["test"]["last"]
    recall = 2 * last["many"] + 4 * last["medium"] + 4 * last["few"]
    assert recall / 10 == pytest.approx(1 - last["balanced_error"], abs=1e-6)


@pytest.mark.parametrize(
    ("corruption", "words"),
    [
        (data.SymmetricNoise(), "wrong labels: train 40.6 %, validation 36.4 %"),
        (data.ColouredBackground(), "colour of the class: train 95.4 %"),
        (data.Clean(), "images: train 1085, validation 357, test 355"),
    ],
)
def test_the_data_are_described_as_they_came_out(corruption, words, data_dir):
    facts = data.load(data.Digits(data_dir), corruption, 0).facts
    assert words in describe(facts)
    wrong = isinstance(corruption, data.SymmetricNoise)
    assert ("wrong labels" in describe(facts)) == wrong


def test_a_loss_that_is_no_number_stops_the_run(tmp_path, data_dir, capsys):
    argv = ["run", "--learning-rate", "1e9", "--out", str(tmp_path)]
    assert cli.main([*argv, "--data-dir", data_dir]) == 1
    message = capsys.readouterr().err
    for words in ("is nan in epoch 1", "learning rate 1e+09", "--warmup"):
        assert words in message
    status = read(tmp_path, "status.json")
    assert status["status"] == "failed"
    assert status["reason"] in message
    assert lines(tmp_path)[0]["loss"] is None
    assert "curves.png" in files(tmp_path)


def test_ctrl_c_leaves_a_readable_folder(tmp_path, data_dir):
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "train", "run", "--epochs", "1000000"]
    command += ["clean", "--data-dir", data_dir, "--out", str(folder)]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    # A file that the folder holds once an epoch is over; the pipes stay small.
    metrics = folder / "metrics.jsonl"
    while process.poll() is None and not (metrics.exists() and metrics.stat().st_size):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, out + err
    assert str(folder) in err
    assert len(err.splitlines()) == 1
    done = lines(folder)
    assert [line["epoch"] for line in done] == list(range(1, len(done) + 1))
    status = read(folder, "status.json")
    assert status["status"] == "interrupted"
    assert f"up to epoch {len(done)}" in status["reason"]
    assert {"curves.png", "table.txt", "results.json", "last.npz"} <= files(folder)


def test_ctrl_c_before_the_first_epoch(tmp_path, data_dir, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "_train", interrupted)
    argv = ["run", "--out", str(tmp_path), "--data-dir", data_dir]
    assert cli.main(argv) == 130
    assert "interrupted" in capsys.readouterr().err
    assert read(tmp_path, "status.json")["status"] == "interrupted"
