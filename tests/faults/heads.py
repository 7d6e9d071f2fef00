"""Heads that are no heads, lie, have no end or are too large (rows 52-53, 63-78)."""

from __future__ import annotations

from .exchange import Exchange
from .routes import fault
from .tls import ALERT

BADSTATUS: dict[str, bytes] = {
    "word": b"HTTP/1.1 fine OK",
    "missing": b"HTTP/1.1 OK",
    "nothing": b"HTTP/1.1",
    "four-digits": b"HTTP/1.1 2000 OK",
    "two-digits": b"HTTP/1.1 20 OK",
    "negative": b"HTTP/1.1 -200 OK",
    "plus": b"HTTP/1.1 +20 OK",
    "float": b"HTTP/1.1 2.0 OK",
    "hex": b"HTTP/1.1 0xC8 OK",
    "icy": b"ICY 200 OK",
    "future": b"HTTP/3.7 200 OK",
    "no-minor": b"HTTP/1 200 OK",
    "lower-case": b"http/1.1 200 OK",
    "smtp": b"220 mail.test ESMTP",
    "ssh": b"SSH-2.0-OpenSSH_9.6",
    "leading-space": b" HTTP/1.1 200 OK",
    "no-space": b"HTTP/1.1200 OK",
    # From here on a number that can be read, each with an answer of its own.
    "zero": b"HTTP/1.1 000 Nothing",
    "nines": b"HTTP/1.1 999 Odd",
    "no-reason": b"HTTP/1.1 200",
    "no-reason-space": b"HTTP/1.1 200 ",
    "escape": b"HTTP/1.1 200 \x1b[31mred\x1b]0;title\x07",
}
"""Status lines (RFC 9112, section 4)."""

BADHEADER: dict[str, bytes] = {
    "nul": b"X-Bad: a\x00b\r\n",
    "bare-cr": b"X-Bad: a\rX-Injected: 1\r\n",
    "no-colon": b"X-Bad\r\n",
    "empty-name": b": value\r\n",
    "space": b"X-Bad : value\r\n",
    "latin1": b"X-Bytes: caf\xe9\r\n",
    "invalid-utf8": b"X-Bytes: \xff\xfe\xc3\x28\r\n",
    "utf8": b"X-Bytes: caf\xc3\xa9 \xe2\x82\xac\r\n",
    "esc": b"X-Bytes: \x1b[31mred\x1b[0m\r\n",
    "bare-lf": b"X-Bytes: a\nX-Injected: 1\r\n",
    "duplicate": b"X-Bytes: one\r\nX-Other: o\r\nx-bytes: two\r\nX-BYTES: one\r\n",
    "cookies": b"".join(b"Set-Cookie: c%d=%d; Path=/\r\n" % (i, i) for i in range(20)),
    "fold": b"X-Bytes: one\r\n two\r\n\tthree\r\n",
}
"""Header lines (RFC 9112, section 5); the first five must not be taken."""

_EARLY = b"HTTP/1.1 103 Early Hints\r\nX-Early: 1\r\nLink: </style.css>; rel=preload\r\n\r\n"
_INTERIM = (b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n", _EARLY)
_END = b"Content-Length: 5\r\n\r\nhello"


@fault("/truncated-headers")
async def truncated_headers(x: Exchange) -> None:
    """The end comes within the head."""
    await x.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Le")
    x.connection.cut()


@fault("/reset-mid-headers")
async def reset_mid_headers(x: Exchange) -> None:
    """A reset comes within the head."""
    await x.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Le")
    await x.connection.reset()


@fault("/badstatus")
async def badstatus(x: Exchange) -> None:
    """`?kind=` of BADSTATUS."""
    await x.send(BADSTATUS[x.arg("kind")] + b"\r\n" + _END)


@fault("/badheader")
async def badheader(x: Exchange) -> None:
    """`?kind=` of BADHEADER."""
    x.keep = True
    await x.send(b"HTTP/1.1 200 OK\r\n" + BADHEADER[x.arg("kind")] + _END)


@fault("/http09")
async def http09(x: Exchange) -> None:
    """A body and nothing else."""
    await x.send(b"<html>hello from 1991</html>\n")


@fault("/http10")
async def http10(x: Exchange) -> None:
    """HTTP/1.0, whose connections end with the answer."""
    await x.send(b"HTTP/1.0 200 OK\r\n" + _END)


@fault("/close-said")
async def close_said(x: Exchange) -> None:
    """Say that the connection closes, and keep it open."""
    await x.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + _END)
    x.keep = True


@fault("/garbage")
async def garbage(x: Exchange) -> None:
    """Bytes of no protocol."""
    await x.send(bytes(range(256)) * 4)


@fault("/tls-alert")
async def tls_alert(x: Exchange) -> None:
    """What a TLS port says to plain HTTP."""
    await x.send(ALERT)


@fault("/101")
async def switching(x: Exchange) -> None:
    """A change of protocol that nobody asked for."""
    await x.send(b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n\x81\x05hello")
    await x.hold()


@fault("/1xx")
async def interim(x: Exchange) -> None:
    """`?n=` interim answers, then the real one."""
    await x.send(b"".join(_INTERIM[i % 3] for i in range(x.number("n", 1))))
    await x.reply(200, b"hello")


@fault("/1xx-forever")
async def interim_forever(x: Exchange) -> None:
    """Interim answers without an end."""
    await x.flood(_EARLY * 20)


@fault("/hugeheader")
async def hugeheader(x: Exchange) -> None:
    """One header value of `?size=` bytes."""
    await x.reply(200, b"hello", [("X-Huge", "x" * x.number("size"))])


@fault("/manyheaders")
async def manyheaders(x: Exchange) -> None:
    """`?n=` header lines."""
    await x.reply(200, b"hello", [(f"X-Many-{i}", str(i)) for i in range(x.number("n"))])


@fault("/headers-forever")
async def headers_forever(x: Exchange) -> None:
    """Header lines without an end."""
    x.small_buffer()
    await x.send(b"HTTP/1.1 200 OK\r\n")
    await x.flood(b"X-Line: and another one\r\n" * 40)


@fault("/header-line-forever")
async def header_line_forever(x: Exchange) -> None:
    """One header line without an end."""
    x.small_buffer()
    await x.send(b"HTTP/1.1 200 OK\r\nX-Line: ")
    await x.flood(b"x" * 1024)


@fault("/status-line-forever")
async def status_line_forever(x: Exchange) -> None:
    """A reason phrase without an end."""
    x.small_buffer()
    await x.send(b"HTTP/1.1 200 ")
    await x.flood(b"x" * 1024)


@fault("/set-cookie-huge")
async def set_cookie_huge(x: Exchange) -> None:
    """`?n=` cookies of `?size=` bytes each."""
    value = "x" * x.number("size", 8000)
    await x.reply(200, b"hello", [("Set-Cookie", f"c{i}={value}") for i in range(x.number("n", 100))])
