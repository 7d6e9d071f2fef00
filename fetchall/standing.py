"""
What an origin's answers and rules have taught about it: its pace, its brake, its failures, what may be sent there.

Pure: told what a hop gave and when, it says from when on the next start may be. Knows no jobs and no other origin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Generic, NamedTuple, TypeVar

from fetchall.pace import Brake, Pace
from fetchall.records import ErrorType, Fault, Origin

J = TypeVar("J")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a run may ask of one origin and of all: counts, starts a second, seconds; 0 or None is no limit."""

    per_host: int = 0
    rate: float | None = None
    per_host_rate: float | None = None
    max_host_errors: int = 0
    retry_after_max: float = 60.0


class Signal(NamedTuple):
    """What one answer says about its origin."""

    answered: bool
    """It answered at all, with any status."""
    throttled: bool
    """It refused because of load: 429 or 503."""
    pause: float | None = None
    """Seconds for which it asked to be left alone; None if it did not say."""
    error: str | None = None
    """Why there was no answer, in a word (an `error_type`)."""


class Standing(Generic[J]):
    """What is remembered about an origin beyond the time of its last start; most origins never have one."""

    __slots__ = ("asked", "brake", "check", "errors", "fault", "gated", "limits", "origin", "pace", "until")

    def __init__(self, origin: Origin, limits: Limits, pace: Pace | None, *, gated: bool) -> None:
        self.origin = origin
        self.limits = limits
        self.pace = pace
        self.brake: Brake | None = None
        self.errors = 0
        """In a row, without an answer."""
        self.fault: Fault | None = None
        """Why nothing is sent there before `until`."""
        self.until = -inf
        self.gated = gated
        """Its rules are not known: only who passes the gate may go."""
        self.asked = False
        """Its rules are known, or somebody was told to fetch them."""
        self.check: Callable[[J], Fault | None] | None = None

    def blank(self, now: float, pace: Pace | None) -> bool:
        """Whether nothing is remembered that a new standing with this `pace` would not say."""
        braked = self.brake is not None and not self.brake.off(now)
        return not (self.asked or self.errors or braked or self.until > now) and self.pace is pace

    def after(self, due: float, now: float) -> float:
        """When the next start is due, after one at `now` that was due at `due`."""
        if self.pace is not None:
            due = self.pace.after(due, now)
        return due if self.brake is None else max(due, now + self.brake.interval)

    def refuses(self, job: J, now: float, passes: bool) -> Fault | None:
        """Why a job is not to be sent there; who `passes` the gate is not held to the rules."""
        if self.fault is not None and now < self.until:
            return self.fault
        return None if self.check is None or passes else self.check(job)

    def heed(self, signal: Signal | None, now: float, in_flight: int) -> float:
        """
        Learn from the end of a hop, with `in_flight` others under way; returns the time before which none may start.

        Errors never make an origin faster; a ban (`fault`, `until`) ends by its time, one for silence by an answer.
        """
        stray = self.brake is not None and self.brake.ended()
        if signal is None:
            return -inf
        if not signal.answered:
            self._count_error(signal.error)
            return -inf
        self.errors = 0
        if self.fault is not None and self.fault.type is ErrorType.HOST_SKIPPED:
            self.fault, self.until = None, -inf
        pause = signal.pause if signal.pause and signal.pause > 0 else 0.0
        if signal.throttled:
            return self._slow_down(now, in_flight, pause, stray)
        if self.brake is not None:
            self.brake.refusing_since = inf
            if not stray and self.brake.ease(now):
                self.brake = None
        # An answer that was no refusal may say that its quota is used up. That pauses, but bans nobody.
        return now + pause if pause <= self.limits.retry_after_max else -inf

    def _count_error(self, error: str | None) -> None:
        if not self.limits.max_host_errors:
            return
        self.errors += 1
        if self.errors >= self.limits.max_host_errors:
            last = f", at last {error}" if error else ""
            message = f"{self.origin} gave no answer {self.errors} times in a row{last} (--max-host-errors)"
            self.fault, self.until = Fault(ErrorType.HOST_SKIPPED, message, retryable=False), inf

    def _slow_down(self, now: float, in_flight: int, pause: float, stray: bool) -> float:
        brake = self.brake = self.brake or Brake()
        brake.refusing_since = min(brake.refusing_since, now)
        if not stray:
            brake.pull(now, in_flight, pause)
        longest, refused_for = self.limits.retry_after_max, now - brake.refusing_since
        if pause > longest:
            self._ban(now + pause, f"asked to wait {pause:.0f} s", longest)
        elif refused_for > longest + brake.WARY:
            # Ten thousand URLs at two a minute are three days: who refuses that long asks for longer, too.
            self._ban(now + longest, f"refused everything for {refused_for:.0f} s", longest)
        return now + max(brake.interval, pause if pause <= longest else 0.0)

    def _ban(self, until: float, what: str, longest: float) -> None:
        if until > self.until:
            message = f"{self.origin} {what}, longer than the {longest:g} s of --retry-after-max"
            self.fault, self.until = Fault(ErrorType.RATE_LIMITED, message, retryable=False), until
