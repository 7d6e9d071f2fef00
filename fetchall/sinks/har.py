"""
HAR 1.2: every hop as an entry, written as it comes; opens in a browser's developer tools.

Knows captures and the format (W3C Web Performance, HTTP Archive, 14 August 2012); it must not know how bytes are
stored.
"""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from fetchall import __version__
from fetchall.body_form import media_type, text_of
from fetchall.captures import Capture
from fetchall.rows import dumps, loads, look_for_memory
from fetchall.sinks import Ending
from fetchall.sinks.archive import Archive, reopen
from fetchall.sinks.flat import time_text
from fetchall.sinks.outlet import PartFile

_CREATOR = dumps({"name": "fetchall", "version": __version__})
_BEGINNING = b'{"log":{"version":"1.2","creator":'
HEAD = _BEGINNING + _CREATOR + b',"pages":[],"entries":[\n'
TAIL = b"]}}\n"
_NONE = -1
"""HAR's word for a size or a phase that there is not."""


class Har(Archive):
    """See `Archive`. An entry stands on a line of its own, which is how an unfinished archive is read again."""

    def __init__(self, file: PartFile) -> None:
        self._file = file
        self._begun = self._more = False
        self._sound = 0
        """Bytes of whole entries."""

    @property
    def exists(self) -> bool:
        """See `Archive`."""
        return self._file.finished()

    @property
    def named(self) -> list[str]:
        """See `Archive`."""
        return [self._file.path]

    def check(self) -> None:
        """See `Archive`: any is gone on with."""

    def begin(self) -> None:
        """See `Archive`."""
        self._file.rewind()
        self._begin()

    def store(self, capture: Capture) -> None:
        """See `Archive`."""
        look_for_memory(capture.body)
        line = dumps(entry(capture))
        self._begin()
        self._sound = os.lseek(self._file.descriptor, 0, os.SEEK_CUR)
        self._file.write((b"," if self._more else b"") + line + b"\n")
        self._more = True

    def take_back(self) -> None:
        """See `Archive`."""
        self._file.rewind(self._sound)

    def go_on(self) -> None:
        """See `Archive`: whole entries stay."""
        reopen(self._file)
        self._keep_entries()
        self._begin()

    def sync(self) -> None:
        """See `Archive`."""
        os.fsync(self._file.descriptor)

    def _keep_entries(self) -> None:
        with open(self._file.part, "rb") as file:
            head = file.readline()
            if not (head.startswith(_BEGINNING) and head.endswith(b"[\n")):
                self._file.rewind()
                return
            self._begun = True
            size = len(head)
            for line in file:
                if not _is_entry(line):
                    break
                size += len(line)
                self._more = True
        self._file.rewind(size)

    def close(self, ending: Ending) -> None:
        """See `Sink`."""
        self._begin()
        self._file.write(TAIL)
        self._file.finish(complete=ending.complete)

    def abort(self) -> None:
        """See `Sink`."""
        self._file.abort()

    def drop(self) -> None:
        """See `Archive`: there is nothing else."""

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            self._file.write(HEAD)


def entry(capture: Capture) -> dict[str, Any]:
    """One entry; where no answer came its status is 0, as browsers write it, and `_error` says why."""
    answer = capture.answer
    found: dict[str, Any] = {
        "startedDateTime": time_text(capture.started_at),
        "time": capture.elapsed * 1000,
        "request": _request(capture),
        "response": _response(capture),
        "cache": {},
        "timings": _timings(capture),
        "_index": capture.index,
    }
    if answer.remote_ip is not None and not capture.proxied:
        found["serverIPAddress"] = answer.remote_ip
    if answer.fault is not None:
        found["_error"] = f"{answer.fault.type}: {answer.fault.message}"
    return found


def _request(capture: Capture) -> dict[str, Any]:
    head, _, body = capture.request.partition(b"\r\n\r\n")
    headers = _headers(head)
    found: dict[str, Any] = {
        "method": capture.method,
        "url": capture.url,
        "httpVersion": "HTTP/1.1",
        "cookies": [],
        "headers": headers,
        "queryString": _pairs(urlsplit(capture.url).query),
        "headersSize": len(head) + 4 if head else _NONE,
        "bodySize": len(body),
    }
    if body:
        found["postData"] = _posted(body, next((each["value"] for each in headers if _is_type(each)), ""))
    return found


def _posted(body: bytes, kind: str) -> dict[str, Any]:
    """Text as it was sent, and the parameters of a form beside it, as browsers do; what is no text is base64."""
    found: dict[str, Any] = {"mimeType": kind}
    try:
        found["text"] = body.decode()
    except UnicodeDecodeError:
        return found | {"text": b64encode(body).decode(), "_encoding": "base64"}
    if media_type(kind)[0] == "application/x-www-form-urlencoded":
        found["params"] = _pairs(found["text"])
    return found


def _content(capture: Capture) -> dict[str, Any]:
    answer = capture.answer
    found: dict[str, Any] = {"size": answer.size or 0, "mimeType": answer.content_type or "x-unknown"}
    if capture.body is not None:
        text = text_of(capture.body, answer.content_type)
        found |= {"text": b64encode(capture.body).decode(), "encoding": "base64"} if text is None else {"text": text}
    return found


def _pairs(query: str) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in parse_qsl(query, keep_blank_values=True)]


def _is_type(header: dict[str, str]) -> bool:
    return header["name"].lower() == "content-type"


def _response(capture: Capture) -> dict[str, Any]:
    answer = capture.answer
    head = capture.response[0] if capture.response is not None else b""
    headers = _headers(head)
    location = next((each["value"] for each in headers if each["name"].lower() == "location"), "")
    line = head.partition(b"\n")[0].decode("latin-1").strip().split(" ", 2)
    return {
        "status": answer.status or 0,
        "statusText": line[2] if len(line) > 2 else "",
        "httpVersion": f"HTTP/{answer.http_version}" if answer.http_version else "unknown",
        "cookies": [],
        "headers": headers,
        "content": _content(capture),
        "redirectURL": location,
        "headersSize": len(head) or _NONE,
        "bodySize": _NONE if answer.wire_size is None else answer.wire_size,
    }


def _headers(head: bytes) -> list[dict[str, str]]:
    found = []
    for line in head.decode("latin-1").split("\n")[1:]:
        name, colon, value = line.partition(":")
        if colon:
            found.append({"name": name.strip(), "value": value.strip()})
    return found


def _timings(capture: Capture) -> dict[str, float]:
    """Milliseconds; `send`, `wait` and `receive` must be there, and together with the others make `time`."""
    phases = capture.answer.timings
    if phases is None:
        wait = min(capture.answer.ttfb if capture.answer.ttfb is not None else capture.elapsed, capture.elapsed)
        return {"send": 0, "wait": wait * 1000, "receive": (capture.elapsed - wait) * 1000}
    found: dict[str, float] = {
        name: _NONE if value is None else value * 1000
        for name, value in (("dns", phases.dns), ("connect", phases.connect))
    }
    for name, value in (("send", phases.send), ("wait", phases.wait), ("receive", phases.receive)):
        found[name] = (value or 0) * 1000
    known = sum(value for value in found.values() if value > 0)
    found["blocked"] = max(capture.elapsed * 1000 - known, 0)
    return found


def _is_entry(line: bytes) -> bool:
    try:
        return line.endswith(b"\n") and "startedDateTime" in loads(line.removeprefix(b","))
    except (ValueError, TypeError):
        return False
