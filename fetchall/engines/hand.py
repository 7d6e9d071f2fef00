"""
A run that is one of several: what it may have on the wire is told, and hops to other sites leave it.

Knows the run that it is, and what others must hear of it; it must not know how they hear.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

from fetchall.dealing import site_of
from fetchall.engines.messages import Charter, Departure, Twins
from fetchall.journey import Journey
from fetchall.options import Options
from fetchall.records import Origin, Result
from fetchall.run import Run
from fetchall.schedule import FINE, Signal
from fetchall.source.feed import Feed
from fetchall.wire.session import Session


class Hand(Run):
    """See `Run`. `urgent` is called when there is something that others wait for: departures or twins."""

    def __init__(
        self,
        feed: Feed,
        options: Options,
        session: Session,
        deliver: Callable[[Result], None],
        room: Callable[[], bool],
        *,
        charter: Charter,
        urgent: Callable[[], None],
    ) -> None:
        super().__init__(feed, options, session, deliver, room)
        self._splits = charter.splits
        self._pool.look_ahead = charter.look_ahead
        self._urgent = urgent
        self.departures: list[Departure] = []
        self.twins: list[Twins] = []
        self.heard: dict[Origin, Signal] = {}
        """The last unusual signal of each origin, since others were told."""
        self.held: set[str] = set()
        """Sites at which only their owners send."""

    def allow(self, allowed: int) -> None:
        """Have no more than so many on the wire, and that share of the rates that are for all together."""
        options = self._options
        self._pool.allowed = allowed if self._tuner is None else min(allowed, self._tuner.limit)
        share = allowed / options.concurrency
        if share and options.rate:
            self._schedule.set_rate(options.rate * share)
        if share and options.limit_rate:
            self._fetcher.limit_rate(options.limit_rate * share)
        self.wake()

    @property
    def eager(self) -> bool:
        """Whether more could be done if more were allowed: on the wire, by the rate, or by the bandwidth."""
        options, schedule = self._options, self._schedule
        if options.limit_rate and schedule.in_flight:
            return True
        if options.rate is None and self.has_place:
            return False
        # Without a place nobody looks at the clock: what is due by now is no less ready.
        at = schedule.wake_at()
        return schedule.ready or (at is not None and at <= self._clock.now())

    @property
    def has_place(self) -> bool:
        """Whether fewer are on the wire than may be."""
        return self._schedule.in_flight < self._pool.allowed

    def adopt(self, data: bytes) -> None:
        """Go on with another's journey."""
        journey, at = pickle.loads(data)
        self._schedule.again(journey, self._clock.now(), at)

    def hear(self, origin: Origin, signal: Signal) -> None:
        """What another's hop said about an origin."""
        self._schedule.hear(origin, self._clock.now(), signal)

    def answer_twins(self, twins: Twins) -> None:
        """The first of equal requests is done elsewhere."""
        if self._duplicates is not None and self._duplicates.is_under_way(twins.key):
            for twin in self._duplicates.finished(twins.key, twins.result):
                self._deliver(twin)

    def _done(self, origin: Origin, now: float, signal: Signal) -> None:
        super()._done(origin, now, signal)
        if self._splits and signal != FINE:
            self.heard[origin] = signal

    def _again(self, journey: Journey, left: Origin, now: float, at: float | None = None) -> None:
        if left != journey.origin and (site := self._elsewhere(journey, left)) is not None:
            self._bodies.cut_off.let_go(journey)
            journey.keeper = journey.record = None
            self.departures.append(Departure(journey.request.index, site, pickle.dumps((journey, at))))
            self._urgent()
        else:
            super()._again(journey, left, now, at)

    def _elsewhere(self, journey: Journey, left: Origin) -> str | None:
        """The site of the next hop where that may be another's; None: it goes from here."""
        site = site_of(str(journey.origin))
        if site == site_of(str(left)) or (self._splits and site not in self.held):
            return None
        return site

    def _give(self, journey: Journey, result: Result) -> None:
        key, duplicates = journey.key, self._duplicates
        if key is None or duplicates is None or duplicates.is_under_way(key):
            super()._give(journey, result)
            return
        self._deliver(result)
        self.twins.append(Twins(site_of(journey.request.url), key, result))
        self._urgent()
