"""
The figures to reach, as data, and whether what was measured reaches them.

Knows outcomes; a figure whose workload or contender was not run is left out.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import dataclass

from bench.runner import Entry, Outcome
from bench.table import pace, ratio


@dataclass(frozen=True, slots=True)
class Figure:
    """
    One promise: `what` of fetchall in a workload, at most (or, for rates, at least) `limit`.

    It is a ratio to `against` (a contender, or another workload's name), to the ideal, or a plain value.
    """

    about: str
    workload: str
    what: str
    """`net`, `wall`, `cpu`, `rate` or `memory`."""
    limit: float
    against: str = ""
    ours: str = "fetchall"


FIGURES = (
    Figure("CPU a request against the bare loop on uvloop", "tiny", "cpu", 1.15, "bare-uvloop"),
    Figure("rate of two processes against curl -Z with JSON", "tiny-many", "rate", 0.8, "curl", "fetchall-2"),
    Figure("time against the ideal", "latency-100", "net", 1.04, "ideal"),
    Figure("time against the bare loop", "latency-500", "net", 1.05, "bare-uvloop"),
    Figure("two processes' time against the bare loop", "latency-1000", "net", 1.02, "bare-uvloop", "fetchall-2"),
    Figure("time against the ideal", "sorted", "net", 1.15, "ideal"),
    Figure("seconds, start-up included", "sorted", "wall", 1.5),
    Figure("time against the sorted list", "shuffled", "net", 1.02, "sorted"),
    Figure("time against the ideal", "hanging", "net", 1.2, "ideal"),
    Figure("time against the ideal in list order", "hanging-spread", "net", 1.2, "ideal in order"),
    Figure("time against the ideal", "dead", "net", 1.2, "ideal"),
    Figure("rate against curl", "pages", "rate", 1.0, "curl"),
    Figure("rate against curl", "tls", "rate", 1.0, "curl"),
    Figure("rate of two processes against curl", "pages", "rate", 1.0, "curl", "fetchall-2"),
    Figure("rate of two processes against curl", "tls", "rate", 1.0, "curl", "fetchall-2"),
    Figure("rate against curl", "big-files", "rate", 0.9, "curl"),
    Figure("memory against that for 20,000", "memory-200k", "memory", 1.15, "memory-20k"),
    Figure("memory in MB", "memory-200k", "memory", 120),
    Figure("memory against that for 20,000", "memory-1m", "memory", 1.10, "memory-20k"),
    Figure("memory in MB", "memory-1m", "memory", 100),
    Figure("seconds", "startup-version", "wall", 0.12),
    Figure("seconds", "startup-help", "wall", 0.12),
)


def judge(outcomes: list[Outcome]) -> Iterator[tuple[Figure, float, bool]]:
    """Each figure that can be told from these outcomes: its value, and whether it is reached."""
    by_name = {outcome.workload.name: outcome for outcome in outcomes}
    for figure in FIGURES:
        if figure.workload not in by_name:
            continue
        value = _value(figure, by_name)
        if value is not None:
            yield figure, value, value >= figure.limit if figure.what == "rate" else value <= figure.limit


def _value(figure: Figure, by_name: dict[str, Outcome]) -> float | None:
    outcome = by_name[figure.workload]
    ours = outcome.entry(figure.ours)
    if ours is None:
        return None
    if figure.against in by_name:
        theirs = by_name[figure.against].entry(figure.ours)
    elif figure.against.startswith("ideal"):
        best = ours.ideal if figure.against == "ideal" else ours.ideal_in_order
        return statistics.median(_series(ours, figure.what)) / best
    elif figure.against:
        theirs = outcome.entry(figure.against)
    else:
        return statistics.median(_series(ours, figure.what)) / (1e6 if figure.what == "memory" else 1)
    if theirs is None:
        return None
    value = ratio(_series(ours, figure.what), _series(theirs, figure.what))
    return 1 / value if figure.what == "rate" else value


def _series(entry: Entry, what: str) -> list[float]:
    if what == "cpu":
        return entry.cpu()
    if what == "memory":
        return [float(run.usage.memory) for run in entry.runs]
    if what == "rate":
        return pace(entry, timed=False)
    return [run.usage.wall for run in entry.runs] if what == "wall" else entry.net()


def plain(outcomes: list[Outcome]) -> str:
    """For the terminal; empty where no figure was measured."""
    lines = [
        f"  {'reached' if reached else 'MISSED '}  {figure.workload}: {_text(figure)}: {value:.2f}"
        for figure, value, reached in judge(outcomes)
    ]
    return "\n".join(["figures to reach", *lines]) if lines else ""


def markdown(outcomes: list[Outcome]) -> dict[str, str]:
    """For the page: a list of figures for each workload that has some."""
    lists: dict[str, list[str]] = {}
    for figure, value, reached in judge(outcomes):
        line = f"- {_text(figure)}: **{value:.2f}**{'' if reached else ', missed'}"
        lists.setdefault(figure.workload, []).append(line)
    return {name: "\n".join(lines) for name, lines in lists.items()}


def _text(figure: Figure) -> str:
    bound = "at least" if figure.what == "rate" else "at most"
    return f"{figure.about}, {bound} {figure.limit:g}"
