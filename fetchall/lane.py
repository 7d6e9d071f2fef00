"""
One origin's lane: the jobs that wait for it, in the order in which they may go.

Plain state, and what can be decided from it alone. Knows no other origin: whose turn it is decides the schedule.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic, Protocol, TypeVar

from fetchall.records import Fault, Origin
from fetchall.standing import Standing


class Job(Protocol):
    """What the schedule needs of the thing that it orders."""

    @property
    def origin(self) -> Origin:
        """Where its next hop goes; it may change between hops."""


J = TypeVar("J", bound=Job)

READY = -inf
"""`Lane.at` of a lane in the rotation."""
NOWHERE = inf
"""`Lane.at` of a lane that time alone can't help."""


class Lane(Generic[J]):
    """
    One origin, and what waits for it: `passes` before `first` before `line`; `later` holds retries that are not due.

    `first` has hops and due retries, `line` what came from the list, both in order of arrival. `passes` has those who
    may pass the gate while it is closed. Each is made when it is needed, for an empty deque is 600 bytes.
    """

    __slots__ = ("at", "due", "first", "in_flight", "later", "line", "origin", "passes", "standing")

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self.at = NOWHERE
        """When its turn may come: `READY`, a time on the clock, or `NOWHERE`."""
        self.due = -inf
        """The next start there is not before this time."""
        self.in_flight = 0
        self.line: deque[J] | None = None
        self.first: deque[J] | None = None
        self.passes: deque[J] | None = None
        self.later: list[tuple[float, int, J, bool]] | None = None
        self.standing: Standing[J] | None = None

    @property
    def empty(self) -> bool:
        """Whether nothing at all waits here."""
        return not (self.line or self.first or self.passes or self.later)

    def put_last(self, job: J) -> None:
        """To the back of the list's."""
        if self.line is None:
            self.line = deque()
        self.line.append(job)

    def drop_queues(self) -> None:
        """Give back what empty queues take."""
        self.line = self.first = self.passes = self.later = None

    def queue(self, now: float) -> deque[J] | None:
        """The queue whose head goes next, retries that are due by now included; None or empty: nobody may go yet."""
        later = self.later
        while later and later[0][0] <= now:
            _, _, job, passes = heappop(later)
            self.put_first(job, passes)
        if self.passes:
            return self.passes
        standing = self.standing
        return None if standing is not None and standing.gated else self.first or self.line

    def later_at(self) -> float:
        """When the first retry that may go then is due; `NOWHERE` if there is none."""
        if not self.later:
            return NOWHERE
        if self.standing is not None and self.standing.gated:
            return min((at for at, _, _, passes in self.later if passes), default=NOWHERE)
        return self.later[0][0]

    def put_first(self, job: J, passes: bool) -> None:
        """To the end of those who go before the list's."""
        if passes:
            if self.passes is None:
                self.passes = deque()
            self.passes.append(job)
        else:
            if self.first is None:
                self.first = deque()
            self.first.append(job)

    def put_later(self, at: float, number: int, job: J, passes: bool) -> None:
        """Among those who wait for a time; `number` orders those of the same time."""
        if self.later is None:
            self.later = []
        heappush(self.later, (at, number, job, passes))

    def sift(self, refuses: Callable[[J, bool], Fault | None]) -> list[tuple[J, Fault]]:
        """Take out whoever is refused, each with its fault; `refuses` is told whether a job passes the gate."""
        refused: list[tuple[J, Fault]] = []

        def stays(job: J, passes: bool = False) -> bool:
            fault = refuses(job, passes)
            if fault is not None:
                refused.append((job, fault))
            return fault is None

        if self.passes:
            self.passes = deque(job for job in self.passes if stays(job, True))
        if self.first:
            self.first = deque(filter(stays, self.first))
        if self.line:
            self.line = deque(filter(stays, self.line))
        if self.later:
            self.later = [entry for entry in self.later if stays(entry[2], entry[3])]
            heapify(self.later)
        return refused
