"""
The tables: hosts, the slowest and the largest, failures with examples, and the list of requests.

Knows rows and aggregates; it must not know charts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from http import HTTPStatus
from typing import NamedTuple

from fetchall.cells import NOTHING
from fetchall.sinks.page.aggregate import HOSTS, Group, Host, Picture
from fetchall.sinks.page.seen import Seen
from fetchall.sinks.page.text import (
    attributes,
    count,
    counted,
    percent,
    safe,
    seconds,
    size,
    within,
    without_scheme,
)

SHOWN_HOSTS = 200
_OPEN = 3
"""Reasons whose examples can be seen at once."""
_HOST_BYTES, _GROUP_BYTES = 100_000, 120_000
"""What these parts may take of the page, at most."""


class Cell(NamedTuple):
    """What stands in a table's cell, and the value by which it is sorted; a number, a text, or nothing."""

    html: str
    value: float | str | None = None
    kind: str = ""


def table(name: str, caption: str, heads: Sequence[str], rows: Iterable[str], *, tall: bool = False) -> str:
    """
    A table whose columns sort; numbers stand to the right. `name` is its id; everything is escaped already.

    A tall one scrolls within the page, by the keyboard too.
    """
    return (
        f'<div class="scroll{" tall" if tall else ""}" role="region" aria-label="{caption}" tabindex="0">'
        f'<table id="{name}" class="sorts"><caption>{caption}</caption>'
        f"<thead><tr>{''.join(map(head, heads))}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def head(words: str) -> str:
    """The head of a column: a button, so that the keyboard reaches it."""
    return f'<th scope="col"><button type="button">{words}</button></th>'


def row(cells: Sequence[Cell], **data: str | int | float | None) -> str:
    """One row; `data` are its attributes."""
    return f"<tr{attributes(**data)}>{''.join(map(_cell, cells))}</tr>"


def _cell(cell: Cell) -> str:
    value = cell.value
    text = (
        None if isinstance(value, str) else "" if value is None else f"{value:.4g}" if value < 1e4 else f"{value:.0f}"
    )
    return f"<td{attributes(class_=cell.kind or None, data_v=text)}>{cell.html}</td>"


def shown_hosts(picture: Picture) -> list[tuple[str, Host]]:
    """All hosts, or of many those with the most rows, the most failures and the longest times; most rows first."""
    everyone = sorted(picture.hosts.items(), key=lambda item: (-item[1].urls, item[0]))
    if len(everyone) <= SHOWN_HOSTS:
        return everyone
    third = SHOWN_HOSTS // 3
    failing = sorted(everyone, key=lambda item: -item[1].failed)[:third]
    slow = sorted(everyone, key=lambda item: -(item[1].mean or 0.0))[:third]
    chosen = {name for part in (everyone[:third], failing, slow) for name, _ in part}
    chosen.update(name for name, _ in everyone[: SHOWN_HOSTS - len(chosen)])
    return [item for item in everyone if item[0] in chosen]


def hosts(picture: Picture) -> str:
    """What each host gave."""
    shown = shown_hosts(picture)
    heads = ("Host", "URLs", "failed", "failed %", "mean", "longest", "received")
    body = list(within((_host(number, name, host) for number, (name, host) in enumerate(shown)), _HOST_BYTES))
    notes = []
    if len(body) < len(picture.hosts):
        notes.append(
            f"{len(body)} of {counted(len(picture.hosts), 'host', 'hosts')}: those with the most URLs, the most "
            "failures and the longest mean."
        )
    if picture.other_hosts.urls:
        others = counted(picture.other_hosts.urls, "URL", "URLs")
        notes.append(f"{others} of hosts beyond the first {HOSTS:,} are not in this table.")
    return table("hosts", "Hosts", heads, body, tall=True) + "".join(f'<p class="note">{note}</p>' for note in notes)


def _host(number: int, name: str, host: Host) -> str:
    words = safe(name, 60) if name else "(no valid URL)"
    cells = (
        Cell(f'<button type="button" class="link" data-host="{number}">{words}</button>', name),
        Cell(count(host.urls), host.urls),
        Cell(count(host.failed), host.failed, "bad" if host.failed else "zero"),
        Cell(percent(host.failed, host.urls), host.failed / host.urls),
        Cell(seconds(host.mean), host.mean),
        Cell(seconds(host.max) if host.sent else NOTHING, host.max if host.sent else None),
        Cell(size(host.bytes), host.bytes),
    )
    return row(cells)


def extremes(name: str, caption: str, rows: Sequence[Seen], *, by_size: bool) -> str:
    """The slowest or the largest."""
    heads = ("Size" if by_size else "Time", "Outcome", "URL")
    body = [
        (
            Cell(size(seen.size), seen.size) if by_size else Cell(seconds(seen.elapsed), seen.elapsed),
            outcome(seen),
            Cell(safe(without_scheme(seen.url), 90), "url", "url"),
        )
        for seen in rows
    ]
    return table(name, caption, heads, map(row, body))


def outcome(seen: Seen) -> Cell:
    """What became of a row, in its colour."""
    return Cell(f'<b class="{seen.kind}">{safe(seen.outcome)}</b>', seen.outcome)


def failures(picture: Picture, begin: float) -> str:
    """Why rows failed: each reason with its count, when it struck, and examples; the most frequent first."""
    groups = sorted(picture.groups.items(), key=lambda item: (-item[1].count, item[0]))
    made = (_group(name, group, picture, begin, place < _OPEN) for place, (name, group) in enumerate(groups))
    parts = list(within(made, _GROUP_BYTES))
    left = groups[len(parts) :]
    if left:
        rest = sum(group.count for _, group in left)
        parts.append(f'<p class="note">{len(left)} further reasons with {counted(rest, "row", "rows")}.</p>')
    return "".join(parts)


def _group(name: str, group: Group, picture: Picture, begin: float, unfolded: bool) -> str:
    first = group.examples[0]
    when = ""
    if group.first is not None and group.last is not None:
        start, end = seconds(max(group.first - begin, 0.0)), seconds(max(group.last - begin, 0.0))
        when = f", begun at {start}" if start == end else f", begun between {start} and {end}"
    examples = "".join(_example(seen) for seen in group.examples)
    more = f" of {count(group.count)}" if group.count > len(group.examples) else ""
    button = f'<button type="button" class="link" data-outcome="{safe(name)}">show in the list</button>'
    return (
        f'<details class="reason"{" open" if unfolded else ""}>'
        f'<summary><b class="{first.kind}">{safe(name)}</b> {_phrase(first)} <b class="count">{count(group.count)}</b> '
        f'<span class="soft">{percent(group.count, picture.rows)} of all{when}</span></summary>'
        f'<ul>{examples}</ul><p class="soft">{counted(len(group.examples), "example", "examples")}{more} · {button}</p>'
        "</details>"
    )


def _phrase(seen: Seen) -> str:
    if seen.error_type is not None or seen.status is None:
        return ""
    try:
        return HTTPStatus(seen.status).phrase
    except ValueError:
        return ""


def _example(seen: Seen) -> str:
    words = f'<br><span class="soft">{safe(seen.error, 200)}</span>' if seen.error else ""
    return f'<li><span class="url">{safe(seen.url, 120)}</span>{words}</li>'


def requests(picture: Picture, begin: float, budget: int) -> tuple[str, int]:
    """The list of requests, which can be filtered and sorted, in so many bytes; and how many of them it has."""
    numbers = {name: number for number, (name, _) in enumerate(shown_hosts(picture))}
    listed = picture.listed()
    made = within((_request(seen, numbers.get(seen.host, -1), begin) for seen in listed), budget)
    # What there is room for is chosen in the order of importance, and shown in that of the list.
    body = [html for _, html in sorted(zip([seen.place for seen in listed], made, strict=False))]
    heads = ("#", "Outcome", "Start", "Time", "Size", "Tries", "URL")
    return table("requests", "Requests", heads, body, tall=True), len(body)


def _request(seen: Seen, host: int, begin: float) -> str:
    start = None if seen.start is None else max(seen.start - begin, 0.0)
    words = f'<br><span class="soft">{safe(seen.error, 120)}</span>' if seen.error else ""
    cells = (
        Cell(count(seen.place), seen.place),
        outcome(seen),
        Cell(seconds(start), start),
        Cell(seconds(seen.elapsed), seen.elapsed),
        Cell(size(seen.size), seen.size),
        Cell(count(seen.attempts), seen.attempts),
        Cell(safe(seen.url, 140) + words, "url", "url"),
    )
    return row(cells, data_i=seen.place, data_h=host, data_o=safe(seen.outcome), data_k=int(seen.ok))
