"""
A folder that files get into whole or not at all, and that no name leads out of.

Knows descriptors: everything is opened relative to the folder's own, without following links, and never over another
file while it is written. It must not know where names come from.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count

from fetchall.sinks.outlet import lock

_BEGUN, _PART = ".fetchall-", ".part"
"""Round the names of files that are not whole; no name that is given begins with a dot."""
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})
"""How file systems say that they know no hard links."""
_CLOSE = getattr(os, "O_CLOEXEC", 0)
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | _CLOSE
_NO_FOLLOW = getattr(os, "O_NOFOLLOW", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | _NO_FOLLOW | _CLOSE


class Taken(Exception):
    """Something has the name already; `size` is that of a plain file, else -1."""

    def __init__(self, size: int) -> None:
        super().__init__(size)
        self.size = size


class Folder:
    """`path`, made if need be. Raises OSError."""

    def __init__(self, path: str) -> None:
        self.path = path
        if os.open not in os.supports_dir_fd or os.link not in os.supports_dir_fd:
            raise OSError(errno.ENOSYS, "this system can't open files relative to a folder")
        os.makedirs(path, exist_ok=True)
        self._descriptor = os.open(path, _FOLDER)
        self._own = f"{_BEGUN}{os.getpid()}-"
        self._numbers = count()
        self._sweep()

    def __repr__(self) -> str:
        return f"<Folder {self.path}>"

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def begin(self) -> tuple[int, str]:
        """A new file, ours alone, and what it is called for now."""
        while True:
            name = f"{self._own}{next(self._numbers)}{_PART}"
            try:
                descriptor = os.open(name, _NEW, 0o666, dir_fd=self._descriptor)
            except FileExistsError:
                continue
            try:
                lock(descriptor)
                if os.fstat(descriptor).st_nlink:
                    return descriptor, name
            except BlockingIOError:
                pass
            # Another process that begins now took it, before it was locked, for one that a killed run left.
            os.close(descriptor)

    def reopen(self, name: str, size: int) -> int:
        """A begun file that is to have more than its `size` bytes; -1: it is gone, or not what it was."""
        with suppress(OSError):
            descriptor = os.open(name, os.O_WRONLY | os.O_APPEND | _NO_FOLLOW | _CLOSE, dir_fd=self._descriptor)
            with suppress(OSError):
                lock(descriptor)
                status = os.fstat(descriptor)
                # Another run that begins now may have swept it away between these lines.
                if stat.S_ISREG(status.st_mode) and status.st_size == size and status.st_nlink == 1:
                    return descriptor
            os.close(descriptor)
        return -1

    @contextmanager
    def reading(self, name: str) -> Iterator[int]:
        """A descriptor from which a begun file is read; raises OSError."""
        descriptor = os.open(name, os.O_RDONLY | _NO_FOLLOW | _CLOSE, dir_fd=self._descriptor)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def remove(self, name: str) -> None:
        """A begun file is not wanted."""
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._descriptor)

    def link(self, name: str, path: list[str]) -> None:
        """Give a begun file a name that nothing has; raises `Taken` and OSError."""
        into = self._into(path[:-1])
        try:
            self._link(name, path[-1], into)
        except FileExistsError:
            status = os.stat(path[-1], dir_fd=into, follow_symlinks=False)
            raise Taken(status.st_size if stat.S_ISREG(status.st_mode) else -1) from None
        finally:
            os.close(into)

    def holds(self, file: str | None, size: int | None) -> bool:
        """Whether a path that a row names is a plain file in here, of this size; no link is followed."""
        if not file or any(name in ("", ".", "..") or "\0" in name for name in file.split("/")):
            return False
        *folders, leaf = file.split("/")
        descriptor = os.dup(self._descriptor)
        try:
            for name in folders:
                outer, descriptor = descriptor, os.open(name, _FOLDER | _NO_FOLLOW, dir_fd=descriptor)
                os.close(outer)
            status = os.stat(leaf, dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            return False
        finally:
            os.close(descriptor)
        return stat.S_ISREG(status.st_mode) and status.st_size == size

    def replace(self, name: str, path: list[str]) -> None:
        """Give a begun file a name, whatever has it now: a link there is replaced, not followed. Raises OSError."""
        into = self._into(path[:-1])
        try:
            os.rename(name, path[-1], src_dir_fd=self._descriptor, dst_dir_fd=into)
        finally:
            os.close(into)

    def _link(self, name: str, leaf: str, into: int) -> None:
        try:
            os.link(name, leaf, src_dir_fd=self._descriptor, dst_dir_fd=into, follow_symlinks=False)
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            # Without links the name is claimed first, so that a kill just here leaves an empty file.
            os.close(os.open(leaf, _NEW, 0o666, dir_fd=into))
            os.rename(name, leaf, src_dir_fd=self._descriptor, dst_dir_fd=into)
        else:
            os.unlink(name, dir_fd=self._descriptor)

    def _into(self, path: list[str]) -> int:
        """A descriptor of a folder within, made if need be; never through a link."""
        descriptor = os.dup(self._descriptor)
        for name in path:
            outer = descriptor
            try:
                with suppress(FileExistsError):
                    os.mkdir(name, dir_fd=outer)
                descriptor = os.open(name, _FOLDER | _NO_FOLLOW, dir_fd=outer)
            finally:
                os.close(outer)
        return descriptor

    def _sweep(self) -> None:
        """Remove what a killed run left unfinished; what another is writing now is locked."""
        for name in os.listdir(self._descriptor):
            if not (name.startswith(_BEGUN) and name.endswith(_PART)):
                continue
            with suppress(OSError):
                descriptor = os.open(name, os.O_WRONLY | _NO_FOLLOW, dir_fd=self._descriptor)
                try:
                    lock(descriptor)
                    os.unlink(name, dir_fd=self._descriptor)
                finally:
                    os.close(descriptor)
