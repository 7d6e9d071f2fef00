"""
What can be known to be wrong with outputs before anything is touched.

Knows paths and forms; it must not know how outputs are written.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from fetchall import places
from fetchall.errors import InvalidOptions, SinkError
from fetchall.options import Options, Reporting
from fetchall.sinks import FORMS, check_installed, form_of
from fetchall.sinks.outlet import PART
from fetchall.sinks.readback import has_validators
from fetchall.sinks.upload import check_reachable
from fetchall.source import STDIN

STDOUT = "-"
_SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")


def check_outputs(reporting: Reporting, sources: Sequence[str]) -> None:
    """Raise `InvalidOptions` where an output is also an input, or named twice; `SinkError` for one that can't be."""
    named = [name for name in (*reporting.output, reporting.summary) if name is not None and name != STDOUT]
    for name in filter(places.is_remote, named):
        _check_remote(name)
    if reporting.cluster is None:
        named += _indexes(reporting)
    inputs = _identities(sources)
    seen: set[object] = set()
    for name in named:
        path = places.path_of(name)
        for each in (path, path + PART):
            if inputs & _identities([each]):
                raise InvalidOptions(f"{places.shown(each)} is both the list and an output: write somewhere else")
        identity = path if places.is_remote(path) else os.path.realpath(path)
        if identity in seen:
            raise InvalidOptions(f"{places.shown(name)} is named twice as an output")
        seen.add(identity)
    if reporting.cluster is None:
        for name in reporting.output:
            if name != STDOUT:
                check_installed(form_of(name))
    elif os.path.isfile(reporting.output[0]) or os.path.splitext(reporting.output[0])[1] in FORMS:
        name = places.shown(reporting.output[0])
        raise InvalidOptions(f"--cluster: {name} names a file; -o is the folder that all workers share")
    if reporting.summary is not None:
        _check_summary(reporting.summary)


def _indexes(reporting: Reporting) -> list[str]:
    """What stands beside archives once they are complete; raises `InvalidOptions` where it can't."""
    archives = [name for name in reporting.output if name != STDOUT and form_of(name) == "warc"]
    for name in filter(places.is_remote, archives if reporting.warc_cdx or reporting.warc_max_size else ()):
        given = "--warc-cdx" if reporting.warc_cdx else "--warc-max-size"
        raise InvalidOptions(f"{given}: {places.shown(name)} is one file there: name a local one, and copy all")
    if not reporting.warc_cdx:
        return []
    from fetchall.sinks.cdxj import path_of

    return [path_of(name) for name in archives]


def _check_remote(name: str) -> None:
    """What is known beforehand of an output that is named by a URL."""
    if "::" in name:
        raise InvalidOptions(f"{places.shown(name)}: an output has one place: leave out what stands before ::")
    if name.lower().startswith(("http:", "https:")):
        raise InvalidOptions(f"{places.shown(name)}: nothing is sent to web servers; name a file or an object store")
    try:
        places.check(name, "an output that is not a local file")
    except ValueError as error:
        raise SinkError(f"{places.shown(name)}: {error}") from error


def remarks(reporting: Reporting, options: Options) -> Iterator[str]:
    """What whoever started the run should know beforehand."""
    if options.insecure:
        yield "certificates are not verified (--insecure)"
    if reporting.sync and options.verb not in _SAFE:
        yield f"--sync sends every {options.verb} twice"
    if options.refresh is not None:
        if not os.path.exists(options.refresh):
            yield f"{options.refresh} is not there: every page is new"
        elif not has_validators(options.refresh):
            yield f"{options.refresh} has neither ETag nor Last-Modified: all is fetched whole; write it with --refresh"


def is_refreshed(path: str, options: Options) -> bool:
    """Whether an output is the one that this run is to refresh: it is not to be gone on with."""
    return options.refresh is not None and os.path.realpath(path) == os.path.realpath(options.refresh)


def _check_summary(path: str) -> None:
    """It is written when all is done, which is too late to find out that it can't be."""
    if path == STDOUT:
        if sys.stdout is None:
            raise SinkError("stdout is closed: name a file for --summary")
        return
    path = places.path_of(path)
    if places.is_remote(path):
        check_reachable(path)
        return
    folder = os.path.dirname(path) or "."
    if os.path.isdir(path):
        raise SinkError(f"{path} is a folder: name a file in it")
    if not os.path.isdir(folder):
        raise SinkError(f"{path}: there is no folder {folder}")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise SinkError(f"{path}: permission denied")


def _identities(names: Sequence[str]) -> set[object]:
    """The same for two names of one file, links included; what is not there has none. A remote one has its name."""
    found: set[object] = set()
    for name in names:
        path = places.path_of(name)
        if name == STDIN:
            found |= _stdin_file()
        elif places.is_remote(path):
            found.add(path)
        elif os.path.exists(path):
            found.add(_identity(path))
    return found


def _identity(path: str | int) -> object:
    status = os.stat(path)
    return status.st_dev, status.st_ino


def _stdin_file() -> set[object]:
    try:
        return {_identity(0)}
    except OSError:  # closed
        return set()
