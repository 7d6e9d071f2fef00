"""
How a result reads to a person, as one line; the summary, which is read at the end, is handed on from `glance`.

Knows what matters most when a line is short; must not print, nor know options, outputs or HTTP.
"""

from __future__ import annotations

from fetchall.cells import (
    DIM,
    NOTHING,
    RED,
    Row,
    Span,
    columns,
    cut_end,
    cut_middle,
    render,
    row_width,
    status_style,
    visible,
)
from fetchall.glance import summary_text
from fetchall.records import HostLine, Result
from fetchall.units import format_seconds, format_size

__all__ = ["HostLine", "line", "summary_text", "visible"]

_WITH_TIME, _WITH_SIZE = 44, 64
"""Columns from which on a line has room for these."""
_NOTE = 12
"""A note of fewer columns says nothing."""
_LEAST_URL = 10


def line(result: Result, color: bool, width: int | None) -> str:
    """
    One URL as it finished: status, time, size and URL, and the error if there is one.

    The URL keeps its final part when it is cut to `width` columns; None: nothing is cut.
    """
    style = RED if result.error_type else status_style(result.status)
    row = [Span(f"{'ERR' if result.error_type else result.status or NOTHING:<4}", style)]
    if width is None or width >= _WITH_TIME:
        row.append(Span(f"{_short(result.elapsed):>8}"))
    if width is None or width >= _WITH_SIZE:
        row.append(Span(f"{NOTHING if result.size is None else format_size(result.size):>11}", DIM))
    if len(row) > 1:
        row.append(Span("  "))
    return render([*row, *_address(result, width and width - row_width(row))], color, width)


def _short(seconds: float | None) -> str:
    """A duration that fits a column: minutes are counted in seconds."""
    if seconds is None:
        return NOTHING
    return format_seconds(seconds) if seconds < 60 else f"{seconds:,.0f} s"


def _address(result: Result, room: int | None) -> Row:
    """The URL in what room its error leaves it, then as much of the notes as there is room for."""
    url, kind, notes = visible(result.url), str(result.error_type or ""), _notes(result)
    if room is not None:
        rest = len(kind) + 2 if kind else 0
        url = cut_middle(url, max(room - rest, min(room, _LEAST_URL)))
        left = room - columns(url) - rest - 2
        notes = cut_end(notes, left) if left >= _NOTE else ""
    row = [Span(url)]
    if kind:
        row += [Span("  "), Span(kind, RED)]
    if notes:
        row += [Span(": " if kind else "  ", DIM), Span(notes, DIM)]
    return row


def _notes(result: Result) -> str:
    """What else is worth a word: the message, where the redirects led, how many attempts it took."""
    notes = []
    if result.error:
        notes.append(visible(result.error))
    elif result.redirects and result.final_url:
        notes.append(f"→ {visible(_without_common_origin(result.final_url, result.url))}")
    if result.attempts > 1:
        notes.append(f"{result.attempts} attempts")
    return " · ".join(notes)


def _without_common_origin(url: str, other: str) -> str:
    """The URL, or its path alone where it leads to the same origin."""
    origin = "/".join(other.split("/", 3)[:3])
    return url[len(origin) :] if url.startswith(f"{origin}/") else url
