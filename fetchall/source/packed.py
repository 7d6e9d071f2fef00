"""
gzip and zstd undone as their bytes come, whatever form of list is inside.

Knows the two packings, by their first bytes and by the endings of names; it must not know what they hold.
"""

from __future__ import annotations

import sys
import zlib
from collections.abc import Callable, Iterator
from typing import Any

from fetchall.errors import MissingExtra, SourceError

try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:
    zstd = None  # type: ignore[assignment]

ENDINGS = {".gz": "gzip", ".zst": "zstd"}
_MAGIC = {"gzip": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd"}
_SKIPPABLE = b"\x2a\x4d\x18"
"""After a byte from 0x50 to 0x5f: a zstd frame without content, which pzstd begins with (RFC 8878, section 3.1.2)."""
_STEP = 64 * 1024
"""The most bytes that one step gives: a bomb of any size goes through a bounded memory."""


def packing_of(name: str) -> str | None:
    """What the ending of a name promises."""
    return next((packing for ending, packing in ENDINGS.items() if name.lower().endswith(ending)), None)


def check_installed(packing: str | None) -> None:
    """Raise `MissingExtra` for zstd where it can't be undone here."""
    if packing == "zstd" and zstd is None:
        raise MissingExtra("a list packed with zstd", "fast")


def looks_packed(begin: bytes) -> str | None:
    """What the first bytes say; no text begins with either magic number."""
    if begin.startswith(_MAGIC["gzip"]):
        return "gzip"
    if begin.startswith(_MAGIC["zstd"]) or (0x50 <= (begin or b"\0")[0] <= 0x5F and begin[1:4] == _SKIPPABLE):
        return "zstd"
    return None


def unpacked(blocks: Iterator[bytes], name: str, promised: str | None) -> Iterator[bytes]:
    """
    The bytes inside; as they are where nothing is packed.

    Raises `SourceError` where the stream is broken, cut off, or not what its name promised: after the bytes that
    came out before; and `MissingExtra`.
    """
    begin = b""
    for block in blocks:
        begin += block
        if len(begin) >= 4 or not _may_be_packed(begin):
            break
    packing = looks_packed(begin)
    if promised and begin and packing != promised:
        raise SourceError(f"{name} is not {promised}, though its name says so")
    if packing is None:
        if begin:
            yield begin
        yield from blocks
        return
    check_installed(packing)
    yield from _members(_chained(begin, blocks), name, packing)


def _may_be_packed(begin: bytes) -> bool:
    return any(magic.startswith(begin) for magic in _MAGIC.values()) or (
        0x50 <= begin[0] <= 0x5F and _SKIPPABLE.startswith(begin[1:])
    )


def _chained(begin: bytes, blocks: Iterator[bytes]) -> Iterator[bytes]:
    yield begin
    yield from blocks


def _members(blocks: Iterator[bytes], name: str, packing: str) -> Iterator[bytes]:
    """One member or frame after another; zeros after the last are padding, as tapes have it, anything else an error."""
    make = _gunzip if packing == "gzip" else _unzstd
    stream: _Stream | None = None
    held = b""
    for block in blocks:
        rest = held + block
        held = b""
        while rest:
            if stream is None:
                rest = rest.lstrip(b"\0") if packing == "gzip" else rest
                if len(rest) < 4:
                    held = rest
                    break
                if looks_packed(rest) != packing:
                    raise SourceError(f"{name} goes on after the end of its {packing} stream: it was not read further")
                stream = make()
            try:
                yield from stream.feed(rest)
            except stream.error as error:
                raise SourceError(f"{name} is broken: {error}; what came before was read") from error
            rest = stream.left
            if stream.over:
                stream = None
    if stream is not None or held:
        raise SourceError(f"{name} is cut off: its {packing} stream has no end; what came before was read")


class _Stream:
    """One member or frame on its way to being undone; both libraries say the same by different names."""

    def __init__(self, library: Any, error: type[Exception], left: Callable[[Any], bytes]) -> None:
        self.error = error
        self._library, self._left = library, left
        self.left = b""
        """What follows the end."""

    @property
    def over(self) -> bool:
        """The end has come."""
        return bool(self._library.eof)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """What comes out, in steps."""
        while True:
            piece: bytes = self._library.decompress(data, _STEP)
            if piece:
                yield piece
            if self._library.eof:
                self.left = self._library.unused_data
                return
            data = self._left(self._library)
            if not data and len(piece) < _STEP:
                self.left = b""
                return


def _gunzip() -> _Stream:
    return _Stream(zlib.decompressobj(wbits=31), zlib.error, lambda library: bytes(library.unconsumed_tail))


def _unzstd() -> _Stream:
    return _Stream(zstd.ZstdDecompressor(), zstd.ZstdError, lambda library: b"")
