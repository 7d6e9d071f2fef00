"""
What can be known to be wrong with outputs before anything is touched.

Knows paths and forms; it must not know how outputs are written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from fetchall.errors import InvalidOptions, SinkError
from fetchall.options import Reporting
from fetchall.sinks import check_installed, form_of
from fetchall.sinks.outlet import PART
from fetchall.source import STDIN

STDOUT = "-"


def check_outputs(reporting: Reporting, sources: Sequence[str]) -> None:
    """Raise `InvalidOptions` where an output is also an input, or named twice; `SinkError` for one that can't be."""
    named = [path for path in (*reporting.output, reporting.summary) if path not in (None, STDOUT)]
    if reporting.warc_cdx:
        from fetchall.sinks.cdxj import path_of

        named += [path_of(path) for path in reporting.output if path != STDOUT and form_of(path) == "warc"]
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
            check_installed(form_of(path))
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
