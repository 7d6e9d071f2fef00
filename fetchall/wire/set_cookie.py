"""
What a Set-Cookie header means: bytes of a server in, a `Cookie` or nothing out, never an exception.

Knows RFC 6265 section 5; it must not know which cookies a run keeps.
"""

from __future__ import annotations

import re
from calendar import timegm
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime

from fetchall.urls import Target

MAX_COOKIE = 4096
"""Bytes of one name and its value (draft-ietf-httpbis-rfc6265bis section 5.7)."""
MAX_ATTRIBUTE = 1024
"""Bytes of an attribute's value; a longer one is ignored (the same draft, section 5.6)."""
MAX_AGE = 400 * 86_400
"""Seconds that a cookie may live, whatever it asks for (the same draft, section 5.5)."""

_BLANKS = " \t"
_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_INTEGER = re.compile(r"-?[0-9]+")
_DATE_DELIMITERS = re.compile(r"[\x09\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@dataclass(frozen=True, slots=True)
class Cookie:
    """One cookie; `expires` in seconds since 1970, None: at the end of the session."""

    name: str
    value: str = field(repr=False)
    domain: str
    path: str = "/"
    expires: float | None = None
    secure: bool = False
    http_only: bool = False
    subdomains: bool = False
    """Only a cookies.txt can say so: what a server sets is for its own origin."""

    @property
    def key(self) -> tuple[str, str]:
        """Name and path: a later cookie of the same origin with the same takes its place."""
        return self.name, self.path

    @property
    def size(self) -> int:
        """How much it holds, in characters."""
        return len(self.name) + len(self.value) + len(self.path)

    def expired(self, now: float) -> bool:
        """Whether its time has come, `now` in seconds since 1970."""
        return self.expires is not None and self.expires <= now


def parse_set_cookie(value: bytes, target: Target, now: float) -> Cookie | None:
    """
    One Set-Cookie header as RFC 6265 section 5.2 reads it; None: to be ignored.

    Stricter than that: `Domain` is not read, no control characters (nor tabs, which a cookies.txt can't hold), UTF-8
    alone (anything else could not be sent back as it came), nothing over `MAX_COOKIE`, `Secure` only over https.
    """
    try:
        text = value.decode("utf-8")
    except UnicodeDecodeError:
        return None
    if _CONTROL.search(text):
        return None
    pair, *attributes = text.split(";")
    name, equals, content = (part.strip(_BLANKS) for part in pair.partition("="))
    if not equals:
        return None
    plain = Cookie(name, content, target.origin.host, path_of(target).rpartition("/")[0] or "/")
    cookie = _with_attributes(plain, attributes, now)
    https = target.origin.scheme == "https"
    return cookie if usable(cookie) and (https or not cookie.secure) else None


def usable(cookie: Cookie) -> bool:
    """Whether it can be kept, sent and written to a file."""
    texts = cookie.name, cookie.value, cookie.path
    whole = bool(cookie.name) and not any("\t" in text or _CONTROL.search(text) for text in texts)
    return whole and len(cookie.name.encode()) + len(cookie.value.encode()) <= MAX_COOKIE


def path_of(target: Target) -> str:
    """The path of a target's URL, without its query."""
    href = target.href
    return href[href.index("/", len("https://")) :].partition("?")[0]


def parse_date(text: str) -> float | None:
    """Seconds since 1970 of a cookie's date, by the loose algorithm of RFC 6265 section 5.1.1; None: no date."""
    clock = day = month = year = None
    for token in _DATE_DELIMITERS.split(text):
        if clock is None and (match := _TIME.match(token)):
            clock = match
        elif day is None and (match := _DAY.match(token)):
            day = int(match[1])
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.match(token)):
            year = int(match[1])
    if clock is None or day is None or month is None or year is None:
        return None
    if year < 100:
        year += 1900 if year >= 70 else 2000
    try:
        moment = datetime(year, month, day, int(clock[1]), int(clock[2]), int(clock[3]))
    except ValueError:
        return None
    return float(timegm(moment.timetuple())) if year >= 1601 else None


def _with_attributes(cookie: Cookie, attributes: Iterable[str], now: float) -> Cookie:
    """The cookie with what its attributes say; of those given twice the last counts."""
    path, secure, http_only = cookie.path, False, False
    age = ends = None
    for attribute in attributes:
        key, _, value = (part.strip(_BLANKS) for part in attribute.partition("="))
        if len(value) > MAX_ATTRIBUTE:
            continue
        match key.lower():
            case "path":
                path = value if value.startswith("/") else cookie.path
            case "secure":
                secure = True
            case "httponly":
                http_only = True
            case "expires" if (date := parse_date(value)) is not None:
                ends = date
            case "max-age" if _INTEGER.fullmatch(value):
                age = float(value)  # infinite for hundreds of digits, where int() would refuse
    # Max-Age has precedence over Expires (RFC 6265 section 4.1.2.2).
    if age is not None:
        ends = now + age if age > 0 else 0.0
    expires = None if ends is None else min(ends, now + MAX_AGE)
    return replace(cookie, path=path, expires=expires, secure=secure, http_only=http_only)
