"""
Digests of what comes in pieces: large pieces are hashed by a thread beside the loop, as far as it can.

Knows hashes and one thread; it must not know what is hashed. Hashing lets go of Python's lock, so it goes on while the
loop reads and writes. Nothing waits for the thread: what it has not done when it is needed, the loop does itself, so
that a thread which is slow, dead or could not be started costs time and nothing else.
"""

from __future__ import annotations

import _thread
import hashlib
from collections import deque
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock

LARGE = 128 * 1024
"""Bytes from which on a piece is worth handing over: 80 µs of hashing against some 10 µs. Most bodies have none."""
MOST = 16
"""Pieces that may wait for the thread; sockets give at most 256,000 bytes at once, so 4 MB."""


class Hasher:
    """One thread for all digests of a run, from the first large piece on."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Digest | None] = SimpleQueue()
        self._started: bool | None = None
        """None: it was not needed yet; False: the system gives no thread."""

    def close(self) -> None:
        """End the thread once all is done, which nobody waits for."""
        if self._started:
            self._queue.put(None)

    def take(self, digest: Digest) -> bool:
        """Hash one of its pieces soon; False: the thread has enough to do, or there is none."""
        if self._queue.qsize() >= MOST:
            return False
        if self._started is None:
            self._started = self._start()
        if self._started:
            self._queue.put(digest)
        return self._started

    def _start(self) -> bool:
        # Not threading.Thread: its start waits for a sign of life, for ever where memory is too short for one.
        try:
            _thread.start_new_thread(self._work, ())
        except RuntimeError:
            return False
        return True

    def _work(self) -> None:
        with suppress(MemoryError):
            while (digest := self._queue.get()) is not None:
                digest.hash_next()


class Digest:
    """The digests of one body: its sha256, and its md5 where asked for."""

    __slots__ = ("_hasher", "_md5", "_sha256", "_turn", "_waiting")

    def __init__(self, hasher: Hasher | None = None, *, md5: bool = False) -> None:
        self._hasher = hasher
        self._sha256 = hashlib.sha256()
        self._md5 = hashlib.md5(usedforsecurity=False) if md5 else None
        self._waiting: deque[bytes] = deque()
        """Each is in it until it is hashed; only `update` adds any."""
        self._turn = Lock()
        """Held by whoever hashes what waits: that keeps it in order."""

    def update(self, piece: bytes) -> None:
        """The next piece, which is hashed now or later."""
        if len(piece) < LARGE and not self._waiting:
            self._hash(piece)
            return
        self._waiting.append(piece)
        if len(piece) < LARGE or self._hasher is None or not self._hasher.take(self):
            self._settle()

    def hash_next(self) -> None:
        """Hash the piece that has waited longest, if any still does."""
        with self._turn:
            if self._waiting:
                self._hash(self._waiting[0])
                # Now, not before: whoever runs out of memory on the way leaves the piece to the other.
                self._waiting.popleft()

    @property
    def sha256(self) -> str:
        """In hex, of all that came."""
        self._settle()
        return self._sha256.hexdigest()

    @property
    def md5(self) -> str | None:
        """As `sha256`: some lists still have only this one. None where not asked for."""
        self._settle()
        return self._md5.hexdigest() if self._md5 is not None else None

    def _settle(self) -> None:
        while self._waiting:
            self.hash_next()

    def _hash(self, piece: bytes) -> None:
        self._sha256.update(piece)
        if self._md5 is not None:
            self._md5.update(piece)
