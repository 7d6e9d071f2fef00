"""
The index beside an archive: CDXJ, a sorted line for each answer that says where its record is, for replay tools.

Knows the fields that pywb and cdxj-indexer write, and their order; it must not know how archives are written.
"""

from __future__ import annotations

import json
import os
import re
from typing import NamedTuple

from fetchall.errors import SinkError
from fetchall.sinks.outlet import PART, sync_folder
from fetchall.sinks.sorting import Sorter
from fetchall.surt import surt

ENDING = ".cdxj"
_BLOCK = 1024 * 1024
_STATUS = re.compile(rb"HTTP/\S+\s+(\d+)")
_PARAMETERS = re.compile(r"[;\s]")
_DIGITS = str.maketrans("", "", "-T:")
_TYPE = re.compile(rb"\n(?i:content-type)[ \t]*:[ \t]*([^\r\n]*)")


class Place(NamedTuple):
    """Where a record is: in which file, from which byte on, and how many, as compressed."""

    filename: str
    offset: int
    length: int


class Index:
    """`path` is written when the archive is whole, and not before; until then entries are on the way to be sorted."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._sorter = Sorter()
        if os.path.isdir(path):
            raise SinkError(f"{path} is a folder, and the index (--warc-cdx) is to be there: move it")

    def __repr__(self) -> str:
        return f"<Index {self.path}>"

    def add(self, url: str, date: str, digest: str, head: bytes, place: Place) -> None:
        """An answer's record; `date` and `digest` as the record has them, `head` that of the answer. Raises OSError."""
        entry = {"url": url}
        if found := _TYPE.search(head):
            entry["mime"] = _PARAMETERS.split(found[1].decode("latin-1"), maxsplit=1)[0]
        if found := _STATUS.match(head):
            entry["status"] = found[1].decode()
        entry["digest"] = digest
        entry["length"], entry["offset"], entry["filename"] = str(place.length), str(place.offset), place.filename
        timestamp = date[:19].translate(_DIGITS)
        self._sorter.add(f"{surt(url)} {timestamp} {json.dumps(entry)}".encode())

    def write(self) -> None:
        """Write all of it under its unfinished name, and see it through to the disk; raises OSError."""
        with open(self.path + PART, "wb", buffering=_BLOCK) as file:
            file.writelines(self._sorter.lines())
            file.flush()
            os.fsync(file.fileno())

    def finish(self) -> None:
        """Give it its name; raises OSError."""
        os.replace(self.path + PART, self.path)
        sync_folder(self.path)

    def close(self) -> None:
        """Drop what is on the disk."""
        self._sorter.close()


def path_of(archive: str) -> str:
    """What the index of an archive is called."""
    return archive[: -len(".warc.gz")] + ENDING
