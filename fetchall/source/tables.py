"""
CSV and TSV as requests: one column is the URL, the others travel through.

Knows headers and columns; how a file is cut into cells is `cells.py`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain

from fetchall.errors import SourceError
from fetchall.records import Request
from fetchall.source.cells import Record, Records
from fetchall.source.columns import distinct, looks_like_url, named, none_found, only_one
from fetchall.source.content import Content
from fetchall.source.maker import Maker

_PATIENCE = 1000
"""Rows that are looked at for a column that holds URLs."""


def read_csv(content: Content, maker: Maker) -> Iterator[list[Request]]:
    """One row a record; blank lines have none. Commas, or semicolons where the header has those and no comma."""
    return _read(content, maker, None)


def read_tsv(content: Content, maker: Maker) -> Iterator[list[Request]]:
    """The same with tabs; quotes mean what they mean in CSV."""
    return _read(content, maker, "\t")


def _read(content: Content, maker: Maker, delimiter: str | None) -> Iterator[list[Request]]:
    records = Records(delimiter)
    table = _Table(records, maker)
    for block in content.text():
        if batch := table.take(records.feed(block)):
            yield batch
    if batch := table.take(records.finish()):
        yield batch
    table.end()


class _Table:
    """Records as requests. The first names the columns, unless it holds a URL: then they are `column1` and so on."""

    def __init__(self, records: Records, maker: Maker) -> None:
        self._records = records
        self._maker = maker
        self._names: list[str] = []
        self._column: int | None = None
        self._early: list[Record] = []
        """Records before the one that shows which column holds the URLs."""

    def take(self, records: Iterable[Record]) -> list[Request]:
        """The requests of these records; none as long as the column is not known. Raises `SourceError`."""
        records = iter(records)
        if not self._names:
            first = next(records, None)
            if first is None:
                return []
            if not self._is_header(first):
                records = chain((first,), records)
        if self._column is None:
            self._early += records
            name = self._maker.name
            self._column = only_one(self._names, [record.cells for record in self._early if not record.reason], name)
            if self._column is None:
                if len(self._early) > _PATIENCE:
                    raise none_found(name)
                return []
            records, self._early = iter(self._early), []
        return [self._request(record, self._column) for record in records]

    def end(self) -> None:
        """Raise `SourceError` if there were rows and none showed where the URLs are."""
        if self._early:
            raise none_found(self._maker.name)

    def _is_header(self, first: Record) -> bool:
        """Take the names of the columns from the first record, or make them up where it is a row itself."""
        if first.reason is not None:
            raise SourceError(f"line {first.line} of {self._maker.name}, its header, {first.reason}")
        is_header = not any(map(looks_like_url, first.cells))
        self._names = distinct([cell.strip() if is_header else "" for cell in first.cells])
        self._records.width = len(self._names)
        self._column = named(self._names, self._maker.url_column, self._maker.name)
        return is_header

    def _request(self, record: Record, column: int) -> Request:
        place, cells, names = f"line {record.line}", record.cells, self._names
        raw = record.raw.rstrip(b"\r\n")
        if record.reason is not None:
            return self._maker.bad(place, record.reason, raw)
        if len(cells) > len(names):
            reason = f"has {len(cells)} cells, and there are {len(names)} columns: quote what has a delimiter in it"
            return self._maker.bad(place, reason, raw)
        columns: dict[str, str | None] = dict.fromkeys(names)
        columns.update(zip(names, cells, strict=False))
        url = columns.pop(names[column]) or ""
        return self._maker.request(place, url, raw=raw, input=columns or None)
