"""Right answers: what a test compares the faults with, and what it asks about itself (row 80 and cookies)."""

from __future__ import annotations

import json

from .exchange import Exchange, head
from .routes import fault

CONTENT_TYPES: dict[str, tuple[str, ...]] = {
    "missing": (),
    "empty": ("",),
    "wrong": ("image/png",),
    "absurd": ("/;;=, \"'",),
    "charset": ("text/html; charset=no-such-charset",),
    "long": ("text/" + "x" * 4000,),
    "twice": ("text/html", "application/json"),
}


@fault("/echo")
async def echo(x: Exchange) -> None:
    """What was asked, as JSON."""
    request = x.request
    seen = {
        "method": request.method,
        "target": request.target,
        "address": request.address,
        "connection": request.connection,
        "headers": request.headers,
        "body": request.body.decode("latin-1"),
    }
    await x.reply(200, json.dumps(seen).encode(), [("X-Fault", "echo")])


@fault("/status")
async def status(x: Exchange) -> None:
    """`/status/N`: that status with a body, where it may have one."""
    code = int(x.rest)
    if code in (204, 304):
        x.keep = True
        await x.send(head(code))
    else:
        await x.reply(code, b"status")


@fault("/bytes")
async def bytes_(x: Exchange) -> None:
    """`/bytes/N`: so many bytes."""
    await x.reply(200, b"x" * int(x.rest))


@fault("/delay")
async def delay(x: Exchange) -> None:
    """`/delay/S`: an answer after so many seconds."""
    await x.wait(float(x.rest))
    await x.reply(200, b"late")


@fault("/content-type")
async def content_type(x: Exchange) -> None:
    """Bytes that are no text, under a type that says something else."""
    x.keep = True
    types = [("Content-Type", value) for value in CONTENT_TYPES[x.arg("kind")]]
    await x.send(head(200, [*types, ("Content-Length", "4")]) + b"\x00\xff\x1b\x80")


@fault("/cookie-set")
async def cookie_set(x: Exchange) -> None:
    """A cookie for the whole host, and one that claims to be for everybody."""
    await x.reply(200, b"set", [("Set-Cookie", "crumb=one; Path=/"), ("Set-Cookie", "wide=two; Domain=test")])


@fault("/cookie-echo")
async def cookie_echo(x: Exchange) -> None:
    """The cookies that came, one a line."""
    await x.reply(200, "\n".join(x.request.values("cookie")).encode("latin-1"))


@fault("/cookie-bad-age")
async def cookie_bad_age(x: Exchange) -> None:
    """Cookies whose ages and dates are no numbers and no dates, or beyond all bounds."""
    ages = ("9" * 40, "-" + "9" * 40, "soon", "1e99", "")
    dates = ("Thu, 99 Foo 99999 99:99:99 GMT", "Mon, 01 Jan 0000 00:00:00 GMT", "9" * 400)
    cookies = [f"age{i}=1; Max-Age={age}" for i, age in enumerate(ages)]
    cookies += [f"date{i}=1; Expires={date}" for i, date in enumerate(dates)]
    await x.reply(200, b"set", [("Set-Cookie", cookie) for cookie in (*cookies, "=;=;", "\t", "a" * 5000)])
