"""
Where requests come from: each source is a lazy, blocking iterator of batches, numbered on from the one before.

Knows files, stdin and arguments; it must not know HTTP, nor what becomes of a request.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence

from fetchall.errors import InvalidOptions, SourceError
from fetchall.places import is_remote
from fetchall.records import Request
from fetchall.source import packed, parquet
from fetchall.source.content import STDIN, Content, check_remote
from fetchall.source.forms import READERS, TEXT, form_of
from fetchall.source.globbing import Glob, is_glob, unrolled
from fetchall.source.maker import Maker, Reading
from fetchall.urls import mask

__all__ = ["STDIN", "Reading", "check_sources", "count", "read_sources"]

_URL = re.compile(r"https?:", re.IGNORECASE)
_AS_GIVEN = Reading()
_FIRST, _MOST = 16, 1024
"""Requests of the first batch, and of any."""


def check_sources(names: Sequence[str], reading: Reading = _AS_GIVEN) -> None:
    """
    Look at the sources before anything else is touched.

    Raises `SourceError` for one that can't be read, `MissingExtra` for one that needs an extra, and `InvalidOptions`
    for a URL whose ranges or braces are broken.
    """
    for name in names:
        if _URL.match(name):
            _check_url(name, reading)
            continue
        if name != STDIN:
            packed.check_installed(packed.packing_of(name))
            if is_remote(name):
                check_remote(name)
            else:
                _check_file(name)
        if _form(name, reading) == "parquet":
            parquet.check_installed()


def read_sources(names: Sequence[str], stdin: int = 0, reading: Reading = _AS_GIVEN) -> Iterator[list[Request]]:
    """Batches of requests from several sources in a row, numbered from 0; `stdin` is a descriptor."""
    return _portioned(_in_a_row(names, stdin, reading))


def _portioned(batches: Iterator[list[Request]]) -> Iterator[list[Request]]:
    """A few at first, more and more later: the first request is under way before a thousand more are looked at."""
    most = _FIRST
    for batch in batches:
        start = 0
        while start < len(batch):
            yield batch[start : start + most]
            start += most
            most = min(2 * most, _MOST)


def _in_a_row(names: Sequence[str], stdin: int, reading: Reading) -> Iterator[list[Request]]:
    index = 0
    for name in names:
        batches = _read(name, stdin, index, reading)
        for batch in unrolled(batches, index) if reading.glob else batches:
            index = batch[-1].index + 1
            yield batch


def has_columns(names: Sequence[str], reading: Reading = _AS_GIVEN) -> bool:
    """Whether a source's form can bring further columns, which a table must know before its first row."""
    return any(not _URL.match(name) and _form(name, reading) != TEXT for name in names)


COUNTED = 64 * 1024**2
"""Bytes of a list up to which its lines are counted beforehand, for the bar: a fraction of a second."""


def count(names: Sequence[str], reading: Reading = _AS_GIVEN) -> int | None:
    """How many rows the sources will give; None where that can't be known, or not soon."""
    total = 0
    for name in names:
        found = _count_url(name, reading) if _URL.match(name) else _count_file(name, reading)
        if found is None:
            return None
        total += found
    return total


def _count_url(url: str, reading: Reading) -> int:
    return Glob(url).count if reading.glob and is_glob(url) else 1


def _count_file(name: str, reading: Reading) -> int | None:
    """Lines of text and of JSON are rows but for blank ones and comments; Parquet says it at its end."""
    if name == STDIN or reading.glob or not os.path.isfile(name) or packed.packing_of(name):
        return None
    form = _form(name, reading)
    if form == "parquet":
        return parquet.count_rows(name)
    if form not in (TEXT, "jsonl") or os.path.getsize(name) > COUNTED:
        return None
    with open(name, "rb") as file:
        if packed.looks_packed(file.peek(4)[:4]):
            return None
        stripped = (line.strip() for line in file)
        return sum(1 for line in stripped if line and not line.startswith(b"#"))


def _form(name: str, reading: Reading) -> str:
    return reading.form or (TEXT if name == STDIN else form_of(name))


def _read(name: str, stdin: int, first: int, reading: Reading) -> Iterator[list[Request]]:
    if _URL.match(name):
        yield [Request(name, first)]
        return
    content = Content(name, stdin)
    try:
        yield from READERS[_form(name, reading)](content, Maker(content.name, first, reading))
    finally:
        content.close()


def _check_url(url: str, reading: Reading) -> None:
    if reading.glob and is_glob(url):
        try:
            Glob(url)
        except ValueError as error:
            raise InvalidOptions(f"--glob {mask(url)}: {error}") from error


def _check_file(name: str) -> None:
    if os.path.isdir(name):
        raise SourceError(f"{name} is a folder: name a file of URLs, a URL, or - for stdin")
    if not os.path.exists(name):
        hint = "; a URL begins with http:// or https://" if "." in name or "/" in name else ""
        raise SourceError(f"{name}: no such file{hint}")
    if not os.access(name, os.R_OK):
        raise SourceError(f"{name}: not readable (permission denied)")
