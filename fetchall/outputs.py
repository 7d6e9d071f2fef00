"""
The outputs that a command names: checked before anything is touched, opened before the first request.

Knows paths and forms; it must not know rows or HTTP.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from fetchall.errors import InvalidOptions, SinkError
from fetchall.options import Reporting
from fetchall.person import Person, columns_of, stdout_form, wants_color
from fetchall.sinks import Sink, form_of, make, open_file
from fetchall.sinks.outlet import PART, StandardStream
from fetchall.sinks.readable import Readable
from fetchall.source import STDIN

STDOUT = "-"


def check_outputs(reporting: Reporting, sources: Sequence[str]) -> None:
    """Raise `InvalidOptions` where an output is also an input, or named twice; `SinkError` for one that can't be."""
    named = [path for path in (*reporting.output, reporting.summary) if path not in (None, STDOUT)]
    inputs = {_identity(source) for source in sources if source != STDIN and os.path.exists(source)}
    if STDIN in sources:
        inputs |= _stdin_file()
    seen: set[object] = set()
    for path in named:
        assert path is not None
        for name in (path, path + PART):
            if os.path.exists(name) and _identity(name) in inputs:
                raise InvalidOptions(f"{name} is both the list and an output: write somewhere else")
        identity = os.path.realpath(path)
        if identity in seen:
            raise InvalidOptions(f"{path} is named twice as an output")
        seen.add(identity)
    for path in reporting.output:
        if path != STDOUT:
            form_of(path)
    if reporting.summary is not None:
        _check_summary(reporting.summary)


def _check_summary(path: str) -> None:
    """It is written when all is done, which is too late to find out that it can't be."""
    if path == STDOUT:
        if sys.stdout is None:
            raise SinkError("stdout is closed: name a file for --summary")
        return
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise SinkError(f"{path} is a folder: name a file in it")
    if not os.path.isdir(folder):
        raise SinkError(f"{path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SinkError(f"{path}: permission denied")


def _identity(path: str | int) -> object:
    """The same for two names of one file, links included; a descriptor has one too."""
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _stdin_file() -> set[object]:
    try:
        return {_identity(0)}
    except OSError:  # closed
        return set()


class Outputs:
    """Every sink of a run; `stream` is stdout where rows go there through a pipe that may be slow."""

    def __init__(self, reporting: Reporting, person: Person, on_room: Callable[[], None]) -> None:
        self.sinks: list[Sink] = []
        self.stream: StandardStream | None = None
        try:
            for path in reporting.output:
                if path != STDOUT:
                    self.sinks.append(open_file(path, ordered=reporting.ordered, overwrite=reporting.overwrite))
            self._open_stdout(reporting, person, on_room)
        except BaseException:
            for sink in self.sinks:
                sink.abort()
            raise

    def _open_stdout(self, reporting: Reporting, person: Person, on_room: Callable[[], None]) -> None:
        form = stdout_form(reporting)
        if form is None:
            return
        if sys.stdout is None:
            raise SinkError("stdout is closed: name an output with -o")
        sys.stdout.flush()
        terminal = sys.stdout.isatty()
        if not terminal:
            self.stream = StandardStream(sys.stdout.fileno(), on_room)
        if form == "lines":
            color = wants_color(sys.stdout, reporting.no_color)
            # On a terminal the lines go above the bar, so whoever draws that writes them.
            self.sinks.append(Readable(self.stream or person, color=color, width=lambda: columns_of(sys.stdout)))
        else:
            outlet = self.stream or StandardStream(sys.stdout.fileno(), on_room)
            self.stream = outlet
            self.sinks.append(make(form, outlet, ordered=reporting.ordered, spool_folder=None))
