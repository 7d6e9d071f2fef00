"""
WARC 1.1 (ISO 28500:2017): request and response as on the wire, one gzip member a record. Needs the extra `warc`.

Knows captures and warcio's record heads; it must not know HTTP beyond where a head ends.
"""

from __future__ import annotations

import hashlib
import re
import uuid
from base64 import b32encode
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import IO, Any

from fetchall import __version__
from fetchall.captures import Capture
from fetchall.records import ErrorType
from fetchall.sinks import Ending
from fetchall.sinks.archive import Archive
from fetchall.sinks.cdxj import Index, Place
from fetchall.sinks.compressed import gzip_compressor, whole_members
from fetchall.sinks.onefile import Files

VERSION = "WARC/1.1"
INDEX = "Fetchall-Index"
"""A field of our own: the index of the row."""
_END = b"\r\n\r\n"
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_INDEXED = "WARC-Target-URI", "WARC-Date", "WARC-Payload-Digest"
_WHY = {
    ErrorType.TIMEOUT: "time",
    ErrorType.READ_TIMEOUT: "time",
    ErrorType.TOO_LARGE: "length",
    ErrorType.DISCONNECTED: "disconnect",
    ErrorType.TRUNCATED: "disconnect",
}
"""Reasons for a cut body (section 5.13)."""
_LARGE = 256 * 1024
"""Bytes of a piece that is written at once."""
_HEADS = 2048
"""Bytes of two records' own heads, their URLs apart."""


class Warc(Archive):
    """
    See `Archive`.

    An answer's record is followed by its request's, in the same file: there the next file may begin, and there an
    unfinished one is gone on with. No record refers to one elsewhere (`revisit`), so each file is of use alone.
    """

    def __init__(self, files: Files, index: Index | None) -> None:
        from warcio.statusandheaders import StatusAndHeaders

        self._head_class: Any = StatusAndHeaders
        self._files = files
        self._index = index
        self._begun = self._used = False
        self._sound = 0
        """Bytes of whole pairs of records in the file that is written now."""

    @property
    def exists(self) -> bool:
        """See `Archive`."""
        return self._files.exists

    @property
    def named(self) -> list[str]:
        """See `Archive`."""
        return [*self._files.named, *([] if self._index is None else [self._index.path])]

    def check(self) -> None:
        """See `Archive`."""
        self._files.check()

    def begin(self) -> None:
        """See `Archive`."""
        self._files.begin()
        self._begin()

    def go_on(self) -> None:
        """See `Archive`."""
        there = self._files.go_on(self._whole, finished=self._index is not None)
        self._sound = self._files.size
        self._begun = self._used = self._sound > 0
        if not there:
            self._begin()

    def store(self, capture: Capture) -> None:
        """See `Archive`; what no head came back from leaves no record."""
        if capture.response is None:
            return
        head, size, body = capture.response
        if self._used and self._files.full(_most(len(head) + size + len(capture.request) + 2 * len(capture.url))):
            self._begun = False
        self._begin()
        self._used = True
        response_id = self._response(capture, head, size, body)
        self._request(capture, response_id)
        self._sound = self._files.size

    def take_back(self) -> None:
        """See `Archive`."""
        self._files.rewind(self._sound)

    def sync(self) -> None:
        """See `Archive`."""
        self._files.sync()

    def close(self, ending: Ending) -> None:
        """See `Sink`; the index is named after what it speaks of."""
        indexed = False
        try:
            if self._index is not None and ending.complete:
                self._index.write()
                indexed = True
        finally:
            self._files.finish(complete=ending.complete and (indexed or self._index is None))
            if self._index is not None:
                self._index.close()
        if indexed and self._index is not None:
            self._index.finish()

    def abort(self) -> None:
        """See `Sink`."""
        self._files.abort()
        if self._index is not None:
            self._index.close()

    def drop(self) -> None:
        """See `Archive`."""
        self._files.drop()

    def _begin(self) -> None:
        """Each file is told of first."""
        if self._begun:
            return
        self._files.next()
        self._begun, self._used, self._sound = True, False, 0
        info = f"software: fetchall/{__version__}\r\nformat: WARC File Format 1.1\r\n"
        info += "conformsTo: http://iipc.github.io/warc-specifications/specifications/warc-format/warc-1.1/\r\n"
        block = info.encode()
        fields = [
            ("WARC-Type", "warcinfo"),
            ("WARC-Record-ID", _record_id()),
            ("WARC-Date", _date(datetime.now(UTC))),
            ("WARC-Filename", _text(self._files.name)),
            ("WARC-Block-Digest", _digest(hashlib.sha1(block, usedforsecurity=False))),
            ("Content-Type", "application/warc-fields"),
            ("Content-Length", str(len(block))),
        ]
        self._put(fields, block, ())
        self._sound = self._files.size

    def _response(self, capture: Capture, head: bytes, size: int, body: Iterable[bytes]) -> str:
        block = hashlib.sha1(head, usedforsecurity=False)
        payload = hashlib.sha1(usedforsecurity=False)
        for piece in body:
            block.update(piece)
            payload.update(piece)
        record_id, digest = _record_id(), _digest(payload)
        fields = [("WARC-Type", "response"), ("WARC-Record-ID", record_id), *_common(capture)]
        if not capture.whole:
            fault = capture.answer.fault
            fields.append(("WARC-Truncated", _WHY.get(fault.type, "unspecified") if fault else "unspecified"))
        fields += [
            ("WARC-Payload-Digest", digest),
            ("WARC-Block-Digest", _digest(block)),
            ("Content-Type", "application/http;msgtype=response"),
            ("Content-Length", str(len(head) + size)),
        ]
        place = self._put(fields, head, body)
        if self._index is not None:
            self._index.add(capture.url, _date(capture.started_at), digest, head, place)
        return record_id

    def _request(self, capture: Capture, response_id: str) -> None:
        block = capture.request
        payload = block.partition(_END)[2]
        fields = [
            ("WARC-Type", "request"),
            ("WARC-Record-ID", _record_id()),
            *_common(capture),
            ("WARC-Concurrent-To", response_id),
        ]
        if payload:
            fields.append(("WARC-Payload-Digest", _digest(hashlib.sha1(payload, usedforsecurity=False))))
        fields += [
            ("WARC-Block-Digest", _digest(hashlib.sha1(block, usedforsecurity=False))),
            ("Content-Type", "application/http;msgtype=request"),
            ("Content-Length", str(len(block))),
        ]
        self._put(fields, block, ())

    def _put(self, fields: list[tuple[str, str]], head: bytes, body: Iterable[bytes]) -> Place:
        """One record, a gzip member of its own; where it is."""
        compressor = gzip_compressor()
        offset = self._files.size
        start: bytes = self._head_class("", fields, protocol=VERSION).to_bytes(encoding="utf-8") + head
        found = [compressor.compress(start)]
        for piece in body:
            found.append(compressor.compress(piece))
            if len(piece) >= _LARGE:
                self._files.write(b"".join(found))
                found = []
        found += [compressor.compress(_END), compressor.flush()]
        self._files.write(b"".join(found))
        return Place(self._files.name, offset, self._files.size - offset)

    def _whole(self, name: str, file: IO[bytes]) -> int:
        """Bytes up to where a request's record ends; every answer up to there is indexed."""
        size = 0
        answer: tuple[str, str, str, bytes, Place] | None = None
        for start, end, beginning in whole_members(file):
            lines, _, block = beginning.partition(_END)
            fields = dict(line.partition(": ")[::2] for line in lines.decode("utf-8", "replace").split("\r\n")[1:])
            if fields.get("WARC-Type") == "response":
                url, date, digest = (fields.get(key, "") for key in _INDEXED)
                answer = url, date, digest, _HEAD_END.split(block, maxsplit=1)[0], Place(name, start, end - start)
                if INDEX in fields:
                    continue  # its request is to come
            size = end
            if self._index is not None and answer is not None:
                self._index.add(*answer)
            answer = None
        return size


def _most(size: int) -> int:
    """More bytes than a pair of records takes, however badly it is compressed."""
    return size + (size >> 8) + _HEADS


def _common(capture: Capture) -> list[tuple[str, str]]:
    fields = [
        ("WARC-Target-URI", capture.url),
        ("WARC-Date", _date(capture.started_at)),
        (INDEX, str(capture.index)),
    ]
    if capture.answer.remote_ip and not capture.proxied:
        fields.append(("WARC-IP-Address", capture.answer.remote_ip))
    return fields


def _record_id() -> str:
    return f"<urn:uuid:{uuid.uuid4()}>"


def _date(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _digest(hashed: Any) -> str:
    return "sha1:" + b32encode(hashed.digest()).decode()


def _text(name: str) -> str:
    """A file's name as a field may hold it."""
    return "".join(letter if letter.isprintable() else "?" for letter in name)
