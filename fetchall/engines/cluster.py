"""
One command on a Dask cluster: the list cut into shards, the workers watched, and what a person is told meanwhile.

The only module that imports Dask. Knows the cluster's address and how many threads its workers have; it must not know
HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from fetchall.engines.manifest import Sum
from fetchall.engines.sharded import Sharded, check
from fetchall.errors import InvalidOptions, MissingExtra, SinkError
from fetchall.exits import TIME_UP, verdict
from fetchall.listing import Listing, reading_of
from fetchall.loops import loop_factory
from fetchall.options import Options, Reporting
from fetchall.person import Person
from fetchall.rows import summary_document
from fetchall.signals import Signals
from fetchall.sinks.upload import write_document

_CONNECT = 10.0
"""Seconds for the scheduler to answer."""
_SILENT = 60.0
"""Seconds without a word from it, after which it is given up: one that stands still closes no connection."""
_LOOK = 1.0
"""Seconds between two looks at which workers there are."""


def fetch_on_cluster(
    address: str, sources: Sequence[str], options: Options, reporting: Reporting, person: Person
) -> int:
    """Do what the command says by the workers of a cluster; the exit code."""
    check(options)
    if options.insecure:
        person.warn("certificates are not verified (--insecure)")
    person.narrate(options)
    with _connected(address) as client, asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_OnCluster(client, address, sources, options, reporting, person).go())


@contextmanager
def _connected(address: str) -> Iterator[Any]:
    try:
        from distributed import Client
    except ImportError as error:
        raise MissingExtra("--cluster", "dask") from error
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("distributed"):  # what it has to say in many lines is said in one, here
            logging.getLogger(name).setLevel(logging.CRITICAL)
    where = {"scheduler_file": address} if os.path.isfile(address) else {"address": address}
    try:
        client: Any = Client(**where, timeout=_CONNECT, set_as_default=False, name="fetchall")  # type: ignore[no-untyped-call]
    except ValueError as error:
        raise InvalidOptions(f"--cluster {address}: {error}") from error
    except (OSError, TimeoutError) as error:
        raise SinkError(f"--cluster {address}: no Dask scheduler answers there") from error
    try:
        yield client
    finally:
        with suppress(Exception):  # it may be gone, and its word is not needed any more
            client.close(timeout=_CONNECT)


class _OnCluster:
    """The state of one command while it runs."""

    def __init__(
        self,
        client: Any,
        address: str,
        sources: Sequence[str],
        options: Options,
        reporting: Reporting,
        person: Person,
    ) -> None:
        self._client = client
        self._address = address
        self._listing = Listing(sources, reading_of(reporting))
        self._options = options
        self._reporting = reporting
        self._person = person
        self._workers = 0
        """Shards that the workers there are can work on at once: one for each of their threads."""
        self._run: Sharded | None = None
        self._stopped = asyncio.Event()
        self._time_up = False

    async def go(self) -> int:
        """The exit code."""
        with Signals(self._stop, self._person.end_bar) as signals:
            watch = asyncio.create_task(self._watch())
            try:
                run = self._run = Sharded(
                    self._reporting.output[0],
                    self._client.get_executor(pure=False),
                    self._options,
                    lambda: self._workers,
                    input=self._listing.has_columns(),
                )
                try:
                    await self._fetch(run, watch)
                finally:
                    self._person.end_bar()
                    run.close()
            finally:
                watch.cancel()
            signals.without_loop()
            self._tell(run)
            if run.complete:
                return verdict(run.sum.tally, self._reporting)
            return TIME_UP if self._time_up else signals.code or TIME_UP

    async def _fetch(self, run: Sharded, watch: asyncio.Task[None]) -> None:
        await self._workers_there()
        if self._stopped.is_set():
            return
        reporting, limit = self._reporting, self._options.max_run_time
        await run.prepare(self._listing.batches(), resume=reporting.resume, overwrite=reporting.overwrite)
        self._person.start_bar(run.total, "cluster")
        run.show = self._show
        timer = asyncio.get_running_loop().call_later(limit, self._end_of_time) if limit else None
        work = asyncio.create_task(run.go())
        try:
            await asyncio.wait((work, watch), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                watch.result()
            await work
        finally:
            work.cancel()
            if timer is not None:
                timer.cancel()

    async def _workers_there(self) -> None:
        """Until a worker is there, or the run is to stop."""
        told = False
        while not self._stopped.is_set():
            await self._look()
            if self._workers:
                return
            if not told:
                self._person.warn("the cluster has no worker yet: waiting for one")
                told = True
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopped.wait(), _LOOK)

    async def _watch(self) -> None:
        """Keep count of the workers; raises `SinkError` where the scheduler is gone."""
        while True:
            await asyncio.sleep(_LOOK)
            before = self._workers
            await self._look()
            if before and not self._workers:
                self._person.warn("the cluster has lost all its workers: waiting for one")

    async def _look(self) -> None:
        try:
            threads = await asyncio.to_thread(self._threads)
        except Exception as error:  # Dask has many for this
            raise SinkError(f"--cluster {self._address}: its scheduler is gone; --resume goes on") from error
        if not self._workers and any(count > 1 for count in threads.values()):
            self._person.warn("some workers have several threads, which share one core: start them with --nthreads 1")
        self._workers = sum(threads.values())

    def _threads(self) -> dict[str, int]:
        """The threads of each worker, which `Client.nthreads` would wait for without bound."""
        found: dict[str, int] = self._client.sync(self._client.scheduler.ncores, callback_timeout=_SILENT)
        return found

    def _tell(self, run: Sharded) -> None:
        summary, timing = run.sum.figures(complete=run.complete)
        write_document(self._reporting.summary, summary_document(summary, timing))
        folder = self._reporting.output[0]
        self._person.summarise(run.sum.tally, summary, timing, [folder] if run.complete else [])
        if not run.complete:
            self._person.say_way_on(run.sum.tally.urls, folder)

    def _show(self, found: Sum, under_way: int) -> None:
        self._person.show(found.tally, min(under_way, self._workers) * self._options.concurrency)

    def _stop(self) -> None:
        self._stopped.set()
        if self._run is not None:
            self._run.stop()
        self._person.warn("stopping; shards that are under way are dropped (again: at once)")

    def _end_of_time(self) -> None:
        self._time_up = True
        if self._run is not None:
            self._run.stop()
