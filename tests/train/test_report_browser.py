"""The report as a browser shows it: offline, from a file, without a complaint.

Needs Chromium, which `.ci/run` installs where it may: then a missing browser fails
instead of being skipped.
"""

import os
import shutil

import pytest

from tests.train.report_runs import write_run
from train.report.html.outline import SECTIONS
from train.report.html.page import build
from train.report.html.record import read

sync_api = pytest.importorskip("playwright.sync_api")
MARKS = ".scatterlayer path, .heatmaplayer image, .barlayer path"
NASTY = "<img src=x onerror=window.harmed=1></script>%{x} & <b>bold</b>"


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, ("chromium", "google-chrome"))), None)
    if path is None:
        reason = "no Chromium: the report was not tested; apt-get install chromium"
        if os.environ.get("NEED_BROWSER"):
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture
def show(browser, tmp_path):
    """Opens runs as a page; in the end it must have complained of nothing."""
    complaints, contexts = [], []

    def show(*folders, **options):
        file = tmp_path / "report.html"
        file.write_text(build([read(folder) for folder in folders]), encoding="utf-8")
        context = browser.new_context(
            viewport={"width": 1200, "height": 900}, **options
        )
        contexts.append(context)
        context.set_offline(True)
        page = context.new_page()
        page.set_default_timeout(60_000)  # other tests may have the machine

        def heard(message):
            if message.type in ("error", "warning"):
                complaints.append(message.text)

        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                complaints.append(f"loads {request.url}")
                if not request.url.startswith((file.as_uri(), "data:", "blob:"))
                else None
            ),
        )
        page.goto(file.as_uri())
        page.wait_for_selector("html[data-ready]")
        return page

    yield show
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    root = tmp_path_factory.mktemp("two")
    return [write_run(root / loss, loss=loss) for loss in ("cross-entropy", "gala")]


def chart(page, key):
    """A chart, once it is drawn."""
    figure = page.locator(f'[data-chart="{key}"]')
    figure.scroll_into_view_if_needed()
    figure.and_(page.locator("[data-drawn]")).wait_for()
    return figure


def drawn(page):
    """The marks in each chart, all of which are drawn."""
    keys = page.locator(".chart").evaluate_all("all => all.map(e => e.dataset.chart)")
    return {key: chart(page, key).locator(MARKS).count() for key in keys}


def fill(page, key="scores"):
    return (
        chart(page, key)
        .locator(".xtick text")
        .first.evaluate("e => getComputedStyle(e).fill")
    )


def brightness(page):
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return sum(map(int, colour[4:-1].split(", ")))


def test_every_chart_has_marks_and_is_drawn_when_it_comes_near(show, two):
    page = show(*two)
    assert page.locator('[data-chart="calibration"][data-drawn]').count() == 0
    marks = drawn(page)
    assert len(marks) == sum(len(section.charts) for section in SECTIONS)
    assert min(marks.values()) > 0, marks
    assert page.locator(".gap").count() == 0


def test_without_statistics_the_rest_is_there(show, tmp_path):
    page = show(write_run(tmp_path / "bare", statistics=False))
    marks = drawn(page)
    assert {*marks} == {"scores", "class_accuracy", "curves", "calibration"}
    assert min(marks.values()) > 0, marks


def hover(page, row, column, classes):
    """Text of the box above a cell of the matrix."""
    image = chart(page, "matrix").locator(".heatmaplayer image")
    image.evaluate("e => e.scrollIntoView({block: 'center', behavior: 'instant'})")
    box = image.bounding_box()
    x = box["x"] + box["width"] * (column + 0.5) / classes
    y = box["y"] + box["height"] * (row + 0.5) / classes
    page.mouse.move(x - 1, y)
    page.mouse.move(x, y)
    page.locator("#tip:visible").wait_for()
    return page.locator("#tip").text_content()


def test_a_cell_of_the_matrix_says_both_classes(show, two):
    page = show(*two)
    text = hover(page, 3, 7, 10)
    assert "examples of otter" in text and "logit of ibex" in text
    other = hover(page, 9, 0, 10)
    assert "examples of eel" in other and "logit of cat" in other
    assert text.splitlines()[-1] != other.splitlines()[-1]
    assert "on its own logit" in hover(page, 4, 4, 10)


def test_tables_sort_by_mouse_and_keyboard(show, two):
    page = show(*two)
    head = page.locator("#accuracy th", has_text="balanced error")
    column = head.evaluate("e => e.cellIndex")
    cells = page.locator(f"#accuracy tbody td:nth-child({column + 1})")

    def keys():
        return cells.evaluate_all("all => all.map(e => Number(e.dataset.key))")

    before = keys()
    assert head.get_attribute("aria-sort") == "none"
    head.locator("button").click()
    assert head.get_attribute("aria-sort") == "ascending"
    assert keys() == sorted(before) != before
    head.locator("button").press("Enter")
    assert head.get_attribute("aria-sort") == "descending"
    assert keys() == sorted(before, reverse=True)
    names = page.locator("#accuracy th", has_text="method")
    names.locator("button").click()
    assert head.get_attribute("aria-sort") == "none"
    first = page.locator("#accuracy tbody td").first
    assert first.get_attribute("data-key") == "cross-entropy"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_colours_follow_the_system_and_the_button(show, two, scheme):
    page = show(*two, color_scheme=scheme)
    before, text = brightness(page), fill(page)
    assert (before > 600) == (scheme == "light")
    page.locator("#theme").click()
    assert (brightness(page) > 600) != (scheme == "light")
    assert fill(page) != text
    page.locator("#theme").click()
    assert (brightness(page), fill(page)) == (before, text)


def test_epochs_methods_and_quantities_can_be_chosen(show, two):
    page = show(*two)
    figure = chart(page, "gradients")
    values = "e => JSON.stringify(e.data.map(trace => Array.from(trace.y)))"

    def plotted():
        return figure.locator(".plot").evaluate(values)

    seen = {plotted()}
    assert figure.locator("output").text_content() == "1"
    figure.locator("input[type=range]").press("End")
    assert figure.locator("output").text_content() == "8"
    seen.add(plotted())
    figure.locator("select").select_option("received")
    seen.add(plotted())
    page.locator("#legend button", has_text="gala").click()
    seen.add(plotted())
    assert len(seen) == 4
    assert figure.get_attribute("data-drawn") == "1"


def test_seeds_can_be_shown(show, tmp_path):
    page = show(*(write_run(tmp_path / str(i), seed=i) for i in range(3)))
    figure = chart(page, "gradients")
    assert figure.get_attribute("data-drawn") == "1"
    page.locator("#legend select").select_option("all")
    assert figure.get_attribute("data-drawn") == "3"


def test_names_of_classes_are_text_everywhere(show, tmp_path):
    page = show(write_run(tmp_path / "run", names=[NASTY, *"bcdefghij"]))
    drawn(page)
    assert NASTY in hover(page, 0, 1, 10)
    page.locator("#class-table table").wait_for()
    assert page.locator("#class-table td").first.text_content() == NASTY
    assert page.evaluate("window.harmed") is None
    assert page.locator("main img").count() == 0


def test_nothing_is_wider_than_a_phone(show, two):
    page = show(*two)
    page.set_viewport_size({"width": 390, "height": 800})
    drawn(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    widths = page.locator(".main-svg").evaluate_all(
        "all => all.map(e => e.getBoundingClientRect().width)"
    )
    assert max(widths) <= 390


def test_paper_gets_every_chart_in_light_colours(show, two):
    page = show(*two, color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    charts, ready = page.locator(".chart"), page.locator(".chart[data-drawn]")
    assert ready.count() == charts.count() > 0
    assert brightness(page) > 600
    widths = page.locator(".main-svg").evaluate_all(
        "all => all.map(e => e.clientWidth)"
    )
    assert max(widths) <= 680
    assert page.pdf(format="A4").startswith(b"%PDF")
    page.emulate_media(media="screen", color_scheme="dark")
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert brightness(page) < 200


@pytest.mark.slow
def test_a_thousand_classes(show, tmp_path):
    runs = [
        write_run(tmp_path / loss, classes=1000, epochs=50, loss=loss)
        for loss in ("cross-entropy", "gala")
    ]
    page = show(*runs)
    marks = drawn(page)
    assert min(marks.values()) > 0, marks
    text = hover(page, 500, 200, 1000)
    assert text.count("training examples") == 2
    page.locator("#class-table").scroll_into_view_if_needed()
    page.locator("#class-table table").wait_for()
    assert page.locator("#class-table tbody tr").count() == 1000
