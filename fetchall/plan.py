"""
What a list holds, before anything is sent: how many URLs, hosts, duplicates and bad lines, and how long at least.

Knows lists and limits; it must not know HTTP.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from fetchall.dedupe import Seen, key_of
from fetchall.listing import Listing, reading_of
from fetchall.options import Options, Reporting
from fetchall.preflight import STDOUT
from fetchall.records import Fault, Origin, Request
from fetchall.rows import dumps
from fetchall.sinks.upload import write_document
from fetchall.units import format_seconds
from fetchall.urls import parse

LARGEST = 10
"""Hosts that are named."""


class Plan:
    """Counts requests without sending one. Memory grows with the hosts, not with the list."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._seen = Seen()
        self.rows = 0
        self.duplicates = 0
        self.hosts: Counter[Origin] = Counter()
        self.errors: Counter[str] = Counter()

    def add(self, requests: Iterable[Request]) -> None:
        """Count requests."""
        for request in requests:
            self.rows += 1
            target = request.fault or parse(request.url)
            if isinstance(target, Fault):
                self.errors[target.type.value] += 1
            elif self._seen.add(key_of(request, target, self._options.verb_of(request.method, request.body))):
                self.hosts[target.origin] += 1
            else:
                self.duplicates += 1
                if not self._options.dedupe:
                    self.hosts[target.origin] += 1

    def close(self) -> None:
        """Drop what was remembered of the URLs."""
        self._seen.close()

    @property
    def requests(self) -> int:
        """How many would be sent, redirects, retries and robots.txt apart."""
        return self.hosts.total()

    @property
    def least_seconds(self) -> float:
        """How long the starts alone take under the rates given; 0 without any."""
        options = self._options
        least = 0.0
        if options.rate and self.requests:
            least = (self.requests - 1) / options.rate
        if options.per_host_rate and self.hosts:
            least = max(least, (max(self.hosts.values()) - 1) / options.per_host_rate)
        return least

    def fields(self) -> dict[str, Any]:
        """The plan as a document."""
        return {
            "rows": self.rows,
            "requests": self.requests,
            "hosts": len(self.hosts),
            "duplicates": self.duplicates,
            "errors": dict(sorted(self.errors.items())),
            "largest_hosts": [{"host": str(host), "urls": urls} for host, urls in self.hosts.most_common(LARGEST)],
            "least_seconds": self.least_seconds,
        }

    def text(self) -> str:
        """The plan for a person."""
        lines = [
            f"{self.rows:,} rows: {self.requests:,} requests to {len(self.hosts):,} hosts, "
            f"{self.duplicates:,} duplicates, {self.errors.total():,} that can't be fetched"
        ]
        lines += [f"  {count:>9,}  {error}" for error, count in sorted(self.errors.items())]
        if self.hosts:
            lines.append("Largest hosts")
            lines += [
                f"  {urls:>9,}  {urls / self.requests:>4.0%}  {host}" for host, urls in self.hosts.most_common(LARGEST)
            ]
        lines.append(self._duration())
        return "\n".join(lines)

    def _duration(self) -> str:
        if not self.least_seconds:
            return "No rate is set: it takes as long as the servers do."
        return f"At the rates given it takes at least {format_seconds(self.least_seconds)}, and what the servers add."


def tell_plan(sources: Sequence[str], options: Options, reporting: Reporting) -> None:
    """Read the list and send nothing."""
    plan = Plan(options)
    for batch in Listing(sources, reading_of(reporting), shard=reporting.shard).batches():
        plan.add(batch)
    plan.close()
    document = dumps(plan.fields())
    for place in reporting.output:
        if place != STDOUT:
            write_document(place, document)
    if STDOUT in reporting.output or reporting.format in ("json", "jsonl"):
        os.write(1, document + b"\n")
    elif not reporting.quiet:
        print(plan.text())
