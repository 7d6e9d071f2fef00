"""
What a page says of a whole run: counts, bins, heaps and samples, in memory that does not grow with the rows.

Pure: rows in, numbers out; it must not know how they are drawn.
"""

from __future__ import annotations

import heapq
from collections import Counter
from dataclasses import dataclass, field

from fetchall.sinks.page.bins import Timeline
from fetchall.sinks.page.seen import PHASES, Seen
from fetchall.tally import Histogram

SAMPLE = 1_000
"""Rows that the list of requests shows of a larger run, drawn at random."""
FAILURES = 200
"""Rows that are not ok which it shows as well."""
TOP = 20
"""Rows of the slowest and of the largest."""
EXAMPLES = 5
DRAWN = 120
"""Requests that a waterfall draws: as many as a screen has room for."""
HOSTS = 10_000
"""Hosts that are told apart; of more, those seen first, and the others together."""


class Sample:
    """
    At most so many rows, each as likely as any other, whatever order they come in.

    Those with the smallest hash of their index: so two passes over one list keep the same requests.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._heap: list[tuple[int, int, Seen]] = []

    def add(self, seen: Seen) -> None:
        """Consider one row."""
        rank = _hash(seen.place)
        heap = self._heap
        if len(heap) < self._most:
            heapq.heappush(heap, (-rank, seen.place, seen))
        elif -rank > heap[0][0]:
            heapq.heapreplace(heap, (-rank, seen.place, seen))

    def rows(self, most: int | None = None) -> list[Seen]:
        """The sample, or so many of it that are a sample themselves; by hash, which is no order at all."""
        return [seen for _, _, seen in sorted(self._heap, key=lambda entry: (-entry[0], entry[1]))[:most]]


def _hash(index: int) -> int:
    """32 bits of a number, well mixed (the finaliser of MurmurHash3)."""
    value = (index ^ index >> 32) & 0xFFFFFFFF
    value = (value ^ value >> 16) * 0x85EBCA6B & 0xFFFFFFFF
    value = (value ^ value >> 13) * 0xC2B2AE35 & 0xFFFFFFFF
    return value ^ value >> 16


class Top:
    """The rows with the largest of some value; of equal ones the first in the list."""

    def __init__(self, most: int = TOP) -> None:
        self._most = most
        self._heap: list[tuple[float, int, Seen]] = []

    def add(self, value: float, seen: Seen) -> None:
        """Consider one row."""
        heap = self._heap
        if len(heap) < self._most:
            heapq.heappush(heap, (value, -seen.place, seen))
        elif value >= heap[0][0] and (value, -seen.place) > heap[0][:2]:
            heapq.heapreplace(heap, (value, -seen.place, seen))

    def rows(self) -> list[Seen]:
        """Largest first."""
        return [seen for _, _, seen in sorted(self._heap, key=lambda entry: entry[:2], reverse=True)]


@dataclass(slots=True)
class Group:
    """Rows that failed for one reason; `first` and `last` are seconds since the epoch, None if nothing was sent."""

    count: int = 0
    first: float | None = None
    last: float | None = None
    examples: list[Seen] = field(default_factory=list)
    """Of different hosts as far as there are any."""

    def add(self, seen: Seen) -> None:
        """Count one row."""
        self.count += 1
        if seen.start is not None:
            self.first = seen.start if self.first is None else min(self.first, seen.start)
            self.last = seen.start if self.last is None else max(self.last, seen.start)
        if len(self.examples) < EXAMPLES:
            self.examples.append(seen)
        elif self.count <= 1_000:
            self._vary(seen)

    def _vary(self, seen: Seen) -> None:
        hosts = Counter(each.host for each in self.examples)
        if seen.host in hosts:
            return
        for place in range(EXAMPLES - 1, 0, -1):
            if hosts[self.examples[place].host] > 1:
                self.examples[place] = seen
                return


class Host:
    """What one host gave: rows, bytes, and the seconds of those that were sent."""

    __slots__ = ("bytes", "failed", "max", "sent", "total", "urls")

    def __init__(self) -> None:
        self.urls = self.failed = self.bytes = self.sent = 0
        self.total = self.max = 0.0

    @property
    def mean(self) -> float | None:
        """Seconds; None where nothing was sent."""
        return self.total / self.sent if self.sent else None

    def add(self, seen: Seen) -> None:
        """Count one row."""
        self.urls += 1
        self.failed += not seen.ok
        self.bytes += seen.size or 0
        if seen.elapsed is not None:
            self.sent += 1
            self.total += seen.elapsed
            if seen.elapsed > self.max:
                self.max = seen.elapsed


class Trace:
    """One pass over the list in time: a timeline, and some of its requests."""

    def __init__(self, sample: int) -> None:
        self.timeline = Timeline()
        self.sample = Sample(sample)
        self.sent = 0

    def add(self, seen: Seen) -> None:
        """Draw one row; one that was never sent has no place in time."""
        self.sample.add(seen)
        if seen.start is None or seen.elapsed is None:
            return
        self.sent += 1
        timeline = self.timeline
        for start, elapsed in seen.tries or ((seen.start, seen.elapsed),):
            timeline.attempt(start, elapsed)
        timeline.result(seen.start + seen.elapsed, seen.ok)

    @property
    def begin(self) -> float | None:
        """When its first request began, in seconds since the epoch; None: none did."""
        return None if self.timeline.origin is None else self.timeline.origin + self.timeline.first

    @property
    def span(self) -> float:
        """Seconds from its first start to its last end."""
        return self.timeline.last - self.timeline.first


class Picture:
    """All that a page shows of the rows of one run."""

    def __init__(self) -> None:
        self.rows = 0
        self.trace = Trace(SAMPLE)
        self.sequential: Trace | None = None
        self.latency = {True: Histogram(), False: Histogram()}
        """Seconds of the rows with a status, by whether they are ok."""
        self.phases = {name: Histogram() for name in PHASES}
        self.outcomes: Counter[tuple[str, str]] = Counter()
        """Rows by kind and outcome."""
        self.groups: dict[str, Group] = {}
        self.slowest, self.largest = Top(), Top()
        self.failing = Sample(FAILURES)
        self.hosts: dict[str, Host] = {}
        self.other_hosts = Host()

    def add(self, seen: Seen) -> None:
        """Count one row."""
        self.rows += 1
        self.trace.add(seen)
        self.outcomes[seen.kind, seen.outcome] += 1
        if not seen.ok:
            self.failing.add(seen)
            group = self.groups.get(seen.outcome)
            if group is None:
                group = self.groups[seen.outcome] = Group()
            group.add(seen)
        self._host(seen.host).add(seen)
        if seen.elapsed is not None:
            self.slowest.add(seen.elapsed, seen)
            if seen.status is not None:
                self.latency[seen.ok].add(seen.elapsed)
        if seen.size:
            self.largest.add(seen.size, seen)
        if seen.phases is not None:
            for name, seconds in zip(PHASES, seen.phases, strict=True):
                if seconds is not None:
                    self.phases[name].add(seconds)

    def add_sequential(self, seen: Seen) -> None:
        """Draw one row of the pass that fetched one at a time."""
        if self.sequential is None:
            self.sequential = Trace(DRAWN)
        self.sequential.add(seen)

    def _host(self, name: str) -> Host:
        host = self.hosts.get(name)
        if host is None:
            if len(self.hosts) >= HOSTS:
                return self.other_hosts
            host = self.hosts[name] = Host()
        return host

    def listed(self) -> list[Seen]:
        """The rows of the list, the most telling first, then as good as at random: all of a small run."""
        parts = (self.slowest.rows(), self.largest.rows(), self.failing.rows(), self.trace.sample.rows())
        return list({seen.place: seen for part in parts for seen in part}.values())
