"""
What the practice site serves: a table of paths, latencies and answers, and the bodies that go with them.

Pure data and bytes; must not know how a server sends them, nor import any other module of ours.
"""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from typing import NamedTuple


class Page(NamedTuple):
    """
    One row of the table: what is served at a path, after how many milliseconds.

    A `{}` in the path becomes 1, 2, 3 …: one URL for each of the latencies. The sites are ports, and so hosts to be
    polite to: what 1 and 2 ask of a client, to wait and to slow down, is nothing to 0.
    """

    path: str
    answer: str
    detail: int | str
    ms: tuple[int, ...]
    site: int = 0


# fmt: off
PAGES = (
    #    path                     answer      detail              milliseconds, one URL for each
    # The slow ones come early, so that a concurrent pass ends with short ones.
    Page("/",                     "html",     4,                  (20,)),
    Page("/robots.txt",           "robots",   "",                 (5,)),
    Page("/about",                "html",     2,                  (35,)),
    Page("/slow/{}",              "html",     1,                  (300, 250, 220, 200, 180, 160)),
    Page("/slow/drip",            "chunked",  5,                  (240,)),
    Page("/reports/large",        "html",     1024,               (150,)),
    Page("/articles/{}",          "html",     6,                  (55, 40, 85, 60, 120, 45, 70, 95, 50, 65)),
    Page("/old/chain",            "redirect", "301 /chain/2",     (20,)),
    Page("/old/loop",             "redirect", "302 /loop/b",      (10,)),
    Page("/old/about",            "redirect", "301 /about",       (15,)),
    Page("/old/articles/first",   "redirect", "308 ../../articles/1", (15,)),
    Page("/old/search",           "redirect", "302 ?page=2",      (15,)),
    Page("/api/users/{}",         "json",     1,                  (25, 30, 20, 35, 25, 45, 30, 20, 60, 25, 30, 40)),
    Page("/api/orders",           "json",     400,                (130,)),
    Page("/api/ping",             "empty",    204,                (5,)),
    Page("/errors/missing",       "status",   404,                (15,)),
    Page("/errors/gone",          "status",   410,                (15,)),
    Page("/errors/broken",        "status",   500,                (90,)),
    Page("/cut/body",             "cut",      24_000,             (60,)),
    Page("/cut/gzip",             "gzip cut", 40,                 (60,)),
    Page("/cut/connection",       "closed",   "",                 (40,)),
    Page("/flaky/once",           "flaky",    1,                  (30,), 1),
    Page("/flaky/twice",          "flaky",    2,                  (30,), 1),
    Page("/flaky/never",          "html",     1,                  (30,), 1),
    Page("/busy",                 "busy",     1,                  (20,), 2),
    Page("/busy/not",             "html",     1,                  (20,), 2),
    Page("/articles/long/{}",     "gzip",     120,                (110, 75, 140, 90, 105, 80)),
    Page("/images/{}.png",        "png",      64,                 (30, 25, 45, 35, 60, 30, 40, 55, 25, 50, 35, 30)),
    Page("/cafe/menu",            "latin-1",  "",                 (40,)),
    Page("/search?q=caf%C3%A9&sig=ab%2Fcd", "html", 2,            (85,)),
    Page("/private/notes",        "html",     1,                  (30,)),
    Page("/news/{}",              "html",     3,                  (40, 65, 50, 90, 45, 110, 60, 75, 40, 100, 55, 80)),
    Page("/api/items/{}",         "json",     5,                  (20, 35, 60, 25, 40, 30, 50, 20, 45, 30, 25, 15)),
    Page("/thumbs/{}.png",        "png",      16,                 (15, 10, 20, 25, 10, 15, 20, 10)),
)

HOPS = (
    # Where redirects lead; not in the list themselves.
    Page("/chain/2",              "redirect", "302 /chain/3",     (20,)),
    Page("/chain/3",              "redirect", "307 /chain/end",   (20,)),
    Page("/chain/end",            "html",     2,                  (40,)),
    Page("/loop/b",               "redirect", "302 /old/loop",    (10,)),
    Page("/old/search?page=2",    "html",     2,                  (35,)),
)
# fmt: on


class Spot(NamedTuple):
    """One URL of the site: a row of the table, spread out."""

    path: str
    answer: str
    detail: int | str
    seconds: float
    site: int = 0


class Reply(NamedTuple):
    """What a spot says, before it is known which way the connection is treated."""

    body: bytes = b""
    content_type: str = "text/html; charset=utf-8"
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()


def spots(pages: tuple[Page, ...] = PAGES) -> list[Spot]:
    """The table's rows spread out, in the order of the list."""
    return [
        Spot(page.path.replace("{}", str(number)), page.answer, page.detail, ms / 1000, page.site)
        for page in pages
        for number, ms in enumerate(page.ms, start=1)
    ]


def answer(spot: Spot, hit: int) -> Reply:
    """What a spot says to the hit-th request of a pass, from 1."""
    return _ANSWERS[spot.answer](spot, hit)


def broken(spot: Spot) -> bytes | None:
    """The bytes of an answer that no server sends on purpose, after which the connection ends; None: it is not one."""
    make = _BROKEN.get(spot.answer)
    return None if make is None else make(spot)


def _head(length: int, *lines: bytes) -> bytes:
    return b"\r\n".join((b"HTTP/1.1 200 OK", b"Connection: close", b"Content-Length: %d" % length, *lines, b"", b""))


def _text(kib: int) -> bytes:
    """So many KiB of a page's text."""
    sentence = "<p>The list is long, the wire is short, and nobody waits in line for a slow one.</p>\n"
    page = f"<!doctype html>\n<title>Practice site</title>\n{sentence * (kib * 1024 // len(sentence))}"
    return page.encode()


def _png(side: int) -> bytes:
    """A square image in greys, as small as the format allows (PNG, third edition, sections 5 and 11)."""
    rows = b"".join(b"\0" + bytes((x * y) % 256 for x in range(side)) for y in range(side))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _records(spot: Spot) -> bytes:
    """So many records of an API, which depend on the path alone."""
    first = zlib.crc32(spot.path.encode()) % 1000
    return json.dumps([{"id": first + n, "name": f"record {first + n}"} for n in range(int(spot.detail))]).encode()


def _gzip(spot: Spot, missing: int = 0) -> Reply:
    body = gzip.compress(_text(int(spot.detail)), mtime=0)
    return Reply(body[: len(body) - missing], headers=(("Content-Encoding", "gzip"),))


def _redirect(spot: Spot) -> Reply:
    status, _, target = str(spot.detail).partition(" ")
    return Reply(status=int(status), headers=(("Location", target),))


def _status(status: int, **headers: str) -> Reply:
    fields = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Reply(f"<!doctype html>\n<title>{status}</title>\n".encode(), status=status, headers=fields)


_ANSWERS: dict[str, Callable[[Spot, int], Reply]] = {
    "html": lambda spot, hit: Reply(_text(int(spot.detail))),
    "json": lambda spot, hit: Reply(_records(spot), "application/json"),
    "png": lambda spot, hit: Reply(_png(int(spot.detail)), "image/png"),
    "gzip": lambda spot, hit: _gzip(spot),
    "gzip cut": lambda spot, hit: _gzip(spot, missing=20),
    "empty": lambda spot, hit: Reply(status=int(spot.detail)),
    "robots": lambda spot, hit: Reply(b"User-agent: *\nDisallow: /private/\n", "text/plain"),
    "redirect": lambda spot, hit: _redirect(spot),
    "status": lambda spot, hit: _status(int(spot.detail)),
    "flaky": lambda spot, hit: _status(503) if hit <= int(spot.detail) else Reply(_text(1)),
    "busy": lambda spot, hit: _status(429, Retry_After="1") if hit <= int(spot.detail) else Reply(_text(1)),
}

_BROKEN: dict[str, Callable[[Spot], bytes]] = {
    "cut": lambda spot: _head(int(spot.detail), b"Content-Type: text/html") + _text(int(spot.detail) // 1024)[:9_000],
    "closed": lambda spot: b"",
    "latin-1": lambda spot: (
        _head(6, b"Content-Type: text/plain; charset=iso-8859-1", b"X-Dish: cr\xe8me") + b"cr\xe8me\n"
    ),
}
