"""Where the time of a hop went: each phase that happened has its seconds, one that did not has none."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from fetchall.api import fetch_all
from fetchall.records import Request, Timings
from tests.faults import FaultServer

DELAY = 0.05


async def phases(*requests: Request | str, **options: Any) -> list[Timings]:
    results = await fetch_all(requests, concurrency=1, timings=True, retries=0, **options)
    assert all(result.timings for result in results), [result.error for result in results]
    return [result.timings for result in results if result.timings is not None]


def happened(timings: Timings) -> set[str]:
    names = ("queued", "dns", "connect", "send", "wait", "receive")
    assert all(seconds is None or seconds >= 0 for seconds in map(timings.__getattribute__, names))
    return {name for name in names if getattr(timings, name) is not None}


ON_THE_WIRE = {"queued", "send", "wait", "receive"}


@pytest.mark.parametrize("data", [(), ("a=b",)], ids=["head alone", "with a body"])
async def test_a_name_is_looked_up_and_a_connection_made_once(server: FaultServer, data: tuple[str, ...]) -> None:
    url = server.url("/ok").replace("127.0.0.1", "localhost")
    first, second = await phases(url, url, data=data, method="PUT" if data else None)
    assert happened(first) == ON_THE_WIRE | {"dns", "connect"}
    assert happened(second) == ON_THE_WIRE


async def test_an_address_is_not_looked_up(server: FaultServer) -> None:
    (found,) = await phases(server.url("/ok"))
    assert happened(found) == ON_THE_WIRE | {"connect"}


async def test_a_connection_that_is_refused_was_begun_and_nothing_sent() -> None:
    (found,) = await phases("http://localhost:1/")
    assert happened(found) == {"queued", "dns", "connect"}


async def answer_late(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """The head is waited for, and so is the body."""
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(DELAY)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh")
    await asyncio.sleep(DELAY)
    writer.write(b"i")
    await writer.drain()
    writer.close()


@pytest.mark.parametrize("data", [(), ("a" * 10,)], ids=["head alone", "with a body"])
async def test_what_is_waited_for_is_told_apart_from_what_is_received(data: tuple[str, ...]) -> None:
    server = await asyncio.start_server(answer_late, "127.0.0.1")
    async with server:
        port = server.sockets[0].getsockname()[1]
        (found,) = await phases(f"http://127.0.0.1:{port}/", data=data)
    assert (found.wait or 0) >= DELAY * 0.9
    assert (found.receive or 0) >= DELAY * 0.9
    assert (found.send or 0) < DELAY
