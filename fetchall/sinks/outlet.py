"""
Where bytes go: a file that has its name only when it is whole, or a stream whose reader may be slow or gone.

Knows descriptors; it must not know what the bytes mean.
"""

from __future__ import annotations

import asyncio
import os
import select
import stat
from collections import deque
from collections.abc import Callable
from typing import Protocol

from fetchall.errors import SinkError

PART = ".part"
"""What an output is called until it is complete."""
FULL = 1024 * 1024
"""Bytes that may wait for a slow reader before the run waits too."""
_PIECE = min(getattr(select, "PIPE_BUF", 512), 4096)
"""As much as a pipe that polls writable takes without blocking (POSIX: PIPE_BUF)."""


class Outlet(Protocol):
    """Takes bytes in order."""

    def write(self, data: bytes) -> None:
        """Take bytes; raises OSError."""

    def finish(self, *, complete: bool) -> None:
        """All bytes are written: see them through, and name the output if the run is complete."""

    def abort(self) -> None:
        """Close without more ado."""


class PartFile:
    """`path`.part, renamed to `path` when complete."""

    def __init__(self, path: str, *, overwrite: bool) -> None:
        self.path = path
        self.part = path + PART
        flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | (os.O_TRUNC if overwrite else os.O_EXCL)
        try:
            if os.path.isdir(path):
                raise SinkError(f"{path} is a folder: name a file in it")
            self._descriptor = os.open(self.part, flags, 0o666)
        except FileExistsError as error:
            raise SinkError(f"{self.part} holds an unfinished run: --overwrite throws it away") from error
        except OSError as error:
            raise SinkError(f"{path}: {_reason(error)}") from error

    def __repr__(self) -> str:
        return f"<PartFile {self.part}>"

    def write(self, data: bytes) -> None:
        """See `Outlet`."""
        _write_all(self._descriptor, data)

    def finish(self, *, complete: bool) -> None:
        """See `Outlet`; the folder is synced after the rename, so that the name survives a power cut."""
        os.fsync(self._descriptor)
        os.close(self._descriptor)
        if complete:
            os.replace(self.part, self.path)
            folder = os.open(os.path.dirname(self.path) or ".", os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def abort(self) -> None:
        """See `Outlet`."""
        os.close(self._descriptor)


class StandardStream:
    """
    A descriptor that may be a pipe with a slow reader.

    Pieces no larger than PIPE_BUF are written when the descriptor polls writable, so that the loop never blocks,
    without making it non-blocking: it is shared with whoever started us. `full` asks the run to wait.
    """

    def __init__(self, descriptor: int, on_room: Callable[[], None]) -> None:
        self._descriptor = descriptor
        self._on_room = on_room
        self._pending: deque[memoryview] = deque()
        self._size = 0
        self._watching = False
        self._error: OSError | None = None
        mode = os.fstat(descriptor).st_mode
        self._direct = stat.S_ISREG(mode) or not hasattr(select, "poll")
        """A regular file never makes a writer wait long, and can't be polled."""
        if not self._direct:
            self._poll = select.poll()
            self._poll.register(descriptor, select.POLLOUT)

    @property
    def full(self) -> bool:
        """The reader is slower than the run: wait for `on_room`."""
        return self._size > FULL

    def write(self, data: bytes) -> None:
        """See `Outlet`; raises BrokenPipeError once the reader is gone."""
        if self._error is not None:
            raise self._error
        if self._direct:
            _write_all(self._descriptor, data)
            return
        self._pending.append(memoryview(data))
        self._size += len(data)
        if not self._watching:
            self._drain()

    def finish(self, *, complete: bool) -> None:
        """See `Outlet`; waits for the reader."""
        self._unwatch()
        if self._error is not None:
            raise self._error
        while self._pending:
            self._poll.poll()
            self._write_piece()

    def abort(self) -> None:
        """See `Outlet`."""
        self._unwatch()

    def _drain(self) -> None:
        while self._pending and self._poll.poll(0):
            self._write_piece()
        if self._pending and not self._watching:
            self._watching = True
            asyncio.get_running_loop().add_writer(self._descriptor, self._on_writable)
        elif not self._pending:
            self._unwatch()

    def _on_writable(self) -> None:
        was_full = self.full
        try:
            self._drain()
        except OSError as error:
            self._error = error
            self._pending.clear()
            self._size = 0
            self._unwatch()
        if was_full and not self.full:
            self._on_room()

    def _write_piece(self) -> None:
        data = self._pending[0]
        written = os.write(self._descriptor, data[:_PIECE])
        self._size -= written
        if written == len(data):
            self._pending.popleft()
        else:
            self._pending[0] = data[written:]

    def _unwatch(self) -> None:
        if self._watching:
            self._watching = False
            asyncio.get_running_loop().remove_writer(self._descriptor)


def write_whole(path: str, data: bytes) -> None:
    """A small file that is there whole or not at all; raises OSError."""
    part = f"{path}{PART}"
    with open(part, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
