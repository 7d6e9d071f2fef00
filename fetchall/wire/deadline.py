"""
When a task's time is up: one timer for all of them, since a timer a request costs more than the request's share.

Knows tasks and the loop's clock; it must not know what the tasks do.
"""

from __future__ import annotations

import asyncio
from time import monotonic


class Deadline:
    """One task's end; `expired` tells a cancellation by the clock from any other."""

    __slots__ = ("at", "expired", "task")

    def __init__(self, task: asyncio.Task[object], at: float) -> None:
        self.task = task
        self.at = at
        self.expired = False


_EARLY = 0.001
"""Seconds by which a loop may wake us early: uvloop's timers are as fine as a millisecond."""


class Deadlines:
    """
    Cancels every task whose deadline has passed.

    The timer is set for the earliest deadline that was known when it was set; most tasks are gone by then, so it
    fires about once per timeout, not once per request.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._pending: set[Deadline] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = float("inf")

    def __repr__(self) -> str:
        return f"<Deadlines {len(self._pending)} pending>"

    def enter(self, task: asyncio.Task[object], seconds: float) -> Deadline:
        """Give a task this long, until `leave`; it is the one that runs, and is handed in because it knows itself."""
        deadline = Deadline(task, monotonic() + seconds)
        self._pending.add(deadline)
        if deadline.at < self._timer_at:
            self._set(deadline.at)
        return deadline

    def leave(self, deadline: Deadline) -> None:
        """The task was in time."""
        self._pending.discard(deadline)

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
        self._timer, self._timer_at = None, float("inf")
        now = monotonic() + _EARLY
        for deadline in [deadline for deadline in self._pending if deadline.at <= now]:
            self._pending.discard(deadline)
            deadline.expired = True
            deadline.task.cancel()
        if self._pending:
            self._set(min(deadline.at for deadline in self._pending))
