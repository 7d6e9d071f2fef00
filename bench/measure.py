"""
What one command cost: wall time, CPU and peak memory of its whole process tree, from outside.

Knows processes and /proc (Linux); knows no HTTP.
"""

from __future__ import annotations

import os
import resource
import select
import signal
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

POLL = 0.002, 0.02
"""Seconds between two looks at the memory, at first and later on: what grows and ends between two is missed."""
LOOK_FOR_CHILDREN = 5
"""Polls between two looks for new children: a client with hundreds of threads makes that look dear."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What one run took: seconds, seconds of all cores, bytes."""

    wall: float
    cpu: float
    memory: int
    """Peak resident memory, that of all processes added up (each at its own peak)."""
    processes: int
    code: int
    """The exit code; negative: the signal that ended it."""


class TookTooLong(Exception):
    """The command did not end in time and was killed."""


def measure(argv: list[str], output: Path, folder: Path, limit: float) -> Usage:
    """Run `argv` in `folder` with its stdout to `output`, for at most `limit` seconds."""
    with output.open("wb") as stdout, output.with_suffix(".stderr").open("wb") as stderr:
        began = time.perf_counter()
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr, cwd=folder, env=_environment(),
            start_new_session=True,
        )  # fmt: skip
        peaks: dict[int, int] = {}
        try:
            in_time = _watch(process.pid, peaks, limit)
        finally:
            with suppress(ProcessLookupError):
                # Whatever it left behind goes with it; where it has ended by itself, this is a zombie's group.
                os.killpg(process.pid, signal.SIGKILL)
            _, status, used = os.wait4(process.pid, 0)
            wall = time.perf_counter() - began
            process.returncode = os.waitstatus_to_exitcode(status)
    if not in_time:
        raise TookTooLong(f"{argv[0]} had not ended after {limit:.0f} s")
    peaks[process.pid] = max(peaks.get(process.pid, 0), _last_peak(used.ru_maxrss * 1024))
    return Usage(wall, used.ru_utime + used.ru_stime, sum(peaks.values()), len(peaks), process.returncode)


def _watch(pid: int, peaks: dict[int, int], limit: float) -> bool:
    """Note the peak of each process of the tree until the first ends; False if it does not within `limit` seconds."""
    ends = time.monotonic() + limit
    handle = os.pidfd_open(pid)
    waiter = select.poll()
    waiter.register(handle, select.POLLIN)
    tree, polls = [pid], 0
    pause, longest = POLL
    try:
        while not waiter.poll(pause * 1000):
            pause = min(pause * 1.5, longest)
            if polls % LOOK_FOR_CHILDREN == 0:
                tree = family(pid)
            polls += 1
            for member in tree:
                if peak := high_water(member):
                    peaks[member] = peak
            if time.monotonic() > ends:
                return False
    finally:
        os.close(handle)
    return True


def _last_peak(maxrss: int) -> int:
    """
    What the system says was the first process's peak, in bytes, if it says anything.

    A process inherits this figure from the one that started it, so that only what is above our own counts.
    """
    return maxrss if maxrss > resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 else 0


def family(pid: int) -> list[int]:
    """The process and all that descend from it."""
    members = [pid]
    for member in members:
        with suppress(OSError):
            for task in os.listdir(f"/proc/{member}/task"):
                with open(f"/proc/{member}/task/{task}/children", encoding="ascii") as children:
                    members += [int(child) for child in children.read().split()]
    return members


def high_water(pid: int) -> int:
    """The most resident memory that a living process ever had, in bytes; 0 if it is gone."""
    with suppress(OSError), open(f"/proc/{pid}/status", encoding="utf-8") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _environment() -> dict[str, str]:
    """Ours, without the proxies and the colours that would make clients differ."""
    kept = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")}
    return kept | {"NO_COLOR": "1"}
