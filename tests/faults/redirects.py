"""Redirects: right ones, endless ones, ones that lead nowhere or where nobody should go (rows 90-100)."""

from __future__ import annotations

from .bodies import GIB, gzip_bomb
from .exchange import Exchange, head
from .routes import fault

SECRET = "hunter2"
"""The password in whatever the server makes up: no row may show it."""

BAD_REDIRECT: dict[str, tuple[bytes, ...]] = {
    "nolocation": (),
    "empty": (b"",),
    "file": (b"file:///etc/passwd",),
    "ftp": (b"ftp://127.0.0.1/x",),
    "gopher": (b"gopher://127.0.0.1:70/1",),
    "javascript": (b"javascript:alert(1)",),
    "data": (b"data:text/plain,hello",),
    "mailto": (b"mailto:a@example.test",),
    "ws": (b"ws://127.0.0.1/x",),
    "badipv6": (b"http://[::1/x",),
    "badport": (b"http://127.0.0.1:99999/x",),
    "nohost": (b"http://",),
    "huge": (b"http://127.0.0.1:{http}/" + b"x" * 60_000,),
    "nul": (b"/echo?nul=a\x00b",),
    "nul-encoded": (b"/echo?nul=a%00b",),
    "crlf": (b"/echo?a=b%0d%0aX-Injected:%201",),
    "crlf-path": (b"/echo/%0d%0aX-Injected:%201",),
    "utf8": (b"/echo?caf\xc3\xa9",),
    "latin1": (b"/echo?caf\xe9",),
    "space": (b" /echo?a b ",),
    "tab": (b"/ec\tho",),
    "twice": (b"/echo?first", b"/echo?second"),
    "backslash": (b"\\echo",),
    "fragment": (b"/echo#there",),
    "relative": (b"../echo",),
    "scheme-relative": (b"//127.0.0.1:{http}/echo",),
}
"""Values of Location, by kind; two of them are two header lines."""


def _to(location: str) -> list[tuple[str, str]]:
    return [("Location", location)]


@fault("/redirect-chain")
async def chain(x: Exchange) -> None:
    """`/redirect-chain/N`: N hops, then the end."""
    left = int(x.rest)
    if left:
        await x.reply(302, b"on", _to(f"/redirect-chain/{left - 1}"))
    else:
        await x.reply(200, b"the end")


@fault("/redirect-loop")
async def loop(x: Exchange) -> None:
    """To itself."""
    await x.reply(302, b"on", _to("/redirect-loop"))


@fault("/redirect-ping", "/redirect-pong")
async def pingpong(x: Exchange) -> None:
    """Each to the other."""
    await x.reply(302, b"on", _to("/redirect-pong" if x.request.path == "/redirect-ping" else "/redirect-ping"))


@fault("/redirect-spiral")
async def spiral(x: Exchange) -> None:
    """To a longer path each time."""
    await x.reply(302, b"on", _to(x.request.target + "/on"))


@fault("/bad-redirect")
async def bad_redirect(x: Exchange) -> None:
    """`?kind=` of BAD_REDIRECT."""
    values = (x.server.text(value.decode("latin-1")) for value in BAD_REDIRECT[x.arg("kind")])
    await x.reply(302, b"on", [("Location", value) for value in values])


@fault("/redirect-host")
async def redirect_host(x: Exchange) -> None:
    """To `?to=`, with `?status=`; characters beyond ASCII go out as UTF-8."""
    target = x.arg("to").encode("utf-8", "surrogateescape").decode("latin-1")
    await x.reply(x.number("status", 302), b"on", _to(target))


@fault("/redirect-userinfo")
async def redirect_userinfo(x: Exchange) -> None:
    """To `?to=` (host and port) with a name and a password in front."""
    await x.reply(302, b"on", _to(f"http://somebody:{SECRET}@{x.arg('to')}/echo"))


@fault("/redirect-bomb")
async def redirect_bomb(x: Exchange) -> None:
    """A redirect whose own body is 1 GiB of gzip."""
    x.small_buffer()
    await x.reply(302, gzip_bomb(x.number("size", GIB)), [*_to("/echo"), ("Content-Encoding", "gzip")])


@fault("/redirect-endless")
async def redirect_endless(x: Exchange) -> None:
    """A redirect whose own body has no end."""
    x.small_buffer()
    await x.send(head(302, [*_to("/echo"), ("Transfer-Encoding", "chunked")]))
    await x.flood(b"400\r\n" + b"x" * 1024 + b"\r\n")


@fault("/redirect-stall")
async def redirect_stall(x: Exchange) -> None:
    """A redirect whose own body does not come."""
    await x.send(head(302, [*_to("/echo"), ("Content-Length", "1000")]))
    await x.hold()


@fault("/redirect-truncated")
async def redirect_truncated(x: Exchange) -> None:
    """A redirect whose own body is cut off."""
    await x.send(head(302, [*_to("/echo"), ("Content-Length", "1000")]) + b"x")
