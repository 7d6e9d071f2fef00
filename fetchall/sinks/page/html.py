"""
The page: what a run gave, put together in the order in which a person asks, and the policy that keeps it harmless.

Knows how the parts stand together; it must not know how each is drawn, nor where the page goes.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from fetchall.records import Summary, Timing
from fetchall.sinks import Ending
from fetchall.sinks.page import charts, latency, tables, waterfall
from fetchall.sinks.page.aggregate import DRAWN, FAILURES, Picture, Trace
from fetchall.sinks.page.headline import headline
from fetchall.sinks.page.seen import PHASES
from fetchall.sinks.page.text import count, joined, safe, seconds, size

_ICON = (
    "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 16 16'%3E%3Cg fill='%2312875d'%3E"
    "%3Cpath d='M1 2h7v2H1zM3 6h9v2H3zM3 10h6v2H3zM5 14h10v-2H5z'/%3E%3C/g%3E%3C/svg%3E"
)

_MOST_BYTES = 1_000_000
_ROW_BYTES = 450_000
"""What the page takes at most, and the list of requests in it."""


def page(picture: Picture, ending: Ending, about: Sequence[tuple[str, str]], opened: float) -> bytes:
    """
    The whole page, in UTF-8; `opened` is when the run began, in seconds since the epoch.

    Nothing in it refers to anything outside of it.
    """
    style, script = _asset("page.css"), _asset("page.js")
    policy = (
        f"default-src 'none'; style-src '{_hash(style)}'; script-src '{_hash(script)}'; img-src data:; "
        "base-uri 'none'; form-action 'none'"
    )
    summary = ending.summary
    head = (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="referrer" content="no-referrer"><meta name="color-scheme" content="light dark">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<link rel="icon" href="{_ICON}">',
        f"<title>{summary.ok:,} of {summary.urls:,} ok - fetchall</title>",
        f"<style>{style}</style></head><body><main>",
    )
    foot = f'</main><div id="tip" role="status" hidden></div><script>{script}</script></body></html>\n'
    sections = _sections(picture, ending, about, opened)
    room = _MOST_BYTES - sum(len(part.encode("utf-8", "replace")) for part in (*head, *sections.values(), foot)) - 2_000
    begin = picture.trace.begin if picture.trace.begin is not None else opened
    sections["requests"] = _requests(picture, begin, min(room, _ROW_BYTES))
    text = joined([*head, *(part for part in sections.values() if part), foot])
    return text.encode("utf-8", "backslashreplace")


def _sections(picture: Picture, ending: Ending, about: Sequence[tuple[str, str]], opened: float) -> dict[str, str]:
    """The parts of the page in their order; the list of requests has what room the others leave it."""
    summary, timing = ending.summary, ending.timing
    begin = picture.trace.begin if picture.trace.begin is not None else opened
    return {
        "head": headline(picture, summary, timing, opened),
        "waterfall": _waterfall(picture, timing, summary),
        "times": _times(picture, timing),
        "latency": _latency(picture, summary),
        "failures": _failures(picture, begin),
        "hosts": _hosts(picture),
        "extremes": _extremes(picture),
        "requests": "",
        "about": _about(about, summary, timing, opened),
    }


@cache
def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _hash(code: str) -> str:
    """As a policy names it (CSP level 3, section 2.3.1)."""
    return f"sha256-{base64.b64encode(hashlib.sha256(code.encode()).digest()).decode()}"


def _section(name: str, title: str, inner: str, note: str = "") -> str:
    if not inner:
        return ""
    below = f'<p class="lead">{note}</p>' if note else ""
    head = f'<section id="{name}-part" aria-labelledby="{name}-title"><h2 id="{name}-title">{title}</h2>'
    return f"{head}{below}{inner}</section>"


_KEYS = (
    ("other", "earlier attempts, redirects, and between phases"),
    ("queued", "queued"),
    ("dns", "dns"),
    ("connect", "connect"),
    ("send", "send"),
    ("wait", "wait for the answer"),
    ("receive", "receive"),
    ("failed", "not ok"),
)


def _waterfall(picture: Picture, timing: Timing, summary: Summary) -> str:
    trace = picture.trace
    if not trace.sent:
        return ""
    legend = '<ul class="legend phases">' + "".join(
        f'<li><i class="key {kind}"></i>{name}</li>' for kind, name in _KEYS
    )
    chosen = (
        "Each line is a request"
        if trace.sent <= DRAWN
        else f"{DRAWN} of {count(trace.sent)} requests, drawn at random: each line is one"
    )
    inner = f"{legend}</ul>"
    if picture.sequential is not None and picture.sequential.sent and timing.sequential.measured:
        inner += (
            "<h3>One at a time, above; concurrently, below; on the same axis</h3>"
            + waterfall.compared(picture.sequential, trace, timing)
            + "<h3>The concurrent pass on an axis of its own</h3>"
        )
    inner += waterfall.waterfall(trace, summary.elapsed)
    tables_ = [_drawn(trace, "Concurrently")]
    if picture.sequential is not None:
        tables_.insert(0, _drawn(picture.sequential, "One at a time"))
    inner += charts.fallback("".join(tables_))
    note = f"{chosen}, in the order of their starts. The shortest are drawn longer than they were."
    return _section("waterfall", "Waterfall", inner, note)


def _drawn(trace: Trace, name: str) -> str:
    begin = trace.begin or 0.0
    heads = ("URL", "Outcome", "Start", *PHASES)
    rows = []
    for seen in waterfall.drawn(trace):
        start = (seen.start or begin) - begin
        phases = seen.phases or (None,) * len(PHASES)
        rows.append(
            (
                tables.Cell(safe(seen.url, 70), "url", "url"),
                tables.outcome(seen),
                tables.Cell(seconds(start), start),
                *(tables.Cell(seconds(length), length) for length in phases),
            )
        )
    return f"<h3>{name}</h3>" + tables.table(
        "drawn-" + name.split()[0].lower(), f"Waterfall, {name.lower()}", heads, map(tables.row, rows)
    )


def _times(picture: Picture, timing: Timing) -> str:
    inner = charts.over_time(picture, timing) if picture.trace.sent else ""
    return _section("time", "Over time", inner)


def _latency(picture: Picture, summary: Summary) -> str:
    if summary.latency is None or not (picture.latency[True].count or picture.latency[False].count):
        return ""
    found = summary.latency
    note = (
        "From the start of the first attempt to the end of the last, for what was answered. "
        f"Fastest {seconds(found.min)}, mean {seconds(found.mean)}, slowest {seconds(found.max)}. "
        "The axis is logarithmic."
    )
    inner = latency.latencies(picture, found)
    spent = latency.phases(picture)
    if spent:
        inner += f"<h3>Where the time on the wire went, in each request's last hop</h3>{spent}"
    return _section("latency", "Latency", inner, note)


def _failures(picture: Picture, begin: float) -> str:
    inner = tables.failures(picture, begin)
    return _section("failures", "What failed, and why", inner)


def _hosts(picture: Picture) -> str:
    return _section("hosts", "Hosts", tables.hosts(picture) if picture.rows else "")


def _extremes(picture: Picture) -> str:
    slowest, largest = picture.slowest.rows(), picture.largest.rows()
    parts = []
    if slowest:
        parts.append(f"<div>{tables.extremes('slowest', 'Slowest', slowest, by_size=False)}</div>")
    if largest:
        parts.append(f"<div>{tables.extremes('largest', 'Largest', largest, by_size=True)}</div>")
    return _section("extremes", "Slowest and largest", f'<div class="pair">{"".join(parts)}</div>' if parts else "")


def _requests(picture: Picture, begin: float, budget: int) -> str:
    if not picture.rows:
        return ""
    inner, shown = tables.requests(picture, begin, budget)
    note = "Every request of the run. What a filter leaves out is dimmed in the waterfall, too."
    if shown < picture.rows:
        note = (
            f"{count(shown)} of {count(picture.rows)}: the slowest, the largest, up to {FAILURES} that failed, "
            "and others at random. All counts elsewhere on this page are of the whole run."
        )
    return _section("requests", "Requests", _filters(picture) + inner, note)


def _filters(picture: Picture) -> str:
    hosts = "".join(
        f'<option value="{place}">{safe(name, 60) or "(no valid URL)"} ({count(host.urls)})</option>'
        for place, (name, host) in enumerate(tables.shown_hosts(picture))
    )
    outcomes = "".join(
        f'<option value="{safe(name)}">{safe(name)} ({count(amount)})</option>'
        for (_, name), amount in sorted(picture.outcomes.items(), key=lambda item: (-item[1], item[0]))
    )
    return (
        '<div class="filters" role="search">'
        '<label>Text <input id="f-text" type="search" placeholder="in URL or message" autocomplete="off"></label>'
        f'<label>Outcome <select id="f-outcome"><option value="">any</option><option value="ok">ok</option>'
        f'<option value="failed">failed</option>{outcomes}</select></label>'
        f'<label>Host <select id="f-host"><option value="">any</option>{hosts}</select></label>'
        '<button type="button" id="f-clear">Clear</button> <output id="f-count" aria-live="polite"></output></div>'
    )


def _about(about: Sequence[tuple[str, str]], summary: Summary, timing: Timing, opened: float) -> str:
    started = datetime.fromtimestamp(opened, UTC)
    facts = [("Started", f"{started:%Y-%m-%d %H:%M:%S} UTC"), ("Took", seconds(summary.elapsed))]
    if timing.sequential.measured:
        facts.append(("One at a time took", seconds(timing.sequential.elapsed)))
    facts += [("On the wire", size(summary.wire_bytes)), *about]
    rows = "".join(f"<div><dt>{safe(name)}</dt><dd>{safe(value, 400)}</dd></div>" for name, value in facts)
    return _section("about", "What ran", f'<dl class="facts">{rows}</dl>')
