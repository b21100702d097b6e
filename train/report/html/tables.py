"""Tables of the page as HTML: they are there without JavaScript, and on paper."""

import json
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

from train.report.html.grouped import Finding
from train.report.html.names import Group
from train.report.html.record import RunRecord
from train.report.html.scores import METRICS, SEEDS, Score


class Cell(NamedTuple):
    """Text, and the number or text it is sorted by."""

    html: str
    key: str | float


def cards(found: Sequence[Finding], groups: Sequence[Group]) -> str:
    """The summary: a card for each finding, a row for each group."""
    return "".join(
        f'<article class="card"><h3>{escape(each.title)}</h3>'
        f"<p>{escape(each.sentence)}</p><dl>"
        + "".join(
            f"<div><dt>{mark(number)}{escape(groups[number].name)}</dt>"
            f"<dd>{escape(words)}</dd></div>"
            for number, words in each.rows
        )
        + "</dl></article>"
        for each in found
    )


def mark(group: int) -> str:
    """The colour of a group; the style sheet knows it by number."""
    return f'<i class="mark" style="--mark: var(--series-{group % 7})"></i>'


def score_table(scores: Sequence[Score], groups: Sequence[Group]) -> str:
    """A row for each group, split and epoch; a column for each metric."""
    metrics = [m for m in METRICS if any(score.metric == m for score in scores)]
    cells = {(s.group, s.split, s.when, s.metric): s for s in scores}
    keys = list(dict.fromkeys((s.split, s.when, s.group) for s in scores))
    keys.sort(key=lambda key: (key[0] != "test", key[0], key[1] != "last", key[2]))
    rows = []
    for split, when, group in keys:
        row = [
            Cell(mark(group) + escape(groups[group].name), groups[group].name),
            Cell(f"{escape(split)}, {escape(when)}", f"{split} {when}"),
        ]
        row += [_score(cells.get((group, split, when, m))) for m in metrics]
        rows.append(row)
    heads = ["method", "split, epoch", *(METRICS[m] for m in metrics)]
    return table("Accuracy by method, split and epoch", heads, rows, text=2)


def _score(score: Score | None) -> Cell:
    if score is None:
        return Cell("–", "")
    digits = 3 if score.metric == "negative_log_likelihood" else 1
    value = f"{score.value:.{digits}f}"
    if not score.kind:
        return Cell(value, score.value)
    if score.kind == SEEDS:
        ends = f"± {score.high - score.value:.{digits}f}"
    else:
        ends = f"{score.low:.{digits}f}–{score.high:.{digits}f}"
    return Cell(f"{value} <small>{ends}</small>", score.value)


def run_table(records: Sequence[RunRecord], names: Sequence[str]) -> str:
    """How each run ended, and how it can be had again."""
    rows = []
    for record, name in zip(records, names, strict=True):
        chosen = record.config.get("chosen", {})
        status = str(record.status.get("status", "–"))
        colour = f'<b class="status {escape(status)}">{escape(status)}</b>'
        epochs = record.metrics[-1]["epoch"] if record.metrics else ""
        rows.append(
            [
                Cell(escape(name), name),
                Cell(escape(_words(chosen.get("loss"))), _words(chosen.get("loss"))),
                Cell(escape(_data(chosen)), _data(chosen)),
                Cell(str(chosen.get("seed", "–")), chosen.get("seed", "")),
                Cell(str(epochs or "–"), epochs),
                Cell(colour, status),
            ]
        )
    heads = ["run", "loss", "data", "seed", "epochs", "status"]
    return table("Runs", heads, rows, text=3)


def _data(chosen) -> str:
    return "; ".join(_words(chosen[k]) for k in ("source", "corruption") if k in chosen)


def _words(choice) -> str:
    """gala (lambda1 1, lambda2 1), of a choice in config.json."""
    if not choice:
        return "–"
    fields = {k: v for k, v in choice.items() if k not in ("kind", "data_dir")}
    inside = ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in fields.items())
    return str(choice.get("kind")) + (f" ({inside})" if inside else "")


def details(records: Sequence[RunRecord], names: Sequence[str]) -> str:
    """Command, versions and all choices of each run, folded away."""
    return "".join(
        f"<details><summary>{escape(name)}</summary>"
        f"<pre><code>{escape(str(record.config.get('command', 'no command')))}"
        f"</code></pre><p>{escape(_versions(record))}</p>"
        f"<pre><code>{escape(json.dumps(record.config.get('chosen', {}), indent=1))}"
        "</code></pre></details>"
        for record, name in zip(records, names, strict=True)
    )


def _versions(record: RunRecord) -> str:
    versions = record.config.get("versions", {})
    devices = ", ".join(map(str, record.config.get("devices", [])))
    words = [f"{name} {version}" for name, version in versions.items()]
    return ", ".join(words) + (f"; on {devices}" if devices else "")


def gaps(records: Sequence[RunRecord], names: Sequence[str]) -> str:
    """What the page does not show, and why."""
    items = "".join(
        f"<li><b>{escape(name)}</b>: {escape('; '.join(record.gaps))}</li>"
        for record, name in zip(records, names, strict=True)
        if record.gaps
    )
    if not items:
        return ""
    return f'<aside class="gap"><p>What is missing</p><ul>{items}</ul></aside>'


def table(
    caption: str, heads: Sequence[str], rows: Iterable[Sequence[Cell]], text: int
) -> str:
    """Sortable; the first `text` columns are words, the others numbers."""
    head = "".join(
        f'<th scope="col" aria-sort="none"{_kind(i, text)}>'
        f'<button type="button">{escape(each)}</button></th>'
        for i, each in enumerate(heads)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-key="{escape(str(cell.key))}"{_kind(i, text)}>{cell.html}</td>'
            for i, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return (
        '<div class="scroll" tabindex="0" role="region" '
        f'aria-label="{escape(caption)}"><table class="sortable">'
        f"<caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>"
        f"<tbody>{body}</tbody></table></div>"
    )


def _kind(column: int, text: int) -> str:
    return "" if column < text else ' class="number"'
