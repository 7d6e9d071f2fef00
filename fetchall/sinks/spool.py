"""
Rows that finish before their turn: held on disk, found again by their index, in memory 8 bytes each.

Knows lines and places; it must not know what a row means.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator
from typing import Protocol

from fetchall.rows import Row

_IN_MEMORY = 256 * 1024
"""Bytes of early rows that are held in memory before they go to the disk."""


class Store(Protocol):
    """Where early rows are."""

    def keep(self, row: Row) -> int:
        """Hold a row; its place."""

    def read(self, place: int) -> bytes:
        """The line at a place, without its newline."""

    def empty(self) -> None:
        """Nothing is held any more."""

    def close(self) -> None:
        """Drop everything."""


class Reader(Protocol):
    """What gives lines by their place."""

    def read(self, place: int) -> bytes:
        """The line at a place, without its newline."""


class Written:
    """The journal has every row already."""

    def __init__(self, journal: Reader) -> None:
        self.read = journal.read

    def keep(self, row: Row) -> int:
        """See `Store`."""
        return row.place

    def empty(self) -> None:
        """See `Store`."""

    def close(self) -> None:
        """See `Store`."""


class Scratch:
    """A buffer, and a file without a name when it is full: it is gone with the process, however that ends."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._file: int | None = None
        self._flushed = 0

    def __repr__(self) -> str:
        return f"<Scratch {self._flushed} bytes on disk, {len(self._buffer)} in memory>"

    def keep(self, row: Row) -> int:
        """See `Store`; raises OSError."""
        place = self._flushed + len(self._buffer)
        self._buffer += row.json
        self._buffer += b"\n"
        if len(self._buffer) > _IN_MEMORY:
            self._to_disk()
        return place

    def read(self, place: int) -> bytes:
        """See `Store`."""
        if place >= self._flushed:
            start = place - self._flushed
            return bytes(self._buffer[start : self._buffer.index(b"\n", start)])
        assert self._file is not None
        line = b""
        while b"\n" not in line:
            block = os.pread(self._file, 4096 if not line else 1 << 20, place + len(line))
            if not block:
                raise OSError(f"the spool ends at {place + len(line)}")
            line += block
        return line[: line.index(b"\n")]

    def empty(self) -> None:
        """See `Store`."""
        self._buffer.clear()
        if self._flushed and self._file is not None:
            os.ftruncate(self._file, 0)
            os.lseek(self._file, 0, os.SEEK_SET)
        self._flushed = 0

    def close(self) -> None:
        """See `Store`."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _to_disk(self) -> None:
        if self._file is None:
            self._file, name = tempfile.mkstemp(prefix=".fetchall-spool-")
            os.unlink(name)
        view = memoryview(self._buffer)
        written = 0
        while written < len(view):
            written += os.write(self._file, view[written:])
        view.release()
        self._flushed += written
        self._buffer.clear()


class Spool:
    """
    Rows by index, taken out in order.

    `put` is for indices of any order; memory is one place for each index between the next one due and the furthest
    one put.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._due = 0
        self._places: array[int] = array("Q")
        """Place of each index from `_start` on, plus one; 0: not there."""
        self._start = 0

    def __repr__(self) -> str:
        return f"<Spool due {self._due}, {self._store!r}>"

    def pass_through(self, index: int) -> bool:
        """True: it is this index's turn right now, so that its row need not be put; the turn passes on."""
        if index != self._due:
            return False
        self._due += 1
        return True

    def put(self, row: Row) -> None:
        """Hold a row until its turn; raises OSError."""
        place = row.index - self._start
        if place >= len(self._places):
            self._places.frombytes(bytes(8 * (place + 1 - len(self._places))))
        self._places[place] = self._store.keep(row) + 1

    def due(self, most: int) -> list[bytes]:
        """At most so many lines whose turn has come; those after the first that is missing wait."""
        lines: list[bytes] = []
        while len(lines) < most and (line := self._at(self._due)) is not None:
            self._due += 1
            lines.append(line)
        self._forget()
        return lines

    def rest(self) -> Iterator[bytes]:
        """All lines that are left, in order, missing ones passed over."""
        end = self._start + len(self._places)
        while self._due < end:
            line = self._at(self._due)
            self._due += 1
            if line is not None:
                yield line

    def close(self) -> None:
        """Drop everything."""
        self._store.close()

    def _at(self, index: int) -> bytes | None:
        place = index - self._start
        if place < 0 or place >= len(self._places) or not self._places[place]:
            return None
        return self._store.read(self._places[place] - 1)

    def _forget(self) -> None:
        """Let go of what was taken: the places now and then, all of it when nothing is held."""
        taken = self._due - self._start
        if not self._places:
            self._start = self._due
        elif taken >= len(self._places):
            self._start, self._places = self._due, array("Q")
            self._store.empty()
        elif taken > 4096 and taken > len(self._places) // 2:
            del self._places[:taken]
            self._start = self._due
