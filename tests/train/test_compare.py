"""`compare` end to end, and what is left when it ends early."""

import json

import numpy as np
import pytest

from train import cli, compare, config
from train.commands import Compare, SweptFit, task_of
from train.report.statistics import interval, paired


def read(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def compared(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("compare")
    words = "compare --losses cross-entropy focal --seeds 2 --epochs 6"
    words += " --learning-rates 0.001 0.3 --widths 32 long-tail --imbalance 20"
    argv = [*words.split(), "--data-dir", data_dir, "--out", str(folder)]
    assert cli.main(argv) == 0
    return folder


def test_the_folder(compared):
    names = {path.name for path in compared.iterdir() if "tfevents" not in path.name}
    assert names == {
        "config.json",
        "metrics.jsonl",
        "status.json",
        "table.txt",
        "results.json",
        "comparison.png",
    }
    assert read(compared, "status.json")["status"] == "finished"
    chosen = read(compared, "config.json")["chosen"]
    assert chosen["losses"] == ["cross-entropy", "focal"]


def test_every_training_has_its_lines(compared):
    text = (compared / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    jobs = {(x["method"], x["learning_rate"], x["seed"], x["epoch"]) for x in lines}
    assert len(jobs) == len(lines) == 2 * 2 * 2 * 6


def test_rows_keep_the_order_and_the_numbers_fit_together(compared):
    results = read(compared, "results.json")
    rows = results["rows"]
    assert [row["name"] for row in rows] == ["cross-entropy", "focal"]
    first, other = (row["test, balanced error, last"] for row in rows)
    seeds = np.array(other["seeds"])
    assert np.all((seeds > 0) & (seeds < 60))
    assert other["interval"] == pytest.approx(interval(seeds)._asdict())
    difference = paired(seeds, np.array(first["seeds"]))
    assert other["difference"] == pytest.approx(difference._asdict())
    assert "difference" not in first
    # At 0.001 six epochs teach nothing: the choice is made on validation.
    assert {row["learning_rate"] for row in rows} == {0.3}


def test_the_table_says_how_the_rate_was_chosen(compared):
    table = (compared / "table.txt").read_text()
    assert "rate: of 0.001, 0.3, chosen per loss" in table
    assert "on validation at the last epoch" in table
    assert "minus cross-entropy" in table
    assert "focal: its rate is at the end of those tried" in table


def test_every_test_split_has_its_part(tmp_path, data_dir):
    words = "compare --losses focal --seeds 2 --epochs 1 --widths 8"
    words += " --learning-rates 0.1 coloured-background"
    argv = [*words.split(), "--data-dir", data_dir, "--out", str(tmp_path)]
    assert cli.main(argv) == 0
    (row,) = read(tmp_path, "results.json")["rows"]
    columns = {name.split(",")[0] for name in row} - {"name", "learning_rate"}
    assert columns == {"test", "unbiased"}


@pytest.fixture(scope="module")
def one_sweep(data_dir):
    command = Compare(
        losses=("gala",),
        seeds=2,
        learning_rates=(0.1,),
        fit=SweptFit(widths=(8,), epochs=1),
        data_dir=data_dir,
    )
    losses = {"gala": config.Gala()}
    return list(compare._sweeps(task_of(command), losses, command))


@pytest.mark.parametrize(
    ("error", "code", "status"),
    [(KeyboardInterrupt, 130, "interrupted"), (RuntimeError, 1, "failed")],
)
def test_an_early_end_keeps_what_there_is(
    tmp_path, data_dir, monkeypatch, capsys, one_sweep, error, code, status
):
    def halfway(*_):
        yield from one_sweep
        raise error("no more")

    monkeypatch.setattr(compare, "_sweeps", halfway)
    argv = "compare --losses cross-entropy gala --seeds 2".split()
    argv += ["--data-dir", data_dir, "--out", str(tmp_path)]
    assert cli.main(argv) == code
    assert read(tmp_path, "status.json")["status"] == status
    results = read(tmp_path, "results.json")
    assert [row["name"] for row in results["rows"]] == ["gala"]
    assert results["reference"] is None
    if code == 130:
        assert f"{tmp_path} holds 1 of 2 losses" in capsys.readouterr().err
