"""
One hop as it goes: what it sends, when its time is up, and what has come so far.

Holds state alone. The task carries it as `EXCHANGE`, since aiohttp hands nothing of the caller's own down to its
connector and its requests; so it must not know either of them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from math import inf
from typing import TYPE_CHECKING, Any

from fetchall.records import Timings
from fetchall.wire.body import Tally

if TYPE_CHECKING:
    import aiohttp

    from fetchall.wire.connection import Protocol
    from fetchall.wire.guard import BlockedAddress


class Exchange(Tally):
    """
    What one hop learns of its connection, its phases and its body; see `Watched` for its end.

    Times are on the monotonic clock, in seconds.
    """

    __slots__ = (
        "blocked", "connect_at", "connect_end", "dns_at", "dns_end", "ends_at", "expired", "fresh", "head_at",
        "on_taken", "protocol", "response", "reused", "sent_at", "started_at", "taken_at", "task",
    )  # fmt: skip

    def __init__(self, task: asyncio.Task[Any], started_at: float, budget: float) -> None:
        self.wire = self.decoded = 0
        self.task = task
        self.started_at = started_at
        self.ends_at = started_at + budget if budget else inf
        self.expired = False
        self.blocked: BlockedAddress | None = None
        """An address that was not dialled."""
        self.fresh = False
        """True: take no connection from the pool."""
        self.protocol: Protocol | None = None
        self.on_taken: Callable[[Protocol], None] | None = None
        """Told of the connection before anything is sent on it."""
        self.response: aiohttp.ClientResponse | None = None
        """The answer, from its head on until it is dealt with."""
        self.reused = False
        self.taken_at: float | None = None
        """When there was a connection to send on."""
        self.head_at: float | None = None
        self.dns_at: float | None = None
        self.dns_end: float | None = None
        self.connect_at: float | None = None
        self.connect_end: float | None = None
        self.sent_at: float | None = None

    @property
    def peer(self) -> str | None:
        """The address at the other end, once there is a connection."""
        return self.protocol.peer if self.protocol is not None else None

    def heard_at(self) -> float:
        """See `Watched`."""
        return inf if self.protocol is None else self.protocol.heard_at

    def fall_silent(self) -> None:
        """See `Watched`; the hop ends with aiohttp's own exception for it."""
        if self.protocol is not None:
            self.protocol.fall_silent()

    def dns_started(self, now: float) -> None:
        """A name is being looked up."""
        self.dns_at, self.dns_end = now, None

    def dns_ended(self, now: float) -> None:
        """The name has addresses."""
        self.dns_end = now

    def connect_started(self, now: float) -> None:
        """A connection is being made: the name first, if there is one to look up."""
        self.connect_at, self.connect_end, self.dns_at = now, None, None

    def connect_ended(self, now: float) -> None:
        """The connection stands, TLS included."""
        self.connect_end = now

    def sent(self, now: float) -> None:
        """The head, or a piece of the body, has been handed to the system."""
        self.sent_at = now

    def timings(self, now: float) -> Timings:
        """The phases; one that was not reached is None, one that was cut short lasted until `now`."""
        dns = connect = send = wait = receive = None
        if self.dns_at is not None:
            dns = (self.dns_end or now) - self.dns_at
        if self.connect_at is not None and (self.dns_at is None or self.dns_end is not None):
            connect = (self.connect_end or now) - (self.dns_end or self.connect_at)
        if self.taken_at is not None:
            sent = self.sent_at or self.taken_at
            send = sent - self.taken_at
            wait = (self.head_at or now) - sent
        if self.head_at is not None:
            receive = now - self.head_at
        return Timings(dns=dns, connect=connect, send=send, wait=wait, receive=receive)


EXCHANGE: ContextVar[Exchange] = ContextVar("EXCHANGE")
"""The current task's hop."""
