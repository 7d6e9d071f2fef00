"""
A hop as archives get it.

Knows what a hop was and what went over the wire; it must not know what an archive looks like.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from fetchall.records import Answer, ErrorType

if TYPE_CHECKING:
    from fetchall.journey import Journey
    from fetchall.wire.recording import Record


@dataclass(frozen=True, slots=True)
class Capture:
    """One hop as it went over the wire, secrets apart; to be used while it is handed over, and not later."""

    index: int
    """Of the row that it belongs to."""
    url: str
    """Without userinfo."""
    method: str
    started_at: datetime
    elapsed: float
    answer: Answer
    request: bytes
    response: tuple[bytes, int, Iterable[bytes]] | None
    """Head, size of what follows, and that in pieces, however often; None: no whole head came, or none of HTTP."""
    whole: bool
    """The answer came to its end."""
    body: bytes | None = None
    """As it is decoded, where it is whole and bodies are kept in memory (`--body`)."""
    proxied: bool = False
    """The address that is known is a proxy's."""


class Recorder(Protocol):
    """Who archives what goes over the wire."""

    def take(self, capture: Capture) -> None:
        """One hop, before its row; all of it is stored when this returns. Raises OSError, which ends the run."""


def archive(journey: Journey, record: Record, answer: Answer, elapsed: float, recorder: Recorder) -> None:
    """Hand over what went over the wire, unless its sender does not want it kept; raises OSError."""
    try:
        if answer.fault is not None and answer.fault.type is ErrorType.ROBOTS:
            return
        whole = record.whole and answer.fault is None
        response = record.response() if answer.status is not None else None
        unread = response is not None and response[1] > 0 and not answer.wire_size
        recorder.take(
            Capture(
                index=journey.request.index,
                url=journey.target.href,
                method=journey.method,
                started_at=datetime.fromtimestamp(time.time() - elapsed, UTC),
                elapsed=elapsed,
                answer=answer,
                request=record.request,
                response=response,
                whole=whole,
                body=journey.keeper.body if whole and not unread and journey.keeper is not None else None,
                proxied=record.proxied,
            )
        )
    finally:
        record.close()
