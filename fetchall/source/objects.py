"""
A JSON value as a request: its URL, what else it says of the request, and what travels through.

Knows the keys that mean something; it must not know where the value stood.
"""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Any

import orjson

from fetchall import exact
from fetchall.records import Request
from fetchall.source.columns import key_of
from fetchall.source.maker import Maker

MAX_OBJECT = 1024 * 1024
"""Bytes of one value; a longer one is a row with `bad_line`."""

_METHOD = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,64}").fullmatch
_USUAL = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})
_BODIES = ("body", "body_base64", "json")
_ANSWERED = frozenset({"final_url", "attempts", "error_type"})
"""Keys of a row of an earlier run, whose headers and body are the answer's."""
_JSON_TYPE = "application/json"
_DEEP = 200
"""Brackets in a value that are looked at more closely: what nests deeper than 254 can't be written."""
_AROUND = 10
"""Levels that a row and its output may add."""


class _Unusable(ValueError):
    """What completes the sentence that begins with the place."""


def request_of(text: bytes, place: str, maker: Maker) -> Request:
    """The request of one value: a URL as a string, or an object; a fault where it is neither."""
    try:
        value = exact.loads(text)
    except orjson.JSONDecodeError as error:
        return maker.bad(place, f"is not JSON: {error.msg} at character {error.pos + 1}", text)
    if isinstance(value, str):
        return maker.request(place, value, raw=text)
    if not isinstance(value, dict):
        return maker.bad(place, "is neither an object nor a URL", text)
    if text.count(b"[") + text.count(b"{") > _DEEP and _too_deep(orjson.loads(text)):
        return maker.bad(place, "is nested too deeply", text)
    key = key_of(value, maker.url_column)
    url = value.pop(key) if key is not None else ""
    try:
        if not isinstance(url, str):
            raise _Unusable(f"has a {key} that is no text")
        if value.keys() >= _ANSWERED:
            return maker.request(place, url, raw=text, input=value)
        method = _method(value.pop("method", None))
        headers = _headers(value.pop("headers", None))
        body, implied = _body(value)
    except _Unusable as error:
        return maker.bad(place, str(error), url if isinstance(url, str) and url else text)
    named = {name.lower() for name, _ in headers}
    headers += tuple(pair for pair in implied if pair[0].lower() not in named)
    output = value.get("output")  # it stays in the row's input: many a list has one that names no file
    return maker.request(
        place,
        url,
        raw=text,
        method=method,
        headers=headers,
        body=body,
        input=value or None,
        output=output if isinstance(output, str) and output else None,
    )


def _too_deep(value: Any) -> bool:
    for _ in range(_AROUND):
        value = [value]
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False


def _method(value: Any) -> str | None:
    """As given; the usual ones in capitals, as the Fetch standard has it (`normalize` of a method)."""
    if value is None:
        return None
    if not isinstance(value, str) or _METHOD(value) is None:
        raise _Unusable("has a method that is none")
    return value.upper() if value.upper() in _USUAL else value


def _headers(value: Any) -> tuple[tuple[str, str], ...]:
    """An object of texts, numbers, or lists of these where a name stands several times."""
    if value is None:
        return ()
    if not isinstance(value, dict):
        raise _Unusable("has headers that are no object")
    found = []
    for name, given in value.items():
        for each in given if isinstance(given, list) else [given]:
            if isinstance(each, bool) or not isinstance(each, (str, int, float)):
                raise _Unusable(f"has a header {name!r} that is no text")
            found.append((name, str(each)))
    return tuple(found)


def _body(value: dict[str, Any]) -> tuple[bytes | None, tuple[tuple[str, str], ...]]:
    """The body, and the headers that it brings: those of curl's --json where it is JSON."""
    given = {key: value.pop(key, None) for key in _BODIES}
    present = [key for key in _BODIES if given[key] is not None]
    if not present:
        return None, ()
    if len(present) > 1:
        raise _Unusable(f"has {' and '.join(present)}: leave one")
    kind, found = present[0], given[present[0]]
    if kind == "json":
        return exact.dumps(found), (("Content-Type", _JSON_TYPE), ("Accept", _JSON_TYPE))
    if not isinstance(found, str):
        raise _Unusable(f"has a {kind} that is no text")
    if kind == "body":
        return found.encode(), ()
    try:
        return b64decode(found, validate=True), ()
    except ValueError as error:
        raise _Unusable("has a body_base64 that is not base64") from error
