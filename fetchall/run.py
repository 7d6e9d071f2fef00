"""
The composition root of one process: source, schedule, pool and wire put together, and each URL led to its result.

Knows the policies (when to follow, when to try again); it must not know click, nor where results go.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

from fetchall.adapt import Tuner
from fetchall.bodies import Bodies
from fetchall.captures import archive
from fetchall.dedupe import Duplicates, key_of
from fetchall.gate import Bound, Gate, Visit
from fetchall.hearing import THROTTLES, is_good, signal_of
from fetchall.heart import Heart
from fetchall.journey import Journey
from fetchall.options import Clock, Options
from fetchall.outcome import note_try, result_of, unsendable, unsent
from fetchall.policies import limits_of, policy_of
from fetchall.pool import LoopClock, Pool
from fetchall.records import Answer, ErrorType, Fault, Hop, Origin, Request, Result
from fetchall.refresh import Kept, conditions_of
from fetchall.retry import IDEMPOTENT, RETRYABLE_ERRORS, asked_wait, backoff, worth_retrying
from fetchall.schedule import Schedule, Signal
from fetchall.source.feed import Feed
from fetchall.tags import respecting
from fetchall.urls import follow, parse
from fetchall.wire.credentials import next_request
from fetchall.wire.fetch import REDIRECTS, Call, Fetcher
from fetchall.wire.session import Session

SHORTAGE = 60.0
"""Seconds to wait for this machine's own ports and files: as long as Linux holds the ports of closed connections."""


class Run:
    """
    Every request of a feed, each to exactly one result, which is delivered as it finishes.

    `room` says whether more results may come; when it turns true again, call `wake`.
    """

    def __init__(
        self,
        feed: Feed,
        options: Options,
        session: Session,
        deliver: Callable[[Result], None],
        room: Callable[[], bool],
    ) -> None:
        self._bodies = Bodies(options)
        self._options = options
        self._session = session
        self._fetcher: Fetcher = session.open()
        self._kept = Kept(options)
        self._deliver = self._kept.settling(deliver)
        self._clock: Clock = options.clock or LoopClock()
        self._rng = random.Random()
        self._retry = policy_of(options)
        self._schedule: Schedule[Bound] = Schedule(limits_of(options), gate=options.robots)
        self._heart = Heart()
        self._duplicates = Duplicates() if options.dedupe else None
        self._tuner = Tuner(options.concurrency) if options.auto else None
        self._gate = Gate(self._schedule, session, self._fetcher, self._retry, self._clock, options.timeout)
        self._accepted = frozenset(code for first, last in options.accept for code in range(first, last + 1))
        self.truncated = False
        """True: --max-run-time ended the run before the list did."""
        self._pool: Pool[Bound] = Pool(
            options.concurrency,
            self._schedule,
            feed,
            self._clock,
            admit=self._admit,
            turn=self._turn,
            refused=self._refused,
            ungated=self._gate.visit_new,
            room=room,
            held=lambda: self._duplicates.held if self._duplicates is not None else 0,
        )
        self.stop = self._pool.stop
        self.abandon = self._pool.abandon
        self.wake = self._pool.wake

    @property
    def in_flight(self) -> int:
        """Requests on the wire."""
        return self._schedule.in_flight

    @property
    def concurrency(self) -> int:
        """How many may be in flight; with `auto`, the number found, or reached while it still climbs."""
        tuner = self._tuner
        if tuner is None:
            return self._options.concurrency
        return tuner.best if tuner.settled else tuner.limit

    @property
    def settled(self) -> bool:
        """Whether `concurrency` is final, or with `auto` was found: its climb was over before the list was."""
        return self._tuner is None or self._tuner.settled

    async def go(self) -> None:
        """Until the last result has been delivered, or `stop` was called and what was in flight is done."""
        if self._tuner is not None:
            self._pool.allowed = self._tuner.limit
        timer = None
        if self._options.max_run_time:
            timer = self._clock.call_at(self._clock.now() + self._options.max_run_time, self._time_is_up)
        self._heart.start()
        complete = False
        try:
            await self._pool.run()
            complete = not self._pool.stopped
        finally:
            self._heart.stop()
            if timer is not None:
                timer.cancel()
            await self._session.close()
            self._bodies.close(complete=complete)
            self._kept.close()
            if self._duplicates is not None:
                self._duplicates.close()

    def _time_is_up(self) -> None:
        self.truncated = True
        self.stop()

    def _admit(self, request: Request) -> Journey | None:
        method = self._options.verb_of(request.method, request.body)
        target = request.fault or unsendable(request) or parse(request.url)
        if isinstance(target, Fault):
            self._deliver(unsent(request, method, target))
            return None
        payload = request.body if request.body is not None else self._session.body
        journey = Journey(request, target, method, payload, self._clock.now())
        if self._duplicates is not None:
            journey.key = key_of(request, target, method)
            known = self._duplicates.first(journey.key, request)
            if isinstance(known, Result):
                self._deliver(known)
            if known is not True:
                return None
        return journey

    def _refused(self, journey: Bound, fault: Fault) -> None:
        """
        A job that the schedule will not send.

        A retry keeps the answer that it had as its result; a redirect's next hop has its redirect's, with the reason.
        """
        if isinstance(journey, Visit):
            self._gate.refused(journey, fault)
            return
        assert isinstance(journey, Journey)
        if journey.last is None:
            self._give(journey, unsent(journey.request, journey.method, fault))
        elif journey.under_way:
            self._finish(journey, journey.last[0], fault)
        else:
            self._finish(journey, *journey.last)

    def _turn(self, job: Bound, task: asyncio.Task[None]) -> Awaitable[None]:
        if isinstance(job, Journey):
            return self._advance(job, task)
        assert isinstance(job, Visit)
        return self._gate.turn(job, task)

    async def _advance(self, journey: Journey, task: asyncio.Task[None]) -> None:
        """One hop, and what follows from it."""
        options = self._options
        started = self._clock.now()
        journey.queued = started - journey.due_at
        if not journey.under_way:
            self._begin_attempt(journey, started)
        stops = self._heart.stops
        try:
            answer = await self._fetcher.hop(self._call(journey, task))
            self._session.keep_cookies(journey.target, answer)
        except (asyncio.CancelledError, MemoryError):
            self._schedule.done(journey.origin, self._clock.now())
            self._bodies.cut_off.let_go(journey)
            raise
        except Exception as error:
            answer = Answer(fault=Fault(ErrorType.INTERNAL, f"{type(error).__name__}: {error}", retryable=False))
        now, left = self._clock.now(), journey.origin
        if options.respect_tags and answer.status not in REDIRECTS:
            answer = respecting(answer, options.respect_tags, options.user_agent)
        if journey.record is not None and options.recorder is not None:
            archive(journey, journey.record, answer, now - started, options.recorder)
        journey.spent += now - started
        journey.wire_time += now - started
        journey.answered_at = now
        anew = self._bodies.cut_off.after_hop(journey, answer)
        self._bodies.check()
        if answer.fault is not None and (at := self._excused(journey, answer.fault, stops, now)) is not None:
            self._schedule.done(left, now)
            journey.unbegin()
            journey.due_at = at
            self._again(journey, left, now, at)
            return
        if self._tuner is not None:
            self._learn(self._tuner, answer, now, started)
        self._done(left, now, signal_of(answer, time.time()))
        self._decide(journey, answer, now, anew)

    def _excused(self, journey: Journey, fault: Fault, stops: int, now: float) -> float | None:
        """When to send again what failed for no fault of the network's, so that it is no attempt; None: it is one."""
        if fault.ours:
            if journey.short_since is None:
                journey.short_since = now
            if now - journey.short_since < SHORTAGE:
                return now + self._rng.uniform(0.2, 1.0)
        elif self._heart.stood_still_since(stops) and journey.verb in IDEMPOTENT and fault.type in RETRYABLE_ERRORS:
            return now
        return None

    def _learn(self, tuner: Tuner, answer: Answer, now: float, started: float) -> None:
        tuner.heard(now, ok=is_good(answer), latency=now - started, in_flight=self._schedule.in_flight)
        self._pool.allowed = tuner.limit

    def _begin_attempt(self, journey: Journey, now: float) -> None:
        journey.begin()
        journey.try_at, journey.try_on = now, time.time()
        if journey.started_at is None:
            journey.started_at, journey.started_on = now, journey.try_on

    def _call(self, journey: Journey, task: asyncio.Task[None]) -> Call:
        options = self._options
        budget = max(options.timeout - journey.spent, 0.001) if options.timeout else 0.0
        self._bodies.cut_off.drop(journey)
        journey.keeper = self._bodies.keeper()
        journey.record = self._session.record(journey.request) if options.recorder is not None else None
        has_body = journey.body is not None or journey.payload is None
        # What a page had before matters no more where the rest of what it has now is asked for.
        journey.conditions = conditions_of(journey, self._bodies, self._session) if journey.part is None else ()
        head = self._session.head(
            journey.target, journey.secrets, journey.request, body=has_body, conditions=journey.conditions
        )
        head, part = self._bodies.cut_off.asking(journey, head)
        return Call(
            task=task,
            target=journey.target,
            method=journey.method,
            headers=head,
            body=journey.body,
            keeper=journey.keeper,
            part=part,
            budget=budget,
            record=journey.record,
            follow=options.location,
        )

    def _decide(self, journey: Journey, answer: Answer, now: float, anew: bool) -> None:
        fault = answer.fault
        if anew:
            journey.last = answer, fault
            journey.due_at = now
            self._schedule.again(journey, now)
            return
        if fault is None and answer.status in REDIRECTS and self._options.location:
            location = answer.header(b"location")
            if location:
                left = journey.origin
                fault = self._follow(journey, answer, location)
                if fault is None:
                    journey.last = answer, None
                    journey.due_at = now
                    self._again(journey, left, now)
                    return
        if self._try_again(journey, answer, fault, now):
            return
        self._finish(journey, answer, fault)

    def _follow(self, journey: Journey, answer: Answer, location: bytes) -> Fault | None:
        """Point the journey at a redirect's target; a fault where it can't go on."""
        assert answer.status is not None
        if len(journey.history) >= self._options.max_redirs:
            limit = self._options.max_redirs
            return Fault(ErrorType.TOO_MANY_REDIRECTS, f"more than {limit} redirects (--max-redirs)", retryable=False)
        target = follow(journey.target, location)
        if isinstance(target, Fault):
            return target
        method, keep_body = next_request(answer.status, journey.method, journey.body is not None)
        if keep_body and (fault := self._session.body_fault(target, journey.secrets)) is not None:
            return fault
        journey.secrets = self._session.home_after(journey.secrets, target)
        journey.history.append(Hop(journey.target.shown, answer.status))
        journey.target, journey.origin, journey.method = target, target.origin, method
        if not keep_body:
            journey.body = None
        return None

    def _try_again(self, journey: Journey, answer: Answer, fault: Fault | None, now: float) -> bool:
        assert journey.started_at is not None
        if self._options.timings:
            note_try(journey, answer, fault, now)
        if fault is None and answer.status not in self._retry.on:
            return False
        wait = backoff(self._retry, journey.attempts, self._rng)
        if answer.status in THROTTLES:
            asked = asked_wait(answer.headers, answer.status, time.time()) or 0.0
            if asked > self._options.retry_after_max:
                return False
            wait = max(wait, asked)
        if not worth_retrying(
            self._retry,
            method=journey.verb,
            status=answer.status,
            fault=fault,
            attempts=journey.attempts,
            elapsed=now + wait - journey.started_at,
            redirects=len(journey.history),
        ):
            return False
        self._bodies.cut_off.drop(journey)
        journey.last = answer, fault
        journey.under_way = False
        left, journey.origin = journey.origin, journey.home.origin
        journey.due_at = now + wait
        self._again(journey, left, now, now + wait)
        return True

    def _done(self, origin: Origin, now: float, signal: Signal) -> None:
        """A hop is over; what it said about its origin."""
        self._schedule.done(origin, now, signal)

    def _again(self, journey: Journey, left: Origin, now: float, at: float | None = None) -> None:
        """The next hop, or another attempt from `at` on; the hop before was at `left`."""
        self._schedule.again(journey, now, at)

    def _finish(self, journey: Journey, answer: Answer, fault: Fault | None) -> None:
        result = result_of(journey, answer, fault, self._options, self._accepted)
        self._give(journey, self._bodies.settle(journey, result))

    def _give(self, journey: Journey, result: Result) -> None:
        """The result of a journey, and of all that waited for it."""
        self._deliver(result)
        if journey.key is not None and self._duplicates is not None:
            for twin in self._duplicates.finished(journey.key, result):
                self._deliver(twin)
