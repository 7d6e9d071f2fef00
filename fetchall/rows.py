"""
A result as a row: the one flat schema of JSON, JSONL, CSV and Parquet.

Knows the row's keys and their order; it must not know where rows are written.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import orjson

from fetchall.body_form import body_fields
from fetchall.options import Options
from fetchall.records import Request, Result, Summary, Timing, Timings, Try

SCHEMA = "fetchall/1"
_LARGE = 256 * 1024
"""Bytes of a body from which on memory may be short for its JSON."""
_OPTIONS = orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS


@dataclass(frozen=True, slots=True)
class Columns:
    """Which keys a row has beside those that are always present."""

    headers: bool = False
    timings: bool = False
    sha256: bool = False
    body: bool = False
    dedupe: bool = False
    refresh: bool = False
    file: bool = False
    input: bool = False
    """The list has further columns. Rows that have some show them in any case; forms with a header must know before."""

    @classmethod
    def of(cls, options: Options, *, input: bool = False) -> Columns:
        """The columns that a run's options ask for; `input`: the list has further ones."""
        return cls(
            headers=options.headers,
            timings=options.timings,
            sha256=options.sha256 or options.body or options.bodies is not None or options.refresh is not None,
            body=options.body,
            dedupe=options.dedupe,
            refresh=options.refresh is not None,
            file=options.bodies is not None,
            input=input,
        )


PLAIN = Columns()


class Row:
    """One result with its row as a mapping and as JSON, each built at most once."""

    __slots__ = ("_columns", "_fields", "_json", "place", "result")

    def __init__(self, result: Result, columns: Columns) -> None:
        self.result = result
        self.place = -1
        """Where the run's journal has it, in bytes; -1: there is none."""
        self._columns = columns
        self._fields: dict[str, Any] | None = None
        self._json: bytes | None = None

    @property
    def index(self) -> int:
        """Position in the input."""
        return self.result.request.index

    @property
    def fields(self) -> dict[str, Any]:
        """The row's keys and values."""
        if self._fields is None:
            self._fields = fields(self.result, self._columns)
        return self._fields

    @property
    def json(self) -> bytes:
        """The row as one line of JSON, without the newline."""
        if self._json is None:
            fields = self.fields
            look_for_memory(self.result.body)
            self._json = dumps(fields)
        return self._json


class OldRow(Row):
    """A row of an earlier run, as its journal has it; there is no `result`, and its fields are plain JSON values."""

    __slots__ = ("_index",)

    def __init__(self, index: int, line: bytes, place: int) -> None:
        self._index = index
        self._json = line
        self._fields = None
        self.place = place

    @property
    def index(self) -> int:
        """Position in the input."""
        return self._index

    @property
    def fields(self) -> dict[str, Any]:
        """The row's keys and values."""
        if self._fields is None:
            self._fields = orjson.loads(self.json)
        return self._fields


def fields(result: Result, columns: Columns) -> dict[str, Any]:
    """The row of a result: every key of `columns`, in the documented order."""
    row: dict[str, Any] = {
        "index": result.request.index,
        "url": result.url,
        "final_url": result.final_url,
        "method": result.method,
        "status": result.status,
        "ok": result.ok,
        "error_type": result.error_type,
        "error": result.error,
        "attempts": result.attempts,
        "redirects": result.redirects,
        "started_at": result.started_at,
        "elapsed": _round(result.elapsed),
        "ttfb": _round(result.ttfb),
        "size": result.size,
        "wire_size": result.wire_size,
        "content_type": result.content_type,
        "http_version": result.http_version,
        "remote_ip": result.remote_ip,
    }
    if columns is PLAIN and result.request.input is None:
        return row
    if columns.headers:
        row["headers"] = result.headers
        row["history"] = [dataclasses.asdict(hop) for hop in result.history or ()]
    if columns.timings:
        row["timings"] = _timings(result.timings)
        row["reused"] = result.reused
        row["tries"] = [_try(each) for each in result.tries or ()]
    if columns.sha256:
        row["sha256"] = result.sha256
    if columns.body:
        row.update(body_fields(result))
    if columns.dedupe:
        row["duplicate_of"] = result.duplicate_of
    if columns.refresh:
        row["refresh"] = result.refresh
        row["etag"] = result.etag
        row["last_modified"] = result.last_modified
    if columns.file or result.file is not None:
        row["file"] = result.file
    if columns.input or result.request.input is not None:
        row["input"] = result.request.input
    return row


def names(columns: Columns) -> tuple[str, ...]:
    """The keys of every row with these columns, in their order."""
    return tuple(fields(Result(Request(""), "GET", ""), columns))


def keys(columns: Columns) -> frozenset[str]:
    """The keys of every row with these columns."""
    return frozenset(names(columns))


def look_for_memory(body: bytes | None) -> None:
    """Raise MemoryError where there is not enough for a body's JSON: orjson does not look, and ends the process."""
    if body is not None and len(body) > _LARGE:
        bytearray(4 * len(body))


def dumps(value: Any) -> bytes:
    """JSON in one line; what is not Unicode text (a lone surrogate from somewhere) is escaped, never an error."""
    try:
        return orjson.dumps(value, option=_OPTIONS)
    except TypeError:
        return orjson.dumps(_plain(value), option=_OPTIONS)


def loads(line: bytes) -> Any:
    """What a line of JSON holds; ValueError where it is none."""
    return orjson.loads(line)


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_plain(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return str(value)
    if value is None or isinstance(value, (bool, int, float)) or hasattr(value, "isoformat"):
        return value
    return str(value)


def _round(seconds: float | None) -> float | None:
    """Microseconds are the clock's own grain; more digits are noise in every row."""
    return None if seconds is None else round(seconds, 6)


_PHASES = tuple(field.name for field in dataclasses.fields(Timings))


def _timings(timings: Timings | None) -> dict[str, float | None] | None:
    if timings is None:
        return None
    return {name: _round(getattr(timings, name)) for name in _PHASES}


def _try(attempt: Try) -> dict[str, Any]:
    return {
        "started_at": attempt.started_at,
        "elapsed": _round(attempt.elapsed),
        "status": attempt.status,
        "error_type": attempt.error_type,
        "wait": _round(attempt.wait),
    }


def summary_fields(summary: Summary) -> dict[str, Any]:
    """The document's `summary`."""
    found = dataclasses.asdict(summary)
    if summary.refresh is None:
        del found["refresh"]
    found["elapsed"] = _round(summary.elapsed)
    found["requests_per_second"] = _round(summary.requests_per_second)
    if summary.latency is not None:
        found["latency"] = {name: _round(value) for name, value in dataclasses.asdict(summary.latency).items()}
    return found


def summary_document(summary: Summary, timing: Timing) -> bytes:
    """Both, as a document of their own."""
    return dumps({"summary": summary_fields(summary), "timing": timing_fields(timing)})


def timing_fields(timing: Timing) -> dict[str, Any]:
    """The document's `timing`."""
    concurrent, sequential = timing.concurrent, timing.sequential
    return {
        "async": {
            "elapsed": _round(concurrent.elapsed),
            "requests_per_second": _round(concurrent.requests_per_second),
            "concurrency": concurrent.concurrency,
        },
        "sync": {
            "elapsed": _round(sequential.elapsed),
            "requests_per_second": _round(sequential.requests_per_second),
            "measured": sequential.measured,
        },
        "speedup": _round(timing.speedup),
    }
