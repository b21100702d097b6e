"""The notebooks run from top to bottom, as whoever opens them would run them."""

import pathlib

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "colab").glob("*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_runs(path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    book = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(path.parent)}}
    NotebookClient(book, timeout=600, resources=resources).execute()
    shown = [
        output
        for cell in book.cells
        for output in cell.get("outputs", [])
        if output.output_type != "stream" or output.name == "stdout"
    ]
    errors = [output for output in shown if output.output_type == "error"]
    pictures = [output for output in shown if "image/png" in output.get("data", {})]
    assert not errors and len(pictures) >= 3


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_notebook_opens_in_colab(path):
    book = nbformat.read(path, as_version=4)
    nbformat.validate(book)
    assert f"/colab/{path.name})" in book.cells[0].source  # the badge
    assert 'find_spec("train")' in book.cells[1].source  # installs, but not in a clone


def test_there_are_notebooks():
    assert "see_your_gradients" in {path.stem for path in NOTEBOOKS}
