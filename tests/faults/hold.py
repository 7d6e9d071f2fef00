"""
Trying one case of the table: its own fault server, one run of fetchall, and a list of what did not hold.

Knows fetchall's library and the fault server; knows no particular case.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import gc
import http.client
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fetchall
from fetchall import Options, Result
from fetchall.rows import Columns, Row

from .bodies import installed
from .case import DEFAULTS, MIB, PUBLIC, Case
from .loopback import Fence, fenced
from .meter import Meter
from .names import Names
from .ports import HOSTS, present
from .redirects import SECRET
from .server import FaultServer

_SLACK = 2.0
"""Seconds after a case's limit when it is given up."""


class FastClock:
    """A clock on which a second takes 10 ms; what waits on the wire waits as ever."""

    _speed = 100.0

    def now(self) -> float:
        """Seconds."""
        return asyncio.get_running_loop().time() * self._speed

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        """See fetchall's `Clock`."""
        return asyncio.get_running_loop().call_at(when / self._speed, callback)


@dataclass
class Walk:
    """What came of a case."""

    case: Case
    server: FaultServer
    results: list[Result]
    """Of the case's own URL."""
    others: list[Result]
    """Of the URLs before and after it."""
    names: Names
    fence: Fence
    elapsed: float

    @property
    def result(self) -> Result:
        """The first of the case's own."""
        return self.results[0]


async def hold(case: Case) -> list[str]:
    """What of a case does not hold; empty: all does."""
    if case.rss is not None:
        with FaultServer() as server:
            _ask(server, case.url)
    hosts, inside = ((*HOSTS, PUBLIC), (PUBLIC,)) if case.apart else (HOSTS, ())
    with FaultServer(hosts) as server, fenced(case.connect_errors, inside) as fence, _home(case.netrc):
        names = Names(case.names or {})
        urls = [server.fill(url) for url in (*case.before, *[case.url] * case.times, *case.after, *case.beside)]
        meter = Meter()
        started = time.monotonic()
        try:
            options = _options(case, server, names)
            async with meter:
                results = await asyncio.wait_for(fetchall.fetch_all(urls, options), case.limit + _SLACK)
        except Exception as error:
            return _raised(case, error, server)
        elapsed = time.monotonic() - started
        await asyncio.to_thread(server.quiet)
        if len(results) != len(urls):
            return [f"{len(urls)} URLs gave {len(results)} rows"]
        start, end = len(case.before), len(case.before) + case.times
        walk = Walk(case, server, results[start:end], results[:start] + results[end:], names, fence, elapsed)
        return [*_rows(walk, options), *_others(walk), *_server(walk), *_costs(case, meter, elapsed)]


def _options(case: Case, server: FaultServer, names: Names) -> Options:
    chosen: dict[str, Any] = {**DEFAULTS, **case.options}
    if case.names is not None:
        chosen["resolver"] = names
    if case.before or case.after:
        chosen["concurrency"] = 1
    if case.fast:
        chosen["clock"] = FastClock()
    for name, value in chosen.items():
        if isinstance(value, str):
            chosen[name] = server.text(value)
        elif isinstance(value, tuple):
            chosen[name] = tuple(server.text(item) if isinstance(item, str) else item for item in value)
    return Options(**chosen)


def _raised(case: Case, error: Exception, server: FaultServer) -> list[str]:
    if case.raises != type(error).__name__:
        return [f"raised {error!r}"]
    if SECRET in str(error):
        return [f"the exception shows the secret: {error}"]
    return [f"{len(server.seen.requests)} requests before it was raised"] if server.seen.requests else []


def _rows(walk: Walk, options: Options) -> Iterator[str]:
    case, server = walk.case, walk.server
    if case.raises:
        yield f"{case.raises} was not raised"
    for result in walk.results:
        expected: dict[str, object] = {"status": case.status, "error_type": case.error_type, "ok": case.fine}
        for name in ("body", "size", "wire_size", "attempts", "redirects"):
            if (value := getattr(case, name)) is not None:
                expected[name] = value
        if case.final_url is not None:
            expected["final_url"] = server.fill(case.final_url)
        for name, value in expected.items():
            if getattr(result, name) != value:
                yield f"{name} is {getattr(result, name)!r}, not {value!r} (error: {result.error!r})"
        for word in case.says:
            if server.text(word) not in (result.error or ""):
                yield f"the message does not say {server.text(word)!r}: {result.error!r}"
        for name, values in case.shows.items():
            if (result.headers or {}).get(name) != list(values):
                yield f"header {name} is {(result.headers or {}).get(name)!r}, not {list(values)!r}"
    for result in (*walk.results, *walk.others):
        yield from _row(result, options)
    if case.check is not None and (problem := case.check(walk)):
        yield problem


def _row(result: Result, options: Options) -> Iterator[str]:
    """What holds for every row: valid JSON, no secret, a message exactly where there is an error."""
    line = Row(result, Columns.of(options)).json
    try:
        json.loads(line)
    except ValueError as error:
        yield f"the row is not JSON: {error}"
    shown = dataclasses.replace(result, request=fetchall.Request(""), body=None)
    if SECRET.encode() in Row(shown, Columns.of(options)).json or SECRET in repr(shown):
        yield f"the row shows a secret: {shown}"
    if (result.error is None) != (result.error_type is None):
        yield f"error_type {result.error_type!r} with the message {result.error!r}"
    if result.error_type == "internal":
        yield f"a bug: {result.error}"
    if any(not character.isprintable() for character in result.error or ""):
        yield f"the message has control characters: {result.error!r}"


def _others(walk: Walk) -> Iterator[str]:
    for result in walk.others:
        if result.status != 200 or not result.ok:
            yield f"{result.url} was disturbed: {result.status} {result.error_type} {result.error}"
        elif b"POISON" in (result.body or b""):
            yield f"{result.url} was given another's body"


def _server(walk: Walk) -> Iterator[str]:
    seen, case = walk.server.seen, walk.case
    yield from (f"anomaly: {anomaly}" for anomaly in seen.anomalies[:5])
    yield from (f"the fault server failed: {error}" for error in seen.errors[:5])
    yield from (f"dialled {address}" for address in walk.fence.dialled[:5])
    if case.requests is not None and len(seen.requests) != case.requests:
        targets = [request.target for request in seen.requests[:20]]
        yield f"{len(seen.requests)} requests, not {case.requests}: {targets}"
    if case.sends is not None:
        sent = seen.requests[-1].target if seen.requests else None
        if sent != case.sends:
            yield f"the wire had {sent!r}, not {case.sends!r}"
    if seen.open:
        yield f"{seen.open} connections are still open"


def _costs(case: Case, meter: Meter, elapsed: float) -> Iterator[str]:
    if elapsed > case.limit:
        yield f"took {elapsed:.2f} s, more than {case.limit} s"
    if case.rss is not None and meter.grown is not None and meter.grown > case.rss * MIB:
        yield f"memory grew by {meter.grown / MIB:.0f} MiB, more than {case.rss}"
    if case.cpu is not None and meter.cpu > case.cpu:
        yield f"took {meter.cpu:.2f} s of CPU, more than {case.cpu}"
    if case.pause is not None and meter.pause > case.pause:
        yield f"kept the loop busy for {meter.pause:.3f} s, more than {case.pause}"


def _ask(server: FaultServer, path: str) -> None:
    """Let the server make a large body before it is measured: what is made once is kept."""
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["http"], timeout=10)
    with contextlib.closing(connection), contextlib.suppress(OSError, http.client.HTTPException):
        connection.request("HEAD", path)
        connection.getresponse()
    gc.collect()


@contextlib.contextmanager
def _home(netrc: str | None) -> Iterator[None]:
    """A home folder with this netrc file in it."""
    if netrc is None:
        yield
        return
    before = os.environ.get("HOME")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, ".netrc")
        file.write_text(netrc)
        file.chmod(0o600)
        os.environ["HOME"] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ["HOME"]
            else:
                os.environ["HOME"] = before


def missing(case: Case) -> list[str]:
    """What a case needs and this machine does not have."""
    found = {"linux": sys.platform == "linux", "br": installed("br"), "zstd": installed("zstd")}
    lacks = [need for need in case.needs if not found[need]]
    return lacks + [host for host in HOSTS if not present(host) and host in str(case)]
