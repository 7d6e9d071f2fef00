"""
Which column of a list holds the URLs.

Pure: names and values in, a name or a position out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from fetchall.errors import SourceError

USUAL = "url"
_begins_like_a_url = re.compile(r"\s*https?://", re.IGNORECASE).match


def looks_like_url(value: object) -> bool:
    """Whether a value begins as a URL does."""
    return isinstance(value, str) and _begins_like_a_url(value) is not None


def named(names: Sequence[str], wanted: str | None, source: str) -> int | None:
    """
    The column that was asked for, by its name or its number from 1, else the one named `url`; None where none is.

    Raises `SourceError` where what was asked for is not there.
    """
    name = USUAL if wanted is None else wanted
    if name in names:
        return names.index(name)
    folded = [position for position, each in enumerate(names) if each.strip().lower() == name.lower()]
    if len(folded) == 1:
        return folded[0]
    if wanted is None:
        return None
    if wanted.isdecimal() and 1 <= int(wanted) <= len(names):
        return int(wanted) - 1
    listed = ", ".join(names[:20]) + (", …" if len(names) > 20 else "")
    raise SourceError(f"{source} has no column {wanted!r} (--url-column); it has {listed}")


def only_one(names: Sequence[str], rows: Iterable[Sequence[Any]], source: str) -> int | None:
    """The only column that holds URLs in these rows; None where none does. Raises `SourceError` where several do."""
    found = {position for row in rows for position, value in enumerate(row[: len(names)]) if looks_like_url(value)}
    if len(found) > 1:
        listed = ", ".join(names[position] for position in sorted(found)[:20])
        raise SourceError(f"{source} holds URLs in several columns ({listed}): say which with --url-column")
    return found.pop() if found else None


def none_found(source: str) -> SourceError:
    """No column is named `url`, and none was seen that holds URLs."""
    return SourceError(f"{source} has no column named url, and none that holds URLs: say which with --url-column")


def key_of(value: Mapping[str, Any], wanted: str | None) -> str | None:
    """The same for one object, which need not have the keys of the one before."""
    if wanted is not None:
        return wanted if wanted in value else None
    if USUAL in value:
        return USUAL
    folded = [key for key in value if key.strip().lower() == USUAL]
    found = folded or [key for key, each in value.items() if looks_like_url(each)]
    return found[0] if len(found) == 1 else None


def distinct(names: Sequence[str]) -> list[str]:
    """Names of which each stands once: one without a name is `column3`, a second `a` is `a_2`."""
    found: dict[str, None] = {}
    counts: dict[str, int] = {}
    for position, name in enumerate(names, 1):
        name = name or f"column{position}"
        fresh, count = name, counts.get(name, 1)
        while fresh in found:
            count += 1
            fresh = f"{name}_{count}"
        counts[name] = count
        found[fresh] = None
    return list(found)
