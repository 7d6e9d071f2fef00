"""
One command from its options to its exit code: sources, outputs, passes, signals and what is told to a person.

Goes through `api` like any other user of the library; must not know click or HTTP.
"""

from __future__ import annotations

import asyncio
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any

from fetchall import descriptors
from fetchall.api import Stream
from fetchall.checkpoints import Checkpoints
from fetchall.errors import InvalidOptions, MissingExtra, ResumeError, SinkError, SourceError
from fetchall.exits import BUG, CLOSED, IO, OK, REFUSED, TIME_UP, USAGE, verdict
from fetchall.listing import Listing, reading_of
from fetchall.loops import loop_factory
from fetchall.options import Options, Reporting
from fetchall.outputs import Outputs
from fetchall.person import Person, let_go_of_stdout, tuned_words, words
from fetchall.preflight import check_outputs, remarks
from fetchall.report import Report
from fetchall.resume import Past
from fetchall.rows import Columns, OldRow, summary_document
from fetchall.signals import Signals
from fetchall.sinks.upload import write_document
from fetchall.source import check_sources
from fetchall.source.feed import Feed, IterableFeed
from fetchall.tally import Tally


def run(sources: Sequence[str], options: Options, reporting: Reporting) -> int:
    """Do what the command says; the exit code. Nothing is raised."""
    person = Person(reporting)
    try:
        check_sources(sources, reading_of(reporting))
        check_outputs(reporting, sources)
        if reporting.merge is not None:
            from fetchall.engines.merge import merge

            return merge(reporting.merge, options, reporting, person)
        if reporting.cluster is not None:
            from fetchall.engines.cluster import fetch_on_cluster

            return fetch_on_cluster(reporting.cluster, sources, options, reporting, person)
        if reporting.plan:
            from fetchall.plan import tell_plan

            tell_plan(sources, options, reporting)
            return OK
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            return runner.run(_Command(sources, options, reporting, person).go())
    except (InvalidOptions, MissingExtra) as error:
        person.complain(str(error))
        return USAGE
    except BrokenPipeError:
        return CLOSED
    except (ResumeError, SourceError, SinkError, OSError, MemoryError) as error:
        person.complain(words(error))
        return REFUSED if isinstance(error, ResumeError) else IO
    except Exception:
        person.complain("this is a bug in fetchall; what was finished is written. Please report what follows:")
        if sys.stderr is not None:
            traceback.print_exc()
        return BUG
    finally:
        person.end_bar()
        let_go_of_stdout()


class _Command:
    """The state of one command while it runs."""

    def __init__(self, sources: Sequence[str], options: Options, reporting: Reporting, person: Person) -> None:
        self._sources = tuple(sources)
        self._listing = Listing(sources, reading_of(reporting), shard=reporting.shard)
        self._options = options
        self._reporting = reporting
        self._person = person
        self._stack = AsyncExitStack()
        self._stream: Stream | None = None
        self._report: Report | None = None
        self._past: Past | None = None
        self._before = 0.0  # seconds, of earlier runs
        self._stopped = asyncio.Event()
        self._started: float | None = None  # on the monotonic clock, the concurrent pass
        self._lost: OSError | MemoryError | None = None  # what the machine refused

    async def go(self) -> int:
        """Both passes, or the one; the exit code."""
        asyncio.get_running_loop().set_exception_handler(self._on_loop_error)
        async with self._stack as stack:
            await self._prepare(stack)
            Stream(IterableFeed(()), self._options)  # what the options can't mean is said before a file is touched
            signals = stack.enter_context(Signals(self._stop, self._hurry))
            columns = Columns.of(self._options, input=self._listing.has_columns())
            self._outputs = Outputs(self._reporting, self._options, self._person, self._on_room, columns)
            try:
                feed = await self._feed_after_past()
                if feed is None:
                    self._outputs.withdraw()
                    return signals.code or OK
                self._outputs.begin(self._past, self._options)
            except BaseException:
                self._outputs.withdraw()
                raise
            outputs, past = self._outputs, self._past
            self._before = past.elapsed if past is not None else 0.0
            self._report = Report(
                outputs.sinks,
                outputs.columns,
                closing=outputs.closing,
                stream=outputs.stream,
                tally=past.tally if past is not None else None,
                show=self._show,
                echo=self._person.narrate(self._options),
            )
            if self._report.begin(self._sources, self._options):
                self._options = replace(self._options, timings=True)  # noted; only --timings makes them columns
            return await self._passes(self._report, feed, signals)

    async def _prepare(self, stack: AsyncExitStack) -> None:
        options, person = self._options, self._person
        fits = descriptors.allowed(options.concurrency)
        if fits < options.concurrency and not options.auto:
            person.warn(f"concurrency lowered to {fits}: the system allows too few open files (ulimit -n)")
        options = replace(options, concurrency=fits)
        for remark in remarks(self._reporting, options):
            person.warn(remark)
        if self._reporting.demo:
            from fetchall.demo import PracticeSite

            site = await stack.enter_async_context(PracticeSite())
            if site.moved:
                person.warn(f"the practice site's own port is taken; it is at {site.base}")
            self._listing = Listing((), reading_of(self._reporting), site.urls)
            options = replace(options, proxy=None, noproxy="*")
        if self._reporting.sync:
            self._listing.read_twice(stack)
        self._options = options

    async def _feed_after_past(self) -> Feed | None:
        """The list without what an earlier run has done; None: a signal came while that was found out."""
        past = self._past = self._outputs.past(self._options)
        if past is None:
            return self._listing.feed()
        self._stack.callback(past.close)
        feed = self._listing.feed_after(past)
        if await feed.prepared(self._stopped):
            return feed
        feed.close()
        return None

    async def _passes(self, report: Report, feed: Feed, signals: Signals) -> int:
        sequential = self._outputs.state.sequential if self._outputs.state is not None else None
        failure: BaseException | None = None
        notes = Checkpoints(self._outputs, report.tally, self._elapsed, self._reporting.fsync, self._lose)
        notes.start()
        try:
            if self._reporting.sync and sequential is None:
                sequential = await self._sequential(report)
            if not self._stopped.is_set():
                notes.note_sequential(sequential)
                await self._concurrent(report, feed)
            else:
                feed.close()
        except BaseException as error:
            failure = error
        self._person.end_bar()
        signals.without_loop()
        notes.stop()
        failure, truncated = failure or self._lost, self._stream is not None and self._stream.truncated
        complete = failure is None and not self._stopped.is_set() and not truncated
        if not complete:
            notes.leave()
        self._end(report, sequential if not self._stopped.is_set() else None, complete, failure)
        if failure is not None:
            raise failure
        if signals.code is not None and not complete:
            return signals.code
        return TIME_UP if truncated else verdict(report.tally, self._reporting)

    async def _sequential(self, report: Report) -> float:
        """The list one at a time, over a session of its own; the seconds that it took."""
        tally = Tally()
        self._person.start_bar(self._listing.total(), "one at a time")
        started = time.monotonic()
        async with Stream(self._listing.feed(), self._options.one_at_a_time()) as self._stream:
            async for batch in self._stream.batches():
                for result in batch:
                    tally.add(result)
                report.add_sequential(batch)
                self._show(tally)
        self._person.end_bar()
        return time.monotonic() - started

    async def _concurrent(self, report: Report, feed: Feed) -> None:
        self._person.start_bar(self._listing.total())
        self._started = time.monotonic()
        replay = self._replay(report)
        try:
            options = self._outputs.attached(self._options)
            made = options.process_count > 1 and not report.wants_results
            async with Stream(feed, options, self._outputs.columns if made else None) as stream:
                self._stream = stream
                add: Callable[[Any], None] = report.add_made if made else report.add
                async for batch in stream.sheaves() if made else stream.batches():
                    add(batch)
                    if report.full:
                        await report.catch_up()
                    if replay is not None and replay.done():
                        replay.result()
            if replay is not None:
                await replay
        finally:
            if replay is not None:
                replay.cancel()

    def _replay(self, report: Report) -> asyncio.Task[None] | None:
        """Give what an earlier run did to the outputs that begin anew."""
        journal, rebuilt = self._outputs.journal, self._outputs.rebuilt
        if self._past is None or not rebuilt or journal is None:
            return None
        rows = (OldRow(index, line, place) for index, place, line in journal.lines())
        return asyncio.create_task(report.replay(rebuilt, rows))

    def _elapsed(self) -> float:
        """Seconds of the concurrent pass, those of earlier runs included."""
        return self._before + (time.monotonic() - self._started if self._started is not None else 0.0)

    def _on_loop_error(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        """What nobody awaits: where memory ran out while a socket was read, the run can't go on."""
        error = context.get("exception")
        if isinstance(error, MemoryError):
            self._lose(error)
        else:
            loop.default_exception_handler(context)

    def _lose(self, error: OSError | MemoryError) -> None:
        """The disk did not take what was written, or memory ran out: nothing more is begun, or waited for."""
        self._lost = self._lost or error
        if self._stream is not None:
            self._stream.abandon()

    def _show(self, tally: Tally) -> None:
        self._person.show(tally, self._stream.in_flight if self._stream is not None else 0)

    def _on_room(self) -> None:
        if self._report is not None:
            self._report.on_room()

    def _stop(self) -> None:
        """The first signal: begin nothing more, and give what is in flight some time."""
        self._stopped.set()
        if self._stream is not None:
            self._stream.stop()
            asyncio.get_running_loop().call_later(self._reporting.grace, self._stream.abandon)
        self._person.warn(f"stopping; what is in flight has {self._reporting.grace:g} s (again: at once)")

    def _hurry(self) -> None:
        """The second signal: what was handed over is there, all else is dropped."""
        self._person.end_bar()
        if self._report is not None:
            self._report.abort()

    def _end(self, report: Report, sequential: float | None, complete: bool, failure: BaseException | None) -> None:
        """Close the outputs and tell the person; the failure that ended the run goes before any met here."""
        outputs = self._outputs
        try:
            summary, timing = report.end(self._elapsed(), self._concurrency, sequential, complete=complete)
            write_document(self._reporting.summary, summary_document(summary, timing))
        except OSError:
            if failure is None:
                raise
        if failure is not None:
            if not report.tally.urls and self._past is None:
                outputs.discard()
            elif outputs.part is not None:
                failure.add_note(f"what is done is in {outputs.part}; --resume goes on")
            return
        if complete:
            outputs.settle(self._listing.whole, report.tally, timing)
        found = ""
        if self._options.auto and self._stream is not None:
            found = tuned_words(self._stream.settled, self._concurrency, self._options.concurrency)
        self._person.summarise(report.tally, summary, timing, outputs.named if complete else [], found)
        if not complete:
            self._person.say_way_on(report.tally.urls, outputs.part)

    @property
    def _concurrency(self) -> int:
        return self._stream.concurrency if self._stream is not None else self._options.concurrency
