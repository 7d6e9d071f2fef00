"""
Whether a page is still what an earlier output says: its validators (RFC 9110 section 8.8), sent and compared.

Pure: values in, headers and verdicts out. It must not know where rows are stored, nor sockets.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fetchall.records import Result

CONDITIONAL = frozenset({"if-match", "if-modified-since", "if-none-match", "if-range", "if-unmodified-since"})
"""Headers that make a request conditional (RFC 9110 section 13.1); who sends one has conditions of their own."""
VALIDATED = frozenset({"GET", "HEAD"})
"""With any other method If-None-Match means something else, and If-Modified-Since nothing."""
GONE = frozenset({404, 410})
NOT_MODIFIED = 304

# An ETag that is none by the grammar is not sent: `*` would match whatever is there.
_entity_tag = re.compile(r'(?:W/)?"[\x21\x23-\x7e]*"').fullmatch
_date = re.compile(
    r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-3]\d (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) \d{4} "
    r"[0-2]\d:[0-5]\d:[0-6]\d GMT"
).fullmatch
_STAY = frozenset(
    {
        "connection", "content-encoding", "content-length", "content-range", "content-type", "keep-alive",
        "proxy-authenticate", "proxy-authentication-info", "proxy-connection", "te", "transfer-encoding", "upgrade",
    }
)  # fmt: skip
"""Fields of a 304 that say nothing of what was stored, or belong to its body (RFC 9111 sections 3.1 and 3.2)."""


class Refresh(StrEnum):
    """How a page compares with what an earlier output has of it."""

    UNCHANGED = "unchanged"
    CHANGED = "changed"
    GONE = "gone"
    NEW = "new"


@dataclass(frozen=True, slots=True)
class Known:
    """What an earlier output says of a page, as far as it decides what is asked; the rest stands in its row."""

    lines: str
    """The path of the file that has the row,"""
    place: int
    """and where in it the row begins."""
    final_url: str
    """Whose validators these are."""
    etag: str | None
    last_modified: str | None
    size: int | None
    sha256: str | None
    file: str | None
    body: bool
    """The row has the page's body; False also where nobody asks for it."""


def conditions(known: Known) -> tuple[tuple[str, str], ...]:
    """
    The headers that ask whether a page has changed: none where it has no validator.

    Both validators go out, as RFC 9110 section 13.1.3 has it; a server that knows ETags takes no notice of the date.
    """
    found = []
    if known.etag is not None and _entity_tag(known.etag):
        found.append(("If-None-Match", known.etag))
    if known.last_modified is not None and _date(known.last_modified):
        found.append(("If-Modified-Since", known.last_modified))
    return tuple(found)


def are_conditional(names: Iterable[str]) -> bool:
    """Whether one of these headers is a condition."""
    return any(name.lower() in CONDITIONAL for name in names)


def verdict(known: Known | None, result: Result) -> Refresh | None:
    """How a whole answer compares; None for errors, for what says nothing of the page, and where nothing was known."""
    if result.error_type is not None or result.status is None:
        return None
    if known is not None and result.status in GONE:
        return Refresh.GONE
    if not 200 <= result.status < 300:
        return None
    if known is None:
        return Refresh.NEW
    return Refresh.UNCHANGED if _same(known, result) else Refresh.CHANGED


def _same(known: Known, result: Result) -> bool:
    """
    By digest where there are two, else by validator, which holds for one URL only; what can't be compared differs.

    ETags are compared weakly (RFC 9110 section 8.8.3.2), as servers do for If-None-Match.
    """
    if known.sha256 is not None and result.sha256 is not None and result.method != "HEAD":
        return known.sha256 == result.sha256
    if known.final_url != result.final_url:
        return False
    if known.etag is not None or result.etag is not None:
        return _opaque(known.etag) == _opaque(result.etag)
    return known.last_modified is not None and known.last_modified == result.last_modified


def _opaque(etag: str | None) -> str | None:
    return etag.removeprefix("W/") if etag is not None else None


def freshened(old: dict[str, list[str]], new: dict[str, list[str]]) -> dict[str, list[str]]:
    """The headers of a page that a 304 confirmed: its own, each replaced by the 304's of that name (RFC 9111, 3.2)."""
    return {**old, **{name: values for name, values in new.items() if name not in _STAY}}
