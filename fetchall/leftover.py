"""
What an earlier run of the same command left where the outputs go, and whether it can be gone on with.

Knows part files, states and finished outputs; it must not know sinks, and changes nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fetchall import shard_note, sinks, state
from fetchall.errors import ResumeError
from fetchall.options import Options, Reporting
from fetchall.places import shown
from fetchall.preflight import is_refreshed
from fetchall.resume import Past
from fetchall.rows import Columns, keys
from fetchall.sinks.archive import Archives
from fetchall.sinks.journal import read_lines
from fetchall.sinks.outlet import PartFile
from fetchall.state import STATE, State


@dataclass(frozen=True, slots=True)
class Leftover:
    """The outputs as they were found, the first one's journal among them."""

    parts: Sequence[PartFile]
    archives: Archives
    reporting: Reporting
    options: Options
    columns: Columns
    form: str
    """Of the first output."""
    journal: str
    is_part: bool
    """The journal is the first output's part itself; else it stands beside it."""
    existed: bool
    """The journal was there."""
    holds: Callable[[dict[str, Any]], bool] | None
    """See `Past`."""

    def past(self) -> Past | None:
        """What there is to go on from; None: nothing. Raises `ResumeError` where it must not be gone on with."""
        first = self.parts[0]
        self.archives.check()
        known = state.load(first.path + STATE)
        if first.existed or (known is not None and self.existed and not self.is_part):
            return self._of_part(first, known)
        if self._is_finished(first):
            return self._of_finished(first, known)
        for part in self.parts[1:]:
            if part.existed:
                raise ResumeError(
                    f"{part.part} is of a run whose first output was another: name the outputs in the same order, "
                    "or --overwrite"
                )
        return None

    def _of_part(self, first: PartFile, known: State | None) -> Past | None:
        size = os.path.getsize(self.journal) if self.is_part or self.existed else 0
        if known is None:
            if size or os.fstat(first.descriptor).st_size:
                raise ResumeError(
                    f"there is no state beside {first.part}, so nobody can tell whose rows it holds: --overwrite it"
                )
            return self._of_finished(first, None) if self._is_finished(first) else None
        if not size and known.started_from == "finished" and first.finished():
            return self._of_finished(first, known)
        known.check(self.form, self.options, first.part, self.reporting.shard)
        known.started_from = "nothing"
        path, drop = self.journal, self.reporting.retry_failed
        return Past(first.part, lambda: read_lines(path), known, drop=drop, journal=path, holds=self.holds)

    def _of_finished(self, first: PartFile, known: State | None) -> Past:
        shard = self.reporting.shard
        shard_note.check(first.path, shard)
        if known is not None:
            known.check(self.form, self.options, shown(first.place), shard)
        else:
            known = State.begin(self.form, self.options, shard)
        known.started_from, known.size, known.checksum, known.tally = "finished", 0, 0, None
        return Past(
            shown(first.place),
            lambda: sinks.read_rows(first.place),
            known,
            drop=self.reporting.retry_failed,
            keys=keys(self.columns),
        )

    def _is_finished(self, first: PartFile) -> bool:
        return self.archives.exists(first) and not is_refreshed(first.path, self.options)
