"""`report`: run folders in, one HTML file out."""

import os
import pathlib

from train.commands import Report
from train.report.html.page import build
from train.report.html.record import read

FILE = "report.html"


def run(command: Report) -> int:
    if not command.runs:
        raise ValueError("no run to report on: name the folder of one at least")
    repeated = {run.resolve() for run in command.runs}
    if len(repeated) < len(command.runs):
        raise ValueError("a folder is named twice")
    records = [read(folder) for folder in command.runs]
    path = command.out or _default(command.runs)
    if path.is_dir():
        path = path / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    write(path, build(records))
    for record in records:
        for gap in record.gaps:
            print(f"{record.name}: {gap}")
    print(f"{path}: {path.stat().st_size / 1e6:.1f} MB, opens in any browser")
    return 0


def write(path: pathlib.Path, text: str) -> None:
    """Whole or not at all; a report from before is replaced."""
    aside = path.with_name(f".{path.name}.tmp")
    aside.write_text(text, encoding="utf-8")
    os.replace(aside, path)


def _default(runs: tuple[pathlib.Path, ...]) -> pathlib.Path:
    """Beside what it is about: one run has its own, several share a folder or none."""
    return runs[0] / FILE if len(runs) == 1 else pathlib.Path(FILE)
