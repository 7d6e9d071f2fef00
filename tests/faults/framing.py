"""Bodies that lie about their length, end too early, go on too long, or bring a stranger's answer (rows 41 to 62)."""

from __future__ import annotations

from .exchange import Exchange, head
from .routes import fault

BADCHUNK: dict[str, bytes] = {
    "word": b"five\r\nhello\r\n0\r\n\r\n",
    "negative": b"-5\r\nhello\r\n0\r\n\r\n",
    "plus": b"+5\r\nhello\r\n0\r\n\r\n",
    "hexprefix": b"0x5\r\nhello\r\n0\r\n\r\n",
    "float": b"5.0\r\nhello\r\n0\r\n\r\n",
    "empty": b"\r\nhello\r\n0\r\n\r\n",
    "huge": b"7fffffffffffffff\r\nhello",
    "huger": b"ffffffffffffffff\r\nhello",
    "overflow": b"fffffffffffffffff5\r\nhello\r\n0\r\n\r\n",
    "nocrlf": b"5\r\nhello0\r\n\r\n",
    "control": b"5\x01\r\nhello\r\n0\r\n\r\n",
}
"""Chunks that no server may send (RFC 9112, section 7.1)."""

BADLENGTH: dict[str, tuple[str, ...]] = {
    "negative": ("Content-Length: -5",),
    "plus": ("Content-Length: +5",),
    "word": ("Content-Length: five",),
    "hex": ("Content-Length: 0x5",),
    "float": ("Content-Length: 5.0",),
    "exponent": ("Content-Length: 5e0",),
    "empty": ("Content-Length:",),
    "inner-space": ("Content-Length: 1 0",),
    "underscore": ("Content-Length: 0_5",),
    "junk": ("Content-Length: 5abc",),
    "unicode": ("Content-Length: \xb2",),
    "overflow": ("Content-Length: 99999999999999999999999999",),
    "list-differ": ("Content-Length: 5, 6",),
    "differ": ("Content-Length: 5", "Content-Length: 6"),
    "same-twice": ("Content-Length: 5", "Content-Length: 5"),
    "cl-te": ("Content-Length: 5", "Transfer-Encoding: chunked"),
}
"""Lengths that no server may send (RFC 9110, section 8.6); `same-twice` may be taken as one."""

POISON = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 6\r\n\r\nPOISON"
"""A whole answer to a question that nobody asked."""

_GARBAGE = b"\x00 what is no answer \xff\r\n\r\n"

_CHUNKED = head(200, [("Transfer-Encoding", "chunked")])
_CHUNK = b"5\r\nhello\r\n"


@fault("/empty")
async def empty(x: Exchange) -> None:
    """The request is read; the connection is closed."""
    x.connection.cut()


@fault("/reset")
async def reset(x: Exchange) -> None:
    """The request is read; the connection is reset."""
    await x.connection.reset()


@fault("/truncated")
async def truncated(x: Exchange) -> None:
    """900 bytes announced, 500 sent, then a clean end."""
    await x.send(head(200, [("Content-Length", "900")]) + b"x" * 500)
    x.connection.cut()


@fault("/half-closed")
async def half_closed(x: Exchange) -> None:
    """As `/truncated`, but only the sending side is closed."""
    await x.send(head(200, [("Content-Length", "900")]) + b"x" * 500)
    x.connection.writer.write_eof()
    await x.hold()


@fault("/reset-mid-body")
async def reset_mid_body(x: Exchange) -> None:
    """900 bytes announced, 500 sent, then a reset."""
    await x.send(head(200, [("Content-Length", "900")]) + b"x" * 500)
    await x.connection.reset()


@fault("/chunk-truncated")
async def chunk_truncated(x: Exchange) -> None:
    """The end comes within a chunk."""
    await x.send(_CHUNKED + _CHUNK + b"ff\r\nhello")
    x.connection.cut()


@fault("/chunk-no-end")
async def chunk_no_end(x: Exchange) -> None:
    """Whole chunks, but the last one is missing."""
    await x.send(_CHUNKED + _CHUNK)
    x.connection.cut()


@fault("/badchunk")
async def badchunk(x: Exchange) -> None:
    """
    `?kind=` of BADCHUNK, `?ms=` after the head; `extension` is 200 kB of chunk extension, `trailers` so many lines.

    `extension-forever` and `trailers-forever` have no end.
    """
    match x.arg("kind"):
        case "extension":
            await x.send(_CHUNKED + b"5;" + b"x" * x.number("size", 200_000) + b"\r\nhello\r\n0\r\n\r\n")
        case "trailers":
            lines = b"".join(b"X-Trailer-%d: v\r\n" % i for i in range(x.number("n", 100_000)))
            await x.send(_CHUNKED + _CHUNK + b"0\r\n" + lines + b"\r\n")
        case "extension-forever":
            await x.send(_CHUNKED + b"5;")
            await x.flood(b"x" * 1024, pause=0.001)
        case "trailers-forever":
            await x.send(_CHUNKED + _CHUNK + b"0\r\n")
            await x.flood(b"X-Trailer: v\r\n" * 100)
        case kind if gap := x.seconds("ms"):
            await x.send(_CHUNKED)
            await x.wait(gap)
            await x.send(BADCHUNK[kind])
        case kind:
            await x.send(_CHUNKED + BADCHUNK[kind])


@fault("/trailers")
async def trailers(x: Exchange) -> None:
    """A right trailer."""
    x.keep = True
    await x.send(_CHUNKED + _CHUNK + b"0\r\nX-Trailer: v\r\n\r\n")


@fault("/badlength")
async def badlength(x: Exchange) -> None:
    """`?kind=` of BADLENGTH, over a body of 5 bytes."""
    lines = "\r\n".join(("HTTP/1.1 200 Said", *BADLENGTH[x.arg("kind")], "", "")).encode("latin-1")
    await x.send(lines + (_CHUNK + b"0\r\n\r\n" if x.arg("kind") == "cl-te" else b"hello"))


@fault("/badcoding")
async def badcoding(x: Exchange) -> None:
    """A Transfer-Encoding that is not `chunked`, named by `?value=`."""
    await x.send(head(200, [("Transfer-Encoding", x.arg("value"))]) + _CHUNK + b"0\r\n\r\n")


@fault("/nolength-close")
async def nolength_close(x: Exchange) -> None:
    """A body that ends with the connection, as it may; under TLS with a close_notify."""
    await x.send(head(200) + b"x" * 500)


@fault("/nolength-cut")
async def nolength_cut(x: Exchange) -> None:
    """The same, but under TLS without a close_notify: anybody on the way may have cut it."""
    await x.send(head(200) + b"x" * 500)
    x.connection.cut()


@fault("/nolength-reset")
async def nolength_reset(x: Exchange) -> None:
    """A body without a length that ends in a reset."""
    await x.send(head(200) + b"x" * 500)
    await x.connection.reset()


async def _beyond(x: Exchange, start: bytes) -> None:
    """What comes after the end of a message, `?ms=` later: with it in one segment, or on its own; `?what=garbage`."""
    x.keep = True
    gap, more = x.seconds("ms"), _GARBAGE if x.arg("what") == "garbage" else POISON
    if gap:
        await x.send(start)
        await x.wait(gap)
        await x.send(more)
    else:
        await x.send(start + more)


@fault("/overrun")
async def overrun(x: Exchange) -> None:
    """5 bytes announced, more sent."""
    await _beyond(x, head(200, [("Content-Length", "5")]) + b"hello")


@fault("/overrun-forever")
async def overrun_forever(x: Exchange) -> None:
    """5 bytes announced, and no end."""
    x.small_buffer()
    await x.send(head(200, [("Content-Length", "5")]) + b"hello")
    await x.flood(b"x" * 4096)


@fault("/204-with-body")
async def no_content_with_body(x: Exchange) -> None:
    """A status that has no body, with one."""
    await _beyond(x, head(204, [("Content-Length", str(len(POISON)))]))


@fault("/304-with-body")
async def not_modified_with_body(x: Exchange) -> None:
    """A status that has no body, with one."""
    await _beyond(x, head(304, [("Content-Length", str(len(POISON)))]))


@fault("/head-with-body")
async def head_with_body(x: Exchange) -> None:
    """An answer with a body, to HEAD as well; `?chunked=1` says in chunks."""
    await _beyond(x, _CHUNKED if x.arg("chunked") else head(200, [("Content-Length", str(len(POISON)))]))


@fault("/unsolicited")
async def unsolicited(x: Exchange) -> None:
    """A right answer, and `?ms=` later one that nobody asked for."""
    await _beyond(x, head(200, [("Content-Length", "5")]) + b"hello")
