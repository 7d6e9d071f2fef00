"""
The library: a stream of results, or all of them in a list. The command line is made of these.

Must not know click.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from fetchall import descriptors
from fetchall.options import Options, resolve_options
from fetchall.records import Result
from fetchall.refresh import refreshing
from fetchall.run import Run
from fetchall.source.feed import Feed, Urls, feed_of
from fetchall.wire.session import Session

if TYPE_CHECKING:
    from fetchall.engines.crew import Crew
    from fetchall.report import Sheaf
    from fetchall.rows import Columns

_SHEAVES = 64
"""Sheaves of some hundred rows that may wait for their reader."""


async def fetch_all(urls: Urls, options: Options | None = None, **changes: Any) -> list[Result]:
    """
    Fetch every URL and return a list in input order, as `asyncio.gather` would give it.

    `urls` is any iterable or asynchronous iterable of strings or `Request`s; `changes` are fields of `Options`.
    Nothing is raised for what a network did; `InvalidOptions` and `SourceError` are the caller's own mistakes.
    """
    async with stream(urls, options, **changes) as results:
        found = [result async for result in results]
    return sorted(found, key=lambda result: result.index)


def stream(urls: Urls, options: Options | None = None, **changes: Any) -> Stream:
    """
    Fetch every URL; results come as they finish.

    Use it as an asynchronous iterator, or with `async with` where it is left early: leaving it cancels what is in
    flight and closes every connection. `urls` and `changes` are as for `fetch_all`; the list is read lazily.
    """
    return Stream(feed_of(urls), resolve_options(options, changes))


class _Handoff:
    """Results between the run and whoever reads them; bounded, so that a slow reader slows the run."""

    def __init__(self, bound: int) -> None:
        self.ready: deque[Any] = deque()
        """Results, or sheaves of rows."""
        self.waiter: asyncio.Future[None] | None = None
        self._bound = bound
        self.refused = False
        """The run was told that there is no room, and must be woken when there is."""

    def put(self, item: Any) -> None:
        """From the run."""
        self.ready.append(item)
        self.notify()

    def notify(self) -> None:
        """There is something to read, or there will be nothing more."""
        if self.waiter is not None and not self.waiter.done():
            self.waiter.set_result(None)

    def room(self) -> bool:
        """Whether the run may begin another request."""
        if len(self.ready) < self._bound:
            return True
        self.refused = True
        return False


class Stream:
    """
    The results of one run, as they finish.

    `stop()` begins nothing more; what is in flight still comes. `abandon()` gives that up too.
    """

    def __init__(self, feed: Feed, options: Options, columns: Columns | None = None) -> None:
        """With `columns`, and several processes: rows are made where they are fetched, and come by `sheaves`."""
        # First of all, since what the options can't be leaves a half-made object to `__del__`.
        self._task: asyncio.Task[None] | None = None
        if options.auto:
            options = dataclasses.replace(options, concurrency=descriptors.allowed(options.concurrency))
        self._options = options
        self._columns = columns
        self._session = Session(options)
        if options.process_count > 1:
            from fetchall.engines.charter import charter_of

            charter_of(options, columns, self._session.jar)  # said here what can't be
        self._feed = refreshing(feed, options)
        # Nothing that runs refers to this object: dropping it is leaving early.
        self._handoff = _Handoff(2 * options.concurrency + 64 if columns is None else _SHEAVES)
        self._run: Run | Crew | None = None

    def __repr__(self) -> str:
        return f"<Stream {len(self._handoff.ready)} results ready, {self._run!r}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        ready = self._handoff.ready
        if not ready:
            await self._more()
        result: Result = ready.popleft()
        self._took()
        return result

    async def batches(self) -> AsyncIterator[list[Result]]:
        """The same results in lists: whatever has finished since the last list was taken."""
        async for batch in self._batches():
            yield batch

    async def sheaves(self) -> AsyncIterator[Sheaf]:
        """The rows of several processes, as they were made there."""
        async for batch in self._batches():
            for sheaf in batch:
                yield sheaf

    async def _batches(self) -> AsyncIterator[list[Any]]:
        ready = self._handoff.ready
        while True:
            if not ready:
                try:
                    await self._more()
                except StopAsyncIteration:
                    return
            batch = list(ready)
            ready.clear()
            self._took()
            yield batch

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __del__(self) -> None:
        """Left early, without a word: end the run all the same."""
        if self._task is not None and not self._task.done() and not self._task.get_loop().is_closed():
            self._task.cancel()

    async def aclose(self) -> None:
        """Cancel what is in flight and close every connection; results not yet taken are dropped."""
        self._handoff.ready.clear()
        if self._task is None:
            self._feed.close()
            return
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.gather(self._task, return_exceptions=True)

    def stop(self) -> None:
        """Begin no further request; those in flight finish and are still given out."""
        if self._run is not None:
            self._run.stop()

    def abandon(self) -> None:
        """Stop, and cancel what is in flight; it has no result."""
        if self._run is not None:
            self._run.abandon()

    @property
    def in_flight(self) -> int:
        """Requests on the wire."""
        return self._run.in_flight if self._run is not None else 0

    @property
    def concurrency(self) -> int:
        """How many may be in flight; with `auto`, the number found, or reached while it still climbs."""
        return self._run.concurrency if self._run is not None else self._options.concurrency

    @property
    def settled(self) -> bool:
        """False: with `auto`, the list was too short to find the best `concurrency`."""
        return self._run is None or self._run.settled

    @property
    def truncated(self) -> bool:
        """True: `max_run_time` ended the run before the list did."""
        return self._run is not None and self._run.truncated

    def _took(self) -> None:
        handoff = self._handoff
        if handoff.refused and self._run is not None:
            handoff.refused = False
            self._run.wake()

    async def _more(self) -> None:
        """Wait until something is ready; raises StopAsyncIteration at the end, and what ended the run."""
        handoff = self._handoff
        if self._task is None:
            self._task = self._start()
        while not handoff.ready:
            if self._task.done():
                self._task.result()
                raise StopAsyncIteration
            handoff.waiter = asyncio.get_running_loop().create_future()
            await handoff.waiter

    def _start(self) -> asyncio.Task[None]:
        handoff = self._handoff
        if self._options.process_count > 1:
            from fetchall.engines.crew import Crew

            self._run = Crew(self._feed, self._options, self._session, handoff.put, handoff.room, self._columns)
        else:
            self._run = Run(self._feed, self._options, self._session, handoff.put, handoff.room)
        task = asyncio.create_task(self._run.go())
        task.add_done_callback(lambda _: handoff.notify())
        return task
