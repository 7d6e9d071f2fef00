"""
Where rows go: one small file a form, one contract.

Knows rows and bytes; a sink must not know HTTP, nor another sink. An optional library is imported inside its sink.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from fetchall.errors import SinkError
from fetchall.records import Summary, Timing
from fetchall.rows import Row
from fetchall.sinks.outlet import Outlet, PartFile


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended: what a document says last."""

    summary: Summary
    timing: Timing
    complete: bool
    """False: interrupted; the output is closed so that it is valid, and keeps its unfinished name."""


class Sink(Protocol):
    """
    One output.

    Whatever it raises for the system's reasons is an OSError.
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


FORMS: dict[str, str] = {".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""Endings and the forms that they choose."""


def form_of(path: str) -> str:
    """The form that a path's ending chooses; raises `SinkError` for an ending that says nothing."""
    form = FORMS.get(os.path.splitext(path)[1].lower())
    if form is None:
        raise SinkError(f"{path}: its ending names no form; use {', '.join(FORMS)}")
    return form


def make(form: str, outlet: Outlet, *, ordered: bool, spool_folder: str | None) -> Sink:
    """A sink of a form over an outlet."""
    from fetchall.sinks.document import Document
    from fetchall.sinks.lines import JsonLines

    if form == "json":
        return Document(outlet, spool_folder)
    return JsonLines(outlet, spool_folder if ordered else None, ordered=ordered)


def open_file(path: str, *, ordered: bool, overwrite: bool) -> Sink:
    """A sink that writes `path`.part and gives it its name at the end; raises `SinkError`."""
    form = form_of(path)
    return make(form, PartFile(path, overwrite=overwrite), ordered=ordered, spool_folder=os.path.dirname(path) or ".")
