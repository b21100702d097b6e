"""The matplotlib figures of gradients: what is drawn is what was given."""

import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.style import context

from train.report import distributions, figures, gradients

COUNTS = np.array([5, 500, 50])


@pytest.fixture
def axes():
    with context(figures.STYLE):
        figure = Figure()
        yield figure.subplots()
        figure.draw_without_rendering()  # what draws late fails here


def test_classes_come_by_frequency(axes):
    values = {"one": np.array([0.1, 10.0, 1.0]), "other": np.ones(3)}
    gradients.class_values(axes, values, COUNTS, names=["rare", "often", "some"])
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [10, 1, 0.1])
    assert [text.get_text() for text in axes.get_xticklabels()] == [
        "often",
        "some",
        "rare",
    ]
    assert axes.get_yscale() == "log"


def test_many_classes_have_ranks_for_names(axes):
    names = [str(i) for i in range(1000)]
    values = {"one": np.ones(1000)}
    gradients.class_values(axes, values, np.arange(1000), names=names)
    assert axes.get_xlabel().startswith("rank")


def test_the_matrix_is_sorted_both_ways_and_leaves_zeros_out(axes):
    matrix = np.arange(9.0).reshape(3, 3)
    gradients.class_matrix(axes, matrix, COUNTS, names=["rare", "often", "some"])
    drawn = axes.images[0].get_array()
    np.testing.assert_array_equal(drawn[0], [4, 5, 3])
    assert drawn.mask.sum() == 1 and drawn.mask[2, 2]
    assert axes.get_yticklabels()[0].get_text() == "often"


def test_a_matrix_of_zeros_is_no_error(axes):
    gradients.class_matrix(axes, np.zeros((3, 3)), COUNTS)
    assert axes.images[0].get_array().mask.all()


def test_norms_have_their_correlation(axes):
    norms = {"one": np.log(COUNTS), "other": -np.log(COUNTS)}
    gradients.norm_against_prior(axes, norms, COUNTS)
    labels = [text.get_text() for text in axes.get_legend().get_texts()]
    assert labels == ["one, r = 1.00", "other, r = -1.00"]


def test_shares_have_the_level_of_the_examples(axes):
    epochs, share = np.arange(1, 4), {"noisy": np.array([0.2, 0.4, 0.6])}
    gradients.gradient_share(axes, epochs, share, of_examples={"noisy": 0.2})
    curve, level = axes.lines
    np.testing.assert_allclose(curve.get_ydata(), [20, 40, 60])
    assert level.get_ydata()[0] == pytest.approx(20)


def test_each_group_is_a_share_of_itself(axes):
    groups = {"many": np.array([30, 10]), "few": np.array([0, 2]), "none": np.zeros(2)}
    distributions.log_odds(axes, np.array([-1.0, 0.0, 1.0]), groups)
    heights = [patch.get_data().values.tolist() for patch in axes.patches[::2]]
    assert heights == [[75, 25], [0, 100], [0, 0]]
    assert axes.get_xlim() == (-1, 1)


def test_reliability_leaves_empty_bins_out():
    bins = {
        "confidence": np.array([np.nan, 0.75]),
        "accuracy": np.array([np.nan, 0.5]),
        "count": np.array([0, 8]),
    }
    figure = Figure()
    above, below = figure.subplots(2)
    distributions.reliability(above, {"one": bins, "other": bins}, below=below)
    assert above.lines[1].get_xydata().tolist() == [[0.75, 0.5]]
    assert [bar.get_height() for bar in below.patches] == [0, 8, 0, 8]
    middles = [bar.get_x() + bar.get_width() / 2 for bar in below.patches]
    assert all(0.5 < middle < 1 for middle in middles[1::2])
    assert len({*middles}) == 4
    figure.draw_without_rendering()


def test_neither_figures_nor_the_report_import_jax():
    code = (
        "import sys, train.report.gradients, train.report.distributions\n"
        "import train.report.html.command\n"
        "print([name for name in ('jax', 'jaxloss') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
