"""
Where a chunked body's sizes and trailers stand, followed beside the parser for the bounds that it does not keep.

Knows RFC 9112 section 7.1; it must not know what the chunks hold.
"""

from __future__ import annotations

import re

MAX_CHUNK = 1 << 48
"""Bytes that one chunk may announce: no server holds more ready, and near 2**64 sizes begin to wrap."""
MAX_BESIDE = 1024 * 1024
"""Bytes of one size line with its extensions, and of all trailers together."""

_tiny = re.compile(
    rb"(?:\r\n(?:%b))++" % b"|".join(b"[%x%X]\\r\\n.{%d}" % (size, size, size) for size in range(1, 16)), re.DOTALL
).match
"""Whole chunks below 16 bytes, each after the end of the one before: a million of them must not cost a second."""
_next = re.compile(rb"(?:\r?\n)?([1-9A-Fa-f][0-9A-Fa-f]{0,11})\r?\n").match
"""The end of a chunk and the next one's plain size: what nearly all of them are."""
_size = re.compile(rb"[ \t]*([0-9A-Fa-f]+)").match
_SHOWN = 64
"""Bytes of a line that are looked at."""


class Chunks:
    """
    One body's chunks, as their bytes come; the parser has seen the same bytes before, and refuses what is malformed.

    What can't be followed is left to it: this never finds fault with what it does not understand.
    """

    __slots__ = ("_beside", "_left", "_line", "_trailers")

    def __init__(self) -> None:
        self._left = 0
        """Bytes of the present chunk that are still to come."""
        self._line = b""
        """How the present line begins."""
        self._beside = 0
        self._trailers = False

    def follow(self, data: bytes, at: int = 0) -> str | None:
        """What is out of bounds, in words, from the position on; None: nothing."""
        end = len(data)
        while at < end:
            if self._left >= end - at:
                self._left -= end - at
                return None
            at += self._left
            self._left = 0
            if not self._line and not self._trailers and (plain := _next(data, at)) is not None:
                self._left = int(plain[1], 16)
                self._beside = 0
                at = plain.end()
                if self._left < 16 and (run := _tiny(data, at + self._left)) is not None:
                    at, self._left = run.end(), 0
                continue
            stop = data.find(b"\n", at)
            upto = end if stop < 0 else stop
            self._line += data[at : min(upto, at + _SHOWN)]
            self._beside += upto - at
            if self._beside > MAX_BESIDE:
                return f"more than {MAX_BESIDE // 1024} KiB beside the chunks themselves"
            if stop < 0:
                return None
            at = stop + 1
            if not self._trailers and (problem := self._announced()):
                return problem
            self._line = b""
        return None

    def _announced(self) -> str | None:
        """Take a line's size; the line that only ends a chunk has none."""
        match = _size(self._line)
        if match is None:
            return None
        self._left = int(match[1], 16)
        self._beside = 0
        self._trailers = self._left == 0
        return f"a chunk of {self._left:,} bytes" if self._left > MAX_CHUNK else None
