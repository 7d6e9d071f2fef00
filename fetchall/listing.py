"""
The list that a command names, as often as the run reads it: once for each pass, and what is done left out of it.

Knows sources and what an earlier run left; it must not know outputs or HTTP.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack

from fetchall.options import Reporting
from fetchall.records import Request
from fetchall.resume import Past
from fetchall.source import STDIN, Reading, count, has_columns, read_sources
from fetchall.source.feed import Feed, IterableFeed, ThreadFeed


class Listing:
    """The sources of a command, or the `urls` that it brings itself."""

    def __init__(self, sources: Sequence[str], reading: Reading, urls: list[str] | None = None) -> None:
        self._sources = tuple(sources)
        self._reading = reading
        self._urls = urls
        self._copies: list[int] | None = None
        """Of stdin, where it is read twice."""

    def read_twice(self, stack: AsyncExitStack) -> None:
        """There will be two passes: stdin is copied for the second."""
        if self._urls is None and STDIN in self._sources:
            self._copies = _copies(stack)

    def feed(self) -> Feed:
        """The whole list."""
        return ThreadFeed(self._batches()) if self._urls is None else IterableFeed(self._urls)

    def feed_after(self, past: Past) -> ThreadFeed:
        """The list without what is done; it is `prepared` once that is known."""
        batches = self._batches()

        def prepare() -> None:
            past.read()
            past.compare(batches)

        return ThreadFeed(past.remaining(batches), prepare)

    def has_columns(self) -> bool:
        """Whether rows may have further columns of the list."""
        return self._urls is None and has_columns(self._sources, self._reading)

    def total(self) -> int | None:
        """How many rows there will be, where that can be known."""
        return len(self._urls) if self._urls is not None else count(self._sources, self._reading)

    def _batches(self) -> Iterator[list[Request]]:
        if self._urls is not None:
            return iter([[Request(url, index) for index, url in enumerate(self._urls)]])
        if self._copies is None:
            return read_sources(self._sources, reading=self._reading)
        return read_sources(self._sources, self._copies.pop(), self._reading)


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
