"""Timings side by side: `python -m bench losses`; `make bench` installs the peers too.

`taskset -c 0 python -m bench` keeps the neighbours out. Each way to allocate memory
needs a process of its own: the C library reads its settings when a process starts, and
by default it takes large blocks from the system at every call, which costs a CPU more
than many a loss does. CPU findings are no promise for an accelerator.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

BENCHMARKS = ("losses", "probes", "head")
# Those that start a process for every number, as memory wants it.
ONE_ALLOCATOR = ("head",)
RESULTS = Path(__file__).parent / "results"
_ALLOCATORS = {
    "default": {},
    "keeps its memory": {
        "MALLOC_MMAP_THRESHOLD_": "4294967296",
        "MALLOC_TRIM_THRESHOLD_": "4294967296",
        "MALLOC_TOP_PAD_": "268435456",
    },
}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument(
        "benchmark", nargs="*", default=BENCHMARKS, help=f"of {', '.join(BENCHMARKS)}"
    )
    parser.add_argument("--only", default="", help="losses whose name contains this")
    parser.add_argument(
        "--seconds", type=float, default=2.0, help="for a line and shape (default: 2)"
    )
    parser.add_argument(
        "--quick", action="store_true", help="small shapes, 0.2 s for each"
    )
    parser.add_argument(
        "--no-results", action="store_true", help="print only, leave the files alone"
    )
    args = parser.parse_args()
    if not {*args.benchmark} <= {*BENCHMARKS}:
        parser.error(f"choose among {', '.join(BENCHMARKS)}")
    wrong = [line for name in args.benchmark for line in _benchmark(name, args)]
    if wrong:
        sys.exit("NOT THE SAME FUNCTION, so not timed:\n" + "\n".join(wrong))


def _benchmark(name: str, args: argparse.Namespace) -> list[str]:
    """Prints and writes the tables; returns what is wrong with them."""
    runs = {
        kind: _run(name, args, setting)
        for kind, setting in _ALLOCATORS.items()
        if kind == "default" or name not in ONE_ALLOCATOR
    }
    # It imports JAX, which this process has no use for until now.
    report = importlib.import_module(f"bench.{name}_report")
    text = report.markdown(runs)
    print(text)
    if not (args.quick or args.only or args.no_results):
        RESULTS.mkdir(exist_ok=True)
        platform = runs["default"]["environment"]["platform"]
        (RESULTS / f"{name}-{platform}.md").write_text(text)
        (RESULTS / f"{name}-{platform}.json").write_text(json.dumps(runs, indent=1))
    return report.mistakes(runs)


def _run(
    name: str, args: argparse.Namespace, setting: dict[str, str]
) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "records.json"
        command = [sys.executable, "-m", f"bench.{name}_run", str(output)]
        command += ["0.2" if args.quick else str(args.seconds)]
        command += ["quick" if args.quick else "", args.only]
        subprocess.run(command, env=os.environ | setting, check=True)
        return json.loads(output.read_text())


if __name__ == "__main__":
    main()
