"""Answers that come late, drop by drop, stop, or never end (rows 116-121)."""

from __future__ import annotations

from .exchange import MAX_BYTES, Exchange, head
from .routes import fault

_CHUNKED = head(200, [("Transfer-Encoding", "chunked")])


@fault("/never")
async def never(x: Exchange) -> None:
    """Take the request, say nothing."""
    await x.hold()


@fault("/slowloris")
async def slowloris(x: Exchange) -> None:
    """The head a byte at a time, `?ms=` apart."""
    await x.drip(head(200, [("X-Padding", "x" * 10_000), ("Content-Length", "5")]) + b"hello", x.seconds("ms", 0.05))


@fault("/header-drip")
async def header_drip(x: Exchange) -> None:
    """A header line each `?ms=`, 1,000 of them."""
    await x.send(b"HTTP/1.1 200 OK\r\n")
    await x.flood(b"X-Line: and another one\r\n", limit=25_000, pause=x.seconds("ms", 0.05))


@fault("/drip")
async def drip(x: Exchange) -> None:
    """`?bytes=` of body, `?rate=` a second."""
    count, rate = x.number("bytes", 1000), float(x.arg("rate", "1"))
    await x.send(head(200, [("Content-Length", str(count))]))
    await x.drip(b"x" * count, 1 / rate)
    x.keep = True


@fault("/stall")
async def stall(x: Exchange) -> None:
    """Half a body, then silence."""
    await x.send(head(200, [("Content-Length", "900")]) + b"x" * 500)
    await x.hold()


@fault("/late-rest")
async def late_rest(x: Exchange) -> None:
    """Half a body, and the other half `?ms=` later, after which the connection could be used again."""
    await x.send(head(200, [("Content-Length", "10")]) + b"xxxxx")
    await x.wait(x.seconds("ms", 1.0))
    await x.send(b"xxxxx")
    x.keep = True


@fault("/never-ending")
async def never_ending(x: Exchange) -> None:
    """A body without length and end; `?length=1` announces 1 TiB."""
    length = [("Content-Length", str(1024**4))] if x.arg("length") else []
    await x.send(head(200, length))
    await x.flood(b"x" * 65536)


@fault("/infinite-chunked")
async def infinite_chunked(x: Exchange) -> None:
    """Chunks without an end."""
    await x.send(_CHUNKED)
    await x.flood(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")


@fault("/tiny-chunks")
async def tiny_chunks(x: Exchange) -> None:
    """`?n=` chunks of one byte each."""
    count = min(x.number("n", 1_000_000), MAX_BYTES // 6)
    await x.send(_CHUNKED)
    chunks = b"1\r\nx\r\n" * 10_000
    for done in range(0, count, 10_000):
        await x.send(chunks[: 6 * min(10_000, count - done)])
    await x.send(b"0\r\n\r\n")
    x.keep = True
