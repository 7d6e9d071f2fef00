"""
Outputs that are put elsewhere when they are whole: until then they wait in a folder of this machine.

Knows part files and places; it must not know what the bytes mean.
"""

from __future__ import annotations

import hashlib
import os
import sys

from fetchall import places
from fetchall.errors import SinkError
from fetchall.sinks.outlet import PartFile, reason, write_whole


class Upload(PartFile):
    """
    A `PartFile` whose name is a URL.

    With all that stands beside it, it is in `waiting_room` under a name that follows from the URL alone, so that the
    same command finds it again. Where it can't be put, it stays as it is, and a run that goes on puts it once more.
    """

    def __init__(self, place: str, *, keep: bool = False, overwrite: bool = False) -> None:
        self._finished = check_reachable(place)
        super().__init__(path_before(place), keep=keep, overwrite=overwrite)
        self.place = place

    def finished(self) -> bool:
        """See `PartFile`; as it was before the run."""
        return self._finished

    def publish(self) -> None:
        """See `PartFile`."""
        try:
            places.put(self.part, self.place)
        except OSError as error:
            error.add_note(f"not uploaded, but whole in {self.part}; the same command with --resume uploads it")
            raise
        os.unlink(self.part)


def part_file(place: str, *, keep: bool, overwrite: bool) -> PartFile:
    """The unfinished file of an output, wherever that will be; see `PartFile`."""
    path = places.path_of(place)
    return (Upload if places.is_remote(path) else PartFile)(path, keep=keep, overwrite=overwrite)


def write_document(place: str | None, document: bytes) -> None:
    """A small document of its own, such as the summary: on stdout, or at a place that has it whole or not at all."""
    if place is None:
        return
    if place == "-":
        os.write(sys.stdout.fileno(), document + b"\n")
        return
    path = places.path_of(place)
    if not places.is_remote(path):
        write_whole(path, document + b"\n")
        return
    before = path_before(place)
    write_whole(before, document + b"\n")
    try:
        places.put(before, place)
    except OSError as error:
        error.add_note(f"not uploaded, but whole in {before}")
        raise
    os.unlink(before)


def path_before(place: str) -> str:
    """Where an output is before it is uploaded; a URL's secrets make no difference. Raises `SinkError`."""
    digest = hashlib.sha256(places.shown(place).encode()).hexdigest()[:16]
    return os.path.join(waiting_room(), f"{digest}-{places.basename(place)}")


def waiting_room() -> str:
    """The folder for what is to be uploaded, where programs keep their state (XDG Base Directory, 0.8)."""
    home = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(home):  # which the standard says is to be ignored
        home = os.path.expanduser("~/.local/state")
    folder = os.path.join(home, "fetchall")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
    except OSError as error:
        raise SinkError(f"{folder}: {reason(error)}; XDG_STATE_HOME names another place for it") from error
    return folder


def check_reachable(place: str) -> bool:
    """Whether something is there. Asked before the first request, so that `SinkError` says what can't be reached."""
    try:
        return places.exists(place)
    except PermissionError:  # who may write need not be allowed to look
        return False
    except OSError as error:
        raise SinkError(f"{places.shown(place)}: {reason(error)}") from error
