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

from fetchall import shard_note, state
from fetchall.errors import SinkError
from fetchall.fingerprint import Fingerprint
from fetchall.leftover import Leftover
from fetchall.options import Options, Reporting
from fetchall.person import Person, columns_of, stdout_form, wants_color
from fetchall.preflight import STDOUT
from fetchall.records import Timing
from fetchall.resume import Past
from fetchall.rows import Columns
from fetchall.sinks import Sink, form_of, make
from fetchall.sinks.archive import Archive, Archives
from fetchall.sinks.chosen import Chosen
from fetchall.sinks.journal import JOURNAL, Beside, Journal, index_of
from fetchall.sinks.outlet import PART, PartFile, StandardStream, reason
from fetchall.sinks.readable import Readable
from fetchall.sinks.upload import part_file
from fetchall.state import STATE, State
from fetchall.tally import Tally
from fetchall.tar_shards import Saved, Shards, saved_by


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
        columns: Columns,
    ) -> None:
        """Where only some rows are written, the journal has them all, and so is a file of its own."""
        self._reporting = reporting
        self.columns = columns
        self._choice = choice = options.choice
        self._make = partial(
            make, columns=columns, ordered=reporting.ordered, csv_safe=reporting.csv_safe, choice=choice,
            max_size=reporting.warc_max_size, cdx=reporting.warc_cdx,
        )  # fmt: skip
        self._parts: list[PartFile] = []
        self._archives = Archives()
        self.sinks: list[Sink] = []
        self.rebuilt: list[Sink] = []
        self.stream: StandardStream | None = None
        self.journal: Journal | None = None
        self.state: State | None = None
        self._saved: Saved | None = None
        self._files = [place for place in reporting.output if place != STDOUT]
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
        left = Leftover(
            self._parts, self._archives, self._reporting, options, self.columns, self._form, self._journal_path,
            is_part=self._own_journal, existed=self._journal_existed,
            holds=self._saved.holds if self._saved is not None else None,
        )  # fmt: skip
        return left.past()

    def begin(self, past: Past | None, options: Options) -> None:
        """Make the files what the run begins with, and write the state; raises OSError."""
        if self.journal is None:
            return
        if self._saved is not None:
            self._saved.begin(past.keeps if past is not None else None)
        for part in self._parts[self._own_journal :]:
            if part not in self._archives:
                part.rewind()
        self._archives.begin(go_on=past is not None)
        if past is None:
            self.journal.go_on(0, 0)
            self.state = State.begin(self._form, options, self._reporting.shard)
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
        shards = self._saved if isinstance(self._saved, Shards) else None
        return replace(options, recorder=self._archives or None, shards=shards)

    @property
    def named(self) -> list[str]:
        """What the files of a complete run are called, for people."""
        return [name for part in self._parts for name in self._archives.named(part)]

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
        self._archives.drop(earlier=False)
        for part in self._parts:
            with suppress(OSError):
                part.withdraw()
        if self.journal is not None and not self._own_journal:
            with suppress(OSError):
                self.journal.abort()
                if not self._journal_existed:
                    os.unlink(self._journal_path)
        self._parts = []

    def settle(self, whole: Fingerprint, tally: Tally, timing: Timing) -> None:
        """After the sinks are closed and all is whole: say beside the first file which shard of which list it has."""
        if self._files:
            path, shard, chosen = self._files[0], self._reporting.shard, self._choice is not None
            shard_note.settle(path, shard, whole, columns=self.columns, chosen=chosen, tally=tally, timing=timing)

    def discard(self) -> None:
        """After the sinks are closed: a run that ended before its first row leaves nothing behind."""
        self._archives.drop(earlier=True)
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

    def _claim_files(self) -> None:
        keep, overwrite = self._reporting.resume, self._reporting.overwrite
        if not self._files:
            return
        for place in self._files:
            self._parts.append(part_file(place, keep=keep, overwrite=overwrite))
        self._files = [part.path for part in self._parts]
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
                self._archives.add(part, sink)
                self.journal.before.append(sink.sync)
            else:
                self.rebuilt.append(sink)

    def _account_for_bodies(self, options: Options) -> None:
        if self.journal is not None and (saved := saved_by(options, self.columns, self.journal.sync)) is not None:
            self._saved = saved
            self.sinks.insert(1, saved)
            self.journal.before.append(saved.sync)

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
