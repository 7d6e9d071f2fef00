"""
Which secret goes where: the head of every hop, from the options, the listed URL and the netrc file.

Knows origins and what may cross from one to another; it must not know aiohttp's session, cookies that servers set,
or proxies.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from functools import lru_cache

from multidict import CIMultiDict, CIMultiDictProxy

from fetchall.errors import InvalidOptions
from fetchall.options import TOKEN
from fetchall.records import ErrorType, Fault
from fetchall.urls import Target
from fetchall.wire.netrc import NetrcMap

Head = CIMultiDictProxy[str]
"""Everything that goes into a request's head but the Host that its URL gives: nobody can alter it."""
Given = tuple[str, str | None]
"""A header of the user's: None takes one of fetchall's own away."""

HARMLESS = frozenset(
    {"accept", "accept-encoding", "accept-language", "cache-control", "if-range", "pragma", "range", "user-agent"}
)
"""
The headers of the user's that go to any origin: they say what answer is wanted, not who asks.

Without Range a redirected part would come as the whole, and without its If-Range as a part of something else.
"""
CONTENT = frozenset({"content-encoding", "content-language", "content-location", "content-type"})
"""They go where the body goes (the Fetch standard's request-body-header names)."""
FRAMING = frozenset({"content-length", "transfer-encoding"})
"""Written by whoever writes the body: another word on them would let a request run into the next one."""

_UNSENDABLE = re.compile(r"[\x00-\x08\x0a-\x1f\x7f\ud800-\udfff]")
_NO_HOST = re.compile(r"[\s/@?#,]")
_PREPARED = 1024
"""Heads that are kept ready; one serves all requests unless URLs or netrc name many accounts."""


class Credentials:
    """
    The heads of a run's requests, built once from plain values.

    What could be a secret (the URL's userinfo, `user`, `bearer`, netrc, `cookie`, the headers of the user's that
    aren't `HARMLESS`) goes to the listed URL's own origin, while the job has not left it. For Authorization the first
    of these counts: a header of that name, the URL's userinfo, `bearer`, `user`, netrc. Raises InvalidOptions, never
    with the secret.
    """

    def __init__(
        self,
        *,
        headers: Sequence[Given] = (),
        user: str | None = None,
        bearer: str | None = None,
        netrc: NetrcMap | None = None,
        cookie: str | None = None,
        user_agent: str,
        accept: str = "*/*",
        accept_encoding: str,
        content_type: str | None = None,
        trusted: bool = False,
    ) -> None:
        self._given = tuple(headers)
        _refuse("--header", refusal(self._given))
        self._own = [
            ("User-Agent", _value("--user-agent", user_agent)),
            ("Accept", accept),
            ("Accept-Encoding", accept_encoding),
        ]
        self._content_type = content_type
        self._authorization = _from_options(user, bearer)
        self._cookie = _value("--cookie", cookie or "")
        self._netrc = netrc
        self._trusted = trusted
        self._prepared = lru_cache(maxsize=_PREPARED)(self._compose)

    def headers(
        self,
        target: Target,
        home: Target | None,
        extra: Sequence[Given] = (),
        *,
        body: bool = True,
        cookies: str | None = None,
        conditions: Sequence[tuple[str, str]] = (),
    ) -> Head:
        """
        The head for the hop to `target` of a job that was listed as `home` (see `home_after`).

        `extra` are the request's own headers, which replace the options' of the same name; `body` is False once a
        redirect dropped the body; `cookies` are the jar's; `conditions` were made for `target`. Raises InvalidOptions
        where `refusal(extra)` has a reason.
        """
        at_home = home is target or (home is not None and home.origin == target.origin)
        authorization = self._authorized(target, home) if home is not None and (at_home or self._trusted) else None
        if not extra and cookies is None and not conditions:
            return self._prepared(at_home, authorization, body)
        _refuse("headers", refusal(extra))
        return self._compose(at_home, authorization, body, tuple(extra), cookies, conditions)

    def home_after(self, home: Target | None, target: Target) -> Target | None:
        """
        Whose secrets a job still carries once it was sent to `target`: None as soon as that is another origin.

        They stay behind when a later redirect comes back, as the Fetch standard has it: where to was chosen abroad.
        """
        if home is None or self._trusted or home.origin == target.origin:
            return home
        return None

    def body_fault(self, target: Target, home: Target | None) -> Fault | None:
        """Why the body may not follow a redirect to `target`; None: it may."""
        if self._trusted or (home is not None and home.origin == target.origin):
            return None
        return Fault(
            ErrorType.BAD_REDIRECT,
            f"redirected to {target.origin}: the body is not sent to another origin than the listed one; "
            "list that URL itself if this is meant",
            retryable=False,
        )

    def _authorized(self, target: Target, home: Target) -> str | None:
        if home.user or home.password:
            return basic(home.user or "", home.password or "")
        if self._authorization is not None or self._netrc is None:
            return self._authorization
        entry = self._netrc.find(target.origin.host)
        return None if entry is None else basic(*entry)

    def _compose(
        self,
        at_home: bool,
        authorization: str | None,
        body: bool,
        extra: tuple[Given, ...] = (),
        cookies: str | None = None,
        conditions: Sequence[tuple[str, str]] = (),
    ) -> Head:
        secrets = at_home or self._trusted
        replaced = {name.lower() for name, _ in extra}
        given = [(name, value) for name, value in self._given if name.lower() not in replaced]
        given = [pair for pair in (*given, *extra) if _may_go(pair[0].lower(), at_home, secrets, body)]
        own: list[Given] = [
            *self._own,
            ("Content-Type", self._content_type if body else None),
            ("Authorization", authorization),
            ("Cookie", "; ".join(filter(None, (self._cookie if secrets else None, cookies)))),
            *conditions,
        ]
        # One spelling a name: aiohttp's session takes a second spelling for a replacement of the first.
        spelling: dict[str, str] = {}
        for name, _ in given:
            spelling.setdefault(name.lower(), name)
        head = CIMultiDict((name, value) for name, value in own if value and name.lower() not in spelling)
        head.extend((spelling[name.lower()], value) for name, value in given if value is not None)
        return CIMultiDictProxy(head)


def parse_header(text: str) -> Given | None:
    """
    One `--header` as curl reads it: `Name: value`; `Name:` removes one of fetchall's own, `Name;` sends it empty.

    None for a blank line; InvalidOptions, without the value, for what can't be a header.
    """
    text = text.rstrip(" \t")
    if not text:
        return None
    name, colon, value = text.partition(":")
    if not colon and not text.endswith(";"):
        raise InvalidOptions("--header has no colon: write 'Name: value', 'Name:' to remove one, 'Name;' for empty")
    given: Given = (name, value.lstrip(" \t") or None) if colon else (text[:-1], "")
    _refuse("--header", refusal([given]))
    return given


def refusal(headers: Iterable[Given]) -> str | None:
    """Why these can't be sent (RFC 9110 sections 5.1 and 5.5), a sentence without any value; None: they can."""
    hosts = 0
    for name, value in headers:
        reason = _bad_name(name) or _bad_value(name, value)
        if reason is not None:
            return reason
        hosts += name.lower() == "host"
    return "Host is given twice: leave one" if hosts > 1 else None


def basic(user: str, password: str) -> str:
    """An Authorization value (RFC 7617) in UTF-8; surrogate escapes stand for the bytes as they were given."""
    return "Basic " + b64encode(f"{user}:{password}".encode("utf-8", "surrogateescape")).decode("ascii")


def next_request(status: int, method: str, has_body: bool) -> tuple[str, bool]:
    """
    Method, and whether the body stays, for the request after a 301, 302, 303, 307 or 308.

    RFC 9110 section 15.4 and the Fetch standard's HTTP-redirect fetch: a POST becomes a GET on 301 and 302, anything
    but HEAD on 303; all else stays as it was.
    """
    if status == 303:
        return ("HEAD" if method == "HEAD" else "GET"), False
    if status in (301, 302) and method == "POST":
        return "GET", False
    return method, has_body


def _bad_name(name: str) -> str | None:
    if TOKEN.fullmatch(name):
        return None
    # No more than the beginning: what follows a blank may be a token whose colon was forgotten.
    start = TOKEN.match(name)
    which = f"the name that begins with {start[0]!r}" if start else "a name"
    return f"{which} has a character that no header's name has: write letters, digits and !#$%&'*+-.^_`|~ alone"


def _bad_value(name: str, value: str | None) -> str | None:
    if value is None:
        return None
    if _UNSENDABLE.search(value):
        return f"the value of {name} has a control character or bytes that are not UTF-8"
    if name.lower() in FRAMING:
        return f"{name} is written by fetchall itself: leave it out"
    if name.lower() == "host" and (not value or _NO_HOST.search(value)):
        return "Host takes one host, with :PORT if it is not the usual one"
    return None


def _may_go(name: str, at_home: bool, secrets: bool, body: bool) -> bool:
    if name in CONTENT and not body:
        return False
    # Another origin's Host is its own, whoever trusts it.
    return name in HARMLESS or (at_home if name == "host" else secrets)


def _from_options(user: str | None, bearer: str | None) -> str | None:
    if bearer is not None:
        if not bearer or re.search(r"[^\x21-\x7e]", bearer):
            raise InvalidOptions("--oauth2-bearer takes one token: printable ASCII without blanks")
        return f"Bearer {bearer}"
    if user is None:
        return None
    name, colon, password = user.partition(":")
    if not colon:
        raise InvalidOptions("--user has no colon: write NAME:PASSWORD, or NAME: for an empty password")
    try:
        return basic(name, password)
    except UnicodeEncodeError:
        raise InvalidOptions("--user is not text") from None


def _value(option: str, text: str) -> str:
    if _UNSENDABLE.search(text):
        raise InvalidOptions(f"{option} has a control character or bytes that are not UTF-8")
    return text.strip(" \t")


def _refuse(option: str, reason: str | None) -> None:
    if reason is not None:
        raise InvalidOptions(f"{option}: {reason}")
