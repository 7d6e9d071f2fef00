"""
How near `--concurrency auto` comes to the best number that could have been fixed, on servers of three kinds.

    python -m bench.auto [SECONDS]

Each run fetches for so long (20 s) from a server of its own process: one that answers after 200 ms however many ask,
one that answers 500 a second and lets the others wait, one that gives 429 beyond 200 in a second. Good answers a second
are counted over the whole run, the climb included. Nothing else should run meanwhile.
"""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Iterator
from typing import NamedTuple

from bench.server import Place, allow_many_files, run, running
from fetchall import Options, stream

SERVERS = {"latency-bound": "/delay/200", "saturating": "/throttled/500", "429 above a rate": "/limited/200"}
FIXED = (1, 4, 20, 100, 400)
LIMIT = 0.9
"""The share of the best fixed number's good answers that auto is to reach."""


class Outcome(NamedTuple):
    """One run: good answers a second, the share of rows that were not good, and how many were in flight at the end."""

    good: float
    failed: float
    in_flight: int


async def fetched(place: Place, path: str, options: Options) -> Outcome:
    """What one run gave."""
    rows = good = 0
    started = time.monotonic()
    async with stream(_urls(place, path), options) as results:
        async for batch in results.batches():
            rows += len(batch)
            good += sum(result.ok for result in batch)
        return Outcome(good / (time.monotonic() - started), 1 - good / rows, results.concurrency)


def _urls(place: Place, path: str) -> Iterator[str]:
    return (f"http://{place.hosts[0]}:{place.port}{path}/{number}" for number in itertools.count())


def main() -> int:
    """0: auto is as near as it is to be on every server."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    allow_many_files()
    reached = True
    for name, path in SERVERS.items():
        with running() as place:
            fixed = {
                number: run(fetched(place, path, Options(concurrency=number, retries=0, max_run_time=seconds)))
                for number in FIXED
            }
            auto = Options(concurrency=max(FIXED), auto=True, retries=0, max_run_time=seconds)
            found = run(fetched(place, path, auto))
        best = max(outcome.good for outcome in fixed.values())
        reached &= found.good >= LIMIT * best
        for number, outcome in fixed.items():
            print(f"{name:18} {number:>5} fixed  {outcome.good:>7,.0f} good/s  {outcome.failed:>4.0%} failed")
        print(
            f"{name:18} {found.in_flight:>5} found  {found.good:>7,.0f} good/s  {found.failed:>4.0%} failed"
            f"  {found.good / best:.2f} of the best",
            flush=True,
        )
    return int(not reached)


if __name__ == "__main__":
    sys.exit(main())
