"""What an origin says about how it wants to be asked: robots.txt, and quotas (section I, and RFC 9309)."""

from __future__ import annotations

from .exchange import Exchange
from .routes import fault


@fault("/robots.txt")
async def robots(x: Exchange) -> None:
    """What `FaultServer.robots` has for the address that was dialled, without its port; else 404."""
    address = x.request.address.rpartition(":")[0]
    status, body, headers = x.server.robots.get(address, (404, b"", ()))
    if not status:
        x.connection.cut()
        return
    await x.reply(status, body, headers)


@fault("/rationed")
async def rationed(x: Exchange) -> None:
    """An answer that says what is left of a quota, and for how many seconds: `?remaining=` and `?reset=`."""
    left, reset = x.arg("remaining", "0"), x.arg("reset", "1")
    await x.reply(200, b"fine", [("RateLimit-Remaining", left), ("RateLimit-Reset", reset)])
