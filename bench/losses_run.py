"""One process of the benchmark of losses, started by `bench.__main__`."""

import json
import sys
from pathlib import Path

from bench import losses, peers, report


def main(output: str, seconds: str, quick: str, only: str) -> None:
    shapes = losses.QUICK_SHAPES if quick else losses.SHAPES
    records = []
    for record in losses.measure(shapes=shapes, seconds=float(seconds), only=only):
        records.append(record)
        name, shape = record["loss"], tuple(record["shape"])
        print(f"{name} {shape}: {record['ours']:.2f}", file=sys.stderr)
        for library, difference in record["disagree"].items():
            print(f"  {library} DISAGREES: {difference}", file=sys.stderr)
    result = {
        "environment": report.environment(),
        "missing": peers.MISSING,
        "seconds": float(seconds),
        "records": records,
    }
    Path(output).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
