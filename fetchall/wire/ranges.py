"""
The beginning of a body that was cut off: the request that asks for the rest, and the answer that is the rest.

Knows header fields (RFC 9110, sections 8.8, 13.1.5, 14 and 15.3.7); it must not know when a request is sent again.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime

from multidict import CIMultiDict, CIMultiDictProxy

from fetchall.records import Answer, ErrorType
from fetchall.wire.body import Memory
from fetchall.wire.credentials import Head
from fetchall.wire.failures import NotContinued, TooLarge

CUT_OFF = frozenset({ErrorType.TRUNCATED, ErrorType.DISCONNECTED, ErrorType.READ_TIMEOUT, ErrorType.TIMEOUT})
"""Ends after which the bytes that came are right as far as they go."""
_STRONG = re.compile(rb'"[\x21\x23-\x7e]{0,1000}"')
"""An entity tag without `W/` (section 8.8.3), in characters that come out on the wire as they came in."""
_DATE = re.compile(rb"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} GMT")
_RANGE = re.compile(rb"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")
_APART = 60
"""Seconds by which Date must be after Last-Modified, so that no second change was in the same second, and two clocks
do not matter (section 8.8.2.2; the figure is RFC 7232's)."""

Headers = tuple[tuple[bytes, bytes], ...]


class Part:
    """
    The first bytes of a representation, in a keeper that takes more.

    Begun anew is always right, so in doubt nothing is continued: only what is under no content coding, has a strong
    validator and comes from one URL.
    """

    def __init__(self, url: str, answer: Answer, validator: tuple[bytes, bytes], keeper: Memory) -> None:
        self.url = url
        self.content_type = answer.content_type
        """Of the answer that was cut off: a 206 need not repeat it."""
        self.keeper = keeper
        self.asked = False
        """The last request asked for the rest."""
        self.resumed = False
        """The last answer went on with it."""
        self.refused = False
        """The last answer only seemed to."""
        self._validator = validator
        self._total = _length(answer.headers)

    def __repr__(self) -> str:
        return f"<Part {self.keeper.size} of {self._total} bytes of {self.url}>"

    def rest(self) -> None:
        """A request that does not ask for the rest."""
        self.asked = self.resumed = self.refused = False

    def asking(self, head: Head) -> Head:
        """The same head, asking for the rest."""
        self.rest()
        self.asked = True
        found = CIMultiDict(head)
        found["Range"] = f"bytes={self.keeper.size}-"
        found["If-Range"] = self._validator[1].decode("ascii")
        return CIMultiDictProxy(found)

    def take_up(self, headers: Headers, cap: int) -> int:
        """
        Where the bytes of a 206 end; they begin where the part does.

        Raises `NotContinued` for a 206 that is no continuation, and `TooLarge` beyond the cap.
        """
        ranges = _values(headers, b"content-range")
        found = _RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
        if found is None:
            raise self.refusal("its Content-Range is not that of one range of a known size")
        first, last, total = map(int, found.groups())
        if first != self.keeper.size or not first <= last < total or self._total not in (None, total):
            raise self.refusal(f"asked for bytes from {self.keeper.size} of {self._total or '?'}, it has others")
        length = _length(headers)
        if length is not None and length != last + 1 - first:
            raise self.refusal("its Content-Length is not that of its Content-Range")
        if _coded(headers):
            raise self.refusal("it is under a content coding")
        name, value = self._validator
        if _values(headers, name) != [value]:
            raise self.refusal(f"its {name.decode()} is not that of the beginning")
        if total > cap:
            raise TooLarge(f"the body is {total:,} bytes, more than --max-body allows")
        self._total = total
        self.resumed = True
        return last + 1

    def missing(self, end: int) -> str | None:
        """What is still missing after a 206 up to `end` was read, as a sentence; None: nothing."""
        if self.keeper.size == self._total == end:
            return None
        return f"{self.keeper.size} of {self._total} bytes of the body have come"

    def refusal(self, words: str) -> NotContinued:
        """What to raise for an answer that only seemed to go on with it."""
        self.refused, self.resumed = True, False
        return NotContinued(f"the rest of the body can't be had: {words}")


def is_ranged(head: Head) -> bool:
    """Whether the user asks for a range of his own choice."""
    return "Range" in head or "If-Range" in head


def begun(url: str, answer: Answer, keeper: Memory) -> Part | None:
    """The part that a cut-off answer to a GET leaves; None: it can't be continued."""
    headers = answer.headers
    if answer.status != 200 or not keeper.size or _coded(headers):
        return None
    units = b",".join(_values(headers, b"accept-ranges")).lower()
    length = _length(headers)
    validator = _validator(headers)
    if (units and b"bytes" not in units) or (length is not None and keeper.size >= length) or validator is None:
        return None
    return Part(url, answer, validator, keeper)


def _validator(headers: Headers) -> tuple[bytes, bytes] | None:
    """The strong one: an entity tag, or a date where there is no entity tag at all (section 13.1.5)."""
    tags = _values(headers, b"etag")
    if tags:
        return (b"etag", tags[0]) if len(tags) == 1 and _STRONG.fullmatch(tags[0]) else None
    changed, sent = _values(headers, b"last-modified"), _values(headers, b"date")
    if len(changed) != 1 or len(sent) != 1 or not (_DATE.fullmatch(changed[0]) and _DATE.fullmatch(sent[0])):
        return None
    try:
        then, now = (parsedate_to_datetime(text.decode("ascii")) for text in (changed[0], sent[0]))
    except (ValueError, OverflowError):
        return None
    return (b"last-modified", changed[0]) if (now - then).total_seconds() >= _APART else None


def _values(headers: Headers, wanted: bytes) -> list[bytes]:
    return [value.strip() for name, value in headers if name.lower() == wanted]


def _coded(headers: Headers) -> bool:
    codings = b",".join(_values(headers, b"content-encoding")).lower().split(b",")
    return any(coding.strip() not in (b"", b"identity") for coding in codings)


def _length(headers: Headers) -> int | None:
    lengths = _values(headers, b"content-length")
    chunked = _values(headers, b"transfer-encoding")
    return int(lengths[0]) if len(lengths) == 1 and lengths[0].isdigit() and not chunked else None
