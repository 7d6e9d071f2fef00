"""
Where rows go: one small file a form, one contract.

Knows rows and bytes; a sink must not know HTTP, nor another sink. An optional library is imported inside its sink.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from fetchall.errors import MissingExtra, SinkError
from fetchall.options import Options
from fetchall.places import fetched, shown
from fetchall.records import Result, Summary, Timing
from fetchall.rows import PLAIN, Columns, Row, loads
from fetchall.sinks.outlet import Outlet, PartFile

if TYPE_CHECKING:
    from fetchall.chosen import Choice
    from fetchall.sinks.spool import Reader


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: what a document says last."""

    summary: Summary
    timing: Timing
    complete: bool
    """False: interrupted; the output is closed so that it is valid, and keeps its unfinished name."""


class Sink(Protocol):
    """
    One output, which begins empty.

    When a run goes on, the journal (`journal.py`) is the truth of what is done, and every other sink is made anew from
    it: it gets the old rows through `write` as well, as `OldRow`s, in any order and among new ones. So a form needs
    nothing of its own to survive a kill, and forms can't contradict each other. What a form holds beyond its rows
    (bodies) is stored under the row's index before the row is written to the journal: a row that is there has it.

    Whatever a sink raises for the system's reasons is an OSError.
    """

    def write(self, rows: Sequence[Row]) -> bool:
        """
        Take rows in the order in which they finished; what can be written is handed to the system before this returns.

        True: more could be written now; call again, without rows, when there is room.
        """

    def close(self, ending: Ending) -> None:
        """Write what comes last; give the output its final name if the run is complete."""

    def abort(self) -> None:
        """Leave what is written as it is: no time, or no disk, for anything else."""


@runtime_checkable
class Narrator(Protocol):
    """What a sink has as well that tells how the run went: where there is one, results come with their timings."""

    def begin(self, sources: Sequence[str], options: Options) -> None:
        """What is about to be run."""

    def sequential(self, results: Sequence[Result]) -> None:
        """Results of the pass that fetches one at a time, before any row; they are no rows themselves."""


@runtime_checkable
class ResultReader(Protocol):
    """What a sink has as well for which a row's keys and values are not enough: `Row.result` must be there."""

    reads_results: bool


FORMS: dict[str, str] = {
    ".json": "json",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".jsonl.gz": "jsonl.gz",
    ".jsonl.zst": "jsonl.zst",
    ".csv": "csv",
    ".parquet": "parquet",
    ".sqlite": "sqlite",
    ".warc.gz": "warc",
    ".har": "har",
    ".html": "html",
}
"""Endings and the forms that they choose."""


def form_of(path: str) -> str:
    """The form that a path's ending chooses; raises `SinkError` for an ending that says nothing."""
    name = os.path.basename(path).lower()
    for ending in sorted(FORMS, key=len, reverse=True):
        if name.endswith(ending) and name != ending:
            return FORMS[ending]
    raise SinkError(f"{shown(path)}: its ending names no form; use {', '.join(FORMS)}")


def check_installed(form: str) -> None:
    """Raise `MissingExtra` where a form needs what is not there, before anything is touched."""
    if form == "parquet" and find_spec("pyarrow") is None:
        raise MissingExtra("a .parquet output", "parquet")
    if form == "warc" and find_spec("warcio") is None:
        raise MissingExtra("a .warc.gz output", "warc")
    if form == "jsonl.zst":
        from fetchall.sinks.compressed import zstd

        zstd()


def make(
    form: str,
    outlet: Outlet,
    *,
    columns: Columns = PLAIN,
    ordered: bool = False,
    journal: Reader | None = None,
    csv_safe: bool = False,
    choice: Choice | None = None,
    max_size: int = 0,
    cdx: bool = False,
) -> Sink:
    """
    A sink of a form over an outlet; rows whose turn has not come are read from the journal, where there is one.

    `max_size` splits a WARC into files of so many bytes, `cdx` indexes it.
    """
    if form == "json" or form.startswith("jsonl"):
        return _lines(form, outlet, ordered, journal, choice)
    if form in ("warc", "har"):
        assert isinstance(outlet, PartFile)
        return _archive(form, outlet, max_size, cdx)
    sink = _table(form, outlet, columns, csv_safe)
    if choice is not None:
        from fetchall.sinks.chosen import Chosen

        return Chosen(sink, choice.keeps)
    return sink


def _lines(form: str, outlet: Outlet, ordered: bool, journal: Reader | None, choice: Choice | None) -> Sink:
    from fetchall.sinks import compressed
    from fetchall.sinks.document import Document
    from fetchall.sinks.lines import JsonLines
    from fetchall.sinks.spool import Scratch, Written

    store = Written(journal) if journal is not None else Scratch()
    keep = (lambda line: choice.keeps(loads(line))) if choice is not None else None
    if form == "json":
        return Document(outlet, store, keep)
    if form == "jsonl.gz":
        outlet = compressed.Compressed(outlet, compressed.gzip_compressor())
    elif form == "jsonl.zst":
        outlet = compressed.Compressed(outlet, compressed.zstd_compressor())
    return JsonLines(outlet, store if ordered else None, keep)


def _table(form: str, outlet: Outlet, columns: Columns, csv_safe: bool) -> Sink:
    if form == "html":
        from fetchall.sinks.page import Page

        return Page(outlet)
    if form == "csv":
        from fetchall.sinks.table import Csv

        return Csv(outlet, columns, safe=csv_safe)
    if form == "parquet":
        from fetchall.sinks.parquet import Parquet

        return Parquet(outlet, columns)
    from fetchall.sinks.database import Database

    assert isinstance(outlet, PartFile)
    return Database(outlet, columns)


def _archive(form: str, file: PartFile, max_size: int, cdx: bool) -> Sink:
    if form == "har":
        from fetchall.sinks.har import Har

        return Har(file)
    from fetchall.sinks import cdxj, onefile, volumes
    from fetchall.sinks.warc import Warc

    index = cdxj.Index(cdxj.path_of(file.path)) if cdx else None
    return Warc(volumes.Numbered(file, max_size) if max_size else onefile.OneFile(file), index)


def read_rows(name: str) -> Iterator[tuple[int, bytes]]:
    """
    Place and line of every row of a finished output; raises OSError, and ValueError for what is no row's place.

    A form that is not read again here can't be gone on with once it is complete.
    """
    from fetchall.sinks import document
    from fetchall.sinks.journal import lines_of

    form = form_of(name)
    if form not in ("json", "jsonl"):
        raise ValueError(
            "is complete, and only .json and .jsonl are gone on with then: write elsewhere, or --overwrite"
        )
    with fetched(name) as file:
        yield from document.read_rows(file) if form == "json" else lines_of(file)
