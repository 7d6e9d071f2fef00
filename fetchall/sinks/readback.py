"""
An earlier output read back, whatever its form: each row once, in order, and any row again by its place.

Knows forms and files; it must not know what the rows are wanted for. Rows that came here may have been in other hands.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import IO, Any

from fetchall.errors import FetchallError, SinkError, SourceError
from fetchall.rows import dumps, loads
from fetchall.sinks import check_installed, document, form_of
from fetchall.source.packed import check_installed as check_unpacking
from fetchall.source.packed import packing_of, unpacked

Fields = dict[str, Any]
WANTED = (
    "url", "final_url", "method", "status", "ok", "error_type", "size", "content_type", "headers", "sha256",
    "body_json", "body_text", "body_base64", "refresh", "etag", "last_modified", "file",
)  # fmt: skip
"""The keys that are read of rows which have to be copied to be found again."""
_BODY = frozenset({"body_json", "body_text", "body_base64"})
_BLOCK = 1024 * 1024


def check_readable(path: str) -> str:
    """The form of an earlier output; raises `SourceError` for one that can't be read back, and `MissingExtra`."""
    try:
        form = form_of(path)
    except SinkError as error:
        raise SourceError(str(error)) from error
    if form not in _READERS:
        raise SourceError(f"{path} holds no rows that can be read back: name a {', '.join(READABLE)} output")
    check_installed(form)
    check_unpacking(packing_of(path))
    if os.path.exists(path) and not os.path.isfile(path):
        raise SourceError(f"{path} is no file")
    return form


def has_validators(path: str) -> bool:
    """Whether an output's rows can have ETag or Last-Modified, as its first says; one without rows lacks nothing."""
    output = Readback(path)
    try:
        first = next((row for _, row in output.rows()), None)
    finally:
        output.close()
    return first is None or not {"etag", "last_modified", "headers"}.isdisjoint(first)


class Readback:
    """
    Rows of `path`, which may be renamed or replaced meanwhile; a path where nothing is has none.

    JSON and JSON lines are read where they stand, of other forms a copy of what is `WANTED` is made on disk. Raises
    `SourceError` and `MissingExtra`.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._form = check_readable(path)
        self._lines: Any = None
        """The file, ours or a copy, in which places are places."""

    def __repr__(self) -> str:
        return f"<Readback {self._path}>"

    def rows(self) -> Iterator[tuple[int, Fields]]:
        """Place and fields of every row."""
        try:
            if os.path.exists(self._path):
                yield from self._rows()
        except FetchallError:
            raise
        except OSError as error:
            raise SourceError(f"{self._path}: {(error.strerror or str(error)).lower()}") from error
        except Exception as error:  # whatever a library says of bytes that are not its form
            words = (str(error) or type(error).__name__).splitlines()[0]
            raise SourceError(f"{self._path} can't be read back: {words}") from error

    def row(self, place: int) -> Fields:
        """The row at a place."""
        return row_at(self._lines, place)

    @property
    def lines(self) -> str:
        """The path of the file in which `row_at` finds places, once the rows were read."""
        path: str = self._lines.name
        return os.path.abspath(path)

    def close(self) -> None:
        """Let go of the file, and of a copy."""
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _rows(self) -> Iterator[tuple[int, Fields]]:
        if self._form in ("json", "jsonl"):
            self._lines = file = open(self._path, "rb", buffering=_BLOCK)  # noqa: SIM115 (closed by `close`)
            for place, line in document.read_rows(file) if self._form == "json" else _placed(file):
                if line.strip():
                    yield place, _object(line)
            return
        self._lines = copy = tempfile.NamedTemporaryFile(prefix="fetchall-refresh-")  # noqa: SIM115 (closed by `close`)
        for fields in _READERS[self._form](self._path):
            kept = {key: fields[key] for key in WANTED if key in fields}
            yield copy.tell(), kept
            copy.write(dumps(kept) + b"\n")
        copy.flush()


def row_at(file: IO[bytes], place: int) -> Fields:
    """The row at a place of the file that `Readback.lines` names; raises ValueError where none stands there."""
    line = os.pread(file.fileno(), 4096, place)
    while (end := line.find(b"\n")) < 0 and (block := os.pread(file.fileno(), _BLOCK, place + len(line))):
        line += block
    return _object(line[: end if end >= 0 else None].rstrip(b",\r"))


def _placed(lines: Iterable[bytes]) -> Iterator[tuple[int, bytes]]:
    place = 0
    for line in lines:
        yield place, line
        place += len(line)


def _object(line: bytes) -> Fields:
    found = loads(line)
    if not isinstance(found, dict):
        raise ValueError("a row is no object")
    return found


def _packed_lines(path: str) -> Iterator[Fields]:
    with open(path, "rb") as file:
        rest: list[bytes] = []
        for block in unpacked(iter(lambda: file.read(_BLOCK), b""), path, packing_of(path)):
            *lines, last = block.split(b"\n")
            for line in lines:
                yield _object(b"".join([*rest, line]))
                rest = []
            rest.append(last)
        if line := b"".join(rest):
            yield _object(line)


def _csv(path: str) -> Iterator[Fields]:
    """Without bodies: nothing and an empty text are not told apart, and a `'` may be --csv-safe's."""
    import csv

    csv.field_size_limit(2**31 - 1)
    with open(path, newline="", encoding="utf-8-sig") as file:
        for cells in csv.DictReader(file):
            yield _unflattened({key: value or None for key, value in cells.items() if key not in _BODY})


def _sqlite(path: str) -> Iterator[Fields]:
    import sqlite3

    connection = sqlite3.connect(path)
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.row_factory = sqlite3.Row
        for row in connection.execute('SELECT * FROM results ORDER BY "index"'):
            yield _unflattened({key: row[key] for key in row.keys()})  # noqa: SIM118 (a Row iterates over its values)
    finally:
        connection.close()


def _parquet(path: str) -> Iterator[Fields]:
    import pyarrow.parquet as pq

    from fetchall.source.arrow import values

    with pq.ParquetFile(path) as file:
        names = [name for name in file.schema_arrow.names if name in WANTED]
        for batch in file.iter_batches(batch_size=256, columns=names):
            columns = [values(column) for column in batch.columns]
            for row in zip(*columns, strict=True):
                yield _unflattened(dict(zip(names, row, strict=True)))


def _unflattened(fields: Fields) -> Fields:
    """What a table holds as text, as the row has it."""
    for key in ("headers", "body_json"):
        if isinstance(fields.get(key), str):
            fields[key] = loads(fields[key].encode())
    for key in ("status", "size"):
        if isinstance(fields.get(key), str):
            with suppress(ValueError):
                fields[key] = int(fields[key])
    fields["ok"] = str(fields.get("ok")).lower() in ("true", "1")
    return fields


_READERS: dict[str, Callable[[str], Iterator[Fields]]] = {
    "json": _packed_lines,
    "jsonl": _packed_lines,
    "jsonl.gz": _packed_lines,
    "jsonl.zst": _packed_lines,
    "csv": _csv,
    "parquet": _parquet,
    "sqlite": _sqlite,
}
READABLE = (".json", ".jsonl", ".jsonl.gz", ".jsonl.zst", ".csv", ".parquet", ".sqlite")
