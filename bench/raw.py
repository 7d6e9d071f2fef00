"""
The floor: a client with nothing but sockets and an event loop, which reads no URL twice and writes no row.

Run as `python -m bench.raw LIST -c N`. What it costs is what the loop and the system calls cost: no HTTP client on the
same loop can be cheaper. Plain HTTP, a Content-Length, one host, small answers only.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

from bench.server import run

REQUEST = "GET {path} HTTP/1.1\r\nHost: {host}\r\nAccept: */*\r\n\r\n"


class Exchange(asyncio.Protocol):
    """One connection: the next request leaves as soon as the answer to the last is whole."""

    def __init__(self, requests: Iterator[bytes]) -> None:
        self._requests = requests
        self._answer = b""
        self.done = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the first request."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass
        self._next()

    def data_received(self, data: bytes) -> None:
        """Wait for the end of the answer, which is told by its length."""
        self._answer += data
        head = self._answer.find(b"\r\n\r\n") + 4
        if head == 3:
            return
        mark = self._answer.find(b"Content-Length: ") + 16
        if len(self._answer) == head + int(self._answer[mark : self._answer.find(b"\r", mark)]):
            self._answer = b""
            self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        """The server must not go first; the count at the server shows it if it does."""
        self.done.set_result(None)

    def _next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._transport.close()
        else:
            self._transport.write(request)


def requests(urls: list[str]) -> Iterator[bytes]:
    """Requests ready to be sent, one for each URL."""
    for url in urls:
        _, host, path = url.split("/", 3)[1:]
        yield REQUEST.format(path=f"/{path}", host=host).encode("ascii")


async def fetch(urls: list[str], concurrency: int) -> None:
    """Share the list among `concurrency` connections to its one host."""
    parts = urlsplit(urls[0])
    host, port = parts.hostname or "", parts.port or 80
    shared = requests(urls)
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: Exchange(shared), host, port) for _ in range(concurrency)]
    await asyncio.gather(*(exchange.done for _, exchange in made))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.raw", description="The floor: sockets and a loop.")
    parser.add_argument("list", type=Path)
    parser.add_argument("-c", "--concurrency", type=int, default=20)
    parsed = parser.parse_args()
    run(fetch(parsed.list.read_text().split(), parsed.concurrency))
