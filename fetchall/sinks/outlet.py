"""
Where bytes go: a file that has its name only when it is whole, or a stream whose reader may be slow or gone.

Knows descriptors; it must not know what the bytes mean.
"""

from __future__ import annotations

import asyncio
import errno
import os
import select
import stat
from collections import deque
from collections.abc import Callable
from typing import Protocol

from fetchall.errors import ResumeError, SinkError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

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
    """
    `path`.part, ours alone while it is open, renamed to `path` when complete.

    Opening it changes nothing that is there: `rewind` does. `existed` says whether an earlier run left one. Raises
    `ResumeError` where another process has it, `SinkError` where it can't be written or must not be.
    """

    def __init__(self, path: str, *, keep: bool = False, overwrite: bool = False) -> None:
        self.path = path
        self.part = path + PART
        self.place = path
        """Where it is when it is complete, for people and for `places`."""
        if os.path.isdir(path):
            raise SinkError(f"{path} is a folder: name a file in it")
        try:
            self.descriptor, self.existed = _claim(self.part)
        except OSError as error:
            raise SinkError(f"{path}: {reason(error)}") from error
        if self.existed and not (keep or overwrite):
            self.abort()
            raise SinkError(
                f"{self.part} holds an unfinished run: --resume goes on with it, --overwrite throws it away"
            )

    def __repr__(self) -> str:
        return f"<PartFile {self.part}>"

    def write(self, data: bytes) -> None:
        """See `Outlet`."""
        write_all(self.descriptor, data)

    def sync(self) -> None:
        """See what is written through to the disk; raises OSError."""
        os.fsync(self.descriptor)

    def rewind(self, size: int = 0) -> None:
        """Cut it after so many bytes, and go on there."""
        os.ftruncate(self.descriptor, size)
        os.lseek(self.descriptor, size, os.SEEK_SET)

    def replace(self, name: str) -> None:
        """Put another file in its place, at once and for good, and go on at the end of that."""
        descriptor = os.open(name, os.O_RDWR | os.O_CLOEXEC)
        try:
            lock(descriptor)
            os.fsync(descriptor)
            os.replace(name, self.part)
        except BaseException:
            os.close(descriptor)
            raise
        os.close(self.descriptor)
        self.descriptor = descriptor
        os.lseek(descriptor, 0, os.SEEK_END)
        sync_folder(self.path)

    def finish(self, *, complete: bool) -> None:
        """See `Outlet`; the folder is synced after the rename, so that the name survives a power cut."""
        try:
            os.fsync(self.descriptor)
            if complete:
                self.publish()
        finally:
            os.close(self.descriptor)

    def publish(self) -> None:
        """Give it its name, now that it is complete; raises OSError."""
        os.replace(self.part, self.path)
        sync_folder(self.path)

    def finished(self) -> bool:
        """Whether there is a finished output of an earlier run."""
        return os.path.exists(self.path)

    def abort(self) -> None:
        """See `Outlet`."""
        os.close(self.descriptor)

    def withdraw(self) -> None:
        """Leave things as they were: what was not there goes."""
        if not self.existed:
            os.unlink(self.part)
        self.abort()


def _claim(part: str) -> tuple[int, bool]:
    """Open and lock a file; whether it was there. Another's lock is an error, a dead process has none."""
    for _ in range(100):
        existed = True
        try:
            descriptor = os.open(part, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            existed = False
            try:
                descriptor = os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            except FileExistsError:
                continue
        try:
            lock(descriptor)
            # Between opening and locking, whoever held the lock may have finished and renamed the file.
            if os.path.samestat(os.fstat(descriptor), os.stat(part)):
                return descriptor, existed
        except FileNotFoundError:
            pass
        except BlockingIOError as error:
            os.close(descriptor)
            raise ResumeError(f"{part} is in use by another fetchall: wait for it, or write elsewhere") from error
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
    raise OSError(errno.EAGAIN, "it comes and goes", part)


def lock(descriptor: int) -> None:
    """Take the file for this process as long as it is open; BlockingIOError where another has it."""
    if fcntl is None or not stat.S_ISREG(os.fstat(descriptor).st_mode):
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):  # file systems without locks
            raise


def sync_folder(path: str) -> None:
    """See a file's name through to the disk."""
    if os.name != "posix":
        return
    folder = os.open(os.path.dirname(path) or ".", os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


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
            write_all(self._descriptor, data)
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


def write_all(descriptor: int, data: bytes) -> None:
    """All of it; raises OSError."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def reason(error: OSError) -> str:
    """The system's words for what is wrong."""
    return (error.strerror or str(error)).lower()
