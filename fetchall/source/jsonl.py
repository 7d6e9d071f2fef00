"""
JSON lines: one object, or one URL as a string, a line.

Knows that lines are JSON; what an object may say is `objects.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterator

from fetchall.records import Request
from fetchall.source.content import Content
from fetchall.source.maker import Maker
from fetchall.source.objects import MAX_OBJECT, request_of
from fetchall.source.text import Lines


def read_jsonl(content: Content, maker: Maker) -> Iterator[list[Request]]:
    """As `read_text`: blank lines and `#` comments have no request, a line that is no JSON is one with a fault."""
    return _JsonLines(maker, MAX_OBJECT).read(content)


class _JsonLines(Lines):
    def request(self, place: str, line: bytes) -> Request:
        return request_of(line, place, self._maker)
