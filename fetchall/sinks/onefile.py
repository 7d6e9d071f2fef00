"""
The file of an archive, and what it has in common with several (`volumes.py`).

Knows names and descriptors; it must not know what the bytes mean.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import IO, Protocol

from fetchall.errors import ResumeError
from fetchall.places import basename, shown
from fetchall.sinks.archive import reopen
from fetchall.sinks.outlet import PartFile

Whole = Callable[[str, IO[bytes]], int]
"""Told a file's final name, and the file: how many bytes at its beginning are whole."""
TITLE = b"volumes\n"
"""How the part file of an archive in several volumes begins, which has their names."""


class Files(Protocol):
    """Where an archive's bytes go; whatever is raised is an OSError, but by `check`."""

    size: int
    """Bytes in the file that is written now."""

    @property
    def name(self) -> str:
        """What that is called in the end, without its folder."""

    @property
    def exists(self) -> bool:
        """A finished archive is there."""

    @property
    def named(self) -> list[str]:
        """What there is in the end, for people."""

    def check(self) -> None:
        """Raise `ResumeError` where an unfinished archive is of the other kind."""

    def begin(self) -> None:
        """Throw away what an unfinished run left."""

    def go_on(self, whole: Whole, *, finished: bool) -> bool:
        """Keep what is whole; with `finished`, files of a finished run are shown too. False: a file is to be begun."""

    def next(self) -> None:
        """Begin a file, unless the one that is there is empty."""

    def full(self, size: int) -> bool:
        """So many bytes more might be too many for this file."""

    def write(self, data: bytes) -> None:
        """Take bytes."""

    def rewind(self, size: int) -> None:
        """Cut the file that is written now after so many bytes."""

    def sync(self) -> None:
        """See everything through to the disk; safe in any thread."""

    def finish(self, *, complete: bool) -> None:
        """See it through, and name it if it is complete."""

    def abort(self) -> None:
        """Close without more ado."""

    def drop(self) -> None:
        """Nothing of it is wanted."""


class OneFile:
    """See `Files`."""

    def __init__(self, file: PartFile) -> None:
        self._file = file
        self.size = 0

    def __repr__(self) -> str:
        return f"<OneFile {self._file.part}>"

    @property
    def name(self) -> str:
        """See `Files`."""
        return basename(self._file.place)

    @property
    def exists(self) -> bool:
        """See `Files`."""
        return self._file.finished()

    @property
    def named(self) -> list[str]:
        """See `Files`."""
        return [shown(self._file.place)]

    def check(self) -> None:
        """See `Files`."""
        if os.pread(self._file.descriptor, len(TITLE), 0) == TITLE:
            raise ResumeError(f"{self._file.part} was begun with --warc-max-size: give it again, or --overwrite it")

    def begin(self) -> None:
        """See `Files`."""
        self._file.rewind()

    def go_on(self, whole: Whole, *, finished: bool) -> bool:
        """See `Files`."""
        reopen(self._file)
        with open(self._file.part, "rb") as file:
            self.rewind(whole(self.name, file))
        return self.size > 0

    def next(self) -> None:
        """See `Files`."""

    def full(self, size: int) -> bool:
        """See `Files`."""
        return False

    def write(self, data: bytes) -> None:
        """See `Files`."""
        self._file.write(data)
        self.size += len(data)

    def rewind(self, size: int) -> None:
        """See `Files`."""
        self._file.rewind(size)
        self.size = size

    def sync(self) -> None:
        """See `Files`."""
        os.fsync(self._file.descriptor)

    def finish(self, *, complete: bool) -> None:
        """See `Files`."""
        self._file.finish(complete=complete)

    def abort(self) -> None:
        """See `Files`."""
        self._file.abort()

    def drop(self) -> None:
        """See `Files`; the part file itself is its owner's to remove."""
