"""
The finished shards of one list, joined into outputs as if one run had written them.

Knows notes and outputs; it must not know how shards came about.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterator

from fetchall.engines import manifest
from fetchall.engines.manifest import Sum
from fetchall.engines.store import LocalStore, Store, store_of
from fetchall.errors import InvalidOptions, ResumeError, SourceError
from fetchall.exits import OK, verdict
from fetchall.fingerprint import Fingerprint
from fetchall.loops import loop_factory
from fetchall.options import Options, Reporting
from fetchall.outputs import Outputs
from fetchall.person import Person, stdout_form
from fetchall.preflight import STDOUT
from fetchall.report import Report
from fetchall.rows import OldRow, summary_document
from fetchall.shard_note import NOTE, ShardNote
from fetchall.signals import Signals
from fetchall.sinks import Ending, form_of
from fetchall.sinks.document import read_rows
from fetchall.sinks.journal import index_of, lines_of
from fetchall.sinks.outlet import PART
from fetchall.sinks.upload import write_document
from fetchall.source.packed import unpacked

_row = re.compile(rb"\{\"index\":[0-9]+,.*\}").fullmatch
_READABLE = {"json": None, "jsonl": None, "jsonl.gz": "gzip", "jsonl.zst": "zstd"}
"""Forms whose rows can be read back as they were, and how they are packed."""
_BLOCK = 1024 * 1024
_NAMED = 3
"""Shards that a message names."""


def merge(folder: str, options: Options, reporting: Reporting, person: Person) -> int:
    """
    Join what is in a folder; the exit code.

    Raises `ResumeError` where shards are missing, there twice, or not of one list, and `SourceError` for rows that
    can't be read back; then no output was written.
    """
    for path in reporting.output:
        if path != STDOUT and form_of(path) in ("warc", "har"):
            raise InvalidOptions(f"{path}: shards hold rows alone, not what went over the wire")
    if stdout_form(reporting) == "lines":
        raise InvalidOptions("--merge writes files, or JSON: -o results.jsonl, or --format json")
    store = store_of(folder)
    shards = finished(store, partial=reporting.partial)
    _check_outputs(reporting, store, shards)
    missing = shards[0].shard.of - len(shards)
    if missing:
        person.warn(f"{missing:,} of {shards[0].shard.of:,} shards are missing; what there is is joined (--partial)")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_Joining(store, shards, options, reporting, person).go())


def finished(store: Store, *, partial: bool) -> list[ShardNote]:
    """The notes of a list's shards, in order; `partial`: as many as there are. Raises `ResumeError`, `SourceError`."""
    found: dict[int, ShardNote] = {}
    for note in manifest.notes(store):
        first = next(iter(found.values()), note)
        if note.whole != first.whole or note.shard.of != first.shard.of:
            raise ResumeError(
                f"{store.name}: {first.file} is shard {first.shard} of one list, {note.file} is {note.shard} of "
                "another: keep each in a folder of its own"
            )
        if note.columns != first.columns or note.chosen != first.chosen:
            raise ResumeError(f"{store.name}: {first.file} and {note.file} were made with other options")
        if (twin := found.get(note.shard.number)) is not None:
            raise ResumeError(f"{store.name}: {twin.file} and {note.file} are both shard {note.shard}: keep one")
        found[note.shard.number] = note
    names = store.names()
    if not found:
        hint = f"; {_unfinished(names)}" if _unfinished(names) else ""
        raise ResumeError(f"{store.name} holds no finished shard (an output with its {NOTE} file beside it){hint}")
    shards = [found[number] for number in sorted(found)]
    if not partial:
        _check_whole(store.name, shards, names)
    for note in shards:
        _check_file(store, note, names)
    return shards


def _check_whole(name: str, shards: list[ShardNote], names: list[str]) -> None:
    of, there = shards[0].shard.of, {note.shard.number for note in shards}
    missing = [number for number in range(1, of + 1) if number not in there]
    if missing:
        listed = ", ".join(f"{number}/{of}" for number in missing[:_NAMED]) + (", …" if missing[_NAMED:] else "")
        hint = "; ".join(filter(None, [_unfinished(names), "--partial joins what there is"]))
        raise ResumeError(f"{name}: {len(missing)} of {of} shards missing ({listed}): {hint}")
    rows = sum(note.tally["urls"] for note in shards)
    if rows != shards[0].total:
        raise ResumeError(f"{name}: its shards have {rows} rows, the list {shards[0].total}: fetch them again")


def _unfinished(names: list[str]) -> str:
    parts = [name for name in names if name.endswith(PART)]
    return f"{parts[0]} is unfinished" if parts else ""


def _check_file(store: Store, note: ShardNote, names: list[str]) -> None:
    name = f"{store.name}: {note.file}"
    if note.file not in names:
        raise ResumeError(f"{name} is missing, though its note is there")
    if form_of(note.file) not in _READABLE:
        raise SourceError(f"{name} can't be joined: rows are read back from {', '.join(_READABLE)} alone")
    if store.size(note.file) != note.size:
        raise SourceError(f"{name} is not as it was when it was finished: copy it again, or fetch its shard again")


def _check_outputs(reporting: Reporting, store: Store, shards: list[ShardNote]) -> None:
    if not isinstance(store, LocalStore):
        return
    inputs = {os.path.realpath(os.path.join(store.name, note.file)) for note in shards}
    for path in reporting.output:
        if os.path.realpath(path) in inputs:
            raise InvalidOptions(f"{path} is one of the shards: write somewhere else")


class _Joining:
    """One merge while it runs."""

    def __init__(
        self, store: Store, shards: list[ShardNote], options: Options, reporting: Reporting, person: Person
    ) -> None:
        self._store = store
        self._shards = shards
        self._options = options
        self._reporting = reporting
        self._person = person
        self._report: Report | None = None
        self._stopped = False
        self._done = Sum()

    async def go(self) -> int:
        """The exit code."""
        reporting, person = self._reporting, self._person
        with Signals(self._stop, self._hurry) as signals:
            outputs = Outputs(reporting, self._options, person, self._on_room, self._shards[0].columns)
            try:
                outputs.begin(None, self._options)
            except BaseException:
                outputs.withdraw()
                raise
            self._report = report = Report(
                outputs.sinks, outputs.columns, closing=outputs.closing, stream=outputs.stream
            )
            report.begin([self._store.name], self._options)
            person.start_bar(sum(note.tally["urls"] for note in self._shards), "joining")
            try:
                await report.replay(outputs.sinks, self._rows())
            except BaseException:
                self._drop(report, outputs)
                raise
            person.end_bar()
            if self._stopped:
                self._drop(report, outputs)
                return signals.code or OK
            signals.without_loop()
            self._end(report, outputs)
        return verdict(self._done.tally, reporting)

    def _end(self, report: Report, outputs: Outputs) -> None:
        summary, timing = self._done.figures(complete=len(self._shards) == self._shards[0].shard.of)
        report.close(Ending(summary, timing, complete=True))
        outputs.settle(Fingerprint(), self._done.tally, timing)
        write_document(self._reporting.summary, summary_document(summary, timing))
        files = [path for path in self._reporting.output if path != STDOUT]
        self._person.summarise(self._done.tally, summary, timing, files)

    def _rows(self) -> Iterator[OldRow]:
        for note in self._shards:
            rows = 0
            for line in lines(self._store, note):
                if self._stopped:
                    return
                rows += 1
                if not _row(line):
                    raise SourceError(f"{self._store.name}: row {rows} of {note.file} is none")
                yield OldRow(index_of(line), line, -1)
            if not note.chosen and rows != note.tally["urls"]:
                raise SourceError(f"{self._store.name}: {note.file} has {rows} rows, its note {note.tally['urls']}")
            self._done.add(note)
            self._person.show(self._done.tally, 0)

    def _drop(self, report: Report, outputs: Outputs) -> None:
        """Nothing of a merge that was broken off stays."""
        report.abort()
        outputs.discard()

    def _stop(self) -> None:
        self._stopped = True
        self._person.warn("stopping; nothing is written")

    def _hurry(self) -> None:
        self._person.end_bar()

    def _on_room(self) -> None:
        if self._report is not None:
            self._report.on_room()


def lines(store: Store, note: ShardNote) -> Iterator[bytes]:
    """The rows of a shard, without their newlines; raises `SourceError` where they can't be read."""
    form = form_of(note.file)
    try:
        with store.open(note.file) as file:
            found: Iterator[bytes]
            if form == "json":
                found = (line for _, line in read_rows(file))
            elif packing := _READABLE[form]:
                found = _split(unpacked(iter(lambda: file.read(_BLOCK), b""), note.file, packing))
            else:
                found = (line for _, line in lines_of(file))
            for line in found:
                yield line.rstrip(b"\n")
    except (OSError, ValueError) as error:
        raise SourceError(f"{store.name}: {note.file} can't be read: {error}") from error


def _split(blocks: Iterator[bytes]) -> Iterator[bytes]:
    rest = b""
    for block in blocks:
        *whole, rest = (rest + block).split(b"\n")
        yield from whole
    if rest:
        yield rest
