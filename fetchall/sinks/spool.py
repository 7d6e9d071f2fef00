"""
Rows that finish before their turn: held on disk, found again by their index, in memory 8 bytes each.

Knows lines and offsets; it must not know what a row means.
"""

from __future__ import annotations

import os
import tempfile
from array import array
from collections.abc import Iterator

_IN_MEMORY = 256 * 1024
"""Bytes of early rows that are held in memory before they go to the disk."""


class Spool:
    """
    Lines keyed by index, taken out in order.

    `put` and `take` are for indices of any order; memory is a small buffer and one offset for each index between the
    next one due and the furthest one put.
    """

    def __init__(self, folder: str | None) -> None:
        self._folder = folder
        self._due = 0
        self._offsets: array[int] = array("Q")
        """Place of each index from `_start` on, plus one; 0: not there."""
        self._start = 0
        self._buffer = bytearray()
        self._file: int | None = None
        self._flushed = 0

    def __repr__(self) -> str:
        return f"<Spool due {self._due}, {self._flushed} bytes on disk, {len(self._buffer)} in memory>"

    def pass_through(self, index: int) -> bool:
        """True: it is this index's turn right now, so that its line need not be put; the turn passes on."""
        if index != self._due:
            return False
        self._due += 1
        return True

    def put(self, index: int, line: bytes) -> None:
        """Hold a line, without its newline, until its turn; raises OSError."""
        place = index - self._start
        if place >= len(self._offsets):
            self._offsets.extend([0] * (place + 1 - len(self._offsets)))
        self._offsets[place] = self._flushed + len(self._buffer) + 1
        self._buffer += line
        self._buffer += b"\n"
        if len(self._buffer) > _IN_MEMORY:
            self._to_disk()

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
        end = self._start + len(self._offsets)
        while self._due < end:
            line = self._at(self._due)
            self._due += 1
            if line is not None:
                yield line

    def close(self) -> None:
        """Drop everything."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _at(self, index: int) -> bytes | None:
        place = index - self._start
        if place < 0 or place >= len(self._offsets) or not self._offsets[place]:
            return None
        offset = self._offsets[place] - 1
        if offset >= self._flushed:
            start = offset - self._flushed
            return bytes(self._buffer[start : self._buffer.index(b"\n", start)])
        return self._read(offset)

    def _read(self, offset: int) -> bytes:
        assert self._file is not None
        line = b""
        while b"\n" not in line:
            block = os.pread(self._file, 4096 if not line else 1 << 20, offset + len(line))
            if not block:
                raise OSError(f"the spool ends at {offset + len(line)}")
            line += block
        return line[: line.index(b"\n")]

    def _to_disk(self) -> None:
        if self._file is None:
            self._file = _anonymous(self._folder)
        view = memoryview(self._buffer)
        written = 0
        while written < len(view):
            written += os.write(self._file, view[written:])
        view.release()
        self._flushed += written
        self._buffer.clear()

    def _forget(self) -> None:
        """Let go of what was taken: the offsets now and then, all of it when nothing is held."""
        taken = self._due - self._start
        if not self._offsets:
            self._start = self._due
        elif taken >= len(self._offsets):
            self._start, self._offsets = self._due, array("Q")
            self._buffer.clear()
            if self._flushed and self._file is not None:
                os.ftruncate(self._file, 0)
                os.lseek(self._file, 0, os.SEEK_SET)
            self._flushed = 0
        elif taken > 4096 and taken > len(self._offsets) // 2:
            del self._offsets[:taken]
            self._start = self._due


def _anonymous(folder: str | None) -> int:
    """A file without a name: it is gone with the process, however that ends."""
    descriptor, name = tempfile.mkstemp(prefix=".fetchall-spool-", dir=folder)
    os.unlink(name)
    return descriptor
