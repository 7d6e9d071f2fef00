"""The benchmarks run, and what they report was counted at the server."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("the benchmarks need /proc and all of 127.0.0.0/8", allow_module_level=True)

from bench import pages, table, workloads
from bench.measure import TookTooLong, measure
from bench.runner import Entry, Outcome, Run
from bench.server import ROOT, Place, running
from bench.workloads import WORKLOADS, Asked


@pytest.fixture(scope="module")
def server() -> Iterator[Place]:
    with running(hosts=2, dead=1) as place:
        yield place


@pytest.fixture
def place(server: Place) -> Place:
    server.ask("_reset")
    return server


def get(place: Place, path: str, **headers: str) -> tuple[int, bytes]:
    connection = HTTPConnection(place.hosts[0], place.port, timeout=10)
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def until(place: Place, count: str, value: int) -> dict[str, Any]:
    """Ask until the server has counted so many; the counts."""
    for _ in range(10_000):
        if (counts := place.ask("_stats"))[count] == value:
            return counts
    raise AssertionError(f"{count} is {counts[count]}, not {value}")


def test_the_server_answers_pipelined_requests_in_order_though_the_first_has_to_wait(place: Place) -> None:
    asked = b"".join(
        b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % path for path in (b"/delay/20/0", b"/big/20/1", b"/tiny/2")
    )
    with socket.create_connection((place.hosts[0], place.port), timeout=10) as sock:
        sock.sendall(asked[:30])
        sock.sendall(asked[30:] + b"GET /tiny/3 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        answers = b"".join(iter(lambda: sock.recv(65536), b""))
    lengths = [int(length) for length in re.findall(rb"Content-Length: (\d+)", answers)]
    assert lengths == [13, 20, 13, 13]
    assert place.ask("_stats")["distinct"] == 4


def test_the_server_counts_what_is_in_flight_in_all_and_per_host(place: Place) -> None:
    sockets = [socket.create_connection((host, place.port), timeout=10) for host in (*place.hosts, place.hosts[0])]
    for number, sock in enumerate(sockets):
        sock.sendall(b"GET /hang/%d HTTP/1.1\r\nHost: x\r\n\r\n" % number)
    counts = until(place, "requests", 3)
    assert (counts["max_in_flight"], counts["max_in_flight_per_host"], counts["connections"]) >= (3, 2, 3)
    for sock in sockets:
        sock.close()
    until(place, "in_flight", 0)


def test_a_doubled_request_shows(place: Place) -> None:
    for number in (5, 6, 5):
        assert get(place, f"/tiny/{number}") == (200, b"Hello, world\n")
    counts = place.ask("_stats")
    assert (counts["requests"], counts["distinct"]) == (3, 2)


def test_a_request_too_many_in_a_second_is_answered_429(place: Place) -> None:
    statuses = {get(place, f"/limited/1/{number}")[0] for number in range(4)}
    assert statuses == {200, 429}


def test_the_page_is_coded_for_clients_that_take_gzip_and_decodes_to_its_digest(place: Place) -> None:
    coded, plain = get(place, "/page/0", **{"Accept-Encoding": "gzip"})[1], get(place, "/page/1")[1]
    assert gzip.decompress(coded) == plain
    assert hashlib.sha256(plain).hexdigest() == pages.page_digest()
    assert 28_000 < len(coded) < 32_000


def test_a_dead_host_takes_no_connection_and_refuses_none(place: Place) -> None:
    with pytest.raises(TimeoutError):
        socket.create_connection((place.dead[0], place.port), timeout=0.3)


@pytest.mark.parametrize("workload", [one for one in WORKLOADS if not one.arguments], ids=lambda one: one.name)
def test_a_list_has_as_many_urls_as_its_workload_says_and_an_ideal_in_order_no_better_than_the_ideal(
    workload: workloads.Workload,
) -> None:
    urls = workloads.asked(workload, workload.quick)
    assert len(urls) == workload.quick
    best = workloads.ideal(urls, workload.concurrency)
    slowest = max(one.seconds for one in urls)
    assert best <= workloads.ideal_in_order(urls, workload.concurrency) + 1e-9 <= best + slowest + 1e-6


def test_the_ideals_are_those_of_the_figures_to_reach() -> None:
    ideals = {}
    for workload in workloads.named(["latency", "sorted", "shuffled", "hanging", "hanging-spread"]):
        ideals[workload.name] = workloads.ideal(
            workloads.asked(workload, workload.urls), workload.concurrency, workload.per_host
        )
    assert ideals == pytest.approx(
        {"latency-100": 6, "latency-500": 6, "latency-1000": 6, "sorted": 1, "shuffled": 1}
        | {"hanging": 2.495, "hanging-spread": 2.495}
    )


def test_a_limit_per_host_makes_the_ideal_of_a_lopsided_list_that_of_its_largest_host() -> None:
    urls = [Asked(0, "/x", 1.0)] * 6 + [Asked(1, "/x", 1.0)] * 2
    assert workloads.ideal(urls, concurrency=8) == 1
    assert workloads.ideal(urls, concurrency=8, per_host=2) == 3


def test_what_a_command_and_its_children_use_is_measured(tmp_path: Path) -> None:
    child = "x = bytearray(60_000_000); sum(range(3_000_000))"
    argv = [
        sys.executable,
        "-c",
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}]); print(1)",
    ]
    usage = measure(argv, tmp_path / "out", tmp_path, 60)
    assert usage.code == 0
    assert usage.memory > 60_000_000
    assert usage.cpu > 0
    assert (tmp_path / "out").read_text() == "1\n"


def test_a_command_that_does_not_end_is_killed(tmp_path: Path) -> None:
    with pytest.raises(TookTooLong):
        measure([sys.executable, "-c", "import time; time.sleep(600)"], tmp_path / "out", tmp_path, 0.2)


def outcome(name: str, wrong: str | None = None) -> Outcome:
    workload = workloads.named([name])[0]
    usage = measure([sys.executable, "-c", ""], Path("/dev/null"), ROOT, 60)
    entry = Entry("curl", 10, 1.0, 1.0, [Run(usage, {"connections": 2, "max_in_flight": 1}, wrong)])
    return Outcome(workload, [entry], {})


def test_filling_in_the_page_leaves_other_workloads_alone(tmp_path: Path) -> None:
    page = tmp_path / "performance.md"
    page.write_text(f"before\n{table.BEGIN}\n\n### sorted\n\nold\n\n### tiny\n\nold\n\n{table.END}\nafter\n")
    table.fill_in(page, [outcome("tiny"), outcome("big")], {"big": "- a figure"}, {"curl": "8"})
    text = page.read_text()
    assert re.findall(r"^### (.*)", text, re.MULTILINE) == ["tiny", "sorted", "big"]
    assert text.count("old") == 1
    assert text.index("### big") < text.index("- a figure")
    assert text.startswith("before\n")
    assert text.endswith("after\n")


def test_a_contender_whose_counts_are_wrong_has_no_figures() -> None:
    text = table.plain(outcome("tiny", wrong="the server counted 9"))
    assert "WRONG curl: the server counted 9" in text
    assert "curl" in text.splitlines()[2]
    assert text.splitlines()[2].split()[2:] == ["WRONG"]


def test_the_page_can_be_filled_in_and_names_every_workload() -> None:
    text = (ROOT / "docs" / "performance.md").read_text()
    assert text.index(table.BEGIN) < text.index(table.END)
    families = {workload.name.partition("-")[0] for workload in WORKLOADS}
    assert all(f"`{family}" in text for family in families)


def test_the_bench_command_prints_a_table_of_what_the_server_counted(tmp_path: Path) -> None:
    argv = [sys.executable, "-m", "fetchall", "--version"]
    if subprocess.run(argv, cwd=ROOT, capture_output=True, timeout=60).returncode:
        pytest.skip("fetchall's command can't be imported here")
    kept = tmp_path / "runs.json"
    argv = [
        sys.executable,
        "-m",
        "bench",
        "--quick",
        "tiny",
        "--repeat",
        "1",
        "--only",
        "fetchall",
        "--json",
        str(kept),
    ]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^ +wall s +net s +req/s .*\n +fetchall +\d", done.stdout, re.MULTILINE)
    (run,) = json.loads(kept.read_text())["workloads"][0]["entries"][0]["runs"]
    assert (run["wrong"], run["server"]["requests"], run["server"]["distinct"]) == (None, 2000, 2000)
