"""
Reading a body: from the stream, through the decoder, to what keeps it, counted and capped on the way.

Knows streams and decoders; it must not know whose body it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol

from aiohttp import StreamReader

from fetchall.units import format_size
from fetchall.wire.decode import Decoder, decoder
from fetchall.wire.failures import TooLarge
from fetchall.wire.hashing import Digest, Hasher

_BREATH = 48
"""Chunks of decoding (at most 96 KiB each) after which the loop gets its turn: some 10 ms."""


class Keeper(Protocol):
    """What is done with decoded bytes as they come."""

    def write(self, chunk: bytes) -> None:
        """Take the next chunk."""


class Memory:
    """Keeps the digest, and the body where asked for; the cap bounds what is held."""

    def __init__(self, *, digest: bool, body: bool, md5: bool = False, hasher: Hasher | None = None) -> None:
        self._digest = Digest(hasher, md5=md5) if digest else None
        self.size = 0
        """Bytes that came."""
        self._chunks: list[bytes] | None = [] if body else None

    def write(self, chunk: bytes) -> None:
        """See `Keeper`."""
        self.size += len(chunk)
        if self._digest is not None:
            self._digest.update(chunk)
        if self._chunks is not None:
            self._chunks.append(chunk)

    def rest(self) -> None:
        """No more comes for now."""

    def resume(self) -> bool:
        """More comes; False: what came before is gone."""
        return True

    def discard(self) -> None:
        """It is not wanted, or not whole."""

    @property
    def sha256(self) -> str | None:
        """The digest in hex; None where not asked for."""
        return self._digest.sha256 if self._digest is not None else None

    @property
    def md5(self) -> str | None:
        """As `sha256`."""
        return self._digest.md5 if self._digest is not None else None

    @property
    def body(self) -> bytes | None:
        """The whole body; None where not asked for."""
        if self._chunks is None:
            return None
        # Who asks again gets the same bytes, not another copy.
        self._chunks = [b"".join(self._chunks)]
        return self._chunks[0]


class Tally:
    """How much has come so far, also when reading ends in an exception."""

    __slots__ = ("decoded", "wire")

    def __init__(self) -> None:
        self.wire = 0
        self.decoded = 0


async def receive(
    stream: StreamReader,
    codings: str | None,
    keeper: Keeper | None,
    cap: int,
    tally: Tally,
    check_end: Callable[[StreamReader], None],
    read: Callable[[], Awaitable[bytes]] | None = None,
) -> None:
    """
    Read the whole body; `read` gives its next bytes where the stream itself is not to be read as fast as it comes.

    `codings` are its Content-Encoding; an empty body is whole in any. Raises `TooLarge` at the cap on decoded bytes,
    `DecodeError`, what the stream raises, and what `check_end` says of a body that ended as it should not.
    """
    read = read or stream.readany
    layers: Decoder | None = None
    coded = codings is not None
    while True:
        data = await read()
        if not data:
            break
        tally.wire += len(data)
        if coded and layers is None:
            layers = decoder(codings, limit=cap)
            coded = layers is not None
        if layers is None:
            _keep(data, keeper, cap, tally)
        else:
            await _decode(data, layers, keeper, cap, tally)
        if stream.at_eof():
            break
    check_end(stream)
    if layers is not None:
        layers.finish()


async def _decode(data: bytes, decoder: Decoder, keeper: Keeper | None, cap: int, tally: Tally) -> None:
    for count, chunk in enumerate(decoder.feed(data), start=1):
        _keep(chunk, keeper, cap, tally)
        if count % _BREATH == 0:
            await asyncio.sleep(0)


def _keep(chunk: bytes, keeper: Keeper | None, cap: int, tally: Tally) -> None:
    tally.decoded += len(chunk)
    if tally.decoded > cap:
        raise TooLarge(f"the body is larger than {format_size(cap)} (--max-body)")
    if keeper is not None and chunk:
        keeper.write(chunk)
