"""Kept-alive connections that die, or speak, while nobody asks (rows 111-115)."""

from __future__ import annotations

from .exchange import Exchange
from .routes import fault

_GONE = b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@fault("/keepalive-close-race")
async def close_race(x: Exchange) -> None:
    """Promise to keep the connection, and close it at once."""
    await x.reply(200, b"kept")
    x.keep = False


@fault("/keepalive-idle-close")
async def idle_close(x: Exchange) -> None:
    """Close after `?ms=` of silence, or when the next request has begun to come."""
    await x.reply(200, b"kept")
    await x.silence(x.seconds("ms"))
    x.keep = False


@fault("/keepalive-reset")
async def idle_reset(x: Exchange) -> None:
    """Reset after `?ms=` of silence."""
    await x.reply(200, b"kept")
    await x.silence(x.seconds("ms"))
    await x.connection.reset(settle=0)


@fault("/keepalive-408")
async def idle_408(x: Exchange) -> None:
    """After `?ms=` of silence, say that no request came, and close: what several load balancers do."""
    await x.reply(200, b"kept")
    await x.silence(x.seconds("ms"))
    await x.send(_GONE)
    x.keep = False


@fault("/keepalive-die-on-reuse")
async def die_on_reuse(x: Exchange) -> None:
    """Answer a connection's first request; take its second, and close without a word."""
    key = f"reuse {x.request.connection}"
    x.server.state[key] = x.server.state.get(key, 0) + 1
    if x.server.state[key] > 1:
        x.connection.cut()
    else:
        await x.reply(200, b"kept")


@fault("/keepalive-cut")
async def cut(x: Exchange) -> None:
    """A whole answer, then the connection is cut, under TLS without a close_notify."""
    await x.reply(200, b"kept")
    x.connection.cut()
