"""
A list as shards on any `concurrent.futures.Executor`: cut once, each shard fetched whole by a worker, counted once.

Knows the manifest and futures; it must not know what runs the futures, nor HTTP.
"""

from __future__ import annotations

import asyncio
import dataclasses
import os
import secrets
from collections.abc import AsyncIterable, Callable, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Executor
from contextlib import suppress
from heapq import heapify, heappop, heappush
from typing import IO, Any

from fetchall.engines import manifest
from fetchall.engines.manifest import STOP, Manifest, Sum
from fetchall.engines.shards import Cut, Piece, Spool, lanes_for, rows_for
from fetchall.engines.store import LOCK, LocalStore, Store, store_of, write
from fetchall.engines.worker import Job, fetch_shard
from fetchall.errors import FetchallError, InvalidOptions, SinkError
from fetchall.options import Options, resolve_options
from fetchall.records import Request, Summary
from fetchall.rows import Columns
from fetchall.shard_note import ShardNote
from fetchall.units import Shard
from fetchall.wire.session import Session

_FILES = ("cacert", "cert", "key", "netrc_file", "bodies")
"""Options that name files, which a worker must find whatever its folder is."""
_AT_ONCE = 1000
_LOOK = 1.0
"""Seconds between two looks at how many workers there are."""
_LAST_LOOKS = 20
"""Looks in a row that bring nothing, after which a run that stops no longer waits: there may be no worker any more."""


async def fetch_sharded(
    urls: Iterable[str | Request],
    folder: str,
    executor: Executor,
    options: Options | None = None,
    *,
    workers: int,
    resume: bool = False,
    overwrite: bool = False,
    **changes: Any,
) -> Summary:
    """
    Fetch every URL by the workers of an executor, which write their rows as shards into a folder that all share.

    `folder` is a path or an fsspec URL; `workers` is how many shards the executor works on at once; `changes` are
    fields of `Options`, of which `concurrency` holds for each worker and `rate` for all of them together.
    `resume` goes on with what is there, `overwrite` throws it away. Raises `ResumeError` where the folder belongs to
    another list or other options, `SinkError` where a shard can't be fetched: what is finished stays finished.
    """
    if isinstance(urls, AsyncIterable):
        raise InvalidOptions("fetch_sharded reads the whole list first: give it an iterable that is not asynchronous")
    if workers < 1:
        raise InvalidOptions(f"workers is {workers}: at least 1")
    run = Sharded(folder, executor, resolve_options(options, changes), lambda: workers)
    try:
        await run.prepare(_batches(urls), resume=resume, overwrite=overwrite)
        await run.go()
        return run.sum.figures(complete=run.complete)[0]
    finally:
        run.close()


def _batches(urls: Iterable[str | Request]) -> Iterator[list[Request]]:
    batch = []
    for index, item in enumerate(urls):
        batch.append(Request(item, index) if isinstance(item, str) else dataclasses.replace(item, index=index))
        if len(batch) == _AT_ONCE:
            yield batch
            batch = []
    if batch:
        yield batch


def check(options: Options) -> None:
    """Raise `InvalidOptions` for what a worker would refuse, before one is asked."""
    if options.cookie_jar or options.tar_shards or options.process_count > 1 or options.refresh is not None:
        others = "--cookie-jar, --tar-shards, --processes or --refresh"
        raise InvalidOptions(f"a worker is one process of its own: no {others}")
    Session(options)


class Sharded:
    """
    One run in shards: `prepare`, then `go`, then `close`.

    `workers` says how many shards are worked on at once, which may change meanwhile; `show` is told of progress.
    """

    def __init__(
        self, folder: str, executor: Executor, options: Options, workers: Callable[[], int], *, input: bool = False
    ) -> None:
        """`input`: the list has further columns. Raises what `check` does."""
        check(options)
        self._options = options
        self._executor = executor
        self._workers = workers
        self._columns = Columns.of(options, input=input)
        self._store: Store = store_of(folder, make=True)
        # A worker's own folder is another.
        self._folder = os.path.abspath(self._store.name) if isinstance(self._store, LocalStore) else folder
        self._lock: IO[bytes] | None = self._store.lock()
        self._spool: Spool | None = None
        self._futures: dict[asyncio.Future[ShardNote | None], list[Piece]] = {}
        self._stopping = False
        self.sum = Sum()
        self.total: int | None = None
        self.show: Callable[[Sum, int], None] = lambda found, under_way: None

    def __repr__(self) -> str:
        return f"<Sharded {self.sum.tally.urls} of {self.total} rows in {self._store.name}>"

    @property
    def complete(self) -> bool:
        """Whether every row is there."""
        return self.sum.tally.urls == self.total

    async def prepare(self, batches: Iterator[list[Request]], *, resume: bool, overwrite: bool) -> None:
        """Read the list and cut it; find out what an earlier run has done. Raises `SourceError`, `ResumeError`."""
        store = self._store
        known = manifest.load(store) if not overwrite else None
        if known is not None:
            if not resume:
                raise SinkError(f"{store.name} holds an earlier run: --resume goes on with it, --overwrite drops it")
            known.check_options(self._options, store.name)
        self._at_once = max(self._workers(), 1)
        lanes = known.cut.lanes if known is not None else lanes_for(self._at_once)
        spool = self._spool = Spool(lanes)
        await asyncio.to_thread(spool.read, self._until_stopped(batches))
        if self._stopping:
            return
        self.total = spool.whole.rows
        if known is not None:
            known.check_list(spool.whole.hex(), store.name)
            self._pieces = spool.pieces(known.cut.rows)
            self._identity = known
        else:
            rows = 0 if self._options.dedupe else rows_for(self.total, self._at_once)
            self._pieces = spool.pieces(rows)
            if overwrite:
                manifest.clear(store)
            self._identity = Manifest.begin(
                spool.whole.hex(), self.total, Cut(lanes, rows), len(self._pieces), self._options
            )
        self._take_over(spool)
        if known is None:
            self._identity.save(store)

    def _until_stopped(self, batches: Iterator[list[Request]]) -> Iterator[list[Request]]:
        for batch in batches:
            if self._stopping:
                return
            yield batch

    def _take_over(self, spool: Spool) -> None:
        """Count the shards that are finished; the others are left to do."""
        done = self._identity.finished(self._store, [spool.rows(piece) for piece in self._pieces])
        for note in done.values():
            self.sum.add(note)
        self._pieces = [piece for piece in self._pieces if piece.number not in done]
        self._store.remove(STOP)

    async def go(self) -> None:
        """Until every shard is finished, or `stop` was called and nobody is at work any more."""
        if self._stopping:
            return
        run, waiting, idle = secrets.token_hex(8), self._chains(), 0
        self.show(self.sum, 0)
        try:
            while idle < _LAST_LOOKS and (waiting or self._futures):
                while waiting and not self._stopping and len(self._futures) < self._window():
                    self._submit(heappop(waiting)[2], run)
                if not self._futures:
                    return
                done, _ = await asyncio.wait(self._futures, timeout=_LOOK, return_when=asyncio.FIRST_COMPLETED)
                idle = idle + 1 if self._stopping and not done else 0
                for future in done:
                    chain = self._futures.pop(future)
                    note = await _note_of(future, chain[0])
                    if note is None:  # whoever wrote the file that stops us
                        self._stopping = True
                        continue
                    self.sum.add(note)
                    if len(chain) > 1:
                        heappush(waiting, (1 - len(chain), chain[1].number, chain[1:]))
                self.show(self.sum, len(self._futures))
        except BaseException:
            self.stop()
            if self._futures:
                await asyncio.wait(self._futures, timeout=2 * self._store.patience)
            raise
        finally:
            for future in self._futures:
                future.add_done_callback(_heard)
                future.cancel()
        if self.complete:
            manifest.sweep(self._store)

    def stop(self) -> None:
        """Begin nothing more, and have whoever is at work give up: shards are whole or not at all."""
        self._stopping = True
        if self._futures:
            with suppress(OSError):  # where nothing can be written any more, workers learn that by themselves
                write(self._store, STOP, b"")

    def close(self) -> None:
        """Let go of everything."""
        if self._spool is not None:
            self._spool.close()
        if self._lock is not None:
            self._store.remove(LOCK)
            self._lock.close()

    def _chains(self) -> list[tuple[int, int, list[Piece]]]:
        """
        What may be done side by side, the longest first.

        Where something holds for each host, the pieces of a lane come one after the other.
        """
        options = self._options
        chains: dict[int, list[Piece]] = {}
        alone = options.per_host or options.per_host_rate or options.robots or options.max_host_errors
        for piece in self._pieces:
            chains.setdefault(piece.lane if alone else piece.number, []).append(piece)
        found = [(-len(chain), chain[0].number, chain) for chain in chains.values()]
        heapify(found)
        return found

    def _window(self) -> int:
        """How many shards the executor may have: one in reserve for each worked on, but no more than share a rate."""
        if self._options.rate or self._options.limit_rate:
            return self._at_once
        return 2 * max(self._workers(), 1)

    def _submit(self, chain: list[Piece], run: str) -> None:
        assert self._spool is not None
        piece, run_of = chain[0], self._identity
        shard = Shard(piece.number, run_of.shards)
        job = Job(
            name=f"{run} {shard}",
            shard=shard,
            folder=self._folder,
            whole=run_of.whole,
            total=run_of.total,
            columns=self._columns,
            salt=run_of.salt,
            blocks=self._spool.blocks(piece),
            options=_for_worker(self._options, self._at_once),
        )
        try:
            future = asyncio.wrap_future(self._executor.submit(fetch_shard, job))
        except RuntimeError as error:  # broken, or shut down
            raise _broken(error) from error
        self._futures[future] = chain


def _for_worker(options: Options, workers: int) -> Options:
    """The options of one worker of so many: rates are shared out, files are found from any folder."""
    changes: dict[str, Any] = {name: os.path.abspath(path) for name in _FILES if (path := getattr(options, name))}
    if options.rate:
        changes["rate"] = options.rate / workers
    if options.limit_rate:
        changes["limit_rate"] = max(options.limit_rate // workers, 1)
    return dataclasses.replace(options, max_run_time=None, **changes)


async def _note_of(future: asyncio.Future[ShardNote | None], piece: Piece) -> ShardNote | None:
    try:
        return await future
    except (FetchallError, OSError):
        raise
    except asyncio.CancelledError as error:
        if not future.cancelled():
            raise
        raise SinkError("the executor dropped its work: what is finished is kept, and --resume goes on") from error
    except BrokenExecutor as error:
        raise _broken(error) from error
    except Exception as error:
        words = f"{type(error).__name__}: {error}".splitlines()[0]
        raise SinkError(f"shard {piece.number} could not be fetched; --resume goes on ({words})") from error


def _broken(error: RuntimeError) -> SinkError:
    return SinkError(f"the executor takes no more work; --resume goes on ({error})")


def _heard(future: asyncio.Future[ShardNote | None]) -> None:
    """Nobody waits for it any more; asyncio would complain of an exception that nobody saw."""
    if not future.cancelled():
        future.exception()
