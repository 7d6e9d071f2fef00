"""
One URL between the list and its result.

Holds state alone, changed by `run`; a frozen record for each hop would cost more than the hop's own share.
"""

from __future__ import annotations

from fetchall.records import Answer, Fault, Hop, Request, Try
from fetchall.urls import Target
from fetchall.wire.body import Memory
from fetchall.wire.ranges import Part
from fetchall.wire.recording import Record

Headers = tuple[tuple[str, str], ...]


class Journey:
    """One URL on its way from the list to its result: where it goes next, and what has happened so far."""

    __slots__ = (
        "answered_at", "attempts", "body", "conditions", "due_at", "history", "home", "keeper", "key", "last",
        "method", "origin", "part", "payload", "queued", "record", "request", "secrets", "short_since", "spent",
        "started_at", "started_on", "target", "tries", "try_at", "try_on", "under_way", "verb", "wire_time",
    )  # fmt: skip

    def __init__(self, request: Request, home: Target, method: str, payload: bytes | None, now: float) -> None:
        self.request = request
        self.home = home
        self.verb = method
        self.key: bytes | None = None
        """By which its duplicates are known."""
        self.payload = payload
        self.due_at = now
        """When it began to wait for its turn."""
        self.queued = 0.0
        self.attempts = 0
        self.started_at: float | None = None
        """On the clock."""
        self.started_on = 0.0
        """Seconds since the epoch."""
        self.try_at = 0.0
        self.answered_at = 0.0
        self.try_on = 0.0
        self.wire_time = 0.0
        self.tries: list[Try] = []
        self.last: tuple[Answer, Fault | None] | None = None
        """What the attempt before gave."""
        self.target = home
        self.origin = home.origin
        self.method = method
        self.history: list[Hop] = []
        self.keeper: Memory | None = None
        self.part: Part | None = None
        """The beginning of its body, where an attempt was cut off."""
        self.record: Record | None = None
        self.short_since: float | None = None
        """When this machine first had nothing left to send it with."""
        self.under_way = False
        """Between the first hop of an attempt and its last."""

    def unbegin(self) -> None:
        """What was begun does not count as an attempt."""
        self.attempts -= 1
        self.under_way = False
        self.origin = self.home.origin

    def begin(self) -> None:
        """An attempt begins where the list said."""
        self.attempts += 1
        self.under_way = True
        self.target = self.home
        self.origin = self.home.origin
        self.secrets: Target | None = self.home
        """Whose credentials it still carries."""
        self.method = self.verb
        self.body = self.payload
        self.history = []
        self.spent = 0.0
        """Seconds on the wire in this attempt."""
        self.keeper = None
        self.conditions: Headers = ()
        """With which the hop under way asks whether its page has changed."""
