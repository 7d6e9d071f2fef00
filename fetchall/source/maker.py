"""
Requests as rows of a list become them: numbered on, with a fault that names file and place where a row is none.

Knows what every form has in common; it must not know any form, nor what a valid URL is.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fetchall.records import ErrorType, Fault, Request
from fetchall.source.globbing import Glob, is_glob

MAX_URL = 64 * 1024
"""Bytes; a longer one is a row with `bad_line`."""
SHOWN = 200
"""Bytes of a bad line that its row shows."""
_BLANKS = " \t\r\n\f\v"


class Reading(NamedTuple):
    """How the lists of a command are to be read."""

    form: str | None = None
    """None: by the ending of each name, else text."""
    url_column: str | None = None
    """None: a column named `url`, or the only one that holds URLs."""
    glob: bool = False
    """Whether URLs may have ranges and braces."""


class Maker:
    """Makes the requests of one source, in order; `index` is the next one's."""

    def __init__(self, name: str, first: int = 0, reading: Reading = Reading()) -> None:  # noqa: B008 (immutable)
        self.name = name
        self.index = first
        self.url_column = reading.url_column
        self._glob = reading.glob

    def request(self, place: str, url: str, *, raw: bytes | None = None, **more: Any) -> Request:
        """A request for what stands at `place` (`line 7`); `more` are fields of `Request`, `raw` the line itself."""
        url = url.strip(_BLANKS)
        if reason := self._reason(url):
            return self.bad(place, reason, raw if raw is not None else url, more.get("input"))
        self.index += 1
        return Request(url, self.index - 1, **more)

    def bad(self, place: str, reason: str, line: bytes | str, columns: dict[str, Any] | None = None) -> Request:
        """A row that is no request; `reason` completes the sentence that begins with the place."""
        if isinstance(line, str):
            line = line[:SHOWN].encode("utf-8", "backslashreplace")
        fault = Fault(ErrorType.BAD_LINE, f"{place} of {self.name} {reason}")
        self.index += 1
        return Request(escaped(line[:SHOWN].rstrip()), self.index - 1, input=columns, fault=fault)

    def _reason(self, url: str) -> str | None:
        if not url:
            return "has no URL"
        if len(url) > MAX_URL or (len(url) > MAX_URL // 4 and len(url.encode("utf-8", "replace")) > MAX_URL):
            return f"is longer than {MAX_URL // 1024} KiB"
        if "\0" in url:
            return "holds a NUL byte"
        if self._glob and is_glob(url):
            try:
                Glob(url)
            except ValueError as error:
                return f"has a broken range or brace: {error}"
        return None


def escaped(line: bytes) -> str:
    r"""Bytes as text that hides nothing: what is no printable ASCII becomes `\\xNN`."""
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else f"\\x{byte:02x}" for byte in line)
