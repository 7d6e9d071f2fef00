"""How many connections may be open, counted at the server: idle ones stay where they are of use, and within bounds."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from fetchall import fetch_all
from fetchall.descriptors import EACH, OWN, SPARE
from tests.faults import FaultServer

CONCURRENCY = 4


async def connections(server: FaultServer, hosts: int, rounds: int) -> int:
    """How many it takes to ask each of so many hosts in turn, as often as said."""
    port = server.ports["http"]
    names = [f"h{number}.test" for number in range(hosts)]
    urls = [f"http://{name}:{port}/bytes/3?{turn}" for turn in range(rounds) for name in names]
    pinned = tuple(f"{name}:{port}:127.0.0.1" for name in names)
    before = server.seen.connections
    results = await fetch_all(urls, concurrency=CONCURRENCY, resolve=pinned, retries=0)
    assert all(result.ok for result in results)
    return server.seen.connections - before


async def test_connections_that_were_missed_stay_open(server: FaultServer) -> None:
    hosts, rounds = 40, 12
    # One for each host, and those opened while it was learned how many are of use.
    assert await connections(server, hosts, rounds) < 3 * hosts


async def test_idle_connections_beyond_the_spare_make_room(
    server: FaultServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fetchall.descriptors.SPARE", 8)
    hosts, rounds = 40, 4
    assert await connections(server, hosts, rounds) > hosts * rounds // 2


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        (OWN + EACH * CONCURRENCY, 0),
        (OWN + EACH * CONCURRENCY + 100, 50),
        (OWN + EACH * CONCURRENCY + 2 * SPARE + 1, SPARE),
    ],
)
def test_idle_connections_take_at_most_half_of_the_files_that_are_left(limit: int, expected: int) -> None:
    asked = f"from fetchall.descriptors import spare; print(spare({CONCURRENCY}))"
    done = subprocess.run(
        [sys.executable, "-c", asked],
        capture_output=True,
        check=True,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)),
    )
    assert int(done.stdout) == expected
