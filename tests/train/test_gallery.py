"""The gallery: every loss is in it, the numbers are right, the files are what they
should be."""

import functools
import inspect
import xml.etree.ElementTree as ElementTree

import jax
import numpy as np
import pytest
from matplotlib.figure import Figure

import jaxloss
from train import cli, commands, gallery
from train.report import gallery as drawing
from train.report.labels import Named, label_lines

NOT_DRAWN = {
    "label_log_odds": "no loss: the u that all are drawn over",
    "analyze": "no loss: it takes one",
    "greedy_ensemble": "several losses, drawn as `greedy_gradient`",
}
ENTRIES = {entry.name: entry for entries in gallery.TABLE.values() for entry in entries}


def losses():
    for name, value in vars(jaxloss).items():
        if inspect.isfunction(value) and not name.startswith("_"):
            if [*inspect.signature(value).parameters][1:2] in (["labels"], ["targets"]):
                yield name


def line(name, caption=""):
    panel = gallery.measure(ENTRIES[name])
    return next(each for each in panel.lines if each.caption == caption)


@pytest.fixture(scope="module")
def out(tmp_path_factory):
    """Of the first loss of each family: compiling and drawing all takes a minute."""
    folder = tmp_path_factory.mktemp("gallery") / "new"
    with pytest.MonkeyPatch.context() as patch:
        first = {title: entries[:1] for title, entries in gallery.TABLE.items()}
        patch.setattr(gallery, "TABLE", first)
        assert cli.main(["gallery", "--out", str(folder)]) == 0
    return folder


DRAWN = [entries[0].name for entries in gallery.TABLE.values()]


def test_every_loss_is_drawn_once():
    assert {*losses()} == ENTRIES.keys() | NOT_DRAWN.keys()
    assert len(ENTRIES) == sum(map(len, gallery.TABLE.values()))
    assert not ENTRIES.keys() & NOT_DRAWN.keys()


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_entry_has_words_and_few_settings_with_captions(entry):
    assert 0 < len(entry.words) <= 80  # two lines of its panel
    assert not entry.words.endswith(".")
    captions = [setting.caption for setting in entry.settings]
    assert len({*captions}) == len(captions) <= 4
    assert captions == [""] or all(captions)


@pytest.mark.parametrize("entry", ENTRIES.values(), ids=ENTRIES)
def test_an_entry_can_be_called_at_its_settings(entry, monkeypatch):
    calls, function = [], gallery.values_and_gradients

    def traced_only(loss, static, traced, logits, answer):
        call = functools.partial(function, loss, static)
        calls.append(jax.eval_shape(call, traced, logits, answer))
        return [np.zeros(each.shape) for each in calls[-1]]

    monkeypatch.setattr(gallery, "values_and_gradients", traced_only)
    panel = gallery.measure(entry)
    assert [line.caption for line in panel.lines] == [s.caption for s in entry.settings]
    logits = 1 if entry.is_sigmoid else 3
    shapes = [tuple(each.shape for each in call) for call in calls]
    assert {*shapes} == {((gallery.POINTS,), (gallery.POINTS, logits))}


def test_the_command_writes_a_page_and_a_figure_per_loss(out):
    figures = {"gallery.svg", "gallery.png", "greedy_push.svg"}
    figures |= {f"{name}.svg" for name in DRAWN}
    assert {path.name for path in out.iterdir()} == figures | {"README.md"}
    page = (out / "README.md").read_text()
    assert all(f"({name})" in page for name in figures - {"gallery.png"})


def test_the_figures_are_small_well_formed_and_fetch_nothing(out):
    for path in out.glob("*.svg"):
        root = ElementTree.parse(path).getroot()
        assert root.tag == "{http://www.w3.org/2000/svg}svg"
        assert "<image" not in path.read_text()
        assert path.stat().st_size < (400e3 if path.name == "gallery.svg" else 60e3)
    text = "".join(ElementTree.parse(out / "gallery.svg").getroot().itertext())
    assert all(name in text for name in DRAWN)


def test_made_twice_the_files_are_the_same(tmp_path, monkeypatch):
    one = (ENTRIES["cross_entropy"],)
    monkeypatch.setattr(gallery, "TABLE", {"Curves: one": one})
    folders = tmp_path / "once", tmp_path / "twice"
    for folder in folders:
        gallery.main(commands.Gallery(folder))
    once, twice = ({p.name: p.read_bytes() for p in f.iterdir()} for f in folders)
    assert once == twice


def test_the_sheet_has_room_for_forty_losses_in_families_of_any_size(tmp_path):
    panel = gallery.measure(ENTRIES["focal"])
    reference = line("cross_entropy")
    sizes = {"a: one": 7, "b: two": 1, "c: three": 2, "d": 13, "e": 9, "f": 4, "g": 4}
    families = {title: [panel] * size for title, size in sizes.items()}
    path = tmp_path / "forty.svg"
    drawing.write_figure(drawing.overview(families, reference), path)
    assert path.stat().st_size < 400e3


def test_focal_is_its_closed_form_at_both_ends():
    drawn = line("focal", "γ = 2")
    p, rest = drawn.p, 1 - drawn.p
    np.testing.assert_allclose(drawn.value, -(rest**2) * np.log(p), rtol=1e-4)
    slope = rest**2 * (2 * p * np.log(p) - rest)
    np.testing.assert_allclose(drawn.pull, -slope, rtol=1e-4)
    assert drawn.p[0] < 1e-4 and rest[-1] < 1e-4


def test_the_rivals_share_the_pull_of_logit_adjustment():
    drawn = line("logit_adjusted_cross_entropy", "rare label")
    ratios = 0.8 * 90 + 0.2 * 9  # of the rivals' frequencies to the label's
    pull = 1 / (1 + drawn.p / (1 - drawn.p) / ratios)
    np.testing.assert_allclose(drawn.pull, pull, rtol=1e-4)
    shares = np.array([1, -0.8 * 90 / ratios, -0.2 * 9 / ratios])
    np.testing.assert_allclose(drawn.steps, pull[:, None] * shares, rtol=1e-4)


def test_a_sigmoid_loss_is_drawn_for_both_targets():
    drawn = line("greedy_gradient", "bias 0.9")
    np.testing.assert_allclose(drawn.steps[:, 0], 0.1 - drawn.p, atol=1e-6)
    np.testing.assert_allclose(drawn.steps[:, 1], -drawn.p, atol=1e-6)
    np.testing.assert_array_equal(drawn.pull, drawn.steps[:, 0])


def test_the_pull_of_an_absent_class_is_towards_its_absence():
    loss = jaxloss.sigmoid_cross_entropy
    absent = gallery.Entry(loss, "words", (gallery.Setting("absent", target=0.0),))
    (drawn,) = gallery.measure(absent).lines
    np.testing.assert_allclose(drawn.value, -np.log(drawn.p), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(drawn.pull, 1 - drawn.p, rtol=1e-4)


def test_thinned_lines_stay_within_the_tolerance():
    x = np.linspace(0, 1, 500)
    y = np.where(x < 0.4, 0, np.sin(9 * x))
    few_x, few_y = drawing.thinned(x, y, tolerance=1e-2)
    assert len(few_x) < 60
    assert np.max(np.abs(np.interp(x, few_x, few_y) - y)) <= 1e-2


def test_captions_stand_in_the_frame_and_on_nothing():
    axes = Figure(figsize=(3, 2)).subplots()
    axes.set(xlim=(0, 1), ylim=(0, 1))
    x = np.linspace(0, 1, 50)
    lines = [Named(f"y = {y}", x, y + 0.1 * x, "black") for y in (0.2, 0.4, 0.6)]
    label_lines(axes, lines, size=7)
    frame, texts = axes.get_window_extent(), axes.texts
    boxes = [text.get_window_extent() for text in texts]
    assert [text.get_text() for text in texts] == [each.caption for each in lines]
    for i, box in enumerate(boxes):
        assert frame.fully_contains(*box.min) and frame.fully_contains(*box.max)
        assert not any(box.overlaps(other) for other in boxes[:i])
        for each in lines:
            points = axes.transData.transform(np.column_stack([each.x, each.y]))
            assert box.count_contains(points) == 0
