"""Answers that change from one request to the next: flaky, limited, busy (rows 101-108)."""

from __future__ import annotations

import json
import time
from email.utils import formatdate

from .exchange import Exchange, head
from .routes import fault

FLAKY = ("status", "close", "reset", "truncated", "never")
"""The ways in which the first answers of `/flaky` fail."""


def count(x: Exchange, name: str) -> int:
    """How many requests came under this name and `?key=`, this one included."""
    key = f"{name} {x.arg('key')}"
    x.server.state[key] = x.server.state.get(key, 0) + 1
    return x.server.state[key]


@fault("/flaky")
async def flaky(x: Exchange) -> None:
    """The first `?fail=` requests (by `?key=`) fail by `?mode=`, of FLAKY; `?status=` is the status that fails."""
    if count(x, "flaky") > x.number("fail", 2):
        await x.reply(200, b"at last")
        return
    match x.arg("mode", "status"):
        case "status":
            await x.reply(x.number("status", 503), b"not yet")
        case "close":
            x.connection.cut()
        case "reset":
            await x.connection.reset()
        case "truncated":
            await x.send(head(200, [("Content-Length", "1000")]) + b"x")
        case "never":
            await x.hold()


@fault("/retry-after")
async def retry_after(x: Exchange) -> None:
    """
    `?status=` for the first `?fail=` requests, with a Retry-After of `?value=`.

    `?in=` instead of `value` gives a date, so many seconds ahead.
    """
    if count(x, "retry-after") > x.number("fail", 1):
        await x.reply(200, b"at last")
        return
    value = formatdate(time.time() + float(x.arg("in")), usegmt=True) if x.arg("in") else x.arg("value")
    await x.reply(x.number("status", 429), b"not yet", [("Retry-After", value)])


@fault("/api")
async def api(x: Exchange) -> None:
    """JSON about what the path names; the fifth request is one too many, and is asked to wait for a second."""
    if count(x, "api") == 5:
        await x.reply(429, b"too many", [("Retry-After", "1")])
        return
    body = json.dumps({"item": x.rest}).encode()
    await x.send(head(200, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]) + body)
    x.keep = True


@fault("/throttle")
async def throttle(x: Exchange) -> None:
    """429 to whatever is more than `?rate=` in the second before it (by `?key=`)."""
    times = x.server.times.setdefault(x.arg("key"), [])
    recent = [at for at in times if at > x.request.at - 1]
    times[:] = [*recent, x.request.at]
    if len(recent) >= x.number("rate", 20):
        await x.reply(429, b"too fast")
    else:
        await x.reply(200, b"fine")


@fault("/busy")
async def busy(x: Exchange) -> None:
    """503 to whatever is more than `?limit=` at once to one host; an answer takes `?ms=`."""
    host = x.request.value("host") or "?"
    if x.server.seen.in_flight[host] > x.number("limit", 4):
        await x.reply(503, b"busy")
    else:
        await x.wait(x.seconds("ms", 0.02))
        await x.reply(200, b"fine")
