"""The demo, small; and the arithmetic behind its verdicts."""

import dataclasses
import json
import types
from typing import Any

import numpy as np
import pytest

from train import commands, demo
from train.experiments import shortcut
from train.experiments.panel import Claim, Panel
from train.report.statistics import Interval, Row, interval, paired
from train.report.table import render
from train.sweep import Sweep


def test_the_interval_is_students():
    # t(0.975, 4 degrees of freedom) = 2.776; the standard error of 1 .. 5 is 0.7071
    mean, half = interval(np.array([1.0, 2.0, 3.0, 4.0, 5.0]))
    assert mean == 3
    assert half == pytest.approx(2.776 * 0.7071, abs=1e-3)


def test_pairing_takes_what_seeds_share_out():
    base = np.array([10.0, 50.0, 90.0])
    assert paired(base + 1, base) == pytest.approx((1, 0))
    with pytest.raises(ValueError, match="two values"):
        interval(np.array([1.0]))


@pytest.mark.parametrize(
    ("difference", "holds", "words"),
    [
        (Interval(2.0, 1.0), True, "holds"),
        (Interval(2.0, 2.5), False, "DOES NOT HOLD here: the interval contains 0"),
        (Interval(-2.0, 1.0), False, "DOES NOT HOLD, the opposite does"),
    ],
)
def test_a_claim_holds_when_its_interval_is_above_zero(difference, holds, words):
    claim = Claim("a beats b", difference)
    assert claim.holds == holds
    assert str(claim).endswith(words)


def test_the_table_shows_paired_differences_to_the_first_row():
    rows = tuple(
        Row(name, {"error": np.array(values)}, 0.1)
        for name, values in {"ce": [10.0, 20.0], "la": [8.0, 18.0]}.items()
    )
    panel = Panel("p", "Title", "setting", ("error",), rows, (), lambda axes: None)
    first, second = render(panel).splitlines()[-2:]
    assert first.split() == ["ce", "15.0", "±", "63.5", "0.1"]
    assert second.split() == ["la", "13.0", "±", "63.5", "-2.0", "±", "0.0", "0.1"]


def test_the_learning_rate_is_chosen_on_validation_after_the_last_epoch():
    # [rates, seeds, n, classes]; the score is the single number in there
    last = np.array([[1.0, 2.0], [5.0, 1.0], [np.nan, 9.0]])[..., None, None]
    dataset: Any = types.SimpleNamespace(validation=None)
    sweep = Sweep((0.1, 0.2, 0.3), (dataset,) * 2, {}, {"validation": last}, {}, last)

    def score(logits, split, seed):
        return float(logits[0, 0])

    assert sweep.choose(score) == 1  # 1.5, 3 and NaN, which never wins
    assert sweep.choose(score, among=(0.1,)) == 0


@pytest.mark.slow
def test_the_demo_end_to_end(tmp_path, data_dir, capsys):
    def small(job):
        if isinstance(job, shortcut.Methods):
            task = dataclasses.replace(job.task, widths=(16,))
            options = dataclasses.replace(job.options, epochs=2, bias_epochs=2)
            return dataclasses.replace(job, task=task, options=options, seeds=2)
        options = dataclasses.replace(job.options, epochs=2, widths=(16,))
        return dataclasses.replace(job, options=options, seeds=2)

    experiments = [
        dataclasses.replace(each, jobs=tuple(map(small, each.jobs)))
        for each in demo.EXPERIMENTS
    ]
    demo.main(commands.Demo(tmp_path, data_dir), experiments)
    printed = capsys.readouterr().out
    panels = json.loads((tmp_path / "results.json").read_text())
    assert [panel["name"] for panel in panels] == [e.name for e in experiments]
    for panel in panels:
        assert panel["title"] in printed
        assert (tmp_path / f"{panel['name']}.png").stat().st_size > 10_000
        assert all(claim["text"] in printed for claim in panel["claims"])
        for row in panel["rows"]:
            assert all(len(values) == 2 for values in row["values"].values())
    long_tail = panels[0]["rows"][0]["values"]
    assert all(0 <= value <= 100 for value in long_tail["balanced error"])
    # Two epochs on 290 images: chance is 90 %, and something is learned.
    assert np.mean(long_tail["balanced error"]) < 85
    assert (tmp_path / "demo.png").exists()
    assert (tmp_path / "table.txt").read_text().strip() in printed
