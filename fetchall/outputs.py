"""
The outputs that a command names: claimed before anything is touched, opened before the first request.

Knows paths and forms, and which file an unfinished run goes on from; it must not know rows or HTTP.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from fetchall import sinks, state
from fetchall.errors import ResumeError, SinkError
from fetchall.listing import Listing
from fetchall.options import Options, Reporting
from fetchall.person import Person, columns_of, stdout_form, wants_color
from fetchall.preflight import STDOUT
from fetchall.resume import Past
from fetchall.rows import Columns, keys
from fetchall.tar_shards import Saved, Shards, saved_by
from fetchall.sinks import Sink, form_of, make
from fetchall.sinks.archive import Archive, Recorders
from fetchall.sinks.chosen import Chosen
from fetchall.sinks.journal import JOURNAL, Beside, Journal, index_of, lines_of
from fetchall.sinks.outlet import PART, PartFile, StandardStream, reason
from fetchall.sinks.readable import Readable
from fetchall.state import STATE, State


class Outputs:
    """
    Every sink of a run.

    `stream` is stdout where rows go there through a pipe that may be slow; `journal` is there where rows go to a file;
    `rebuilt` are the sinks that are given the rows of an earlier run again. The first file's part is the journal where
    that is JSONL as rows finish; else the journal stands beside it. Nothing is changed before `begin`.
    """

    def __init__(
        self,
        reporting: Reporting,
        options: Options,
        person: Person,
        on_room: Callable[[], None],
        listing: Listing,
    ) -> None:
        """Where only some rows are written, the journal has them all, and so is a file of its own."""
        self._reporting = reporting
        self.columns = Columns.of(options)
        if listing.has_columns():
            self.columns = replace(self.columns, input=True)
        self._choice = choice = options.choice
        ordered, csv_safe = reporting.ordered, reporting.csv_safe
        self._make = partial(make, columns=self.columns, ordered=ordered, csv_safe=csv_safe, choice=choice)
        self._parts: list[PartFile] = []
        self._archives: dict[PartFile, Archive] = {}
        self.sinks: list[Sink] = []
        self.rebuilt: list[Sink] = []
        self.stream: StandardStream | None = None
        self.journal: Journal | None = None
        self.state: State | None = None
        self._saved: Saved | None = None
        self._files = [path for path in reporting.output if path != STDOUT]
        try:
            self._claim_files()
            self._account_for_bodies(options)
            self._open_stdout(reporting, person, on_room)
        except BaseException:
            self.withdraw()
            raise

    @property
    def part(self) -> str | None:
        """Where the rows of an unfinished run are, for people; None: only on stdout."""
        return self._files[0] + PART if self._files else None

    def past(self, options: Options) -> Past | None:
        """What there is to go on from; None: nothing. Raises `ResumeError` where it must not be gone on with."""
        if not self._reporting.resume:
            return None
        first = self._parts[0]
        known = state.load(first.path + STATE)
        if first.existed or (known is not None and self._journal_exists):
            return self._past_of_part(first, known, options)
        if os.path.exists(first.path):
            return self._past_of_finished(first, known, options)
        for part in self._parts[1:]:
            if part.existed:
                raise ResumeError(
                    f"{part.part} is of a run whose first output was another: name the outputs in the same order, "
                    "or --overwrite"
                )
        return None

    def begin(self, past: Past | None, options: Options) -> None:
        """Make the files what the run begins with, and write the state; raises OSError."""
        if self.journal is None:
            return
        if self._saved is not None:
            self._saved.begin(past.keeps if past is not None else None)
        for part in self._parts[self._own_journal :]:
            if part not in self._archives:
                part.rewind()
        for part, archive in self._archives.items():
            if past is not None:
                archive.go_on()
            else:
                part.rewind()
        if past is None:
            self.journal.go_on(0, 0)
            self.state = State.begin(self._form, options)
            self.save()
            return
        self.state = past.state
        if past.state.started_from == "nothing" and not past.dropped:
            self.journal.go_on(past.size, past.checksum)
        else:
            self._take_over(past)
        past.forget()

    def attached(self, options: Options) -> Options:
        """The options of the run whose traffic is archived, and whose bodies may be samples of shards."""
        recorder = Recorders(list(self._archives.values())) if self._archives else None
        return replace(options, recorder=recorder, shards=self._saved if isinstance(self._saved, Shards) else None)

    def save(self) -> None:
        """Write the state; raises OSError."""
        assert self.state is not None
        state.save(self._state_path, self.state)

    def saving(self) -> Callable[[], None]:
        """What writes the state as it is now, in whatever thread."""
        assert self.state is not None
        path, copy = self._state_path, replace(self.state)
        return lambda: state.save(path, copy)

    @property
    def closing(self) -> list[Sink]:
        """The sinks as they end: the journal after the files that are made from it, stdout and its reader last."""
        files = len(self._parts) - self._own_journal + (self._saved is not None)
        first = [] if self.journal is None else [*self.sinks[1 : 1 + files], self.journal]
        return [*first, *self.sinks[len(first) :]]

    def withdraw(self) -> None:
        """Leave things as they were before."""
        for part in self._parts:
            with suppress(OSError):
                part.withdraw()
        if self.journal is not None and not self._own_journal:
            with suppress(OSError):
                self.journal.abort()
                if not self._journal_existed:
                    os.unlink(self._journal_path)
        self._parts = []

    def discard(self) -> None:
        """After the sinks are closed: a run that ended before its first row leaves nothing behind."""
        for path in self._files:
            with suppress(OSError):
                os.unlink(path + PART)
        if self._files:
            with suppress(OSError):
                if not self._own_journal:
                    os.unlink(self._journal_path)
                self._completed()

    def _completed(self) -> None:
        state.remove(self._state_path)

    @property
    def _form(self) -> str:
        form = form_of(self._files[0])
        if form == "jsonl":
            return "ordered jsonl" if self._reporting.ordered else "chosen jsonl" if self._choice else form
        return form

    @property
    def _own_journal(self) -> bool:
        """The first file is its own journal."""
        return bool(self._files) and self._form == "jsonl"

    @property
    def _journal_path(self) -> str:
        return self._files[0] + PART + ("" if self._own_journal else JOURNAL)

    @property
    def _state_path(self) -> str:
        return self._files[0] + STATE

    @property
    def _journal_exists(self) -> bool:
        return not self._own_journal and self._journal_existed

    def _claim_files(self) -> None:
        keep, overwrite = self._reporting.resume, self._reporting.overwrite
        if not self._files:
            return
        for path in self._files:
            self._parts.append(PartFile(path, keep=keep, overwrite=overwrite))
        self._journal_existed = os.path.exists(self._journal_path)
        if self._own_journal:
            self.journal = Journal(self._parts[0], self._completed)
        elif self._journal_existed and not (keep or overwrite):
            raise SinkError(
                f"{self._journal_path} holds an unfinished run: --resume goes on with it, --overwrite throws it away"
            )
        else:
            try:
                self.journal = Journal(Beside(self._journal_path), self._completed)
            except OSError as error:
                raise SinkError(f"{self._journal_path}: {reason(error)}") from error
        self.sinks.append(self.journal)
        for part in self._parts[self._own_journal :]:
            sink = self._make(form_of(part.path), part, journal=self.journal)
            self.sinks.append(sink)
            if isinstance(sink, Archive):
                self._archives[part] = sink
                self.journal.before.append(part.sync)
            else:
                self.rebuilt.append(sink)

    def _account_for_bodies(self, options: Options) -> None:
        if self.journal is not None and (saved := saved_by(options, self.columns, self.journal.sync)) is not None:
            self._saved = saved
            self.sinks.insert(1, saved)
            self.journal.before.append(saved.sync)

    def _past_of_part(self, first: PartFile, known: State | None, options: Options) -> Past | None:
        size = os.path.getsize(self._journal_path) if self._own_journal or self._journal_existed else 0
        if known is None:
            if size or os.fstat(first.descriptor).st_size:
                raise ResumeError(
                    f"there is no state beside {first.part}, so nobody can tell whose rows it holds: --overwrite it"
                )
            return self._past_of_finished(first, None, options) if os.path.exists(first.path) else None
        if not size and known.started_from == "finished" and os.path.exists(first.path):
            return self._past_of_finished(first, known, options)
        known.check(self._form, options, first.part)
        known.started_from = "nothing"
        path = self._journal_path
        drop, holds = self._reporting.retry_failed, self._saved.holds if self._saved is not None else None
        return Past(first.part, lambda: lines_of(path), known, drop=drop, journal=path, holds=holds)

    def _past_of_finished(self, first: PartFile, known: State | None, options: Options) -> Past:
        if known is not None:
            known.check(self._form, options, first.path)
        else:
            known = State.begin(self._form, options)
        known.started_from, known.size, known.checksum, known.tally = "finished", 0, 0, None
        path = first.path
        return Past(
            path,
            lambda: sinks.read_rows(path),
            known,
            drop=self._reporting.retry_failed,
            keys=keys(self.columns),
        )

    def _take_over(self, past: Past) -> None:
        """The rows that stay go into a file that becomes the journal at once; a kill leaves the one or the other."""
        assert self.journal is not None
        known = past.state
        known.size, known.checksum, known.tally = 0, 0, None
        self.save()
        new = self._journal_path + ".new"
        with open(new, "wb", buffering=1024 * 1024) as file:
            for _, line in past.whole_rows():
                if past.keeps(index_of(line)):
                    file.write(line)
            file.flush()
            os.fsync(file.fileno())
        self.journal.replace(new)
        known.started_from = "nothing"

    def _open_stdout(self, reporting: Reporting, person: Person, on_room: Callable[[], None]) -> None:
        form = stdout_form(reporting)
        if form is None:
            return
        if sys.stdout is None:
            raise SinkError("stdout is closed: name an output with -o")
        sys.stdout.flush()
        terminal = sys.stdout.isatty()
        if not terminal:
            self.stream = StandardStream(sys.stdout.fileno(), on_room)
        if form == "lines":
            color = wants_color(sys.stdout, reporting.no_color)
            # On a terminal the lines go above the bar, so whoever draws that writes them.
            sink: Sink = Readable(self.stream or person, color=color, width=lambda: columns_of(sys.stdout))
            self.sinks.append(sink if self._choice is None else Chosen(sink, self._choice.keeps))
        else:
            outlet = self.stream or StandardStream(sys.stdout.fileno(), on_room)
            self.stream = outlet
            sink = self._make(form, outlet, journal=self.journal)
            self.sinks.append(sink)
            self.rebuilt.append(sink)
