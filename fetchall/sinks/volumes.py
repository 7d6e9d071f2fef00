"""
An archive in several files: numbered, each whole on its own, and named together when all are.

Knows names and descriptors; it must not know what the bytes mean.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress

from fetchall.errors import ResumeError
from fetchall.sinks.onefile import TITLE, Whole
from fetchall.sinks.outlet import PART, PartFile, sync_folder, write_all

_COMPLETE = b"complete\n"
"""The last line of the list of volumes, once all of them are whole and are about to be named."""
_NUMBER = re.compile(rb"-(\d{5,})\.[^-]*$")
_UNSYNCED = 8
"""Volumes that have their size and may wait for the next sync."""


class Numbered:
    """
    See `Files`. None is larger than `most` bytes, unless what is not to be torn apart is larger alone.

    The part file of the archive's own name holds no records but the names of the volumes so far, and is the lock. Each
    volume has its name and `.part` until all are whole; then a line says so, they are named from the last to the
    first, and the list goes. Stopped in between, the line tells that those which have their names already are new.
    """

    def __init__(self, listing: PartFile, most: int) -> None:
        self._list = listing
        self._most = most
        self._first = 0
        """The volumes before this are of a finished run to which this one adds."""
        self._count = 0
        """Volumes up to the one that is written now, those of the finished run included."""
        self._file: int | None = None
        self._full: list[int] = []
        """Volumes that have their size and are not yet synced."""
        self.size = 0

    def __repr__(self) -> str:
        return f"<Numbered {self._list.path}, {self._count} so far>"

    @property
    def name(self) -> str:
        """See `Files`."""
        return os.path.basename(self._path(self._count - 1))

    @property
    def exists(self) -> bool:
        """See `Files`."""
        return os.path.exists(self._path(0))

    @property
    def named(self) -> list[str]:
        """See `Files`."""
        last = f" to {self.name}" if self._count > 1 else ""
        return [self._path(0) + last]

    def check(self) -> None:
        """See `Files`."""
        if os.pread(self._list.descriptor, len(TITLE), 0) not in (TITLE, b""):
            raise ResumeError(f"{self._list.part} was begun without --warc-max-size: leave it out, or --overwrite it")

    def begin(self) -> None:
        """See `Files`."""
        for number in self._listed()[0]:
            _remove(self._path(number) + PART)
        self._list.rewind()

    def go_on(self, whole: Whole, *, finished: bool) -> bool:
        """See `Files`; to a finished archive, volumes are added."""
        listed, complete = self._listed()
        self._first, self._count = listed.start, listed.stop
        if complete:
            self._unname()
        self._list.rewind(sum(map(len, map(self._line, listed)), len(TITLE) if listed else 0))
        if not listed:
            while os.path.exists(self._path(self._first)):
                self._first += 1
            self._count = self._first
        for number in range(self._first if finished else 0):
            self._show(number, self._path(number), whole)
        for number in range(self._first, self._count):
            # Of the last, power that failed may have left the line in the list and no more.
            self._take(self._open(number, os.O_CREAT if number == self._count - 1 else 0))
            self.rewind(self._show(number, self._path(number) + PART, whole))
        return self.size > 0 or (self._file is None and self._count > 0)

    def next(self) -> None:
        """See `Files`."""
        if self._file is not None and not self.size:
            return
        file = self._open(self._count, os.O_CREAT | os.O_TRUNC)
        listed = os.fstat(self._list.descriptor).st_size
        try:
            self._list.write((b"" if listed else TITLE) + self._line(self._count))
        except OSError:
            os.close(file)
            with suppress(OSError):
                _remove(self._path(self._count) + PART)
                self._list.rewind(listed)
            raise
        self._count += 1
        self._take(file)

    def full(self, size: int) -> bool:
        """See `Files`."""
        return self.size + size > self._most

    def write(self, data: bytes) -> None:
        """See `Files`."""
        assert self._file is not None
        write_all(self._file, data)
        self.size += len(data)

    def rewind(self, size: int) -> None:
        """See `Files`."""
        assert self._file is not None
        os.ftruncate(self._file, size)
        os.lseek(self._file, size, os.SEEK_SET)
        self.size = size

    def sync(self) -> None:
        """See `Files`; the volumes that are full are closed then."""
        os.fsync(self._list.descriptor)
        self._let_go_of_full()
        if (file := self._file) is not None:
            os.fsync(file)

    def finish(self, *, complete: bool) -> None:
        """See `Files`."""
        try:
            self.sync()
            self._close()
            if complete:
                self._name()
        finally:
            self.abort()

    def abort(self) -> None:
        """See `Files`."""
        self._close()
        self._list.abort()

    def drop(self) -> None:
        """See `Files`."""
        self._close()
        for number in range(self._first, self._count):
            _remove(self._path(number) + PART)

    def _name(self) -> None:
        if self._first < self._count:
            self._list.write(_COMPLETE)
            os.fsync(self._list.descriptor)
        for number in reversed(range(self._first, self._count)):
            os.replace(self._path(number) + PART, self._path(number))
        beyond = self._count  # of an earlier archive of this name that was longer
        while _remove(self._path(beyond)) | _remove(self._path(beyond) + PART):
            beyond += 1
        sync_folder(self._list.path)
        os.unlink(self._list.part)
        sync_folder(self._list.path)

    def _unname(self) -> None:
        for number in range(self._first, self._count):
            if not os.path.exists(self._path(number) + PART):
                os.replace(self._path(number), self._path(number) + PART)
        sync_folder(self._list.path)

    def _show(self, number: int, path: str, whole: Whole) -> int:
        with open(path, "rb") as file:
            return whole(os.path.basename(self._path(number)), file)

    def _open(self, number: int, flags: int) -> int:
        return os.open(self._path(number) + PART, os.O_RDWR | os.O_CLOEXEC | flags, 0o666)

    def _take(self, file: int) -> None:
        if self._file is not None:
            self._full.append(self._file)
        self._file, self.size = file, 0
        if len(self._full) > _UNSYNCED:
            self._let_go_of_full()

    def _let_go_of_full(self) -> None:
        while self._full:
            file = self._full.pop(0)
            try:
                os.fsync(file)
            finally:
                os.close(file)

    def _close(self) -> None:
        for file in (*self._full, *(() if self._file is None else (self._file,))):
            os.close(file)
        self._full, self._file = [], None

    def _listed(self) -> tuple[range, bool]:
        """The volumes so far, and whether all are whole and some may have lost their `.part`; a torn end is passed."""
        data = os.pread(self._list.descriptor, os.fstat(self._list.descriptor).st_size, 0)
        title, *lines = data.splitlines(keepends=True) or [b""]
        found = _NUMBER.search(lines[0]) if lines and title == TITLE else None
        first = end = int(found[1]) if found else 0
        for line in lines:
            if line != self._line(end):
                return range(first, end), line == _COMPLETE
            end += 1
        return range(first, end), False

    def _path(self, number: int) -> str:
        """As `wget --warc-max-size` names them."""
        stem = self._list.path[: -len(".warc.gz")]
        return f"{stem}-{number:05}{self._list.path[len(stem) :]}"

    def _line(self, number: int) -> bytes:
        return os.fsencode(os.path.basename(self._path(number))) + b"\n"


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True
