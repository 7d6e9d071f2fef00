"""Who is whose child, and who holds a connection: what the system knows of processes (proc(5), so on Linux alone)."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PROC = Path("/proc")
HERE = (PROC / "self/task").exists()
"""Whether the system can be asked."""


def children(parent: int) -> list[int]:
    """The processes that a process has started, youngest last; none where it is gone."""
    found = []
    for task in (PROC / str(parent) / "task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in task.read_text().split()]
    return sorted(found)


def alive(process: int) -> bool:
    """Whether a process is there, and no zombie."""
    try:
        return (PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def workers(parent: int, count: int) -> list[int]:
    """The processes of a run, once so many are there."""
    end = time.monotonic() + 20
    while len(found := [pid for pid in children(parent) if _is_worker(pid)]) < count:
        assert time.monotonic() < end, "they did not come"
        time.sleep(0.005)
    return found


def _is_worker(process: int) -> bool:
    with suppress(OSError):
        return b"fetchall.engines.child" in (PROC / str(process) / "cmdline").read_bytes()
    return False


def kill_client(port: int, parent: int) -> None:
    """End a child of a process that is connected to a port."""
    wanted = f":{port:04X}"
    lines = (PROC / "net/tcp").read_text().splitlines()[1:]
    sockets = {f"socket:[{fields[9]}]" for fields in map(str.split, lines) if fields[2].endswith(wanted)}
    for process in children(parent):
        for name in (PROC / str(process) / "fd").glob("*"):
            with suppress(OSError):
                if os.readlink(name) in sockets:
                    os.kill(process, signal.SIGKILL)
                    return
