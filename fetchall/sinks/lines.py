"""
JSON lines: rows alone, one a line, as they finish or in input order.

Knows rows; it must not know how the bytes are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fetchall.rows import Row
from fetchall.sinks import Ending
from fetchall.sinks.outlet import Outlet
from fetchall.sinks.spool import Spool, Store

KeepLine = Callable[[bytes], bool]
AT_ONCE = 1000
"""Lines that one call writes from a spool: when a slow URL held up many, memory and the loop stay free."""


class JsonLines:
    """See `Sink`."""

    def __init__(self, outlet: Outlet, store: Store | None, keep: KeepLine | None = None) -> None:
        """With a store for early rows: in input order."""
        self._outlet = outlet
        self._keep = keep
        self._spool = Spool(store) if store is not None else None

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`."""
        lines = [row.json for row in rows] if self._spool is None else in_order(self._spool, rows)
        self._put(lines)
        return self._spool is not None and len(lines) >= AT_ONCE

    def close(self, ending: Ending) -> None:
        """See `Sink`; of an interrupted run all finished rows are written, gaps passed over."""
        if self._spool is not None:
            for line in self._spool.rest():
                self._put([line])
            self._spool.close()
        self._outlet.finish(complete=ending.complete)

    def abort(self) -> None:
        """See `Sink`."""
        self._outlet.abort()

    def _put(self, lines: list[bytes]) -> None:
        if self._keep is not None:
            lines = list(filter(self._keep, lines))
        if lines:
            self._outlet.write(b"\n".join(lines) + b"\n")


def in_order(spool: Spool, rows: Sequence[Row]) -> list[bytes]:
    """Lines whose turn has come, about `AT_ONCE` at most; these rows' and those that wait in the spool."""
    lines: list[bytes] = []
    for row in rows:
        if spool.pass_through(row.index):
            lines.append(row.json)
            lines += spool.due(AT_ONCE - len(lines))
        else:
            spool.put(row)
    lines += spool.due(AT_ONCE - len(lines))
    return lines
