"""
One child of a run as its parent sees it: the process, the pipe to it, and how it stands.

Knows how a process is started and ended; it must not know what the others do, nor what becomes of rows.
"""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import Any

from fetchall.captures import Recorder
from fetchall.engines.link import Link
from fetchall.engines.messages import Allowance, Charter, Orders, Packed, Stand, Twins
from fetchall.engines.relay import Landing
from fetchall.records import Origin, Request
from fetchall.schedule import Signal

_BEGIN = """\
import gc, sys
gc.disable()
sys.path[:] = sys.argv[2:]
from fetchall.engines.child import main
main(int(sys.argv[1]))
"""
"""With the parent's own path, and never the current folder's unless that is on it."""


class Member:
    """
    A child from its start to its end.

    It is in a session of its own, so that a terminal's Ctrl-C reaches the parent alone. Nothing but the pipe is
    inherited, and no secret is on its command line. Raises OSError where the system lets no more processes start.
    """

    def __init__(
        self,
        slot: int,
        charter: Charter,
        on_message: Callable[[Member, Any], None],
        on_lost: Callable[[Member], None],
        recorder: Recorder | None,
    ) -> None:
        self.slot = slot
        self.landing = Landing(recorder) if recorder is not None else None
        self.credit = self.dealt = 0
        """Requests that may have been sent, and that were."""
        self.given = self.taken = self.thanked = 0
        """Rows that came, that were taken, and that it knows were."""
        self.allowance = charter.allowance
        self.in_flight = 0
        self.concurrency, self.settled = 0, False
        self.over = False
        """It said farewell, or it is gone."""
        self.journeys: list[bytes] = []
        self.twins: list[Twins] = []
        self.held: set[str] = set()
        self.heard: dict[Origin, Signal] = {}
        """What it is to be told next, see `Orders`."""
        ours, its = socket.socketpair()
        with its:
            try:
                self.process = subprocess.Popen(
                    [sys.executable, "-P", "-c", _BEGIN, str(its.fileno()), *sys.path],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    pass_fds=(its.fileno(),),
                    start_new_session=True,
                )
            except BaseException:
                ours.close()
                raise
        self._link = Link(ours, lambda message: on_message(self, message), lambda: on_lost(self))
        self._link.send(charter)

    def __repr__(self) -> str:
        state = "over" if self.over else f"{self.in_flight} in flight"
        return f"<Member {self.slot}, process {self.process.pid}, {state}>"

    @property
    def wanted(self) -> int:
        """Requests that may be sent to it now."""
        return 0 if self.over else self.credit - self.dealt

    def note(self, stand: Stand, rows: int, *, taken: bool) -> None:
        """How it stands now, and how many rows came with that; `taken`: there is room for more."""
        self.credit, self.in_flight = stand.credit, stand.in_flight
        self.concurrency, self.settled = stand.concurrency, stand.settled
        self.given += rows
        if taken:
            self.taken = self.given

    def order(self, requests: Sequence[Request], allowance: Allowance) -> None:
        """Tell it what is new, if anything is."""
        news = requests or self.journeys or self.twins or self.held or self.heard
        if not news and self.thanked == self.taken and self.allowance == allowance:
            return
        self.dealt += len(requests)
        self.thanked, self.allowance = self.taken, allowance
        self.send(
            Orders(
                requests=tuple([_packed(request) for request in requests]),
                journeys=tuple(self.journeys),
                twins=tuple(self.twins),
                taken=self.taken,
                allowance=allowance,
                held=frozenset(self.held),
                heard=tuple(self.heard.items()),
            )
        )
        for each in (self.journeys, self.twins, self.held, self.heard):
            each.clear()

    def send(self, message: Orders) -> None:
        """Tell it at once."""
        if not self.over:
            self._link.send(message)

    def end(self) -> None:
        """End it, if it has not ended by itself: either nothing is left for it to do, or nobody to do it for."""
        self.over = True
        self._link.close()
        if self.landing is not None:
            self.landing.close()
        self.process.kill()
        self.process.wait()

    @property
    def fate(self) -> str:
        """How it ended, once it has."""
        code = self.process.poll()
        if code is None or code >= 0:
            return f"it ended with {code}"
        try:
            return f"it was ended by {signal.Signals(-code).name}"
        except ValueError:
            return f"it was ended by signal {-code}"


def _packed(request: Request) -> Packed:
    """A request as it travels: most are a URL and nothing else."""
    more = request.method, request.body, request.input, request.fault, request.known
    return request if request.headers or any(each is not None for each in more) else (request.index, request.url)
