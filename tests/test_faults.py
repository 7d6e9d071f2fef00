"""
FAULTS, sections B to H, J, K and O, row by row: a real server misbehaves on loopback, and the row says what happened.

The table is in `faults/table.py`; FETCHALL_LOOP=uvloop walks it on that event loop, FETCHALL_FULL=1 in full size.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

import pytest

import fetchall
from fetchall import Options
from tests.faults import FaultServer, namespace
from tests.faults.case import DEFAULTS, Case
from tests.faults.hold import NotYet, hold, missing
from tests.faults.loopback import fenced
from tests.faults.names import Names
from tests.faults.table import CASES, ELSEWHERE

T = TypeVar("T")

ROWS = (*range(14, 101), *range(111, 123), *range(146, 149))
"""Sections B to H, J, K and O."""

_outcomes: dict[str, list[str]] = {}
"""What did not hold, by case."""
_not_yet: dict[str, str] = {}


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    if os.environ.get("FETCHALL_LOOP") == "uvloop":
        import uvloop

        return uvloop.new_event_loop
    return asyncio.SelectorEventLoop


def _run(work: Coroutine[Any, Any, T]) -> T:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _lacking(case: Case) -> str:
    """Why a case can't be tried on this machine; empty: it can."""
    lacks = missing(case.needs)
    if case.apart and namespace.way() is None:
        lacks.append("a network namespace")
    return ", ".join(lacks)


def _outcome(case: Case) -> list[str]:
    """What of a case does not hold, tried once in this session."""
    if case.title not in _outcomes and case.title not in _not_yet:
        try:
            if case.apart:
                _outcomes.update(namespace.hold_apart(case.title for case in CASES if case.apart))
            else:
                _outcomes[case.title] = _run(hold(case))
        except NotYet as error:
            _not_yet[case.title] = str(error)
    return _outcomes.get(case.title, [])


@pytest.mark.parametrize("case", [pytest.param(case, id=ascii(case.title)[1:-1]) for case in CASES])
def test_the_fault_gives_the_row_that_the_table_says(case: Case) -> None:
    if lacking := _lacking(case):
        pytest.skip(f"this machine has no {lacking}")
    problems = _outcome(case)
    if case.title in _not_yet:
        pytest.xfail(_not_yet[case.title])
    assert not problems, "\n".join([case.why, *problems])


def test_the_table_has_every_row_and_names_each_case_once() -> None:
    titles = [case.title for case in CASES]
    assert len(titles) == len(set(titles))
    assert set(ROWS) == {case.row for case in CASES if case.row in ROWS} | ELSEWHERE.keys()


def test_every_case_holds(capsys: pytest.CaptureFixture[str]) -> None:
    possible = [case for case in CASES if not _lacking(case)]
    broken = [case.title for case in possible if _outcome(case)]
    held = len(possible) - len(broken) - len(_not_yet)
    with capsys.disabled():
        waiting = f", {len(_not_yet)} wait for an option" if _not_yet else ""
        print(f"\nfaults: held {held} of {len(possible)}{waiting}")
    assert held + len(_not_yet) == len(possible), broken


def test_faults_in_one_run_disturb_neither_each_other_nor_the_rest() -> None:
    plain = [case for case in CASES if not _lacking(case) and _is_plain(case)]
    assert len(plain) > 100
    with FaultServer() as server, fenced() as fence:
        urls: list[str] = []
        for case in plain:
            urls += [server.fill(case.url), server.url("/echo", "127.0.0.2"), server.url("/bytes/5")]
        options = Options(**{**DEFAULTS, "resolver": Names({}), "concurrency": 20})
        results = _run(fetchall.fetch_all(urls, options))
        assert len(results) == len(urls)
        for case, result in zip(plain, results[::3], strict=True):
            found = (result.status, result.error_type, result.ok)
            assert found == (case.status, case.error_type, case.fine), f"{case.title}: {result.error}"
        assert all(result.status == 200 and b"127.0.0.2" in (result.body or b"") for result in results[1::3])
        assert all(result.body == b"xxxxx" for result in results[2::3])
        assert not fence.dialled
        assert not server.seen.anomalies
        assert not server.seen.errors


def _is_plain(case: Case) -> bool:
    """Whether a case can be one of many in a run: no options, no names, no order of its own, nothing that waits."""
    own = (case.options, case.names, case.before, case.beside, case.raises, case.apart, case.netrc, case.connect_errors)
    return not any(own) and case.times == 1 and case.names is not None
