"""
The list that a command names, as often as the run reads it: once for each pass, and what is done left out of it.

Knows sources, shards and what an earlier run left; it must not know outputs or HTTP.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AsyncExitStack

from fetchall.dealing import share_of, site_of
from fetchall.fingerprint import Fingerprint
from fetchall.options import Reporting
from fetchall.records import Request
from fetchall.resume import Past
from fetchall.source import STDIN, Reading, count, has_columns, read_sources
from fetchall.source.feed import Feed, IterableFeed, ThreadFeed
from fetchall.units import Shard


class Listing:
    """The sources of a command, or the `urls` that it brings itself; of these one shard, where one is named."""

    def __init__(
        self, sources: Sequence[str], reading: Reading, urls: list[str] | None = None, shard: Shard | None = None
    ) -> None:
        self._sources = tuple(sources)
        self._reading = reading
        self._urls = urls
        self._shard = shard
        self.whole = Fingerprint()
        """Of the whole list, of which a shard is part; complete when that has been read."""
        self._copies: list[int] | None = None
        """Of stdin, where it is read twice."""

    def read_twice(self, stack: AsyncExitStack) -> None:
        """There will be two passes: stdin is copied for the second."""
        if self._urls is None and STDIN in self._sources:
            self._copies = _copies(stack)

    def feed(self) -> Feed:
        """The whole list."""
        return ThreadFeed(self.batches()) if self._urls is None else IterableFeed(self._urls)

    def feed_after(self, past: Past) -> ThreadFeed:
        """The list without what is done; it is `prepared` once that is known."""
        batches = self.batches()

        def prepare() -> None:
            past.read()
            past.compare(batches)

        return ThreadFeed(past.remaining(batches), prepare)

    def has_columns(self) -> bool:
        """Whether rows may have further columns of the list."""
        return self._urls is None and has_columns(self._sources, self._reading)

    def total(self) -> int | None:
        """How many rows there will be, where that can be known."""
        if self._shard is not None:
            return None
        return len(self._urls) if self._urls is not None else count(self._sources, self._reading)

    def batches(self) -> Iterator[list[Request]]:
        """The requests, read as they are wanted, none of them empty."""
        if self._urls is not None:
            return iter([[Request(url, index) for index, url in enumerate(self._urls)]])
        stdin = self._copies.pop() if self._copies is not None else 0
        batches = read_sources(self._sources, stdin, self._reading)
        if self._shard is None:
            return batches
        self.whole = Fingerprint()
        return of_shard(self.whole.watching(batches), self._shard)


def of_shard(batches: Iterable[list[Request]], shard: Shard) -> Iterator[list[Request]]:
    """What of a list belongs to one shard, each site wholly to one; the index stays that in the whole list."""
    mine = shard.number - 1
    for batch in batches:
        if found := [request for request in batch if share_of(site_of(request.url), shard.of) == mine]:
            yield found


def reading_of(reporting: Reporting) -> Reading:
    """How the command says that its lists are to be read."""
    return Reading(reporting.input_format, reporting.url_column, reporting.glob)


def _copies(stack: AsyncExitStack) -> list[int]:
    """Two descriptors of a copy of stdin, each of which can be read once; it is gone with the process."""
    descriptor, name = tempfile.mkstemp(prefix="fetchall-stdin-")
    copies = [os.open(name, os.O_RDONLY | os.O_CLOEXEC) for _ in range(2)]
    os.unlink(name)
    for copy in copies:
        stack.callback(os.close, copy)
    with open(descriptor, "wb") as spool:
        while block := os.read(0, 1 << 20):
            spool.write(block)
    return copies
