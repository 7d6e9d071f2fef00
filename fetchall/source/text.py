"""
A list of URLs as text, one a line: blocks of bytes in, batches of requests out.

Knows lines and comments; it must not know what a valid URL is.
"""

from __future__ import annotations

from collections.abc import Iterator

from fetchall.records import Request
from fetchall.source.content import Content
from fetchall.source.maker import MAX_URL, Maker

_TRAILING = 16
"""Blanks, of CRLF and the like, that may follow the longest line."""


def read_text(content: Content, maker: Maker) -> Iterator[list[Request]]:
    """
    Yield what each read gave, so that a slow pipe's first line is a request before its second arrives.

    Blank lines and `#` comments have no request. A line that is not text, or longer than 64 KiB, is a request with
    a fault; memory stays bounded whatever the file holds.
    """
    return Lines(maker, MAX_URL).read(content)


class Lines:
    """Cuts blocks into lines and lines into requests; keeps at most one unfinished line of `longest` bytes."""

    def __init__(self, maker: Maker, longest: int) -> None:
        self._maker = maker
        self._longest = longest
        self._number = 0
        self._rest = b""
        self._skipping = False
        """Inside a line that is too long already: its row is out, the rest of it is dropped."""

    def read(self, content: Content) -> Iterator[list[Request]]:
        """The requests of each block, as it comes."""
        for block in content.text():
            if batch := self._feed(block):
                yield batch
        if batch := self._finish():
            yield batch

    def request(self, place: str, line: bytes) -> Request:
        """What a line asks for."""
        try:
            return self._maker.request(place, line.decode(), raw=line)
        except UnicodeDecodeError:
            return self._maker.bad(place, "is not UTF-8 text", line)

    def _feed(self, block: bytes) -> list[Request]:
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

    def _finish(self) -> list[Request]:
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
        if not self._too_long(self._rest):
            return []
        batch: list[Request] = []
        self._line(self._rest, batch)
        self._rest = b""
        self._skipping = True
        return batch

    def _line(self, line: bytes, batch: list[Request]) -> None:
        self._number += 1
        line = line.lstrip()
        too_long = self._too_long(line)
        line = line.rstrip()
        if not line or line.startswith(b"#"):
            return
        place = f"line {self._number}"
        if too_long or len(line) > self._longest:
            batch.append(self._maker.bad(place, f"is longer than {self._longest // 1024} KiB", line))
        else:
            batch.append(self.request(place, line))

    def _too_long(self, line: bytes) -> bool:
        """Whether a line from its first character on is; few blanks may follow, or they could not be bounded."""
        return len(line) > self._longest + _TRAILING
