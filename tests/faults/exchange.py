"""
One request on one connection, and the ways to answer it wrongly: exact bytes, drips, cuts, resets.

Knows sockets and asyncio's streams; knows no particular fault. Each answer is bounded in bytes and in time.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import Iterable
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from .seen import SeenRequest

if TYPE_CHECKING:
    from .server import FaultServer

MAX_SECONDS = 20.0
"""No answer goes on for longer."""
MAX_BYTES = 256 * 1024**2
"""No endless answer is longer."""
_PIECE = 64 * 1024
_SETTLE = 0.02
"""Seconds that a peer is given to take what was sent before a reset: a reset drops what is still under way."""

Headers = Iterable[tuple[str, str]]


class Connection:
    """A client's connection: what it sent and was not read yet, and the way to write to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        self.reader = reader
        self.writer = writer
        self.number = number
        self.buffer = b""
        self.over = False
        # Written means handed to the system: `drain` returns when nothing waits in this process.
        writer.transport.set_write_buffer_limits(high=1, low=0)

    async def fill(self) -> bool:
        """Wait for more bytes of the client; False at their end."""
        data = await self.reader.read(_PIECE)
        self.buffer += data
        return bool(data)

    async def until(self, mark: bytes, limit: int) -> bytes | None:
        """What stands before a mark, which is dropped; None where the client ended or went beyond the limit."""
        while mark not in self.buffer:
            if len(self.buffer) > limit or not await self.fill():
                return None
        found, _, self.buffer = self.buffer.partition(mark)
        return found

    async def exactly(self, count: int) -> bytes:
        """So many bytes, fewer where the client ended."""
        while len(self.buffer) < count and await self.fill():
            pass
        data, self.buffer = self.buffer[:count], self.buffer[count:]
        return data

    def cut(self) -> None:
        """Close without a word: FIN, and under TLS no close_notify."""
        self.over = True
        self.writer.transport.abort()

    async def reset(self, settle: float = _SETTLE) -> None:
        """Close with RST, when the client has what was sent so far."""
        await asyncio.sleep(settle)
        sock: socket.socket = self.writer.get_extra_info("socket")
        with contextlib.suppress(OSError):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.cut()


class Exchange:
    """A request and its answer. A connection on which `keep` is not set is closed when the answer is over."""

    def __init__(self, server: FaultServer, connection: Connection, request: SeenRequest) -> None:
        self.server = server
        self.connection = connection
        self.request = request
        self.keep = False
        path, _, query = request.target.partition("?")
        self.rest = path.lstrip("/").partition("/")[2]
        """What stands in the path after its first part: `5` in `/bytes/5`."""
        self._args = parse_qs(query, keep_blank_values=True, errors="surrogateescape")

    def arg(self, name: str, default: str = "") -> str:
        """A parameter of the query."""
        return self._args.get(name, [default])[-1]

    def number(self, name: str, default: int = 0) -> int:
        """A parameter that is a whole number."""
        return int(self.arg(name, str(default)))

    def seconds(self, name: str, default: float = 0.0) -> float:
        """A parameter in milliseconds, as seconds."""
        return float(self.arg(name, str(default * 1000))) / 1000

    def small_buffer(self) -> None:
        """Let little be under way, so that `sent` comes close to what the client took."""
        sock: socket.socket = self.connection.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16 * 1024)

    async def send(self, data: bytes) -> None:
        """These bytes and no others; returns when the system has them."""
        writer = self.connection.writer
        for start in range(0, len(data), _PIECE):
            piece = data[start : start + _PIECE]
            if writer.is_closing():
                raise ConnectionResetError("the client is gone")
            writer.write(piece)
            await writer.drain()
            self.request.sent += len(piece)

    async def drip(self, data: bytes, pause: float, size: int = 1) -> None:
        """A few bytes at a time, a pause after each."""
        for start in range(0, len(data), size):
            await self.send(data[start : start + size])
            await self.wait(pause)

    async def flood(self, data: bytes, limit: int = MAX_BYTES, pause: float = 0.0) -> None:
        """The same bytes again and again, until the client leaves or the limit is reached."""
        for _ in range(0, limit, len(data)):
            await self.send(data)
            if pause:
                await self.wait(pause)

    async def wait(self, seconds: float) -> None:
        """Let time pass; ends early, as ConnectionResetError, where the client leaves."""
        connection = self.connection
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while await connection.fill():
                    pass
                raise ConnectionResetError("the client left")

    async def silence(self, seconds: float) -> None:
        """Wait for so long, or until the client sends something or leaves."""
        if not self.connection.buffer:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self.connection.fill()

    async def hold(self) -> None:
        """Say nothing until the client leaves."""
        await self.wait(MAX_SECONDS)

    async def reply(self, status: int = 200, body: bytes = b"", headers: Headers = (), keep: bool = True) -> None:
        """A right answer, kept alive unless told otherwise."""
        plain = (("Content-Type", "text/plain"), ("Content-Length", str(len(body))))
        close = () if keep else (("Connection", "close"),)
        self.keep = keep
        await self.send(head(status, (*plain, *headers, *close)) + (b"" if self.request.method == "HEAD" else body))


def head(status: int = 200, headers: Headers = (), reason: str = "Said") -> bytes:
    """A response's head, header values as latin-1."""
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode("latin-1")
