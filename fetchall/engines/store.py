"""
The folder that all machines of a run share, local or behind an fsspec URL: its files are whole or not there.

Knows names and bytes; it must not know what is in them.
"""

from __future__ import annotations

import os
import secrets
import tempfile
from contextlib import suppress
from typing import IO, Protocol

from fetchall import places
from fetchall.errors import ResumeError, SinkError
from fetchall.sinks.outlet import PART, Outlet, lock, reason, sync_folder, write_all

LOCK = ".lock"


class Store(Protocol):
    """Files by their names, in one folder. Every method raises OSError."""

    name: str
    """The folder, as people name it."""
    patience: float
    """Seconds between two looks at a file that may appear: each look at an object store costs."""

    def names(self) -> list[str]:
        """What is there; none where there is no such folder."""

    def read(self, name: str) -> bytes | None:
        """The bytes of a file; None where there is none."""

    def open(self, name: str) -> IO[bytes]:
        """A file, to be read."""

    def size(self, name: str) -> int:
        """Its bytes."""

    def exists(self, name: str) -> bool:
        """Whether it is there."""

    def remove(self, name: str) -> None:
        """Let go of a file that may be there."""

    def outlet(self, name: str) -> Outlet:
        """A file in the making, which takes its name when it is whole, and is gone otherwise."""

    def lock(self) -> IO[bytes] | None:
        """Keep other runs out while what is returned is open; None: it can't be. `ResumeError` where one is in."""


def write(store: Store, name: str, data: bytes) -> None:
    """A small file, whole or not at all; raises OSError."""
    outlet = store.outlet(name)
    try:
        outlet.write(data)
    except BaseException:
        outlet.abort()
        raise
    outlet.finish(complete=True)


def store_of(name: str, *, make: bool = False) -> Store:
    """The store of a folder or fsspec URL; `make` it where it is not there. `SinkError`, `MissingExtra`."""
    try:
        path = places.path_of(name)
        return (RemoteStore if places.is_remote(path) else LocalStore)(path, make=make)
    except OSError as error:
        raise SinkError(f"{places.shown(name)}: {reason(error)}") from error


class LocalStore:
    """See `Store`: a folder of this machine, or of all of them (NFS, Lustre)."""

    patience = 0.5

    def __init__(self, name: str, *, make: bool = False) -> None:
        self.name = name
        if make:
            os.makedirs(name, exist_ok=True)

    def __repr__(self) -> str:
        return f"<LocalStore {self.name}>"

    def _path(self, name: str) -> str:
        return os.path.join(self.name, name)

    def names(self) -> list[str]:
        """See `Store`."""
        try:
            return sorted(os.listdir(self.name))
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes | None:
        """See `Store`."""
        try:
            with open(self._path(name), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def open(self, name: str) -> IO[bytes]:
        """See `Store`."""
        return open(self._path(name), "rb", buffering=1024 * 1024)

    def size(self, name: str) -> int:
        """See `Store`."""
        return os.path.getsize(self._path(name))

    def exists(self, name: str) -> bool:
        """See `Store`."""
        return os.path.exists(self._path(name))

    def remove(self, name: str) -> None:
        """See `Store`."""
        with suppress(FileNotFoundError):
            os.unlink(self._path(name))

    def outlet(self, name: str) -> Outlet:
        """See `Store`."""
        return _Draft(self._path(name))

    def lock(self) -> IO[bytes] | None:
        """See `Store`."""
        while True:
            file = open(self._path(LOCK), "ab")  # noqa: SIM115 (the caller's)
            try:
                lock(file.fileno())
                # Between opening and locking, whoever held it may have finished and removed it.
                if os.path.samestat(os.fstat(file.fileno()), os.stat(file.name)):
                    return file
            except FileNotFoundError:
                pass
            except BlockingIOError as error:
                file.close()
                words = f"{self.name} is in use by another fetchall: wait for it, or write elsewhere"
                raise ResumeError(words) from error
            file.close()


class _Draft:
    """See `Outlet`. Its name is nobody else's, so that two who make the same file don't meet: the last one stays."""

    def __init__(self, path: str) -> None:
        folder, name = os.path.split(path)
        self._path = path
        self._draft = os.path.join(folder, f".{name}.{secrets.token_hex(8)}{PART}")
        self._descriptor = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def write(self, data: bytes) -> None:
        """See `Outlet`."""
        write_all(self._descriptor, data)

    def finish(self, *, complete: bool) -> None:
        """See `Outlet`."""
        if not complete:
            self.abort()
            return
        try:
            os.fsync(self._descriptor)
        finally:
            os.close(self._descriptor)
        os.replace(self._draft, self._path)
        sync_folder(self._path)

    def abort(self) -> None:
        """See `Outlet`; nothing of it stays."""
        os.close(self._descriptor)
        os.unlink(self._draft)


class RemoteStore:
    """See `Store`: an object store. What is put there is made on this machine first, and put as a whole."""

    patience = 5.0

    def __init__(self, url: str, *, make: bool = False) -> None:
        self.name = places.shown(url)
        self._folder = places.Folder(url, make=make)

    def __repr__(self) -> str:
        return f"<RemoteStore {self.name}>"

    def names(self) -> list[str]:
        """See `Store`."""
        try:
            return self._folder.names()
        except FileNotFoundError:
            return []

    def read(self, name: str) -> bytes | None:
        """See `Store`."""
        try:
            return self._folder.read(name)
        except FileNotFoundError:
            return None

    def open(self, name: str) -> IO[bytes]:
        """See `Store`."""
        return self._folder.fetched(name)

    def size(self, name: str) -> int:
        """See `Store`."""
        return self._folder.size(name)

    def exists(self, name: str) -> bool:
        """See `Store`."""
        return self._folder.exists(name)

    def remove(self, name: str) -> None:
        """See `Store`."""
        with suppress(FileNotFoundError):
            self._folder.remove(name)

    def outlet(self, name: str) -> Outlet:
        """See `Store`."""
        return _Upload(self._folder, name)

    def lock(self) -> IO[bytes] | None:
        """See `Store`; an object store has no locks."""
        return None


class _Upload:
    """See `Outlet`."""

    def __init__(self, folder: places.Folder, name: str) -> None:
        self._folder = folder
        self._name = name
        self._file = tempfile.NamedTemporaryFile(prefix="fetchall-shard-")  # noqa: SIM115 (closed by `abort`)

    def write(self, data: bytes) -> None:
        """See `Outlet`."""
        self._file.write(data)

    def finish(self, *, complete: bool) -> None:
        """See `Outlet`."""
        try:
            if complete:
                self._file.flush()
                self._folder.put(self._file.name, self._name)
        finally:
            self._file.close()

    def abort(self) -> None:
        """See `Outlet`."""
        self._file.close()
