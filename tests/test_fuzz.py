"""A few thousand lines and answers, spoiled by chance; FETCHALL_FUZZ=N tries N of each, `python -m bench.fuzz` more."""

from __future__ import annotations

import asyncio
import os

import pytest

from bench.fuzz import Found, fuzz_answers, fuzz_lines

COUNT = int(os.environ.get("FETCHALL_FUZZ", "0"))


def problems(found: Found) -> str:
    return "\n".join(found.problems[:20])


def test_every_spoiled_line_is_one_request_that_raises_nothing() -> None:
    found = fuzz_lines(COUNT or 5000, seed=7)
    assert not found.problems, problems(found)
    assert found.outcomes["fetched"] > 100, "so the lines were not all refused"


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.timeout(3600 if COUNT else 120)
def test_every_spoiled_answer_is_one_row_and_none_is_a_bug(loop: str) -> None:
    factory = asyncio.SelectorEventLoop if loop == "asyncio" else pytest.importorskip("uvloop").new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        found = runner.run(fuzz_answers(COUNT or 1500, seed=7))
    assert not found.problems, problems(found)
    assert found.outcomes["status 2xx"] > 100, "so the answers were not all spoiled beyond reading"
