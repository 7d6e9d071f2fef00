"""
WARC 1.1 (ISO 28500:2017): request and response as on the wire, one gzip member a record. Needs the extra `warc`.

Knows captures and warcio's record heads; it must not know HTTP beyond where a head ends.
"""

from __future__ import annotations

import hashlib
import tempfile
import uuid
from base64 import b32encode
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any

from fetchall import __version__
from fetchall.captures import Capture
from fetchall.places import basename
from fetchall.records import ErrorType
from fetchall.sinks import Ending
from fetchall.sinks.archive import Archive, reopen
from fetchall.sinks.compressed import gzip_compressor, whole_members
from fetchall.sinks.outlet import PartFile

VERSION = "WARC/1.1"
_END = b"\r\n\r\n"
_WHY = {
    ErrorType.TIMEOUT: "time",
    ErrorType.READ_TIMEOUT: "time",
    ErrorType.TOO_LARGE: "length",
    ErrorType.DISCONNECTED: "disconnect",
    ErrorType.TRUNCATED: "disconnect",
}
"""Reasons for a cut body (section 5.13)."""


class Warc(Archive):
    """See `Archive`."""

    def __init__(self, file: PartFile) -> None:
        from warcio.statusandheaders import StatusAndHeaders

        self._head_class: Any = StatusAndHeaders
        self._file = file
        self._begun = False

    def take(self, capture: Capture) -> None:
        """See `Archive`; what no head came back from leaves no record."""
        if capture.response is None:
            return
        self._begin()
        head, size, pieces = capture.response
        with _again(pieces, size) as body:
            response_id = self._response(capture, head, size, body)
        self._request(capture, response_id)

    def go_on(self) -> None:
        """See `Archive`: whole records stay."""
        reopen(self._file)
        with open(self._file.part, "rb") as file:
            size = whole_members(file)
        self._file.rewind(size)
        self._begun = size > 0

    def close(self, ending: Ending) -> None:
        """See `Sink`."""
        self._begin()
        self._file.finish(complete=ending.complete)

    def abort(self) -> None:
        """See `Sink`."""
        self._file.abort()

    def _begin(self) -> None:
        if self._begun:
            return
        self._begun = True
        info = f"software: fetchall/{__version__}\r\nformat: WARC File Format 1.1\r\n"
        info += "conformsTo: http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/\r\n"
        block = info.encode()
        fields = [
            ("WARC-Type", "warcinfo"),
            ("WARC-Record-ID", _record_id()),
            ("WARC-Date", _date(datetime.now(UTC))),
            ("WARC-Filename", basename(self._file.place)),
            ("WARC-Block-Digest", _digest(hashlib.sha1(block, usedforsecurity=False))),
            ("Content-Type", "application/warc-fields"),
            ("Content-Length", str(len(block))),
        ]
        self._put(fields, block, ())

    def _response(self, capture: Capture, head: bytes, size: int, body: Iterable[bytes]) -> str:
        block = hashlib.sha1(head, usedforsecurity=False)
        payload = hashlib.sha1(usedforsecurity=False)
        for piece in body:
            block.update(piece)
            payload.update(piece)
        record_id = _record_id()
        fields = [("WARC-Type", "response"), ("WARC-Record-ID", record_id), *_common(capture)]
        if capture.answer.remote_ip:
            fields.append(("WARC-IP-Address", capture.answer.remote_ip))
        if not capture.whole:
            fault = capture.answer.fault
            fields.append(("WARC-Truncated", _WHY.get(fault.type, "unspecified") if fault else "unspecified"))
        fields += [
            ("WARC-Payload-Digest", _digest(payload)),
            ("WARC-Block-Digest", _digest(block)),
            ("Content-Type", "application/http;msgtype=response"),
            ("Content-Length", str(len(head) + size)),
        ]
        self._put(fields, head, body)
        return record_id

    def _request(self, capture: Capture, response_id: str) -> None:
        block = capture.request
        payload = block.partition(_END)[2]
        fields = [
            ("WARC-Type", "request"),
            ("WARC-Record-ID", _record_id()),
            *_common(capture),
            ("WARC-Concurrent-To", response_id),
            ("WARC-Payload-Digest", _digest(hashlib.sha1(payload, usedforsecurity=False))),
            ("WARC-Block-Digest", _digest(hashlib.sha1(block, usedforsecurity=False))),
            ("Content-Type", "application/http;msgtype=request"),
            ("Content-Length", str(len(block))),
        ]
        self._put(fields, block, ())

    def _put(self, fields: list[tuple[str, str]], head: bytes, body: Iterable[bytes]) -> None:
        """One record, a gzip member of its own."""
        compressor = gzip_compressor()
        start: bytes = self._head_class("", fields, protocol=VERSION).to_bytes(encoding="utf-8") + head
        found = [compressor.compress(start)]
        for piece in body:
            found.append(compressor.compress(piece))
            if len(piece) >= _LARGE:
                self._file.write(b"".join(found))
                found = []
        found += [compressor.compress(_END), compressor.flush()]
        self._file.write(b"".join(found))


_HELD = 1024 * 1024
"""Bytes of a body that are held in memory, to be read twice: for its digest, which comes first, and for itself."""
_LARGE = 256 * 1024


@contextmanager
def _again(pieces: Iterator[bytes], size: int) -> Iterator[Iterable[bytes]]:
    """Pieces that can be gone through more than once: in memory, or on the disk where they are many."""
    if size <= _HELD:
        yield list(pieces)
        return
    with tempfile.TemporaryFile() as file:
        file.writelines(pieces)
        yield _Blocks(file)


class _Blocks:
    """A file's bytes from its beginning, however often."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def __iter__(self) -> Iterator[bytes]:
        self._file.seek(0)
        while block := self._file.read(_HELD):
            yield block


def _common(capture: Capture) -> list[tuple[str, str]]:
    return [
        ("WARC-Target-URI", capture.url),
        ("WARC-Date", _date(capture.started_at)),
        ("Fetchall-Index", str(capture.index)),
    ]


def _record_id() -> str:
    return f"<urn:uuid:{uuid.uuid4()}>"


def _date(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _digest(hashed: Any) -> str:
    return "sha1:" + b32encode(hashed.digest()).decode()
