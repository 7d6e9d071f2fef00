"""Lists written in every form and packing, and read back."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import pyarrow as pa
from backports import zstd
from pyarrow import parquet

from fetchall.errors import SourceError
from fetchall.records import Request
from fetchall.source import Reading, read_sources

Rows = Sequence[Mapping[str, object]]
TABLES = {"csv": ",", "tsv": "\t"}
FORMS = ("text", "csv", "tsv", "jsonl", "json", "parquet")
ENDINGS = {"text": "txt"}
PACKINGS = ("", ".gz", ".zst")


def written(form: str, rows: Rows) -> bytes:
    """The rows as a file of that form; all of them have the same keys, one of which is `url`."""
    names = list(rows[0]) if rows else ["url"]
    if form in TABLES:
        text = io.StringIO(newline="")
        writer = csv.writer(text, delimiter=TABLES[form])
        writer.writerow(names)
        writer.writerows([row[name] for name in names] for row in rows)
        return text.getvalue().encode()
    if form == "jsonl":
        return b"".join(json.dumps(dict(row)).encode() + b"\n" for row in rows)
    if form == "json":
        return json.dumps([dict(row) for row in rows], indent=1).encode()
    if form == "parquet":
        file = io.BytesIO()
        types = pa.schema([(name, pa.string()) for name in names])
        table = pa.Table.from_pydict({name: [row[name] for row in rows] for name in names}, types)
        parquet.write_table(table, file, row_group_size=7)
        return file.getvalue()
    return b"".join(f"{row['url']}\n".encode() for row in rows)


def packed(data: bytes, packing: str) -> bytes:
    """In two members or frames, as `cat a.gz b.gz` makes them."""
    first, second = data[: len(data) // 2], data[len(data) // 2 :]
    if packing == ".gz":
        return gzip.compress(first) + gzip.compress(second)
    return zstd.compress(first) + zstd.compress(second) if packing else data


def read(*names: str, stdin: int = 0, **reading: Any) -> list[Request]:
    return [request for batch in read_sources(names, stdin, Reading(**reading)) for request in batch]


def read_up_to_error(name: str, **reading: Any) -> tuple[list[Request], str | None]:
    """What a list gave before it broke off, and why it did."""
    requests: list[Request] = []
    try:
        for batch in read_sources([name], reading=Reading(**reading)):
            requests += batch
    except SourceError as error:
        return requests, str(error)
    return requests, None


@contextmanager
def piped(data: bytes) -> Iterator[int]:
    """A descriptor that is not the standard input, a pipe, and gives these bytes."""
    reader, writer = os.pipe()

    def write() -> None:
        with os.fdopen(writer, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield reader
    finally:
        os.close(reader)
        thread.join()


def messages(requests: Sequence[Request]) -> list[str | None]:
    return [request.fault.message if request.fault else None for request in requests]
