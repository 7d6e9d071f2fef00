"""
What archives of the wire have in common: they take captures, not rows, and go on where they stopped by themselves.

Knows files; it must not know what an archive looks like.
"""

from __future__ import annotations

import os
import shutil
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace

from fetchall.captures import Capture
from fetchall.places import fetched
from fetchall.rows import Row
from fetchall.sinks import Ending
from fetchall.sinks.outlet import PartFile


class Archive(ABC):
    """
    A sink of captures; see also `Sink`.

    A hop's are written before its row reaches the journal: a row that is there has them. What was in flight at a kill
    may be there twice, as two captures of one URL, which is what archives are made for.
    """

    @abstractmethod
    def take(self, capture: Capture) -> None:
        """See `Recorder`."""

    @abstractmethod
    def go_on(self) -> None:
        """Keep what an earlier run wrote whole, the rest is cut; else the archive begins empty. Raises OSError."""

    @abstractmethod
    def close(self, ending: Ending) -> None:
        """See `Sink`."""

    @abstractmethod
    def abort(self) -> None:
        """See `Sink`."""

    def write(self, rows: Sequence[Row]) -> bool:
        """Rows are not an archive's business. See `Sink`."""
        return False


class Recorders:
    """Several archives of one run. See `Recorder`."""

    def __init__(self, archives: Sequence[Archive]) -> None:
        self._archives = tuple(archives)

    def take(self, capture: Capture) -> None:
        """The answer's body can be read once, so where there are several archives it is held."""
        if len(self._archives) > 1 and capture.response is not None:
            head, size, pieces = capture.response
            body = b"".join(pieces)
            for archive in self._archives:
                archive.take(replace(capture, response=(head, size, iter((body,)))))
            return
        for archive in self._archives:
            archive.take(capture)


def reopen(file: PartFile) -> int:
    """
    The size of what there is to go on with; that of a finished archive is copied first.

    So a list that has grown adds to an archive that is complete, and that stays as it is until the new one is.
    """
    size = os.fstat(file.descriptor).st_size
    if not size and file.finished():
        with fetched(file.place) as finished, open(file.part, "r+b") as part:
            shutil.copyfileobj(finished, part, 1024 * 1024)
        size = os.fstat(file.descriptor).st_size
    return size
