"""
`python -m bench`: run workloads, print a table for each, and say which figures are reached.

Knows the command line; the work is in `runner`, the tables in `table`.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from bench import figures, table, workloads
from bench.contenders import CONTENDERS
from bench.runner import Outcome, Plan, run
from bench.server import ROOT, allow_many_files

PAGE = ROOT / "docs" / "performance.md"


def main() -> int:
    """0: every run did its work; 1: a count was wrong; 2: usage."""
    options = arguments()
    try:
        chosen = workloads.named(options.workload)
    except KeyError as error:
        print(error.args[0], file=sys.stderr)
        return 2
    if options.list:
        for workload in chosen:
            print(f"{workload.name:18}{workload.urls:>10,} URLs{workload.concurrency:>7,} in flight  {workload.about}")
        return 0
    if not sys.platform.startswith("linux"):
        print("the benchmarks need Linux: /proc, and all of 127.0.0.0/8", file=sys.stderr)
        return 2
    allow_many_files()
    wanted = [one for one in CONTENDERS if not options.only or one.name in options.only]
    found = {one.name: one.version(options.peer_python) for one in wanted}
    versions = {name: version for name, version in found.items() if version}
    outcomes: list[Outcome] = []
    with tempfile.TemporaryDirectory(prefix="bench-", dir=options.folder) as folder:
        plan = Plan(options.repeat, options.quick, Path(folder), options.peer_python, versions, tell)
        for workload in chosen:
            outcomes.append(run(workload, wanted, plan))
            tell("")
            print(table.plain(outcomes[-1]), end="\n\n", flush=True)
            if options.json:
                save(options.json, outcomes, versions)
    # Small lists say nothing about figures.
    reached = "" if options.quick else figures.plain(outcomes)
    print(reached + "\n" if reached else "", end="")
    if options.markdown:
        table.fill_in(options.markdown, outcomes, {} if options.quick else figures.markdown(outcomes), versions)
    return int(any(one.wrong for outcome in outcomes for entry in outcome.entries for one in entry.runs))


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("workload", nargs="*", help="a name, or the beginning of several (latency); default: all")
    parser.add_argument("--list", action="store_true", help="show the workloads")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="turns; each figure is their median (3)")
    parser.add_argument("--quick", action="store_true", help="short lists: shows that it works, measures nothing")
    parser.add_argument("--only", action="append", metavar="NAME", help="this contender only (repeatable)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="every run, as JSON")
    parser.add_argument(
        "--markdown", type=Path, nargs="?", const=PAGE, metavar="FILE", help="fill in the tables of docs/performance.md"
    )
    parser.add_argument("--folder", type=Path, help="where lists, rows and bodies go for a while (the system's)")
    parser.add_argument(
        "--peer-python", default=sys.executable, metavar="PATH", help="the Python with httpx and Scrapy"
    )
    return parser.parse_args()


def tell(text: str) -> None:
    """Show on stderr what runs now, where somebody watches."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def save(path: Path, outcomes: list[Outcome], versions: dict[str, str]) -> None:
    """Write all that was measured so far: a run that is stopped keeps what it has."""
    document = {"machine": table.machine(versions), "workloads": [table.values(outcome) for outcome in outcomes]}
    path.write_text(json.dumps(document, indent=1), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
