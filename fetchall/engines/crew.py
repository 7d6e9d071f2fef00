"""
The same run in several processes: a child for each, the list dealt out among them, and their rows given on.

Knows children and who has what; it must not know HTTP, nor where rows go. From outside it looks like a `Run`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from fetchall.dealing import site_of
from fetchall.engines.allowance import Allowances
from fetchall.engines.charter import charter_of
from fetchall.engines.dealer import Dealer
from fetchall.engines.harvest import Harvest
from fetchall.engines.member import Member
from fetchall.engines.messages import Account, Allowance, Captured, Farewell, Orders, Piece
from fetchall.errors import FetchallError
from fetchall.options import Options
from fetchall.pool import LOOK_AHEAD
from fetchall.rows import Columns
from fetchall.source.feed import Feed
from fetchall.wire.session import Session

AT_ONCE = 2_000
"""Requests that are read from the list at once, at most."""
BARREN = 10
"""Children that may die one after the other without a row between."""
PATIENCE = 2.0
"""Seconds that a child has to end when it was told to drop everything."""


class Crew:
    """
    See `Run`. With `columns`, what is delivered are `Sheaf`s; else results.

    Raises `InvalidOptions` where the options can't be shared.
    """

    def __init__(
        self,
        feed: Feed,
        options: Options,
        session: Session,
        deliver: Callable[[Any], None],
        room: Callable[[], bool],
        columns: Columns | None = None,
    ) -> None:
        self._feed = feed
        self._options = options
        self._session = session
        self._harvest = Harvest(options, columns, deliver)
        self._room = room
        self._charter = charter_of(options, columns, session.jar)
        # Of equal requests all but one wait, in their hand, for that one.
        self._dealer = Dealer(options.process_count, splits=self._charter.splits, drains=not options.dedupe)
        self._allowances = Allowances(options.concurrency, options.process_count)
        self._members: list[Member] = []
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._hungry = asyncio.Event()
        self._reader: asyncio.Task[None] | None = None
        self._broken: FetchallError | None = None
        self._exhausted = self._stopped = self._is_soon = False
        self._barren = 0
        """Deaths since the last row."""
        self.truncated = False
        """See `Run`."""

    def __repr__(self) -> str:
        return f"<Crew of {len(self._members)}, {self._dealer!r}>"

    @property
    def in_flight(self) -> int:
        """See `Run`."""
        return sum(member.in_flight for member in self._members)

    @property
    def concurrency(self) -> int:
        """See `Run`; with `auto` what each child found, added up."""
        found = sum(member.concurrency for member in self._members)
        return found if self._options.auto and found else self._options.concurrency

    @property
    def settled(self) -> bool:
        """See `Run`."""
        return all(member.settled for member in self._members if member.given)

    async def go(self) -> None:
        """See `Run`."""
        timer = None
        if self._options.max_run_time:
            timer = self._loop.call_later(self._options.max_run_time, self._time_is_up)
        try:
            if not self._stopped:
                for slot in range(self._options.process_count):
                    self._members.append(self._hire(slot))
                self._reader = asyncio.create_task(self._read())
                await self._ended
        finally:
            if timer is not None:
                timer.cancel()
            self._feed.close()
            if self._reader is not None:
                self._reader.cancel()
                await asyncio.gather(self._reader, return_exceptions=True)
            for member in self._members:
                member.end()
            self._session.save_jar()
        if self._broken is not None:
            raise self._broken

    def stop(self) -> None:
        """See `Run`."""
        self._give_up(Orders(stop=True))

    def abandon(self) -> None:
        """See `Run`; who does not end by itself is ended."""
        self._give_up(Orders(abandon=True))
        self._loop.call_later(PATIENCE, self._end)

    def wake(self) -> None:
        """See `Run`."""
        for member in self._members:
            member.taken = member.given
        self._soon()

    def _time_is_up(self) -> None:
        self.truncated = True
        self.stop()

    def _give_up(self, orders: Orders) -> None:
        self._stopped = self._exhausted = True
        self._dealer.clear()
        for member in self._members:
            member.send(orders)
        if self._reader is not None:
            self._reader.cancel()

    def _allowance(self, slot: int) -> Allowance:
        return self._charter.allowance if self._options.auto else self._allowances.of(slot)

    def _hire(self, slot: int) -> Member:
        charter = self._charter._replace(allowance=self._allowance(slot))
        member = Member(slot, charter, self._on_message, self._on_lost, self._options.recorder)
        member.held |= self._dealer.held
        return member

    def _on_message(self, member: Member, message: Any) -> None:
        """Whatever goes wrong here goes wrong for the run."""
        try:
            if isinstance(message, Account):
                self._enter(member, message)
            elif isinstance(message, Farewell):
                self._part(member, message)
            elif member.landing is not None:
                self._land(member, message)
        except Exception as error:
            self._end(error)

    def _land(self, member: Member, message: Piece | Captured) -> None:
        assert member.landing is not None
        if isinstance(message, Piece):
            member.landing.add(message)
        else:
            member.landing.take(message)

    def _enter(self, member: Member, account: Account) -> None:
        """What a child has done, and how it stands."""
        if member.over:
            return
        stand = account.stand
        if indices := self._harvest.add(account):
            self._barren = 0
            self._dealer.done(member.slot, indices)
        member.note(stand, len(indices), taken=self._room())
        self._pass_on(member, account)
        if not self._options.auto:
            self._allowances.heard(member.slot, stand.number, stand.in_flight, eager=stand.eager)
        self._soon()

    def _pass_on(self, member: Member, account: Account) -> None:
        """What others must go on with, or hear of."""
        if self._stopped:
            return
        dealer, members = self._dealer, self._members
        for departure in account.departures:
            to = dealer.move(departure.row, member.slot, departure.site)
            members[to].journeys.append(departure.journey)
        for twins in account.twins:
            members[dealer.owner(twins.site)].twins.append(twins)
        if account.heard:
            sites = {site_of(str(origin)) for origin, _ in account.heard}
            dealer.hold(sites)
            for other in members:
                if dealer.splits:
                    other.held |= sites
                if other is not member:
                    other.heard.update((origin, signal) for origin, signal in account.heard if signal.answered)

    def _part(self, member: Member, farewell: Farewell) -> None:
        member.over = True
        member.in_flight = 0
        if farewell.failure is not None:
            self._end(farewell.failure)
        if farewell.jar is not None and self._session.jar is not None:
            self._session.jar.merge(farewell.jar)
        self._soon()

    def _on_lost(self, member: Member) -> None:
        """A child is gone; if it had not said farewell, another takes its place."""
        if member.over or self._ended.done():
            return
        member.end()
        member.in_flight = 0
        if self._stopped:
            self._soon()
            return
        self._barren += 1
        try:
            if self._barren > BARREN:
                raise ChildProcessError(0, f"{BARREN} processes ended one after the other: of the last, {member.fate}")
            deadly = self._dealer.died(member.slot)
            self._allowances.died(member.slot)
            self._members[member.slot] = self._hire(member.slot)
            if deadly is not None:
                self._harvest.bury(deadly, member.fate)
        except Exception as error:
            self._end(error)
        self._soon()

    def _soon(self) -> None:
        """Give orders once what is going on right now is over."""
        if not self._is_soon:
            self._is_soon = True
            self._loop.call_soon(self._give_orders)

    def _give_orders(self) -> None:
        self._is_soon = False
        if self._ended.done():
            return
        if self._exhausted and self._dealer.idle and not self._stopped:
            self.stop()
        if self._stopped and all(member.over for member in self._members):
            self._end()
            return
        for member in self._members:
            member.order(self._dealer.take(member.slot, member.wanted), self._allowance(member.slot))
        if self._wanted() and not self._hungry.is_set():
            self._hungry.set()

    def _wanted(self) -> int:
        """Requests that the list should give: as many as somebody could begin, as far as they fit in memory."""
        if self._exhausted:
            return 0
        hungry = sum(member.wanted for member in self._members)
        return max(0, min(hungry, LOOK_AHEAD - self._dealer.waiting, AT_ONCE))

    async def _read(self) -> None:
        try:
            while not self._exhausted:
                self._hungry.clear()
                wanted = self._wanted()
                if not wanted:
                    await self._hungry.wait()
                    continue
                requests = await self._feed.take(wanted)
                if not requests:
                    break
                self._dealer.add(requests)
                self._give_orders()
                # The loop gets its turn although nothing here had to wait.
                await asyncio.sleep(0)
        except FetchallError as error:  # a list that broke off: what it gave before that is fetched all the same
            self._broken = error
        except Exception as error:
            self._end(error)
        self._exhausted = True
        self._soon()

    def _end(self, error: BaseException | None = None) -> None:
        if self._ended.done():
            return
        if error is None:
            self._ended.set_result(None)
        else:
            self._ended.set_exception(error)
