"""
The beginning of a list that is text: its byte order mark taken away, UTF-16 refused.

Knows encodings; it must not know lines.
"""

from __future__ import annotations

from collections.abc import Iterator

from fetchall.errors import SourceError

_LOOKED_AT = 256
"""Bytes by which UTF-16 without a mark is told from text."""
_UTF8, _UTF16 = b"\xef\xbb\xbf", (b"\xff\xfe", b"\xfe\xff")


def unmarked(blocks: Iterator[bytes], name: str) -> Iterator[bytes]:
    """The same bytes without a UTF-8 mark, as they come; raises `SourceError` for what looks like UTF-16."""
    begin = b""
    for block in blocks:
        begin += block
        if not _undecided(begin):
            break
    if begin.startswith(_UTF16) or _every_other_is_nul(begin):
        raise SourceError(f"{name} looks like UTF-16: convert it to UTF-8 (iconv -f UTF-16 -t UTF-8)")
    if begin := begin.removeprefix(_UTF8):
        yield begin
    yield from blocks


def _undecided(begin: bytes) -> bool:
    """More must come before it is known what the list is; of ordinary text two bytes say it."""
    if len(begin) >= _LOOKED_AT:
        return False
    return len(begin) < 2 or begin == _UTF8[:2] or _nul_so_far(begin)


def _nul_so_far(begin: bytes) -> bool:
    return not any(begin[0::2]) or not any(begin[1::2])


def _every_other_is_nul(begin: bytes) -> bool:
    looked_at = begin[:_LOOKED_AT]
    return len(looked_at) >= 4 and any(looked_at) and _nul_so_far(looked_at)
