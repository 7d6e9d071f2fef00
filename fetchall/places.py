"""
Where lists are read from and outputs put: a path, or a URL for one of fsspec's file systems (extra `remote`).

Knows fsspec, and is the only file that imports it; it must not know what the bytes mean. What a file system raises is
an OSError with one line of words and no secret.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, BinaryIO
from urllib.parse import unquote, urlsplit

from fetchall.errors import FetchallError, MissingExtra
from fetchall.urls import MASK, mask

_BLOCK = 1024 * 1024
_remote = re.compile(r"(?:[a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+://", re.IGNORECASE).match


def is_remote(name: str) -> bool:
    """Whether a name is a URL for fsspec: `s3://bucket/list.csv`, `zip://list.csv::s3://…`."""
    return _remote(name) is not None


def shown(name: str) -> str:
    """A name in messages: the password of a URL is masked."""
    return mask(name) if is_remote(name) else name


def basename(name: str) -> str:
    """The last part of a name; of a URL, nothing of its userinfo."""
    return mask(name).rpartition("/")[2].rpartition("@")[2] if is_remote(name) else os.path.basename(name)


def check(name: str, feature: str) -> None:
    """Raise `MissingExtra` without fsspec, and ValueError where it, or what it needs for this, knows no such scheme."""
    fsspec = _fsspec(feature)
    try:
        fsspec.get_filesystem_class(name.partition("://")[0].rpartition("::")[2])
    except (ValueError, ImportError) as error:
        raise ValueError(_words(error, name)) from error


def path_of(name: str) -> str:
    """The path of a local file that is named by a URL (`file://`); any other name as it is."""
    if not name.startswith(("file://", "local://")):
        return name
    from fsspec.implementations.local import LocalFileSystem

    return str(LocalFileSystem._strip_protocol(name))


def exists(name: str) -> bool:
    """Whether there is something; raises OSError where that can't be found out."""
    if not is_remote(name):
        return os.path.exists(name)
    try:
        with _in_words(name):
            system, path = _system(name)
            system.info(path)
    except FileNotFoundError:
        return False
    return True


def opened(name: str) -> BinaryIO:
    """A file to read; raises OSError. What is remote may not allow jumps."""
    if not is_remote(name):
        return open(name, "rb", buffering=_BLOCK)
    with _in_words(name):
        file: BinaryIO = _fsspec().open(name, "rb").open()
        return file


def fetched(name: str) -> BinaryIO:
    """A file to read; a remote one is copied to the disk first. Raises OSError."""
    if not is_remote(name):
        return opened(name)
    with _in_words(name), opened(name) as file:
        return _copied(file)


def put(path: str, name: str) -> None:
    """
    Copy a local file to a URL, whole or not at all; raises OSError.

    Object stores (fsspec's asynchronous file systems) give an object its name when it has come whole. Others get it
    under another name first, for what they call a transaction may lead through a folder on another disk.
    """
    with _in_words(name):
        system, target = _system(name)
        _put(path, system, target, target + ".part")


def read(file: IO[bytes], count: int, name: str) -> bytes:
    """At most so many bytes of an opened file; raises OSError."""
    with _in_words(name):
        return file.read(count)


class Folder:
    """A folder behind a URL, by the names of its files. Raises OSError; FileNotFoundError for what is not there."""

    def __init__(self, url: str, *, make: bool = False) -> None:
        """`make` it where it is not there. Raises `MissingExtra` as well."""
        self._url = url
        _fsspec("a folder that is not local")
        with _in_words(url):
            self._system, root = _system(url)
            self._root = root.rstrip("/")
            if make:
                self._system.makedirs(self._root, exist_ok=True)

    def __repr__(self) -> str:
        return f"<Folder {shown(self._url)}>"

    def names(self) -> list[str]:
        """What is there now."""
        with _in_words(self._url):
            self._system.invalidate_cache()
            return sorted(os.path.basename(path.rstrip("/")) for path in self._system.ls(self._root, detail=False))

    def read(self, name: str) -> bytes:
        """The bytes of a small file."""
        with _in_words(self._url):
            return bytes(self._system.cat_file(self._path(name)))

    def fetched(self, name: str) -> BinaryIO:
        """A file to read, copied to the disk first: what reads it then meets no error of the network's."""
        with _in_words(self._url), self._system.open(self._path(name), "rb") as file:
            return _copied(file)

    def size(self, name: str) -> int:
        """The bytes of a file."""
        with _in_words(self._url):
            return int(self._system.size(self._path(name)))

    def exists(self, name: str) -> bool:
        """Whether a file is there now."""
        with _in_words(self._url):
            self._system.invalidate_cache()
            return bool(self._system.exists(self._path(name)))

    def remove(self, name: str) -> None:
        """Let go of a file."""
        with _in_words(self._url):
            self._system.rm_file(self._path(name))

    def put(self, path: str, name: str) -> None:
        """Copy a local file there, as `put` does."""
        with _in_words(self._url):
            # Hidden, and nobody else's: two may put the same file, and whoever lists the folder passes it over.
            _put(path, self._system, self._path(name), self._path(f".{name}.{secrets.token_hex(8)}.part"))

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def _put(path: str, system: Any, target: str, part: str) -> None:
    from fsspec.asyn import AsyncFileSystem

    if isinstance(system, AsyncFileSystem):
        system.put_file(path, target)
        return
    try:
        system.put_file(path, part)
        system.mv(part, target)
    except BaseException:
        with suppress(Exception):
            system.rm_file(part)
        raise


def _copied(file: IO[bytes]) -> BinaryIO:
    copy = tempfile.TemporaryFile()  # noqa: SIM115 (the caller closes it)
    try:
        shutil.copyfileobj(file, copy, _BLOCK)
    except BaseException:
        copy.close()
        raise
    copy.seek(0)
    return copy


def _system(name: str) -> tuple[Any, str]:
    system, path = _fsspec().core.url_to_fs(name)
    return system, path


def _fsspec(feature: str = "what is not a local file") -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtra(feature, "remote") from error
    return fsspec


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    """Each of its file systems raises errors of its own, which may repeat the URL with its secrets."""
    try:
        yield
    except FetchallError:
        raise
    except Exception as error:
        kind = type(error) if isinstance(error, (FileNotFoundError, PermissionError)) else OSError
        number = error.errno if isinstance(error, OSError) and error.errno else errno.EIO
        raise kind(number, _words(error, name), shown(name)) from error


def _words(error: Exception, name: str) -> str:
    """The first line of what an error says."""
    if isinstance(error, OSError) and error.strerror:
        return _without_secrets(error.strerror, name)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _without_secrets(lines[0], name) if lines else type(error).__name__


def _without_secrets(text: str, name: str) -> str:
    text = text.replace(name, shown(name))
    try:
        secret = urlsplit(name).password
    except ValueError:
        secret = None
    for each in filter(None, (secret, unquote(secret or ""))):
        text = text.replace(each, MASK)
    return text
