"""--concurrency auto: how it is asked for, that it starts low and grows, what it is bounded by, what it reports."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from fetchall import InvalidOptions, Options, fetch_all, stream
from fetchall.adapt import Tuner
from fetchall.hearing import is_good
from fetchall.options import AUTO, MAX_CONCURRENCY, MOST_AUTO, parse_concurrency
from fetchall.records import Answer, ErrorType, Fault
from tests.faults import FaultServer

ROOT = Path(__file__).parent.parent


def command(
    *words: str, text: str, limit: int | None = None, environ: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """fetchall, with so many open files at most."""
    argv = [sys.executable, "-m", "fetchall", *words]
    if limit is not None:
        argv = ["sh", "-c", f'ulimit -n {limit}; exec "$0" "$@"', *argv]
    return subprocess.run(
        argv, input=text, capture_output=True, text=True, timeout=60, cwd=ROOT, env={**os.environ, **(environ or {})}
    )


def test_auto_is_a_number_to_be_found_below_a_bound() -> None:
    assert parse_concurrency("auto") == AUTO
    options = Options(concurrency=AUTO)
    assert (options.auto, options.concurrency) == (True, MOST_AUTO)
    assert not Options(concurrency=20).auto
    options = Options(auto=True, concurrency=300)
    assert (options.auto, options.concurrency) == (True, 300)


@pytest.mark.parametrize("text", ["0", "-1", "Auto", "", "1.5", "²", str(MAX_CONCURRENCY + 1), "9" * 5_000])
def test_what_is_neither_a_number_in_range_nor_auto_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="auto"):
        parse_concurrency(text)


@pytest.mark.parametrize("value", [-1, 0, MAX_CONCURRENCY + 1, "20", 2.5])
def test_the_library_refuses_what_can_not_be_meant(value: object) -> None:
    with pytest.raises(InvalidOptions, match="concurrency is"):
        Options(concurrency=value)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("answer", "good"),
    [
        (Answer(status=200), True),
        (Answer(status=404), True),
        (Answer(status=429), False),
        (Answer(status=503), False),
        (Answer(status=500), False),
        (Answer(status=200, fault=Fault(ErrorType.TRUNCATED, "")), False),
        (Answer(fault=Fault(ErrorType.TIMEOUT, "")), False),
    ],
)
def test_refusals_failures_and_errors_are_not_what_more_in_flight_is_for(answer: Answer, good: bool) -> None:
    assert is_good(answer) is good


async def test_it_starts_with_few_however_many_wait() -> None:
    with FaultServer() as server:
        async with stream([server.url("/never")] * 50, concurrency=AUTO) as results:
            asked = asyncio.ensure_future(anext(results))
            for _ in range(1_000):
                if server.seen.in_flight[""] >= Tuner.START:
                    break
                await asyncio.sleep(0.005)
            await asyncio.sleep(0.1)
            assert server.seen.max_in_flight[""] == Tuner.START
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)


async def test_it_grows_with_good_answers_and_never_beyond_its_bound() -> None:
    with FaultServer() as server:
        rows = await fetch_all([server.url("/delay/0.02")] * 600, auto=True, concurrency=24)
        assert [row.index for row in rows] == list(range(600))
        assert all(row.ok for row in rows)
        assert Tuner.START < server.seen.max_in_flight[""] <= 24


async def test_failures_alone_make_it_no_faster() -> None:
    with FaultServer() as server:
        rows = await fetch_all([server.url("/status/500")] * 100, auto=True, concurrency=50, retries=0)
        assert len(rows) == 100
        assert server.seen.max_in_flight[""] <= Tuner.START


async def test_limits_per_host_hold_as_ever() -> None:
    with FaultServer() as server:
        urls = [server.url(f"/delay/0.01?{n}", host) for n in range(60) for host in server.hosts[:3]]
        await fetch_all(urls, concurrency=AUTO, per_host=3)
        assert max(count for host, count in server.seen.max_in_flight.items() if host) <= 3


async def test_a_list_ends_though_most_workers_never_had_a_turn() -> None:
    with FaultServer() as server:
        async with stream([server.url("/bytes/1")] * 3, concurrency=AUTO) as results:
            rows = [row async for row in results]
        assert len(rows) == 3
        assert (results.settled, results.concurrency <= 3 + Tuner.START) == (False, True)
    assert await fetch_all([], concurrency=AUTO) == []


class CountingClock:
    """The loop's clock, with a count of the timers that were set."""

    def __init__(self) -> None:
        self.timers = 0

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def call_at(self, when: float, callback: Callable[[], None]) -> asyncio.TimerHandle:
        self.timers += 1
        return asyncio.get_running_loop().call_at(when, callback)


@pytest.mark.parametrize("concurrency", [AUTO, 5])
async def test_work_that_has_no_room_for_its_results_waits_for_the_reader_not_for_the_clock(concurrency: int) -> None:
    clock = CountingClock()
    with FaultServer() as server:
        urls = (server.url(f"/bytes/{number % 9}") for number in range(3_000))
        async with stream(urls, concurrency=concurrency, clock=clock) as results:
            await anext(results)
            await asyncio.sleep(0.3)
            assert clock.timers < 10
            assert sum([1 async for _ in results]) == 2_999


@pytest.mark.parametrize("how", ["flag", "environment", "file"])
def test_it_tells_a_person_and_the_document_what_it_found(how: str, tmp_path: Path) -> None:
    summary = tmp_path / "summary.json"
    words: list[str] = []
    environ: dict[str, str] = {}
    if how == "flag":
        words = ["-c", "auto"]
    elif how == "environment":
        environ = {"FETCHALL_CONCURRENCY": "auto"}
    else:
        (tmp_path / "fetchall.toml").write_text('concurrency = "auto"\n')
        words = ["--config", str(tmp_path / "fetchall.toml")]
    with FaultServer() as server:
        text = f"{server.url('/delay/0.005')}\n" * 60
        done = command(
            *words, "--summary", str(summary), "-o", str(tmp_path / "rows.jsonl"), text=text, environ=environ
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(summary.read_text())["timing"]["async"]["concurrency"]
    assert Tuner.START <= found <= 100
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("--concurrency auto: ")]
    assert f" {found} in flight" in line


@pytest.mark.skipif(sys.platform == "win32", reason="there is no ulimit")
def test_open_files_bound_it() -> None:
    with FaultServer() as server:
        done = command("-c", "auto", text=f"{server.url('/delay/0.02')}\n" * 600, limit=64)
        assert done.returncode == 0, done.stderr
        assert "lowered" not in done.stderr, "nobody asked for a number"
        assert server.seen.max_in_flight[""] <= 32


def test_help_says_what_it_does() -> None:
    done = command("--help", text="")
    assert "auto finds the fewest" in " ".join(done.stdout.split())
