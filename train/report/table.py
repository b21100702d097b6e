"""A panel as text, the same for a terminal and a file."""

from train.experiments.panel import Panel
from train.report.statistics import interval
from train.report.text import aligned


def render(panel: Panel) -> str:
    """Mean ± 95 % interval of every column, paired differences, claims and verdicts."""
    header = ["", *panel.columns, "difference", "rate"]
    lines = []
    for row in panel.rows:
        difference = panel.difference(row)
        lines.append(
            [
                row.name,
                *(str(interval(row.values[column])) for column in panel.columns),
                "" if difference is None else f"{difference.signed}",
                f"{row.learning_rate:g}",
            ]
        )
    notes = [f"  {note}" for note in panel.notes]
    claims = [f"  {claim}" for claim in panel.claims]
    return "\n".join(
        [
            panel.title,
            f"  {panel.setting}",
            "",
            aligned(header, lines),
            "",
            *notes,
            *claims,
        ]
    )
