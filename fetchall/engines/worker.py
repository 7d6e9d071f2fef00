"""
One shard fetched where a worker is, into the store that all share: its output, then the note that makes it count.

Knows one shard; it must not know how many workers there are, nor who runs them.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from fetchall import __version__, descriptors
from fetchall.engines import manifest
from fetchall.engines.manifest import STOP, shard_name
from fetchall.engines.shards import requests_of
from fetchall.engines.store import Store, store_of, write
from fetchall.errors import SinkError
from fetchall.loops import loop_factory
from fetchall.options import Options
from fetchall.records import Request, Result
from fetchall.report import Report
from fetchall.rows import Columns
from fetchall.run import Run
from fetchall.shard_note import NOTE, ShardNote
from fetchall.sinks import make
from fetchall.units import Shard
from fetchall.wire.session import Session

_AT_ONCE = 256
"""Results that are written together."""


@dataclass(frozen=True, slots=True)
class Job:
    """
    All that a worker is told of a shard. It holds secrets, which whoever shows or logs a job does not see.

    `name` is that of the shard and its run, which makes every job another one.
    """

    name: str
    shard: Shard
    folder: str = field(repr=False)
    whole: str
    total: int
    columns: Columns
    salt: str
    """Of the run's manifest, which is in the folder."""
    blocks: list[bytes] = field(repr=False)
    options: Options = field(repr=False)
    version: str = __version__


def fetch_shard(job: Job) -> ShardNote | None:
    """
    Fetch a shard to its end, or not at all; None: the run is to stop.

    Raises OSError and `SinkError` where its output can't be written; what the network did is in the rows.
    """
    if job.version != __version__:
        raise SinkError(f"a worker has fetchall {__version__}, not {job.version}: install the same on all machines")
    store = store_of(job.folder)
    if store.exists(STOP) or not _is_wanted(job, store):
        return None
    # A worker that is lost takes with it what nobody has asked it for yet, so a finished shard may be given out again.
    data = store.read(shard_name(*job.shard) + NOTE)
    if data is not None:
        return ShardNote.parse(data, f"{store.name}: the note of shard {job.shard}")
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        return runner.run(_Shard(job, store).fetched())


def _is_wanted(job: Job, store: Store) -> bool:
    """Whether the run is still that of the folder; `SinkError` where it never was: then rows would be lost there."""
    found = manifest.load(store)
    if found is None:
        raise SinkError(f"{store.name} of a worker is not the run's: -o is a folder that all machines share")
    return found.salt == job.salt


class _Shard:
    """A shard while it is fetched."""

    def __init__(self, job: Job, store: Store) -> None:
        self._job = job
        self._store = store
        self._stopped = False
        self._pending: list[Result] = []

    async def fetched(self) -> ShardNote | None:
        job, started = self._job, time.monotonic()
        options = replace(job.options, concurrency=descriptors.allowed(job.options.concurrency))
        name = shard_name(*job.shard)
        session = Session(options)
        outlet = self._store.outlet(name)
        self._report = report = Report([make("jsonl", outlet, columns=job.columns, choice=options.choice)], job.columns)
        try:
            run = Run(_Blocks(requests_of(job.blocks)), options, session, self._take, lambda: True)
            watch = asyncio.create_task(self._watch(run))
            try:
                await run.go()
            finally:
                watch.cancel()
            self._write()
        except BaseException:
            report.abort()
            raise
        if self._stopped or not self._is_wanted():
            report.abort()
            return None
        report.end(time.monotonic() - started, run.concurrency, None, complete=True)
        note = self._note(name, time.monotonic() - started, run.concurrency)
        write(self._store, name + NOTE, note.json())
        return note

    def _is_wanted(self) -> bool:
        """Once more, for it may be long ago that the shard was begun: a later run may have the folder, --overwrite."""
        try:
            return _is_wanted(self._job, self._store)
        except BaseException:
            self._report.abort()
            raise

    def _take(self, result: Result) -> None:
        self._pending.append(result)
        if len(self._pending) >= _AT_ONCE:
            self._write()

    def _write(self) -> None:
        results, self._pending = self._pending, []
        self._report.add(results)

    async def _watch(self, run: Run) -> None:
        """Give up as soon as the run is to stop."""
        while not await asyncio.to_thread(self._store.exists, STOP):  # noqa: ASYNC110 (other processes set no event)
            await asyncio.sleep(self._store.patience)
        self._stopped = True
        run.abandon()

    def _note(self, name: str, elapsed: float, concurrency: int) -> ShardNote:
        job = self._job
        return ShardNote(
            file=name,
            size=self._store.size(name),
            shard=job.shard,
            whole=job.whole,
            total=job.total,
            columns=job.columns,
            chosen=job.options.choice is not None,
            tally=self._report.tally.snapshot(),
            elapsed=elapsed,
            ended_at=time.time(),
            concurrency=concurrency,
        )


class _Blocks:
    """See `Feed`: requests that have their index already."""

    def __init__(self, requests: Iterator[Request]) -> None:
        self._requests = requests

    async def take(self, wanted: int) -> list[Request]:
        """See `Feed`."""
        return list(islice(self._requests, wanted))

    def close(self) -> None:
        """See `Feed`."""
