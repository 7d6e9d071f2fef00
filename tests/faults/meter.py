"""
What a stretch of work costs: memory at its peak, CPU of the loop's thread, and the longest time it was kept busy.

Knows the process; knows nothing of servers. CPU time of the thread, not wall time: other work on the machine is no
fault of what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from types import TracebackType
from typing import Self

_TICK = 0.005
_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


class Meter:
    """Measures while it is entered; `grown` is None where the system can't tell (it can on Linux)."""

    def __init__(self) -> None:
        self.grown: int | None = None
        """Bytes by which memory at its peak was above memory at the start."""
        self.cpu = 0.0
        self.pause = 0.0
        self._ticker: asyncio.Task[None] | None = None
        self._before: int | None = None

    async def __aenter__(self) -> Self:
        self._before = _memory("VmRSS")
        _forget_peak()
        self._ticker = asyncio.get_running_loop().create_task(self._tick())
        self.cpu = time.thread_time()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.cpu = time.thread_time() - self.cpu
        if self._ticker is not None:
            self._ticker.cancel()
            await asyncio.gather(self._ticker, return_exceptions=True)
        peak = _memory("VmHWM")
        if peak is not None and self._before is not None:
            self.grown = peak - self._before

    async def _tick(self) -> None:
        last = time.thread_time()
        while True:
            await asyncio.sleep(_TICK)
            now = time.thread_time()
            self.pause = max(self.pause, now - last)
            last = now


def _forget_peak() -> None:
    """The peak is what is in use now (proc(5)); without the right to say so, the peak so far stays."""
    with contextlib.suppress(OSError):
        _CLEAR.write_text("5")


def _memory(name: str) -> int | None:
    try:
        lines = _STATUS.read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{name}:")), None)
