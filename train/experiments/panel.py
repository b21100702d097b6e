"""An experiment: the trainings it needs, and what it makes of them.

A panel is what the report shows: rows of numbers per seed, claims, verdicts, a figure.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Protocol

from matplotlib.axes import Axes

from train import config, data
from train.report.statistics import Interval, Row, interval, paired
from train.sweep import Sweep, sweep


class Job(Protocol):
    """Trainings whose sweeps feed rows, by name."""

    @property
    def trainings(self) -> int: ...

    def sweep(
        self, data_dir: str | None, on_trained: Callable[[], None]
    ) -> dict[str, Sweep]: ...


@dataclasses.dataclass(frozen=True)
class Losses:
    """Losses, by the row they feed, on one task; compiled as one program."""

    task: config.Task
    losses: dict[str, config.Loss]
    options: config.Fit
    learning_rates: tuple[float, ...]
    seeds: int

    @property
    def trainings(self) -> int:
        return len(self.losses) * len(self.learning_rates) * self.seeds

    def sweep(
        self, data_dir: str | None, on_trained: Callable[[], None]
    ) -> dict[str, Sweep]:
        task = dataclasses.replace(self.task, source=data.Digits(data_dir))
        arguments = self.losses, self.options, self.learning_rates, self.seeds
        return sweep(task, *arguments, on_trained=on_trained)


@dataclasses.dataclass(frozen=True)
class Claim:
    """A difference that a paper says is positive."""

    text: str
    difference: Interval

    @property
    def holds(self) -> bool:
        return self.difference.low > 0

    def __str__(self) -> str:
        if self.holds:
            verdict = "holds"
        elif self.difference.high < 0:
            verdict = "DOES NOT HOLD, the opposite does"
        else:
            verdict = "DOES NOT HOLD here: the interval contains 0"
        return f"{self.text}: {self.difference} points, {verdict}"


@dataclasses.dataclass(frozen=True)
class Panel:
    """One experiment; the first row is the reference of the paired differences."""

    name: str
    title: str
    setting: str
    columns: tuple[str, ...]  # the first is the one the differences are taken in
    rows: tuple[Row, ...]
    claims: tuple[Claim, ...]
    draw: Callable[[Axes], None]
    notes: tuple[str, ...] = ()

    def difference(self, row: Row) -> Interval | None:
        """Of the first column to the reference's, unless it is the reference."""
        column = self.columns[0]
        if row is self.rows[0] or column not in row.values:
            return None
        return paired(row.values[column], self.rows[0].values[column])

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON: every number per seed, and what was made of it."""
        return {
            "name": self.name,
            "title": self.title,
            "setting": self.setting,
            "rows": [
                {
                    "name": row.name,
                    "learning_rate": row.learning_rate,
                    "values": {key: v.tolist() for key, v in row.values.items()},
                    "intervals": {
                        key: interval(v)._asdict() for key, v in row.values.items()
                    },
                }
                for row in self.rows
            ],
            "claims": [
                {
                    "text": claim.text,
                    "difference": claim.difference._asdict(),
                    "holds": claim.holds,
                }
                for claim in self.claims
            ],
            "notes": self.notes,
        }


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Its jobs, and the panel made of all their sweeps."""

    name: str
    jobs: tuple[Job, ...]
    panel: Callable[[dict[str, Sweep]], Panel]
