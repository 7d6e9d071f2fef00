"""
How the pool is fed: any source, blocking or not, as an awaitable that gives a few requests when they are wanted.

Knows threads and iterators; it must not know where the requests come from.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice
from typing import Protocol

from fetchall.records import Request

_AHEAD = 2
"""Batches that a reader thread holds ready: one in use, one to come."""

Urls = Iterable[str | Request] | AsyncIterable[str | Request]


class Feed(Protocol):
    """Where the pool takes requests from."""

    async def take(self, wanted: int) -> list[Request]:
        """At least one request, about as many as wanted; none at the end. Raises `SourceError`."""

    def close(self) -> None:
        """Nothing more will be taken."""


def _request(item: str | Request, index: int) -> Request:
    """Numbered by its place in the list, whatever number a `Request` brings along."""
    if isinstance(item, str):
        return Request(item, index)
    return item if item.index == index else replace(item, index=index)


class IterableFeed:
    """The caller's own iterable, advanced on the loop and no further than is wanted."""

    def __init__(self, urls: Iterable[str | Request]) -> None:
        self._items = enumerate(urls)

    async def take(self, wanted: int) -> list[Request]:
        """See `Feed`."""
        return [_request(item, index) for index, item in islice(self._items, wanted)]

    def close(self) -> None:
        """See `Feed`."""


class AsyncFeed:
    """The caller's own asynchronous iterable, one item at a time."""

    def __init__(self, urls: AsyncIterable[str | Request]) -> None:
        self._items: AsyncIterator[str | Request] = aiter(urls)
        self._index = 0

    async def take(self, wanted: int) -> list[Request]:
        """See `Feed`."""
        try:
            item = await anext(self._items)
        except StopAsyncIteration:
            return []
        self._index += 1
        return [_request(item, self._index - 1)]

    def close(self) -> None:
        """See `Feed`."""


class ThreadFeed:
    """
    A blocking iterator of batches, read in a daemon thread: a hung pipe holds up neither the loop nor the exit.

    The thread reads at most two batches ahead. What `prepare` does there comes first; `prepared` waits for it.
    """

    def __init__(self, batches: Iterator[list[Request]], prepare: Callable[[], None] | None = None) -> None:
        self._prepare = prepare
        self._prepared: asyncio.Future[None] | None = None
        self._batches = batches
        self._loop = asyncio.get_running_loop()
        self._ready: deque[list[Request] | BaseException] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._room = threading.Semaphore(_AHEAD)
        self._closed = False
        if prepare is not None:
            self._prepared = self._loop.create_future()
        threading.Thread(target=self._read, name="fetchall-source", daemon=True).start()

    async def prepared(self, stopped: asyncio.Event) -> bool:
        """Until `prepare` has returned, raising what it raised; False: `stopped` came before."""
        assert self._prepared is not None
        stop = asyncio.ensure_future(stopped.wait())
        try:
            await asyncio.wait((self._prepared, stop), return_when=asyncio.FIRST_COMPLETED)
        finally:
            stop.cancel()
        if self._prepared.done():
            self._prepared.result()
            return True
        self._prepared.cancel()
        return False

    async def take(self, wanted: int) -> list[Request]:
        """See `Feed`."""
        if not self._ready:
            self._waiter = self._loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        item = self._ready[0]
        if isinstance(item, BaseException):
            raise item
        if item:
            self._ready.popleft()
            self._room.release()
        return item

    def close(self) -> None:
        """See `Feed`; the thread ends at its next batch."""
        self._closed = True
        self._room.release()

    def _read(self) -> None:
        if self._prepare is not None and not self._run_first(self._prepare):
            return
        item: list[Request] | BaseException
        while True:
            self._room.acquire()
            if self._closed:
                return
            try:
                item = next(self._batches, [])
            except BaseException as error:
                item = error
            try:
                self._loop.call_soon_threadsafe(self._deliver, item)
            except RuntimeError:  # the loop was closed meanwhile
                return
            if not item or isinstance(item, BaseException):
                return

    def _run_first(self, prepare: Callable[[], None]) -> bool:
        error: BaseException | None = None
        try:
            prepare()
        except BaseException as raised:
            error = raised
        try:
            self._loop.call_soon_threadsafe(self._settle, error)
        except RuntimeError:  # the loop was closed meanwhile
            return False
        return error is None

    def _settle(self, error: BaseException | None) -> None:
        assert self._prepared is not None
        if self._prepared.done():
            return
        if error is None:
            self._prepared.set_result(None)
        else:
            self._prepared.set_exception(error)

    def _deliver(self, item: list[Request] | BaseException) -> None:
        self._ready.append(item)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def feed_of(urls: Urls) -> Feed:
    """The feed that suits an iterable."""
    return AsyncFeed(urls) if isinstance(urls, AsyncIterable) else IterableFeed(urls)
