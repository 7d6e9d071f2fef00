"""
Parquet: an explicit schema, zstd, row groups written as the run goes. Needs the extra `parquet`.

Knows rows and Arrow; it must not know HTTP, nor how the bytes are stored.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from fetchall.rows import SCHEMA, Columns, Row, dumps, names
from fetchall.sinks import Ending
from fetchall.sinks.flat import text
from fetchall.sinks.outlet import Outlet

GROUP = 20_000
"""Rows of one group at most: some 30 ms to encode,"""
GROUP_BYTES = 32 * 1024 * 1024
"""and how much of them is held in memory, as Arrow has it."""
BATCH = 512
"""Rows that wait as Python objects, at most,"""
BATCH_BYTES = 4 * 1024 * 1024
"""and the bytes of their bodies."""


class Parquet:
    """See `Sink`. The footer comes last, so that a file of a run that was killed is made anew when that goes on."""

    def __init__(self, outlet: Outlet, columns: Columns) -> None:
        self._outlet = outlet
        self._schema = schema(columns)
        self._convert = {name: _CONVERT.get(name) for name in self._schema.names}
        self._into = _Into(outlet)
        self._writer: Any = None
        self._rows: list[Mapping[str, Any]] = []
        self._weight = 0
        self._batches: list[Any] = []
        self._held = self._bytes = 0

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`."""
        for row in rows:
            fields = row.fields
            assert "input" not in fields or "input" in self._convert, "the output was not told of the list's columns"
            self._rows.append(fields)
            self._weight += fields["size"] or 0
            if len(self._rows) >= BATCH or self._weight >= BATCH_BYTES:
                self._batch()
        return False

    def close(self, ending: Ending) -> None:
        """See `Sink`."""
        self._batch()
        self._group()
        self._open().close()
        self._outlet.finish(complete=ending.complete)

    def abort(self) -> None:
        """See `Sink`."""
        self._into.closed = True
        self._outlet.abort()

    def _open(self) -> Any:
        if self._writer is None:
            import pyarrow as pa
            import pyarrow.parquet as pq

            self._writer = pq.ParquetWriter(pa.PythonFile(self._into, mode="w"), self._schema, compression="zstd")
        return self._writer

    def _batch(self) -> None:
        """The rows so far, as Arrow has them: about a fifth of what they take as objects."""
        if not self._rows:
            return
        import pyarrow as pa

        rows, self._rows, self._weight = self._rows, [], 0
        arrays = []
        for field in self._schema:
            values = [row.get(field.name) for row in rows]
            convert = self._convert[field.name]
            if convert is not None:
                values = [None if value is None else convert(value) for value in values]
            arrays.append(_array(values, field.type))
        batch = pa.RecordBatch.from_arrays(arrays, schema=self._schema)
        self._batches.append(batch)
        self._held += len(rows)
        self._bytes += batch.nbytes
        if self._held >= GROUP or self._bytes >= GROUP_BYTES:
            self._group()

    def _group(self) -> None:
        if not self._batches:
            return
        import pyarrow as pa

        table = pa.Table.from_batches(self._batches, self._schema)
        self._batches, self._held, self._bytes = [], 0, 0
        self._open().write_table(table, row_group_size=len(table))


class _Into:
    """An outlet as Arrow wants its files. Arrow writes the footer of a file that is dropped: after `abort`, nowhere."""

    closed = False

    def __init__(self, outlet: Outlet) -> None:
        self._outlet = outlet
        self._place = 0

    def write(self, data: Any) -> int:
        """Hand on; how much."""
        piece = bytes(data)
        if not self.closed:
            self._outlet.write(piece)
        self._place += len(piece)
        return len(piece)

    def tell(self) -> int:
        """Bytes so far."""
        return self._place

    def flush(self) -> None:
        """All is handed on already."""

    def close(self) -> None:
        """The outlet is finished by the sink."""
        self.closed = True


def schema(columns: Columns) -> Any:
    """The Arrow schema of rows with these columns: the same for every run with the same options."""
    import pyarrow as pa

    when = pa.timestamp("us", tz="UTC")
    words, whole, real = pa.string(), pa.int64(), pa.float64()
    hop = pa.struct([("url", words), ("status", pa.int32())])
    attempt = pa.struct(
        [("started_at", when), ("elapsed", real), ("status", pa.int32()), ("error_type", words), ("wait", real)]
    )
    phases = pa.struct([(name, real) for name in ("queued", "dns", "connect", "send", "wait", "receive")])
    types = {
        "index": whole,
        "status": pa.int32(),
        "ok": pa.bool_(),
        "attempts": pa.int32(),
        "redirects": pa.int32(),
        "started_at": when,
        "elapsed": real,
        "ttfb": real,
        "size": whole,
        "wire_size": whole,
        "headers": pa.map_(words, pa.list_(words)),
        "history": pa.list_(hop),
        "timings": phases,
        "reused": pa.bool_(),
        "tries": pa.list_(attempt),
        "duplicate_of": whole,
        "input": pa.map_(words, words),
    }
    fields = [pa.field(name, types.get(name, words)) for name in names(columns)]
    return pa.schema(fields, metadata={"schema": SCHEMA})


def _array(values: list[Any], kind: Any) -> Any:
    import pyarrow as pa

    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:
        return pa.array([_writable(value) for value in values], kind)


def _writable(value: Any) -> Any:
    """Lone surrogates escaped, however deep."""
    if isinstance(value, str):
        return text(value)
    if isinstance(value, dict):
        return {_writable(key): _writable(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(map(_writable, value))
    return value


def _time(value: Any) -> datetime:
    """A row of an earlier run has it as text."""
    return datetime.fromisoformat(value) if isinstance(value, str) else value


def _attempts(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**attempt, "started_at": _time(attempt["started_at"])} for attempt in value]


def _input(value: dict[str, Any]) -> list[tuple[str, str | None]]:
    """Text as it is, all else as JSON: the columns of a list have no types of their own here."""
    return [(str(key), _text_of(item)) for key, item in value.items()]


def _text_of(item: Any) -> str | None:
    if item is None or isinstance(item, str):
        return item
    # Integers beyond 64 bits are text in JSON, and must look the same when they come back from there.
    return str(item) if type(item) is int else dumps(item).decode()


_CONVERT: dict[str, Callable[[Any], Any]] = {
    "started_at": _time,
    "headers": lambda value: list(value.items()),
    "tries": _attempts,
    "body_json": lambda value: dumps(value).decode(),
    "input": _input,
}
