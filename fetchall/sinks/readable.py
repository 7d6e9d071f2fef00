"""
One readable line a URL, for a person who reads along.

Knows how a result reads; it must not know terminals beyond their width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fetchall.rows import Row
from fetchall.sinks import Ending
from fetchall.sinks.outlet import Outlet
from fetchall.terminal import line


class Readable:
    """See `Sink`; `width` gives the columns there are, None where lines are not cut."""

    reads_results = True

    def __init__(self, outlet: Outlet, *, color: bool, width: Callable[[], int | None]) -> None:
        self._outlet = outlet
        self._color = color
        self._width = width

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`."""
        width = self._width()
        text = "".join([line(row.result, self._color, width) + "\n" for row in rows])
        self._outlet.write(text.encode("utf-8", "backslashreplace"))
        return False

    def close(self, ending: Ending) -> None:
        """See `Sink`."""
        self._outlet.finish(complete=ending.complete)

    def abort(self) -> None:
        """See `Sink`."""
        self._outlet.abort()
