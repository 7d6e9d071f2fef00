"""
Runs a workload: server, lists, contenders in turn, several times over; and checks at the server that the work was done.

Knows processes and files; knows no command line of any tool and prints nothing.
"""

from __future__ import annotations

import shutil
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import workloads
from bench.contenders import Contender, Job
from bench.measure import TookTooLong, Usage, measure
from bench.server import ROOT, Place, running
from bench.workloads import Asked, Workload

LIMIT = 900.0
"""Seconds after which one run is given up."""
LONG = 2_000
"""From so many URLs on, slow tools get a tenth of the list."""


@dataclass(frozen=True, slots=True)
class Run:
    """One contender's way through the list, once; `wrong` says what the counts have against it."""

    usage: Usage
    server: dict[str, Any]
    wrong: str | None


@dataclass(slots=True)
class Entry:
    """What one contender did in one workload: `starts` are its runs on a single URL, one before each run."""

    contender: str
    urls: int
    ideal: float
    ideal_in_order: float
    runs: list[Run] = field(default_factory=list)
    starts: list[Usage] = field(default_factory=list)

    @property
    def sound(self) -> bool:
        """Whether it did all of the work each time: only then do its figures mean something."""
        return bool(self.runs) and not any(run.wrong for run in self.runs)

    @property
    def start(self) -> tuple[float, float]:
        """What its start-up takes: wall seconds and CPU seconds, medians."""
        if not self.starts:
            return 0.0, 0.0
        return (
            statistics.median(usage.wall for usage in self.starts),
            statistics.median(usage.cpu for usage in self.starts),
        )

    def net(self) -> list[float]:
        """Wall seconds of each run, start-up apart."""
        return [max(run.usage.wall - self.start[0], 1e-9) for run in self.runs]

    def cpu(self) -> list[float]:
        """CPU seconds for 1,000 requests of each run, start-up apart."""
        return [max(run.usage.cpu - self.start[1], 1e-9) / self.urls * 1000 for run in self.runs]


@dataclass(slots=True)
class Outcome:
    """What all contenders did in one workload, and why others did not take part."""

    workload: Workload
    entries: list[Entry]
    absent: dict[str, str]

    def entry(self, name: str) -> Entry | None:
        """One contender's entry, if it took part and did all of the work."""
        return next((entry for entry in self.entries if entry.contender == name and entry.sound), None)


@dataclass(frozen=True, slots=True)
class Plan:
    """How workloads are to be run."""

    repeat: int
    quick: bool
    folder: Path
    python: str
    versions: dict[str, str]
    """Of the contenders that are installed."""
    tell: Callable[[str], None]
    """Called with a line for people before each run."""


def run(workload: Workload, contenders: Sequence[Contender], plan: Plan) -> Outcome:
    """Run all contenders that can, interleaved, so that what disturbs the machine disturbs them alike."""
    absent, able = {}, []
    for contender in contenders:
        version = plan.versions.get(contender.name)
        reason = "not installed" if version is None else contender.cannot(workload, version)
        if reason is None:
            able.append(contender)
        else:
            absent[contender.name] = reason
    plan.folder.mkdir(parents=True, exist_ok=True)
    if workload.arguments:
        return Outcome(workload, [_bare_command(workload, plan)] if able else [], absent)
    tls = plan.folder / "tls" if workload.tls else None
    with running(workload.hosts, workload.dead, tls) as place:
        entries = {contender.name: _entry(contender, workload, plan) for contender in able}
        for turn in range(plan.repeat):
            shift = turn % len(able) if able else 0
            for contender in able[shift:] + able[:shift]:
                plan.tell(f"{workload.name} {turn + 1}/{plan.repeat}: {contender.name}")
                _take_turn(contender, entries[contender.name], workload, place, plan)
    return Outcome(workload, list(entries.values()), absent)


def _bare_command(workload: Workload, plan: Plan) -> Entry:
    """Commands that fetch nothing: their wall time is all there is."""
    entry = Entry("fetchall", 1, 0.0, 0.0)
    for turn in range(max(plan.repeat, 3)):
        plan.tell(f"{workload.name} {turn + 1}/{plan.repeat}: fetchall")
        usage = measure([sys.executable, "-m", "fetchall", *workload.arguments], plan.folder / "out", ROOT, LIMIT)
        entry.runs.append(Run(usage, {}, None if usage.code == 0 else f"exit code {usage.code}"))
    return entry


def _entry(contender: Contender, workload: Workload, plan: Plan) -> Entry:
    count = workload.quick if plan.quick else workload.urls
    if contender.slow and count >= LONG:
        count //= 10
    urls = workloads.asked(workload, count)
    best = workloads.ideal(urls, workload.concurrency, workload.per_host)
    in_order = best if workload.per_host else workloads.ideal_in_order(urls, workload.concurrency)
    return Entry(contender.name, count, best, in_order)


def _take_turn(contender: Contender, entry: Entry, workload: Workload, place: Place, plan: Plan) -> None:
    """One run on a single URL (what starting takes), and one on the list."""
    urls = workloads.asked(workload, entry.urls)
    if entry.urls > 1:
        first = [next(one for one in urls if one.path == workload.path and not one.dead)]
        # The single URL must not wait at the server: only the start is looked for.
        entry.starts.append(_once(contender, workload, [first[0]._replace(path=_at_once(workload))], place, plan).usage)
    entry.runs.append(_once(contender, workload, urls, place, plan))


def _at_once(workload: Workload) -> str:
    return "/tiny" if workload.timed else workload.path


def _once(contender: Contender, workload: Workload, urls: list[Asked], place: Place, plan: Plan) -> Run:
    job = Job(
        workload, plan.folder / "urls", plan.folder / "rows.jsonl", plan.folder / "bodies", plan.folder / "tls/ca.pem",
        plan.python,
    )  # fmt: skip
    for left in plan.folder.glob("rows.jsonl*"):
        left.unlink()
    shutil.rmtree(job.bodies, ignore_errors=True)
    job.bodies.mkdir()
    port, scheme = (place.tls_port, "https") if workload.tls else (place.port, "http")
    with job.list.open("w", encoding="ascii") as lines:
        for url in workloads.addresses(urls, port or 0, scheme, place.hosts, place.dead):
            lines.write(f"{url}\n")
    contender.prepare(job)
    place.ask("_reset")
    stdout = plan.folder / "stdout"
    try:
        usage = measure(contender.argv(job), stdout, ROOT, LIMIT)
    except TookTooLong as error:
        return Run(Usage(LIMIT, LIMIT, 0, 0, -9), place.ask("_stats"), str(error))
    server = place.ask("_stats")
    rows = job.rows if job.rows.exists() else stdout
    wrong = _wrong(urls, server, workload.save, job.bodies) or _wrong_rows(rows, contender.good_row(workload), urls)
    if usage.code < 0:
        wrong = f"ended by signal {-usage.code}"
    if wrong:
        said = stdout.with_suffix(".stderr").read_text("utf-8", "replace").strip().rpartition("\n")[2]
        wrong = f"{wrong} (exit code {usage.code}; {said[:200] or 'nothing on stderr'})"
    return Run(usage, server, wrong)


def _wrong(urls: list[Asked], server: dict[str, Any], save: int, bodies: Path) -> str | None:
    """Each URL of a living host must have come to the server once, and what was to be saved must be there."""
    expected = sum(not one.dead for one in urls)
    if server["requests"] != expected or server["distinct"] != expected:
        return f"the server counted {server['requests']:,} requests, {server['distinct']:,} distinct, of {expected:,}"
    sizes = [path.stat().st_size for path in bodies.rglob("*") if path.is_file()] if save else []
    if save and sizes.count(save) != expected:
        return f"{sizes.count(save):,} whole files of {expected:,}"
    return None


def _wrong_rows(path: Path, good: bytes, urls: list[Asked]) -> str | None:
    """Tools that write rows must have a good one for each URL that can be fetched, and one for each that can't."""
    if not good:
        return None
    rows = fetched = 0
    with path.open("rb") as lines:
        for line in lines:
            rows += 1
            fetched += good in line
    expected = sum(not one.dead and one.path != "/hang" for one in urls)
    if rows == len(urls) and fetched == expected:
        return None
    return f"{rows:,} rows of {len(urls):,}, {fetched:,} good of {expected:,}"
