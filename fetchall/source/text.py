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
_TRAILING = 16
"""Blanks, of CRLF and the like, that may follow the longest line."""
SHOWN = 200
"""Bytes of a bad line that its row shows."""
_BLOCK = 64 * 1024
_LOOKED_AT = 256
"""Bytes by which UTF-16 without a mark is told from text."""


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
    while _undecided(block) and (more := os.read(descriptor, _BLOCK)):
        block += more
    if block.startswith((b"\xff\xfe", b"\xfe\xff")) or _every_other_is_nul(block):
        raise SourceError(f"{name} looks like UTF-16: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)")
    return block.removeprefix(b"\xef\xbb\xbf")


def _undecided(block: bytes) -> bool:
    """More must come before it is known what the list is; of ordinary text two bytes say it."""
    if len(block) >= _LOOKED_AT:
        return False
    return len(block) < 2 or block == b"\xef\xbb" or _nul_so_far(block)


def _nul_so_far(block: bytes) -> bool:
    return not any(block[0::2]) or not any(block[1::2])


def _every_other_is_nul(block: bytes) -> bool:
    pairs = block[: 2 * (min(len(block), _LOOKED_AT) // 2)]
    return len(pairs) >= 4 and any(pairs) and _nul_so_far(pairs)


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
        # Blanks that lead are let go, so that a line is judged alike in whatever pieces it comes.
        self._rest = (self._rest + piece).lstrip()
        if not _too_long(self._rest):
            return []
        batch: list[Request] = []
        self._line(self._rest, batch)
        self._rest = b""
        self._skipping = True
        return batch

    def _line(self, line: bytes, batch: list[Request]) -> None:
        self._number += 1
        line = line.lstrip()
        too_long = _too_long(line)
        line = line.rstrip()
        if not line or line.startswith(b"#"):
            return
        try:
            if too_long or len(line) > MAX_LINE:
                raise ValueError(f"is longer than {MAX_LINE // 1024} KiB")
            if b"\0" in line:
                raise ValueError("holds a NUL byte")
            request = Request(line.decode(), self._index)
        except ValueError as error:
            reason = "is not UTF-8 text" if isinstance(error, UnicodeDecodeError) else str(error)
            fault = Fault(ErrorType.BAD_LINE, f"line {self._number} of {self._name} {reason}")
            request = Request(escaped(line[:SHOWN].rstrip()), self._index, fault=fault)
        batch.append(request)
        self._index += 1


def _too_long(line: bytes) -> bool:
    """Whether a line from its first character on is; few blanks may follow, or they could not be bounded."""
    return len(line) > MAX_LINE + _TRAILING


def escaped(line: bytes) -> str:
    r"""Bytes as text that hides nothing: what is no printable ASCII becomes `\\xNN`."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in line)
