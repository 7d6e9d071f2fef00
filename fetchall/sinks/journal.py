"""
The journal: every row as a line of JSON in the order in which rows finish, appended and never changed.

It is what a run goes on from; every other output can be made from it. Knows lines and bytes; it must not know what
else is written.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol

from fetchall.rows import Row
from fetchall.sinks import Ending
from fetchall.sinks.outlet import Outlet, sync_folder, write_all

JOURNAL = ".journal"
"""What is added to the unfinished output's name where that is no journal itself."""
_INDEX = len(b'{"index":')
_BLOCK = 1024 * 1024


class File(Outlet, Protocol):
    """An outlet that can be read again, cut and replaced."""

    descriptor: int

    def rewind(self, size: int = 0) -> None:
        """Cut it after so many bytes."""

    def replace(self, name: str) -> None:
        """Put another file in its place."""


class Beside:
    """A file beside the outputs that goes when they are complete."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)

    def write(self, data: bytes) -> None:
        """See `Outlet`."""
        write_all(self.descriptor, data)

    def rewind(self, size: int = 0) -> None:
        """See `File`."""
        os.ftruncate(self.descriptor, size)
        os.lseek(self.descriptor, size, os.SEEK_SET)

    def replace(self, name: str) -> None:
        """See `File`."""
        os.replace(name, self._path)
        os.close(self.descriptor)
        self.descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        os.lseek(self.descriptor, 0, os.SEEK_END)
        sync_folder(self._path)

    def finish(self, *, complete: bool) -> None:
        """See `Outlet`."""
        try:
            if complete:
                os.unlink(self._path)
            else:
                os.fsync(self.descriptor)
        finally:
            os.close(self.descriptor)

    def abort(self) -> None:
        """See `Outlet`."""
        os.close(self.descriptor)


class Journal:
    """See `Sink`; it is written before any other, and tells rows where it has them."""

    def __init__(self, file: File, completed: Callable[[], None]) -> None:
        """`completed` is called when the run has all its rows, and what is beside the journal is of no more use."""
        self._file = file
        self._completed = completed
        self.size = 0
        """Bytes of whole lines, handed to the system."""
        self.checksum = 0
        """CRC-32 of these."""
        self.before: list[Callable[[], None]] = []
        """What sees through to the disk what rows speak of: archives, bodies."""

    def __repr__(self) -> str:
        return f"<Journal {self.size} bytes>"

    def go_on(self, size: int, checksum: int) -> None:
        """Keep so many bytes of what is there."""
        self._file.rewind(size)
        self.size, self.checksum = size, checksum

    def replace(self, name: str) -> None:
        """Take another file's lines instead of its own."""
        self._file.replace(name)
        self.size = os.fstat(self._file.descriptor).st_size
        self.checksum = checksum(self._file.descriptor, self.size)

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`; a row that could be written in part only is taken back."""
        place = self.size
        lines = []
        for row in rows:
            line = row.json
            row.place = place
            place += len(line) + 1
            lines.append(line)
        if not lines:
            return False
        lines.append(b"")
        data = b"\n".join(lines)
        try:
            self._file.write(data)
        except OSError:
            with suppress(OSError):
                self._file.rewind(self.size)
            raise
        self.size = place
        self.checksum = zlib.crc32(data, self.checksum)
        return False

    def read(self, place: int) -> bytes:
        """The line at a place, without its newline."""
        line = os.pread(self._file.descriptor, 4096, place)
        while (end := line.find(b"\n")) < 0:
            block = os.pread(self._file.descriptor, _BLOCK, place + len(line))
            if not block:
                raise OSError(f"the journal ends at {place + len(line)}")
            line += block
        return line[:end]

    def sync(self) -> None:
        """See everything through to the disk, what rows speak of before the rows; safe in any thread."""
        for sync in self.before:
            sync()
        os.fsync(self._file.descriptor)

    def lines(self) -> Iterator[tuple[int, int, bytes]]:
        """Index, place and line of every row that is there now."""
        size, place, rest = self.size, 0, b""
        while place + len(rest) < size:
            block = os.pread(self._file.descriptor, min(_BLOCK, size - place - len(rest)), place + len(rest))
            if not block:
                raise OSError(f"the journal ends at {place + len(rest)}")
            *whole, rest = (rest + block).split(b"\n")
            for line in whole:
                yield index_of(line), place, line
                place += len(line) + 1

    def close(self, ending: Ending) -> None:
        """See `Sink`."""
        self._file.finish(complete=ending.complete)
        if ending.complete:
            self._completed()

    def abort(self) -> None:
        """See `Sink`."""
        self._file.abort()


def read_lines(path: str) -> Iterator[tuple[int, bytes]]:
    """Place and line of every row of a file; raises OSError."""
    with open(path, "rb", buffering=_BLOCK) as file:
        yield from lines_of(file)


def lines_of(file: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    """Place and line of all that are left, a torn last one without its newline."""
    place = 0
    for line in file:
        yield place, line
        place += len(line)


def index_of(line: bytes) -> int:
    """The index that a row begins with; ValueError where it begins with none."""
    return int(line[_INDEX : line.index(b",", _INDEX)])


def checksum(descriptor: int, size: int) -> int:
    """CRC-32 of a file's first bytes; of all that there are, where they are fewer."""
    found = place = 0
    while place < size and (block := os.pread(descriptor, min(_BLOCK, size - place), place)):
        found = zlib.crc32(block, found)
        place += len(block)
    return found
