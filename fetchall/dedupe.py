"""
Which requests are the same, and what became of the first of them: on disk, so that memory stays flat.

Knows requests and results; it must not know HTTP or the schedule.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b

from fetchall.records import Request, Result
from fetchall.urls import Target, mask

_CACHE = 16 * 1024
"""KiB of the database that stay in memory."""


class Seen:
    """Keys that were met, each with a value once it has one; a database in a file that no kill leaves behind."""

    def __init__(self) -> None:
        import sqlite3  # 5 ms that most runs need not wait for

        descriptor, name = tempfile.mkstemp(prefix="fetchall-seen-")
        os.close(descriptor)
        self._database = sqlite3.connect(name, isolation_level=None)
        # It holds nothing that a crash must not lose.
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE}", "locking_mode=EXCLUSIVE"):
            self._database.execute(f"PRAGMA {pragma}")
        self._database.execute("CREATE TABLE seen (key BLOB PRIMARY KEY, value BLOB) WITHOUT ROWID")
        with suppress(PermissionError):  # Windows: an open file keeps its name
            os.unlink(name)

    def add(self, key: bytes) -> bool:
        """Whether a key is new; from now on it is not."""
        return self._database.execute("INSERT OR IGNORE INTO seen (key) VALUES (?)", (key,)).rowcount == 1

    def put(self, key: bytes, value: bytes) -> None:
        """Give a key its value."""
        self._database.execute("UPDATE seen SET value = ? WHERE key = ?", (value, key))

    def get(self, key: bytes) -> bytes | None:
        """The value of a key that was met; None: it has none yet."""
        found: tuple[bytes | None] = self._database.execute("SELECT value FROM seen WHERE key = ?", (key,)).fetchone()
        return found[0]

    def close(self) -> None:
        """Drop everything."""
        self._database.close()


def key_of(request: Request, target: Target, method: str) -> bytes:
    """The same for two requests that would send the same: 16 bytes, so a clash is not to be expected (2 ** -64)."""
    digest = blake2b(digest_size=16)
    parts: Iterable[str | bytes | None] = (
        method,
        target.href,
        target.user,
        target.password,
        request.body,
        *(part for header in request.headers for part in header),
    )
    for part in parts:
        data = b"\xff" if part is None else part.encode("utf-8", "surrogatepass") if isinstance(part, str) else part
        digest.update(len(data).to_bytes(8, "big") + data)
    return digest.digest()


class Duplicates:
    """
    Lets the first of equal requests through and answers the others with its result.

    `held` counts those that wait for a first one that is under way.
    """

    def __init__(self) -> None:
        self._seen = Seen()
        self._waiting: dict[bytes, list[Request]] = {}
        """The first, and those that wait for it."""
        self.held = 0

    def __repr__(self) -> str:
        return f"<Duplicates {len(self._waiting)} under way, {self.held} held>"

    def first(self, key: bytes, request: Request) -> bool | Result:
        """
        True: go and fetch it. False: its twin is under way, and `finished` will give it. A result: it is known.

        The first itself may come again, where whoever had it in hand did not live to finish it.
        """
        if self._seen.add(key):
            self._waiting[key] = [request]
            return True
        twins = self._waiting.get(key)
        if twins is not None:
            if twins[0].index == request.index:
                return True
            twins.append(request)
            self.held += 1
            return False
        known = self._seen.get(key)
        assert known is not None
        result: Result = pickle.loads(known)
        return copy_for(request, result)

    def is_under_way(self, key: bytes) -> bool:
        """Whether the first of a kind was let through here, and is not finished."""
        return key in self._waiting

    def finished(self, key: bytes, result: Result) -> list[Result]:
        """The results of all that waited for this one."""
        twins = self._waiting.pop(key)[1:]
        self.held -= len(twins)
        self._seen.put(key, pickle.dumps(result, pickle.HIGHEST_PROTOCOL))
        return [copy_for(twin, result) for twin in twins]

    def close(self) -> None:
        """Drop everything."""
        self._seen.close()


def copy_for(request: Request, result: Result) -> Result:
    """The row of a line whose URL was fetched for an earlier one; it spent no time on the wire."""
    return replace(result, request=request, url=mask(request.url), wire_time=0.0, duplicate_of=result.request.index)
