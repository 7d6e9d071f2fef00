"""
A list of URLs as text, one a line: bytes from a descriptor in, batches of requests out.

Knows lines, comments and encodings; it must not know what a valid URL is.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from fetchall.errors import SourceError
from fetchall.records import ErrorType, Fault, Request

MAX_LINE = 64 * 1024
"""Bytes; a longer line is a row with `bad_line`."""
SHOWN = 200
"""Bytes of a bad line that its row shows."""
_BLOCK = 64 * 1024


def read_lines(descriptor: int, name: str, first: int) -> Iterator[list[Request]]:
    """
    Yield what each read gave, so that a slow pipe's first line is a request before its second arrives.

    Blank lines and `#` comments have no request. A line that is not text, or longer than 64 KiB, is a request with
    a fault; memory stays bounded whatever the file holds. Raises `SourceError` for UTF-16.
    """
    lines = _Lines(name, first)
    start = True
    while block := os.read(descriptor, _BLOCK):
        if start:
            start = False
            block = _without_mark(descriptor, block, name)
        if batch := lines.feed(block):
            yield batch
    if batch := lines.finish():
        yield batch


def _without_mark(descriptor: int, block: bytes, name: str) -> bytes:
    """Take a UTF-8 byte order mark away, and refuse what looks like UTF-16."""
    while len(block) < 4 and (more := os.read(descriptor, _BLOCK) if _may_be_mark(block) else b""):
        block += more
    pairs = block[: 2 * (min(len(block), 256) // 2)]
    nul_every_other = len(pairs) >= 4 and (not any(pairs[0::2]) or not any(pairs[1::2])) and any(pairs)
    if block.startswith((b"\xff\xfe", b"\xfe\xff")) or nul_every_other:
        raise SourceError(f"{name} looks like UTF-16: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)")
    return block.removeprefix(b"\xef\xbb\xbf")


def _may_be_mark(block: bytes) -> bool:
    return any(mark.startswith(block) for mark in (b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff"))


class _Lines:
    """Cuts blocks into lines and lines into requests; keeps at most one unfinished line of `MAX_LINE` bytes."""

    def __init__(self, name: str, first: int) -> None:
        self._name = name
        self._index = first
        self._number = 0
        self._rest = b""
        self._skipping = False
        """Inside a line that is too long already: its row is out, the rest of it is dropped."""

    def feed(self, block: bytes) -> list[Request]:
        """The requests of all lines that end in this block."""
        head, *tail = block.split(b"\n")
        if not tail:
            return self._grow(head)
        batch: list[Request] = []
        if self._skipping:
            self._skipping = False
        else:
            self._line(self._rest + head, batch)
        self._rest = tail.pop()
        for line in tail:
            self._line(line, batch)
        return batch

    def finish(self) -> list[Request]:
        """The request of a last line without a newline."""
        batch: list[Request] = []
        if not self._skipping:
            self._line(self._rest, batch)
        return batch

    def _grow(self, piece: bytes) -> list[Request]:
        if self._skipping:
            return []
        self._rest += piece
        if len(self._rest) <= MAX_LINE + len(b"\r"):
            return []
        batch: list[Request] = []
        self._line(self._rest, batch)
        self._rest = b""
        self._skipping = True
        return batch

    def _line(self, line: bytes, batch: list[Request]) -> None:
        self._number += 1
        line = line.strip()
        if not line or line.startswith(b"#"):
            return
        try:
            if len(line) > MAX_LINE:
                raise ValueError(f"is longer than {MAX_LINE // 1024} KiB")
            if b"\0" in line:
                raise ValueError("holds a NUL byte")
            request = Request(line.decode(), self._index)
        except ValueError as error:
            reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
            fault = Fault(ErrorType.BAD_LINE, f"line {self._number} of {self._name} {reason}")
            request = Request(escaped(line[:SHOWN]), self._index, fault=fault)
        batch.append(request)
        self._index += 1


def escaped(line: bytes) -> str:
    r"""Bytes as text that hides nothing: what is no printable ASCII becomes `\\xNN`."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in line)
