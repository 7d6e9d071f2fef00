"""
Charts of the whole run: outcomes as one bar, requests a second and requests in flight over time.

Knows aggregates; it must not know rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from fetchall.records import Timing
from fetchall.sinks.page.aggregate import Picture
from fetchall.sinks.page.bins import FINEST, Interval
from fetchall.sinks.page.scale import counts, number, rates, ticks, unit_of
from fetchall.sinks.page.svg import Plot
from fetchall.sinks.page.tables import Cell, row, table
from fetchall.sinks.page.text import count, percent, safe, seconds

_HEIGHT = 150
_FEWEST, _MOST = 10, 120
"""Stretches of a chart over time: so few that each holds several results, so many that it stays a shape."""
_EACH = 6


def outcomes(picture: Picture) -> str:
    """One bar of all rows, the kinds in the order of the alphabet, and a legend that counts them."""
    total = max(picture.rows, 1)
    kinds = sorted({kind for kind, _ in picture.outcomes}, key=lambda kind: (kind == "err", kind))
    plot = Plot(22, head=0, room=0)
    at = 0.0
    legend = []
    for kind in kinds:
        here = sorted(((n, name) for (each, name), n in picture.outcomes.items() if each == kind), reverse=True)
        amount = sum(n for n, _ in here)
        # A single failure among a million still shows.
        plot.rect(at, at + max(amount / total, 0.003), 0, 22, kind, title=f"{KINDS[kind]}: {count(amount)}")
        at += amount / total
        if at < 1:
            plot.line(at, at, 0, 22, "apart")
        names = ", ".join(f"{safe(name)}&nbsp;<b>{count(n)}</b>" for n, name in here[:8])
        more = f", {len(here) - 8} more" if len(here) > 8 else ""
        legend.append(f'<li><i class="key {kind}"></i>{KINDS[kind]} <span>{names}{more}</span></li>')
    about = "; ".join(f"{KINDS[kind]}: {percent(_sum(picture, kind), total)}" for kind in kinds)
    return plot.svg("Outcomes", about, "flush") + f'<ul class="legend outcomes">{"".join(legend)}</ul>'


KINDS = {
    "s1": "1xx information",
    "s2": "2xx success",
    "s3": "3xx redirect",
    "s4": "4xx client error",
    "s5": "5xx server error",
    "err": "no whole answer",
}


def _sum(picture: Picture, kind: str) -> int:
    return sum(n for (each, _), n in picture.outcomes.items() if each == kind)


def over_time(picture: Picture, timing: Timing) -> str:
    """Requests a second and requests in flight, two charts with one time axis."""
    trace = picture.trace
    parts = trace.timeline.intervals(min(max(trace.sent // _EACH, _FEWEST), _MOST))
    length = max(timing.concurrent.elapsed, trace.span, parts[-1].end)
    width = max(parts[0].end - parts[0].start, 1e-6)
    limit = timing.concurrent.concurrency or 0
    charts = [
        f"<h3>Requests finished per second</h3>{_speed(parts, width, length, timing)}",
        f"<h3>Requests in flight</h3>{_flight(parts, length, limit)}",
    ]
    rows = [
        (
            Cell(seconds(max(part.start, 0.0)), max(part.start, 0.0)),
            Cell(count(part.ok), part.ok),
            Cell(count(part.failed), part.failed),
            Cell(f"{(part.ok + part.failed) / width:,.1f}", (part.ok + part.failed) / width),
            Cell(f"{part.in_flight:.1f}", part.in_flight),
        )
        for part in parts
    ]
    heads = ("From", "ok", "failed", "per second", "in flight (mean)")
    return "\n".join(charts) + fallback(table("time", "Over time", heads, map(row, rows)))


def fallback(inner: str) -> str:
    """A table for whoever can't see the chart, or wants its numbers."""
    return f'<details class="numbers"><summary>As a table</summary>{inner}</details>'


def _speed(parts: Sequence[Interval], width: float, length: float, timing: Timing) -> str:
    plot = Plot(_HEIGHT)
    pace = timing.sequential
    # Less than a clock's tick is no time to tell a rate from.
    alone = pace.requests_per_second if pace.measured and pace.elapsed > FINEST else None
    marks, top = rates(max([*((part.ok + part.failed) / width for part in parts), alone or 0.0]))
    plot.down([(mark / top, number(mark)) for mark in marks])
    _time(plot, length)
    for part in parts:
        left, right = max(part.start, 0.0) / length, min(part.end / length, 1.0)
        good, bad = part.ok / width / top * _HEIGHT, part.failed / width / top * _HEIGHT
        gap = (right - left) * 0.08
        words = f"{seconds(max(part.start, 0.0))}: {count(part.ok)} ok, {count(part.failed)} failed"
        if good:
            plot.rect(left, right - gap, _HEIGHT - good, _HEIGHT, "s2", title=words)
        if bad:
            plot.rect(left, right - gap, _HEIGHT - good - bad, _HEIGHT - good, "err", title=words)
    if alone:
        y = _HEIGHT * (1 - alone / top)
        plot.line(0, 1, y, y, "alone")
        plot.text(1, y - 5, f"one at a time: {alone:,.1f}/s", "tick halo", anchor="end")
    about = f"Up to {top:,.0f} a second; each bar is {seconds(width)} wide."
    keys = legend((("s2", "ok"), ("err", "failed")), f"each bar is {seconds(width)} wide")
    return plot.svg("Requests finished per second over time", about, "tips") + keys


def _flight(parts: Sequence[Interval], length: float, limit: int) -> str:
    plot = Plot(_HEIGHT)
    peak = max(part.in_flight for part in parts)
    marks, top = counts(max(peak, limit if limit <= 4 * peak else 0, 1.0))
    plot.down([(mark / top, number(mark)) for mark in marks])
    _time(plot, length)
    points = []
    for part in parts:
        level = _HEIGHT * (1 - part.in_flight / top)
        points += [(max(part.start, 0.0) / length, level), (min(part.end / length, 1.0), level)]
    plot.area(points, "flight")
    if limit and limit <= top:
        y = _HEIGHT * (1 - limit / top)
        plot.line(0, 1, y, y, "limit")
        # Below the line: at the top there may be no room above it.
        plot.text(1, y + 13, f"--concurrency {limit:,}", "tick halo", anchor="end")
    return plot.svg("Requests in flight over time", f"At most {peak:.1f} on average over one interval.")


def _time(plot: Plot, length: float) -> None:
    unit = unit_of(length)
    marks = [(tick * unit.seconds / length, tick) for tick in ticks(length / unit.seconds, 8)]
    plot.across([(place, f"{number(tick)} {unit.name}") for place, tick in marks])


def legend(keys: Sequence[tuple[str, str]], note: str = "") -> str:
    """What colours stand for."""
    entries = [f'<li><i class="key {kind}"></i>{name}</li>' for kind, name in keys]
    return f'<ul class="legend">{"".join(entries)}{f"<li><span>{note}</span></li>" if note else ""}</ul>'
