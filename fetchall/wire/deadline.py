"""
When a task's time is up, and when a server has been silent for too long: one timer for all of them.

Knows tasks and the loop's clock; it must not know what the tasks do. A timer of its own for each request, or for each
piece of data as aiohttp has it, costs more than the request's share of everything else here.
"""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import Any, Protocol


class Watched(Protocol):
    """What has an end; times on the monotonic clock, in seconds."""

    task: asyncio.Task[Any]
    started_at: float
    ends_at: float
    """`inf`: never."""
    expired: bool
    """Tells a cancellation by the clock from any other."""

    def heard_at(self) -> float:
        """Since when a server has been waited for in vain; `inf`: it is not its turn."""

    def fall_silent(self) -> None:
        """It was silent for too long."""


_EARLY = 0.001
"""Seconds by which a loop may wake us early: uvloop's timers are as fine as a millisecond."""


class Deadlines:
    """
    Cancels every task whose time is up, and tells what has been silent for `silence` seconds (0: never).

    The timer is set for the earliest end that was known when it was set; most tasks are gone by then, so it fires
    about once per timeout, not once per request. An end only ever moves away, so looking too early is all that a
    stale one can do.
    """

    def __init__(self, silence: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._silence = silence or inf
        self._pending: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def __repr__(self) -> str:
        return f"<Deadlines {len(self._pending)} pending>"

    def enter(self, watched: Watched) -> None:
        """Watch a task that begins now, until `leave`."""
        self._pending.add(watched)
        if watched.ends_at < self._timer_at or watched.started_at + self._silence < self._timer_at:
            self._set(min(watched.ends_at, watched.started_at + self._silence))

    def leave(self, watched: Watched) -> None:
        """The task was in time."""
        self._pending.discard(watched)

    def close(self) -> None:
        """Forget all deadlines."""
        self._pending.clear()
        if self._timer is not None:
            self._timer.cancel()

    def _set(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_later(max(0.0, at - monotonic()), self._fire)

    def _fire(self) -> None:
        self._timer, self._timer_at = None, inf
        now = monotonic()
        soonest = inf
        for watched in list(self._pending):
            if watched.ends_at <= now + _EARLY:
                self._pending.discard(watched)
                watched.expired = True
                watched.task.cancel()
                continue
            # Whose turn it is not now may be heard of from now on.
            silent_at = min(watched.heard_at(), now) + self._silence
            if silent_at <= now + _EARLY:
                watched.fall_silent()
                silent_at = now + self._silence
            soonest = min(soonest, watched.ends_at, silent_at)
        if soonest < inf:
            self._set(soonest)
