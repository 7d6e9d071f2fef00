"""
The report page: one file of HTML that needs nothing else, drawn at the end from what was gathered on the way.

Knows the contract of sinks; it must not know how anything is drawn.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from fetchall.options import Options
from fetchall.records import Result
from fetchall.rows import Row
from fetchall.sinks import Ending
from fetchall.sinks.outlet import Outlet
from fetchall.sinks.page.about import described
from fetchall.sinks.page.aggregate import Picture
from fetchall.sinks.page.seen import of_result, seen_of


class Page:
    """See `Sink` and `Narrator`. Rows are counted, never kept: memory and page do not grow with them."""

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._picture = Picture()
        self._about: list[tuple[str, str]] = []
        self._opened = time.time()

    def __repr__(self) -> str:
        return f"<Page of {self._picture.rows} rows>"

    def begin(self, sources: Sequence[str], options: Options) -> None:
        """See `Narrator`."""
        self._about = described(sources, options)

    def sequential(self, results: Sequence[Result]) -> None:
        """See `Narrator`."""
        add = self._picture.add_sequential
        for result in results:
            add(of_result(result))

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`."""
        add = self._picture.add
        for row in rows:
            add(seen_of(row))
        return False

    def close(self, ending: Ending) -> None:
        """See `Sink`; of an interrupted run the page says so."""
        from fetchall.sinks.page.html import page

        self._outlet.write(page(self._picture, ending, self._about, self._opened))
        self._outlet.finish(complete=ending.complete)

    def abort(self) -> None:
        """See `Sink`."""
        self._outlet.abort()
