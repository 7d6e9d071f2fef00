"""Several processes: what one process promises, they promise together."""

from __future__ import annotations

import csv
import json
import os
import pickle
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fetchall import ErrorType, InvalidOptions, Options, Request, Result, fetch_all, stream
from tests import command
from tests.faults import FaultServer
from tests.kin import HERE, alive, kill_client, workers
from tests.resuming import ANSWER, Site, rows

pytestmark = pytest.mark.skipif(not HERE, reason="looks for processes in /proc")

HOSTS = tuple(f"127.0.0.{number}" for number in range(1, 7))


@pytest.fixture
def servers() -> Iterator[FaultServer]:
    with FaultServer(HOSTS) as opened:
        yield opened


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as opened:
        yield opened


def listed(file: Path, *urls: str) -> Path:
    file.write_text("".join(f"{url}\n" for url in urls))
    return file


def indices(results: list[Result]) -> list[int]:
    return [result.index for result in results]


async def test_every_url_has_one_row_in_input_order(servers: FaultServer) -> None:
    urls = [servers.url(f"/bytes/3?{number}", HOSTS[number % 6]) for number in range(300)]
    urls[7:7] = ["no url at all", "ftp://example.com/"]
    results = await fetch_all(urls, processes=3, concurrency=30)
    assert indices(results) == list(range(302))
    assert [result.url for result in results] == urls
    assert Counter(result.status for result in results) == {200: 300, None: 2}


async def test_requests_of_their_own_kind_arrive_as_they_are(servers: FaultServer) -> None:
    request = Request(
        servers.url("/bytes/3"), method="PUT", headers=(("X-Own", "1"),), body=b"\x00data", input={"id": 5}
    )
    (result,) = await fetch_all([request], processes=2)
    assert result.request == request
    (seen,) = servers.seen.requests
    assert (seen.method, seen.body, seen.value("x-own")) == ("PUT", request.body, "1")


async def test_no_more_are_in_flight_than_allowed_in_all_and_a_lone_busy_process_gets_every_place(
    servers: FaultServer,
) -> None:
    even = [servers.url(f"/delay/0.03?{number}", HOSTS[number % 6]) for number in range(120)]
    await fetch_all(even, processes=3, concurrency=6)
    assert servers.seen.max_in_flight[""] == 6
    servers.seen.max_in_flight.clear()
    lone = [servers.url(f"/delay/0.03?{number}", HOSTS[0]) for number in range(60)]
    await fetch_all(lone, processes=3, concurrency=6, per_host=6)
    assert servers.seen.max_in_flight[""] == 6


async def test_a_limit_per_host_holds_in_sum_for_lines_and_for_hops_to_another_site(servers: FaultServer) -> None:
    goal = servers.url("/delay/0.01", HOSTS[0])
    urls = [servers.url(f"/redirect-host?to={goal}&{n}", host) for host in HOSTS[1:] for n in range(8)]
    urls += [servers.url(f"/delay/0.01?{n}", HOSTS[0]) for n in range(20)]
    results = await fetch_all(urls, processes=4, concurrency=40, per_host=2)
    assert [result.status for result in results] == [200] * 60
    assert [result.redirects for result in results] == [1] * 40 + [0] * 20
    assert max(count for host, count in servers.seen.max_in_flight.items() if host) == 2
    assert len(servers.seen.to("/delay/0.01")) == 60


async def test_a_hop_to_another_site_that_fails_is_tried_again_from_where_it_began(servers: FaultServer) -> None:
    goal = servers.url("/flaky", HOSTS[0]) + "%3Ffail=1"
    urls = [servers.url(f"/redirect-host?to={goal}&{n}", host) for n, host in enumerate(HOSTS[1:])]
    results = await fetch_all(urls, processes=3, per_host=2, retries=3, retry_delay=0.01, timings=True)
    assert [(result.status, result.redirects) for result in results] == [(200, 1)] * 5
    assert sum(result.attempts for result in results) == 6
    assert sum(len(result.tries or ()) for result in results) == 6


async def test_a_server_that_is_busy_beyond_four_at_once_refuses_nothing_with_four_per_host(
    servers: FaultServer,
) -> None:
    """Row 108."""
    urls = [servers.url("/busy?limit=4&ms=5")] * 100 + [servers.url("/bytes/3", host) for host in HOSTS[1:]] * 10
    results = await fetch_all(urls, processes=3, concurrency=30, per_host=4, retries=0)
    assert {result.status for result in results} == {200}


async def test_the_rate_holds_in_sum(servers: FaultServer) -> None:
    urls = [servers.url(f"/bytes/3?{number}", HOSTS[number % 2]) for number in range(40)]
    await fetch_all(urls, processes=2, concurrency=10, rate=40)
    times = [request.at for request in servers.seen.requests]
    assert max(sum(start <= at < start + 0.5 for at in times) for start in times) <= 22


async def test_a_site_that_dominates_is_shared_out_where_nothing_is_limited_there(servers: FaultServer) -> None:
    urls = [servers.url(f"/bytes/3?{number}", HOSTS[0]) for number in range(4_000)]
    async with stream(urls, processes=2, concurrency=20) as results:
        found = sorted([result.index async for result in results])
    assert found == list(range(4_000))
    assert servers.seen.connections > 10  # one process alone has ten places


async def test_what_refuses_is_left_to_its_owner_lines_and_hops_alike(servers: FaultServer) -> None:
    """The others hear of it too: what they had of that site waits as long as it asked for."""
    urls = [servers.url(f"/retry-after?value=1&fail=1&{number}", HOSTS[0]) for number in range(1_500)]
    results = await fetch_all(urls, processes=2, concurrency=10)
    assert {result.status for result in results} == {200}
    first, *later = sorted(request.at for request in servers.seen.requests)
    under_way = [at for at in later if at < first + 0.5]
    paused = [at for at in later if first + 0.5 <= at < first + 0.95]
    assert len(under_way) <= 1_000
    assert not paused


async def test_the_number_in_flight_is_found_by_each_and_added_up(servers: FaultServer) -> None:
    urls = [servers.url(f"/delay/0.01?{number}", HOSTS[number % 6]) for number in range(600)]
    async with stream(urls, processes=2, concurrency="auto") as results:
        found = [result.status async for result in results]
        assert 8 < results.concurrency <= 1_000
    assert found == [200] * 600


async def test_bandwidth_is_for_all_together_and_whoever_reads_alone_has_all(servers: FaultServer) -> None:
    started = time.monotonic()
    await fetch_all([servers.url("/bytes/300000", HOSTS[0])], processes=2, limit_rate=300_000)
    await fetch_all([servers.url("/bytes/150000", host) for host in HOSTS[:2]], processes=2, limit_rate=300_000)
    assert time.monotonic() - started > 1.6


async def test_two_equal_requests_are_one_whatever_site_they_lead_to(servers: FaultServer) -> None:
    goal = servers.url("/delay/0.05", HOSTS[0])
    urls = [servers.url(f"/redirect-host?to={goal}", host) for host in HOSTS[1:] for _ in range(4)]
    results = await fetch_all(urls, processes=3, dedupe=True)
    assert [result.status for result in results] == [200] * 20
    assert [result.duplicate_of for result in results] == [None if n % 4 == 0 else n - n % 4 for n in range(20)]
    assert len(servers.seen.to("/delay/0.05")) == 5


async def test_robots_are_obeyed_and_asked_once(servers: FaultServer) -> None:
    pytest.importorskip("protego")
    for host in HOSTS:
        servers.robots[host] = (200, b"User-agent: *\nDisallow: /status", ())
    urls = [servers.url(path, host) for host in HOSTS for path in ("/bytes/3", "/status/200")]
    results = await fetch_all(urls, processes=2, robots=True)
    assert [result.error_type for result in results] == [None, ErrorType.ROBOTS] * 6
    assert len(servers.seen.to("/robots.txt")) == 6


async def test_cookies_go_back_and_all_are_in_the_jar_at_the_end(servers: FaultServer, tmp_path: Path) -> None:
    jar = tmp_path / "cookies.txt"
    urls = [servers.url("/cookie-set?name=a&value=1", host) for host in HOSTS]
    await fetch_all(urls, processes=3, cookie_jar=str(jar))
    lines = [line.split("\t") for line in jar.read_text().splitlines() if "\t" in line]
    assert {line[0].removeprefix("#HttpOnly_") for line in lines} == set(HOSTS)


async def test_leaving_a_stream_early_leaves_no_process(servers: FaultServer) -> None:
    urls = (servers.url(f"/delay/0.01?{number}", HOSTS[0]) for number in range(10_000))
    async with stream(urls, processes=2) as results:
        await anext(results)
        inside = workers(os.getpid(), 2)
    assert not any(map(alive, inside))


async def test_what_processes_can_not_do_is_said_at_once() -> None:
    with pytest.raises(InvalidOptions, match="pickled"):
        stream(["http://127.0.0.1/"], processes=2, resolver=lambda: None)
    with pytest.raises(InvalidOptions, match="clock"):
        stream(["http://127.0.0.1/"], processes=2, clock=object())
    with pytest.raises(InvalidOptions, match="from 1 to 256"):
        stream(["http://127.0.0.1/"], processes=0)


async def test_a_killed_process_has_its_urls_fetched_by_another(servers: FaultServer) -> None:
    urls = [servers.url(f"/delay/0.01?{number}", HOSTS[number % 6]) for number in range(600)]
    found: list[int] = []
    async with stream(urls, processes=2, concurrency=20) as results:
        async for result in results:
            found.append(result.index)
            assert result.status == 200
            if len(found) in (50, 200, 350):
                os.kill(workers(os.getpid(), 2)[len(found) % 2], signal.SIGKILL)
    assert sorted(found) == list(range(600))


async def test_equal_requests_and_hops_survive_deaths(servers: FaultServer) -> None:
    goal = servers.url("/delay/0.02", HOSTS[0])
    urls = [servers.url(f"/redirect-host?to={goal}&{n // 10}", HOSTS[1 + n % 5]) for n in range(400)]
    found = []
    async with stream(urls, processes=3, concurrency=12, dedupe=True, per_host=4) as results:
        async for result in results:
            assert (result.status, result.redirects) == (200, 1)
            found.append(result.index)
            if len(found) in (40, 120, 200):
                os.kill(workers(os.getpid(), 3)[len(found) // 80], signal.SIGKILL)
    assert sorted(found) == list(range(400))
    assert max(count for host, count in servers.seen.max_in_flight.items() if host) <= 8  # what a kill cut off, twice


async def test_a_url_that_its_process_dies_of_has_a_row_that_says_so(site: Site) -> None:
    me = os.getpid()
    site.on["/deadly"] = lambda: kill_client(site.port, me)
    urls = [site.url(path) for path in ("/1", "/2", "/deadly", *(f"/{number}" for number in range(3, 60)))]
    results = await fetch_all(urls, processes=2, concurrency=4, per_host=4)
    assert indices(results) == list(range(60))
    bad = [result for result in results if not result.ok]
    assert [(result.index, result.error_type) for result in bad] == [(2, ErrorType.INTERNAL)]
    assert "SIGKILL" in str(bad[0].error)
    assert site.counts["/deadly"] == 3


async def test_lines_that_are_equal_to_a_deadly_one_have_its_row(site: Site) -> None:
    """Its process died of it, on another site than that of the process in which the others wait."""
    me, closed = os.getpid(), b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nConnection: close\r\nLocation: "
    site.on["/away"] = lambda: closed + site.url("/deadly").encode() + b"\r\n\r\n"
    site.on["/deadly"] = lambda: kill_client(site.port, me)
    home = f"http://home.example:{site.port}/away"
    names = (f"home.example:{site.port}:127.0.0.1",)
    results = await fetch_all([home, home, site.url("/1"), home], processes=2, per_host=2, dedupe=True, resolve=names)
    assert [result.error_type for result in results] == [
        ErrorType.INTERNAL,
        ErrorType.INTERNAL,
        None,
        ErrorType.INTERNAL,
    ]


async def test_a_process_that_can_not_begin_ends_the_run(servers: FaultServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetchall.engines.member._BEGIN", "raise SystemExit(5)")
    with pytest.raises(ChildProcessError, match="ended with 5"):
        await fetch_all([servers.url("/bytes/3")], processes=2)


def test_a_killed_parent_leaves_no_process_and_resume_goes_on(site: Site, tmp_path: Path) -> None:
    urls = [*(f"/{number}" for number in range(3_000)), "/hold", *(f"/{number}" for number in range(3_000, 6_000))]
    site.write(tmp_path / "urls.txt", *urls)
    words = ("urls.txt", "--processes", "2", "-o", "out.jsonl", "-q")
    process = command.start(*words, folder=tmp_path)
    mine = workers(process.pid, 2)
    command.until(lambda: sum(site.counts.values()) > 500)
    process.kill()
    process.communicate()
    command.until(lambda: not any(map(alive, mine)), seconds=2.0)
    site.on["/hold"] = lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
    assert command.run(*words, "--resume", folder=tmp_path).code == 0
    assert sorted(row["index"] for row in rows(tmp_path / "out.jsonl")) == list(range(6_001))


def test_a_process_whose_loop_stands_still_ends_all_the_same_when_its_parent_is_gone() -> None:
    code = "import threading, time; from fetchall.engines.child import watch; watch(1); time.sleep(60)"
    started = time.monotonic()
    assert subprocess.run([sys.executable, "-c", code], env=command.environment()).returncode == 1
    assert time.monotonic() - started < 30


def test_processes_heed_their_parent_alone(site: Site, tmp_path: Path) -> None:
    """A service manager may signal all of them at once, but the first signal leaves what is in flight its grace."""
    site.write(tmp_path / "urls.txt", "/last", "/hold")
    process = command.start("urls.txt", "--processes", "2", "-q", "-o", "out.jsonl", "--grace", "1", folder=tmp_path)
    mine = workers(process.pid, 2)

    def all_at_once() -> bytes:
        for each in (*mine, process.pid):
            os.kill(each, signal.SIGTERM)
        return ANSWER

    site.on["/last"] = all_at_once
    process.communicate()
    assert process.returncode == 143
    assert [row["status"] for row in rows(tmp_path / "out.jsonl.part")] == [200]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=str)
def test_a_signal_ends_all_in_good_order(site: Site, tmp_path: Path, number: signal.Signals, code: int) -> None:
    site.write(tmp_path / "urls.txt", "/1", "/hold", "/2", *(f"/{n}" for n in range(3, 500)))
    words = ("urls.txt", "--processes", "2", "-c", "4", "--per-host", "1", "-o", "out.json", "--grace", "0.2")
    process = command.start(*words, folder=tmp_path)
    mine = workers(process.pid, 2)
    command.until(lambda: site.counts["/hold"])
    done = command.stop(process, number)
    assert done.code == code
    assert "--resume" in done.err
    assert [row["index"] for row in rows(tmp_path / "out.json.part")] == [0]
    assert not any(map(alive, mine))


async def test_a_process_that_stands_still_holds_up_none_of_the_others(servers: FaultServer) -> None:
    urls = [servers.url(f"/bytes/100000?{number}", HOSTS[number % 2]) for number in range(600)]
    came, stopped = Counter[int](), 0
    async with stream(urls, processes=2, concurrency=8, per_host=4, body=True) as results:
        async for result in results:
            came[result.index % 2] += 1
            if not stopped and min(came[0], came[1]) >= 20:
                stopped = workers(os.getpid(), 2)[1]
                os.kill(stopped, signal.SIGSTOP)
            if stopped > 0 and came[0] == 300:
                os.kill(stopped, signal.SIGCONT)
                stopped = -1
    assert came == {0: 300, 1: 300}


def test_a_reader_that_is_slow_slows_the_run_and_loses_nothing(site: Site, tmp_path: Path) -> None:
    site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(12_000)))
    process = command.start("urls.txt", "--processes", "2", "--format", "jsonl", "-q", folder=tmp_path)
    assert process.stdout is not None
    most = 0
    while most < len(site.asked):  # until nothing more is asked for
        most = len(site.asked)
        time.sleep(1)
    assert most < 12_000
    out, _ = process.communicate()
    assert sorted(json.loads(line)["index"] for line in out.splitlines()) == list(range(12_000))


def test_another_number_of_processes_goes_on_with_a_run(site: Site, tmp_path: Path) -> None:
    site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(50)), "/hold")
    words = ("urls.txt", "-o", "out.json", "-q", "--grace", "0.1")
    process = command.start(*words, "--processes", "2", folder=tmp_path)
    command.until(lambda: site.counts["/hold"] and sum(site.counts.values()) == 51)
    time.sleep(0.3)
    assert command.stop(process, signal.SIGINT).code == 130
    site.on["/hold"] = lambda: ANSWER
    assert command.run(*words, "--resume", "--processes", "3", folder=tmp_path).code == 0
    assert [row["index"] for row in rows(tmp_path / "out.json")] == list(range(51))
    assert sum(site.counts.values()) == 52


def test_stdin_streams(site: Site, tmp_path: Path) -> None:
    process = command.start("--processes", "2", "--format", "jsonl", "-q", folder=tmp_path)
    assert process.stdin is not None
    assert process.stdout is not None
    for number in range(3):
        process.stdin.write(site.url(f"/{number}\n").encode())
        process.stdin.flush()
        assert json.loads(process.stdout.readline())["index"] == number
    process.stdin.close()
    assert process.wait(20) == 0
    process.stdout.close()
    assert process.stderr is not None
    process.stderr.close()


def test_no_secret_is_on_a_command_line_or_in_an_environment(site: Site, tmp_path: Path) -> None:
    site.write(tmp_path / "urls.txt", "/hold")
    process = command.start("urls.txt", "--processes", "2", "-q", "-u", "me:geheim", folder=tmp_path)
    for worker in workers(process.pid, 2):
        for name in ("cmdline", "environ"):
            assert b"geheim" not in Path(f"/proc/{worker}/{name}").read_bytes()
    process.kill()
    process.communicate()


def test_max_run_time_ends_all(site: Site, tmp_path: Path) -> None:
    site.write(tmp_path / "urls.txt", "/1", "/hold")
    done = command.run(
        "urls.txt", "--processes", "2", "--max-run-time", "1", "-m", "3", "--retries", "0", "-q", folder=tmp_path
    )
    assert done.code == 5


def test_a_list_that_breaks_off_is_fetched_as_far_as_it_could_be_read(site: Site, tmp_path: Path) -> None:
    (tmp_path / "urls.jsonl.gz").write_bytes(b"\x1f\x8bnonsense")
    done = command.run("urls.jsonl.gz", "--processes", "2", "-o", "out.jsonl", folder=tmp_path)
    assert done.code == 3


TIMES = ("started_at", "elapsed", "ttfb", "timings", "tries", "reused")


def plain(row: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in row.items() if key not in TIMES}


OUTPUTS = ("json", "jsonl", "jsonl.gz", "csv", "sqlite", "html")
WORDS = ("--headers", "--timings", "--body", "--bodies", "bodies", "--retries", "0", "-q", "--fail-on", "never")


def outcome(folder: Path, servers: FaultServer, *more: str) -> Path:
    folder.mkdir()
    paths = ["/bytes/100", "/status/404", "/redirect-chain/2", "/coded?coding=gzip", "/reset", "/content-type"]
    urls = [servers.url(path, host) for path in paths for host in HOSTS]
    listed(folder / "urls.txt", *urls, "nonsense", "ftp://127.0.0.1/")
    outputs = [word for form in OUTPUTS for word in ("-o", f"out.{form}")]
    done = command.run("urls.txt", *outputs, *WORDS, *more, folder=folder)
    assert done.code == 0, done.err
    return folder


def test_every_form_holds_what_one_process_gives(servers: FaultServer, tmp_path: Path) -> None:
    one = outcome(tmp_path / "one", servers)
    two = outcome(tmp_path / "two", servers, "--processes", "2")

    def documents(folder: Path) -> list[Any]:
        document = json.loads((folder / "out.json").read_bytes())
        results = [plain(row) for row in document["results"]]
        lines = sorted((plain(row) for row in rows(folder / "out.jsonl")), key=lambda row: row["index"])
        with open(folder / "out.csv", newline="") as file:
            table = sorted((plain(row) for row in csv.DictReader(file)), key=lambda row: int(row["index"]))
        with sqlite3.connect(folder / "out.sqlite") as database:
            database.row_factory = sqlite3.Row
            cells = [plain(dict(row)) for row in database.execute("SELECT * FROM results")]
        database.close()
        summary = {key: document["summary"][key] for key in ("urls", "ok", "failed", "bytes", "status", "errors")}
        return [results, lines, table, cells, summary]

    assert documents(two) == documents(one)
    files = {path.name: path.read_bytes() for path in (one / "bodies").iterdir()}
    assert {path.name: path.read_bytes() for path in (two / "bodies").iterdir()} == files
    assert (two / "out.html").stat().st_size > 10_000


def test_archives_hold_what_one_process_gives(servers: FaultServer, tmp_path: Path) -> None:
    warcio = pytest.importorskip("warcio.archiveiterator")

    def records(folder: Path, *more: str) -> tuple[list[Any], list[Any]]:
        folder.mkdir()
        urls = [servers.url(path, host) for path in ("/bytes/100", "/bytes/3000000") for host in HOSTS]
        listed(folder / "urls.txt", *urls)
        done = command.run("urls.txt", "-o", "out.warc.gz", "-o", "out.har", "-q", *more, folder=folder)
        assert done.code == 0, done.err
        with open(folder / "out.warc.gz", "rb") as file:
            found = [
                (record.rec_headers["WARC-Target-URI"], record.rec_type, record.rec_headers["WARC-Payload-Digest"])
                for record in warcio.ArchiveIterator(file)
                if record.rec_type != "warcinfo"
            ]
        entries = json.loads((folder / "out.har").read_bytes())["log"]["entries"]
        return sorted(found), sorted((each["_index"], each["response"]["content"]["size"]) for each in entries)

    assert records(tmp_path / "two", "--processes", "2") == records(tmp_path / "one")


def test_bodies_of_one_name_from_several_processes_are_all_kept(servers: FaultServer, tmp_path: Path) -> None:
    listed(tmp_path / "urls.txt", *(servers.url("/bytes/100", host) for host in HOSTS for _ in range(5)))
    done = command.run(
        "urls.txt", "--processes", "3", "--bodies", "b", "--name", "{name}", "-o", "out.jsonl", "-q", folder=tmp_path
    )
    assert done.code == 0, done.err
    files = [row["file"] for row in rows(tmp_path / "out.jsonl")]
    assert len(set(files)) == 30
    assert {path.name for path in (tmp_path / "b").iterdir()} == set(files)


def test_the_results_that_a_person_reads_are_the_same(servers: FaultServer, tmp_path: Path) -> None:
    listed(tmp_path / "urls.txt", *(servers.url("/redirect-chain/1", host) for host in HOSTS))
    done = command.run("urls.txt", "--processes", "2", "-v", "--format", "lines", folder=tmp_path)
    assert done.code == 0
    assert done.out.count(b"200") >= 6
    assert done.err.count("1 redirects to") == 6


def test_a_sequential_pass_stays_in_one_process(site: Site, tmp_path: Path) -> None:
    site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(20)))
    done = command.run("urls.txt", "--sync", "--processes", "2", "-o", "out.json", "-q", folder=tmp_path)
    assert done.code == 0
    timing = json.loads((tmp_path / "out.json").read_bytes())["timing"]
    assert timing["sync"]["measured"] is True
    assert sum(site.counts.values()) == 40


def test_results_and_requests_survive_their_pickles() -> None:
    request = Request("http://a.example/", 3, "PUT", (("A", "b"),), b"x", {"id": None})
    result = Result(request, "PUT", "http://a.example/", ok=True, sha256="0")
    assert pickle.loads(pickle.dumps((request, result))) == (request, result)


def test_one_process_is_the_default_and_auto_is_one_for_each_core() -> None:
    assert Options().processes == 1
    assert Options(processes="auto").processes >= 1  # type: ignore[arg-type]
