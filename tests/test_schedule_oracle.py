"""
The schedule against an oracle that knows its rules but keeps no queues: it looks at every job and every past start.

Thousands of random runs on a virtual clock. After each call the oracle checks that what was given might go, that it
was the turn of it, and, when nothing was given, that nothing held might have gone.
"""

from __future__ import annotations

import random
from collections import defaultdict
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import ceil, inf

import pytest

from fetchall.pace import Brake, Pace
from fetchall.records import ErrorType, Fault, Origin
from fetchall.schedule import Limits, Schedule, Signal

ROUNDING = 1e-9
"""Seconds: the oracle sums in another order."""


@dataclass(eq=False)
class Job:
    number: int
    origin: Origin
    home: Origin
    robots_of: Origin | None = None
    hops: int = 0
    attempts: int = 0
    # what the oracle notes of it while it is held
    front: bool = False
    entered: int = 0
    ready_at: float = 0.0

    @property
    def passes(self) -> bool:
        return self.robots_of is not None


@dataclass
class Known:
    """What the oracle knows of one origin."""

    flying: int = 0
    starts: list[tuple[float, Pace]] = field(default_factory=list)
    crawl_delay: float | None = None
    opened: bool = False
    closed_to: int = 0
    """Jobs whose number this divides are not allowed by its rules; 0: all are."""
    paused_until: float = -inf
    banned_until: float = -inf
    errors: int = 0
    refusing_since: float = inf
    braked: bool = False
    passed_over: int = 0


@dataclass(frozen=True)
class Mood:
    """How often a server gives no answer, refuses (and what wait it asks for) or points elsewhere."""

    dead: float = 0.0
    throttled: float = 0.0
    pauses: tuple[float | None, ...] = (None,)
    redirects: float = 0.0


MOODS = [
    Mood(),
    Mood(),
    Mood(redirects=0.4),
    Mood(dead=1.0),
    Mood(dead=0.4),
    Mood(throttled=0.3),
    Mood(throttled=0.3, pauses=(None, 0.5, 1.5)),
    Mood(throttled=0.1, pauses=(1.0, 30.0, 3_600.0)),
    Mood(throttled=1.0, pauses=(None, 1.0)),
]


def due(starts: list[tuple[float, Pace]], *, surely: bool) -> float:
    """
    When the next start is due: surely once an interval has passed since the last.

    Before that only as far as none of them was too early, each having been late by its slack: every one is asked.
    """
    if surely:
        return starts[-1][0] + starts[-1][1].interval if starts else -inf
    latest, gap = -inf, 0.0
    for at, pace in reversed(starts):
        gap += pace.interval
        latest = max(latest, at - pace.slack + gap)
    return latest


class World:
    """One random run: a list, limits, servers, and the oracle that watches."""

    def __init__(self, seed: int) -> None:
        rng = self.rng = random.Random(seed)
        choose = rng.choice
        self.limits = Limits(
            per_host=choose([0, 0, 1, 2, 3]),
            rate=choose([None, None, None, 0.7, 3.0, 25.0, 200.0]),
            per_host_rate=choose([None, None, None, 0.5, 2.5, 20.0]),
            max_host_errors=choose([0, 0, 1, 3]),
            retry_after_max=choose([2.0, 60.0]),
        )
        self.gate = rng.random() < 0.3
        self.slots = choose([1, 2, 5, 20])
        self.lateness = choose([0.0, 0.004])
        self.origins = [Origin("http", f"h{number}.example", 80) for number in range(choose([1, 2, 3, 6]))]
        self.mood = {origin: choose(MOODS) for origin in self.origins}
        self.list = [self.job(number) for number in range(choose([3, 10, 30]))]
        if rng.random() < 0.5:
            self.list.sort(key=lambda job: job.origin)
        self.schedule: Schedule[Job] = Schedule(self.limits, gate=self.gate)
        self.per_host = self.limits.per_host or 10**9
        self.now = rng.uniform(0, 1e5)
        self.known: dict[Origin, Known] = defaultdict(Known)
        self.held: set[Job] = set()
        self.flights: list[tuple[float, int, Job]] = []
        self.all_starts: list[tuple[float, Pace]] = []
        self.ended: list[int] = []
        self.counter = 0

    def job(self, number: int) -> Job:
        origin = self.rng.choice(self.origins)
        return Job(number, origin, origin)

    # --- what the oracle thinks

    def pace(self, origin: Origin) -> Pace | None:
        crawl, limit = self.known[origin].crawl_delay, self.limits.per_host_rate
        paces = [Pace(crawl)] if crawl else []
        paces += [Pace.at_rate(limit)] if limit else []
        return max(paces, key=lambda pace: pace.interval) if paces else None

    def may_go_at(self, job: Job, *, surely: bool, alone: bool = False) -> float:
        """When this job may go, if nothing ends before; `alone`: whatever the rate of all."""
        known = self.known[job.origin]
        if known.flying >= self.per_host or (self.gate and not known.opened and not job.passes):
            return inf
        of_all = -inf if alone else due(self.all_starts, surely=surely)
        return max(job.ready_at, known.paused_until, due(known.starts, surely=surely), of_all)

    def check_given(self, job: Job) -> None:
        known = self.known[job.origin]
        assert job in self.held
        assert self.may_go_at(job, surely=False) <= self.now + ROUNDING, "it had to wait"
        rank = (not job.passes, not job.front)
        for other in self.held:
            if other is job or other.origin != job.origin or other.ready_at > self.now - ROUNDING:
                continue
            if not self.gate or known.opened or other.passes:
                other_rank = (not other.passes, not other.front)
                assert rank <= other_rank, "another goes first"
                if rank == other_rank and not job.front:
                    assert job.entered < other.entered, "the order of the list"
        early = self.now - ROUNDING
        waiting = {other.origin for other in self.held if self.may_go_at(other, surely=True, alone=True) <= early}
        for origin, one in self.known.items():
            fair = origin in waiting and origin != job.origin and not one.braked
            one.passed_over = one.passed_over + 1 if fair else 0
            assert one.passed_over < len(self.origins), "it was its turn"

    def check_idle(self) -> None:
        """Nothing was given: nothing may go, and the schedule knows when something will."""
        surely = self.earliest(surely=True, braked=False)
        assert surely >= self.now - ROUNDING, "a slot idles while this may go"
        perhaps = self.earliest(surely=False, braked=True)
        wake = self.schedule.wake_at()
        assert wake is not None or perhaps == inf, "it would sleep for ever"
        wake = inf if wake is None else wake
        assert wake <= surely + ROUNDING, "it would sleep too long"
        assert wake >= perhaps - ROUNDING, "it would wake for nothing"

    def earliest(self, *, surely: bool, braked: bool) -> float:
        """When the first of those held may go; how long a brake holds the oracle does not know."""
        jobs = (job for job in self.held if braked or not self.known[job.origin].braked)
        return min((self.may_go_at(job, surely=surely) for job in jobs), default=inf)

    def check_books(self) -> None:
        self.drain()
        schedule = self.schedule
        assert schedule.waiting == len(self.held)
        assert schedule.in_flight == len(self.flights)
        for job in self.held:
            assert self.known[job.origin].banned_until <= self.now, "it should have been refused"

    def drain(self) -> None:
        while self.schedule.refused:
            job, fault = self.schedule.refused.popleft()
            assert job in self.held
            self.held.remove(job)
            self.check_refusal(job, fault)
            if job.robots_of is not None:
                self.open(job.robots_of, closed_to=1)
            else:
                self.ended.append(job.number)
        while self.schedule.ungated:
            origin = self.schedule.ungated.popleft()
            assert not self.known[origin].opened
            self.again(Job(-1, origin, origin, robots_of=origin), None)

    def check_refusal(self, job: Job, fault: Fault) -> None:
        known = self.known[job.origin]
        if fault.type is ErrorType.ROBOTS:
            assert known.opened
            assert known.closed_to
            assert not job.number % known.closed_to
            assert not job.passes
        elif fault.type is ErrorType.HOST_SKIPPED:
            assert 0 < self.limits.max_host_errors <= known.errors
            assert known.banned_until == inf
        else:
            assert fault.type is ErrorType.RATE_LIMITED
            assert self.now <= known.banned_until
        assert not fault.retryable

    # --- what happens

    def hold(self, job: Job, front: bool, ready_at: float) -> None:
        self.counter += 1
        job.front, job.ready_at, job.entered = front, ready_at, self.counter
        self.held.add(job)

    def add(self, job: Job) -> None:
        self.hold(job, False, self.now)
        self.schedule.add(job, self.now)
        self.check_books()

    def again(self, job: Job, at: float | None) -> None:
        self.hold(job, True, self.now if at is None else max(at, self.now))
        self.schedule.again(job, self.now, at, passes=job.passes)
        self.check_books()

    def next(self) -> bool:
        job = self.schedule.next(self.now)
        if job is None:
            self.check_idle()
            return False
        self.check_given(job)
        self.held.remove(job)
        known = self.known[job.origin]
        known.flying += 1
        known.passed_over = 0
        pace = self.pace(job.origin)
        if pace is not None:
            known.starts.append((self.now, pace))
        if self.limits.rate:
            self.all_starts.append((self.now, Pace.at_rate(self.limits.rate)))
        duration = self.rng.choice([0.0, 0.001, 0.05, self.rng.expovariate(2)])
        self.counter += 1
        heappush(self.flights, (self.now + duration, self.counter, job))
        self.check_books()
        return True

    def open(self, origin: Origin, closed_to: int = 0) -> None:
        known = self.known[origin]
        known.opened, known.closed_to = True, closed_to
        known.crawl_delay = self.rng.choice([None, None, 0.3, 2.0])
        fault = Fault(ErrorType.ROBOTS, "not allowed", retryable=False)
        self.schedule.open(
            origin,
            self.now,
            check=(lambda job: None if job.number % closed_to else fault) if closed_to else None,
            interval=known.crawl_delay,
        )
        self.check_books()

    def end(self, job: Job) -> None:
        """What the server did, and what whoever drives the schedule makes of it."""
        rng, known, mood = self.rng, self.known[job.origin], self.mood[job.origin]
        known.flying -= 1
        roll = rng.random()
        if rng.random() < 0.03:
            self.say(job.origin, None)
            self.finish(job)
        elif roll < mood.dead:
            self.say(job.origin, Signal(answered=False, throttled=False))
            self.retry(job)
        elif roll < mood.throttled:
            pause = rng.choice(mood.pauses)
            self.say(job.origin, Signal(True, True, pause))
            self.retry(job, pause or 0.0)
        else:
            self.say(job.origin, Signal(True, False, rng.choice([None] * 9 + [1.0, 100.0])))
            if rng.random() < mood.redirects and job.hops < 5:
                job.hops += 1
                job.origin = rng.choice(self.origins)
                self.again(job, None)
            else:
                self.finish(job)
        self.check_books()

    def say(self, origin: Origin, signal: Signal | None) -> None:
        known = self.known[origin]
        if signal is not None:
            known.errors = 0 if signal.answered else known.errors + 1
            if signal.answered and known.banned_until == inf:
                known.banned_until = -inf
            if 0 < self.limits.max_host_errors <= known.errors:
                known.banned_until = inf
            pause, longest = signal.pause or 0.0, self.limits.retry_after_max
            if pause <= longest:
                known.paused_until = max(known.paused_until, self.now + pause)
            if signal.throttled:
                known.refusing_since = min(known.refusing_since, self.now)
                refuses_on = self.now - known.refusing_since > longest + Brake.WARY
                ban = pause if pause > longest else longest if refuses_on else -inf
                known.banned_until = max(known.banned_until, self.now + ban)
                known.braked = True
            elif signal.answered:
                known.refusing_since = inf
        self.schedule.done(origin, self.now, signal)
        self.drain()

    def retry(self, job: Job, pause: float = 0.0) -> None:
        job.attempts += 1
        if job.attempts > 2:
            self.finish(job)
            return
        job.origin = job.home
        self.again(job, self.now + max(pause, self.rng.choice([0.0, self.rng.uniform(0, 3)])))

    def finish(self, job: Job) -> None:
        if job.robots_of is not None:
            self.open(job.robots_of, closed_to=self.rng.choice([0, 0, 1, 3]))
        else:
            self.ended.append(job.number)

    def run(self) -> None:
        feed = list(reversed(self.list))
        ahead = self.rng.choice([1, 5, 100])
        for _ in range(100_000):
            while len(self.flights) < self.slots:
                while feed and len(self.held) < ahead:
                    self.add(feed.pop())
                if not self.next():
                    break
            if not (feed or self.held or self.flights):
                break
            self.pass_time()
        assert sorted(self.ended) == sorted(job.number for job in self.list)
        self.check_rates()
        assert repr(self.schedule).startswith("<Schedule 0 waiting, 0 in flight")

    def pass_time(self) -> None:
        wake = self.schedule.wake_at() if len(self.flights) < self.slots else None
        wake = inf if wake is None else wake + self.rng.uniform(0, self.lateness)
        if self.flights and self.flights[0][0] <= wake:
            at, _, job = heappop(self.flights)
            self.now = max(self.now, at)
            self.end(job)
        else:
            assert wake < inf, f"nothing will ever happen: {self.schedule}"
            self.now = max(self.now, wake)

    def check_rates(self) -> None:
        """No more starts in any sliding second than the rate, for all and for each; the definition itself."""
        of_one = [([at for at, _ in known.starts], self.limits.per_host_rate) for known in self.known.values()]
        for starts, rate in [([at for at, _ in self.all_starts], self.limits.rate), *of_one]:
            if rate is not None:
                most = ceil(rate)
                for first, later in zip(starts, starts[most:], strict=False):
                    assert later - first >= most / rate - 1e-6


@pytest.mark.parametrize("block", range(40))
def test_whatever_the_list_the_limits_and_the_servers_the_oracle_agrees(block: int) -> None:
    for seed in range(block * 100, block * 100 + 100):
        try:
            World(seed).run()
        except AssertionError as failure:
            failure.add_note(f"World({seed}).run()")
            raise
