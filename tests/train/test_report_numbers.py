"""Intervals, measures and the sentences of the summary."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from tests.train.report_runs import write_run
from train.report import measures
from train.report.html import pack
from train.report.html.findings import findings
from train.report.html.names import named
from train.report.html.record import read
from train.report.html.scores import EXAMPLES, SEEDS, scores
from train.report.statistics import interval


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    root = tmp_path_factory.mktemp("runs")
    return [
        read(write_run(root / f"{loss}-{seed}", loss=loss, seed=seed))
        for loss in ("cross-entropy", "gala")
        for seed in (0, 1, 2)
    ]


def by_title(records):
    groups = named(records)[1]
    return {
        each.title: each for each in findings(records, groups, scores(records, groups))
    }


@pytest.mark.parametrize(("hits", "size"), [(0, 20), (7, 20), (20, 20), (499, 500)])
def test_wilson_is_that_of_scipy(hits, size):
    low, high = measures.wilson(np.array(hits / size), np.array(size))
    known = scipy.stats.binomtest(hits, size).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((known.low, known.high), abs=1e-6)


def test_a_mean_of_one_share_has_its_interval_and_no_error_is_no_certainty():
    shares, counts = np.array([0.35]), np.array([20])
    low, high = measures.wilson(shares, counts)
    found = measures.mean_of_shares(shares, counts)
    assert found == pytest.approx((low[0], high[0]))
    low, high = measures.mean_of_shares(np.ones(100), np.full(100, 5))
    assert 0.9 < low < 0.99 and high == 1
    unknown = measures.mean_of_shares(np.array([np.nan]), np.array([0]))
    assert np.isnan(unknown).all()


def test_intervals_of_means_hold_the_truth():
    random = np.random.default_rng(0)
    truth, size = random.uniform(0.3, 1, 10), np.full(10, 30)
    held = 0
    for _ in range(400):
        low, high = measures.mean_of_shares(random.binomial(size, truth) / size, size)
        held += low <= truth.mean() <= high
    assert 0.92 <= held / 400 <= 0.98


def test_several_seeds_have_t_intervals_and_one_has_examples(records):
    _, groups = named(records)
    found = {(s.group, s.split, s.when, s.metric): s for s in scores(records, groups)}
    score = found[1, "test", "last", "balanced_error"]
    values = [
        100 * run.results["splits"]["test"]["last"]["balanced_error"]
        for run in records[3:]
    ]
    over = interval(np.array(values))
    assert score.kind == SEEDS
    assert (score.value, score.low) == pytest.approx((over.mean, over.low))
    assert not any(key[1] == "train" for key in found)

    _, groups = named(records[:1])
    for one in scores(records[:1], groups):
        if one.metric in ("accuracy", "balanced_error", "many", "few"):
            known = one.split == "test" or one.when == "last"
            assert one.kind == (EXAMPLES if known else "")
        if one.kind:
            assert one.low < one.value < one.high


def test_unevenness_spread_and_correlation():
    assert measures.unevenness(np.array([2.0, 2.0, np.nan])) == 0
    assert measures.unevenness(np.array([1.0, 3.0])) == 0.5
    assert measures.spread(np.array([1.0, 1.0, 1.0])) == 1
    prior = measures.log_prior(np.array([100, 10, 1, 0]))
    assert np.isnan(prior[3])
    assert measures.correlation(prior, -2 * prior) == pytest.approx(-1)
    assert np.isnan(measures.correlation(prior[:2], prior[:2]))


def test_the_summary_is_worked_out(records):
    found = by_title(records)
    error = found["Balanced error, test, last epoch"]
    assert error.sentence.startswith("gala errs least")
    assert "paired over 3 seeds" in error.sentence
    assert "leaves out 0" in error.sentence
    starving = found["Who starves: lowest gradient ratios, first epoch → last"]
    ratio = records[0].statistics["class_gradients"].values["gradient_ratio"][0]
    assert records[0].classes is not None
    rarest = records[0].classes.names[int(np.nanargmin(ratio))]
    assert starving.rows[0][1].startswith(rarest)
    uneven = found["Unevenness of negative gradients"]
    assert "less uneven than cross-entropy" in uneven.sentence


def test_the_summary_turns_with_the_numbers(records):
    """The same runs in the other order, and a gala that got worse."""
    turned = by_title(records[3:] + records[:3])
    error = turned["Balanced error, test, last epoch"]
    assert error.sentence == "gala errs least of all."
    uneven = turned["Unevenness of negative gradients"].sentence
    assert "more uneven than gala" in uneven

    series = records[3].statistics["class_gradients"]
    received = series.values["received"][::-1]
    backwards = series._replace(values={**series.values, "received": received})
    worse = dataclasses.replace(
        records[3], statistics={**records[3].statistics, "class_gradients": backwards}
    )
    sentence = by_title([worse])["Unevenness of negative gradients"].sentence
    assert "in none of the runs" in sentence

    still = series._replace(
        epochs=series.epochs[-1:],
        values={name: values[-1:] for name, values in series.values.items()},
    )
    once = dataclasses.replace(records[3], statistics={"class_gradients": still})
    finding = by_title([once])["Unevenness of negative gradients"]
    assert "epoch" not in finding.sentence and "→" not in finding.rows[0][1]


def test_one_run_has_a_summary_without_comparisons(records):
    for each in by_title(records[:1]).values():
        assert len(each.rows) == 1
        assert "least of all" not in each.sentence


def test_pooling_and_thinning():
    matrix = np.arange(25.0).reshape(5, 5)
    matrix[0, 0] = np.nan
    pooled = pack.pooled(matrix, 2)
    assert pooled.shape == (3, 3)
    assert pooled[0, 0] == pytest.approx((1 + 5 + 6) / 3)
    assert pooled[2, 2] == 24
    assert pack.thinned(100, 5).tolist() == [0, 25, 50, 74, 99]
    assert pack.thinned(3, 40).tolist() == [0, 1, 2]
    assert pack.thinned(1, 40).tolist() == [0]
