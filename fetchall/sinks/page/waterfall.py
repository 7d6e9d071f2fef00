"""
The waterfall: one line a request over time, in the colours of its phases, for one pass or for two on one axis.

Knows what became of requests in time; it must not know the rest of the page.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fetchall.cells import TIMES
from fetchall.records import Timing
from fetchall.sinks.page.aggregate import DRAWN, Trace
from fetchall.sinks.page.scale import number, ticks, unit_of
from fetchall.sinks.page.seen import PHASES, Seen
from fetchall.sinks.page.svg import Plot
from fetchall.sinks.page.text import safe, seconds, size, without_scheme

_THINNEST = 0.0004
"""Shares of the width below which a phase is not drawn: a third of a pixel."""
_NARROWEST = 0.003
"""Shares of the width that a request takes at least: less can't be seen."""
_SLIVER = 1e-6
"""Seconds: the clock's own grain."""
_LABELLED = 40
"""Requests up to which each has its name beside it."""
_LETTERS = 150
"""How many letters of a name the whole width holds, and how many a name needs at least."""
_FEWEST = 14


class Segment(NamedTuple):
    """A phase and when it was, in seconds since the epoch. `other`: earlier attempts and hops, and what none claims."""

    phase: str
    start: float
    end: float


def segments(seen: Seen) -> list[Segment]:
    """
    What a request did and when, in order and without overlap; nothing for one that was not sent.

    Phases are those of the last hop, so they are laid out backwards from its end. Where it waited between attempts
    there is a gap.
    """
    if seen.start is None or seen.elapsed is None:
        return []
    end = seen.start + max(seen.elapsed, 0.0)
    if seen.phases is None:
        return [Segment("whole", seen.start, end)]
    found = [Segment("other", start, start + elapsed) for start, elapsed in seen.tries[:-1]]
    free = found[-1].end if found else None
    begun = min(seen.tries[-1][0], end) if seen.tries else seen.start
    queued, *active = [each or 0.0 for each in seen.phases]
    at = max(end - sum(active), begun)
    if seen.redirects:
        waited = max(at - queued, begun)
        found += [Segment("other", begun, waited), Segment("queued", waited, at)]
    else:
        since = begun - queued if free is None else max(begun - queued, min(free, begun))
        found += [Segment("queued", since, begun), Segment("other", begun, at)]
    for phase, length in zip(PHASES[1:], active, strict=True):
        found.append(Segment(phase, at, min(at + length, end)))
        at = found[-1].end
    return [part for part in found if part.end - part.start >= _SLIVER] or [Segment("whole", seen.start, end)]


class Frame(NamedTuple):
    """Where a pass stands on an axis: its begin since the epoch, the axis' length and the pitch of its lines."""

    begin: float
    length: float
    pitch: float

    def across(self, moment: float) -> float:
        """A moment's place, as a share of the width."""
        return min(max((moment - self.begin) / self.length, 0.0), 1.0)


def drawn(trace: Trace) -> list[Seen]:
    """The requests that a waterfall draws: all, or a sample of them, as they began."""
    sent = [seen for seen in trace.sample.rows() if seen.start is not None][:DRAWN]
    return sorted(sent, key=lambda seen: (seen.start or 0.0, seen.place))


def compared(sequential: Trace, concurrent: Trace, timing: Timing) -> str:
    """One at a time above, concurrently below, on one axis that begins where each began."""
    alone, together = timing.sequential.elapsed, timing.concurrent.elapsed
    length = max(alone, together, sequential.span, concurrent.span, 1e-6)
    charts = []
    for trace, elapsed, other, name in (
        (sequential, alone, together, "One at a time"),
        (concurrent, together, alone, f"Up to {timing.concurrent.concurrency} in flight"),
    ):
        rows = drawn(trace)
        frame = Frame(trace.begin or 0.0, length, min(max(260 / max(len(rows), 1), 2.2), 14.0))
        plot = Plot(max(len(rows) * frame.pitch, 60), head=26)
        _axis(plot, length)
        _lines(plot, rows, frame, labelled=False)
        _finish(plot, elapsed / length, f"{name}: done after {seconds(elapsed)}")
        if name != "One at a time" and timing.speedup and timing.speedup >= 1.05 and elapsed / length < 0.75:
            middle = plot.height / 2 + 14
            plot.line(elapsed / length, min(other / length, 1.0), middle, middle, "saved")
            words = f"{timing.speedup:.1f} {TIMES} faster: {seconds(other - elapsed)} saved"
            plot.text((elapsed + other) / 2 / length, middle - 8, words, "strong", anchor="middle")
        about = f"{name}: {len(rows)} of {trace.sent} requests as lines on a time axis of {seconds(length)}."
        charts.append(plot.svg(f"Waterfall, {name.lower()}", about, "tips wf"))
    return "\n".join(charts)


def waterfall(trace: Trace, elapsed: float) -> str:
    """One pass on an axis of its own, with names where there is room for them."""
    rows = drawn(trace)
    length = max(elapsed, trace.span, 1e-6)
    labelled = len(rows) <= _LABELLED
    pitch = 20.0 if labelled else max(min(640 / max(len(rows), 1), 12.0), 5.0)
    frame = Frame(trace.begin or 0.0, length, pitch)
    plot = Plot(max(len(rows) * pitch, 40))
    _axis(plot, length)
    _lines(plot, rows, frame, labelled=labelled)
    about = f"{len(rows)} of {trace.sent} requests as lines on a time axis of {seconds(length)}, as they began."
    return plot.svg("Waterfall of requests", about, "tips wf")


def _axis(plot: Plot, length: float) -> None:
    unit = unit_of(length)
    marks = [(tick * unit.seconds / length, tick) for tick in ticks(length / unit.seconds, 8)]
    plot.across([(place, f"{number(tick)} {unit.name}") for place, tick in marks])


def _finish(plot: Plot, place: float, words: str) -> None:
    plot.line(place, place, -18, plot.height, "finish")
    left = place > 0.5
    plot.text(place, -8, words, "strong", anchor="end" if left else "start", shift=-8 if left else 8)


def _lines(plot: Plot, rows: Sequence[Seen], frame: Frame, *, labelled: bool) -> None:
    thick = frame.pitch * (0.62 if frame.pitch > 8 else 0.8)
    for place, seen in enumerate(rows):
        top = place * frame.pitch + (frame.pitch - thick) / 2
        parts = segments(seen)
        plot.begin(_words(seen, parts), i=seen.place)
        first, last = frame.across(parts[0].start), _bars(plot, seen, parts, frame, top, top + thick)
        if labelled:
            _label(plot, seen, first, last, top + thick / 2 + 4)
        plot.end()


def _bars(plot: Plot, seen: Seen, parts: Sequence[Segment], frame: Frame, top: float, bottom: float) -> float:
    """The phases of one request; where they end."""
    middle, thin = (top + bottom) / 2, (bottom - top) * 0.15
    bars = [(part.phase, frame.across(part.start), frame.across(part.end)) for part in parts]
    if len(seen.tries) > 1:
        plot.rect(bars[0][1], bars[-1][2], middle - thin / 2, middle + thin / 2, "waiting")
    for phase, left, right in bars:
        if phase == "queued" and right - left >= _THINNEST:
            plot.rect(left, right, middle - 2 * thin, middle + 2 * thin, phase)
    busy = [bar for bar in bars if bar[0] != "queued"] or bars[-1:]
    end = busy[-1][2]
    if sum(right - left for _, left, right in busy) < _NARROWEST:
        phase, left, right = max(busy, key=lambda bar: bar[2] - bar[1])
        end = max(end, left + _NARROWEST)
        busy = [(phase, left, end)]
    for phase, left, right in busy:
        if right - left >= _THINNEST:
            plot.rect(left, right, top, bottom, phase)
    if not seen.ok:
        plot.rect(end, end + 0.004, top, bottom, "failed")
    return end


def _label(plot: Plot, seen: Seen, first: float, last: float, down: float) -> None:
    """The name beside its line, where there is room for it, or else upon it."""
    took = seconds(seen.elapsed)
    after, before = (int(share * _LETTERS) - len(seen.outcome) - len(took) - 5 for share in (1 - last, first))

    def words(most: int) -> str:
        return f"{safe(without_scheme(seen.url), min(most, 64))} <tspan>{safe(seen.outcome)} · {took}</tspan>"

    if after >= _FEWEST:
        plot.text(last, down, words(after), "name", shift=12)
    elif before >= _FEWEST:
        plot.text(first, down, words(before), "name", anchor="end", shift=-8)
    else:
        plot.text(first, down, words(64), "name halo", shift=8)


def _words(seen: Seen, parts: Sequence[Segment]) -> str:
    """What a line says when pointed at."""
    facts = [seen.outcome, seconds(seen.elapsed)]
    if seen.size is not None:
        facts.append(size(seen.size))
    if seen.attempts > 1:
        facts.append(f"{seen.attempts} attempts")
    lengths = [f"{part.phase} {seconds(part.end - part.start)}" for part in parts if part.phase != "whole"]
    return f"{safe(seen.url, 100)}\n{safe(' · '.join(facts))}\n{' · '.join(lengths)}".rstrip()
