"""
The files that rows name: seen through to the disk before the rows are, so that no power cut leaves a row without its
file.

Knows names below a folder; it must not know what is in the files, nor how they came there.
"""

from __future__ import annotations

import errno
import os
import stat
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from fetchall.rows import Row
from fetchall.sinks import Ending

_AT_ONCE = 1000
"""Files whose writing out is begun before the first is waited for."""
_READ = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_NONBLOCK", 0)
_NOT_OURS = frozenset({errno.ENOENT, errno.ELOOP, errno.ENOTDIR, errno.EACCES, errno.EINVAL, errno.ESPIPE, errno.ENXIO})
"""Moved away meanwhile, or something that was there before us and is no file."""


class SavedFiles:
    """See `Sink`; `sync` is called in a thread beside it."""

    def __init__(self, folder: str, *, any_size: bool) -> None:
        """With `any_size` a row may name what was there before."""
        self._folder = folder
        self._any_size = any_size
        self._names: deque[str] = deque()

    def __repr__(self) -> str:
        return f"<SavedFiles {len(self._names)} to be synced in {self._folder}>"

    def begin(self, has_row: Callable[[int], bool] | None) -> None:
        """There is nothing to be made ready."""

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`: the journal has these."""
        self._names += [file for row in rows if (file := row.fields.get("file")) is not None]
        return False

    def sync(self) -> None:
        """All that rows name so far, and the folders that they are in; raises OSError. What is gone is left out."""
        if not self._names:
            return
        folders = {"", os.pardir}
        while self._names:
            names = [self._names.popleft() for _ in range(min(_AT_ONCE, len(self._names)))]
            # Thousands of small files take a fifth of the time where they are on their way together.
            for name in names:
                self._sync(name, begin=True)
            for name in names:
                self._sync(name)
                while name := os.path.dirname(name):
                    folders.add(name)
        for folder in folders:
            self._sync(folder)

    def holds(self, row: dict[str, Any]) -> bool:
        """Whether the file that a row of an earlier run names is there, and as large as it says."""
        if row["file"] is None:
            return True
        try:
            status = os.lstat(os.path.join(self._folder, row["file"]))
        except OSError:
            return False
        return stat.S_ISREG(status.st_mode) and (self._any_size or status.st_size == row["size"])

    def close(self, ending: Ending) -> None:
        """See `Sink`; it ends before the journal."""
        self.sync()

    def abort(self) -> None:
        """See `Sink`."""

    def _sync(self, name: str, *, begin: bool = False) -> None:
        try:
            descriptor = os.open(os.path.join(self._folder, name), _READ)
        except OSError as error:
            if error.errno in _NOT_OURS:
                return
            raise
        try:
            if not begin:
                os.fsync(descriptor)
            elif hasattr(os, "posix_fadvise"):
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError as error:
            if error.errno not in _NOT_OURS:
                raise
        finally:
            os.close(descriptor)
