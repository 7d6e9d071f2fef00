"""
Who may go next, and when: limits, rates, back-off, retries and redirect hops of all origins, decided in one place.

Has no I/O and no clock: every call is told what time it is, in seconds that never go back. Must not know aiohttp or
asyncio, nor what a job is beyond where it goes.

Each origin has a lane. One that has a job that may go now stands in a rotation, and lanes take turns, so a slow,
throttled or huge origin costs the others nothing; one that must wait for a time (its pace, a pause, a retry) is on a
heap; one that only an answer, a new job or its rules can help is nowhere but in the table. So every decision takes
constant time, or a heap's, however many origins there are.

Order: within an origin that of the list, hops and due retries before it. Between origins, turns: a list that nothing
limits is begun as fast as it is read, so in its order; where jobs have piled up, each origin gives one in turn.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from math import inf
from typing import Generic

from fetchall.lane import NOWHERE, READY, J, Job, Lane
from fetchall.pace import Pace
from fetchall.records import Fault, Origin
from fetchall.standing import Limits, Signal, Standing

__all__ = ["FINE", "Job", "Limits", "Schedule", "Signal"]

MEMORY = 100_000
"""Origins without jobs that are remembered at most (pauses, failures, rules); at least the last half of them are."""

FINE = Signal(answered=True, throttled=False)
"""What most answers say."""


class Schedule(Generic[J]):
    """
    Every job that waits, and the rules by which it may go.

    A job that `next` gave counts as a start, and as in flight at its origin until `done`. `refused` has jobs that are
    not to be sent, each with the reason, and `ungated` origins whose rules must be found out (`open`): whoever drives
    the schedule empties both after each call.
    """

    def __init__(self, limits: Limits, *, gate: bool = False) -> None:
        self.refused: deque[tuple[J, Fault]] = deque()
        self.ungated: deque[Origin] = deque()
        self.waiting = 0
        """Jobs held in memory: those that wait for a time, an answer or the rules of their origin included."""
        self.in_flight = 0
        self._limits = limits
        self._gate = gate
        self._per_host = limits.per_host or sys.maxsize
        self._rate = Pace.at_rate(limits.rate) if limits.rate else None
        self._pace = Pace.at_rate(limits.per_host_rate) if limits.per_host_rate else None
        self._due = -inf
        """No start at all before this time."""
        self._lanes: dict[Origin, Lane[J]] = {}
        self._idle: dict[Origin, Lane[J]] = {}
        """Those of `_lanes` without a job, the longest idle first: remembered for what was learned there."""
        self._sweep_at = 1_000
        self._ready: deque[Lane[J]] = deque()
        self._timed: list[tuple[float, int, Lane[J]]] = []
        """A heap. An entry is void when its lane is no longer to be looked at at that time."""
        self._number = 0

    def __repr__(self) -> str:
        return (
            f"<Schedule {self.waiting} waiting, {self.in_flight} in flight, {len(self._lanes)} origins "
            f"({len(self._idle)} idle), {len(self._ready)} in turn, {len(self._timed)} timed>"
        )

    def add(self, job: J, now: float) -> None:
        """A new job, to the back of its origin's line."""
        origin = job.origin
        lane = self._lanes.get(origin)
        if lane is None:
            lane = self._new_lane(origin)
        if lane.standing is not None and not self._admits(lane, job, now):
            return
        lane.put_last(job)
        self.waiting += 1
        if lane.at > now:
            self._place(lane, now)

    def again(self, job: J, now: float, at: float | None = None, *, passes: bool = False) -> None:
        """
        A retry, not before `at`, or a redirect's next hop, whose origin may be another; both go before the list's.

        `passes`: it may go to an origin whose rules are not known, for it goes to find out some (robots.txt).
        """
        lane = self._lanes.get(job.origin) or self._new_lane(job.origin)
        if lane.standing is not None and not self._admits(lane, job, now, passes):
            return
        if at is not None and at > now:
            self._number += 1
            lane.put_later(at, self._number, job, passes)
        else:
            lane.put_first(job, passes)
        self.waiting += 1
        if lane.at > now:
            self._place(lane, now)

    def next(self, now: float) -> J | None:
        """A job that may go now; None: none may before `wake_at`, or before something is added or done."""
        if self._timed and self._timed[0][0] <= now:
            self._wake(now)
        ready = self._ready
        while ready:
            lane = ready[0]
            queue = lane.queue(now)
            if not queue or lane.due > now:
                # It was paused, or its jobs were refused, since it joined the rotation.
                ready.popleft()
                lane.at = NOWHERE
                self._place(lane, now)
                continue
            if now < self._due:
                return None
            ready.popleft()
            job = queue.popleft()
            self._start(lane, now)
            if queue and lane.due <= now and lane.in_flight < self._per_host:
                ready.append(lane)
            else:
                lane.at = NOWHERE
                self._place(lane, now)
            return job
        return None

    def done(self, origin: Origin, now: float, signal: Signal | None = None) -> None:
        """One hop at `origin` ended; without a signal it says nothing about the origin, as when it was cancelled."""
        lane = self._lanes[origin]
        self.in_flight -= 1
        lane.in_flight -= 1
        if lane.standing is not None or (signal is not None and signal != FINE):
            self._heed(lane, now, signal)
        if lane.at > now:
            self._place(lane, now)

    def wake_at(self) -> float | None:
        """
        The earliest time at which `next` may give something though nothing is added or done; -inf: it may already.

        None: only a job, an answer or an origin's rules can help.
        """
        if self._ready:
            return self._due
        timed = self._timed
        while timed and timed[0][0] != timed[0][2].at:
            heappop(timed)
        return max(timed[0][0], self._due) if timed else None

    @property
    def ready(self) -> bool:
        """Whether some job waits for its turn alone: for a place on the wire, or for the rate of all."""
        return bool(self._ready)

    def set_rate(self, rate: float) -> None:
        """So many starts a second from now on, of all origins together."""
        self._rate = Pace.at_rate(rate)

    def hear(self, origin: Origin, now: float, signal: Signal) -> None:
        """What somebody else's hop at an origin said about it."""
        lane = self._lanes.get(origin) or self._new_lane(origin)
        self._heed(lane, now, signal)
        if lane.at > now:
            self._place(lane, now)

    def open(
        self, origin: Origin, now: float, *, check: Callable[[J], Fault | None] | None, interval: float | None
    ) -> None:
        """
        An origin's rules are known: `check` refuses jobs, those that wait now and those that come.

        `interval` is the least number of seconds between starts that it asks for (Crawl-delay); where the rate set
        for every origin is slower, that stays.
        """
        lane = self._lanes.get(origin) or self._new_lane(origin)
        standing = lane.standing or self._learn(lane)
        standing.gated, standing.asked, standing.check = False, True, check
        if interval and (self._pace is None or interval > self._pace.interval):
            standing.pace = Pace(interval)
        self._sift(lane, standing, now)
        if lane.at > now:
            self._place(lane, now)

    def _new_lane(self, origin: Origin) -> Lane[J]:
        lane = self._lanes[origin] = Lane(origin)
        if self._gate:
            self._learn(lane)
        return lane

    def _learn(self, lane: Lane[J]) -> Standing[J]:
        standing: Standing[J] = Standing(lane.origin, self._limits, self._pace, gated=self._gate)
        lane.standing = standing
        return standing

    def _admits(self, lane: Lane[J], job: J, now: float, passes: bool = False) -> bool:
        """Whether a job may wait for an origin of which something is known; if not, it is refused."""
        standing = lane.standing
        assert standing is not None
        fault = standing.refuses(job, now, passes)
        if fault is not None:
            self.refused.append((job, fault))
        elif standing.gated and not standing.asked and not passes:
            standing.asked = True
            self.ungated.append(lane.origin)
        return fault is None

    def _heed(self, lane: Lane[J], now: float, signal: Signal | None) -> None:
        """Learn from the end of a hop."""
        standing = lane.standing or self._learn(lane)
        banned = standing.until
        lane.due = max(lane.due, standing.heed(signal, now, lane.in_flight))
        if standing.until > banned:
            self._sift(lane, standing, now)
        if not standing.gated and standing.blank(now, self._pace):
            lane.standing = None

    def _sift(self, lane: Lane[J], standing: Standing[J], now: float) -> None:
        refused = lane.sift(lambda job, passes: standing.refuses(job, now, passes))
        self.waiting -= len(refused)
        self.refused += refused

    def _place(self, lane: Lane[J], now: float) -> None:
        """Put a lane that is not in the rotation where it belongs: there, on the clock, or nowhere."""
        if self._idle:
            self._idle.pop(lane.origin, None)
        at = NOWHERE
        if lane.in_flight < self._per_host:
            if lane.queue(now):
                at = lane.due if lane.due > now else READY
            elif lane.later:
                at = max(lane.due, lane.later_at())
        if at != NOWHERE:
            if at == READY:
                self._ready.append(lane)
            elif at != lane.at:
                self._set_clock(lane, at)
        elif not lane.in_flight and lane.empty:
            if lane.standing is None and lane.due <= now:
                # It says no more than a new one would.
                del self._lanes[lane.origin]
            else:
                self._remember(lane, now)
        lane.at = at

    def _start(self, lane: Lane[J], now: float) -> None:
        self.waiting -= 1
        self.in_flight += 1
        lane.in_flight += 1
        if self._rate is not None:
            self._due = self._rate.after(self._due, now)
        if lane.standing is not None:
            lane.due = lane.standing.after(lane.due, now)
        elif self._pace is not None:
            lane.due = self._pace.after(lane.due, now)

    def _set_clock(self, lane: Lane[J], at: float) -> None:
        timed = self._timed
        if len(timed) > 1_000 + 2 * len(self._lanes):
            # A lane whose time is moved leaves a void entry behind, and here most are such.
            timed[:] = {entry[2].origin: entry for entry in timed if entry[0] == entry[2].at}.values()
            heapify(timed)
        self._number += 1
        heappush(timed, (at, self._number, lane))

    def _wake(self, now: float) -> None:
        """Look at every lane whose time has come."""
        timed = self._timed
        while timed and timed[0][0] <= now:
            at, _, lane = heappop(timed)
            if at == lane.at:
                lane.at = NOWHERE
                self._place(lane, now)

    def _remember(self, lane: Lane[J], now: float) -> None:
        """Keep a lane without jobs for what it says, while memory lasts."""
        lane.drop_queues()
        self._idle[lane.origin] = lane
        if len(self._idle) >= self._sweep_at:
            self._sweep(now)

    def _says_nothing(self, lane: Lane[J], now: float) -> bool:
        return lane.due <= now and (lane.standing is None or lane.standing.blank(now, self._pace))

    def _sweep(self, now: float) -> None:
        """Forget idle lanes that have come to say nothing, and the longest idle of too many; O(1) a lane, seldom."""
        kept = [lane for lane in self._idle.values() if not self._says_nothing(lane, now)][-MEMORY // 2 :]
        idle = {lane.origin: lane for lane in kept}
        for origin in self._idle.keys() - idle.keys():
            del self._lanes[origin]
        self._idle = idle
        self._sweep_at = min(MEMORY, max(1_000, 2 * len(idle)))
