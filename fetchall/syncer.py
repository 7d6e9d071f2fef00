"""
What has been written is seen through to the disk every so often, in a thread: a slow disk never holds up the loop.

Knows threads and the loop's timer; it must not know what is written.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]


class Syncer:
    """
    Asks `make` on the loop for a job each so many seconds, and does the job in its thread.

    One job at a time: while the disk takes longer, turns are passed over. What a job raises is handed to `failed` on
    the loop, and ends the turns.
    """

    def __init__(self, seconds: float, make: Callable[[], Job | None], failed: Callable[[OSError], None]) -> None:
        self._seconds = seconds
        self._make = make
        self._failed = failed
        self._loop = asyncio.get_running_loop()
        self._jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._busy = False
        self._timer: asyncio.TimerHandle | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin; with 0 seconds there is nothing to do."""
        if self._seconds:
            self._timer = self._loop.call_later(self._seconds, self._turn)

    def stop(self) -> None:
        """Wait for the job under way, and do no other."""
        if self._timer is not None:
            self._timer.cancel()
        if self._thread is not None:
            self._jobs.put(None)
            self._thread.join()

    def _turn(self) -> None:
        self._timer = self._loop.call_later(self._seconds, self._turn)
        if self._busy or (job := self._make()) is None:
            return
        self._busy = True
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="fetchall-sync", daemon=True)
            self._thread.start()
        self._jobs.put(job)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            error: OSError | None = None
            try:
                job()
            except OSError as raised:
                error = raised
            try:
                self._loop.call_soon_threadsafe(self._done, error)
            except RuntimeError:  # the loop was closed meanwhile
                return

    def _done(self, error: OSError | None) -> None:
        self._busy = False
        if error is not None:
            if self._timer is not None:
                self._timer.cancel()
            self._failed(error)
