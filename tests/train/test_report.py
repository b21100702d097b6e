"""Reading run folders and building the page, without a browser."""

import dataclasses
import json
import re

import numpy as np
import pytest

from tests.train.report_runs import decoded, page_data, write_run
from train import cli
from train.report.html.names import named
from train.report.html.page import build
from train.report.html.record import RunRecord, read
from train.report.html.series import read_statistics

NASTY = "</script><!-- <b>&amp;\u2028 " + "x" * 60


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return [
        write_run(root / f"{loss}-{seed}", loss=loss, seed=seed)
        for loss in ("cross-entropy", "gala")
        for seed in (0, 1)
    ]


@pytest.fixture(scope="module")
def records(folders):
    return [read(folder) for folder in folders]


def without_library(page):
    return re.sub(r'(id="library">)[^<]*', r"\1", page)


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def test_a_folder_is_read_as_it_was_written(folders, records):
    record = records[0]
    assert record.gaps == ()
    assert record.classes is not None and record.classes.names[:2] == ("cat", "dog")
    lines = (folders[0] / "statistics.jsonl").read_text().splitlines()
    gradients = record.statistics["class_gradients"]
    np.testing.assert_array_equal(gradients.epochs, range(1, 9))
    written = json.loads(lines[2])["class_gradients"]["received"]
    np.testing.assert_array_equal(gradients.values["received"][2], written)
    assert np.isnan(gradients.values["gradient_ratio"][0, -1])  # a null
    assert record.statistics["log_odds"].values["counts"].shape == (8, 3, 40)
    assert record.class_matrix is not None and record.class_matrix.shape == (10, 10)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("config.json", None, "has no config.json"),
        ("config.json", "{", "config.json is no JSON"),
        ("config.json", '{"chosen": {"kind": "compare"}}', "is of `compare`"),
        ("metrics.jsonl", "nonsense\n{}\n", "metrics.jsonl:1 is no JSON"),
        ("metrics.jsonl", '{"loss": 1}\n', "metrics.jsonl:1 has no epoch"),
        ("classes.json", '{"class_names": ["a"]}', "has no 'train_counts'"),
        (
            "classes.json",
            '{"class_names": ["a"], "train_counts": [1, 2]}',
            "(2,) values for 1 classes",
        ),
        (
            "statistics.jsonl",
            '{"epoch": 1, "class_gradients": {"positive": [1, 2]}}\n',
            "statistics.jsonl:1: class_gradients, positive: shape (2,), expected (10,)",
        ),
        ("statistics.npz", "no archive", "statistics.npz cannot be read"),
    ],
)
def test_what_makes_no_sense_is_an_error_with_its_place(
    tmp_path, capsys, name, content, message
):
    folder = write_run(tmp_path / "run")
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_text(content)
    assert cli.main(["report", str(folder)]) == 1
    assert message in capsys.readouterr().err
    assert not (folder / "report.html").exists()


def test_no_folder_no_run_and_the_same_twice(tmp_path, capsys):
    folder = write_run(tmp_path / "run")
    for argv, message in (
        (["report"], "no run to report on"),
        (["report", str(tmp_path / "none")], "is no folder"),
        (["report", str(folder), str(folder)], "named twice"),
    ):
        assert cli.main(argv) == 1
        assert message in capsys.readouterr().err


def test_statistics_without_classes_and_with_gaps():
    lines = [
        {"epoch": 1, "class_vectors": {"norm": [1, 2, None]}, "unknown": 3},
        {"epoch": 2},
        {"epoch": 3, "class_vectors": {"norm": [1, 2, 3], "alignment": [0, 0, 0]}},
    ]
    found = read_statistics(lines, "here")
    assert [*found] == ["class_vectors"]
    assert found["class_vectors"].epochs.tolist() == [1, 3]
    assert [*found["class_vectors"].values] == ["norm"]
    with pytest.raises(ValueError, match=r"here:2: .* shape \(2,\), expected \(3,\)"):
        read_statistics(
            [lines[0], {"epoch": 2, "class_vectors": {"norm": [1, 2]}}], "here"
        )


def test_the_report_goes_beside_one_run_and_replaces_the_last(
    tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    one = write_run(tmp_path / "one")
    other = write_run(tmp_path / "other", loss="gala", statistics=False)
    (one / "report.html").write_text("old")
    assert cli.main(["report", "one"]) == 0
    assert (one / "report.html").read_text().startswith("<!DOCTYPE html>")
    assert cli.main(["report", "one", "other"]) == 0
    assert "other: no statistics.jsonl" in capsys.readouterr().out
    assert "gala" in (tmp_path / "report.html").read_text()
    assert not (other / "report.html").exists()
    assert cli.main(["report", "one", "--out", "deep/er/x.html"]) == 0
    assert (tmp_path / "deep/er/x.html").exists()


def test_an_unfinished_run_says_so(tmp_path):
    folder = write_run(tmp_path / "run", status="running")
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 9, "lo')
    (folder / "results.json").unlink()
    page = build([read(folder)])
    assert "still running, or killed" in page
    assert "last line was not written to its end" in page
    assert "accuracy is unknown" in page


def test_a_page_without_statistics_shows_the_rest(tmp_path):
    page = build([read(write_run(tmp_path / "run", statistics=False))])
    assert "trained without probes" in page
    assert 'data-chart="curves"' in page
    assert 'data-chart="matrix"' not in page
    assert "No run has the numbers for this figure." in page


def test_a_training_with_probes_fills_every_figure(tmp_path, data_dir):
    """What `run` writes is what the report reads, down to the names."""
    folder = tmp_path / "run"
    words = "run --epochs 2 --widths 8 --probes all long-tail --data-dir"
    assert cli.main([*words.split(), data_dir, "--out", str(folder)]) == 0
    record = read(folder)
    assert record.gaps == ()
    page = build([record])
    assert "No run has the numbers" not in page
    (run,) = page_data(page)["runs"]
    assert all(run[key] for key in run if key not in ("group", "classes"))
    assert {"count", "share"} <= run["shares"]["class size"].keys()


def test_statistics_alone_are_enough():
    gradients = {"positive": [1.0, 2.0, 0.0], "received": [2.0, 1.0, 1.0]}
    lines = [{"epoch": 1, "class_gradients": gradients}]
    record = RunRecord(
        "analysis.npz",
        statistics=read_statistics(lines, "analysis.npz"),
        class_matrix=np.eye(3),
    )
    page = build([record])
    assert "<h1>analysis.npz</h1>" in page
    assert 'data-chart="gradients"' in page and 'data-chart="matrix"' in page
    assert 'data-chart="curves"' not in page


def test_names_say_what_differs(records):
    names, groups = named(records)
    assert names[0] == "cross-entropy, seed 0" and names[3] == "gala, seed 1"
    assert [(group.name, group.members) for group in groups] == [
        ("cross-entropy", (0, 1)),
        ("gala", (2, 3)),
    ]
    assert named(records[::2])[0] == ["cross-entropy", "gala"]
    config = json.loads(json.dumps(records[2].config))
    config["chosen"]["loss"]["lambda1"] = 1.5
    other = dataclasses.replace(records[2], config=config)
    assert named([records[2], other])[0] == ["gala, lambda1 1", "gala, lambda1 1.5"]
    twice, _ = named(
        [records[0], records[0], dataclasses.replace(records[0], name="b")]
    )
    assert len({*twice}) == 3


def test_half_a_training_is_no_seed(records):
    half = dataclasses.replace(records[1], status={"status": "interrupted"})
    names, groups = named([records[0], half])
    assert [group.members for group in groups] == [(0,), (1,)]
    assert names[1] == "cross-entropy, unfinished, seed 1"


def test_arrays_survive_the_way_into_the_page(records):
    data = page_data(build(records))
    run = data["runs"][0]
    gradients = records[0].statistics["class_gradients"]
    packed = decoded(run["gradients"]["gradient_ratio"])
    np.testing.assert_allclose(packed, gradients.values["gradient_ratio"], rtol=1e-3)
    alignment = records[0].statistics["class_vectors"].values["alignment"]
    np.testing.assert_allclose(
        decoded(run["vectors"]["alignment"]), alignment, atol=1e-4
    )
    matrix = decoded(run["matrix"]["values"])
    np.testing.assert_allclose(matrix, records[0].class_matrix, rtol=0.05)


def test_classes_come_by_frequency(tmp_path):
    folder = write_run(tmp_path / "run")

    def rare_first(found):
        found["train_counts"].reverse()

    edit(folder / "classes.json", rare_first)
    record = read(folder)
    data = page_data(build([record]))
    assert data["class_sets"][0]["names"][0] == "eel"
    counts = data["class_sets"][0]["counts"]
    assert counts == sorted(counts, reverse=True)
    assert record.class_matrix is not None
    matrix = decoded(data["runs"][0]["matrix"]["values"])
    np.testing.assert_allclose(matrix, record.class_matrix[::-1, ::-1], rtol=0.05)


def test_names_of_classes_cannot_end_the_script(tmp_path):
    names = [NASTY, *"bcdefghij"]
    page = build([read(write_run(tmp_path / "run", names=names))])
    assert page_data(page)["class_sets"][0]["names"][0] == NASTY
    assert page.count("</script>") == 3
    assert "<!--" not in page
    assert "<b>&amp;" not in page


def test_nothing_is_loaded_from_anywhere(records):
    page = without_library(build(records))
    assert not re.search(r"https?:|//[a-z0-9-]+\.[a-z]", page)
    assert not re.search(r"<(link|iframe|img|object|embed)\b|@import|url\(", page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize("runs", [2, 5])
def test_a_thousand_classes_stay_below_6_mb(tmp_path, runs):
    made = [
        read(write_run(tmp_path / str(i), classes=1000, epochs=50, seed=i))
        for i in range(runs)
    ]
    page = build(made)
    assert len(page.encode()) < 6e6
    block = page_data(page)["runs"][0]["matrix"]["block"]
    assert block == (1 if runs == 2 else 2)


def test_different_classes_are_pointed_out(tmp_path, records):
    other = read(write_run(tmp_path / "other", classes=30, loss="focal"))
    assert "The runs have different classes" in build([records[0], other])
    assert "The runs have different classes" not in build(records)


def test_help_of_the_command(capsys):
    with pytest.raises(SystemExit):
        cli.parse(["report", "--help"])
    text = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert "Folders that `run` wrote" in text and "when unset report.html" in text
