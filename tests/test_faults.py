"""
FAULTS, sections B to H, J, K and O, row by row: a real server misbehaves on loopback, and the row says what happened.

The table is in `faults/table.py`; FETCHALL_LOOP=uvloop walks it on that event loop, FETCHALL_FULL=1 in full size.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

import fetchall
from fetchall import Options
from tests.faults import FaultServer, namespace
from tests.faults.case import DEFAULTS, Case
from tests.faults.hold import hold, missing
from tests.faults.loopback import fenced
from tests.faults.names import Names
from tests.faults.table import CASES, ELSEWHERE

T = TypeVar("T")

ROWS = (*range(14, 101), *range(111, 123), *range(146, 149))
"""Sections B to H, J, K and O."""

_PATIENT = {"connect_timeout": 5.0, "timeout": 8.0}
"""For many cases at once, where the machine may be busy."""

_outcomes: dict[str, list[str]] = {}
"""What did not hold, by case."""


def _loop_factory(name: str) -> Callable[[], asyncio.AbstractEventLoop]:
    if name == "asyncio":
        return asyncio.SelectorEventLoop
    factory: Callable[[], asyncio.AbstractEventLoop] = pytest.importorskip("uvloop").new_event_loop
    return factory


def _run(work: Coroutine[Any, Any, T], loop: str = os.environ.get("FETCHALL_LOOP", "asyncio")) -> T:
    with asyncio.Runner(loop_factory=_loop_factory(loop)) as runner:
        return runner.run(work)


def _lacking(case: Case) -> str:
    """Why a case can't be tried on this machine; empty: it can."""
    lacks = missing(case)
    if case.apart and namespace.way() is None:
        lacks.append("a network namespace")
    return ", ".join(lacks)


def _outcome(case: Case) -> list[str]:
    """What of a case does not hold, tried once in this session."""
    if case.title not in _outcomes:
        if case.apart:
            _outcomes.update(namespace.hold_apart(case.title for case in CASES if case.apart))
        else:
            _outcomes[case.title] = _run(hold(case))
    return _outcomes[case.title]


@pytest.mark.parametrize("case", [pytest.param(case, id=ascii(case.title)[1:-1]) for case in CASES])
def test_the_fault_gives_the_row_that_the_table_says(case: Case) -> None:
    if lacking := _lacking(case):
        pytest.skip(f"this machine has no {lacking}")
    problems = _outcome(case)
    assert not problems, "\n".join([case.why, *problems])


@pytest.mark.parametrize(
    "request_head",
    [
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX-Injected: 1\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /echo#x HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX-A: b\x00c\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX A: b\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX-A: b\nX-B: c\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 30 + b"\r\n",
        b"\r\nGET /echo HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET /echo HTTP/1.1\r\n\r\n",
        b"GET /echo HTTP/1.1\r\nHost: a\r\nX-A",
    ],
)
def test_the_server_notes_what_no_client_should_send(request_head: bytes) -> None:
    with FaultServer() as server:
        with socket.create_connection(("127.0.0.1", server.ports["http"]), timeout=5) as client:
            client.sendall(request_head)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
        assert server.quiet()
        assert server.seen.anomalies


def test_the_fence_refuses_what_is_beyond_loopback() -> None:
    with fenced() as fence, socket.socket() as client:
        with pytest.raises(OSError, match="beyond loopback"):
            client.connect(("192.0.2.1", 80))
        with pytest.raises(OSError, match="beyond loopback"):
            socket.getaddrinfo("example.test", 80)
        assert fence.dialled == ["192.0.2.1:80", "example.test"]


def test_the_table_has_every_row_and_names_each_case_once() -> None:
    titles = [case.title for case in CASES]
    assert len(titles) == len(set(titles))
    assert set(ROWS) == {case.row for case in CASES if case.row in ROWS} | ELSEWHERE.keys()


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
def test_faults_in_one_run_disturb_neither_each_other_nor_the_rest(loop: str) -> None:
    plain = [case for case in CASES if not _lacking(case) and _is_plain(case)]
    assert len(plain) > 100
    with FaultServer() as server, fenced() as fence:
        urls: list[str] = []
        for case in plain:
            urls += [server.fill(case.url), server.url("/echo", "127.0.0.2"), server.url("/bytes/5")]
        options = Options(**{**DEFAULTS, "cacert": server.trust, "resolver": Names({}), "concurrency": 20, **_PATIENT})
        results = _run(fetchall.fetch_all(urls, options), loop)
        assert len(results) == len(urls)
        wrong = [
            f"{case.title}: {result.status} {result.error_type} {result.error}"
            for case, result in zip(plain, results[::3], strict=True)
            if (result.status, result.error_type, result.ok) != (case.status, case.error_type, case.fine)
        ]
        assert not wrong, "\n".join(wrong)
        assert all(result.status == 200 and b"127.0.0.2" in (result.body or b"") for result in results[1::3])
        assert all(result.body == b"xxxxx" for result in results[2::3])
        assert not fence.dialled
        assert not server.seen.anomalies
        assert not server.seen.errors


def _is_plain(case: Case) -> bool:
    """
    Whether a case can be one of many in a run: no options, no names, no order of its own, nothing that waits.

    Nor bytes that come later than the answer's end: they are there for whoever has the connection by then.
    """
    if case.row in (61, 62, 79) and "ms=0" not in case.url:
        return False
    own = (case.options, case.names, case.before, case.beside, case.raises, case.apart, case.netrc, case.connect_errors)
    return not any(own) and case.names is not None
