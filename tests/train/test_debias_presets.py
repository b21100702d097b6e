"""`compare --preset` end to end, small: tables, figures, and what they are made of."""

import json

import numpy as np
import pytest

from train import cli, data
from train.commands import Compare
from train.data.vqa import changing_priors
from train.debias import compare
from train.debias.images import Images
from train.debias.presets import CEILING, preset_of
from train.report.statistics import paired


def read(folder, name):
    return json.loads((folder / name).read_text())


@pytest.fixture(scope="module")
def colours(tmp_path_factory, data_dir):
    folder = tmp_path_factory.mktemp("colours")
    words = "compare --preset coloured_digits_debias --methods erm gge --seeds 2"
    words += " --epochs 3 --widths 16 --learning-rates 0.003"
    assert cli.main([*words.split(), "--data-dir", data_dir, "--out", str(folder)]) == 0
    return folder


@pytest.mark.slow
def test_the_folder_of_a_preset(colours):
    names = {path.name for path in colours.iterdir() if "tfevents" not in path.name}
    figures = {"shares.png", "comparison.png", "push.png"}
    texts = {"config.json", "metrics.jsonl", "status.json", "table.txt", "results.json"}
    assert names == figures | texts
    assert all((colours / name).stat().st_size > 10_000 for name in figures)
    text = (colours / "metrics.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    assert len(lines) == 3 * 2 * 3  # with the ceiling
    for line in lines:
        assert 0 <= line["loss_of_conflicting"] <= line["loss/base"]
        assert 0 <= line["unbiased"] <= 1


@pytest.mark.slow
def test_rows_and_claims_fit_the_numbers(colours, data_dir):
    results = read(colours, "results.json")
    rows = {row["name"]: row for row in results["rows"]}
    assert [*rows] == ["erm", "gge", CEILING]
    by_seed = {name: np.array(row["unbiased"]["seeds"]) for name, row in rows.items()}
    expected = paired(by_seed["gge"], by_seed["erm"])
    assert rows["gge"]["unbiased"]["difference"] == pytest.approx(expected._asdict())
    (claim,) = results["claims"]
    assert claim["difference"] == pytest.approx(expected._asdict())
    printed = (colours / "table.txt").read_text()
    assert f"{expected.signed}" in printed and claim["text"] in printed
    # The conflicting examples are part of the unbiased ones.
    for seed in range(2):
        dataset = data.load(data.Digits(data_dir), data.ColouredBackground(0.95), seed)
        split = dataset.tests["unbiased"]
        share = np.mean(split.group != split.label)
        conflicting = rows["erm"]["conflicting"]["seeds"][seed]
        low, high = share * conflicting, share * conflicting + 100 * (1 - share)
        assert low - 1e-6 <= by_seed["erm"][seed] <= high + 1e-6


@pytest.mark.slow
def test_questions_end_to_end(tmp_path, monkeypatch):
    small = {
        name: split._replace(size=400 if name == "train" else 200)
        for name, split in changing_priors.SPLITS.items()
    }
    monkeypatch.setattr(changing_priors, "SPLITS", small)
    words = "compare --preset vqa_debias --methods base q-softmax --seeds 2 --epochs 1"
    places = ["--data-dir", str(tmp_path / "data"), "--out", str(tmp_path / "out")]
    assert cli.main([*words.split(), *places]) == 0
    results = read(tmp_path / "out", "results.json")
    columns = {"reversed", "same (in-distribution)", "uniform", "reversed, conflicting"}
    for row in results["rows"]:
        assert columns <= row.keys()
        assert all(0 <= v <= 100 for column in columns for v in row[column]["seeds"])
    assert (tmp_path / "out" / "attention.png").stat().st_size > 5_000


def test_words_replace_the_presets_own():
    words = "compare --preset biased_mnist_debias coloured-background --correlation "
    command = cli.parse([*words.split(), "0.999", "--confusing", "2"])
    assert isinstance(command, Compare)
    preset = preset_of(command)
    assert isinstance(preset.task, Images)
    assert preset.task.source == data.Tfds("mnist")
    assert preset.task.corruption == data.ColouredBackground(0.999, 2, "biased-mnist")
    plain = cli.parse(["compare", "--preset", "biased_mnist_debias"])
    assert isinstance(plain, Compare)
    task = preset_of(plain).task
    assert isinstance(task, Images)
    assert task.corruption == data.ColouredBackground(0.997, palette="biased-mnist")


def test_the_claims_are_about_methods_and_columns_that_there_are():
    for name in ("coloured_digits_debias", "vqa_debias"):
        command = cli.parse(["compare", "--preset", name])
        assert isinstance(command, Compare)
        preset = preset_of(command)
        methods = compare.chosen_methods(preset, ())
        assert {c.better for c in preset.claims} | {c.worse for c in preset.claims} <= {
            *methods
        }
        assert {c.column for c in preset.claims} <= {*preset.columns}
        assert {*preset.shown} <= {*methods}
