"""
How many requests began, were under way and ended over time, in a bounded number of bins of equal width.

Pure: told when each attempt began and ended, in seconds on any one clock; knows nothing else about them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor

FINEST = 0.001
"""Seconds that a bin is wide at first."""
MOST = 512
"""Bins before their width is doubled."""

_BEGUN, _BEGUN_AT, _ENDED, _ENDED_AT, _OK, _FAILED = range(6)


@dataclass(frozen=True, slots=True)
class Interval:
    """What happened in one stretch, in seconds from the first start: results, and the mean of those under way."""

    start: float
    end: float
    ok: int
    failed: int
    in_flight: float


class Timeline:
    """Bins that double their width when there would be more than `MOST`."""

    def __init__(self) -> None:
        self.width = FINEST
        self.origin: float | None = None
        """The first start that was told; bins are counted from here, in both directions."""
        self.first = 0.0
        """The earliest start and the latest end, in seconds from the origin."""
        self.last = 0.0
        self._bins: dict[int, list[float]] = {}
        self._low = self._high = 0

    def __repr__(self) -> str:
        return f"<Timeline {len(self._bins)} bins of {self.width:g} s>"

    def attempt(self, start: float, elapsed: float) -> None:
        """One attempt was under way for so long."""
        if self.origin is None:
            self.origin = start
        start -= self.origin
        end = start + max(elapsed, 0.0)
        self.first, self.last = min(self.first, start), max(self.last, end)
        begun = self._bin(start)
        begun[_BEGUN] += 1
        begun[_BEGUN_AT] += start
        ended = self._bin(end)
        ended[_ENDED] += 1
        ended[_ENDED_AT] += end

    def result(self, at: float, ok: bool) -> None:
        """One request was finished; its attempts were told before."""
        assert self.origin is not None
        self._bin(at - self.origin)[_OK if ok else _FAILED] += 1

    def _bin(self, at: float) -> list[float]:
        key = floor(at / self.width)
        found = self._bins.get(key)
        if found is not None:
            return found
        self._low, self._high = min(self._low, key), max(self._high, key)
        while self._high - self._low >= MOST:
            self._widen()
        key = floor(at / self.width)
        return self._bins.setdefault(key, [0, 0.0, 0, 0.0, 0, 0])

    def _widen(self) -> None:
        self.width *= 2
        merged: dict[int, list[float]] = {}
        for key, values in self._bins.items():
            into = merged.setdefault(key >> 1, [0, 0.0, 0, 0.0, 0, 0])
            for place, value in enumerate(values):
                into[place] += value
        self._bins = merged
        self._low, self._high = self._low >> 1, self._high >> 1

    def intervals(self, most: int) -> list[Interval]:
        """
        The whole run in at most so many stretches of one width, the first of which holds the first start.

        Those under way are a mean over the stretch, exact but for the last one's length: it ends with the run.
        """
        if self.origin is None:
            return []
        count = self._high - self._low + 1
        step = ceil(count / most)
        found = []
        flying = _Area()
        for first in range(self._low, self._high + 1, step):
            bins = [self._bins[key] for key in range(first, first + step) if key in self._bins]
            start, end = first * self.width, (first + step) * self.width
            before = flying.until(start)
            for values in bins:
                flying.add(values)
            seen_from, seen_to = max(start, self.first), min(end, max(self.last, self.first))
            span = max(seen_to - seen_from, FINEST)
            ok, failed = sum(int(each[_OK]) for each in bins), sum(int(each[_FAILED]) for each in bins)
            mean = (flying.until(end) - before) / span
            found.append(Interval(start - self.first, end - self.first, ok, failed, max(mean, 0.0)))
        return found


class _Area:
    """The seconds that all attempts together were under way until a moment that ends a bin."""

    def __init__(self) -> None:
        self._begun = self._begun_at = self._ended = self._ended_at = 0.0

    def add(self, values: list[float]) -> None:
        self._begun += values[_BEGUN]
        self._begun_at += values[_BEGUN_AT]
        self._ended += values[_ENDED]
        self._ended_at += values[_ENDED_AT]

    def until(self, moment: float) -> float:
        return (self._begun - self._ended) * moment - self._begun_at + self._ended_at
