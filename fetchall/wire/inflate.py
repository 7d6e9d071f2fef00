"""
gzip and deflate undone as their bytes come, in steps of bounded work and memory.

Knows RFC 1950 to 1952; it must not know other codings, nor that one may lie over another.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator
from enum import Enum
from types import ModuleType
from typing import Any, NamedTuple

CHUNK = 64 * 1024
"""The most bytes that one step gives."""
PIECE = 64 * 1024
"""The most bytes that one step takes: at each, a decoder copies what it can't take yet."""
FIRST_PIECE = 256
"""What a further member begins with: a decoder copies all that follows its end, and there may be 200,000 ends."""
_HEAD_PIECE = 64
_LONGEST_HEAD = 128 * 1024
"""Bytes of a gzip member's head; its extra field alone may have 64 KiB (RFC 1952, section 2.3.1.1)."""
_GZIP = b"\x1f\x8b"


class DecodeError(Exception):
    """The body is not what its Content-Encoding says, is cut off, or is in a coding that can't be decoded here."""


def gzip(backend: ModuleType) -> _Inflated:
    """What undoes gzip, member after member; `backend` is zlib or isal's form of it."""
    return _Inflated("gzip", _gzip_head, backend)


def deflate(backend: ModuleType) -> _Inflated:
    """What undoes deflate, in zlib's form or raw."""
    return _Inflated("deflate", _deflate_head, backend)


class _Frame(NamedTuple):
    """What stands around a raw deflate stream: its head's length, its checksum, and the trailer that both must give."""

    head: int
    checksum: Callable[..., int] | None
    trailer: Callable[[int, int], bytes]
    """From the checksum and the size of what was decoded."""


class _At(Enum):
    HEAD = 1
    BODY = 2
    TRAILER = 3
    END = 4


class _Inflated:
    """
    Raw deflate (RFC 1951) between heads and trailers, which are read here so that all back-ends agree about them.

    isal's own reading of a gzip head fails where a name in it is split between two pieces, and lets reserved flags by.
    """

    def __init__(self, name: str, head: Callable[[bytes, ModuleType], _Frame | None], backend: ModuleType) -> None:
        self._name, self._read_head, self._backend = name, head, backend
        self._at = _At.HEAD
        self._rest = memoryview(b"")
        self._held = b""
        """A head or a trailer that has not come whole."""
        self._due = b""
        """The trailer that must come."""
        self._piece = PIECE
        self._further = False
        """Whether a whole member came already."""

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Decode the next bytes, in chunks of at most 64 KiB, empty ones among them. Raises `DecodeError`."""
        self._rest = memoryview(data)
        while self._rest and self._at is not _At.END:
            if self._at is _At.HEAD:
                self._head()
            elif self._at is _At.BODY:
                yield from self._body()
            else:
                self._trailer()

    def finish(self) -> None:
        """Raise `DecodeError` if a stream began that did not end."""
        between = self._at is _At.HEAD and not self._held
        if not between and self._at is not _At.END:
            raise cut_off(self._name)

    def _head(self) -> None:
        whole, taken = self._rest, min(len(self._rest), _HEAD_PIECE)
        held = self._held + whole[:taken]
        if self._further and not (held.startswith(_GZIP) or _GZIP.startswith(held)):
            self._at = _At.END
            return
        frame = self._read_head(held, self._backend)
        if frame is not None:
            self._held, self._rest = b"", after(held[frame.head :], whole, taken)
            self._begin(frame)
        elif len(held) > _LONGEST_HEAD:
            raise DecodeError(f"the {self._name} body's head does not end")
        else:
            self._held, self._rest = held, whole[taken:]

    def _begin(self, frame: _Frame) -> None:
        self._frame = frame
        self._stream: Any = self._backend.decompressobj(-15)
        self._sum = frame.checksum(b"") if frame.checksum else 0
        self._size = 0
        self._at = _At.BODY

    def _body(self) -> Iterator[bytes]:
        stream, checksum = self._stream, self._frame.checksum
        whole, piece = self._rest, self._rest[: self._piece]
        taken = len(piece)
        while True:
            try:
                chunk: bytes = stream.decompress(piece, CHUNK)
            except self._backend.error as error:
                raise broken(self._name, error) from error
            if checksum:
                self._sum = checksum(chunk, self._sum)
            self._size += len(chunk)
            yield chunk
            piece = stream.unconsumed_tail
            if stream.eof:
                self._rest = after(stream.unused_data, whole, taken)
                self._due = self._frame.trailer(self._sum, self._size)
                self._at = _At.TRAILER if self._due else _At.END
                return
            if not piece and len(chunk) < CHUNK:
                self._rest = whole[taken:]
                self._piece = min(4 * self._piece, PIECE)
                return

    def _trailer(self) -> None:
        missing = len(self._due) - len(self._held)
        self._held, self._rest = self._held + self._rest[:missing], self._rest[missing:]
        if len(self._held) < len(self._due):
            return
        if self._held != self._due:
            raise DecodeError(f"the {self._name} body is broken: its checksum or its length is wrong")
        self._held, self._piece, self._further = b"", FIRST_PIECE, True
        self._at = _At.HEAD if self._name == "gzip" else _At.END


def _gzip_head(held: bytes, backend: ModuleType) -> _Frame | None:
    """One member's head (RFC 1952, section 2.3); None: more must come."""
    if not (held.startswith(_GZIP) or _GZIP.startswith(held)):
        raise DecodeError("the body is not gzip, though its Content-Encoding says so")
    if len(held) < 10:
        return None
    flags, end = held[3], 10
    if held[2] != zlib.DEFLATED or flags & 0xE0:
        raise DecodeError("the gzip body is of a kind that RFC 1952 does not know")
    if flags & 4:  # FEXTRA
        end += 2 + int.from_bytes(held[10:12], "little")
    for flag in (8, 16):  # FNAME, FCOMMENT
        if flags & flag:
            zero = held.find(0, end)
            if zero < 0:
                return None
            end = zero + 1
    if flags & 2:  # FHCRC
        end += 2
        if len(held) >= end and int.from_bytes(held[end - 2 : end], "little") != zlib.crc32(held[: end - 2]) & 0xFFFF:
            raise DecodeError("the gzip body is broken: its head's checksum is wrong")
    if len(held) < end:
        return None
    return _Frame(end, backend.crc32, lambda checksum, size: struct.pack("<II", checksum, size & 0xFFFFFFFF))


def _deflate_head(held: bytes, backend: ModuleType) -> _Frame | None:
    """
    Tell zlib's form (RFC 1950), which the coding's name means, from the raw form that some servers send.

    No encoder begins a raw stream with what looks like zlib's two bytes: a stored block with bits set in its padding.
    """
    if len(held) < 2:
        return None
    if held[0] & 0x0F != zlib.DEFLATED or held[0] > 0x7F or int.from_bytes(held[:2], "big") % 31:
        return _Frame(0, None, lambda checksum, size: b"")
    if held[1] & 0x20:
        raise DecodeError("the deflate body needs a dictionary that nobody has")
    return _Frame(2, backend.adler32, lambda checksum, size: struct.pack(">I", checksum))


def after(unused: bytes, whole: memoryview, taken: int) -> memoryview:
    """What follows a stream's end, mostly without a copy; isal may give back bytes of an earlier piece."""
    if len(unused) <= taken:
        return whole[taken - len(unused) :]
    return memoryview(unused + whole[taken:])


def broken(name: str, error: Exception) -> DecodeError:
    """A stream that its library refuses."""
    return DecodeError(f"the {name} body is broken: {error}")


def cut_off(name: str) -> DecodeError:
    """A stream without its end."""
    return DecodeError(f"the {name} body is cut off: its stream did not end")
