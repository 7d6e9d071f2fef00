"""Coded bodies: right ones, wrong ones, and small ones that grow without measure (rows 81-88)."""

from __future__ import annotations

import gzip
import sys
import zlib
from collections.abc import Callable
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from .exchange import Exchange, head
from .routes import fault

GIB = 1024**3
TEXT = b"The quick brown fox jumps over the lazy dog. " * 40
"""What a right body decodes to."""
_BLOCK = 1024**2
_GZIP_HEAD = b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff"


@cache
def installed(coding: str) -> bool:
    """Whether the library that a coding needs is there (br and zstd are optional)."""
    needs = {"br": ("brotli",), "zstd": ("compression.zstd", "backports.zstd")}.get(coding)
    return needs is None or any(_found(name) for name in needs)


def _found(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ModuleNotFoundError:
        return False


@cache
def _zeros(size: int) -> bytes:
    """`size` zero bytes as raw deflate: blocks that stand on their own, so that one is made and repeated."""
    maker = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    block = maker.compress(bytes(_BLOCK)) + maker.flush(zlib.Z_FULL_FLUSH)
    return block * (size // _BLOCK) + b"\x03\x00"


@cache
def gzip_bomb(size: int) -> bytes:
    """So many zero bytes (whole MiB) as gzip, check sums right."""
    crc = 0
    for _ in range(0, size, _BLOCK):
        crc = zlib.crc32(bytes(_BLOCK), crc)
    return _GZIP_HEAD + _zeros(size) + crc.to_bytes(4, "little") + (size % 2**32).to_bytes(4, "little")


@cache
def deflate_bomb(size: int) -> bytes:
    """So many zero bytes as a zlib stream, which is what HTTP calls deflate (RFC 9110, section 8.4.1.2)."""
    adler = (size % 65521) << 16 | 1
    return b"\x78\xda" + _zeros(size) + adler.to_bytes(4, "big")


@cache
def br_bomb(size: int) -> bytes:
    """So many zero bytes as brotli: 1 GiB is under 1 kB, and arrives in one read."""
    import brotli

    maker = brotli.Compressor(quality=5, lgwin=24)
    block = bytes(16 * _BLOCK)
    pieces: list[bytes] = [maker.process(block[: size - start]) for start in range(0, size, len(block))]
    return b"".join(pieces) + bytes(maker.finish())


def _zstd() -> Any:
    """The standard library's module from Python 3.14 on, before that its backport."""
    return import_module("compression.zstd" if sys.version_info >= (3, 14) else "backports.zstd")


def zstd_of(data: bytes) -> bytes:
    """One zstd frame."""
    return bytes(_zstd().compress(data))


@cache
def zstd_bomb(size: int) -> bytes:
    """So many zero bytes as zstd."""
    maker = _zstd().ZstdCompressor(level=1)
    block = bytes(16 * _BLOCK)
    pieces: list[bytes] = [maker.compress(block[: size - start]) for start in range(0, size, len(block))]
    return b"".join(pieces) + bytes(maker.flush())


@cache
def layered_bomb(size: int, layers: int) -> bytes:
    """A gzip bomb in further layers of gzip."""
    data = gzip_bomb(size)
    for _ in range(layers - 1):
        data = gzip.compress(data)
    return data


@cache
def members(n: int, size: int) -> bytes:
    """`n` gzip members of `size` zero bytes each, which is one right body (RFC 1952, section 2.2)."""
    return gzip.compress(bytes(size), mtime=0) * n


def _br_of(data: bytes) -> bytes:
    import brotli

    return bytes(brotli.compress(data))


def _raw_deflate(data: bytes) -> bytes:
    maker = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return maker.compress(data) + maker.flush()


CODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw-deflate": _raw_deflate,
    "br": _br_of,
    "zstd": zstd_of,
}
"""`raw-deflate` is what some servers send as deflate, and browsers take."""
BOMBS: dict[str, Callable[[int], bytes]] = {
    "gzip": gzip_bomb,
    "deflate": deflate_bomb,
    "br": br_bomb,
    "zstd": zstd_bomb,
}


async def _coded(x: Exchange, coding: str, body: bytes) -> None:
    await x.reply(200, body, [("Content-Encoding", coding)])


@fault("/coded")
async def coded(x: Exchange) -> None:
    """TEXT under `?coding=` of CODERS; `?cut=` takes bytes from its end, `?more=` adds what does not belong."""
    coding = x.arg("coding")
    body = CODERS[coding](TEXT)
    body = body[: len(body) - x.number("cut")] + x.arg("more").encode()
    await _coded(x, "deflate" if coding == "raw-deflate" else x.arg("as", coding), body)


@fault("/coded-cut")
async def coded_cut(x: Exchange) -> None:
    """Half of TEXT under `?coding=`, then the end: short of the length, or, with `?nolength=1`, without one."""
    coding = x.arg("coding")
    body = CODERS[coding](TEXT)
    length = [] if x.arg("nolength") else [("Content-Length", str(len(body)))]
    await x.send(head(200, [("Content-Encoding", coding), *length]) + body[: len(body) // 2])
    x.connection.cut()


@fault("/zstd-window")
async def zstd_window(x: Exchange) -> None:
    """A small zstd frame that asks for a window of 1 GiB (RFC 9659, section 3, allows 8 MiB)."""
    # Magic, a head without content size and with window descriptor 2**(10 + 20), one last raw block.
    block = (len(TEXT) << 3 | 1).to_bytes(3, "little")
    await _coded(x, "zstd", b"\x28\xb5\x2f\xfd" + b"\x00" + bytes([20 << 3]) + block + TEXT)


@fault("/bomb-gzip", "/bomb-deflate", "/bomb-br", "/bomb-zstd")
async def bomb(x: Exchange) -> None:
    """`?size=` zero bytes."""
    coding = x.request.path.removeprefix("/bomb-")
    await _coded(x, coding, BOMBS[coding](x.number("size", GIB)))


@fault("/bomb-gzip-layers")
async def bomb_layers(x: Exchange) -> None:
    """`?size=` zero bytes in `?layers=` layers."""
    layers = x.number("layers", 3)
    await _coded(x, ", ".join(["gzip"] * layers), layered_bomb(x.number("size", GIB), layers))


@fault("/encoding-chain")
async def encoding_chain(x: Exchange) -> None:
    """TEXT in `?n=` layers of gzip."""
    body = TEXT
    for _ in range(x.number("n")):
        body = gzip.compress(body)
    await _coded(x, ", ".join(["gzip"] * x.number("n")), body)


@fault("/bomb-members")
async def bomb_members(x: Exchange) -> None:
    """`?n=` gzip members of `?size=` bytes each."""
    await _coded(x, "gzip", members(x.number("n"), x.number("size", 1)))


@fault("/gzip-truncated")
async def gzip_truncated(x: Exchange) -> None:
    """Gzip that stops halfway, though all bytes announced arrive."""
    body = gzip.compress(TEXT)
    await _coded(x, "gzip", body[: len(body) // 2])


@fault("/gzip-badcrc")
async def gzip_badcrc(x: Exchange) -> None:
    """Gzip whose check sum is another's."""
    body = bytearray(gzip.compress(TEXT))
    body[-8] ^= 0xFF
    await _coded(x, "gzip", bytes(body))


@fault("/gzip-badsize")
async def gzip_badsize(x: Exchange) -> None:
    """Gzip whose length at the end is another's."""
    body = bytearray(gzip.compress(TEXT))
    body[-1] ^= 0xFF
    await _coded(x, "gzip", bytes(body))


@fault("/gzip-trailing")
async def gzip_trailing(x: Exchange) -> None:
    """Right gzip, then bytes that are no further member."""
    await _coded(x, "gzip", gzip.compress(TEXT) + b"garbage after the end")


@fault("/gzip-empty")
async def gzip_empty(x: Exchange) -> None:
    """No bytes at all, said to be `?coding=`."""
    await _coded(x, x.arg("coding", "gzip"), b"")


@fault("/coded-without-body")
async def coded_without_body(x: Exchange) -> None:
    """`?status=` 204 or 304, said to be gzip."""
    x.keep = True
    await x.send(head(x.number("status", 204), [("Content-Encoding", "gzip")]))


@fault("/wrong-encoding")
async def wrong_encoding(x: Exchange) -> None:
    """Plain text, said to be `?coding=`."""
    await _coded(x, x.arg("coding", "gzip"), TEXT)


@fault("/unknown-encoding")
async def unknown_encoding(x: Exchange) -> None:
    """A coding that nobody knows."""
    await _coded(x, x.arg("coding", "rot13"), TEXT)
