"""
Bodies that were cut off, from one attempt to the next: which beginnings are kept, and when they are given up.

Knows journeys and what they keep; which header fields matter is `wire/ranges.py`'s.
"""

from __future__ import annotations

from fetchall.journey import Journey
from fetchall.options import Options
from fetchall.records import Answer
from fetchall.wire.credentials import Head
from fetchall.wire.ranges import CUT_OFF, Part, begun, is_ranged

IN_MEMORY = 64 * 1024**2
"""Bytes of beginnings that may wait where rows hold bodies: thousands may wait for one host to come back."""
ON_DISK = 1024**3
"""The same where they are in files. One may always wait, however large it is."""


class Continuing:
    """What waits for another attempt in one run."""

    def __init__(self, options: Options) -> None:
        self._most = IN_MEMORY if options.body else ON_DISK
        self._waiting: dict[Part, int] = {}
        self._held = 0
        """Bytes of all that wait."""

    def close(self) -> None:
        """Give all of them up."""
        for part in list(self._waiting):
            self._awake(part)
            part.keeper.discard()

    def asking(self, journey: Journey, head: Head) -> tuple[Head, Part | None]:
        """The head for a hop, and the part whose rest it asks for; None: it asks for the whole."""
        part = journey.part
        if part is None:
            return head, None
        part.rest()
        # Another URL is another thing, and so is a range of the user's own.
        if part.url != journey.target.href or journey.method != "GET" or is_ranged(head):
            return head, None
        self._awake(part)
        if not part.keeper.resume():
            self._forget(journey)
            return head, None
        return part.asking(head), part

    def after_hop(self, journey: Journey, answer: Answer) -> bool:
        """
        Keep what another attempt can go on with, drop what nobody needs.

        True: the rest can't be had after all, and the whole is to be asked for at once, in the same attempt.
        """
        part = journey.part
        if part is not None and part.asked and (part.refused or answer.status == 416):
            self.let_go(journey)
            return True
        if part is not None and part.resumed:
            journey.keeper = part.keeper
            if answer.fault is None:
                return False  # its keeper has the whole
        elif part is not None and answer.status == 200:
            self._forget(journey)
        if answer.fault is not None:
            self._keep_beginning(journey, answer)
            self.drop(journey)
        if journey.part is not None:
            self._wait(journey, journey.part)
        return False

    def drop(self, journey: Journey) -> None:
        """A hop's body is not wanted any more; the beginning that it did not go on with still is."""
        if journey.keeper is not None and (journey.part is None or journey.part.keeper is not journey.keeper):
            journey.keeper.discard()

    def let_go(self, journey: Journey) -> None:
        """Nothing that a journey has of a body is wanted any more."""
        self._forget(journey)
        self.drop(journey)

    def settle(self, journey: Journey, *, whole: bool) -> None:
        """The journey is over: nothing waits for it any more, and only a whole body is of use."""
        if journey.part is not None and not (whole and journey.part.resumed):
            self._forget(journey)

    def _keep_beginning(self, journey: Journey, answer: Answer) -> None:
        assert answer.fault is not None
        is_get = journey.method == journey.verb == "GET" and journey.body is None
        if journey.part is None and journey.keeper is not None and is_get and answer.fault.type in CUT_OFF:
            journey.part = begun(journey.target.href, answer, journey.keeper)

    def _wait(self, journey: Journey, part: Part) -> None:
        part.keeper.rest()
        self._awake(part)
        if self._held and self._held + part.keeper.size > self._most:
            self._forget(journey)
            return
        self._waiting[part] = part.keeper.size
        self._held += part.keeper.size

    def _awake(self, part: Part) -> None:
        self._held -= self._waiting.pop(part, 0)

    def _forget(self, journey: Journey) -> None:
        part, journey.part = journey.part, None
        if part is not None:
            self._awake(part)
            part.keeper.discard()
