"""
One command from its options to its exit code: sources, outputs, passes, signals and what is told to a person.

Goes through `api` like any other user of the library; must not know click or HTTP.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

from fetchall import descriptors
from fetchall.api import Stream
from fetchall.errors import InvalidOptions, MissingExtra, SinkError, SourceError
from fetchall.options import Options, Reporting
from fetchall.outputs import STDOUT, Outputs, check_outputs
from fetchall.person import Person
from fetchall.report import Report
from fetchall.rows import Columns, dumps, summary_fields, timing_fields
from fetchall.signals import Signals
from fetchall.sinks.outlet import write_whole
from fetchall.source import STDIN, check_sources, count, read_sources
from fetchall.source.feed import Feed, IterableFeed, ThreadFeed
from fetchall.tally import Tally

OK, NOT_OK, USAGE, IO, TIME_UP, BUG, CLOSED = 0, 1, 2, 3, 5, 70, 141
"""Exit codes; a signal's is 128 and its number."""
GRACE = 5.0
"""Seconds that requests in flight have to finish after a first signal."""


def run(sources: Sequence[str], options: Options, reporting: Reporting) -> int:
    """Do what the command says; the exit code. Nothing is raised."""
    person = Person(reporting)
    try:
        check_sources(sources)
        check_outputs(reporting, sources)
        if reporting.plan:
            return _plan(sources, options, reporting)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            return runner.run(_Command(sources, options, reporting, person).go())
    except (InvalidOptions, MissingExtra) as error:
        person.complain(str(error))
        return USAGE
    except BrokenPipeError:
        return CLOSED
    except (SourceError, SinkError, OSError, MemoryError) as error:
        person.complain(_words(error))
        return IO
    except Exception:
        person.complain("this is a bug in fetchall; what was finished is written. Please report what follows:")
        if sys.stderr is not None:
            traceback.print_exc()
        return BUG
    finally:
        person.end_bar()
        _let_go_of_stdout()


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Command:
    """The state of one command while it runs."""

    def __init__(self, sources: Sequence[str], options: Options, reporting: Reporting, person: Person) -> None:
        self._sources = tuple(sources)
        self._options = options
        self._reporting = reporting
        self._person = person
        self._urls: list[str] | None = None
        self._stdin = 0
        self._stream: Stream | None = None
        self._report: Report | None = None
        self._stopped = False

    async def go(self) -> int:
        """Both passes, or the one; the exit code."""
        async with AsyncExitStack() as stack:
            await self._prepare(stack)
            Stream(IterableFeed(()), self._options)  # what the options can't mean is said before a file is touched
            outputs = Outputs(self._reporting, self._person, self._on_room)
            self._report = Report(outputs.sinks, Columns.of(self._options), stream=outputs.stream, show=self._show)
            signals = stack.enter_context(Signals(self._stop, self._hurry))
            return await self._passes(self._report, signals)

    async def _prepare(self, stack: AsyncExitStack) -> None:
        options, person = self._options, self._person
        fits = descriptors.allowed(options.concurrency)
        if fits < options.concurrency and not options.auto:
            person.warn(f"concurrency lowered to {fits}: the system allows too few open files (ulimit -n)")
        options = replace(options, concurrency=fits)
        if options.insecure:
            person.warn("certificates are not verified (--insecure)")
        if self._reporting.sync and options.verb not in ("GET", "HEAD", "OPTIONS", "TRACE"):
            person.warn(f"--sync sends every {options.verb} twice")
        if self._reporting.demo:
            from fetchall.demo import PracticeSite

            site = await stack.enter_async_context(PracticeSite())
            if site.moved:
                person.warn(f"the practice site's own port is taken; it is at {site.base}")
            self._urls = site.urls
            options = replace(options, proxy=None, noproxy="*")
        elif self._reporting.sync and STDIN in self._sources:
            self._stdin = _spooled(stack)
        self._options = options

    async def _passes(self, report: Report, signals: Signals) -> int:
        sequential: float | None = None
        started = time.monotonic()
        failure: BaseException | None = None
        try:
            if self._reporting.sync:
                sequential = await self._sequential()
                started = time.monotonic()
            if not self._stopped:
                await self._concurrent(report)
        except BaseException as error:
            failure = error
        self._person.end_bar()
        elapsed = time.monotonic() - started
        truncated = self._stream is not None and self._stream.truncated
        complete = failure is None and not self._stopped and not truncated
        self._end(report, elapsed, sequential if not self._stopped else None, complete, failure)
        if failure is not None:
            raise failure
        if signals.code is not None:
            return signals.code
        return TIME_UP if truncated else self._verdict(report.tally)

    async def _sequential(self) -> float:
        """The list one at a time, over a session of its own; the seconds that it took."""
        tally = Tally()
        self._person.start_bar(self._total(), "one at a time")
        started = time.monotonic()
        async with Stream(self._feed(), replace(self._options, concurrency=1)) as self._stream:
            async for batch in self._stream.batches():
                for result in batch:
                    tally.add(result)
                self._show(tally)
        self._person.end_bar()
        return time.monotonic() - started

    async def _concurrent(self, report: Report) -> None:
        self._person.start_bar(self._total())
        async with Stream(self._feed(), self._options) as self._stream:
            async for batch in self._stream.batches():
                report.add(batch)
                if report.full:
                    await report.catch_up()

    def _feed(self) -> Feed:
        if self._urls is not None:
            return IterableFeed(self._urls)
        if self._stdin:
            os.lseek(self._stdin, 0, os.SEEK_SET)
        return ThreadFeed(read_sources(self._sources, self._stdin))

    def _total(self) -> int | None:
        return len(self._urls) if self._urls is not None else count(self._sources)

    def _show(self, tally: Tally) -> None:
        self._person.show(tally, self._stream.in_flight if self._stream is not None else 0)

    def _on_room(self) -> None:
        if self._report is not None:
            self._report.on_room()

    def _stop(self) -> None:
        """The first signal: begin nothing more, and give what is in flight some time."""
        self._stopped = True
        if self._stream is not None:
            self._stream.stop()
            asyncio.get_running_loop().call_later(GRACE, self._stream.abandon)
        self._person.warn(f"stopping; what is in flight has {GRACE:g} s (again: at once)")

    def _hurry(self) -> None:
        """The second signal: what was handed over is there, all else is dropped."""
        self._person.end_bar()
        if self._report is not None:
            self._report.abort()

    def _end(
        self, report: Report, elapsed: float, sequential: float | None, complete: bool, failure: BaseException | None
    ) -> None:
        """Close the outputs and tell the person; the failure that ended the run goes before any met here."""
        try:
            summary, timing = report.end(elapsed, self._concurrency, sequential, complete=complete)
            self._write_summary(dumps({"summary": summary_fields(summary), "timing": timing_fields(timing)}))
        except OSError:
            if failure is None:
                raise
            return
        if failure is None:
            files = [path for path in self._reporting.output if path != STDOUT]
            self._person.summarise(report.tally, summary, timing, files if complete else [], self._found())

    @property
    def _concurrency(self) -> int:
        return self._stream.concurrency if self._stream is not None else self._options.concurrency

    def _found(self) -> str:
        """What `--concurrency auto` came to; empty: it was not asked for."""
        if not self._options.auto or self._stream is None:
            return ""
        count = f"{self._concurrency:,}"
        if not self._stream.settled:
            return f"--concurrency auto: the list ended while more were still being tried, at {count} in flight"
        most = ", the most that it tries" if self._concurrency == self._options.concurrency else ""
        return f"--concurrency auto: {count} in flight{most} gave about the most good answers a second"

    def _write_summary(self, document: bytes) -> None:
        path = self._reporting.summary
        if path == STDOUT:
            os.write(sys.stdout.fileno(), document + b"\n")
        elif path is not None:
            write_whole(path, document + b"\n")

    def _verdict(self, tally: Tally) -> int:
        bad = {"any": tally.failed, "error": tally.errors.total(), "never": 0}[self._reporting.fail_on]
        return NOT_OK if bad else OK


def _plan(sources: Sequence[str], options: Options, reporting: Reporting) -> int:
    """Read the list and send nothing."""
    from fetchall.plan import Plan

    plan = Plan(options)
    for batch in read_sources(sources):
        plan.add(batch)
    plan.close()
    document = dumps(plan.fields()) + b"\n"
    for path in reporting.output:
        if path != STDOUT:
            write_whole(path, document)
    if STDOUT in reporting.output or reporting.format in ("json", "jsonl"):
        os.write(1, document)
    elif not reporting.quiet:
        print(plan.text())
    return OK


def _spooled(stack: AsyncExitStack) -> int:
    """A copy of stdin that can be read twice; it is gone with the process."""
    spool = stack.enter_context(tempfile.TemporaryFile())  # noqa: SIM115 (the stack is the manager)
    while block := os.read(0, 1 << 20):
        spool.write(block)
    spool.flush()
    return spool.fileno()


def _words(error: BaseException) -> str:
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return f"{where}{(error.strerror or str(error)).lower()}; the run ended there"
    return str(error) or type(error).__name__


def _let_go_of_stdout() -> None:
    """Python flushes stdout at its end, and complains where the reader has gone."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        except OSError:
            return
