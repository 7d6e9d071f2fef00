"""
What a whole run gave, as a person reads it at a glance: counts, latencies, hosts, bytes, and what concurrency bought.

Knows what a person wants to see first; must not print, nor know options, outputs or HTTP.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus

from fetchall.cells import (
    BOLD,
    CYAN,
    DIM,
    GREEN,
    NOTHING,
    RED,
    TIMES,
    YELLOW,
    Row,
    Span,
    bar,
    cut_middle,
    flowed,
    padded,
    render,
    row_width,
    status_style,
    visible,
)
from fetchall.records import HostLine, Latency, Summary, Timing
from fetchall.units import format_seconds, format_size

_WIDTH = 80
"""Columns where nothing says how many there are."""
_WIDEST = 100
"""Beyond this a summary only tears apart what belongs together."""
_BESIDE = 76
"""From so many columns on, outcomes and latencies stand side by side, and labels have a margin of their own."""
_LEFT, _GAP, _LABEL = 32, 4, 7
_ROWS = 10
"""Rows of one list at most; what is left out is counted."""
_HOSTS = 5


def summary_text(
    summary: Summary,
    timing: Timing,
    hosts: Sequence[HostLine],
    histogram: Sequence[tuple[float, int]],
    color: bool,
    width: int | None,
) -> str:
    """
    What a run gave, at a glance: lines without a newline at the end.

    `hosts` come slowest first. `histogram` is ascending: the upper edge of a bucket in seconds, the answers in it.
    """
    width = max(1, min(width or _WIDTH, _WIDEST))
    if summary.urls:
        blocks = [
            _headline(summary, width),
            _outcomes(summary, histogram, width),
            _slowest(hosts, width),
            _compared_pages(summary, width) + _transfer(summary, width) + _compared(timing, width),
        ]
    else:
        text = "Interrupted before the first answer." if summary.interrupted else "No URLs: the list held none."
        blocks = [flowed([Span(text, YELLOW)], width)]
    rows = [row for block in blocks if block for row in [[], *block]]
    return "\n".join(render(row, color, width) for row in rows[1:])


def _headline(summary: Summary, width: int) -> list[Row]:
    """How many of how many, in what time; beneath it the same as one bar of two kinds."""
    warning = Span("Interrupted: what was finished is counted here, the rest has no row.", YELLOW)
    row = [
        Span(f"{summary.ok:,} ok", f"{BOLD};{GREEN}" if summary.ok else DIM),
        Span(f"   {summary.failed:,} failed", f"{BOLD};{RED}" if summary.failed else DIM),
        Span(f"   of {_counted(summary.urls, 'URL', 'URLs')} in {format_seconds(summary.elapsed)}"),
    ]
    if summary.requests_per_second:
        row.append(Span(f" · {_rate(summary.requests_per_second)}"))
    if summary.retries:
        row.append(Span(f" · {_counted(summary.retries, 'retry', 'retries')}"))
    # Neither side rounds to nothing: one failure among a million shows.
    good = min(max(round(width * summary.ok / summary.urls), bool(summary.ok)), width - bool(summary.failed))
    share = [Span("━" * good, GREEN), Span(TIMES * (width - good), RED)]
    return [*(flowed([warning], width) if summary.interrupted else []), *flowed(row, width), share]


def _counted(count: int, one: str, many: str) -> str:
    return f"{count:,} {one if count == 1 else many}"


def _rate(rate: float) -> str:
    return f"{rate:,.0f} requests/s" if rate >= 10 else f"{rate:.1f} requests/s"


def _outcomes(summary: Summary, histogram: Sequence[tuple[float, int]], width: int) -> list[Row]:
    """Statuses and errors on the left, latencies on the right, or one under the other."""
    beside = width >= _BESIDE
    left = _counts("Status", _by_status(summary.status), min(width, _LEFT))
    errors = _counts("Errors", _by_error(summary.errors), min(width, _LEFT))
    left += ([[]] if left and errors else []) + errors
    right = _latencies(summary.latency, histogram, width - _LEFT - _GAP if beside else width)
    if not (left and right):
        return left or right
    return _side_by_side(left, right) if beside else [*left, [], *right]


def _side_by_side(left: list[Row], right: list[Row]) -> list[Row]:
    height = max(len(left), len(right))
    pairs = zip(left + [[]] * (height - len(left)), right + [[]] * (height - len(right)), strict=True)
    return [[*first, Span(" " * (_LEFT + _GAP - row_width(first))), *second] for first, second in pairs]


def _by_status(status: dict[str, int]) -> list[tuple[str, int, str]]:
    return [(f"{code} {_phrase(code)}", count, status_style(int(code))) for code, count in sorted(status.items())]


def _by_error(errors: dict[str, int]) -> list[tuple[str, int, str]]:
    return [(kind, count, RED) for kind, count in sorted(errors.items(), key=lambda item: (-item[1], item[0]))]


def _phrase(code: str) -> str:
    try:
        return HTTPStatus(int(code)).phrase
    except ValueError:
        return ""


def _counts(title: str, counts: list[tuple[str, int, str]], width: int) -> list[Row]:
    """A titled column of counts; of a long list the most frequent, in the list's order."""
    if not counts:
        return []
    shown = set(sorted(counts, key=lambda row: -row[1])[:_ROWS])
    left_out = [row for row in counts if row not in shown]
    rows = [_count(*row, width) for row in counts if row in shown]
    if left_out:
        rows.append(_count(f"{len(left_out)} more", sum(row[1] for row in left_out), DIM, width))
    return [[Span(title, BOLD)], *rows]


def _count(name: str, count: int, style: str, width: int) -> Row:
    number = f" {count:,}"
    return [Span(padded(name, width - len(number)), style), Span(number)]


def _latencies(latency: Latency | None, histogram: Sequence[tuple[float, int]], width: int) -> list[Row]:
    """A histogram whose bars begin at zero, and the percentiles."""
    if latency is None:
        return []
    rows: list[Row] = [[Span("Latency", BOLD)], *_bars(_fewer(histogram), width)]
    rows += [[]] if len(rows) > 1 else []
    for names in (("p50", "p90", "p99"), ("min", "mean", "max")):
        pairs = [(Span(f"{name:<5}", DIM), Span(f"{format_seconds(getattr(latency, name)):<8} ")) for name in names]
        rows.append([span for pair in pairs for span in pair])
    return rows


def _bars(buckets: list[tuple[float, int]], width: int) -> list[Row]:
    edges = max((len(_edge(edge)) for edge, _ in buckets), default=0)
    top = max((count for _, count in buckets), default=0)
    rows = []
    for edge, count in buckets:
        row = [Span(f"{_edge(edge):>{edges}}", DIM), Span(f"  {count:>{len(f'{top:,}')},} ")]
        rows.append([*row, Span(bar(count, top, width - row_width(row)), CYAN)])
    return rows


def _edge(seconds: float) -> str:
    return "more" if seconds == float("inf") else "≤ " + re.sub(r"\.0+ ", " ", format_seconds(seconds))


def _fewer(histogram: Sequence[tuple[float, int]]) -> list[tuple[float, int]]:
    """Neighbours joined until a screen holds them, the empty ends left out; edges stay true."""
    used = [at for at, (_, count) in enumerate(histogram) if count]
    if not used:
        return []
    buckets = histogram[used[0] : used[-1] + 1]
    step = -(-len(buckets) // _ROWS)
    groups = [buckets[at : at + step] for at in range(0, len(buckets), step)]
    return [(group[-1][0], sum(count for _, count in group)) for group in groups]


def _slowest(hosts: Sequence[HostLine], width: int) -> list[Row]:
    """The slowest hosts; of one host alone the rest of the summary has said it all."""
    if len(hosts) < 2:
        return []
    room = max(width - 38, 8)
    rows = [[Span(padded("Slowest hosts", room), BOLD), Span(f"{'URLs':>9}{'failed':>9}{'mean':>10}{'max':>10}", DIM)]]
    for host in hosts[:_HOSTS]:
        name = padded(cut_middle(visible(host.host), room - 1), room)
        counts = [Span(f"{host.urls:>9,}"), Span(f"{host.failed:>9,}", RED if host.failed else DIM)]
        rows.append([Span(name), *counts, Span(f"{_optional(host.mean):>10}{_optional(host.max):>10}")])
    return rows


def _optional(seconds: float | None) -> str:
    return NOTHING if seconds is None else format_seconds(seconds)


def _compared_pages(summary: Summary, width: int) -> list[Row]:
    """How they are beside those of an earlier output."""
    counts = ", ".join(f"{count:,} {kind}" for kind, count in (summary.refresh or {}).items())
    return _labelled("Pages", [Span(counts)], width) if counts else []


def _transfer(summary: Summary, width: int) -> list[Row]:
    rate = f", {format_size(summary.wire_bytes / summary.elapsed)}/s" if summary.elapsed > 0 else ""
    text = f"{format_size(summary.bytes)} decoded, {format_size(summary.wire_bytes)} on the wire{rate}"
    return _labelled("Bytes", [Span(text)], width)


def _labelled(label: str, row: Row, width: int) -> list[Row]:
    """A row behind its label, which has a margin to itself where lines are long enough."""
    return flowed([Span(f"{label:<{_LABEL}}", BOLD), *row], width, _margin(width))


def _margin(width: int) -> int:
    return _LABEL if width >= _BESIDE else 0


def _compared(timing: Timing, width: int) -> list[Row]:
    """One at a time against concurrently: a speed-up only where both were measured."""
    alone, together = timing.sequential, timing.concurrent
    if not alone.measured:
        text = f"one at a time would take at most ~{format_seconds(alone.elapsed)}"
        why = Span(" (sum of times on the wire, not measured)", DIM)
        return _labelled("Time", [Span(text), why], width) if alone.elapsed > 0 else []
    flight = f" at {together.concurrency:,} in flight" if together.concurrency else ""
    text = f"one at a time {format_seconds(alone.elapsed)}, concurrently {format_seconds(together.elapsed)}{flight}"
    faster = [Span(":"), Span(f" {_speedup(timing.speedup)}", f"{BOLD};{GREEN}")] if timing.speedup else []
    rows = _labelled("Time", [Span(text), *faster], width)
    margin = " " * _margin(width)
    top = max(alone.elapsed, together.elapsed)
    for name, pace, style in (("one at a time", alone, YELLOW), ("concurrently", together, GREEN)):
        note = f" {name}, {_rate(pace.requests_per_second)}" if pace.requests_per_second else f" {name}"
        length = bar(pace.elapsed, top, width - len(margin) - len(note))
        rows.append([Span(margin), Span(length, style), Span(note, DIM)])
    return [*rows, *flowed([Span(f"{margin}the first pass also warms servers and DNS", DIM)], width)]


def _speedup(factor: float) -> str:
    return f"{factor:.1f} {TIMES} faster" if factor >= 1.05 else f"no faster ({factor:.2f} {TIMES})"
