"""
How a body is decoded, and known to be whole: gzip, deflate, br and zstd, alone or one over another, within bounds.

Knows content codings (RFC 9110, section 8.4) and the libraries that undo them; it must not know connections, requests
or what is kept.

What follows the end of a gzip, deflate or zstd stream and begins no further one is ignored, as browsers do; after the
end of a br stream it is an error, for Brotli's library can't tell where that was.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Generator, Iterator
from types import ModuleType
from typing import Any, Protocol

from fetchall.wire.inflate import CHUNK, FIRST_PIECE, PIECE, DecodeError, after, broken, cut_off, deflate, gzip

try:
    import brotli
except ImportError:
    brotli = None
try:
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
except ImportError:
    zstd = None  # type: ignore[assignment]
_fastest: ModuleType = zlib
try:
    from isal import isal_zlib
except ImportError:
    pass
else:
    _fastest = isal_zlib

__all__ = ["ACCEPT_ENCODING", "DecodeError", "Decoder", "TooMuch", "decoder"]

# Brotli before 1.2 can't stop at a limit, so a bomb would go off in one step, and up to 1.2.0 a crafted stream makes it
# write beyond its buffer (CVE-2026-111497).
_HAS_BROTLI = brotli is not None and tuple(map(int, re.findall("[0-9]+", brotli.__version__))) >= (1, 2, 1)
_HAS_ZSTD = zstd is not None

ACCEPT_ENCODING = ", ".join(["gzip", "deflate"] + ["br"] * _HAS_BROTLI + ["zstd"] * _HAS_ZSTD)
"""What can be decoded here, for the request's head: a coding whose library is missing is not asked for."""

_MOST_LAYERS = 5
"""As in curl: more are an attack, not a server's habit."""
_WINDOW_LOG = 23
"""8 MiB, the most that a zstd frame in HTTP may ask for (RFC 9659, section 3)."""


class TooMuch(DecodeError):
    """More coded bytes came, or came out of a layer, than a body under the limit can need."""


def decoder(
    content_encoding: str | None, *, limit: int | None = None, backend: ModuleType = _fastest
) -> Decoder | None:
    """
    What undoes a Content-Encoding (several headers' values joined by commas); None where there is nothing to undo.

    `limit` is the cap on decoded bytes: the caller counts those, here it bounds what goes into each layer.
    `backend` is the module that inflates, zlib or isal's. Raises `DecodeError` for a coding that is unknown or not
    installed, and for more than five.
    """
    names = [name.strip(" \t").lower() for name in (content_encoding or "").split(",")]
    names = [name for name in names if name and name != "identity"]
    if len(names) > _MOST_LAYERS:
        raise DecodeError(f"the body is in {len(names)} codings, one over another; at most {_MOST_LAYERS} are undone")
    layers = [_layer(name, backend) for name in reversed(names)]
    return Decoder(layers, limit) if layers else None


class Decoder:
    """Undoes one coding after another, the last applied first."""

    def __init__(self, layers: list[_Layer], limit: int | None = None) -> None:
        self._layers = layers
        # Encoders add a few bytes a block; twice the size leaves room for those that flush after every line.
        self._room = None if limit is None else 2 * limit + 64 * 1024
        self._taken = [0] * len(layers)

    def feed(self, data: bytes) -> Iterator[bytes]:
        """
        Decode the next bytes of the body, in chunks of at most 96 KiB, as the iterator is drawn on.

        Work between two chunks is bounded, so a chunk may be empty: a moment to look at the clock, or to stop.
        Draw the iterator to its end before the next call. Raises `DecodeError`.
        """
        return self._through(0, data)

    def finish(self) -> None:
        """Raise `DecodeError` unless every stream came to its end; a body without a byte is whole in any coding."""
        for coding in self._layers:
            coding.finish()

    def _through(self, depth: int, data: bytes) -> Iterator[bytes]:
        self._taken[depth] += len(data)
        if self._room is not None and self._taken[depth] > self._room:
            raise TooMuch("the body's coded form is far larger than what may come out of it")
        chunks = self._layers[depth].feed(data)
        if depth + 1 == len(self._layers):
            yield from chunks
            return
        for chunk in chunks:
            yield b""  # for the next layer may make nothing of all that comes out of this one
            yield from self._through(depth + 1, chunk)


class _Layer(Protocol):
    """One coding on its way to being undone; both methods as in `Decoder`."""

    def feed(self, data: bytes) -> Iterator[bytes]: ...

    def finish(self) -> None: ...


def _layer(name: str, backend: ModuleType) -> _Layer:
    if name in ("gzip", "x-gzip"):  # RFC 9110, section 8.4.1.3
        return gzip(backend)
    if name == "deflate":
        return deflate(backend)
    if name == "br" and _HAS_BROTLI:
        return _Brotli()
    if name == "zstd" and _HAS_ZSTD:
        return _Zstd()
    hint = ": pip install 'fetchall[fast]'" if name in ("br", "zstd") else ""
    raise DecodeError(f"the body is coded as {name[:40]!r}, which can't be decoded here{hint}")


class _Brotli:
    """Brotli (RFC 7932); its window is at most 16 MiB."""

    def __init__(self) -> None:
        self._stream: Any = brotli.Decompressor()
        self._begun = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), PIECE):
            self._begun = True
            chunk = self._step(data[start : start + PIECE])
            yield chunk
            # It says that it can accept more as soon as its input is used up, though output may be left.
            while not self._stream.is_finished() and (len(chunk) >= CHUNK or not self._stream.can_accept_more_data()):
                chunk = self._step(b"")
                yield chunk

    def finish(self) -> None:
        if self._begun and not self._stream.is_finished():
            raise cut_off("br")

    def _step(self, piece: bytes) -> bytes:
        try:
            chunk: bytes = self._stream.process(piece, output_buffer_limit=CHUNK)
        except brotli.error as error:
            raise broken("br", error) from error
        return chunk


class _Zstd:
    """Zstandard frames, one after another (RFC 8878), skippable ones among them."""

    def __init__(self) -> None:
        self._frame: Any = None
        self._held = b""
        """The beginning of a frame, before it is known to be one."""
        self._piece = PIECE
        self._further = self._over = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        rest = memoryview(data)
        while rest and not self._over:
            if self._frame is None:
                rest = self._open(rest)
            else:
                rest = yield from self._body(rest)

    def finish(self) -> None:
        if self._frame is not None or (self._held and not self._over):
            raise cut_off("zstd")

    def _open(self, rest: memoryview) -> memoryview:
        missing = 4 - len(self._held)
        self._held += rest[:missing]
        if not _may_be_frame(self._held):
            if not self._further:
                raise DecodeError("the body is not zstd, though its Content-Encoding says so")
            self._over = True
        elif len(self._held) == 4:
            self._frame = zstd.ZstdDecompressor(options={zstd.DecompressionParameter.window_log_max: _WINDOW_LOG})
            self._frame.decompress(self._held, CHUNK)
            self._held = b""
        return rest[missing:]

    def _body(self, rest: memoryview) -> Generator[bytes, None, memoryview]:
        frame, piece = self._frame, rest[: self._piece]
        taken = len(piece)
        while True:
            try:
                chunk: bytes = frame.decompress(piece, CHUNK)
            except zstd.ZstdError as error:
                raise broken("zstd", error) from error
            yield chunk
            piece = memoryview(b"")
            if frame.eof:
                self._frame, self._piece, self._further = None, FIRST_PIECE, True
                return after(frame.unused_data, rest, taken)
            if frame.needs_input:
                self._piece = min(4 * self._piece, PIECE)
                return rest[taken:]


def _may_be_frame(begin: bytes) -> bool:
    """Whether these bytes, up to four, begin a frame or a skippable one (RFC 8878, sections 3.1.1 and 3.1.2)."""
    skippable = bool(begin) and 0x50 <= begin[0] <= 0x5F and b"\x2a\x4d\x18".startswith(begin[1:])
    return skippable or b"\x28\xb5\x2f\xfd".startswith(begin)
