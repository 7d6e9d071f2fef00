"""
What was run, in words for the page: the list, and the options that are not as they come, secrets left out.

Knows options; it must not know results.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from fetchall import __version__
from fetchall.options import LIMITS, POLITENESS, ROWS, RUN, Options, Spec, spec_of
from fetchall.urls import mask

_OPEN = frozenset({POLITENESS, LIMITS, ROWS, RUN})
"""Groups whose values are nobody's secret."""
_PLAIN = frozenset({"method", "max_redirs", "noproxy"})
"""So are these of the other groups; of the rest only it is said that they were given."""
_SOURCES = 20


def described(sources: Sequence[str], options: Options) -> list[tuple[str, str]]:
    """Names and values, as plain text."""
    found = [("fetchall", __version__), ("List", _list(sources)), ("--concurrency", f"{options.concurrency}")]
    for field in dataclasses.fields(options):
        spec = spec_of(field)
        value = getattr(options, field.name)
        if spec is not None and value != field.default and field.name != "concurrency":
            found.append((f"--{spec.name}", _value(field.name, spec, value)))
    return found


def _list(sources: Sequence[str]) -> str:
    if not sources:
        return "the practice site (--demo)"
    named = ["stdin" if source == "-" else mask(source) for source in sources[:_SOURCES]]
    return ", ".join(named) + (f" and {len(sources) - _SOURCES} more" if len(sources) > _SOURCES else "")


def _value(name: str, spec: Spec, value: object) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    if spec.group not in _OPEN and name not in _PLAIN:
        return "given (not shown here)"
    if isinstance(value, float):
        return f"{value:g}"
    return str(value) if isinstance(value, (str, int)) else "given"
