"""What is sent for a head alone, and what is made of the answer, beside aiohttp's own way of doing both."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Awaitable, Callable
from dataclasses import FrozenInstanceError, fields, replace
from typing import Any

import pytest
from aiohttp.connector import TCPConnector

from fetchall import Request, Result, fetch_all
from fetchall.records import Fault
from fetchall.wire import connection

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Writes down each head, and answers it as told; counts its connections."""

    def __init__(self, answer: Callable[[asyncio.StreamWriter], Awaitable[None]] | bytes = OK) -> None:
        self.answer = answer
        self.heads: list[bytes] = []
        self.connections = 0

    async def __aenter__(self) -> Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.base = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                if isinstance(self.answer, bytes):
                    writer.write(self.answer)
                else:
                    await self.answer(writer)
                if b"close" in (self.answer if isinstance(self.answer, bytes) else b""):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        finally:
            writer.close()


async def one(url: str | Request, **options: Any) -> Result:
    return (await fetch_all([url], retries=0, **options))[0]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"header": ("X-A: 1", "X-a: 2", "Accept:", "X-Text: gr\u00fc\u00df")},
        {"header": ("Host: other.example:8080",)},
        {"header": ("host: other.example",), "user": "me:secret"},
        {"verb": "HEAD"},
        {"verb": "OPTIONS", "header": ("Connection: close",)},
        {"verb": "DELETE"},
        {"verb": "POST"},
        {"header": ("Expect: 100-continue",)},
        {"data": ("a=b",)},
        {"cookie": "a=b"},
    ],
    ids=str,
)
async def test_a_head_is_written_as_aiohttp_writes_it(options: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    verb = options.get("verb")
    given = {name: value for name, value in options.items() if name != "verb"}
    async with Server() as server:
        await one(Request(f"{server.base}/a%2Fb?q=%41&r", method=verb), **given)
        monkeypatch.setattr("fetchall.wire.fetch.HEAD_ALONE", frozenset())
        await one(Request(f"{server.base}/a%2Fb?q=%41&r", method=verb), **given)
        ours, theirs = server.heads
    assert ours == theirs


async def test_the_host_header_has_no_trailing_dot_and_no_default_port() -> None:
    async with Server() as server:
        port = server.base.rpartition(":")[2]
        for host in (f"a.example.:{port}", f"[::ffff:127.0.0.1]:{port}"):
            await one(f"http://{host}/", resolve=(f"a.example.:{port}:127.0.0.1", f"a.example:{port}:127.0.0.1"))
    hosts = [line for head in server.heads for line in head.split(b"\r\n") if line.startswith(b"Host:")]
    assert hosts[0] == b"Host: a.example:" + port.encode()


async def test_an_empty_query_goes_to_the_wire_as_given() -> None:
    async with Server() as server:
        await one(f"{server.base}/a?")
    assert server.heads[0].startswith(b"GET /a? HTTP/1.1\r\n")


async def test_requests_one_after_the_other_share_a_connection() -> None:
    async with Server() as server:
        results = await fetch_all([f"{server.base}/{number}" for number in range(20)], concurrency=1)
    assert [result.status for result in results] == [200] * 20
    assert server.connections == 1


async def test_a_server_that_closes_each_connection_costs_no_row() -> None:
    async with Server(OK.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")) as server:
        results = await fetch_all([f"{server.base}/{number}" for number in range(20)], concurrency=4)
    assert [(result.status, result.attempts) for result in results] == [(200, 1)] * 20
    assert server.connections == 20


async def test_interim_answers_are_passed_over() -> None:
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    async with Server(b"HTTP/1.1 100 Continue\r\n\r\n" + interim + OK) as server:
        results = await fetch_all([f"{server.base}/{number}" for number in range(3)], concurrency=1)
    assert [(result.status, result.size) for result in results] == [(200, 2)] * 3


async def test_a_body_that_is_not_wanted_does_not_reach_the_next_answer() -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: /there\r\nContent-Length: 5\r\n\r\nHTTP/"

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(moved if b"/there" not in server.heads[-1] else OK)

    async with Server(answer) as server:
        results = await fetch_all([f"{server.base}/{number}" for number in range(5)], concurrency=1)
    assert [(result.status, result.redirects) for result in results] == [(200, 1)] * 5


def test_an_aiohttp_that_lacks_what_the_pool_needs_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    connection.check_aiohttp()
    monkeypatch.setitem(connection._RELIED_ON, TCPConnector, "_release _no_such_thing")
    with pytest.raises(RuntimeError, match=r"TCPConnector\._no_such_thing, on which"):
        connection.check_aiohttp()


def test_a_record_is_frozen_although_it_is_filled_while_open() -> None:
    request = Request("http://h.example/", 3, input={"id": 1})
    result = Result(request, "GET", request.url, status=200)
    with pytest.raises(FrozenInstanceError):
        result.status = 500  # type: ignore[misc]
    assert not hasattr(result, "__dict__")
    assert (type(result), type(request)) == (Result, Request)
    assert pickle.loads(pickle.dumps(result)) == result
    assert replace(result, status=404).status == 404
    assert repr(request).startswith("Request(url='http://h.example/', index=3, method=None")
    assert [getattr(result, field.name) for field in fields(Result)][:5] == [request, "GET", request.url, None, 200]
    assert isinstance(Request("", fault=Fault("dns", "x")).fault, Fault)  # type: ignore[arg-type]
