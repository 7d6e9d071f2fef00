"""
Every result to every output, and what they add up to.

Knows sinks, the tally and the bar; it must not know HTTP, nor how results come about.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import NamedTuple

from fetchall.options import Options
from fetchall.records import Result, Summary, Timing
from fetchall.rows import Columns, Row
from fetchall.sinks import Ending, Narrator, ResultReader, Sink
from fetchall.sinks.outlet import StandardStream
from fetchall.tally import Tally

_AT_ONCE = 500
"""Old rows that are written before the loop gets its turn: a few milliseconds."""
REFRESH = 0.1
"""Seconds between two looks of the bar."""


class Sheaf(NamedTuple):
    """Rows that were made where they were fetched, and what they add up to."""

    rows: list[Row]
    tally: Tally


class Report:
    """
    Takes results in batches and hands their rows to the sinks before it returns.

    `closing` are the sinks in the order in which they end: after one that fails, none is complete.
    With `tally` it goes on where an earlier run stopped.
    `show` is told of progress at most ten times a second; `echo` of every result, for a person who reads along.
    """

    def __init__(
        self,
        sinks: Sequence[Sink],
        columns: Columns,
        *,
        closing: Sequence[Sink] | None = None,
        stream: StandardStream | None = None,
        tally: Tally | None = None,
        show: Callable[[Tally], None] | None = None,
        echo: Callable[[Result], None] | None = None,
    ) -> None:
        self.tally = tally or Tally()
        self._sinks = tuple(sinks)
        self._closing = tuple(closing if closing is not None else sinks)
        self._narrators = [sink for sink in self._sinks if isinstance(sink, Narrator)]
        self._behind: list[Sink] = []
        self._columns = columns
        self._stream = stream
        self._show = show
        self._echo = echo
        self._shown_at = 0.0
        self._room = asyncio.Event()

    def __repr__(self) -> str:
        return f"<Report {self.tally.urls} results to {len(self._sinks)} sinks>"

    def begin(self, sources: Sequence[str], options: Options) -> bool:
        """Say what is about to be run to who tells of it; False: nobody does, so that timings need not be noted."""
        for sink in self._narrators:
            sink.begin(sources, options)
        return bool(self._narrators)

    def add_sequential(self, results: Sequence[Result]) -> None:
        """Results of the pass that fetches one at a time, for who tells of it."""
        for sink in self._narrators:
            sink.sequential(results)

    def add(self, results: Sequence[Result]) -> None:
        """Count results and write their rows; raises OSError where an output can't be written."""
        self._write([Row(result, self._columns) for result in results], partial(self._count, results))
        if self._echo is not None:
            for result in results:
                self._echo(result)

    def add_made(self, sheaf: Sheaf) -> None:
        """Rows that were made, and counted, elsewhere; see `add`."""
        self._write(sheaf.rows, partial(self.tally.merge, sheaf.tally))

    @property
    def wants_results(self) -> bool:
        """Whether somebody reads results, so that rows are not enough."""
        return self._echo is not None or any(isinstance(sink, (Narrator, ResultReader)) for sink in self._sinks)

    def _count(self, results: Sequence[Result]) -> None:
        count = self.tally.add
        for result in results:
            count(result)

    def _write(self, rows: Sequence[Row], count: Callable[[], None]) -> None:
        # What the first sink has, which is the journal where there is one, counts; so the two agree whatever fails.
        behind = [sink for sink in self._sinks[:1] if sink.write(rows)]
        count()
        self._behind = behind + [sink for sink in self._sinks[1:] if sink.write(rows)]
        if self._show is not None and (now := time.monotonic()) - self._shown_at >= REFRESH:
            self._shown_at = now
            self._show(self.tally)

    @property
    def full(self) -> bool:
        """An output is behind: await `catch_up` before more is added."""
        return bool(self._behind) or (self._stream is not None and self._stream.full)

    async def catch_up(self) -> None:
        """Until every output has taken what it can, at its reader's speed."""
        while self.full:
            if self._stream is not None and self._stream.full:
                self._room.clear()
                await self._room.wait()
            else:
                await asyncio.sleep(0)
            self._behind = [sink for sink in self._behind if sink.write(())]

    async def replay(self, sinks: Sequence[Sink], rows: Iterable[Row]) -> None:
        """Give rows of an earlier run to sinks that begin anew, while the run goes on; raises OSError."""
        source = iter(rows)
        while batch := list(islice(source, _AT_ONCE)):
            self._behind = [sink for sink in sinks if sink.write(batch)]
            await asyncio.sleep(0)
            if self.full:
                await self.catch_up()

    def on_room(self) -> None:
        """The stream's reader has caught up."""
        self._room.set()

    def end(
        self, elapsed: float, concurrency: int, sequential: float | None, *, complete: bool
    ) -> tuple[Summary, Timing]:
        """Close every output; raises OSError, after having tried them all."""
        summary = self.tally.summary(elapsed, interrupted=not complete)
        timing = self.tally.timing(elapsed, concurrency, sequential)
        self.close(Ending(summary, timing, complete))
        return summary, timing

    def close(self, ending: Ending) -> None:
        """The same, with what is to be said last."""
        failures: list[OSError] = []
        for sink in self._closing:
            try:
                sink.close(replace(ending, complete=ending.complete and not failures))
            except OSError as error:
                failures.append(error)
        if failures:
            raise failures[0]

    def abort(self) -> None:
        """Leave the outputs as they are."""
        for sink in self._sinks:
            try:
                sink.abort()
            except OSError:
                continue
