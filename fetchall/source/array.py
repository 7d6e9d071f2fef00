"""
A JSON array cut into its elements as its bytes come, without reading it whole.

Knows brackets, strings and commas; what an element says is `objects.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from fetchall.errors import SourceError
from fetchall.records import Request
from fetchall.source.content import Content
from fetchall.source.maker import Maker
from fetchall.source.objects import MAX_OBJECT, request_of

_BLANKS = b" \t\r\n"
_STRING = rb'"(?:[^"\\]++|\\.)*+"'
# Whole strings are skipped with all else that can't end an element; where one goes on in the next block, it is a sign.
_to_sign = re.compile(rb'(?:[^"\[\]{},]++|' + _STRING + rb")*+", re.DOTALL).match
_to_bracket = re.compile(rb'(?:[^"\[\]{}]++|' + _STRING + rb")*+", re.DOTALL).match
_in_string = re.compile(rb'["\\]').search


class _Element(NamedTuple):
    line: int
    """Where it begins, from 1."""
    text: bytes
    too_long: bool


def read_json(content: Content, maker: Maker) -> Iterator[list[Request]]:
    """
    One row an element: an object, or a URL as a string; an element that is neither is one with a fault.

    Raises `SourceError` for what is no array, or ends before its array does.
    """
    elements = _Elements(content.name)
    for block in content.text():
        if batch := [_request(element, maker) for element in elements.feed(block)]:
            yield batch
    elements.finish()


def _request(element: _Element, maker: Maker) -> Request:
    place = f"line {element.line}"
    if element.too_long:
        return maker.bad(place, f"holds an element longer than {MAX_OBJECT // 1024**2} MiB", element.text)
    return request_of(element.text, place, maker)


class _Elements:
    """Finds the commas between elements; keeps at most one element of 1 MiB, and one block."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._begun = self._over = False
        self._depth = 0
        """Of brackets within the element under way."""
        self._quoted = self._escaped = False
        self._line = 1
        self._start = 1
        """The line where the element under way begins; 0 until its first character comes."""
        self._text = bytearray()
        self._too_long = False

    def feed(self, block: bytes) -> list[_Element]:
        """The elements that end in this block."""
        found: list[_Element] = []
        at = 0
        if not self._begun:
            block = self._open(block)
        while at < len(block):
            if self._over:
                self._after(block[at:])
                break
            at = self._string(block, at) if self._quoted else self._plain(block, at, found)
        return found

    def finish(self) -> None:
        """Raise `SourceError` if the array has no end."""
        if self._begun and not self._over:
            raise SourceError(f"{self._name} ends within its array, at line {self._line}; what came before was read")

    def _open(self, block: bytes) -> bytes:
        rest = block.lstrip(_BLANKS)
        self._line += block[: len(block) - len(rest)].count(b"\n")
        if rest and not rest.startswith(b"["):
            raise SourceError(f"{self._name} is no JSON array: for one value a line, say --input-format jsonl")
        if rest:
            self._begun, self._start = True, 0
        return rest[1:]

    def _after(self, rest: bytes) -> None:
        if rest.strip(_BLANKS):
            raise SourceError(f"{self._name} goes on after its array, which ends in line {self._line}")

    def _string(self, block: bytes, at: int) -> int:
        """Go on within a string, as far as its end or the block's."""
        start = at
        if self._escaped:
            self._escaped = False
            at += 1
        while found := _in_string(block, at):
            at = found.end()
            if found[0] == b'"':
                self._quoted = False
                break
            if at == len(block):
                self._escaped = True
                break
            at += 1
        else:
            at = len(block)
        self._keep(block[start:at])
        return at

    def _plain(self, block: bytes, at: int, found: list[_Element]) -> int:
        """Go on outside of strings, up to the next sign that matters and past it."""
        skipped = (_to_bracket if self._depth else _to_sign)(block, at)
        assert skipped is not None
        stop = skipped.end()
        sign, end = block[stop : stop + 1], min(stop + 1, len(block))
        closing = self._depth == 0 and sign in (b",", b"]")
        self._keep(block[at : end - closing])
        if closing:
            self._close(sign, found)
        elif sign == b'"':
            self._quoted = True
        elif sign in (b"[", b"{"):
            self._depth += 1
        elif sign in (b"]", b"}"):
            self._depth = max(self._depth - 1, 0)
        return end

    def _close(self, sign: bytes, found: list[_Element]) -> None:
        self._over = sign == b"]"
        text = bytes(self._text).rstrip(_BLANKS)
        if text or not self._over:  # a comma before the end is let pass, as people write it
            found.append(_Element(self._start or self._line, text, self._too_long))
        self._text.clear()
        self._start, self._too_long = 0, False

    def _keep(self, piece: bytes) -> None:
        if not self._start:
            rest = piece.lstrip(_BLANKS)
            self._line += piece[: len(piece) - len(rest)].count(b"\n")
            if not rest:
                return
            piece, self._start = rest, self._line
        self._line += piece.count(b"\n")
        room = MAX_OBJECT - len(self._text)
        if len(piece) > room and len(bytes(piece).rstrip(_BLANKS)) > room:
            self._too_long = True
        self._text += piece[: max(room, 0)]
