"""How the pool is fed: lazily, numbered by place, and without a thread that could hold up the end."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

from fetchall.errors import SourceError
from fetchall.records import Request
from fetchall.source import read_sources
from fetchall.source.feed import AsyncFeed, Feed, IterableFeed, ThreadFeed, feed_of


async def drained(feed: Feed, wanted: int = 3) -> list[Request]:
    found = []
    while batch := await feed.take(wanted):
        found += batch
    return found


async def named(count: int) -> AsyncIterator[str]:
    for number in range(count):
        await asyncio.sleep(0)
        yield f"http://a/{number}"


def batches(*sizes: int) -> Iterator[list[Request]]:
    index = 0
    for size in sizes:
        yield [Request("http://a/", index + place) for place in range(size)]
        index += size


async def test_an_iterable_is_read_no_further_than_wanted() -> None:
    taken = []

    def urls() -> Iterator[str]:
        for number in range(1000):
            taken.append(number)
            yield f"http://a/{number}"

    feed = feed_of(urls())
    assert [request.url for request in await feed.take(2)] == ["http://a/0", "http://a/1"]
    assert taken == [0, 1]


async def test_an_asynchronous_iterable_is_read_one_at_a_time() -> None:
    feed = feed_of(named(3))
    assert isinstance(feed, AsyncFeed)
    assert [request.index for request in await feed.take(100)] == [0]
    assert [request.index for request in await drained(feed)] == [1, 2]


@pytest.mark.parametrize("kind", ["iterable", "asynchronous"])
async def test_requests_are_numbered_by_their_place_whatever_number_they_bring(kind: str) -> None:
    listed: list[str | Request] = [Request("http://a/"), Request("http://b/", 7, method="HEAD"), "http://c/"]

    async def later() -> AsyncIterator[str | Request]:
        for item in listed:
            yield item

    found = await drained(feed_of(listed if kind == "iterable" else later()))
    assert [(request.index, request.url) for request in found] == [(0, "http://a/"), (1, "http://b/"), (2, "http://c/")]
    assert found[1].method == "HEAD"


async def test_an_empty_list_ends_at_once() -> None:
    assert await IterableFeed(()).take(5) == []
    assert await feed_of(named(0)).take(5) == []
    assert await ThreadFeed(batches()).take(5) == []


async def test_a_thread_gives_every_batch_in_order() -> None:
    found = await drained(ThreadFeed(batches(3, 1, 5)))
    assert [request.index for request in found] == list(range(9))


async def test_a_thread_reads_at_most_two_batches_ahead() -> None:
    begun: list[int] = []
    third = threading.Event()

    def source() -> Iterator[list[Request]]:
        for number in range(100):
            begun.append(number)
            if number == 2:
                third.set()
            yield [Request("http://a/", number)]

    feed = ThreadFeed(source())
    # The third batch is begun only when the first has been taken.
    assert not await asyncio.to_thread(third.wait, 0.05)
    assert len(begun) <= 2
    assert [request.index for request in await feed.take(1)] == [0]
    assert await asyncio.to_thread(third.wait, 5)
    assert len(begun) <= 3
    feed.close()


async def test_what_a_source_raises_is_raised_where_requests_are_taken_and_again() -> None:
    def source() -> Iterator[list[Request]]:
        yield [Request("http://a/")]
        raise SourceError("list: gone")

    feed = ThreadFeed(source())
    assert len(await feed.take(1)) == 1
    for _ in range(2):
        with pytest.raises(SourceError, match="gone"):
            await feed.take(1)


async def test_a_thread_that_hangs_in_a_read_holds_up_neither_the_loop_nor_the_end() -> None:
    reader, writer = os.pipe()
    feed = ThreadFeed(read_sources(["-"], stdin=reader))
    taking = asyncio.ensure_future(feed.take(1))
    await asyncio.sleep(0.01)
    assert not taking.done()
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    feed.close()
    assert all(thread.daemon for thread in threading.enumerate() if thread.name == "fetchall-source")
    os.close(writer)
    os.close(reader)


async def test_a_take_that_was_cancelled_loses_nothing() -> None:
    go = threading.Event()

    def source() -> Iterator[list[Request]]:
        go.wait(5)
        yield from batches(2, 2)

    feed = ThreadFeed(source())
    taking = asyncio.ensure_future(feed.take(1))
    await asyncio.sleep(0)
    taking.cancel()
    await asyncio.gather(taking, return_exceptions=True)
    go.set()
    assert [request.index for request in await drained(feed)] == [0, 1, 2, 3]


async def test_the_thread_ends_when_the_feed_is_closed() -> None:
    before = set(threading.enumerate())
    feed = ThreadFeed(batches(*[1] * 1000))
    await feed.take(1)
    threads = [thread for thread in threading.enumerate() if thread not in before]
    assert [thread.name for thread in threads] == ["fetchall-source"]
    feed.close()
    await asyncio.to_thread(threads[0].join, 5)
    assert not threads[0].is_alive()
