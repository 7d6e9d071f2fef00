"""The library over a real server: results as promised, and nothing left behind however it ends."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

import fetchall
from fetchall import ErrorType, InvalidOptions, Options, Request, Result, fetch_all, stream
from tests.faults import FaultServer


def sockets() -> int:
    """Open sockets of this process."""
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            found += os.readlink(f"/proc/self/fd/{name}").startswith("socket:")
        except OSError:
            continue
    return found


async def quiet(server: FaultServer, tasks: set[asyncio.Task[Any]]) -> None:
    """No task of ours is left, and no connection to the server."""
    assert asyncio.all_tasks() <= tasks
    assert await asyncio.to_thread(server.quiet, 5)


async def test_fetch_all_gives_a_list_in_input_order(server: FaultServer) -> None:
    paths = ["/delay/0.15", "/bytes/3", "/delay/0.05", "/status/404", "/bytes/0"]
    results = await fetch_all([server.url(path) for path in paths], concurrency=5)
    assert [result.url for result in results] == [server.url(path) for path in paths]
    assert [result.index for result in results] == [0, 1, 2, 3, 4]
    assert [result.status for result in results] == [200, 200, 200, 404, 200]
    assert [result.ok for result in results] == [True, True, True, False, True]
    assert [result.size for result in results] == [4, 3, 4, 6, 0]


async def test_stream_gives_results_as_they_finish(server: FaultServer) -> None:
    urls = [server.url(path) for path in ("/delay/0.3", "/bytes/1", "/delay/0.15")]
    found = [result.index async for result in stream(urls)]
    assert found == [1, 2, 0]


async def test_requests_of_the_callers_own_keep_their_places_and_what_they_bring(server: FaultServer) -> None:
    listed: list[str | Request] = [
        Request(server.url("/delay/0.1")),
        Request(server.url("/echo"), method="PUT", headers=(("X-Own", "1"),), body=b"hello"),
        server.url("/bytes/2"),
    ]
    results = await fetch_all(listed, body=True)
    assert [result.index for result in results] == [0, 1, 2]
    (asked,) = server.seen.to("/echo")
    assert (asked.method, asked.body, asked.value("x-own")) == ("PUT", b"hello", "1")


async def test_a_list_may_come_slowly_and_the_first_result_before_its_end(server: FaultServer) -> None:
    end = asyncio.Event()

    async def urls() -> AsyncIterator[str]:
        yield server.url("/bytes/1")
        await end.wait()
        yield server.url("/bytes/2")

    found = []
    async for result in stream(urls()):
        found.append(result.size)
        end.set()
    assert found == [1, 2]


async def test_a_list_is_read_lazily(server: FaultServer) -> None:
    taken = 0

    def urls() -> Iterator[str]:
        nonlocal taken
        for _ in range(10_000):
            taken += 1
            yield server.url("/bytes/1")

    async with stream(urls(), concurrency=2) as results:
        await anext(results)
        await asyncio.sleep(0.05)
    # Results wait for a slow reader up to a bound; beyond it no more is begun.
    assert taken < 500


async def test_a_network_raises_nothing(server: FaultServer) -> None:
    urls = [
        server.url("/"),
        server.url("/truncated"),
        server.url("/garbage"),
        server.url("/", port="refused"),
        server.url("/", port="tls-self-signed"),
        "http://a..b/",
        "ftp://127.0.0.1/",
        "",
        "http://127.0.0.1\udcff/",
    ]
    results = await fetch_all(urls, retries=0)
    assert [result.error_type for result in results] == [
        None,
        ErrorType.TRUNCATED,
        ErrorType.PROTOCOL,
        ErrorType.CONNECT_REFUSED,
        ErrorType.TLS_CERTIFICATE,
        ErrorType.INVALID_URL,
        ErrorType.UNSUPPORTED_SCHEME,
        ErrorType.INVALID_URL,
        ErrorType.INVALID_URL,
    ]
    assert all(result.error for result in results[1:])


@pytest.mark.parametrize("concurrency", [1, 4])
async def test_so_many_are_on_the_wire_at_once(concurrency: int, server: FaultServer) -> None:
    await fetch_all([server.url("/delay/0.03")] * 12, concurrency=concurrency)
    assert server.seen.max_in_flight[""] == concurrency


async def test_a_stream_left_early_leaves_no_task_and_no_connection(server: FaultServer) -> None:
    tasks = asyncio.all_tasks()
    async with stream([server.url("/bytes/1"), *[server.url("/never")] * 50], concurrency=5) as results:
        assert (await anext(results)).ok
    await quiet(server, tasks)
    assert len(server.seen.to("/never")) <= 5


async def test_a_stream_that_is_dropped_without_a_word_ends_as_well(server: FaultServer) -> None:
    tasks = asyncio.all_tasks()
    async for result in stream([server.url("/bytes/1"), *[server.url("/never")] * 5]):
        assert result.ok
        break
    gc.collect()
    for _ in range(100):
        await asyncio.sleep(0.01)
        if asyncio.all_tasks() <= tasks:
            break
    await quiet(server, tasks)


async def test_a_stream_that_was_never_begun_needs_no_end(server: FaultServer) -> None:
    tasks = asyncio.all_tasks()
    async with stream([server.url("/bytes/1")]):
        pass
    stream([server.url("/bytes/1")])
    assert asyncio.all_tasks() <= tasks
    assert server.seen.requests == []


async def test_cancelling_the_caller_leaves_no_task_and_no_connection(server: FaultServer) -> None:
    tasks = asyncio.all_tasks()
    fetching = asyncio.ensure_future(fetch_all([server.url("/never")] * 10))
    async with asyncio.timeout(5):
        while len(server.seen.to("/never")) < 10:  # noqa: ASYNC110 (the server is in another thread)
            await asyncio.sleep(0.01)
    fetching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetching
    await quiet(server, tasks)


async def test_an_exception_of_the_callers_loop_leaves_no_task_and_no_connection(server: FaultServer) -> None:
    async def loop() -> None:
        async with stream([server.url("/bytes/1"), *[server.url("/never")] * 5]) as results:
            async for _ in results:
                raise ZeroDivisionError

    tasks = asyncio.all_tasks()
    with pytest.raises(ZeroDivisionError):
        await loop()
    await quiet(server, tasks)


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors where Linux shows them")
async def test_a_run_that_ended_leaves_no_socket(server: FaultServer) -> None:
    await fetch_all([server.url("/bytes/1")])
    assert await asyncio.to_thread(server.quiet, 5)
    before = sockets()
    await fetch_all([server.url("/bytes/10")] * 20)
    assert await asyncio.to_thread(server.quiet, 5)
    assert sockets() <= before


async def test_an_exception_of_the_list_is_the_callers(server: FaultServer) -> None:
    def urls() -> Iterator[str]:
        yield server.url("/bytes/1")
        raise KeyError("mine")

    tasks = asyncio.all_tasks()
    with pytest.raises(KeyError, match="mine"):
        await fetch_all(urls())
    await quiet(server, tasks)


async def test_stop_begins_nothing_more_and_what_is_in_flight_still_comes(server: FaultServer) -> None:
    async with stream([server.url("/delay/0.1")] * 100, concurrency=3) as results:
        found = [await anext(results)]
        results.stop()
        found += [result async for result in results]
    assert 2 <= len(found) <= 7
    assert all(result.ok for result in found)


async def test_abandon_gives_up_what_is_in_flight(server: FaultServer) -> None:
    async with stream([server.url("/bytes/1"), *[server.url("/never")] * 100], concurrency=3) as results:
        await anext(results)
        results.abandon()
        assert [result async for result in results] == []


async def test_the_run_has_a_longest_time(server: FaultServer) -> None:
    async with stream([server.url("/delay/0.05")] * 1000, concurrency=2, max_run_time=0.3) as results:
        found = [result async for result in results]
        assert results.truncated
    assert 2 <= len(found) < 100
    assert all(result.ok for result in found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"concurrency": 0}, "concurrency is 0: from 1 to 65535"),
        ({"concurrency": 70_000}, "from 1 to 65535"),
        ({"timeout": -1}, "timeout is -1: a number of 0 or more"),
        ({"timeout": "5"}, "timeout is '5'"),
        ({"timeout": True}, "timeout is True"),
        ({"max_body": 0}, "less than one byte"),
        ({"header": "A: b"}, "header takes a tuple"),
        ({"header": ("A\n: b",)}, "header"),
        ({"ipv4": True, "ipv6": True}, "exclude each other"),
        ({"data": ("a",), "json": "{}"}, "exclude each other"),
        ({"head": True, "json": "{}"}, "exclude each other"),
        ({"key": "k.pem"}, "--key needs --cert"),
        ({"resolve": ("a",)}, "HOST:PORT:ADDRESS"),
        ({"concurency": 5}, "no option 'concurency'"),
    ],
)
async def test_what_an_option_can_not_be_is_said_before_anything_is_sent(
    changes: dict[str, Any], message: str, server: FaultServer
) -> None:
    with pytest.raises(InvalidOptions, match=message):
        await fetch_all([server.url("/bytes/1")], **changes)
    assert server.seen.requests == []


async def test_invalid_options_are_value_errors() -> None:
    with pytest.raises(ValueError, match="concurrency"):
        stream([], concurrency=0)


async def test_options_and_changes_of_them_go_together(server: FaultServer) -> None:
    options = Options(header=("X-One: 1",), method="HEAD")
    (result,) = await fetch_all([server.url("/echo")], options, method="GET")
    (asked,) = server.seen.requests
    assert (asked.method, asked.value("x-one"), result.method) == ("GET", "1", "GET")


class Names(AbstractResolver):
    """A resolver of the caller's own."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        self.asked.append(host)
        if host != "known.test":
            raise OSError(None, "no such name here")
        return [
            ResolveResult(hostname=host, host="127.0.0.1", port=port, family=socket.AF_INET, proto=0, flags=0),
        ]

    async def close(self) -> None:
        self.closed = True


async def test_a_resolver_of_the_callers_own_is_asked(server: FaultServer) -> None:
    names = Names()
    port = server.ports["http"]
    known, unknown = await fetch_all(
        [f"http://known.test:{port}/bytes/3", f"http://unknown.test:{port}/"], resolver=names, retries=0
    )
    assert (known.status, known.remote_ip) == (200, "127.0.0.1")
    assert unknown.error_type is ErrorType.DNS
    assert set(names.asked) == {"known.test", "unknown.test"}


class Clock:
    """A clock that jumps to whatever is waited for, a little later."""

    def __init__(self) -> None:
        self.offset = 0.0
        self.waits: list[float] = []

    def now(self) -> float:
        return asyncio.get_running_loop().time() + self.offset

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.Handle:
        self.waits.append(when - self.now())

        def jump() -> None:
            self.offset += max(0.0, when - self.now())
            callback()

        return asyncio.get_running_loop().call_later(0.005, jump)


async def test_a_clock_of_the_callers_own_makes_waits_pass_in_no_time(server: FaultServer) -> None:
    clock = Clock()
    (result,) = await fetch_all([server.url("/retry-after?value=30&key=clock&fail=1")], clock=clock, timings=True)
    assert (result.status, result.attempts) == (200, 2)
    (flaky,) = await fetch_all(
        [server.url("/flaky?fail=2&key=clock&mode=status")], clock=clock, retry_delay=20.0, timings=True
    )
    assert (flaky.status, flaky.attempts) == (200, 3)
    assert max(clock.waits) > 25


async def test_results_can_be_told_apart_while_they_run(server: FaultServer) -> None:
    async with stream([server.url("/delay/0.1")] * 3, concurrency=3) as results:
        assert "0 results ready" in repr(results)
        first = await anext(results)
        assert isinstance(first, Result)


async def test_a_slow_reader_slows_the_run_down(server: FaultServer) -> None:
    async with stream([server.url("/bytes/1")] * 2000, concurrency=2) as results:
        await anext(results)
        await asyncio.sleep(0.3)
        begun = len(server.seen.requests)
        await asyncio.sleep(0.1)
        assert len(server.seen.requests) == begun
        assert begun < 200
        rest = [result async for result in results]
    assert len(rest) == 1999


def test_the_library_runs_on_uvloop_too(server: FaultServer) -> None:
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        results = runner.run(fetchall.fetch_all([server.url("/bytes/1"), server.url("/truncated")], retries=0))
    assert [result.error_type for result in results] == [None, ErrorType.TRUNCATED]
