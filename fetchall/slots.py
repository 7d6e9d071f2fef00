"""
Eight bytes for each index: in memory for the first ten million, in a file without a name beyond.

Knows numbers alone; it must not know what they stand for.
"""

from __future__ import annotations

import mmap
import tempfile
from array import array

IN_MEMORY = 10_000_000
"""Slots, 80 MB; a longer list's table is a file that the system keeps in memory as far as there is room."""


class Slots:
    """A signed number of 64 bits for every index from 0 on; 0 where nothing was set."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._in_memory = in_memory
        self.values: array[int] | memoryview = array("q")
        """What is there, by index; `put` may replace it by a longer one."""
        self._map: mmap.mmap | None = None
        self.used = 0
        """How many are not 0."""

    def __len__(self) -> int:
        return len(self.values)

    def get(self, index: int) -> int:
        """The number at an index; 0 beyond the last."""
        return self.values[index] if index < len(self.values) else 0

    def put(self, index: int, value: int) -> bool:
        """Set a slot, with anything but 0; False: it was set before, and stays as it was."""
        if index >= len(self.values):
            self._grow(index + 1)
        if self.values[index]:
            return False
        self.values[index] = value
        self.used += 1
        return True

    def close(self) -> None:
        """Let go of the memory."""
        if isinstance(self.values, memoryview):
            self.values.release()
        self.values = array("q")
        if self._map is not None:
            self._map.close()
            self._map = None

    def _grow(self, least: int) -> None:
        size = max(least, len(self.values) * 5 // 4, 1024)
        if self._map is None and size <= self._in_memory and isinstance(self.values, array):
            self.values.frombytes(bytes(8 * (size - len(self.values))))
            return
        file = tempfile.TemporaryFile(prefix="fetchall-slots-")  # noqa: SIM115 (the map holds it)
        file.truncate(8 * size)
        grown = mmap.mmap(file.fileno(), 8 * size)
        file.close()
        old = bytes(0) if not len(self.values) else memoryview(self.values).cast("B")
        grown[: len(old)] = old
        if isinstance(old, memoryview):
            old.release()
        self.close()
        self._map = grown
        self.values = memoryview(grown).cast("q")
