"""
JSON whose numbers are kept: integers of any length, where orjson would make a rounded float of those beyond 64 bits.

Knows JSON; it must not know what the values mean.
"""

from __future__ import annotations

import json
import re
from typing import Any

import orjson

_long = re.compile(rb"[0-9]{19}").search
"""The least digits of an integer that is beyond 64 bits."""


def loads(data: bytes) -> Any:
    """The value; raises `orjson.JSONDecodeError`, which is a ValueError."""
    value = orjson.loads(data)
    if _long(data) is None:
        return value
    try:
        return json.loads(data)
    except RecursionError:  # orjson goes deeper
        return value


def dumps(value: Any) -> bytes:
    """In one line, as it is sent to others; raises TypeError for what JSON can't say."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
