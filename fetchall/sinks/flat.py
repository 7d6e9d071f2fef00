"""
A row for forms that know no nesting: every value a number, a truth, a text or nothing; what is nested is JSON text.

Knows values; it must not know where they are written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from fetchall.rows import dumps

Flat = str | int | float | bool | None


def flat(value: Any) -> Flat:
    """One value; times of day as in JSON (RFC 3339, UTC, `Z`)."""
    if value is None or isinstance(value, (int, float)):
        return value
    if isinstance(value, str):
        return text(value)
    if isinstance(value, datetime):
        return time_text(value)
    return dumps(value).decode()


def flat_row(fields: Mapping[str, Any], names: Sequence[str]) -> list[Flat]:
    """The values of these keys, in their order; None for a key that the row lacks."""
    assert "input" not in fields or "input" in names, "the list has columns of which the output was not told"
    return [flat(fields.get(name)) for name in names]


def text(value: str) -> str:
    """Text that can be written as UTF-8: lone surrogates are escaped, as in the JSON forms."""
    value = str(value)
    return value if value.isascii() else value.encode("utf-8", "backslashreplace").decode()


def time_text(value: datetime) -> str:
    """As orjson writes it: no fraction where it is zero."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
