"""Options of a whole run, seen from the server and from the rows: --dedupe, --plan, --limit-rate, --speed-limit."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fetchall import Options, Request, fetch_all
from fetchall.plan import Plan
from tests.faults import FaultServer
from tests.faults.meter import Meter

NEW = {"index", "url", "duplicate_of"}
"""What a duplicate's row has of its own."""


def command(*words: str, text: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fetchall", *words], input=text, capture_output=True, text=True, timeout=60
    )


async def test_each_url_is_fetched_once_and_every_line_has_its_row() -> None:
    with FaultServer() as server:
        urls = [server.url(f"/bytes/{number % 7}") for number in range(70)]
        rows = await fetch_all(urls, dedupe=True)
        assert [row.index for row in rows] == list(range(70))
        assert [row.duplicate_of for row in rows] == [None] * 7 + [number % 7 for number in range(7, 70)]
        assert [row.size for row in rows] == [number % 7 for number in range(70)]
        assert len(server.seen.requests) == 7


async def test_spellings_of_one_url_are_one_url() -> None:
    with FaultServer() as server:
        base = server.url("")
        rows = await fetch_all(
            [f"{base}/echo", f"{base.upper()}/./echo", f"{base}/x/../echo", f"{base}/Echo"],
            dedupe=True,
        )
        assert [row.duplicate_of for row in rows] == [None, 0, 0, None]
        assert rows[1].url != rows[0].url


async def test_requests_that_differ_in_method_headers_or_body_are_no_twins() -> None:
    with FaultServer() as server:
        url = server.url("/echo")
        requests = [
            Request(url, 0),
            Request(url, 1, method="HEAD"),
            Request(url, 2, headers=(("X-A", "1"),)),
            Request(url, 3, method="POST", body=b"1"),
            Request(url, 4, method="POST", body=b"2"),
            Request(url, 5),
        ]
        rows = await fetch_all(requests, dedupe=True)
        assert [row.duplicate_of for row in rows] == [None] * 5 + [0]


async def test_twins_that_come_while_the_first_is_under_way_wait_for_it() -> None:
    with FaultServer() as server:
        rows = await fetch_all([server.url("/delay/0.2")] * 50, dedupe=True, concurrency=50)
        assert [row.duplicate_of for row in rows] == [None] + [0] * 49
        assert len(server.seen.requests) == 1


@pytest.mark.skipif(os.name != "posix", reason="an open file keeps its name there")
def test_what_was_met_is_gone_from_the_disk_with_a_killed_process(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "fetchall", "-", "--dedupe", "--format", "jsonl", "-q"]
    with FaultServer() as server:
        process = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=os.environ | {"TMPDIR": str(tmp_path)}
        )
        with process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(server.url("/bytes/1").encode() + b"\n")
            process.stdin.flush()
            assert json.loads(process.stdout.readline())["ok"]
            process.kill()
    assert list(tmp_path.iterdir()) == []


async def test_failures_are_shared_too() -> None:
    with FaultServer() as server:
        urls = [server.url("/truncated"), server.url("/", port="refused"), "http://[", server.url("/status/404")]
        rows = await fetch_all(urls * 2, dedupe=True, retries=0)
        first, second = rows[:4], rows[4:]
        assert [row.error_type for row in first] == ["truncated", "connect_refused", "invalid_url", None]
        assert [(row.status, row.error_type, row.error) for row in first] == [
            (row.status, row.error_type, row.error) for row in second
        ]
        assert [row.duplicate_of for row in second] == [0, 1, None, 3]


async def test_duplicates_far_apart_are_found() -> None:
    with FaultServer() as server:
        urls = [server.url("/bytes/1"), *("http://[" for _ in range(12_000)), server.url("/bytes/1")]
        rows = await fetch_all(urls, dedupe=True, concurrency=2)
        assert rows[-1].duplicate_of == 0
        assert len(server.seen.requests) == 1


def test_rows_of_duplicates_stand_in_input_order_where_that_is_asked_for(tmp_path: Path) -> None:
    out = tmp_path / "rows.jsonl"
    with FaultServer() as server:
        urls = [server.url("/delay/0.1"), server.url("/bytes/3"), server.url("/delay/0.1"), server.url("/bytes/3")]
        done = command("--dedupe", "--ordered", "-o", str(out), "-q", text="\n".join(urls))
        assert done.returncode == 0, done.stderr
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        assert [row["index"] for row in rows] == [0, 1, 2, 3]
        assert [row["duplicate_of"] for row in rows] == [None, None, 0, 1]
        document = json.loads(command("--dedupe", text="\n".join(urls)).stdout)
        assert [row["duplicate_of"] for row in document["results"]] == [None, None, 0, 1]
        # Bytes and latencies are those of what was fetched; rows count all lines.
        assert (document["summary"]["urls"], document["summary"]["bytes"]) == (4, 7)


def listed(tmp_path: Path, *lines: str) -> str:
    path = tmp_path / "urls.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return str(path)


LIST = (
    *(f"http://one.test/{number}" for number in range(10)),
    *("https://two.test/", "https://two.test:443/", "http://three.test/"),
    *("# a comment", "", "ftp://four.test/", "nonsense"),
)


def test_a_plan_says_what_the_list_holds_and_sends_nothing(tmp_path: Path) -> None:
    done = command("--plan", "--rate", "2", listed(tmp_path, *LIST))
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "15 rows: 13 requests to 3 hosts, 1 duplicates, 2 that can't be fetched"
    assert "at least 6.00 s" in lines[-1]
    assert next(line.split()[-1] for line in lines if "%" in line) == "http://one.test"


def test_a_plan_is_a_document_too(tmp_path: Path) -> None:
    out = tmp_path / "plan.json"
    done = command("--plan", "--per-host-rate", "10/m", "-o", str(out), "-q", listed(tmp_path, *LIST))
    assert (done.returncode, done.stdout) == (0, "")
    assert json.loads(out.read_text()) == {
        "rows": 15,
        "requests": 13,
        "hosts": 3,
        "duplicates": 1,
        "errors": {"invalid_url": 1, "unsupported_scheme": 1},
        "largest_hosts": [
            {"host": "http://one.test", "urls": 10},
            {"host": "https://two.test", "urls": 2},
            {"host": "http://three.test", "urls": 1},
        ],
        "least_seconds": 54.0,
    }
    done = command("--plan", "--dedupe", "--format", "json", listed(tmp_path, *LIST))
    assert json.loads(done.stdout)["requests"] == 12


async def test_a_plan_of_a_long_list_takes_little_memory() -> None:
    plan = Plan(Options())
    async with Meter() as meter:
        for start in range(0, 100_000, 1_000):
            plan.add([Request(f"http://host-{n % 50}.test/{n}", n) for n in range(start, start + 1_000)])
    assert (plan.rows, plan.requests, plan.duplicates, len(plan.hosts)) == (100_000, 100_000, 0, 50)
    plan.close()
    if meter.grown is not None:
        # 16 MB of them are the database's cache, and beyond that it grows no more.
        assert meter.grown < 32 * 1024**2


async def test_bodies_of_all_urls_together_come_at_the_rate_given() -> None:
    size, count = 64 * 1024, 8
    with FaultServer() as server:
        rows = await fetch_all([server.url(f"/bytes/{size}?{n}") for n in range(count)], limit_rate=size * count)
        assert all(row.size == size for row in rows)
        began = server.seen.requests[0].at
        ends = max((row.elapsed or 0) for row in rows)
        # All at once they would be there in some milliseconds; the last one's share is paid for at the end.
        assert ends >= 0.8, f"{size * count} bytes at as many a second, begun at {began}"


SLOW: dict[str, Any] = {"speed_limit": 2_000, "speed_time": 0.3, "retries": 0}


async def test_a_body_that_crawls_is_given_up_with_what_came_of_it() -> None:
    with FaultServer() as server:
        rows = await fetch_all([server.url("/drip?bytes=1000&rate=50"), server.url("/stall")], **SLOW)
        for row in rows:
            assert (row.error_type, row.status, row.ok) == ("timeout", 200, False)
            assert "--speed-limit" in str(row.error)
            assert 0 < (row.wire_size or 0) < 1_000


async def test_a_body_that_is_fast_enough_is_not_given_up() -> None:
    with FaultServer() as server:
        (row,) = await fetch_all([server.url("/drip?bytes=150&rate=150")], speed_limit=10, speed_time=0.4)
        assert (row.ok, row.size) == (True, 150)


async def test_waiting_for_our_own_bandwidth_is_not_the_servers_slowness() -> None:
    with FaultServer() as server:
        urls = [server.url(f"/bytes/{96 * 1024}?{number}") for number in range(4)]
        rows = await fetch_all(urls, limit_rate=384 * 1024, speed_limit=300 * 1024, speed_time=0.2, retries=0)
        assert [row.error_type for row in rows] == [None] * 4
