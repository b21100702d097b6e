"""Methods side by side: every column with its interval, and paired differences."""

from collections.abc import Mapping, Sequence
from typing import Any

from train.experiments.panel import Claim
from train.report.statistics import Row, interval, paired
from train.report.text import aligned


def render(
    rows: Sequence[Row], columns: Sequence[str], reference: str, claims: Sequence[Claim]
) -> str:
    heads = [column.replace(", ", "\n") for column in columns]
    lines = [
        [row.name, *(str(interval(row.values[c])) for c in columns)] for row in rows
    ]
    by_name = {row.name: row.values for row in rows}
    parts = [aligned(["", *heads], lines)]
    if reference in by_name and len(rows) > 1:
        of_reference = by_name[reference]
        lines = [
            [row.name, *(_marked(row.values[c], of_reference[c]) for c in columns)]
            for row in rows
            if row.name != reference
        ]
        parts.append(aligned([f"minus {reference}", *heads], lines))
        parts.append("* paired by seed, the interval leaves out 0")
    if claims:
        parts.append("\n".join(map(str, claims)))
    return "\n\n".join(parts)


def results(
    rows: Sequence[Row], reference: str, claims: Sequence[Claim]
) -> dict[str, Any]:
    """Ready for JSON."""
    of_reference: Mapping[str, Any] = next(
        (row.values for row in rows if row.name == reference), {}
    )
    return {
        "reference": reference,
        "rows": [
            {
                "name": row.name,
                "learning_rate": row.learning_rate,
                **{
                    column: {
                        "seeds": values.tolist(),
                        "interval": interval(values)._asdict(),
                        "difference": paired(values, of_reference[column])._asdict()
                        if column in of_reference
                        else None,
                    }
                    for column, values in row.values.items()
                },
            }
            for row in rows
        ],
        "claims": [
            {
                "text": claim.text,
                "difference": claim.difference._asdict(),
                "holds": claim.holds,
            }
            for claim in claims
        ],
    }


def _marked(values: Any, reference: Any) -> str:
    difference = paired(values, reference)
    clear = difference.low > 0 or difference.high < 0
    return f"{difference.signed}{'*' if clear else ' '}"
