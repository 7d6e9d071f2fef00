"""
What a child is to fetch, as it comes over the pipe, and how much more of it may come.

See `Feed`. Knows requests; it must not know pipes.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable

from fetchall.engines.messages import Packed
from fetchall.records import Request

AHEAD = 500
"""Requests that are held ready beside one for each place: as many as are begun while word goes back and forth."""


class Inbox:
    """`hungry` is called when there is nothing left to give."""

    def __init__(self, hungry: Callable[[], None]) -> None:
        self.ahead = 0
        """How many more are held ready, for as many may be begun at once."""
        self._hungry = hungry
        self._ready: deque[Request] = deque()
        self._taken = 0
        self._waiter: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Inbox {len(self._ready)} ready, {self._taken} taken>"

    @property
    def credit(self) -> int:
        """How many may have come since the beginning."""
        return self._taken + self.ahead + AHEAD

    @property
    def full(self) -> bool:
        """Whether any are ready."""
        return bool(self._ready)

    def put(self, requests: Iterable[Packed]) -> None:
        """These came."""
        self._ready.extend(each if isinstance(each, Request) else Request(each[1], each[0]) for each in requests)
        if self._ready and self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def take(self, wanted: int) -> list[Request]:
        """See `Feed`."""
        while not self._ready:
            self._hungry()
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        found = [self._ready.popleft() for _ in range(min(wanted, len(self._ready)))]
        self._taken += len(found)
        return found

    def close(self) -> None:
        """See `Feed`."""
        self._ready.clear()
