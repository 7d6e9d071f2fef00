"""
What a person sees first: how many of how many in what time, what concurrency bought, and the few figures that matter.

Knows summary and timing; it must not know rows.
"""

from __future__ import annotations

from datetime import UTC, datetime

from fetchall.cells import TIMES
from fetchall.records import Summary, Timing
from fetchall.sinks.page import charts
from fetchall.sinks.page.aggregate import Picture
from fetchall.sinks.page.scale import number
from fetchall.sinks.page.text import count, counted, percent, seconds, size


def headline(picture: Picture, summary: Summary, timing: Timing, opened: float) -> str:
    """The top of the page; `opened` is when the run began, in seconds since the epoch."""
    started = datetime.fromtimestamp(opened, UTC)
    share = percent(summary.ok, summary.urls)
    if not summary.urls:
        title = "Interrupted before the first answer" if summary.interrupted else "The list held no URLs"
    elif summary.failed:
        title = f"<b>{count(summary.ok)}</b> of {count(summary.urls)} ok in {seconds(summary.elapsed)}"
    else:
        title = f"All {count(summary.urls)} ok in {seconds(summary.elapsed)}"
    warning = (
        '<p class="warning" role="note">Interrupted: what was finished is counted here, the rest has no row.</p>'
        if summary.interrupted
        else ""
    )
    return (
        f'<header><p class="soft">fetchall report · <time datetime="{started:%Y-%m-%dT%H:%M:%SZ}">'
        f"{started:%A, %d %B %Y, %H:%M:%S} UTC</time></p><h1>{title}</h1>{warning}"
        f'<p class="bought">{_bought(timing)}</p>'
        + (charts.outcomes(picture) if picture.rows else "")
        + (_figures(summary, share) if summary.urls else "")
        + "</header>"
    )


def _bought(timing: Timing) -> str:
    """What concurrency bought: a factor only where both were measured."""
    alone, together = timing.sequential, timing.concurrent
    flight = f"up to {counted(together.concurrency or 0, 'request', 'requests')} in flight"
    if timing.speedup is not None:
        faster = (
            f"<b>{timing.speedup:.1f} {TIMES} faster</b>" if timing.speedup >= 1.05 else "<strong>No faster</strong>"
        )
        return (
            f"{faster} with {flight} than one at a time, which took {seconds(alone.elapsed)} "
            '<span class="soft">(measured; the first pass also warms servers and DNS)</span>'
        )
    if alone.elapsed <= 0:
        return ""
    return (
        f"With {flight}; one at a time would take at most about {seconds(alone.elapsed)} "
        '<span class="soft">(the sum of times on the wire, not measured: --sync measures it)</span>'
    )


def _figures(summary: Summary, share: str) -> str:
    """The numbers that people look for first."""
    found = summary.latency
    tiles = [(share, "ok"), (number(round(summary.requests_per_second or 0.0, 1)), "requests/s")]
    if found is not None:
        tiles += [(seconds(found.p50), "half within"), (seconds(found.p99), "99 % within")]
    tiles += [(size(summary.bytes), "received, decoded"), (count(summary.retries), "retries")]
    return (
        '<dl class="tiles">' + "".join(f"<div><dd>{value}</dd><dt>{name}</dt></div>" for value, name in tiles) + "</dl>"
    )
