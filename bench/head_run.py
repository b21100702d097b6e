"""The benchmark of the fused head, started by `bench.__main__`; it starts a process of
its own for every way and shape, in turns."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from bench import head, report

ROUNDS, CALLS = 2, 2


def main(output: str, seconds: str, quick: str, only: str) -> None:
    shapes = head.QUICK_SHAPES if quick else head.SHAPES
    absent = head.missing()
    ways = [way for way in head.WAYS if way not in absent and only in way]
    records = []
    for shape in shapes:
        runs = {way: [] for way in ways}
        for _ in range(1 if quick else ROUNDS):
            for way in ways:
                runs[way].append(_apart("way", shape, way, CALLS))
                print(f"{shape} {way}: {runs[way][-1]}", file=sys.stderr)
        records.append(
            {
                "shape": shape,
                "ways": {way: _together(found) for way, found in runs.items()},
                "curves": _apart("curves", shape, 5 * float(seconds)),
                "gemm_rate": _apart("gemm", shape, float(seconds)),
            }
        )
    largest = shapes[0] if quick else head.LARGEST
    result = {
        "environment": report.environment(),
        "missing": absent,
        "records": records,
        "largest": {"shape": largest, **_apart("way", largest, head.OURS, 0)},
    }
    Path(output).write_text(json.dumps(result))


def _together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Times of all processes; the memory of the greediest."""
    return {
        "seconds": [value for run in runs for value in run["seconds"]],
        "temporary": runs[0]["temporary"],
        "peak": max(run["peak"] for run in runs),
        "growth": max(run["growth"] for run in runs),
        "checks": runs[0]["checks"],
    }


def _apart(*task: Any) -> Any:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "record.json"
        command = [sys.executable, "-m", "bench.head_run", "--apart", str(output)]
        subprocess.run([*command, json.dumps(task)], check=True)
        return json.loads(output.read_text())


def _alone(output: str, task: str) -> None:
    what, shape, *rest = json.loads(task)
    match what:
        case "way":
            found = head.measure(rest[0], shape, rest[1])
        case "curves":
            found = head.measure_curves(shape, *rest)
        case _:
            found = head.gemm_rate(shape, *rest)
    Path(output).write_text(json.dumps(found))


if __name__ == "__main__":
    if sys.argv[1] == "--apart":
        _alone(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
