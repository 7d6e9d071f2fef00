"""
When rows are seen through to the disk, and what is known of them is noted beside them.

Knows the outputs' journal and state; it must not know what is fetched.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

from fetchall.outputs import Outputs
from fetchall.syncer import Syncer
from fetchall.tally import Tally

SAVE_EVERY = 5.0
"""Seconds between two notes: the rows since the last are counted again, about 200,000 a second."""


class Checkpoints:
    """
    While started: syncs every `seconds`, and brings the state up to date now and then.

    `elapsed` gives the seconds that the run has taken so far, earlier ones included; `failed` hears of a disk that
    did not take what was written.
    """

    def __init__(
        self,
        outputs: Outputs,
        tally: Tally,
        elapsed: Callable[[], float],
        seconds: float,
        failed: Callable[[OSError], None],
    ) -> None:
        self._outputs = outputs
        self._tally = tally
        self._elapsed = elapsed
        self._syncer = Syncer(seconds, self._job, failed)
        self._saved_at = 0.0
        self._synced = 0

    def start(self) -> None:
        """Begin."""
        self._syncer.start()

    def stop(self) -> None:
        """No more; waits for the disk."""
        self._syncer.stop()

    def leave(self) -> None:
        """Note where an unfinished run ends; where that can't be written, the last note serves as well."""
        if self._outputs.journal is None:
            return
        with suppress(OSError):
            self._outputs.journal.sync()
            self._note()
            self._outputs.save()

    def note_sequential(self, seconds: float | None) -> None:
        """The sequential pass took so long, and need not be repeated."""
        if self._outputs.state is not None and seconds is not None:
            self._outputs.state.sequential = seconds
            self._outputs.save()

    def _job(self) -> Callable[[], None] | None:
        journal = self._outputs.journal
        if journal is None or journal.size == self._synced:
            return None
        self._synced = journal.size
        if time.monotonic() - self._saved_at < SAVE_EVERY:
            return journal.sync
        self._saved_at = time.monotonic()
        self._note()
        save = self._outputs.saving()

        def job() -> None:
            journal.sync()
            save()

        return job

    def _note(self) -> None:
        journal, state = self._outputs.journal, self._outputs.state
        if journal is not None and state is not None:
            state.size, state.checksum, state.tally = journal.size, journal.checksum, self._tally.snapshot()
            state.elapsed = self._elapsed()
