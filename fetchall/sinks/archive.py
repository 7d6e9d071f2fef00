"""
What archives of the wire have in common: they take captures, not rows, and go on where they stopped by themselves.

Knows files; it must not know what an archive looks like.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress

from fetchall.captures import Capture
from fetchall.places import fetched, shown
from fetchall.rows import Row
from fetchall.sinks import Ending
from fetchall.sinks.outlet import PartFile


class Archive(ABC):
    """
    A sink of captures; see also `Sink`.

    A hop's are written before its row reaches the journal: a row that is there has them. What was in flight at a kill
    may be there twice, as two captures of one URL, which is what archives are made for. Whatever is raised is an
    OSError, but by `check`.
    """

    _failed: OSError | None = None

    @property
    @abstractmethod
    def exists(self) -> bool:
        """A finished one is there."""

    @property
    @abstractmethod
    def named(self) -> list[str]:
        """What its files are called, for people."""

    @abstractmethod
    def check(self) -> None:
        """Raise `ResumeError` where what an earlier run left can't be gone on with in this way."""

    @abstractmethod
    def begin(self) -> None:
        """Begin anew; from now on the unfinished archive is not empty, which tells it from one that took its name."""

    @abstractmethod
    def go_on(self) -> None:
        """Keep what an earlier run wrote whole, the rest is cut; else the archive begins anew."""

    def take(self, capture: Capture) -> None:
        """See `Recorder`. After one that could not be stored nothing else is: it would stand behind what is torn."""
        if self._failed is not None:
            raise self._failed
        try:
            self.store(capture)
        except OSError as error:
            self._failed = error
            with suppress(OSError):
                self.take_back()
            raise

    @abstractmethod
    def store(self, capture: Capture) -> None:
        """All of it is handed to the system when this returns."""

    @abstractmethod
    def take_back(self) -> None:
        """Cut what was stored in part."""

    @abstractmethod
    def sync(self) -> None:
        """See everything through to the disk; safe in any thread."""

    @abstractmethod
    def close(self, ending: Ending) -> None:
        """See `Sink`."""

    @abstractmethod
    def abort(self) -> None:
        """See `Sink`."""

    @abstractmethod
    def drop(self) -> None:
        """Remove what was written beside the part file, which is its owner's to remove."""

    def write(self, rows: Sequence[Row]) -> bool:
        """Rows are not an archive's business. See `Sink`."""
        return False


class Archives:
    """The archives of one run, each with its part file. See `Recorder`."""

    def __init__(self) -> None:
        self._archives: dict[PartFile, Archive] = {}

    def __contains__(self, part: PartFile) -> bool:
        return part in self._archives

    def __bool__(self) -> bool:
        return bool(self._archives)

    def add(self, part: PartFile, archive: Archive) -> None:
        """One more."""
        self._archives[part] = archive

    def take(self, capture: Capture) -> None:
        """Each has all of it. See `Recorder`."""
        for archive in self._archives.values():
            archive.take(capture)

    def check(self) -> None:
        """See `Archive`."""
        for part, archive in self._archives.items():
            if part.existed:
                archive.check()

    def begin(self, *, go_on: bool) -> None:
        """See `Archive`."""
        for archive in self._archives.values():
            if go_on:
                archive.go_on()
            else:
                archive.begin()

    def drop(self, *, earlier: bool) -> None:
        """See `Archive`; `earlier`: also where an earlier run had begun."""
        for part, archive in self._archives.items():
            if earlier or not part.existed:
                with suppress(OSError):
                    archive.drop()

    def exists(self, part: PartFile) -> bool:
        """A finished output is there, whether it is an archive or not."""
        return self._archives[part].exists if part in self._archives else part.finished()

    def named(self, part: PartFile) -> list[str]:
        """What an output is called that is complete, for people."""
        return self._archives[part].named if part in self._archives else [shown(part.place)]


def reopen(file: PartFile) -> None:
    """
    Make the part file what there is to go on with: its own, or a copy of a finished archive.

    So a list that has grown adds to an archive that is complete, and that stays as it is until the new one is. The
    copy is there whole or not at all.
    """
    if os.fstat(file.descriptor).st_size or not file.finished():
        return
    new = file.part + ".new"
    with fetched(file.place) as finished, open(new, "wb") as copy:
        shutil.copyfileobj(finished, copy, 1024 * 1024)
    file.replace(new)
