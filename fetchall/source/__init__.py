"""
Where requests come from: each source is a lazy, blocking iterator of batches, numbered on from the one before.

Knows files, stdin and arguments; it must not know HTTP, nor what becomes of a request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from fetchall.errors import SourceError
from fetchall.records import Request
from fetchall.source.text import read_lines

STDIN = "-"
_URL = re.compile(r"https?:", re.IGNORECASE)


def check_sources(names: Sequence[str]) -> None:
    """Raise `SourceError` for a source that can't be read, before anything else is touched."""
    for name in names:
        if name == STDIN or _URL.match(name):
            continue
        if os.path.isdir(name):
            raise SourceError(f"{name} is a folder: name a file of URLs, a URL, or - for stdin")
        if not os.path.exists(name):
            hint = "; a URL begins with http:// or https://" if "." in name or "/" in name else ""
            raise SourceError(f"{name}: no such file{hint}")
        if not os.access(name, os.R_OK):
            raise SourceError(f"{name}: not readable (permission denied)")


def read_sources(names: Sequence[str], stdin: int = 0) -> Iterator[list[Request]]:
    """Batches of requests from several sources in a row, numbered from 0; `stdin` is a descriptor."""
    index = 0
    for name in names:
        if _URL.match(name):
            yield [Request(name, index)]
            index += 1
            continue
        for batch in _read_file(name, stdin, index):
            if batch:
                index = batch[-1].index + 1
                yield batch


COUNTED = 64 * 1024**2
"""Bytes of a list up to which its lines are counted beforehand, for the bar: a fraction of a second."""


def count(names: Sequence[str]) -> int | None:
    """How many rows the sources will give; None where that can't be known, or not soon."""
    total = 0
    for name in names:
        if _URL.match(name):
            total += 1
        elif name == STDIN or not os.path.isfile(name) or os.path.getsize(name) > COUNTED:
            return None
        else:
            with open(name, "rb") as file:
                stripped = (line.strip() for line in file)
                total += sum(1 for line in stripped if line and not line.startswith(b"#"))
    return total


def _read_file(name: str, stdin: int, first: int) -> Iterator[list[Request]]:
    try:
        descriptor = os.dup(stdin) if name == STDIN else os.open(name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceError(f"{_shown(name)}: {error.strerror}") from error
    try:
        yield from read_lines(descriptor, _shown(name), first)
    except OSError as error:
        raise SourceError(f"{_shown(name)}: {error.strerror}") from error
    finally:
        os.close(descriptor)


def _shown(name: str) -> str:
    return "stdin" if name == STDIN else name
