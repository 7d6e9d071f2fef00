"""
What a second worker of a Dask cluster brings where work waits for servers, and what is left when one is killed.

    python -m bench.cluster [--urls N] [--repeat N]

URLs whose answers take 100 ms are fetched at -c 10 a worker by one worker and by two, in turn. The time is that from
the first shard to the last (start-up of the command and of Dask apart) and that of the whole command. At last a run by
two workers of which one is killed with -9 half-way: every URL must have exactly one row all the same.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from bench.dask_cluster import Cluster, environment, running, until
from bench.server import Place
from bench.server import running as serving

WAIT = 100
"""Milliseconds that each answer takes."""
CONCURRENCY = 10
FIGURE = 1.7
"""How much faster two workers are to be than one."""


class Turn(NamedTuple):
    """One run, in seconds."""

    fetching: float
    whole: float


def command(urls: Path, cluster: Cluster, out: Path) -> list[str]:
    """What is run."""
    return [
        sys.executable, "-m", "fetchall", str(urls), "-q", "-c", str(CONCURRENCY), "--cluster", str(cluster.file),
        "-o", f"{out}/", "--summary", f"{out}.json",
    ]  # fmt: skip


def measured(urls: Path, folder: Path, workers: int, count: int) -> Turn:
    """A run by so many workers that were there before."""
    out = folder / f"out-{workers}-{time.monotonic_ns()}"
    with running(folder / f"{out.name}-dask") as cluster:
        cluster.ensure(workers)
        started = time.monotonic()
        subprocess.run(command(urls, cluster, out), env=environment(), check=True)
        whole = time.monotonic() - started
    check(out, count)
    summary = json.loads(Path(f"{out}.json").read_bytes())["summary"]
    return Turn(summary["elapsed"], whole)


def killed(urls: Path, folder: Path, place: Place, count: int) -> int:
    """Two workers, one of which is killed when half of the list was asked for; how many requests the server saw."""
    out = folder / "out-killed"
    place.ask("_reset")
    with running(folder / "out-killed-dask") as cluster:
        victim = cluster.ensure(2)[0]
        with subprocess.Popen(command(urls, cluster, out), env=environment()) as process:
            until(lambda: place.ask("_stats")["requests"] >= count // 2, 120)
            os.kill(victim.pid, signal.SIGKILL)
            if process.wait(120):
                raise RuntimeError("the run did not survive")
    check(out, count)
    return int(place.ask("_stats")["requests"])


def check(out: Path, count: int) -> None:
    """Raise where a URL has not exactly one row."""
    rows = Counter(
        json.loads(line)["index"] for path in out.glob("shard-*.jsonl") for line in path.read_bytes().splitlines()
    )
    if len(rows) != count or set(rows.values()) != {1}:
        raise RuntimeError(f"{out}: {len(rows)} of {count} URLs have a row, {max(rows.values(), default=0)} at most")


def main() -> int:
    """0: the figure is reached."""
    parser = argparse.ArgumentParser(prog="python -m bench.cluster", description=__doc__)
    parser.add_argument("--urls", type=int, default=2000, metavar="N", help="the length of the list (2000)")
    parser.add_argument("--repeat", type=int, default=3, metavar="N", help="turns; the figure is their median (3)")
    options = parser.parse_args()
    with serving() as place, tempfile.TemporaryDirectory(prefix="bench-cluster-") as name:
        folder = Path(name)
        urls = folder / "urls.txt"
        host = f"http://{place.hosts[0]}:{place.port}"
        urls.write_text("".join(f"{host}/delay/{WAIT}/{number}\n" for number in range(options.urls)))
        ratios = []
        for turn in range(options.repeat):
            one, two = (measured(urls, folder, workers, options.urls) for workers in (1, 2))
            ratios.append(one.fetching / two.fetching)
            print(
                f"turn {turn + 1}: one worker {one.fetching:.2f} s ({one.whole:.2f} s with start-up), "
                f"two {two.fetching:.2f} s ({two.whole:.2f} s): {ratios[-1]:.2f} x",
                flush=True,
            )
        seen = killed(urls, folder, place, options.urls)
        print(f"one of two killed half-way: {options.urls} URLs, a row each; the server saw {seen} requests")
    median = statistics.median(ratios)
    print(f"two workers are {median:.2f} x one (at least {FIGURE} is wanted)")
    return int(median < FIGURE)


if __name__ == "__main__":
    sys.exit(main())
