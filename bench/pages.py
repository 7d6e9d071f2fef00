"""
The answers that the benchmark's server gives, built once: knows HTTP's bytes and nothing of sockets or clients.
"""

from __future__ import annotations

import gzip
import hashlib
import random
from functools import cache
from typing import NamedTuple

PAGE_SIZE = 150_000
PAGE_WORDS = 75
"""Distinct words in the page: so many make gzip's level 6 leave about 30 KB of the 150,000 bytes."""


class Answer(NamedTuple):
    """One response, ready for the wire."""

    head: bytes
    whole: bytes
    """Head and body: one buffer that every connection shares."""


def answer(body: bytes, *headers: str, status: str = "200 OK") -> Answer:
    """A response with a length, on a connection that stays open."""
    lines = [
        f"HTTP/1.1 {status}",
        "Server: bench",
        "Connection: keep-alive",
        f"Content-Length: {len(body)}",
        *headers,
        "",
        "",
    ]
    head = "\r\n".join(lines).encode("ascii")
    return Answer(head, head + body)


TINY = answer(b"Hello, world\n", "Content-Type: text/plain")
"""13 bytes: nothing but the cost of a request."""

NOT_FOUND = answer(b"", status="404 Not Found")
TOO_MANY = answer(b"", "Retry-After: 1", status="429 Too Many Requests")


@cache
def page_body() -> bytes:
    """150,000 bytes of HTML that says nothing, the same in every run."""
    chance = random.Random(7)
    words = ["".join(chance.choices("etaoinshrdlu", k=chance.randint(2, 11))) for _ in range(PAGE_WORDS)]
    parts, size = [], 0
    while size < PAGE_SIZE:
        part = f"<p class={chance.choice(words)}>" + " ".join(chance.choices(words, k=30)) + "</p>\n"
        parts.append(part)
        size += len(part)
    return "".join(parts).encode("ascii")[:PAGE_SIZE]


@cache
def page_digest() -> str:
    """Hexadecimal SHA-256 of the decoded page: what a client that hashes must have found."""
    return hashlib.sha256(page_body()).hexdigest()


@cache
def page(coded: bool) -> Answer:
    """The page, gzip-coded or (for a client that does not take gzip) plain."""
    if not coded:
        return answer(page_body(), "Content-Type: text/html")
    return answer(gzip.compress(page_body(), 6, mtime=0), "Content-Type: text/html", "Content-Encoding: gzip")


@cache
def big(size: int) -> Answer:
    """A body of `size` bytes that does not compress to nothing, kept as one buffer."""
    block = random.Random(size).randbytes(min(size, 1 << 20))
    return answer((block * (size // len(block) + 1))[:size], "Content-Type: application/octet-stream")
