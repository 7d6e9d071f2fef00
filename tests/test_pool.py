"""
The worker pool without a socket: what a turn does is a function of the test's own, and time is a number.

The schedule is the real one: it has no I/O and no clock.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import pytest

from fetchall.errors import SourceError
from fetchall.pool import LoopClock, Pool
from fetchall.records import Fault, Origin, Request
from fetchall.schedule import Limits, Schedule
from fetchall.source.feed import Feed, feed_of

A = Origin("http", "a", 80)
Turn = Callable[["Job"], Awaitable[None]]


@dataclass
class Job:
    request: Request
    origin: Origin = A
    turns: int = 0


@dataclass
class Timer:
    clock: Clock
    when: float
    callback: Callable[[], None]

    def cancel(self) -> None:
        if self in self.clock.timers:
            self.clock.timers.remove(self)


@dataclass
class Clock:
    """Time that passes only when it is told to."""

    time: float = 0.0
    timers: list[Timer] = field(default_factory=list)

    def now(self) -> float:
        return self.time

    def call_at(self, when: float, callback: Callable[[], None]) -> Timer:
        timer = Timer(self, when, callback)
        self.timers.append(timer)
        return timer

    def advance(self) -> None:
        """To the first timer that is set."""
        timer = min(self.timers, key=lambda each: each.when)
        self.timers.remove(timer)
        self.time = max(self.time, timer.when)
        timer.callback()


class Bench:
    """A pool over a list, with what it did."""

    def __init__(
        self,
        urls: Any,
        turn: Turn,
        *,
        concurrency: int = 3,
        limits: Limits | None = None,
        clock: Any = None,
        room: Callable[[], bool] = lambda: True,
        look_ahead: int = 50,
        origin: Callable[[Request], Origin] = lambda request: A,
    ) -> None:
        self.clock = clock or Clock()
        self.schedule: Schedule[Job] = Schedule(limits or Limits())
        self.done: list[int] = []
        self.refused: list[int] = []
        self.now = 0
        self.most = 0
        self._turn = turn
        self._origin = origin
        feed: Feed = feed_of(urls)
        self.feed = feed
        self.pool: Pool[Job] = Pool(
            concurrency,
            self.schedule,
            feed,
            self.clock,
            admit=self.admit,
            turn=self.turn,
            refused=self.refuse,
            room=room,
            look_ahead=look_ahead,
        )

    def admit(self, request: Request) -> Job | None:
        if request.url == "bad":
            self.refused.append(request.index)
            return None
        return Job(request, self._origin(request))

    def refuse(self, job: Job, fault: Fault) -> None:
        self.refused.append(job.request.index)

    async def turn(self, job: Job, task: asyncio.Task[None]) -> None:
        assert task is asyncio.current_task()
        self.now += 1
        self.most = max(self.most, self.now)
        job.turns += 1
        try:
            await self._turn(job)
        finally:
            self.now -= 1
            self.schedule.done(job.origin, self.clock.now())
        self.done.append(job.request.index)


async def step(job: Job) -> None:
    """A turn that takes a few rounds of the loop."""
    for _ in range(3):
        await asyncio.sleep(0)


async def settle() -> None:
    """Let everything that can happen without time passing happen."""
    for _ in range(50):
        await asyncio.sleep(0)


async def ended(tasks_before: set[asyncio.Task[Any]]) -> None:
    await settle()
    assert asyncio.all_tasks() <= tasks_before


async def test_every_request_has_its_turn_and_no_task_is_left() -> None:
    before = asyncio.all_tasks()
    bench = Bench([f"u{number}" for number in range(100)], step)
    await bench.pool.run()
    assert sorted(bench.done) == list(range(100))
    await ended(before)


@pytest.mark.parametrize("concurrency", [1, 2, 7])
async def test_so_many_are_under_way_at_once_and_no_more(concurrency: int) -> None:
    bench = Bench([f"u{number}" for number in range(60)], step, concurrency=concurrency)
    await bench.pool.run()
    assert bench.most == concurrency


async def test_one_at_a_time_goes_in_the_order_of_the_list() -> None:
    bench = Bench([f"u{number}" for number in range(30)], step, concurrency=1)
    await bench.pool.run()
    assert bench.done == list(range(30))


async def test_there_is_a_task_for_each_worker_and_none_for_each_url() -> None:
    most = 0

    async def count(job: Job) -> None:
        nonlocal most
        most = max(most, len(asyncio.all_tasks()))
        await asyncio.sleep(0)

    bench = Bench((f"u{number}" for number in range(500)), count, concurrency=5)
    await bench.pool.run()
    assert most <= 5 + 3


async def test_a_list_is_read_no_further_than_the_workers_need() -> None:
    taken = 0
    furthest = 0

    def urls() -> Iterator[str]:
        nonlocal taken
        for number in range(300):
            taken += 1
            yield f"u{number}"

    async def turn(job: Job) -> None:
        nonlocal furthest
        furthest = max(furthest, taken - len(bench.done))
        await step(job)

    bench = Bench(urls(), turn, concurrency=4)
    await bench.pool.run()
    assert len(bench.done) == 300
    assert furthest <= 4 * 4


async def test_where_one_origin_holds_its_workers_up_the_reader_looks_ahead_so_far_and_no_further() -> None:
    taken = 0
    gate = asyncio.Event()

    def urls() -> Iterator[str]:
        nonlocal taken
        for number in range(10_000):
            taken += 1
            yield f"u{number}"

    async def hold(job: Job) -> None:
        await gate.wait()

    bench = Bench(urls(), hold, concurrency=10, limits=Limits(per_host=1), look_ahead=200)
    running = asyncio.ensure_future(bench.pool.run())
    await settle()
    assert bench.now == 1
    assert 200 <= taken <= 200 + 10
    bench.pool.abandon()
    await running


async def test_the_first_turn_begins_before_the_list_gives_its_second_line() -> None:
    second = asyncio.Event()
    began = asyncio.Event()

    async def urls() -> AsyncIterator[str]:
        yield "first"
        await second.wait()
        yield "second"

    async def turn(job: Job) -> None:
        began.set()

    bench = Bench(urls(), turn)
    running = asyncio.ensure_future(bench.pool.run())
    await asyncio.wait_for(began.wait(), 5)
    second.set()
    await running
    assert bench.done == [0, 1]


async def test_an_empty_list_ends_the_run() -> None:
    bench = Bench([], step)
    await bench.pool.run()
    assert bench.done == []


async def test_lines_that_are_no_request_need_no_worker_and_leave_the_loop_its_turn() -> None:
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            ticks += 1
            await asyncio.sleep(0)

    ticking = asyncio.ensure_future(tick())
    bench = Bench(["bad"] * 300, step, concurrency=3)
    await bench.pool.run()
    ticking.cancel()
    assert bench.refused == list(range(300))
    assert ticks >= 50


async def test_stop_lets_what_is_under_way_finish_and_begins_nothing_more() -> None:
    gate = asyncio.Event()

    async def turn(job: Job) -> None:
        await gate.wait()

    before = asyncio.all_tasks()
    bench = Bench([f"u{number}" for number in range(100)], turn)
    running = asyncio.ensure_future(bench.pool.run())
    await settle()
    bench.pool.stop()
    await settle()
    assert not running.done()
    gate.set()
    await running
    assert sorted(bench.done) == [0, 1, 2]
    await ended(before)


async def test_abandon_gives_up_what_is_under_way_as_well() -> None:
    before = asyncio.all_tasks()

    async def turn(job: Job) -> None:
        await asyncio.Event().wait()

    bench = Bench([f"u{number}" for number in range(100)], turn)
    running = asyncio.ensure_future(bench.pool.run())
    await settle()
    bench.pool.abandon()
    await asyncio.wait_for(running, 5)
    assert bench.done == []
    assert bench.now == 0
    await ended(before)


async def test_stop_ends_a_run_that_waits_for_a_list_that_never_comes() -> None:
    async def urls() -> AsyncIterator[str]:
        await asyncio.Event().wait()
        yield "never"

    bench = Bench(urls(), step)
    running = asyncio.ensure_future(bench.pool.run())
    await settle()
    bench.pool.stop()
    await asyncio.wait_for(running, 5)


async def test_stop_before_the_first_step_runs_nothing() -> None:
    bench = Bench(["u"], step)
    bench.pool.stop()
    await asyncio.wait_for(bench.pool.run(), 5)
    assert bench.done == []


async def test_cancelling_the_run_leaves_no_task() -> None:
    before = asyncio.all_tasks()

    async def turn(job: Job) -> None:
        await asyncio.Event().wait()

    bench = Bench([f"u{number}" for number in range(10)], turn)
    running = asyncio.ensure_future(bench.pool.run())
    await settle()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await ended(before)


async def test_an_exception_in_a_turn_ends_all_workers_and_is_raised() -> None:
    before = asyncio.all_tasks()

    async def turn(job: Job) -> None:
        if job.request.index == 4:
            raise RuntimeError("a bug")
        await step(job)

    bench = Bench([f"u{number}" for number in range(100)], turn)
    with pytest.raises(RuntimeError, match="a bug"):
        await bench.pool.run()
    assert len(bench.done) < 100
    await ended(before)


async def test_an_exception_of_the_list_ends_the_run_and_is_raised() -> None:
    before = asyncio.all_tasks()

    def urls() -> Iterator[str]:
        yield "u"
        raise SourceError("gone")

    with pytest.raises(SourceError, match="gone"):
        await Bench(urls(), step).pool.run()
    await ended(before)


async def test_a_rate_is_kept_on_the_clock_that_was_given() -> None:
    starts: list[float] = []

    async def turn(job: Job) -> None:
        starts.append(bench.clock.now())

    bench = Bench([f"u{number}" for number in range(20)], turn, limits=Limits(rate=2.0))
    running = asyncio.ensure_future(bench.pool.run())
    for _ in range(100):
        await settle()
        if running.done():
            break
        bench.clock.advance()
    await running
    assert len(starts) == 20
    assert all(later - earlier >= 0.5 - 1e-9 for earlier, later in pairwise(starts))
    assert 9.5 <= starts[-1] <= 10
    assert bench.clock.timers == []


async def test_an_origin_that_waits_does_not_hold_up_another() -> None:
    b = Origin("http", "b", 80)
    gate = asyncio.Event()

    async def turn(job: Job) -> None:
        if job.origin == A:
            await gate.wait()

    bench = Bench(
        [*["a"] * 20, *["b"] * 20],
        turn,
        concurrency=4,
        limits=Limits(per_host=2),
        origin=lambda request: A if request.url == "a" else b,
    )
    running = asyncio.ensure_future(bench.pool.run())
    await settle()
    assert sorted(bench.done) == list(range(20, 40))
    gate.set()
    await running
    assert len(bench.done) == 40


async def test_a_reader_of_results_without_room_holds_the_run_until_it_is_woken() -> None:
    room = True
    bench = Bench([f"u{number}" for number in range(50)], step, room=lambda: room)
    running = asyncio.ensure_future(bench.pool.run())
    for _ in range(15):
        await asyncio.sleep(0)
    room = False
    await settle()
    held = len(bench.done)
    assert 0 < held < 50
    await settle()
    assert len(bench.done) == held
    room = True
    bench.pool.wake()
    await running
    assert len(bench.done) == 50


async def test_a_job_that_comes_again_is_not_lost_when_the_list_has_ended() -> None:
    async def turn(job: Job) -> None:
        await asyncio.sleep(0)
        if job.turns < 3:
            bench.schedule.again(job, bench.clock.now(), bench.clock.now() + 1.0)

    bench = Bench(["u", "v"], turn, concurrency=5)
    running = asyncio.ensure_future(bench.pool.run())
    for _ in range(20):
        await settle()
        if running.done():
            break
        bench.clock.advance()
    await running
    assert sorted(bench.done) == [0, 0, 0, 1, 1, 1]


async def test_the_permits_are_all_back_at_the_end() -> None:
    bench = Bench([f"u{number}" for number in range(10)], step, concurrency=3)
    await bench.pool.run()
    for _ in range(3):
        await bench.pool.permits.acquire()
    assert bench.pool.permits.locked()
    for _ in range(3):
        bench.pool.permits.release()
    with pytest.raises(ValueError, match="too many"):
        bench.pool.permits.release()


async def test_the_loops_own_clock_calls_back_no_earlier_than_asked() -> None:
    clock = LoopClock()
    called: asyncio.Future[float] = asyncio.get_running_loop().create_future()
    when = clock.now() + 0.01
    clock.call_at(when, lambda: called.set_result(clock.now()))
    with contextlib.suppress(asyncio.CancelledError):
        assert await asyncio.wait_for(called, 5) >= when - 0.002
