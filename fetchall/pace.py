"""
How far apart starts are: a rate or an interval that was set, and a brake that a server's refusals pull.

Pure arithmetic on times that are passed in. Knows nothing of queues, origins or HTTP.

A pace keeps one float, the time before which the next start is too early (`due`), as the generic cell rate algorithm
does (ITU-T I.371, "virtual scheduling"). Two wishes pull at it: starts must never bunch, and a caller who wakes a few
milliseconds late must not lose them. So `due` may lag behind the clock by `slack` at most, and the interval is longer
by that slack's share: `k` starts take `k/rate + slack` seconds. Then `n` starts within less than `k/rate` seconds would
need `(n - 1) * interval < k/rate + slack`, that is `n <= k`: the window is guarded without remembering its starts.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, inf

SLACK = 0.02
"""Seconds of lateness that are caught up: loops wake some milliseconds late, and 2 % is what this costs of a rate."""

IDLE = 0.25
"""Seconds. Whoever is later than this had no work, and has nothing to catch up."""


@dataclass(frozen=True, slots=True)
class Pace:
    """The seconds between starts, and the seconds of lateness that may be caught up."""

    interval: float
    slack: float = 0.0

    @classmethod
    def at_rate(cls, rate: float) -> Pace:
        """
        Never more than `k = ceil(rate)` starts in any `k / rate` seconds (one second for a whole rate), spread evenly.

        A rate of one a second or less is an interval: nothing is caught up, for two starts are never closer than it.
        """
        if rate <= 1:
            return cls(1 / rate)
        return cls(1 / rate + SLACK / ceil(rate), SLACK)

    def after(self, due: float, now: float) -> float:
        """When the next start is due, after one at `now` that was due at `due`."""
        late = now - due
        if late > IDLE:
            return now + self.interval
        return now - min(late, self.slack) + self.interval


class Brake:
    """
    The pace of an origin that refuses (429, 503) by a limit that is not known: halved by refusals, eased by answers.

    An interval rather than fewer in flight, for it bounds both: what is in flight is latency over interval (Little),
    while one request at a time is still 1,000 a second where an answer takes a millisecond.

    - A server that says how long to wait is believed at first: only if it refuses again soon after does the brake grip.
    - As in TCP, what was under way when the brake was pulled tells nothing of the new pace: a hundred refusals at once
      are one, and the answers among them ease nothing.
    - Easing follows the clock, not the number of answers, or a fast origin would be past its limit before the first
      refusal comes back; and, as TCP CUBIC does, it is slow near the pace that was refused last and fast away from it.
    """

    FIRST = 0.2
    """Seconds. lychee has 0.5 and the same cap, Zeno 5."""
    CAP = 30.0
    GONE = 0.001
    """Below this interval, in seconds, the brake is off."""
    FAST, SLOW = 1.0, 0.2
    """How many times a second the pace doubles, away from the one that was refused last and near it."""
    NEAR = 1.25
    WARY = 10.0
    """Seconds after a wait that the server asked for, in which a refusal shows that the wait was not enough."""

    __slots__ = ("eased_at", "interval", "refused_at", "refusing_since", "strays", "wary_until")

    def __init__(self) -> None:
        self.interval = 0.0
        self.refused_at = 0.0
        """The interval that was refused last; 0: none, or it was passed without a refusal since."""
        self.strays = 0
        """How many requests under way began before the brake was last pulled."""
        self.eased_at = 0.0
        self.wary_until = -inf
        self.refusing_since = inf
        """When it first refused since its last answer that was no refusal."""

    def pull(self, now: float, in_flight: int, pause: float) -> None:
        """Slow down after a refusal, with `in_flight` others under way; `pause`: the seconds asked for, or 0."""
        if not pause or self.interval or now < self.wary_until:
            self.refused_at = self.interval
            self.interval = min(self.CAP, 2 * self.interval) if self.interval else self.FIRST
        self.wary_until = now + pause + self.WARY
        self.eased_at = now + pause
        self.strays = in_flight

    def ease(self, now: float) -> bool:
        """Speed up a step after an answer that was no refusal; True: the brake is off."""
        if not self.interval:
            return self.off(now)
        passed = min(max(now - self.eased_at, 0.0), 1.0)
        self.eased_at = now
        edge = self.refused_at * self.NEAR
        if self.interval > edge:
            self.interval = max(self.interval / 2 ** (self.FAST * passed), edge)
        else:
            self.interval /= 2 ** (self.SLOW * passed)
            if self.interval * self.NEAR < self.refused_at:
                self.refused_at = 0.0
        return self.interval < self.GONE

    def off(self, now: float) -> bool:
        """Whether it neither grips nor would at the next refusal that says how long to wait."""
        return not self.interval and now > self.wary_until

    def ended(self) -> bool:
        """One request has ended; True: it is a stray, and what it gave says nothing."""
        stray = self.strays > 0
        self.strays -= stray
        return stray
