"""
SQLite: one typed table `results`, written in transactions as the run goes.

Knows rows and SQL; it must not know HTTP.
"""

from __future__ import annotations

import errno
import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from fetchall.rows import Columns, Row, names
from fetchall.sinks import Ending
from fetchall.sinks.flat import flat_row
from fetchall.sinks.outlet import PartFile

AT_ONCE = 5000
"""Rows of one transaction at most,"""
SECONDS = 1.0
"""and how long one stays open while rows come."""
_TYPES = {
    "index": "INTEGER PRIMARY KEY",
    "status": "INTEGER",
    "ok": "INTEGER NOT NULL",
    "attempts": "INTEGER NOT NULL",
    "redirects": "INTEGER NOT NULL",
    "elapsed": "REAL",
    "ttfb": "REAL",
    "size": "INTEGER",
    "wire_size": "INTEGER",
    "reused": "INTEGER",
    "duplicate_of": "INTEGER",
}
"""All other columns are TEXT: times of day as RFC 3339, what is nested as JSON, which SQLite's functions read."""


class Database:
    """
    See `Sink`.

    SQLite's own rollback journal keeps the file whole when the process dies. Syncing is left to the end: the run's
    journal is what survives a power cut, and a run that goes on makes the table anew from it.
    """

    def __init__(self, file: PartFile, columns: Columns) -> None:
        self._file = file
        self._names = names(columns)
        marks = ", ".join("?" * len(self._names))
        self._insert = f"INSERT OR REPLACE INTO results VALUES ({marks})"
        self._connection: sqlite3.Connection | None = None
        self._pending = 0
        self._committed_at = 0.0

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`."""
        with _system_errors(self._file.part):
            connection = self._open()
            connection.executemany(self._insert, [flat_row(row.fields, self._names) for row in rows])
            self._pending += len(rows)
            if self._pending >= AT_ONCE or time.monotonic() - self._committed_at >= SECONDS:
                self._commit(connection)
        return False

    def close(self, ending: Ending) -> None:
        """See `Sink`."""
        with _system_errors(self._file.part):
            connection = self._open()
            try:
                self._commit(connection)
            finally:
                connection.close()
        self._file.finish(complete=ending.complete)

    def abort(self) -> None:
        """See `Sink`."""
        if self._connection is not None:
            self._connection.close()
        self._file.abort()

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            # What an earlier process left undone belongs to a table that is there no more.
            with suppress(FileNotFoundError):
                os.unlink(self._file.part + "-journal")
            self._connection = connection = sqlite3.connect(self._file.part, isolation_level="IMMEDIATE")
            connection.execute("PRAGMA journal_mode = DELETE")
            connection.execute("PRAGMA synchronous = OFF")
            shape = ", ".join(f'"{name}" {_TYPES.get(name, "TEXT")}' for name in self._names)
            connection.execute(f"CREATE TABLE results ({shape})")
            self._commit(connection)
        return self._connection

    def _commit(self, connection: sqlite3.Connection) -> None:
        connection.commit()
        self._pending = 0
        self._committed_at = time.monotonic()


@contextmanager
def _system_errors(path: str) -> Iterator[None]:
    """SQLite's refusals as what the system would have said."""
    try:
        yield
    except sqlite3.OperationalError as error:
        code = errno.ENOSPC if error.sqlite_errorcode == sqlite3.SQLITE_FULL else errno.EIO
        raise OSError(code, str(error), path) from error
