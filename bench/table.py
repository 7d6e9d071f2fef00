"""
What was measured, as tables for people: plain for the terminal, Markdown for docs/performance.md, and values for JSON.

Knows outcomes; knows no process and no file but the page that it fills in.
"""

from __future__ import annotations

import os
import platform
import re
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.runner import Entry, Outcome
from bench.workloads import WORKLOADS

OURS = "fetchall"
HEADS = (
    *("", "wall s", "net s", "req/s", "CPU ms/1k", "peak MB", "conns", "in flight", "x ideal"),
    *("fetchall time", "fetchall CPU"),
)
BEGIN, END = "<!-- bench: what stands between these two lines is written by the benchmark -->", "<!-- /bench -->"


def median(values: Iterable[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Ours divided by theirs: the median over the turns, each taken beside the other."""
    return median(a / b for a, b in zip(ours, theirs, strict=False))


def pace(entry: Entry, timed: bool) -> list[float]:
    """Net seconds of each run, for one URL; where waiting decides, for one second of the ideal (lists may differ)."""
    return [net / (entry.ideal if timed else entry.urls) for net in entry.net()]


def rows(outcome: Outcome) -> list[list[str]]:
    """One row of cells for each contender that took part."""
    ours = outcome.entry(OURS)
    return [_cells(entry, ours, outcome) for entry in outcome.entries if entry.runs]


def _cells(entry: Entry, ours: Entry | None, outcome: Outcome) -> list[str]:
    load = outcome.workload
    walls = median(run.usage.wall for run in entry.runs)
    cells = dict.fromkeys(HEADS, "") | {"": entry.contender, "wall s": f"{walls:.2f}"}
    if not entry.sound:
        return list((cells | {"req/s": "WRONG"}).values())
    cells["peak MB"] = f"{median(run.usage.memory for run in entry.runs) / 1e6:.0f}"
    if load.arguments or entry.urls <= 1:
        return list(cells.values())
    net = median(entry.net())
    cells["net s"] = f"{net:.2f}"
    cells["req/s"] = f"{entry.urls / net:,.0f}"
    cells["CPU ms/1k"] = f"{median(entry.cpu()) * 1000:.1f}"
    # The question for the counts is a connection, too.
    cells["conns"] = str(max(run.server["connections"] - 1 for run in entry.runs))
    if load.timed:
        cells["in flight"] = str(max(run.server["max_in_flight"] for run in entry.runs))
        cells["x ideal"] = f"{net / entry.ideal:.2f}"
    if ours is not None and entry is not ours:
        cells["fetchall time"] = f"{ratio(pace(ours, load.timed), pace(entry, load.timed)):.2f} x"
        cells["fetchall CPU"] = f"{ratio(ours.cpu(), entry.cpu()):.2f} x"
    return list(cells.values())


def heading(outcome: Outcome) -> str:
    """What the table is about, in one line."""
    load, counts = outcome.workload, sorted({entry.urls for entry in outcome.entries}, reverse=True)
    if load.arguments:
        return load.about
    text = f"{' or '.join(f'{count:,}' for count in counts)} URLs, {load.concurrency:,} in flight: {load.about}"
    if load.timed and outcome.entries:
        longest = max(outcome.entries, key=lambda entry: entry.urls)
        text += f"; ideal {longest.ideal:.2f} s"
        if longest.ideal_in_order > longest.ideal * 1.01:
            text += f" ({longest.ideal_in_order:.2f} s in list order)"
    return text


def notes(outcome: Outcome) -> list[str]:
    """What a reader must know beside the figures: what went wrong, who was not there, what the server took."""
    lines = [
        f"WRONG {entry.contender}: {run.wrong}"
        for entry in outcome.entries
        for run in entry.runs
        if run.wrong is not None
    ]
    told = {
        name: why for name, why in outcome.absent.items() if why not in ("is not run here", "is about fetchall alone")
    }
    if told:
        lines.append("not run: " + "; ".join(f"{name} {why}" for name, why in told.items()))
    shares = [
        run.server["cpu"] / run.server["requests"] * 1e6
        for entry in outcome.entries for run in entry.runs if run.server.get("requests", 0) >= 100
    ]  # fmt: skip
    if shares:
        lines.append(f"the server took {median(shares):.0f} µs of CPU a request")
    return lines


def plain(outcome: Outcome) -> str:
    """For the terminal."""
    columns = [
        [cell.rjust(width) if number else cell.ljust(width) for cell in column]
        for number, column in enumerate(_columns(outcome))
        for width in [max(map(len, column))]
    ]
    lines = ["  " + "  ".join(cells).rstrip() for cells in zip(*columns, strict=True)]
    return "\n".join(
        [f"{outcome.workload.name}: {heading(outcome)}", *lines, *(f"  {note}" for note in notes(outcome))]
    )


def markdown(outcome: Outcome) -> str:
    """For the page: a section with the workload's name."""
    head, *body = zip(*_columns(outcome), strict=True)
    lines = [f"### {outcome.workload.name}", "", f"{heading(outcome)}.", ""]
    lines += ["| " + " | ".join(head) + " |", "|---|" + "---:|" * (len(head) - 1)]
    lines += ["| " + " | ".join(cells) + " |" for cells in body]
    return "\n".join([*lines, "", *(f"{note[0].upper()}{note[1:]}.\n" for note in notes(outcome))]).strip()


def _columns(outcome: Outcome) -> list[tuple[str, ...]]:
    """Heading and cells of each column that says something."""
    columns = list(zip(HEADS, *rows(outcome), strict=True))
    return [columns[0], *(column for column in columns[1:] if any(column[1:]))]


def machine(versions: dict[str, str]) -> str:
    """Where the figures come from, in one line."""
    model = ""
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    tools = ", ".join(f"{name} {version}" for name, version in versions.items())
    today = datetime.now(UTC).date()
    return f"{today}, {os.cpu_count()} cores ({model or 'unknown'}), Python {platform.python_version()}; {tools}"


def fill_in(page: Path, outcomes: list[Outcome], figures: dict[str, str], versions: dict[str, str]) -> None:
    """
    Replace the sections of these workloads between the page's two marks; those of others stay.

    `figures` has what stands below a workload's table. Raises ValueError where the page lacks the marks.
    """
    text = page.read_text("utf-8")
    before, mark, rest = text.partition(BEGIN)
    old, end, after = rest.partition(END)
    if not mark or not end:
        raise ValueError(f"{page} lacks the lines {BEGIN!r} and {END!r} between which the tables belong")
    sections = {match[1]: match[0].strip() for match in re.finditer(r"^### (\S+)\n.*?(?=^### |\Z)", old, re.M | re.S)}
    source = f"<sub>{machine(versions)}</sub>"
    for outcome in outcomes:
        name = outcome.workload.name
        sections[name] = "\n\n".join(filter(None, (markdown(outcome), figures.get(name), source)))
    kept = [sections[workload.name] for workload in WORKLOADS if workload.name in sections]
    page.write_text(before + BEGIN + "\n\n" + "\n\n".join(kept) + "\n\n" + END + after, "utf-8")


def values(outcome: Outcome) -> dict[str, Any]:
    """Everything that was measured, run by run, for JSON."""
    return {
        "name": outcome.workload.name,
        "concurrency": outcome.workload.concurrency,
        "absent": outcome.absent,
        "entries": [asdict(entry) | {"net": entry.net(), "cpu_per_1000": entry.cpu()} for entry in outcome.entries],
    }
