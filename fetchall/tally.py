"""
What many results add up to: counts, bytes, a latency histogram and the hosts, in memory that does not grow.

Knows results; it must not know where they go. Two tallies add up, which is how a resumed run speaks of all rows.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

from fetchall.records import HostLine, Latency, Pace, Result, Summary, Timing

_STEPS = 32
"""Buckets for each doubling of a latency: percentiles are right within 1.1 %."""
_COUNTS = ("urls", "ok", "retries", "bytes", "wire_bytes", "wire_time")
_MOST_HOSTS = 10_000
"""Hosts whose times are kept; of more, those seen first."""


class Histogram:
    """Latencies in buckets whose bounds grow by 2 ** (1 / 32)."""

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.min = math.inf
        self.max = 0.0
        self.buckets: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one latency."""
        self.count += 1
        self.total += seconds
        if seconds < self.min:
            self.min = seconds
        if seconds > self.max:
            self.max = seconds
        self.buckets[math.floor(math.log2(max(seconds, 1e-7)) * _STEPS)] += 1

    def merge(self, other: Histogram) -> None:
        """Count what another histogram has counted."""
        self.count += other.count
        self.total += other.total
        self.min = min(self.min, other.min)
        self.max = max(self.max, other.max)
        self.buckets.update(other.buckets)

    def quantile(self, q: float) -> float:
        """The latency that a share `q` of all do not exceed."""
        rank = max(1, math.ceil(q * self.count))
        seen = 0
        for bucket in sorted(self.buckets):
            seen += self.buckets[bucket]
            if seen >= rank:
                return min(max(2 ** ((bucket + 0.5) / _STEPS), self.min), self.max)
        return self.max

    def bars(self, most: int = 8) -> list[tuple[float, int]]:
        """At most so many (upper bound in seconds, count) from the fastest to the slowest, equal steps in logarithm."""
        if not self.buckets:
            return []
        low, high = min(self.buckets), max(self.buckets)
        width = max(1, math.ceil((high - low + 1) / most))
        bars = [0] * ((high - low) // width + 1)
        for bucket, count in self.buckets.items():
            bars[(bucket - low) // width] += count
        return [(2 ** ((low + (place + 1) * width) / _STEPS), count) for place, count in enumerate(bars)]

    def latency(self) -> Latency | None:
        """Minimum, mean, percentiles and maximum; None without any."""
        if not self.count:
            return None
        return Latency(
            min=self.min,
            mean=self.total / self.count,
            p50=self.quantile(0.5),
            p90=self.quantile(0.9),
            p99=self.quantile(0.99),
            max=self.max,
        )


class Tally:
    """Counts results as they come."""

    def __init__(self) -> None:
        self.urls = 0
        self.ok = 0
        self.retries = 0
        self.bytes = 0
        self.wire_bytes = 0
        self.wire_time = 0.0
        """Seconds that requests spent on the wire, added up."""
        self.status: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.histogram = Histogram()
        self._hosts: dict[str, list[float]] = {}

    @property
    def failed(self) -> int:
        """Rows that are not ok."""
        return self.urls - self.ok

    def add(self, result: Result) -> None:
        """Count one result."""
        self.urls += 1
        self.ok += result.ok
        if result.duplicate_of is not None:
            self._add_outcome(result)
            return
        if result.attempts > 1:
            self.retries += result.attempts - 1
        self.bytes += result.size or 0
        self.wire_bytes += result.wire_size or 0
        self.wire_time += result.wire_time
        self._add_outcome(result)
        if result.status is not None and result.elapsed is not None:
            self.histogram.add(result.elapsed)
        if result.final_url is not None:
            self._add_host(host_of(result.final_url), result.elapsed or 0.0, result.ok)

    def add_row(self, row: dict[str, Any]) -> None:
        """Count a row of an earlier run; `elapsed` stands in for its time on the wire, which no row has."""
        self.urls += 1
        self.ok += row["ok"]
        status, elapsed = row["status"], row["elapsed"]
        if row["error_type"] is not None:
            self.errors[row["error_type"]] += 1
        if status is not None:
            self.status[status] += 1
        if row.get("duplicate_of") is not None:
            return
        self.retries += max(row["attempts"] - 1, 0)
        self.bytes += row["size"] or 0
        self.wire_bytes += row["wire_size"] or 0
        self.wire_time += elapsed or 0.0
        if status is not None and elapsed is not None:
            self.histogram.add(elapsed)
        if row["final_url"] is not None:
            self._add_host(host_of(row["final_url"]), elapsed or 0.0, row["ok"])

    def merge(self, other: Tally) -> None:
        """Count what another tally has counted."""
        for name in _COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.status.update(other.status)
        self.errors.update(other.errors)
        self.histogram.merge(other.histogram)
        for host, (urls, failed, total, longest) in other._hosts.items():
            times = self._times_of(host)
            if times is not None:
                times[:] = times[0] + urls, times[1] + failed, times[2] + total, max(times[3], longest)

    def snapshot(self) -> dict[str, Any]:
        """Everything counted so far, as a copy fit for JSON; see `restored`."""
        histogram = self.histogram
        return {
            **{name: getattr(self, name) for name in _COUNTS},
            "status": list(self.status.items()),
            "errors": list(self.errors.items()),
            "latency": [histogram.count, histogram.total, histogram.max],
            "fastest": histogram.min if histogram.count else None,
            "buckets": list(histogram.buckets.items()),
            "hosts": [[host, *times] for host, times in self._hosts.items()],
        }

    @classmethod
    def restored(cls, snapshot: dict[str, Any]) -> Tally:
        """A tally that goes on from a snapshot."""
        tally = cls()
        for name in _COUNTS:
            setattr(tally, name, snapshot[name])
        tally.status = Counter(dict(snapshot["status"]))
        tally.errors = Counter(dict(snapshot["errors"]))
        histogram = tally.histogram
        histogram.count, histogram.total, histogram.max = snapshot["latency"]
        histogram.min = math.inf if snapshot["fastest"] is None else snapshot["fastest"]
        histogram.buckets = Counter(dict(snapshot["buckets"]))
        tally._hosts = {host: times for host, *times in snapshot["hosts"]}
        return tally

    def _add_outcome(self, result: Result) -> None:
        if result.error_type is not None:
            self.errors[result.error_type.value] += 1
        if result.status is not None:
            self.status[result.status] += 1

    def _add_host(self, host: str, elapsed: float, ok: bool) -> None:
        times = self._times_of(host)
        if times is None:
            return
        times[0] += 1
        times[1] += not ok
        times[2] += elapsed
        if elapsed > times[3]:
            times[3] = elapsed

    def _times_of(self, host: str) -> list[float] | None:
        """URLs, failures, seconds and the longest of a host; None: there are too many others."""
        times = self._hosts.get(host)
        if times is None and len(self._hosts) < _MOST_HOSTS:
            times = self._hosts[host] = [0, 0, 0.0, 0.0]
        return times

    def slowest_hosts(self, most: int = 5) -> list[HostLine]:
        """The hosts with the largest mean, slowest first; none where there is but one."""
        if len(self._hosts) < 2:
            return []
        ranked = sorted(self._hosts.items(), key=lambda item: item[1][2] / item[1][0], reverse=True)[:most]
        return [
            HostLine(host, int(urls), int(failed), total / urls, longest)
            for host, (urls, failed, total, longest) in ranked
        ]

    def summary(self, elapsed: float, *, interrupted: bool) -> Summary:
        """What the run gave in so many seconds."""
        return Summary(
            urls=self.urls,
            ok=self.ok,
            failed=self.failed,
            retries=self.retries,
            bytes=self.bytes,
            wire_bytes=self.wire_bytes,
            elapsed=elapsed,
            requests_per_second=_rate(self.urls, elapsed),
            latency=self.histogram.latency(),
            status={str(status): count for status, count in sorted(self.status.items())},
            errors=dict(sorted(self.errors.items())),
            interrupted=interrupted,
        )

    def timing(self, elapsed: float, concurrency: int, sequential: float | None) -> Timing:
        """
        Concurrent against one at a time.

        `sequential` is the measured time of the sequential pass. Without it the sum of the times on the wire stands
        there as an upper estimate, and no speed-up is claimed: under load that sum says how many were in flight.
        """
        measured = sequential is not None
        alone = sequential if sequential is not None else self.wire_time
        return Timing(
            concurrent=Pace(elapsed, _rate(self.urls, elapsed), concurrency),
            sequential=Pace(alone, _rate(self.urls, alone), measured=measured),
            speedup=alone / elapsed if measured and elapsed > 0 else None,
        )


def edge(bucket: int) -> float:
    """The lower bound of a histogram's bucket, in seconds."""
    return float(2 ** (bucket / _STEPS))


def host_of(url: str) -> str:
    """Host and port of a serialised URL; the userinfo is left out."""
    start = url.find("://") + 3
    return url[start : url.find("/", start)].rpartition("@")[2]


def _rate(count: int, seconds: float) -> float | None:
    return count / seconds if seconds > 0 else None
