"""
Lines in their order, however many: runs that are sorted in memory go to the disk, and are merged at the end.

Knows lines; it must not know what they mean.
"""

from __future__ import annotations

import heapq
import os
import tempfile
from collections.abc import Iterator
from contextlib import suppress

from fetchall.sinks.outlet import write_all

RUN = 8 * 1024 * 1024
"""Bytes of lines that are held, and then sorted at once."""
_MERGE = 32 * 1024 * 1024
"""Bytes that are read ahead of all runs together while they are merged."""
_LEAST, _MOST = 4 * 1024, 256 * 1024


class Sorter:
    """
    Takes lines without newlines in any order, each but once; gives them by their bytes, with newlines.

    The disk is a file without a name: it is gone with the process, however that ends.
    """

    def __init__(self, run: int = RUN) -> None:
        self._run = run
        self._lines: list[bytes] = []
        self._size = 0
        self._file: int | None = None
        self._ends = [0]
        """Where each run on the disk ends, and the next begins."""

    def __repr__(self) -> str:
        return f"<Sorter {self._ends[-1]} bytes on disk, {self._size} in memory>"

    def add(self, line: bytes) -> None:
        """Take a line; raises OSError."""
        self._lines.append(line + b"\n")
        self._size += len(line) + 1
        if self._size >= self._run:
            self._spill()

    def lines(self) -> Iterator[bytes]:
        """All of them in order; raises OSError."""
        self._lines.sort()
        runs = len(self._ends) - 1
        ahead = min(max(_MERGE // max(runs, 1), _LEAST), _MOST)
        yield from heapq.merge(self._lines, *(self._read(self._ends[n], self._ends[n + 1], ahead) for n in range(runs)))

    def close(self) -> None:
        """Drop them."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _spill(self) -> None:
        if self._file is None:
            self._file, name = tempfile.mkstemp(prefix=".fetchall-sort-")
            with suppress(OSError):
                os.unlink(name)
        self._lines.sort()
        write_all(self._file, b"".join(self._lines))
        self._ends.append(self._ends[-1] + self._size)
        self._lines, self._size = [], 0

    def _read(self, start: int, end: int, ahead: int) -> Iterator[bytes]:
        assert self._file is not None
        rest = b""
        while start < end:
            block = os.pread(self._file, min(ahead, end - start), start)
            if not block:
                raise OSError(f"the sorted lines end at {start}")
            start += len(block)
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                yield line + b"\n"
