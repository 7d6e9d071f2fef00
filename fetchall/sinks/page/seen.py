"""
What the page remembers of one row: a few plain values, bounded in size whatever a list or a server sent.

Knows results and the rows of an earlier run; it must not know what is drawn of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, NamedTuple

from fetchall.records import Result
from fetchall.rows import Row
from fetchall.tally import host_of
from fetchall.urls import Target, parse

PHASES = ("queued", "dns", "connect", "send", "wait", "receive")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_URL, _TEXT, _HOST = 240, 240, 120
"""Characters that are kept of each."""
_TRIES = 10
"""Attempts that are drawn of one request; the last of them is always among them."""

Phases = tuple[float | None, ...]
"""Seconds of each of `PHASES`; None: it did not happen."""


class Seen(NamedTuple):
    """One row, as far as the page cares; `start` is seconds since the epoch, None where nothing was sent for it."""

    place: int
    """Its index in the list."""
    url: str
    host: str
    """Empty where the URL names none."""
    status: int | None
    ok: bool
    error_type: str | None
    error: str | None
    attempts: int
    redirects: int
    start: float | None
    elapsed: float | None
    size: int | None
    phases: Phases | None
    tries: tuple[tuple[float, float], ...]
    """Start and seconds of every attempt, where they were noted."""

    @property
    def outcome(self) -> str:
        """What it is counted under: its error type, or else its status."""
        return self.error_type or str(self.status)

    @property
    def kind(self) -> str:
        """The class that gives it its colour, as on the terminal."""
        hundreds = 0 if self.error_type or self.status is None else self.status // 100
        return f"s{hundreds}" if 1 <= hundreds <= 5 else "err"


def seen_of(row: Row) -> Seen:
    """What is kept of a row; one that an earlier run wrote has fields but no result."""
    result: Result | None = getattr(row, "result", None)
    return _of_fields(row.fields) if result is None else of_result(result)


def of_result(result: Result) -> Seen:
    """What is kept of a result; a row that was fetched for another one took no time of its own."""
    alone = result.duplicate_of is None
    started, timings = result.started_at, result.timings
    return Seen(
        result.request.index,
        _cut(result.url, _URL),
        _host(result.final_url, result.url),
        result.status,
        result.ok,
        None if result.error_type is None else result.error_type.value,
        None if result.error is None else _cut(result.error, _TEXT),
        result.attempts,
        result.redirects,
        (started - _EPOCH).total_seconds() if started is not None and alone else None,
        result.elapsed if alone else None,
        result.size if alone else None,
        None
        if timings is None or not alone
        else (timings.queued, timings.dns, timings.connect, timings.send, timings.wait, timings.receive),
        tuple([((one.started_at - _EPOCH).total_seconds(), one.elapsed) for one in result.tries[-_TRIES:]])
        if result.tries and alone
        else (),
    )


def _of_fields(row: Mapping[str, Any]) -> Seen:
    """The same of a row as JSON has it."""
    alone = row.get("duplicate_of") is None
    timings = row.get("timings")
    tries = row.get("tries") or () if alone else ()
    return Seen(
        row["index"],
        _cut(row["url"], _URL),
        _host(row["final_url"], row["url"]),
        row["status"],
        row["ok"],
        row["error_type"],
        None if row["error"] is None else _cut(row["error"], _TEXT),
        row["attempts"],
        row["redirects"],
        _seconds(row["started_at"]) if row["started_at"] is not None and alone else None,
        row["elapsed"] if alone else None,
        row["size"] if alone else None,
        tuple([timings[name] for name in PHASES]) if timings and alone else None,
        tuple([(_seconds(one["started_at"]), one["elapsed"]) for one in tries[-_TRIES:]]),
    )


def _seconds(moment: datetime | str) -> float:
    return ((datetime.fromisoformat(moment) if isinstance(moment, str) else moment) - _EPOCH).total_seconds()


def _host(final_url: str | None, url: str) -> str:
    if final_url is None:
        target = parse(url)
        if not isinstance(target, Target):
            return ""
        final_url = target.shown
    return _cut(host_of(final_url), _HOST)


def _cut(text: str, most: int) -> str:
    """The text, or its two ends where it is longer than that."""
    return text if len(text) <= most else f"{text[: most - most // 3 - 1]}…{text[-(most // 3) :]}"
