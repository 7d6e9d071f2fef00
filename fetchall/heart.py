"""
Whether the process stood still: stopped by a signal (SIGSTOP, a debugger, a frozen container), or the machine asleep.

Knows the loop's timer and the system's clocks; it must not know what was going on meanwhile.
"""

from __future__ import annotations

import asyncio
import time

BEAT = 1.0
"""Seconds between two beats."""
LATE = 5.0
"""Seconds by which a beat may be late before the process is said to have stood still: more than a busy loop takes."""


def _now() -> float:
    """Seconds on a clock that goes on while the machine sleeps, where the system has one (Linux)."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if clock is None else time.clock_gettime(clock)


class Heart:
    """Counts the times that the process stood still, as `stops`."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._at = _now()
        self._timer: asyncio.TimerHandle | None = None
        self.stops = 0

    def start(self) -> None:
        """Beat from now on."""
        self._at = _now()
        self._beat()

    def stop(self) -> None:
        """Beat no more."""
        if self._timer is not None:
            self._timer.cancel()

    def stood_still_since(self, stops: int) -> bool:
        """Whether the process stood still since `stops` was so many; a beat that is overdue counts already."""
        self._look()
        return self.stops != stops

    def _beat(self) -> None:
        self._look()
        self._at = _now()
        self._timer = self._loop.call_later(BEAT, self._beat)

    def _look(self) -> None:
        now = _now()
        if now - self._at > BEAT + LATE:
            self.stops += 1
            self._at = now
