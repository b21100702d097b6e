"""One process of the benchmark of probes, started by `bench.__main__`."""

import json
import sys
from pathlib import Path

from bench import probes, report


def main(output: str, seconds: str, quick: str, only: str) -> None:
    del only
    records = []
    for record in probes.measure(quick=bool(quick), seconds=float(seconds)):
        records.append(record)
        print(report.table(probes.rows([record]), probes.HEAD), file=sys.stderr)
    result = {"environment": report.environment(), "records": records}
    Path(output).write_text(json.dumps(result))


if __name__ == "__main__":
    main(*sys.argv[1:])
