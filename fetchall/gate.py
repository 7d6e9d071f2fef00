"""
robots.txt, once per origin: visits that the schedule lets through while the origin's own jobs wait.

Knows the schedule and how to send one hop; it must not know what becomes of the jobs that wait.
"""

from __future__ import annotations

import asyncio
import random
import time
from typing import Protocol

from fetchall.hearing import signal_of
from fetchall.options import Clock
from fetchall.records import Answer, ErrorType, Fault, Origin, Request
from fetchall.retry import RetryPolicy, backoff, worth_retrying
from fetchall.robots import MAX_HOPS, MOST, PATH, Rules, rules_of
from fetchall.schedule import Job, Schedule
from fetchall.urls import Target, follow, parse
from fetchall.wire.fetch import REDIRECTS, Call, Fetcher
from fetchall.wire.session import Session


class Bound(Job, Protocol):
    """A job that says where it goes next."""

    target: Target


class Visit:
    """One origin's robots.txt on its way; a job like any other."""

    __slots__ = ("attempts", "home", "hops", "origin", "target", "text")

    def __init__(self, home: Origin, target: Target) -> None:
        self.home = home
        self.target = target
        self.origin = target.origin
        self.attempts = 1
        self.hops = 0
        self.text = bytearray()

    def write(self, chunk: bytes) -> None:
        """Keep what comes; see `Keeper`."""
        self.text += chunk


class Gate:
    """Sends visits and opens origins with what they find."""

    def __init__(
        self,
        schedule: Schedule[Bound],
        session: Session,
        fetcher: Fetcher,
        policy: RetryPolicy,
        clock: Clock,
        timeout: float,
    ) -> None:
        self._schedule = schedule
        self._session = session
        self._fetcher = fetcher
        self._policy = policy
        self._clock = clock
        self._timeout = timeout
        self._rng = random.Random()

    def visit_new(self) -> None:
        """A visit for every origin whose rules the schedule wants to know."""
        ungated = self._schedule.ungated
        while ungated:
            origin = ungated.popleft()
            target = parse(f"{origin}{PATH}")
            assert not isinstance(target, Fault)
            self._schedule.again(Visit(origin, target), self._clock.now(), passes=True)

    async def turn(self, visit: Visit, task: asyncio.Task[None]) -> None:
        """One hop of a visit: then the next, another attempt, or the rules."""
        visit.text.clear()
        head = self._session.head(visit.target, None, _NOTHING, body=False)
        call = Call(task, visit.target, "GET", head, keeper=visit, budget=self._timeout, cap=_CAP)
        try:
            answer = await self._fetcher.hop(call)
        except BaseException:
            self._schedule.done(visit.origin, self._clock.now())
            raise
        now = self._clock.now()
        self._schedule.done(visit.origin, now, signal_of(answer, time.time()))
        if not self._goes_on(visit, answer, now):
            self._open(visit, answer, now)

    def refused(self, visit: Visit, fault: Fault) -> None:
        """Where the visit was to go next nothing is sent, so its origin's rules can't be known."""
        self._open(visit, Answer(fault=fault), self._clock.now())

    def _goes_on(self, visit: Visit, answer: Answer, now: float) -> bool:
        location = answer.header(b"location") if answer.status in REDIRECTS else None
        if location and visit.hops < MAX_HOPS:
            target = follow(visit.target, location)
            if isinstance(target, Fault):
                return False
            visit.hops += 1
            visit.target, visit.origin = target, target.origin
            self._schedule.again(visit, now, passes=True)
            return True
        fault = None if _cut(answer) else answer.fault
        if worth_retrying(
            self._policy, method="GET", status=answer.status, fault=fault, attempts=visit.attempts, elapsed=0.0
        ):
            wait = backoff(self._policy, visit.attempts, self._rng)
            visit.attempts += 1
            self._schedule.again(visit, now, now + wait, passes=True)
            return True
        return False

    def _open(self, visit: Visit, answer: Answer, now: float) -> None:
        whole = answer.fault is None or _cut(answer)
        failure = "" if answer.fault is None else f"gave no answer ({answer.fault.message})"
        status = answer.status if whole else None
        rules = rules_of(visit.home, status, bytes(visit.text), failure)
        self._schedule.open(visit.home, now, check=_Check(rules), interval=rules.crawl_delay)


class _Check:
    """The rules as the schedule asks them."""

    __slots__ = ("_rules",)

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def __call__(self, job: Bound) -> Fault | None:
        return self._rules.check(job.target.href)


_NOTHING = Request("")
_CAP = 2 * MOST
"""Bytes after which reading stops: the piece in which that happens is lost, so well beyond those that count."""


def _cut(answer: Answer) -> bool:
    """A file larger than its cap is read up to there (RFC 9309 section 2.5)."""
    return answer.fault is not None and answer.fault.type is ErrorType.TOO_LARGE
