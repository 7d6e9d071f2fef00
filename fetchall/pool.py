"""
The worker pool: N workers gathered over one shared, lazy feed; a bounded semaphore whose permits are the wire.

Knows the schedule and when to wake; it must not know HTTP. What a job is, and what one turn of it does, is handed in.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from time import monotonic
from typing import Any, Generic, TypeVar

from fetchall.errors import FetchallError
from fetchall.options import Clock
from fetchall.records import Fault, Request
from fetchall.schedule import Job, Schedule
from fetchall.source.feed import Feed

J = TypeVar("J", bound=Job)

LOOK_AHEAD = 20_000
"""Requests that may wait in memory, about 20 MB: as far as the list is read to find work for idle workers."""


class LoopClock:
    """The monotonic clock; the loop's own is only as fine as a millisecond under uvloop."""

    now = staticmethod(monotonic)

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """See `Clock`."""
        return self._loop.call_later(max(0.0, when - monotonic()), callback)


class Pool(Generic[J]):
    """
    Runs every request of a feed through the schedule and over the wire.

    `admit` turns a request into a job, or deals with it and gives None; `turn` takes a job one hop further and tells
    the schedule; `refused` deals with a job that is not to be sent, `ungated` with origins whose rules are not known.
    `room` says whether results can be taken, `held` how many requests wait outside the schedule.
    A worker that finds nothing to do waits for nothing in particular: whoever adds, ends or frees something wakes as
    many as can go.
    """

    def __init__(
        self,
        concurrency: int,
        schedule: Schedule[J],
        feed: Feed,
        clock: Clock,
        *,
        admit: Callable[[Request], J | None],
        turn: Callable[[J, asyncio.Task[None]], Awaitable[None]],
        refused: Callable[[J, Fault], None],
        ungated: Callable[[], None] = lambda: None,
        room: Callable[[], bool] = lambda: True,
        held: Callable[[], int] = lambda: 0,
        look_ahead: int = LOOK_AHEAD,
    ) -> None:
        self.permits = asyncio.BoundedSemaphore(concurrency)
        self.allowed = concurrency
        """How many of the permits may be used; who raises it does so within a turn, or calls `wake`."""
        self._concurrency = concurrency
        self._schedule = schedule
        self._feed = feed
        self._clock = clock
        self._admit = admit
        self._turn = turn
        self._refused = refused
        self._ungated = ungated
        self._room = room
        self._held = held
        self.look_ahead = max(look_ahead, 2 * concurrency)
        self._idle: deque[asyncio.Future[J | None]] = deque()
        self._hungry = asyncio.Event()
        self._exhausted = False
        self._broken: FetchallError | None = None
        self.stopped = False
        """True: the end of the list was not waited for."""
        self._timer: Any = None
        self._timer_at: float | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._reader: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        state = "stopped" if self.stopped else "exhausted" if self._exhausted else "reading"
        return f"<Pool {state}, {len(self._idle)} of {self._concurrency} idle, {self._schedule!r}>"

    async def run(self) -> None:
        """
        Until every request has had its turn, or `stop` was called and what was in flight is done.

        Raises what the list raised: `SourceError` after the requests that it gave before, anything else at once.
        """
        self._tasks = [asyncio.create_task(self._work()) for _ in range(self._concurrency)]
        self._reader = asyncio.create_task(self._read())
        try:
            # gather does not cancel the others when one raises, so they are kept and cancelled below.
            await asyncio.gather(self._reader, *self._tasks)
        except asyncio.CancelledError:
            # A task that is cancelled before its first step can't see to it itself.
            if not self.stopped:
                raise
        finally:
            await self._end([self._reader, *self._tasks])
        if self._broken is not None:
            raise self._broken

    def stop(self) -> None:
        """Begin nothing more; what is in flight goes on to its end."""
        self.stopped = True
        self._exhausted = True
        if self._reader is not None:
            self._reader.cancel()
        self.wake()

    def abandon(self) -> None:
        """Stop, and cancel what is in flight too; it has no result."""
        self.stop()
        for task in self._tasks:
            task.cancel()

    def wake(self) -> None:
        """Something may go that could not: hand jobs to idle workers, and let the reader look."""
        self._settle()
        while self._idle and (job := self._next()) is not None:
            self._give(job)
        if self._finished():
            while self._idle:
                self._give(None)
        elif self._idle:
            self._set_timer()
        self._feed_more()

    async def _end(self, tasks: list[asyncio.Task[None]]) -> None:
        self._feed.close()
        if self._timer is not None:
            self._timer.cancel()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _work(self) -> None:
        schedule = self._schedule
        task = asyncio.current_task()
        assert task is not None
        try:
            while True:
                job = self._next()
                if schedule.refused or schedule.ungated:
                    self._settle()
                if job is None:
                    job = await self._wait()
                    if job is None:
                        return
                # Not `async with`: it takes two coroutines more, and this is done for every hop.
                await self.permits.acquire()
                try:
                    await self._turn(job, task)
                finally:
                    self.permits.release()
                # Those whose permits are withheld idle anyway: whoever ended a job takes the next one itself.
                if len(self._idle) > self._concurrency - self.allowed:
                    self.wake()
                elif schedule.waiting < self.allowed:
                    self._feed_more()
        except asyncio.CancelledError:
            if not self.stopped:
                raise

    def _next(self) -> J | None:
        return self._schedule.next(self._clock.now()) if self._may_begin() else None

    def _may_begin(self) -> bool:
        return self._schedule.in_flight < self.allowed and not self.stopped and self._room()

    async def _wait(self) -> J | None:
        waiter: asyncio.Future[J | None] = asyncio.get_running_loop().create_future()
        self._idle.append(waiter)
        self.wake()
        return await waiter

    def _give(self, job: J | None) -> None:
        waiter = self._idle.popleft()
        if not waiter.done():
            waiter.set_result(job)

    def _finished(self) -> bool:
        if self.stopped:
            return True
        return self._exhausted and not self._schedule.waiting and len(self._idle) == self._concurrency

    def _set_timer(self) -> None:
        # Whoever takes results or ends a request wakes us: no time does.
        at = self._schedule.wake_at() if self._may_begin() else None
        if at == self._timer_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = None if at is None else self._clock.call_at(at, self._on_timer)

    def _on_timer(self) -> None:
        self._timer, self._timer_at = None, None
        self.wake()

    def _settle(self) -> None:
        """Deal with what the schedule will not send, or not before something is known."""
        if self._schedule.ungated:
            self._ungated()
        refused = self._schedule.refused
        while refused:
            self._refused(*refused.popleft())

    def _wanted(self) -> int:
        """Requests that the reader should fetch: while workers idle, as far as the look-ahead; else a full house."""
        if self._exhausted or not self._room():
            return 0
        idle = self._idle and self._schedule.in_flight < self.allowed
        bound = self.look_ahead if idle else self.allowed
        return max(0, min(bound - self._schedule.waiting - self._held(), self._concurrency))

    def _feed_more(self) -> None:
        if not self._hungry.is_set() and self._wanted():
            self._hungry.set()

    async def _read(self) -> None:
        try:
            await self._read_on()
        except asyncio.CancelledError:
            if not self.stopped:
                raise
        except FetchallError as error:  # a list that broke off: what it gave before that is fetched all the same
            self._broken = error
        self._exhausted = True
        self.wake()

    async def _read_on(self) -> None:
        while not self._exhausted:
            self._hungry.clear()
            wanted = self._wanted()
            if not wanted:
                await self._hungry.wait()
                continue
            requests = await self._feed.take(wanted)
            if not requests:
                return
            self._admit_all(requests)
            # The loop gets its turn although nothing here had to wait: a list of bad lines never would.
            await asyncio.sleep(0)

    def _admit_all(self, requests: list[Request]) -> None:
        for request in requests:
            if self.stopped:
                return
            job = self._admit(request)
            if job is not None:
                self._schedule.add(job, self._clock.now())
        self.wake()
