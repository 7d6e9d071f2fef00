"""
When shards were fetched, side by side or one after the other: how long that took in all, and how many were at once.

Pure: times in, figures out.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Span(NamedTuple):
    """One shard's time, in seconds since 1970, and how many of its requests were on the wire at once."""

    start: float
    end: float
    concurrency: int


def elapsed(spans: Iterable[Span]) -> float:
    """Seconds in which at least one was under way; breaks are left out."""
    total, reached = 0.0, float("-inf")
    for span in sorted(spans):
        total += max(span.end - max(span.start, reached), 0.0)
        reached = max(reached, span.end)
    return total


def most_at_once(spans: Iterable[Span]) -> int:
    """The requests on the wire at once where most were under way together."""
    changes = []
    for span in spans:
        changes += [(span.start, span.concurrency), (span.end, -span.concurrency)]
    most = now = 0
    for _, change in sorted(changes):  # an end before a start at the same moment
        now += change
        most = max(most, now)
    return most
