"""
What a source holds: a file, stdin or a remote object, opened, unpacked and handed out as bytes.

Knows where bytes come from and how they are packed; it must not know forms.
"""

from __future__ import annotations

import io
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import IO

from fetchall import places
from fetchall.errors import SourceError
from fetchall.source.encoding import unmarked
from fetchall.source.packed import looks_packed, packing_of, unpacked

STDIN = "-"
_BLOCK = 64 * 1024


def shown(name: str) -> str:
    """A source's name in messages; a remote one's password is masked."""
    return "stdin" if name == STDIN else places.shown(name)


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
            if places.is_remote(name):
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
        file = places.opened(name)
        self._stack.callback(file.close)
        self._read = lambda count: places.read(file, count, name)
        self._plain = file

    def _blocks(self) -> Iterator[bytes]:
        return unpacked(self._raw(), self.name, self._promised)

    def _raw(self) -> Iterator[bytes]:
        while True:
            try:
                block = self._read(_BLOCK)
            except OSError as error:
                raise SourceError(f"{self.name}: {error.strerror or error}") from error
            if not block:
                return
            yield block


def check_remote(name: str) -> None:
    """Raise `MissingExtra` without fsspec, and `SourceError` for a scheme that it has no file system for."""
    try:
        places.check(name, "a list that is not a local file")
    except ValueError as error:
        hint = "" if isinstance(error.__cause__, ImportError) else "; a URL begins with http:// or https://"
        raise SourceError(f"{shown(name)}: {error}{hint}") from error
