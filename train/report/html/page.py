"""Runs as one HTML file that needs nothing else: no network, no folder, no server.

The page is `web/page.html`; style, scripts and the charting library are written into
it, the library compressed, and what the charts draw as JSON.
"""

import base64
import functools
import gzip
import json
import pathlib
import string
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from train.report.html import tables
from train.report.html.findings import findings
from train.report.html.names import named
from train.report.html.outline import SECTIONS, Chart, Section
from train.report.html.payload import payload
from train.report.html.record import RunRecord
from train.report.html.scores import scores

_WEB = pathlib.Path(__file__).parent / "web"
# In this order: each uses those before.
_SCRIPTS = (
    "data.js",
    "look.js",
    "drawing.js",
    "per_class.js",
    "matrix.js",
    "over_epochs.js",
    "distributions.js",
    "tables.js",
    "page.js",
)


def build(records: Sequence[RunRecord]) -> str:
    """The page that compares the runs; the first is what others are compared to."""
    if not records:
        raise ValueError("a report needs one run at least")
    names, groups = named(records)
    scored = scores(records, groups)
    data = payload(records, names, groups, scored)
    found = findings(records, groups, scored)
    title = " and ".join(group.name for group in groups[:3])
    if len(groups) > 3:
        title = f"{groups[0].name} and {len(groups) - 1} others"
    after = {"accuracy": tables.score_table(scored, groups) if scored else ""}
    sections = "".join(_section(each, data, after) for each in SECTIONS)
    template = string.Template((_WEB / "page.html").read_text(encoding="utf-8"))
    return template.substitute(
        title=escape(title),
        subtitle=escape(_subtitle(records)),
        style=(_WEB / "page.css").read_text(encoding="utf-8"),
        links="".join(
            f'<a href="#{section.key}">{escape(section.title)}</a>'
            for section in SECTIONS
        ),
        gaps=tables.gaps(records, names) + _different_classes(records),
        cards=tables.cards(found, groups) or _gap("There is nothing to sum up."),
        sections=sections,
        runs=tables.run_table(records, names),
        details=tables.details(records, names),
        library=_library(),
        data=_embedded(data),
        script="\n".join((_WEB / n).read_text(encoding="utf-8") for n in _SCRIPTS),
    )


def _subtitle(records: Sequence[RunRecord]) -> str:
    kinds = dict.fromkeys(
        f"{chosen['source']['kind']}, {chosen['corruption']['kind']}"
        for record in records
        if {"source", "corruption"}
        <= (chosen := record.config.get("chosen", {})).keys()
    )
    runs = f"{len(records)} run{'s' if len(records) > 1 else ''}"
    return "; ".join([*kinds, runs])


def _section(
    section: Section, data: Mapping[str, Any], after: Mapping[str, str]
) -> str:
    charts = "".join(_chart(chart, data) for chart in section.charts)
    return (
        f'<section id="{section.key}"><h2>{escape(section.title)}</h2>'
        f"{charts}{after.get(section.key, '')}</section>"
    )


def _chart(chart: Chart, data: Mapping[str, Any]) -> str:
    have = [run["name"] for run in data["runs"] if _has(run, data, chart.needs)]
    heading = f"<h3>{escape(chart.title)}</h3>"
    if not have:
        return f"{heading}{_gap('No run has the numbers for this figure.')}"
    lack = [run["name"] for run in data["runs"] if run["name"] not in have]
    note = f'<p class="lack">Not for {escape(", ".join(lack))}.</p>' if lack else ""
    return (
        f'<figure class="chart" data-chart="{chart.key}">{heading}'
        '<div class="controls"></div>'
        f'<div class="plot" role="img" aria-label="{escape(chart.title)}" '
        f'style="min-height: {chart.height}px"></div>'
        f"<figcaption><b>How to read this.</b> {escape(chart.reading)}</figcaption>"
        f"{note}</figure>"
    )


def _has(run: Mapping[str, Any], data: Mapping[str, Any], needs: str) -> bool:
    if needs == "scores":
        return any(score["group"] == run["group"] for score in data["scores"])
    if needs == "calibration":
        measured = (run["measured"] or {}).values()
        return any(each["calibration"] for each in measured)
    return bool(run[needs])


def _different_classes(records: Sequence[RunRecord]) -> str:
    named = [record.classes.names for record in records if record.classes is not None]
    if len({tuple(sorted(names)) for names in named}) < 2:
        return ""
    return _gap(
        "The runs have different classes. Figures per class put them side by side by "
        "rank, the most frequent first: the same place is not the same class."
    )


def _gap(text: str) -> str:
    return f'<p class="gap">{escape(text)}</p>'


def _embedded(data: Mapping[str, Any]) -> str:
    """JSON that no class name can end the script with, `</script>` or `<!--`."""
    text = json.dumps(data, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e")


@functools.cache
def _library() -> str:
    """plotly.js, a third of its size; also hides the addresses it has as strings."""
    import plotly.offline

    script = plotly.offline.get_plotlyjs().encode()
    return base64.b64encode(gzip.compress(script, mtime=0)).decode()
