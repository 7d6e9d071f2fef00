"""
What a journey's end is as a `Result`, and what a request that never left has instead.

Pure: journeys and answers in, records out. Must not know the schedule, nor who takes the result.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from fetchall.journey import Journey
from fetchall.options import Options, refused_method
from fetchall.records import Answer, ErrorType, Fault, Request, Result, Try
from fetchall.source.maker import MAX_URL, SHOWN, escaped
from fetchall.urls import mask
from fetchall.validators import NOT_MODIFIED, Refresh
from fetchall.wire.credentials import refusal


def result_of(
    journey: Journey, answer: Answer, fault: Fault | None, options: Options, accepted: Container[int | None]
) -> Result:
    """The result of a journey that ended with `answer`; a fault may have come after it."""
    keeper, status = journey.keeper, answer.status
    assert journey.started_at is not None
    if status is None and journey.history:
        status = journey.history[-1].status  # the last that a server sent for it
    # A 206 that completed a 200 is as welcome as that, and need not say again what was said there.
    resumed = journey.part if journey.part is not None and journey.part.resumed else None
    # Made once, with all that is asked for: a changed copy takes longer than the making.
    more: dict[str, Any] = {}
    if options.headers:
        more.update(headers=_headers(answer), history=tuple(journey.history))
    if options.timings:
        timings = replace(answer.timings, queued=journey.queued) if answer.timings else None
        more.update(timings=timings, tries=tuple(journey.tries))
    if options.refresh is not None:
        confirmed = fault is None and status == NOT_MODIFIED and bool(journey.conditions)
        more.update(refresh=Refresh.UNCHANGED if confirmed else None)
        more.update(etag=_value(answer, b"etag"), last_modified=_value(answer, b"last-modified"))
    if keeper is not None and fault is None:
        more.update(sha256=keeper.sha256, body=keeper.body)
    return Result(
        request=journey.request,
        method=journey.method,
        url=mask(journey.request.url),
        final_url=journey.target.shown,
        status=status,
        ok=fault is None and (200 if resumed else status) in accepted,
        error_type=fault.type if fault else None,
        error=fault.message if fault else None,
        attempts=journey.attempts,
        redirects=len(journey.history),
        started_at=_utc(journey.started_on),
        elapsed=journey.answered_at - journey.started_at,
        ttfb=answer.ttfb,
        size=answer.size,
        wire_size=answer.wire_size,
        content_type=resumed.content_type if resumed and answer.content_type is None else answer.content_type,
        http_version=answer.http_version,
        remote_ip=answer.remote_ip,
        wire_time=journey.wire_time,
        reused=answer.reused,
        **more,
    )


def unsent(request: Request, method: str, fault: Fault) -> Result:
    """The result of a request that was never sent; of a URL longer than may be, its beginning is shown."""
    if len(request.url) > MAX_URL:
        request = replace(request, url=escaped(request.url[:SHOWN].encode(errors="surrogatepass")))
    return Result(request, method, mask(request.url), error_type=fault.type, error=fault.message)


def unsendable(request: Request) -> Fault | None:
    """Why a request can't be sent whatever its URL is; None: it can."""
    if len(request.url) > MAX_URL:
        return Fault(ErrorType.BAD_LINE, f"URL {request.index + 1} is longer than {MAX_URL // 1024} KiB")
    if request.headers and (reason := refusal(request.headers)):
        return Fault(ErrorType.BAD_LINE, f"its headers: {reason}")
    if request.method is not None and (reason := refused_method(request.method)):
        return Fault(ErrorType.BAD_LINE, f"its method: {reason}")
    return None


def note_try(journey: Journey, answer: Answer, fault: Fault | None, now: float) -> None:
    """Keep what an attempt gave, for `tries`."""
    before = journey.tries[-1] if journey.tries else None
    wait = journey.try_on - before.started_at.timestamp() - before.elapsed if before else 0.0
    journey.tries.append(
        Try(
            started_at=_utc(journey.try_on),
            elapsed=now - journey.try_at,
            status=answer.status,
            error_type=fault.type if fault else None,
            wait=max(wait, 0.0),
        )
    )


def _utc(moment: float) -> datetime:
    return datetime.fromtimestamp(moment, UTC)


def _value(answer: Answer, name: bytes) -> str | None:
    value = answer.header(name)
    return value.decode("latin-1") if value is not None else None


def _headers(answer: Answer) -> dict[str, list[str]]:
    """Lower-case names, all values in order; each character is one byte, as in the Fetch standard."""
    found: dict[str, list[str]] = {}
    for name, value in answer.headers:
        found.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
    return found
