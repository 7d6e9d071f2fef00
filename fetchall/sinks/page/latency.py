"""
How long answers took: a histogram with its percentiles, and in which phases the time went.

Knows aggregates; it must not know rows.
"""

from __future__ import annotations

from math import ceil, log2
from typing import NamedTuple

from fetchall.cells import NOTHING
from fetchall.records import Latency
from fetchall.sinks.page.aggregate import Picture
from fetchall.sinks.page.charts import fallback, legend
from fetchall.sinks.page.scale import counts, decades, number
from fetchall.sinks.page.svg import Plot
from fetchall.sinks.page.tables import Cell, row, table
from fetchall.sinks.page.text import count, percent, seconds
from fetchall.tally import Histogram, edge

_HEIGHT, _HEAD = 190, 34
_BARS = 40


class _Bar(NamedTuple):
    """Answers that took from `low` to `high` seconds."""

    low: float
    high: float
    ok: int
    failed: int


def latencies(picture: Picture, latency: Latency) -> str:
    """A histogram on a logarithmic axis, with its percentiles."""
    bars = _binned(picture.latency[True], picture.latency[False])
    plot = Plot(_HEIGHT, head=_HEAD)
    marks, top = counts(max(bar.ok + bar.failed for bar in bars))
    plot.down([(mark / top, number(mark)) for mark in marks])
    lowest, highest = log2(bars[0].low), log2(bars[-1].high)

    def across(value: float) -> float:
        return min(max((log2(max(value, bars[0].low)) - lowest) / (highest - lowest), 0.0), 1.0)

    labels = decades(bars[0].low, bars[-1].high) or [bars[0].low, bars[-1].high]
    plot.across([(across(value), seconds(value).replace(".00 ", " ").replace(".0 ", " ")) for value in labels])
    for bar in bars:
        _draw(plot, bar, across(bar.low), across(bar.high), _HEIGHT / top)
    for name, value, lift in (("p50", latency.p50, -6), ("p90", latency.p90, -20), ("p99", latency.p99, -6)):
        place = across(value)
        plot.line(place, place, lift + 3, _HEIGHT, "mark")
        anchor, shift = ("end", -4) if place > 0.9 else ("start", 4)
        plot.text(place, lift, f"{name} {seconds(value)}", "strong", anchor=anchor, shift=shift)
    shares = ((latency.p50, "half"), (latency.p90, "90 %"), (latency.p99, "99 %"))
    about = "; ".join(f"{share} within {seconds(value)}" for value, share in shares)
    keys = legend((("bar", "ok"), ("err", "answered, but not ok"))) if picture.latency[False].count else ""
    return plot.svg("Histogram of latencies", about, "tips") + keys + fallback(_table(bars))


def _binned(good: Histogram, bad: Histogram) -> list[_Bar]:
    """Neighbouring buckets joined until so few are left that each can be seen."""
    known = good.buckets.keys() | bad.buckets.keys()
    low, high = min(known), max(known)
    step = ceil((high - low + 1) / _BARS)
    sums = [[0, 0] for _ in range((high - low) // step + 1)]
    for kind, histogram in enumerate((good, bad)):
        for bucket, amount in histogram.buckets.items():
            sums[(bucket - low) // step][kind] += amount
    return [
        _Bar(edge(low + place * step), edge(low + (place + 1) * step), ok, failed)
        for place, (ok, failed) in enumerate(sums)
    ]


def _draw(plot: Plot, bar: _Bar, left: float, right: float, rise: float) -> None:
    """One bar, failures upon the rest; `rise` is pixels an answer."""
    words = f"{seconds(bar.low)} to {seconds(bar.high)}: {count(bar.ok)} ok, {count(bar.failed)} not"
    right -= (right - left) * 0.08
    middle = _HEIGHT - bar.ok * rise
    if bar.ok:
        plot.rect(left, right, middle, _HEIGHT, "bar", title=words)
    if bar.failed:
        plot.rect(left, right, middle - bar.failed * rise, middle, "err", title=words)


def _table(bars: list[_Bar]) -> str:
    rows = [
        (
            Cell(seconds(bar.low), bar.low),
            Cell(seconds(bar.high), bar.high),
            Cell(count(bar.ok), bar.ok),
            Cell(count(bar.failed), bar.failed),
        )
        for bar in bars
    ]
    return table("latencies", "Latencies", ("From", "to", "ok", "not ok"), map(row, rows))


def phases(picture: Picture) -> str:
    """Where the time of requests went: a bar of their time on the wire, and the figures of each phase."""
    found = [(name, each) for name, each in picture.phases.items() if each.count]
    wire = [(name, each) for name, each in found if name != "queued"]
    total = sum(each.total for _, each in wire)
    if total <= 0:
        return ""
    plot = Plot(22, head=0, room=0)
    at = 0.0
    for name, each in wire:
        share = each.total / total
        plot.rect(at, at + share, 0, 22, name, title=f"{name}: {percent(each.total, total)}")
        at += share
    about = "; ".join(f"{name}: {percent(each.total, total)}" for name, each in wire)
    rows = [row(_phase(name, each, total)) for name, each in found]
    heads = ("Phase", "of the wire", "requests", "mean", "p50", "p90", "p99", "longest")
    return plot.svg("Where the time went", about, "flush tips") + table("phases", "Phases", heads, rows)


def _phase(name: str, each: Histogram, total: float) -> tuple[Cell, ...]:
    """A request waits in the queue before it is on the wire, so that is no share of it."""
    share = Cell(NOTHING) if name == "queued" else Cell(percent(each.total, total), each.total)
    times = (each.total / each.count, each.quantile(0.5), each.quantile(0.9), each.quantile(0.99), each.max)
    return (
        Cell(f'<i class="key {name}"></i>{name}', name),
        share,
        Cell(count(each.count), each.count),
        *(Cell(seconds(value), value) for value in times),
    )
