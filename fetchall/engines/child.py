"""
A process that fetches for another, as long as that lives: orders in, accounts out.

Knows its run and its pipe; it must not know who else works, nor where rows go. Signals are the parent's business.
"""

from __future__ import annotations

import asyncio
import gc
import os
import pickle
import signal
import socket
import threading
import time
import traceback
from array import array
from dataclasses import replace

from fetchall.engines.hand import Hand
from fetchall.engines.inbox import Inbox
from fetchall.engines.link import Link
from fetchall.engines.messages import Account, Allowance, Charter, Farewell, Orders, Stand
from fetchall.engines.relay import Relay
from fetchall.errors import FetchallError
from fetchall.loops import loop_factory
from fetchall.options import Options
from fetchall.records import Result
from fetchall.rows import Row
from fetchall.signals import NAMES
from fetchall.tally import Tally
from fetchall.wire.session import Session

TICK = 0.02
"""Seconds between two accounts while something is under way: some hundred rows at once."""
UNTAKEN = 2_000
"""Rows that may be on their way to the parent, beside those of what is in flight; with their bodies, a few."""
HELD = 1024 * 1024
"""Bytes of bodies that wait for the next account, at most."""
_LOOK = 0.5
"""Seconds between two looks for the parent,"""
_GRACE = 1.0
"""and how long what goes on without it may take to end."""


class Child:
    """One end of a pipe, and a run on it."""

    def __init__(self, end: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._link = Link(end, self._on_message, self._on_lost)
        self._charter: asyncio.Future[Charter | None] = self._loop.create_future()
        self._early: list[Orders] = []
        self._hand: Hand | None = None
        self._inbox = Inbox(self._soon)
        self._results: list[Result] = []
        self._weight = self._given = self._taken = self._number = 0
        self._told: Stand | None = None
        self._is_soon = False

    async def go(self) -> None:
        """Until there is nothing more to do, or nobody to do it for."""
        charter = await self._charter
        if charter is None:
            return
        threading.Thread(target=watch, args=(charter.parent,), daemon=True).start()
        failure: BaseException | None = None
        jar = None
        try:
            options = replace(charter.options, recorder=Relay(self._link) if charter.recording else None)
            session = Session(options)
            jar = session.jar = charter.jar
            await self._work(charter, options, session)
        except BaseException as error:
            failure = _portable(error)
        self._link.send(Farewell(jar, failure))
        self._link.drain()

    async def _work(self, charter: Charter, options: Options, session: Session) -> None:
        self._columns, self._bodies = charter.columns, options.body
        self._most = 2 * options.concurrency + (64 if options.body else UNTAKEN)
        self._hand = Hand(self._inbox, options, session, self._deliver, self._room, charter=charter, urgent=self._soon)
        self._allow(charter.allowance)
        for orders in self._early:
            self._heed(orders)
        self._tick()
        try:
            await self._hand.go()
        finally:
            self._timer.cancel()
            self._tell()

    def _on_message(self, message: Charter | Orders) -> None:
        if isinstance(message, Charter):
            self._charter.set_result(message)
        elif self._hand is None:
            self._early.append(message)
        else:
            self._heed(message)

    def _on_lost(self) -> None:
        """The parent is gone: drop everything."""
        if not self._charter.done():
            self._charter.set_result(None)
        if self._hand is not None:
            self._hand.abandon()
        self._loop.call_later(_GRACE, os._exit, 1)

    def _heed(self, orders: Orders) -> None:
        hand = self._hand
        assert hand is not None
        if orders.abandon:
            hand.abandon()
        elif orders.stop:
            hand.stop()
        self._taken = max(self._taken, orders.taken)
        hand.held |= orders.held
        for origin, signal_ in orders.heard:
            hand.hear(origin, signal_)
        for journey in orders.journeys:
            hand.adopt(journey)
        for twins in orders.twins:
            hand.answer_twins(twins)
        self._inbox.put(orders.requests)
        if orders.allowance is not None and orders.allowance.number != self._number:
            self._allow(orders.allowance)
        hand.wake()

    def _allow(self, allowance: Allowance) -> None:
        assert self._hand is not None
        self._number = allowance.number
        self._inbox.ahead = allowance.allowed
        self._hand.allow(allowance.allowed)

    def _room(self) -> bool:
        return self._given - self._taken < self._most

    def _deliver(self, result: Result) -> None:
        self._results.append(result)
        self._given += 1
        assert self._hand is not None
        if self._bodies:
            self._weight += len(result.body or b"")
            if self._weight > HELD:
                self._tell()
        if not self._hand.in_flight:
            self._soon()

    def _soon(self) -> None:
        """Tell, once what is going on right now is over."""
        if not self._is_soon:
            self._is_soon = True
            self._loop.call_soon(self._tell)

    def _tick(self) -> None:
        self._tell()
        self._timer = self._loop.call_later(TICK, self._tick)

    def _tell(self) -> None:
        """Account for what is new, if anything is."""
        self._is_soon = False
        hand, inbox = self._hand, self._inbox
        assert hand is not None
        eager = hand.eager or (inbox.full and not hand.has_place)
        stand = Stand(inbox.credit, self._number, hand.in_flight, eager, hand.concurrency, hand.settled)
        results = self._results
        if not (results or hand.departures or hand.twins or hand.heard) and stand == self._told:
            return
        self._told = stand
        self._results, self._weight = [], 0
        lines, tally = self._rows(results)
        news = tuple(hand.departures), tuple(hand.twins), tuple(hand.heard.items())
        for each in (hand.departures, hand.twins, hand.heard):
            each.clear()
        indices = array("q", [result.request.index for result in results]).tobytes()
        self._link.send(Account(indices, lines, tally, () if lines else tuple(results), *news, stand))

    def _rows(self, results: list[Result]) -> tuple[bytes, Tally]:
        tally = Tally()
        if self._columns is None:
            return b"", tally
        for result in results:
            tally.add(result)
        return b"\n".join([Row(result, self._columns).json for result in results]), tally


def _portable(error: BaseException) -> BaseException:
    """An error that can go over the pipe; of a bug, with where it came from."""
    if not isinstance(error, (FetchallError, OSError, MemoryError)):
        error.add_note("".join(traceback.format_exception(error)))
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:
        return RuntimeError("".join(traceback.format_exception(error)))
    return error


def watch(parent: int) -> None:
    """End this process when the parent is gone, even where the loop stands still."""
    while os.getppid() == parent:
        time.sleep(_LOOK)
    time.sleep(_GRACE)
    os._exit(1)


async def _main(end: socket.socket) -> None:
    await Child(end).go()


def main(descriptor: int) -> None:
    """The whole life of a child; the pipe is an open descriptor."""
    for name in NAMES:
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    # What is loaded by now stays loaded; it is not looked through for garbage.
    gc.freeze()
    gc.enable()
    with socket.socket(fileno=descriptor) as end, asyncio.Runner(loop_factory=loop_factory()) as runner:
        runner.run(_main(end))
        # Everything is told: nothing that Python does at its end is of any use.
        os._exit(0)
