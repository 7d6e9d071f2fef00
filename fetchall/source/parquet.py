"""
Parquet as requests, batch after batch: one column is the URL, the others travel through.

Knows tables; what Arrow's values are in JSON is `arrow.py`'s. Imports pyarrow when a list is read.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec
from typing import IO, Any

from fetchall.errors import MissingExtra, SourceError
from fetchall.records import Request
from fetchall.source.columns import distinct, named, none_found, only_one
from fetchall.source.content import Content
from fetchall.source.maker import Maker

_BATCH = 256
"""Rows that are read at once: few, so that the first request starts soon and wide rows stay small."""
_BUFFER = 64 * 1024
"""Bytes of each column that are read ahead, instead of the whole row group."""


def check_installed() -> None:
    """Raise `MissingExtra` without pyarrow."""
    if find_spec("pyarrow") is None:
        raise MissingExtra("a list in Parquet", "parquet")


def read_parquet(content: Content, maker: Maker) -> Iterator[list[Request]]:
    """One row a row. Raises `SourceError` for what is no Parquet, and where a page is broken."""
    check_installed()
    import pyarrow

    from fetchall.source.arrow import values

    number = 0
    try:
        table = _opened(content.file())
        names = distinct(table.schema_arrow.names)
        column = named(names, maker.url_column, content.name)
        for batch in table.iter_batches(_BATCH, use_threads=False):
            columns = [values(each) for each in batch.columns]
            if column is None:
                column = only_one(names, zip(*columns, strict=True), content.name)
                if column is None:
                    raise none_found(content.name)
            yield [_request(names, row, column, number + offset, maker) for offset, row in _rows(columns)]
            number += batch.num_rows
    except (pyarrow.ArrowException, OSError, ValueError, NotImplementedError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise SourceError(f"{content.name} can't be read as Parquet: {reason}") from error


def count_rows(path: str) -> int | None:
    """How many rows a file has, from its footer; None where it can't be read."""
    check_installed()
    import pyarrow

    try:
        with open(path, "rb") as file:
            return int(_opened(file).metadata.num_rows)
    except (pyarrow.ArrowException, OSError, ValueError):
        return None


def _opened(file: IO[bytes]) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(file, buffer_size=_BUFFER, pre_buffer=False)


def _rows(columns: list[list[Any]]) -> Iterator[tuple[int, tuple[Any, ...]]]:
    return enumerate(zip(*columns, strict=True))


def _request(names: list[str], row: tuple[Any, ...], column: int, number: int, maker: Maker) -> Request:
    columns = dict(zip(names, row, strict=True))
    url = columns.pop(names[column])
    place = f"row {number + 1}"
    if url is not None and not isinstance(url, str):
        return maker.bad(place, f"has a {names[column]} that is no text", str(url), columns or None)
    return maker.request(place, url or "", input=columns or None)
