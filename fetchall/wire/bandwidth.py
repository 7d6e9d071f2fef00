"""
How fast bodies may come, all together, and how slowly one may before it is given up.

Knows streams and time; it must not know what is read.
"""

from __future__ import annotations

import asyncio
from time import monotonic

from aiohttp import StreamReader

from fetchall.units import format_size

_GRAIN = 0.01
"""Seconds that are not worth a pause of their own."""


class TooSlow(Exception):
    """A body came more slowly than was allowed."""


class Bandwidth:
    """
    Bytes a second for all bodies of a run together.

    What was read is paid for by a pause before the next read; the socket's own window then slows the server down.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._due = 0.0

    async def pay(self, count: int) -> None:
        """Wait until so many bytes more fit the rate."""
        now = monotonic()
        self._due = max(self._due, now) + count / self.rate
        if self._due - now > _GRAIN:
            await asyncio.sleep(self._due - now)


class Metered:
    """One body's stream, read at the run's bandwidth and given up when it crawls."""

    def __init__(self, stream: StreamReader, bandwidth: Bandwidth | None, speed_limit: int, speed_time: float) -> None:
        self._stream = stream
        self._bandwidth = bandwidth
        self._limit = speed_limit
        self._seconds = speed_time
        self._since = monotonic()
        self._count = 0

    async def read(self) -> bytes:
        """What has come; raises `TooSlow`."""
        data = await self._in_time() if self._limit else await self._stream.readany()
        if data and self._bandwidth is not None:
            before = monotonic()
            await self._bandwidth.pay(len(data))
            # Our own pause is not the server's slowness.
            self._since += monotonic() - before
        return data

    async def _in_time(self) -> bytes:
        """The next bytes, however late within a stretch of time in which enough came."""
        while True:
            try:
                async with asyncio.timeout(max(self._since + self._seconds - monotonic(), 0.001)):
                    data = await self._stream.readany()
            except TimeoutError:
                self._check(0)
                continue
            if not self._stream.at_eof():
                self._check(len(data))
            return data

    def _check(self, count: int) -> None:
        self._count += count
        now = monotonic()
        if now - self._since < self._seconds:
            return
        if self._count < self._limit * self._seconds:
            raise self._too_slow()
        self._since, self._count = now, 0

    def _too_slow(self) -> TooSlow:
        return TooSlow(
            f"slower than {format_size(self._limit)}/s for {self._seconds:g} s (--speed-limit, --speed-time)"
        )
