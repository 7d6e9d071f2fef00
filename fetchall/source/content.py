"""
What a source holds: a file, stdin or a remote object, opened, unpacked and handed out as bytes.

Knows where bytes come from and how they are packed; it must not know forms. The only file that imports fsspec.
"""

from __future__ import annotations

import io
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO, Any

from fetchall.errors import FetchallError, MissingExtra, SourceError
from fetchall.source.encoding import unmarked
from fetchall.source.packed import looks_packed, packing_of, unpacked
from fetchall.urls import mask

STDIN = "-"
_BLOCK = 64 * 1024
_remote = re.compile(r"(?:[a-z][a-z0-9+.-]+::)*[a-z][a-z0-9+.-]+://", re.IGNORECASE).match


def is_remote(name: str) -> bool:
    """Whether a name is a URL for fsspec: `s3://bucket/list.csv`, `zip://list.csv::s3://…`."""
    return _remote(name) is not None


def shown(name: str) -> str:
    """A source's name in messages; a remote one's password is masked."""
    if name == STDIN:
        return "stdin"
    return mask(name) if is_remote(name) else name


class Content:
    """
    One source while it is read; close it. `stdin` is a descriptor.

    Everything raises `SourceError` and `MissingExtra`.
    """

    def __init__(self, name: str, stdin: int) -> None:
        self.name = shown(name)
        self._promised = packing_of(name)
        self._stack = ExitStack()
        self._plain: IO[bytes] | None = None
        """The file itself, where one can jump in it."""
        self._read: Callable[[int], bytes]
        try:
            if is_remote(name):
                self._open_remote(name)
            else:
                self._open(name, stdin)
        except OSError as error:
            raise SourceError(f"{self.name}: {error.strerror or error}") from error

    def close(self) -> None:
        """Let go of the file."""
        self._stack.close()

    def text(self) -> Iterator[bytes]:
        """What is inside as blocks, as they come, without a byte order mark."""
        return unmarked(self._blocks(), self.name)

    def file(self) -> IO[bytes]:
        """What is inside as a file in which one can jump; a copy on disk where it is packed or comes through a pipe."""
        if self._plain is not None:
            begin = self._plain.read(4)
            self._plain.seek(0)
            if self._promised is None and looks_packed(begin) is None:
                return self._plain
        copy = self._stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack is the manager)
        for block in self._blocks():
            copy.write(block)
        copy.seek(0)
        return copy

    def _open(self, name: str, stdin: int) -> None:
        descriptor = os.dup(stdin) if name == STDIN else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        self._stack.callback(os.close, descriptor)
        self._read = lambda count: os.read(descriptor, count)
        if name != STDIN and os.path.isfile(name):
            self._plain = self._stack.enter_context(io.FileIO(descriptor, closefd=False))

    def _open_remote(self, name: str) -> None:
        try:
            file: Any = _fsspec().open(name, "rb").open()
        except FetchallError:
            raise
        except Exception as error:  # each of its file systems raises its own
            raise SourceError(f"{self.name}: {_words(error)}") from error
        self._stack.callback(file.close)
        self._read, self._plain = file.read, file

    def _blocks(self) -> Iterator[bytes]:
        return unpacked(self._raw(), self.name, self._promised)

    def _raw(self) -> Iterator[bytes]:
        while True:
            try:
                block = self._read(_BLOCK)
            except Exception as error:
                raise SourceError(f"{self.name}: {_words(error)}") from error
            if not block:
                return
            yield block


def check_remote(name: str) -> None:
    """Raise `MissingExtra` without fsspec, and `SourceError` for a scheme that it has no file system for."""
    fsspec = _fsspec()
    try:
        fsspec.get_filesystem_class(name.partition("://")[0].rpartition("::")[2])
    except ValueError as error:
        reason = f"{_words(error)}; a URL begins with http:// or https://"
        raise SourceError(f"{shown(name)}: {reason}") from error
    except ImportError as error:
        raise SourceError(f"{shown(name)}: {_words(error)}") from error


def _fsspec() -> Any:
    try:
        import fsspec
    except ImportError as error:
        raise MissingExtra("a list that is not a local file", "remote") from error
    return fsspec


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    lines = str(error).splitlines()
    return lines[0] if lines else type(error).__name__
