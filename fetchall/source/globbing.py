"""
Ranges and braces in a URL, as curl's globbing reads them, unrolled one by one.

Pure: text in, URLs out, `ValueError` with a sentence for people where the pattern is broken. Where curl's manual is
silent, what curl 8 does holds.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from math import prod
from typing import NamedTuple

from fetchall.records import Request

MOST = 100
"""Ranges and braces in one URL, as in curl."""
BATCH = 256
"""Requests that are unrolled at once."""

_special = re.compile(r"[][{}]").search
_numbers = re.compile(r"([0-9]+)-[ \t]*([0-9]+)[ \t]*(?::[ \t]*([0-9]+))?\]").match
_letters = re.compile(r"([A-Za-z])-([A-Za-z])(?::([0-9]+))?\]").match
_ESCAPABLE = "[]{}"
_LARGEST = 2**63 - 1


class _Numbers(NamedTuple):
    """`[001-100:10]`: as wide as its first number where that begins with a zero."""

    first: int
    last: int
    step: int
    width: int

    @property
    def size(self) -> int:
        return (self.last - self.first) // self.step + 1

    def at(self, position: int) -> str:
        return str(self.first + position * self.step).zfill(self.width)


class _Choices(NamedTuple):
    """`{a,b}`, `[a-z]`, or plain text, which is a choice of one."""

    texts: Sequence[str]

    @property
    def size(self) -> int:
        return len(self.texts)

    def at(self, position: int) -> str:
        return self.texts[position]


def is_glob(url: str) -> bool:
    """Whether there is anything in a URL that globbing looks at."""
    return _special(url) is not None


class Glob:
    r"""
    Every URL of a pattern, the rightmost part varying fastest.

    `[1-100:10]` `[001-100]` `[a-z:2]` `{a,b}`; an IPv6 address in brackets and `[]` are themselves, and so is what a
    backslash stands before. Memory follows the pattern, not what it unrolls to.
    """

    def __init__(self, pattern: str) -> None:
        self._parts = list(_parse(pattern))
        if sum(part.size > 1 for part in self._parts) > MOST:
            raise ValueError(f"more than {MOST} ranges and braces")

    @property
    def count(self) -> int:
        """How many URLs it unrolls to."""
        return prod(part.size for part in self._parts)

    def __iter__(self) -> Iterator[str]:
        at = [0] * len(self._parts)
        texts = [part.at(0) for part in self._parts]
        turning = [number for number, part in enumerate(self._parts) if part.size > 1]
        while True:
            yield "".join(texts)
            for number in reversed(turning):
                part = self._parts[number]
                at[number] = (at[number] + 1) % part.size
                texts[number] = part.at(at[number])
                if at[number]:
                    break
            else:
                return


def unrolled(batches: Iterator[list[Request]], first: int) -> Iterator[list[Request]]:
    """The requests of all patterns in batches, numbered anew from `first`; a request with a fault stays one."""
    index = first
    for batch in batches:
        requests = (request for each in batch for request in _each(each))
        while some := list(islice(requests, BATCH)):
            yield [_numbered(request, index + offset) for offset, request in enumerate(some)]
            index += len(some)


def _each(request: Request) -> Iterator[Request]:
    if request.fault is not None or not is_glob(request.url):
        yield request
        return
    for url in Glob(request.url):
        yield _with_url(request, url)


def _with_url(request: Request, url: str) -> Request:
    return Request(url, 0, request.method, request.headers, request.body, request.input)


def _numbered(request: Request, index: int) -> Request:
    if request.index == index:
        return request
    return Request(
        request.url, index, request.method, request.headers, request.body, request.input, fault=request.fault
    )


def _parse(pattern: str) -> Iterator[_Numbers | _Choices]:
    at, literal = 0, ""
    while found := _special(pattern, at):
        start, sign = found.start(), found[0]
        literal += pattern[at:start]
        if literal.endswith("\\") and start > at:
            literal, at = literal[:-1] + sign, start + 1
        elif sign == "[" and (plain := _not_a_range(pattern, start)):
            literal, at = literal + plain, start + len(plain)
        elif sign in "]}":
            raise ValueError(f"{sign!r} at {start + 1} closes nothing: write \\{sign} if it is meant as it stands")
        else:
            yield _Choices((literal,))
            part, at = (_braces if sign == "{" else _range)(pattern, start)
            literal = ""
            yield part
    yield _Choices((literal + pattern[at:],))


def _not_a_range(pattern: str, start: int) -> str | None:
    """What stands in brackets and is no range: nothing at all, as in `?id[]=1`, or an IPv6 address."""
    end = pattern.find("]", start, start + 128)
    inside = pattern[start + 1 : end] if end > 0 else "-"
    if inside:
        try:
            ipaddress.IPv6Address(inside.partition("%")[0])
        except ValueError:
            return None
    return pattern[start : end + 1]


def _range(pattern: str, start: int) -> tuple[_Numbers | _Choices, int]:
    found = _numbers(pattern, start + 1)
    if found is not None:
        if max(map(len, (found[1], found[2], found[3] or ""))) > 19:
            raise ValueError(f"the range at {start + 1} is beyond {_LARGEST}")
        first, last, step = int(found[1]), int(found[2]), int(found[3] or 1)
        _check(start, first, last, step)
        return _Numbers(first, last, step, len(found[1]) if found[1].startswith("0") else 0), found.end()
    found = _letters(pattern, start + 1)
    if found is None:
        raise ValueError(
            f"no range at {start + 1}: write [1-100], [001-100:10] or [a-z], or \\[ for the bracket itself"
        )
    step = int((found[3] or "1")[:9])
    _check(start, ord(found[1]), ord(found[2]), step)
    if found[1].isupper() != found[2].isupper():
        raise ValueError(f"the range at {start + 1} mixes capital and small letters")
    return _Choices([chr(code) for code in range(ord(found[1]), ord(found[2]) + 1, step)]), found.end()


def _check(start: int, first: int, last: int, step: int) -> None:
    if last > _LARGEST:
        raise ValueError(f"the range at {start + 1} is beyond {_LARGEST}")
    if first > last:
        raise ValueError(f"the range at {start + 1} runs backwards")
    if step == 0 or step > max(last - first, 1):
        raise ValueError(f"the range at {start + 1} has a step of {step}: from 1 to {max(last - first, 1)}")


def _braces(pattern: str, start: int) -> tuple[_Choices, int]:
    texts, at = [""], start + 1
    while at < len(pattern):
        sign = pattern[at]
        if sign == "}":
            if at == start + 1:
                raise ValueError(f"nothing stands in the braces at {start + 1}")
            return _Choices(texts), at + 1
        if sign == ",":
            texts.append("")
        elif sign in "{[":
            raise ValueError(f"{sign!r} at {at + 1} stands within braces: they can't be nested")
        elif sign == "]":
            raise ValueError(f"']' at {at + 1} closes nothing: write \\] if it is meant as it stands")
        else:
            if sign == "\\" and at + 1 < len(pattern):
                at += 1
            texts[-1] += pattern[at]
        at += 1
    raise ValueError(f"the brace at {start + 1} is not closed")
