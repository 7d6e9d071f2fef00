"""
What the benchmark's server says to a request, and what it counts: HTTP/1.1 on raw protocols, cheap enough to stand
beside the clients that it measures. Knows requests' bytes; knows no socket and no client.

Every path ends with the URL's number, so that lost and doubled requests show:

/tiny/I  /page/I  /big/SIZE/I            at once: 13 bytes, 150 KB as gzip, SIZE bytes
/delay/MS/I                              13 bytes, MS milliseconds later
/throttled/RATE/I                        13 bytes, at most RATE answers a second per host: the others wait
/limited/RATE/I                          13 bytes, or 429 beyond RATE requests in a second per host
/hang/I                                  no answer, ever
/_stats  /_reset                         what was counted, as JSON; count from nothing (neither counts itself)
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, cast

from bench import pages
from bench.pages import Answer

MOST_URLS = 1 << 24
"""URLs' numbers from here on are not told apart (one byte is kept for each below)."""
LONGEST_HEAD = 1 << 16


@dataclass(slots=True)
class Host:
    """What one address was asked for. `in_flight` counts requests whose answer has to wait."""

    in_flight: int = 0
    most: int = 0
    next_answer: float = 0.0
    second: int = 0
    in_second: int = 0


@dataclass(slots=True)
class Counts:
    """What the server has seen since it was last reset."""

    kinds: Counter[bytes] = field(default_factory=Counter)
    seen: bytearray = field(default_factory=lambda: bytearray(MOST_URLS))
    doubled: int = 0
    connections: int = 0
    in_flight: int = 0
    most: int = 0
    hosts: dict[str, Host] = field(default_factory=dict)
    waited: float = 0.0
    answers_that_waited: int = 0
    cpu: float = field(default_factory=time.process_time)

    def report(self) -> dict[str, Any]:
        """Everything as plain values; `cpu` is the server's own since the reset, in seconds."""
        requests = self.kinds.total()
        return {
            "requests": requests,
            "distinct": requests - self.doubled,
            "kinds": {kind.decode("latin-1"): count for kind, count in self.kinds.items()},
            "connections": self.connections,
            "hosts": len(self.hosts),
            "in_flight": self.in_flight,
            "max_in_flight": self.most,
            "max_in_flight_per_host": max((host.most for host in self.hosts.values()), default=0),
            "mean_wait": self.waited / self.answers_that_waited if self.answers_that_waited else None,
            "cpu": time.process_time() - self.cpu,
        }


class Waiting:
    """Answers that leave later: one queue and one timer for all that leave in the order in which they came."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._queue: deque[tuple[float, float, Connection]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def add(self, connection: Connection, now: float, due: float) -> None:
        """Answer `connection` when it is `due`, never before any that was added earlier."""
        self._queue.append((due, now, connection))
        if self._timer is None:
            self._timer = self._loop.call_later(due - now, self._leave)

    def _leave(self) -> None:
        # Loops count in whole milliseconds: rounding to the nearest tick, not up, keeps the mean wait exact.
        queue, now = self._queue, time.monotonic()
        while queue and queue[0][0] <= now + 0.0005:
            _, since, connection = queue.popleft()
            connection.answer_held(now - since)
        self._timer = self._loop.call_later(queue[0][0] - now, self._leave) if queue else None


class Site:
    """What the connections share: the counts and the waiting answers."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.counts = Counts()
        self._waiting: dict[Any, Waiting] = {}

    def waiting(self, key: object) -> Waiting:
        """The queue of answers that leave in order: one for each delay, one for each throttled host."""
        queue = self._waiting.get(key)
        if queue is None:
            queue = self._waiting[key] = Waiting(self.loop)
        return queue


class Connection(asyncio.Protocol):
    """One client's connection; a request that comes before the last was answered waits in `_rest`."""

    __slots__ = ("_address", "_closing", "_counts", "_held", "_rest", "_site", "_transport")

    def __init__(self, site: Site) -> None:
        self._site = site
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._held: Host | None = None
        self._counts = site.counts
        self._closing = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come to one of our addresses."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._address: str = self._transport.get_extra_info("sockname")[0]
        self._site.counts.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        """The client is gone: what it waited for is in flight no more."""
        self._transport = None
        self._let_go()

    def data_received(self, data: bytes) -> None:
        """Answer the whole requests that have come; requests have no bodies here."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        while data and self._held is None and self._transport is not None:
            end = data.find(b"\r\n\r\n") + 4
            if end == 3:
                break
            head, data = (data, b"") if end == len(data) else (data[:end], data[end:])
            self._serve(head)
        self._rest = data
        if len(data) > LONGEST_HEAD and self._transport is not None:
            self._transport.abort()

    def _serve(self, head: bytes) -> None:
        path = head[head.find(b" ") + 1 : head.find(b" ", 5)]
        parts = path.split(b"/")
        kind = parts[1]
        if b"onnection: close" in head:
            self._closing = True
        if kind[:1] == b"_":
            return self._write(self._control(kind), head)
        counts, last = self._site.counts, parts[-1]
        counts.kinds[kind] += 1
        if not last.isdigit():
            return self._write(pages.NOT_FOUND, head)
        number = int(last)
        if number < MOST_URLS:
            counts.doubled += counts.seen[number]
            counts.seen[number] = 1
        if kind == b"tiny":
            self._write(pages.TINY, head)
        elif kind == b"page":
            self._write(pages.page(b"gzip" in head), head)
        elif kind == b"big":
            self._write(pages.big(int(parts[2])), head)
        elif kind == b"limited":
            self._write(self._limited(int(parts[2])), head)
        else:
            self._hold(kind, parts)
        return None

    def _write(self, answer: Answer, head: bytes) -> None:
        if self._transport is None:
            return
        self._transport.write(answer.head if head.startswith(b"HEAD") else answer.whole)
        if self._closing:
            self._transport.close()

    def _host(self) -> Host:
        return self._site.counts.hosts.setdefault(self._address, Host())

    def _limited(self, rate: int) -> Answer:
        host, second = self._host(), int(time.monotonic())
        if host.second != second:
            host.second, host.in_second = second, 0
        host.in_second += 1
        return pages.TINY if host.in_second <= rate else pages.TOO_MANY

    def _hold(self, kind: bytes, parts: list[bytes]) -> None:
        host, counts, now = self._host(), self._site.counts, time.monotonic()
        if kind == b"delay":
            self._site.waiting(parts[2]).add(self, now, now + int(parts[2]) / 1000)
        elif kind == b"throttled":
            host.next_answer = max(host.next_answer, now) + 1 / int(parts[2])
            self._site.waiting(self._address).add(self, now, host.next_answer)
        elif kind != b"hang":
            return self._write(pages.NOT_FOUND, b"")
        self._held, self._counts = host, counts
        host.in_flight += 1
        counts.in_flight += 1
        host.most = max(host.most, host.in_flight)
        counts.most = max(counts.most, counts.in_flight)
        return None

    def _let_go(self) -> None:
        if self._held is not None:
            self._held.in_flight -= 1
            self._counts.in_flight -= 1
            self._held = None

    def answer_held(self, waited: float) -> None:
        """Send the answer that was held back for `waited` seconds, then serve what came behind it."""
        if self._transport is None:
            return
        self._let_go()
        counts = self._site.counts
        counts.waited += waited
        counts.answers_that_waited += 1
        self._write(pages.TINY, b"")
        if self._rest:
            self.data_received(b"")

    def _control(self, kind: bytes) -> Answer:
        if kind == b"_reset":
            self._site.counts = Counts()
        return pages.answer(json.dumps(self._site.counts.report()).encode(), "Content-Type: application/json")
