"""
CSV: a header line always, then a row a line as they finish (RFC 4180, but lines end with LF as Unix tools want it).

Knows rows; it must not know how the bytes are stored.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from fetchall.rows import Columns, Row, names
from fetchall.sinks import Ending
from fetchall.sinks.flat import Flat, flat_row
from fetchall.sinks.outlet import Outlet

_QUOTED = re.compile('[",\r\n]')
_FORMULA = re.compile(r"[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""With what a cell begins that a spreadsheet would run (OWASP, CSV Injection), full-width forms included."""


class Csv:
    """See `Sink`. Null is an empty cell, an empty text is `""`; with `safe`, no cell is a spreadsheet's formula."""

    def __init__(self, outlet: Outlet, columns: Columns, *, safe: bool = False) -> None:
        self._outlet = outlet
        self._names = names(columns)
        self._cell = _safe_cell if safe else _cell
        self._begun = False

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`."""
        cell = self._cell
        lines = [",".join(map(cell, flat_row(row.fields, self._names))) for row in rows]
        self._put(lines)
        return False

    def close(self, ending: Ending) -> None:
        """See `Sink`; without rows the header stands alone."""
        if not self._begun:
            self._put([])
        self._outlet.finish(complete=ending.complete)

    def abort(self) -> None:
        """See `Sink`."""
        self._outlet.abort()

    def _put(self, lines: list[str]) -> None:
        if not self._begun:
            self._begun = True
            lines = [",".join(self._names), *lines]
        if lines:
            self._outlet.write(("\n".join(lines) + "\n").encode())


def _cell(value: Flat) -> str:
    if value is None:
        return ""
    if value is True or value is False:
        return "true" if value else "false"
    if not isinstance(value, str):
        return repr(value)
    if not value or _QUOTED.search(value):
        return '"' + value.replace('"', '""') + '"'
    return value


def _safe_cell(value: Flat) -> str:
    if isinstance(value, str) and _FORMULA.match(value):
        value = "'" + value
    return _cell(value)
