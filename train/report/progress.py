"""How far a command is: a bar on a terminal, a line now and then elsewhere."""

import contextlib
import time
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

LINES = 10  # at most, when nobody watches


@contextlib.contextmanager
def show(what: str, total: int) -> Iterator[Callable[[int, str], None]]:
    """Gives a function to call with the number done and how it is going."""
    console = Console()
    if console.is_terminal:
        with Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
            console=console,
            transient=True,
        ) as bar:
            task = bar.add_task(what, total=total, note="compiling")
            yield lambda done, note: bar.update(task, completed=done, note=note)
        return

    start = time.monotonic()

    def line(done: int, note: str) -> None:
        if done * LINES // total > (done - 1) * LINES // total:
            left = (time.monotonic() - start) / done * (total - done)
            words = [note] * bool(note) + [f"{left:.0f} s left"]
            print(f"{what} {done}/{total}: {', '.join(words)}", flush=True)

    yield line
