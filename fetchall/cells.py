"""
What a terminal makes of text: which characters it may be sent, how many columns they take, how a line is fitted.

Knows characters and colour codes; must not know what the text is about, nor print it.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from typing import NamedTuple

RESET = "\x1b[0m"
BOLD, DIM, RED, GREEN, YELLOW, CYAN = "1", "2", "31", "32", "33", "36"
"""Select Graphic Rendition (ECMA-48, 8.3.117), the colours that every terminal has."""

NOTHING = "\N{EN DASH}"
"""What stands for a value that is not known."""
TIMES = "\N{MULTIPLICATION SIGN}"

_STATUS_STYLE = {1: DIM, 2: GREEN, 3: CYAN, 4: YELLOW}
_EIGHTHS = "▏▎▍▌▋▊▉"
_WORD = re.compile(r" *[^ ]+")
_MARKS = 4
"""Characters at most for each column: combining marks take none, and one URL could be a million of them."""


class Span(NamedTuple):
    """A piece of a line: visible text, and the code of its look, if any."""

    text: str
    style: str = ""


Row = list[Span]


def visible(text: str) -> str:
    r"""
    The text with all that a terminal obeys rather than shows written as `\x1b`.

    Python's own notion of what can be printed: controls, line ends, marks of direction, invisible characters, lone
    surrogates and odd blanks are escaped.
    """
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else _escaped(char) for char in text)


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def columns(text: str) -> int:
    """How many columns a visible text takes: two for wide characters (UAX 11), none for combining marks."""
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _columns_of(char: str) -> int:
    if unicodedata.category(char) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1


def status_style(status: int | None) -> str:
    """The colour of a status by its class; red where there is none, or one that no class has."""
    return _STATUS_STYLE.get((status or 0) // 100, RED)


def row_width(row: Iterable[Span]) -> int:
    """How many columns a row takes."""
    return sum(columns(span.text) for span in row)


def _fits(text: str, room: int) -> bool:
    return len(text) <= _MARKS * room and columns(text) <= room


def _head(text: str, room: int) -> str:
    """As much of its beginning as fits."""
    used = 0
    for at, char in enumerate(text[: _MARKS * room]):
        used += _columns_of(char)
        if used > room:
            return text[:at]
    return text[: _MARKS * room]


def cut_end(text: str, room: int) -> str:
    """Its beginning, and an ellipsis where something is missing."""
    if room < 1:
        return ""
    return text if _fits(text, room) else f"{_head(text, room - 1)}…"


def cut_middle(text: str, room: int) -> str:
    """Its end, which tells one URL from the next, and as much before the ellipsis as a third of the room holds."""
    if room < 1:
        return ""
    if _fits(text, room):
        return text
    first = _head(text, room // 3)
    return f"{first}…{_head(text[::-1], room - 1 - columns(first))[::-1]}"


def padded(text: str, room: int) -> str:
    """The text cut or filled to exactly so many columns."""
    text = cut_end(text, room)
    return text + " " * (room - columns(text))


def bar(value: float, top: float, room: int) -> str:
    """A bar that begins at zero, in eighths of a column; what is more than nothing can be seen."""
    if value <= 0 or room < 1:
        return ""
    whole, eighth = divmod(max(1, round(8 * room * value / top)), 8)
    return "█" * whole + (_EIGHTHS[eighth - 1] if eighth else "")


def render(row: Iterable[Span], color: bool, width: int | None) -> str:
    """One line, never wider than the terminal; None: as wide as it is."""
    text = ""
    for span in row:
        piece = span.text if width is None else cut_end(span.text, width)
        width = width and width - columns(piece)
        text += f"\x1b[{span.style}m{piece}{RESET}" if color and span.style and piece else piece
    return text.rstrip(" ")


def flowed(row: Row, width: int, indent: int = 0) -> list[Row]:
    """
    The row over as many lines as it needs; those after the first are indented.

    A span that has no room left goes to a line of its own, and is broken between words only where that is too short.
    """
    rows: list[Row] = [[]]
    for span in row:
        whole = columns(span.text.strip(" ·")) <= width - indent
        for piece in [span.text] if whole else _WORD.findall(span.text):
            text = piece
            if rows[-1] and row_width(rows[-1]) + columns(text) > width:
                rows.append([Span(" " * indent)])
                text = text.lstrip(" ·")
            rows[-1].append(Span(text, span.style))
    return rows
