"""
Reading what a client sends, byte by byte, and noting all that a correct client would not send.

Pure: bytes in, a request and a list of anomalies out. Knows nothing of sockets and answers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_HEADER_LINES = 24
"""More than any request of fetchall's needs: beyond it, something was injected."""
_REQUEST_LINE = re.compile(rb"([A-Z][A-Z-]*) ([\x21-\x7e]+) (HTTP/1\.1)")
_TOKEN = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_CONTROL = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_ONCE = (b"host", b"content-length", b"transfer-encoding", b"content-type", b"user-agent", b"authorization", b"cookie")


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head, such as it came; what was wrong with it stands in `anomalies`."""

    method: str
    target: str
    version: str
    headers: tuple[tuple[str, str], ...]
    anomalies: tuple[str, ...]

    def value(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), None)

    @property
    def length(self) -> int:
        """Bytes of body that Content-Length announces; 0 where there is none or none that can be read."""
        text = self.value("content-length") or "0"
        return int(text) if text.isascii() and text.isdigit() else 0

    @property
    def chunked(self) -> bool:
        """Whether the body comes in chunks."""
        return (self.value("transfer-encoding") or "").lower() == "chunked"


def parse_head(raw: bytes, max_lines: int = MAX_HEADER_LINES) -> Head:
    """A head, its final blank line excluded (RFC 9112, sections 3 and 5)."""
    anomalies: list[str] = []
    if raw.startswith((b"\r", b"\n", b" ")):
        anomalies.append(f"bytes before a request: {raw[:40]!r}")
        raw = raw.lstrip(b"\r\n ")
    line, *lines = raw.split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        anomalies.append(f"bad request line: {line[:200]!r}")
    elif b"#" in match[2]:
        anomalies.append(f"a fragment on the wire: {line[:200]!r}")
    method, target, version = match.groups() if match else _rough(line)
    headers = _headers(lines, anomalies, max_lines)
    if version == b"HTTP/1.1" and not any(name.lower() == b"host" for name, _ in headers):
        anomalies.append(f"no Host: {line[:200]!r}")
    return Head(
        method.decode("latin-1"),
        target.decode("latin-1"),
        version.decode("latin-1"),
        tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers),
        tuple(anomalies),
    )


def _headers(lines: list[bytes], anomalies: list[str], max_lines: int) -> list[tuple[bytes, bytes]]:
    headers = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not _TOKEN.fullmatch(name) or _CONTROL.search(value):
            anomalies.append(f"bad header line: {line[:200]!r}")
        if name.lower() == b"x-injected":
            anomalies.append(f"an injected header: {line[:200]!r}")
        headers.append((name, value.strip(b" \t")))
    names = [name.lower() for name, _ in headers]
    anomalies += [f"{name!r} stands {names.count(name)} times" for name in _ONCE if names.count(name) > 1]
    if b"content-length" in names and b"transfer-encoding" in names:
        anomalies.append("both Content-Length and Transfer-Encoding")
    if len(lines) > max_lines:
        anomalies.append(f"{len(lines)} header lines, more than {max_lines}")
    return headers


def _rough(line: bytes) -> tuple[bytes, bytes, bytes]:
    """The parts of a line that is no request line, for the record."""
    method, _, rest = line.partition(b" ")
    target, _, version = rest.rpartition(b" ")
    return method, target or rest, version
