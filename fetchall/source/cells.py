"""
CSV and TSV cut into records of cells: blocks of bytes in, one record of each row out, broken ones with the reason.

Knows quotes, delimiters and what may go wrong with them; it must not know what a cell means.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

LONGEST = 128 * 1024
"""Bytes of a record: the csv module's own limit of a field, so that nothing global is altered."""
_SHOWN = 256


class Record(NamedTuple):
    """One row of a table."""

    line: int
    """Where it begins, from 1."""
    cells: list[str]
    raw: bytes
    """Its first line, or the beginning of that."""
    reason: str | None = None
    """Why it can't be used, as the end of a sentence."""


class _Line(NamedTuple):
    number: int
    raw: bytes
    too_long: bool = False


class _Starved(Exception):
    """A quoted cell goes on in a line that has not come."""


class Records:
    """
    Cuts blocks into records; whatever the file holds, it keeps one block and one record of at most 128 KiB.

    A quote that does not close within a record's bounds, or before the end, would swallow the rows that follow: then
    the line that opened it is the broken record, and those after it are read anew. A record of several lines is taken
    for such an accident too where it is not well-formed, or has more cells than `width`, the number of columns.
    """

    def __init__(self, delimiter: str | None) -> None:
        self._delimiter = delimiter
        self.width: int | None = None
        self._number = 0
        self._rest = b""
        self._skipping = False
        self._lines: deque[_Line] = deque()
        self._taken: list[_Line] = []
        """Lines of the record under way."""
        self._size = 0
        self._bad: str | None = None
        self._broken = False
        self._waiting = False
        """For a line with a quote in it: no other can end the record."""
        self._ended = False
        self._reader: Iterator[list[str]] | None = None

    def feed(self, block: bytes) -> Iterator[Record]:
        """The records that are whole with this block."""
        head, *tail = block.split(b"\n")
        fresh: list[_Line] = []
        if tail:
            if not self._skipping:
                fresh.append(self._line(self._rest + head + b"\n"))
            self._skipping = False
            self._rest = tail.pop()
            fresh += [self._line(line + b"\n") for line in tail]
        elif not self._skipping:
            self._rest += head
        if len(self._rest) > LONGEST:
            fresh.append(self._line(self._rest))
            self._rest, self._skipping = b"", True
        return self._records(fresh)

    def finish(self) -> Iterator[Record]:
        """The records of the last lines."""
        self._ended = True
        return self._records([self._line(self._rest)] if self._rest else [])

    def _line(self, raw: bytes) -> _Line:
        self._number += 1
        return _Line(self._number, raw[:_SHOWN], True) if len(raw) > LONGEST else _Line(self._number, raw)

    def _records(self, fresh: list[_Line]) -> Iterator[Record]:
        self._lines.extend(fresh)
        if self._waiting and not self._ended and not any(line.too_long or b'"' in line.raw for line in fresh):
            self._size += sum(len(line.raw) for line in fresh)
            if self._size <= LONGEST:
                return
        self._waiting = False
        while self._lines:
            try:
                record = self._record()
            except _Starved:
                self._lines.extendleft(reversed(self._taken))
                self._waiting = True
                return
            if record is not None:
                yield record

    def _record(self) -> Record | None:
        """The next record; None for a blank line. Raises `_Starved`."""
        if self._reader is None:
            self._delimiter = self._delimiter or _delimiter(self._lines[0].raw)
            self._reader = csv.reader(_Fed(self), delimiter=self._delimiter)
        self._taken, self._size, self._bad, self._broken = [], 0, None, False
        try:
            cells = next(self._reader)
        except csv.Error as error:
            cells, self._bad = [], self._bad or f"is not CSV: {error}"
        first, *others = self._taken
        if others and (self._broken or self._is_accident(cells)):
            self._lines.extendleft(reversed(others))
            return Record(first.number, [], first.raw, "has a quote that opens and does not close")
        if self._broken and self._bad is None:
            self._bad = "has a quote that opens and does not close"
        if not cells and self._bad is None:
            return None
        return Record(first.number, cells, first.raw, self._bad)

    def _is_accident(self, cells: list[str]) -> bool:
        if self.width is not None and len(cells) > self.width:
            return True
        assert self._delimiter is not None
        lines = [line.raw.decode("utf-8", "replace") for line in self._taken]
        try:
            next(csv.reader(lines, delimiter=self._delimiter, strict=True))
        except csv.Error:
            return True
        return False

    def next_line(self) -> str:
        """For the csv module: the next line of the record under way."""
        if not self._lines:
            if not self._ended:
                raise _Starved
            self._broken = True
            raise StopIteration
        line = self._lines.popleft()
        self._size += len(line.raw)
        if self._taken and (line.too_long or self._size > LONGEST):
            self._lines.appendleft(line)
            self._broken = True
            raise StopIteration
        self._taken.append(line)
        if line.too_long:
            self._bad = f"is longer than {LONGEST // 1024} KiB"
            return ""
        if b"\0" in line.raw:
            self._bad = "holds a NUL byte"
        try:
            return line.raw.decode()
        except UnicodeDecodeError:
            self._bad = "is not UTF-8 text"
            return line.raw.decode("utf-8", "replace")


class _Fed:
    """The lines as the csv module wants them."""

    def __init__(self, records: Records) -> None:
        self._records = records

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        return self._records.next_line()


def _delimiter(header: bytes) -> str:
    """A comma; a semicolon where the header has those and no comma, as spreadsheets write it in much of Europe."""
    return ";" if b";" in header and b"," not in header and b"://" not in header else ","
