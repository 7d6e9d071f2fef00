"""
What really goes over a connection, byte for byte, for those who archive it.

Knows bytes and where a head ends; it must not know what an archive looks like. Runs that archive nothing pay nothing:
their connections are of the plain class.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterable, Iterator
from typing import IO, Any

from fetchall.wire.connection import Protocol

IN_MEMORY = 256 * 1024
"""Bytes of one answer that are held in memory before they go to the disk."""
_BLOCK = 1024 * 1024
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_INTERIM = re.compile(rb"HTTP/1\.[0-9] 1(?!01)[0-9][0-9][ \r\n]")
"""An answer that only says that one is coming (RFC 9110 section 15.2); 101 is the last over its connection."""
SECRET = frozenset({b"authorization", b"proxy-authorization", b"cookie", b"set-cookie", b"set-cookie2"})
"""Headers whose value is a credential, or becomes one."""


class Record:
    """One hop's bytes both ways. `secret` are lower-case names of headers whose values are not kept."""

    def __init__(self, secret: frozenset[bytes]) -> None:
        self._secret = secret
        self._sent: list[bytes] = []
        self._start = bytearray()
        self._file: IO[bytes] | None = None
        self.whole = False
        """The answer came to its end."""
        self.proxied = False
        """It went through a proxy, whose address is the only one known."""
        self._for_proxy: bytes | None = None

    def __repr__(self) -> str:
        return f"<Record {sum(map(len, self._sent))} bytes sent, {len(self._start)} of the answer in memory>"

    def through_proxy(self, *, tunnel: bool) -> None:
        """It goes through a proxy; without a tunnel the head has a line for that, which is no part of the request."""
        self.proxied = True
        self._for_proxy = None if tunnel else b"proxy-authorization"

    def restart(self) -> None:
        """The request is sent anew on another connection."""
        self.close()

    def sent(self, data: bytes) -> None:
        """These bytes were handed to the system."""
        self._sent.append(bytes(data))

    def received(self, data: bytes) -> None:
        """These bytes came."""
        if self._file is None and len(self._start) + len(data) <= IN_MEMORY:
            self._start += data
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 (closed by `close`)
        self._file.write(data)

    def close(self) -> None:
        """Drop what was noted: who still refers to this need not hold that."""
        self._sent, self._start = [], bytearray()
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def request(self) -> bytes:
        """What was sent, without secrets."""
        return self._masked(b"".join(self._sent))

    def response(self) -> tuple[bytes, int, Iterable[bytes]] | None:
        """The answer's head without secrets, the size of what follows, and that; None: no whole head came."""
        start = 0
        while _INTERIM.match(self._start, start) and (end := _HEAD_END.search(self._start, start)):
            start = end.end()
        end = _HEAD_END.search(self._start, start)
        if end is None:
            return None
        head = self._masked(bytes(self._start[start : end.end()]))
        rest = bytes(self._start[end.end() :])
        size = len(rest) + (self._file.tell() if self._file is not None else 0)
        return head, size, _Pieces(rest, self._file)

    def _masked(self, data: bytes) -> bytes:
        end = _HEAD_END.search(data)
        if end is None:
            return data
        lines: list[bytes] = []
        hidden = False
        for line in data[: end.start()].split(b"\n"):
            if hidden and line[:1] in (b" ", b"\t"):
                continue  # a folded value goes on
            name, colon, _ = line.partition(b":")
            lower = name.strip().lower()
            if lower == self._for_proxy:
                hidden = True
                continue
            hidden = bool(colon) and bool(lines) and lower in self._secret
            lines.append(name + b": ***" + (b"\r" if line.endswith(b"\r") else b"") if hidden else line)
        masked = b"\n".join(lines)
        if hidden:
            masked = masked.removesuffix(b"\r")
        return masked + data[end.start() :]


class _Pieces:
    """What follows a head, in pieces, from the beginning however often it is gone through."""

    def __init__(self, first: bytes, file: IO[bytes] | None) -> None:
        self._first = first
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        if self._first:
            yield self._first
        if self._file is not None:
            self._file.seek(0)
            while block := self._file.read(_BLOCK):
                yield block


class Tap:
    """A transport that notes what is written to it."""

    def __init__(self, transport: Any, protocol: Recording) -> None:
        self._transport = transport
        self._protocol = protocol

    def __getattr__(self, name: str) -> Any:
        """All else is the transport's own business."""
        return getattr(self._transport, name)

    def write(self, data: Any) -> None:
        """Note and pass on."""
        if self._protocol.record is not None:
            self._protocol.record.sent(data)
        self._transport.write(data)

    def writelines(self, pieces: Any) -> None:
        """Note and pass on."""
        self.write(b"".join(pieces))


class Recording(Protocol):
    """A connection that notes what goes over it while there is a `record`."""

    record: Record | None = None
    tapped = False

    def data_received(self, data: bytes) -> None:
        """Note first: parsing may end the exchange."""
        if self.record is not None and data:
            self.record.received(data)
        super().data_received(data)


def begin(record: Record, protocol: Protocol) -> None:
    """Note what goes over a connection from now on; a tunnel through a proxy stands already."""
    assert isinstance(protocol, Recording)
    record.restart()
    protocol.record = record
    if not protocol.tapped and protocol.transport is not None:
        protocol.tapped = True
        protocol.transport = Tap(protocol.transport, protocol)  # type: ignore[assignment]


def end(protocol: Protocol | None) -> None:
    """The hop is over: what comes now is none of its."""
    if isinstance(protocol, Recording):
        protocol.record = None
