"""Pages that a test sets and changes, with validators: a right origin server's answers to conditional requests."""

from __future__ import annotations

from dataclasses import dataclass

from .exchange import Exchange, head
from .routes import fault


@dataclass
class Page:
    """What is at a path of /fresh/ now."""

    body: bytes = b""
    etag: str | None = None
    modified: str | None = None
    status: int = 200
    kind: str = "text/plain"
    location: str | None = None
    confirmed: tuple[tuple[str, str], ...] = ()
    """Further headers of a 304."""


@fault("/fresh")
async def fresh(x: Exchange) -> None:
    """`/fresh/NAME`: the page of that name, 304 where the client has it (RFC 9110 section 13.2.2), 404 for no page."""
    page = x.server.pages.get(x.rest)
    if page is None:
        await x.reply(404, b"no such page")
        return
    validators = [("ETag", page.etag), ("Last-Modified", page.modified), ("Location", page.location)]
    headers = [(name, value) for name, value in validators if value is not None]
    x.keep = True
    if 200 <= page.status < 300 and _has(x, page):
        await x.send(head(304, [*headers, *page.confirmed]))
        return
    whole = [("Content-Type", page.kind), ("Content-Length", str(len(page.body))), *headers]
    await x.send(head(page.status, whole) + (b"" if x.request.method == "HEAD" else page.body))


def _has(x: Exchange, page: Page) -> bool:
    tag = x.request.value("if-none-match")
    if tag is not None:
        return page.etag is not None and tag.removeprefix("W/") == page.etag.removeprefix("W/")
    return page.modified is not None and x.request.value("if-modified-since") == page.modified
