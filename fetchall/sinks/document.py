"""
The JSON document: rows in input order, then summary and timing; valid whenever it is closed.

Knows rows; it must not know how the bytes are stored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import IO

from fetchall.rows import SCHEMA, Row, dumps, summary_fields, timing_fields
from fetchall.sinks import Ending
from fetchall.sinks.lines import AT_ONCE, KeepLine, in_order
from fetchall.sinks.outlet import Outlet
from fetchall.sinks.spool import Spool, Store

HEAD = b'{"schema":"' + SCHEMA.encode() + b'","results":['


class Document:
    """See `Sink`. A row stands on a line of its own, which is how an unfinished document is read again."""

    def __init__(self, outlet: Outlet, store: Store, keep: KeepLine | None = None) -> None:
        self._outlet = outlet
        self._keep = keep
        self._spool = Spool(store)
        self._separator = b"\n"
        self._begun = False

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`."""
        lines = in_order(self._spool, rows)
        self._put(lines)
        return len(lines) >= AT_ONCE

    def close(self, ending: Ending) -> None:
        """See `Sink`; of an interrupted run all finished rows are written, gaps passed over."""
        for line in self._spool.rest():
            self._put([line])
        self._spool.close()
        tail = b'\n],"summary":' + dumps(summary_fields(ending.summary))
        tail += b',"timing":' + dumps(timing_fields(ending.timing)) + b"}\n"
        self._outlet.write((b"" if self._begun else HEAD) + tail)
        self._outlet.finish(complete=ending.complete)

    def abort(self) -> None:
        """See `Sink`."""
        self._outlet.abort()

    def _put(self, lines: list[bytes]) -> None:
        if self._keep is not None:
            lines = list(filter(self._keep, lines))
        if not lines:
            return
        head = b"" if self._begun else HEAD
        self._begun = True
        self._outlet.write(head + self._separator + b",\n".join(lines))
        self._separator = b",\n"


def read_rows(file: IO[bytes]) -> Iterator[tuple[int, bytes]]:
    """Place and line of every row of a document as it is written here, a torn last one without newline; ValueError."""
    head = file.readline()
    if not (HEAD + b"\n").startswith(head):
        raise ValueError("is not a document as fetchall writes it")
    place = len(head)
    for line in file:
        if line.startswith(b"]"):
            return
        yield place, line.rstrip(b",\n") + b"\n" if line.endswith(b"\n") else line
        place += len(line)
