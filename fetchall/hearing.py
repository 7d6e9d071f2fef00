"""
What an answer says about its origin, and whether it is a good one: the schedule and the tuner are told.

Pure, on answers alone; must not know what follows from it.
"""

from __future__ import annotations

from fetchall.records import Answer
from fetchall.retry import asked_wait
from fetchall.schedule import FINE, Signal

THROTTLES = frozenset({429, 503})
"""Refusals because of load."""


def signal_of(answer: Answer, now_utc: float) -> Signal:
    """
    Whether it answered, refused, and asked to be left alone; `now_utc`: seconds since 1970.

    Most answers say nothing more than that they are one, and are not looked at for longer than it takes to see that.
    """
    status = answer.status
    if status is None:
        return Signal(answered=False, throttled=False, error=answer.fault.type.value if answer.fault else None)
    throttled = status in THROTTLES
    if not (throttled or answer.rationed):
        return FINE
    return Signal(answered=True, throttled=throttled, pause=asked_wait(answer.headers, status, now_utc))


def is_good(answer: Answer) -> bool:
    """Whether more in flight of this kind would be welcome: whole, and neither a refusal nor a server's failure."""
    status = answer.status
    return answer.fault is None and status is not None and status < 500 and status != 429
