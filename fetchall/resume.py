"""
What an earlier output already holds, and what of the list is left to fetch.

Knows rows and requests; it must not know HTTP. Index and URL together are the identity. The URL is compared as the row
has it, with its secrets masked: the rows themselves bear witness, and nothing about a secret is stored for it.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from fetchall.errors import ResumeError
from fetchall.options import Failures
from fetchall.records import Request
from fetchall.rows import dumps, loads
from fetchall.sinks.journal import checksum, index_of
from fetchall.slots import Slots
from fetchall.state import State
from fetchall.tally import Tally
from fetchall.urls import mask

_AT_ONCE = 1000
_IN_MEMORY = 4 * 1024 * 1024
"""Bytes of requests left over that are held in memory before they go to the disk."""
_PAUSE = 60.0
"""Seconds between two starts from which on nobody was at work."""
_URL = len(b',"url":')
_AFTER_URL = b',"final_url":'


class Past:
    """
    The rows of an earlier run, read once and changed nowhere.

    `name` is the file that has them; `rows` gives places and lines, and `state` what was noted beside them.
    """

    def __init__(
        self,
        name: str,
        rows: Callable[[], Iterator[tuple[int, bytes]]],
        state: State,
        *,
        drop: Failures | None,
        journal: str | None = None,
        keys: frozenset[str] | None = None,
        holds: Callable[[dict[str, Any]], bool] | None = None,
    ) -> None:
        """
        With `journal`: the rows are the lines of this file; with `keys`: these are what a row must have.

        `holds` says whether what a row speaks of is there: asked of those that were not yet synced, as it was before.
        """
        self._name = name
        self._rows = rows
        self._drop = drop
        self._journal = journal
        self._keys = keys
        self._holds = holds
        self._gaps = _Later()
        self.state = state
        self.tally = Tally()
        self.size = 0
        """Bytes of whole rows."""
        self.checksum = 0
        self.dropped = 0
        """Rows that are to be fetched again although they are there."""
        self._unnoted = 0.0
        """Seconds between the starts of rows of which the state knows nothing."""
        self._latest = 0.0
        self._urls = Slots()
        """Python's own hash of its URL, as JSON has it, for every index that is done: 64 bits."""

    def __repr__(self) -> str:
        return f"<Past {self.tally.urls} rows of {self._name}>"

    def read(self) -> None:
        """Find out what is done; what the state knows of the first rows is not found out again."""
        known = self._known()
        # One turn of this loop for each row, and of that in `compare`, is what starting again costs.
        for place, line in self._rows() if known else self._each():
            if place < known:
                self._done(index_of(line), line, place)
            elif not self._count(line, place):
                break
            self.size = place + len(line)
        if self.size == known:
            self.checksum = self.state.checksum if known else 0
        elif self._journal is not None:
            with open(self._journal, "rb") as file:
                self.checksum = checksum(file.fileno(), self.size)

    def whole_rows(self) -> Iterator[tuple[int, bytes]]:
        """Place and line of every row, once they have been read; those that are dropped too."""
        for place, line in self._each():
            if place >= self.size:
                return
            yield place, line

    def _each(self) -> Iterator[tuple[int, bytes]]:
        try:
            yield from self._rows()
        except ValueError as error:
            raise ResumeError(f"{self._name} {error}") from error

    def _known(self) -> int:
        state = self.state
        if self._journal is None or self._drop is not None or state.tally is None:
            return 0
        with open(self._journal, "rb") as file:
            if os.fstat(file.fileno()).st_size < state.size or checksum(file.fileno(), state.size) != state.checksum:
                return 0
        self.tally = Tally.restored(state.tally)
        return state.size

    @property
    def elapsed(self) -> float:
        """Seconds that the earlier runs took: as noted, and as far as rows tell that came after the note."""
        return self.state.elapsed + self._unnoted

    def keeps(self, index: int) -> bool:
        """Whether the row of an index stays."""
        return bool(self._urls.get(index))

    def forget(self) -> None:
        """Let go of what only the comparison needs."""
        self._urls.close()

    def close(self) -> None:
        """Let go of everything."""
        self.forget()
        self._gaps.close()

    def compare(self, batches: Iterator[list[Request]]) -> None:
        """Read the list as far as something is done; raises `ResumeError` where it is another one."""
        left, values = self._urls.used, self._urls.values
        end = len(values)
        while left:
            batch = next(batches, None)
            if batch is None:
                raise ResumeError(f"{self._name} has rows beyond the end of the list: it is another list, or was cut")
            for request in batch:
                index, url = request.index, request.url
                known = values[index] if index < end else 0
                if known:
                    if known != (hash(dumps(mask(url) if "@" in url else url)) or 1):
                        self._differs(request)
                    left -= 1
                else:
                    self._gaps.add(request)

    def remaining(self, batches: Iterator[list[Request]]) -> Iterator[list[Request]]:
        """What `compare` left, then what it has not read."""
        yield from self._gaps.batches()
        yield from batches

    def _differs(self, request: Request) -> None:
        raise ResumeError(
            f"{self._name} belongs to another list: its row {request.index} is not {mask(request.url)}; "
            "give the list as it was, longer at its end if need be, or --overwrite"
        )

    def _count(self, line: bytes, place: int) -> bool:
        """One row of which nothing is known yet; False: the whole rows end here."""
        if not line.endswith(b"\n"):
            return False
        fields = _fields(line)
        if fields is None:
            if self._journal is None or place < self.state.size:
                raise ResumeError(f"{self._name} is damaged at byte {place}: what stands there is no row")
            return False
        if self._keys is not None:
            self._check_keys(fields)
        if self._drop is not None and _matches(self._drop, fields):
            self.dropped += 1
            return True
        if self._holds is not None and place >= self.state.size and not self._holds(fields):
            self.dropped += 1
            return True
        self._done(fields["index"], line, place)
        self.tally.add_row(fields)
        if fields["started_at"] is not None and place >= self.state.size:
            self._note_start(datetime.fromisoformat(fields["started_at"]).timestamp())
        return True

    def _note_start(self, at: float) -> None:
        if 0 < at - self._latest < _PAUSE:
            self._unnoted += at - self._latest
        self._latest = max(self._latest, at)

    def _check_keys(self, row: dict[str, Any]) -> None:
        """Of a finished output nothing but its rows is left: what they hold says with which options they came."""
        assert self._keys is not None
        changed = sorted((row.keys() ^ self._keys) - {"input"})
        if changed:
            raise ResumeError(
                f"{self._name} was made with other options: {', '.join(changed)} would be in some rows only; "
                "write elsewhere"
            )
        self._keys = None

    def _done(self, index: int, line: bytes, place: int) -> None:
        start = line.index(b",") + _URL
        if not self._urls.put(index, hash(line[start : line.index(_AFTER_URL, start)]) or 1):
            raise ResumeError(f"{self._name} has two rows for index {index}, the second at byte {place}")


def _fields(line: bytes) -> dict[str, Any] | None:
    try:
        fields = loads(line)
        if index_of(line) != fields["index"] or fields["index"] < 0:
            return None
        line.index(_AFTER_URL)
        return dict(fields)
    except (ValueError, KeyError, TypeError):
        return None


def _matches(drop: Failures, row: dict[str, Any]) -> bool:
    """Whether a row failed, and in a way that is named; no names: in any."""
    return not row["ok"] and (not drop or row["error_type"] in drop or row["status"] in drop)


class _Later:
    """Requests that wait until the comparison is over; on disk where they are many."""

    def __init__(self) -> None:
        self._file = tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY)  # noqa: SIM115 (closed by `close`)
        self._pending: list[Request] = []

    def add(self, request: Request) -> None:
        """Hold one."""
        self._pending.append(request)
        if len(self._pending) >= _AT_ONCE:
            pickle.dump(self._pending, self._file, pickle.HIGHEST_PROTOCOL)
            self._pending = []

    def batches(self) -> Iterator[list[Request]]:
        """All of them, in their order."""
        end = self._file.tell()
        self._file.seek(0)
        while self._file.tell() < end:
            yield pickle.load(self._file)
        if self._pending:
            yield self._pending

    def close(self) -> None:
        """Drop them."""
        self._file.close()
