"""
An outlet that compresses what it hands on: gzip (by isal where that is installed) or zstd.

Knows codings; it must not know what the bytes mean.
"""

from __future__ import annotations

import importlib
import zlib
from collections.abc import Iterator
from typing import IO, Any, Protocol

from fetchall.errors import MissingExtra
from fetchall.sinks.outlet import Outlet

_BLOCK = 1024 * 1024
_GZIP_WINDOW = 31
"""zlib's word for its largest window with a gzip header."""


class Compressor(Protocol):
    """What zlib's and zstd's objects have in common."""

    def compress(self, data: bytes) -> bytes:
        """Take bytes; what of the compressed ones is ready."""

    def flush(self) -> bytes:
        """All that is left; the stream is whole."""


class Compressed:
    """See `Outlet`. What is not yet compressed after a kill is in the journal, from which a resumed run makes it."""

    def __init__(self, outlet: Outlet, compressor: Compressor) -> None:
        self._outlet = outlet
        self._compressor = compressor

    def write(self, data: bytes) -> None:
        """See `Outlet`."""
        if ready := self._compressor.compress(data):
            self._outlet.write(ready)

    def finish(self, *, complete: bool) -> None:
        """See `Outlet`; of an interrupted run the stream is ended as well, so that it can be read."""
        self._outlet.write(self._compressor.flush())
        self._outlet.finish(complete=complete)

    def abort(self) -> None:
        """See `Outlet`."""
        self._outlet.abort()


def gzip_compressor() -> Compressor:
    """One gzip member."""
    try:
        from isal import isal_zlib
    except ImportError:
        return zlib.compressobj(6, zlib.DEFLATED, _GZIP_WINDOW)
    compressor: Compressor = isal_zlib.compressobj(2, isal_zlib.DEFLATED, _GZIP_WINDOW)
    return compressor


def whole_members(file: IO[bytes]) -> Iterator[tuple[int, int, bytes]]:
    """Start, end and the first bytes (a MiB or two of them) of each gzip member up to one that is not whole."""
    start = place = 0
    undo = zlib.decompressobj(wbits=_GZIP_WINDOW)
    beginning = b""
    while block := file.read(_BLOCK):
        place += len(block)
        while block:
            try:
                data = undo.decompress(block, _BLOCK)
            except zlib.error:
                return
            if len(beginning) < _BLOCK:
                beginning += data
            block = undo.unconsumed_tail
            if undo.eof:
                block = undo.unused_data
                yield start, place - len(block), beginning
                start, beginning = place - len(block), b""
                undo = zlib.decompressobj(wbits=_GZIP_WINDOW)


def zstd_compressor() -> Compressor:
    """One zstd frame; raises `MissingExtra`."""
    compressor: Compressor = zstd().ZstdCompressor()
    return compressor


def zstd() -> Any:
    """The module: part of Python since 3.14. Raises `MissingExtra`."""
    for name in ("compression.zstd", "backports.zstd"):
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise MissingExtra("zstd", "fast")
