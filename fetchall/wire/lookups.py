"""
Look-ups on threads: what the system says of a name, asked where it may hang, and brought back to the event loop.

Knows threads and the system's look-up; it must not know how many may ask at a time, nor what is kept.

Threads are our own and daemons, for the standard pool joins its threads when the process ends, hanging ones too.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from fetchall.options import Clock

IDLE = 10.0
"""Seconds without work after which a thread ends, or up to twice as many."""

_ADDRCONFIG = socket.AI_ADDRCONFIG & getattr(socket, "AI_MASK", -1)  # macOS refuses flags outside of its mask

Addresses = tuple[str, ...]
Outcome = Addresses | Exception
Find = Callable[..., Any]
"""`socket.getaddrinfo`, or what stands in for it."""


class Lookup:
    """One name that is looked up, or waits to be, and the futures of those who want it."""

    __slots__ = ("key", "started", "waiters")

    def __init__(self, key: tuple[str, int]) -> None:
        self.key = key
        """Host and address family."""
        self.started = 0.0
        self.waiters: set[asyncio.Future[Outcome]] = set()


class Threads:
    """As many threads as are busy; those that nobody needed for a while end."""

    def __init__(self, clock: Clock, work: Callable[[SimpleQueue[Lookup | None]], None]) -> None:
        self._clock = clock
        self._work = work
        self._inbox: SimpleQueue[Lookup | None] = SimpleQueue()
        self._idle = 0
        self._spare = 0
        """The fewest that were idle since the timer was set."""
        self._timer: Any = None
        self._closed = False

    def start(self, lookup: Lookup) -> bool:
        """Hand a look-up to a thread; False: there is none, and the system gives no more."""
        if self._idle:
            self._idle -= 1
            self._spare = min(self._spare, self._idle)
        else:
            thread = threading.Thread(target=self._work, args=(self._inbox,), name="fetchall-resolver", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                return False
        self._inbox.put(lookup)
        return True

    def rest(self) -> None:
        """A thread is idle again."""
        self._idle += 1
        if self._closed:
            self._end(1)
        elif self._timer is None:
            self._watch()

    def close(self) -> None:
        """End those that are idle, and each other one when it has done its work."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._end(self._idle)

    def _watch(self) -> None:
        self._spare = self._idle
        self._timer = self._clock.call_at(self._clock.now() + IDLE, self._end_spare)

    def _end_spare(self) -> None:
        self._timer = None
        self._end(self._spare)
        if self._idle:
            self._watch()

    def _end(self, count: int) -> None:
        self._idle -= count
        for _ in range(count):
            self._inbox.put(None)


class LoopClock:
    """The event loop's own time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = loop.time
        self.call_at = loop.call_at


def serve(
    find: Find,
    loop: asyncio.AbstractEventLoop,
    answered: Callable[[Lookup, Outcome], None],
    inbox: SimpleQueue[Lookup | None],
) -> None:
    """What a thread does; it ends when it is told to, or when the loop is no more."""
    while (wanted := inbox.get()) is not None:
        outcome = _ask(find, *wanted.key)
        try:
            loop.call_soon_threadsafe(answered, wanted, outcome)
        except RuntimeError:
            return


def _ask(find: Find, host: str, family: int) -> Outcome:
    """What the system says of a name, as a value."""
    # AI_ADDRCONFIG leaves out IPv6 where there is none, but loopback too where there is no network at all.
    flags = 0 if f".{host.lower()}".removesuffix(".").endswith(".localhost") else _ADDRCONFIG
    try:
        found = find(host, None, family=family, type=socket.SOCK_STREAM, flags=flags)
        written = [_written(where) for kind, _, _, _, where in found if kind in (socket.AF_INET, socket.AF_INET6)]
    except ValueError as error:  # among them UnicodeError: a label that is empty or too long
        return socket.gaierror(socket.EAI_NONAME, f"not a name that DNS could have: {error}")
    except Exception as error:
        return error
    return tuple(dict.fromkeys(written)) or socket.gaierror(socket.EAI_NONAME, "the name has no address")


def _written(where: tuple[Any, ...]) -> str:
    """A socket address's first part, with its link where it is link-local (RFC 4007, section 11)."""
    address: str = where[0]
    return f"{address}%{where[3]}" if len(where) == 4 and where[3] and "%" not in address else address
