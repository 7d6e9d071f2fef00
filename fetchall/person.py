"""
What a person at the terminal is told: warnings, the bar, lines as they finish, the summary, how to go on.

Knows stderr and what a terminal can show; it must not know HTTP, nor decide anything.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from fetchall.glance import summary_text
from fetchall.options import Options, Reporting
from fetchall.places import shown
from fetchall.progress import Progress
from fetchall.records import Result, Summary, Timing
from fetchall.tally import Tally
from fetchall.terminal import visible
from fetchall.verbose import detour, settings


def wants_color(stream: TextIO | None, no_color: bool) -> bool:
    """Whether a stream is coloured: --no-color, NO_COLOR, FORCE_COLOR, TERM=dumb, then whether it is a terminal."""
    if no_color or os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR") or os.environ.get("CLICOLOR_FORCE"):
        return True
    return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"


def columns_of(stream: TextIO | None) -> int | None:
    """The width of a terminal; None where the stream is none."""
    if stream is None or not stream.isatty():
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns
    except OSError:
        return None


def stdout_form(reporting: Reporting) -> str | None:
    """What stdout shows; None: nothing, because the rows go to files."""
    if reporting.format is not None:
        return reporting.format
    if "-" in reporting.output:
        return "json"
    if reporting.output:
        return None
    return "lines" if sys.stdout is not None and sys.stdout.isatty() else "json"


def tuned_words(settled: bool, found: int, most: int) -> str:
    """What `--concurrency auto` came to, which tries no more than `most`."""
    if not settled:
        return f"--concurrency auto: the list ended while more were still being tried, at {found:,} in flight"
    bound = ", the most that it tries" if found == most else ""
    return f"--concurrency auto: {found:,} in flight{bound} gave about the most good answers a second"


class Person:
    """Whoever started the command. What stderr can't take is dropped: a closed stderr ends no run."""

    def __init__(self, reporting: Reporting) -> None:
        self._reporting = reporting
        self.color = wants_color(sys.stderr, reporting.no_color)
        self._progress: Progress | None = None

    def warn(self, text: str) -> None:
        """One line, unless --quiet."""
        if not self._reporting.quiet:
            self.complain(text)

    def complain(self, text: str) -> None:
        """One line that no option hides."""
        self._say(f"fetchall: {visible(text)}")

    def narrate(self, options: Options) -> Callable[[Result], None] | None:
        """With --verbose, say what was set, and give what is to be told of every result."""
        if not self._reporting.verbose:
            return None
        self.complain(settings(options))
        return self._follow

    def _follow(self, result: Result) -> None:
        if (told := detour(result)) is not None:
            self.complain(told)

    def start_bar(self, total: int | None, label: str = "") -> None:
        """Draw a bar from now on, where one is wanted; `label` says of what."""
        reporting = self._reporting
        wanted = reporting.progress if reporting.progress is not None else not reporting.quiet
        self._progress = Progress(enabled=wanted, total=total, color=self.color, label=label)

    def show(self, tally: Tally, in_flight: int) -> None:
        """Where the run stands."""
        if self._progress is not None:
            self._progress.update(tally.urls, tally.failed, in_flight)

    def end_bar(self) -> None:
        """Take the bar away."""
        if self._progress is not None:
            self._progress.close()
            self._progress = None

    def summarise(
        self, tally: Tally, summary: Summary, timing: Timing, outputs: Sequence[str], found: str = ""
    ) -> None:
        """What the run gave, at a glance, and where it is; `found`: what `--concurrency auto` came to."""
        if self._reporting.quiet:
            return
        hosts = tally.slowest_hosts()
        text = summary_text(summary, timing, hosts, tally.histogram.bars(), self.color, columns_of(sys.stderr))
        tail = [found] if found else []
        tail += [f"written to {visible(shown(path))}" for path in outputs]
        below_lines = stdout_form(self._reporting) == "lines"
        if below_lines:
            tail.append("for JSON, pipe it or write it: -o results.json")
        gap = [""] if below_lines and summary.urls and columns_of(sys.stdout) else []
        self._say("\n".join([*gap, text, *tail]))

    def say_way_on(self, rows: int, part: str | None) -> None:
        """How an unfinished run is gone on with."""
        if part is None:
            self.warn("unfinished; what goes to a file can be gone on with: -o results.jsonl, then --resume")
        else:
            self.warn(
                f"unfinished: {rows:,} rows are in {visible(shown(part))}; the same command with --resume goes on"
            )

    def write(self, data: bytes) -> None:
        """An outlet for lines on the terminal, above the bar; see `Outlet`."""
        text = data.decode("utf-8", "backslashreplace")
        if self._progress is not None:
            self._progress.write(text)
        else:
            sys.stdout.write(text)
            sys.stdout.flush()

    def finish(self, *, complete: bool) -> None:
        """See `Outlet`."""

    def abort(self) -> None:
        """See `Outlet`."""

    def _say(self, text: str) -> None:
        if sys.stderr is None:  # closed; print would take stdout instead
            return
        try:
            if self._progress is not None:
                self._progress.write(text, sys.stderr)
            else:
                print(text, file=sys.stderr, flush=True)
        except (OSError, ValueError):
            return


def words(error: BaseException) -> str:
    """What ended the run, in one line."""
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        notes = getattr(error, "__notes__", ["the run ended there"])
        return "; ".join([f"{where}{(error.strerror or str(error)).lower()}", *notes])
    if isinstance(error, MemoryError):
        return "out of memory; the run ended there. A lower --concurrency or --max-body needs less"
    return str(error) or type(error).__name__


def let_go_of_stdout() -> None:
    """Python flushes stdout at its end, and complains where the reader has gone."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError, AttributeError):
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        except OSError:
            return
