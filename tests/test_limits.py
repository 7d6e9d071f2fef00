"""Limits on the wire, counted at the server: how many at once, how many a second, wherever a request comes from."""

from __future__ import annotations

import asyncio
import random
from bisect import bisect_right
from collections.abc import Sequence

import pytest

from fetchall import Result, fetch_all, stream
from tests.faults import FaultServer
from tests.faults.hold import FastClock
from tests.faults.ports import present
from tests.faults.seen import SeenRequest

JITTER = 0.15
"""Seconds by which an arrival may be seen late: a second less twice this holds no more than the rate."""

pytestmark = pytest.mark.skipif(not present("127.0.0.9"), reason="this machine has 127.0.0.1 alone")


def hosts(count: int) -> tuple[str, ...]:
    return tuple(f"127.0.0.{number}" for number in range(1, count + 1))


def most_within(requests: Sequence[SeenRequest], seconds: float) -> int:
    """The most arrivals in any stretch of so many seconds."""
    times = sorted(request.at for request in requests)
    return max((bisect_right(times, at + seconds) - place for place, at in enumerate(times)), default=0)


def errands(server: FaultServer, rng: random.Random, count: int) -> list[str]:
    """URLs of every kind that ends without a timeout: fast, slow, redirected elsewhere, failing at first."""
    urls = []
    for number in range(count):
        host, other = rng.choice(server.hosts), rng.choice(server.hosts)
        path = rng.choice(
            (
                f"/bytes/{number}",
                f"/delay/{rng.uniform(0.001, 0.03):.3f}",
                f"/redirect-host?to={server.url('/delay/0.01', other)}",
                f"/redirect-chain/{rng.randint(1, 4)}",
                f"/flaky?fail=1&status=500&key={number}",
                f"/flaky?fail=1&mode=close&key={number}",
                f"/flaky?fail=2&mode=truncated&key={number}",
                "/status/404",
            )
        )
        urls.append(server.url(path, host))
    return urls


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("sorted_by_host", [False, True])
async def test_no_more_are_in_flight_than_allowed_at_a_host_or_in_all(seed: int, sorted_by_host: bool) -> None:
    rng = random.Random(seed)
    with FaultServer(hosts(rng.randint(2, 9))) as server:
        server.robots = dict.fromkeys(server.hosts, (200, b"User-agent: *\nDisallow: /private", ()))
        urls = errands(server, rng, 120)
        if sorted_by_host:
            urls.sort()
        concurrency, per_host = rng.randint(2, 30), rng.randint(1, 4)
        rows = await fetch_all(
            urls, concurrency=concurrency, per_host=per_host, retries=3, retry_delay=0.01, robots=rng.random() < 0.5
        )
        assert [row.index for row in rows] == list(range(len(urls)))
        assert {row.error_type for row in rows} == {None}
        most = dict(server.seen.max_in_flight)
        assert most.pop("") <= concurrency
        assert max(most.values()) <= per_host
        assert not server.seen.errors


async def test_every_place_on_the_wire_is_taken_while_there_is_work() -> None:
    with FaultServer(hosts(9)) as server:
        urls = sorted(server.url(f"/delay/0.05?{number}", host) for host in server.hosts for number in range(12))
        await fetch_all(urls, concurrency=18, per_host=2)
        most = dict(server.seen.max_in_flight)
        assert most.pop("") == 18
        assert set(most.values()) == {2}


async def test_a_list_that_is_sorted_by_host_keeps_every_host_busy_from_the_start() -> None:
    """Where requests wait in workers, the last host of the list is not asked before the others are done."""
    with FaultServer(hosts(9)) as server:
        urls = [server.url(f"/delay/0.02?{number}", host) for host in server.hosts for number in range(30)]
        await fetch_all(urls, concurrency=18, per_host=2)
        first = [request.address for request in server.seen.requests[:27]]
        assert len(set(first)) == 9


async def test_the_rate_holds_in_any_second_for_lines_hops_retries_and_robots_alike() -> None:
    rate = 40
    with FaultServer(hosts(9)) as server:
        urls = [server.url(f"/redirect-host?to={server.url('/bytes/1', host)}", host) for host in server.hosts]
        urls += [server.url(f"/flaky?fail=1&status=500&key={number}", "127.0.0.1") for number in range(10)]
        rows = await fetch_all(urls, rate=float(rate), retry_delay=0.01, robots=True)
        assert all(row.ok for row in rows)
        # 19 lines, 9 hops, 10 retries, 9 robots.txt.
        assert len(server.seen.requests) == 47
        assert most_within(server.seen.requests, 1 - 2 * JITTER) <= rate
        span = server.seen.requests[-1].at - server.seen.requests[0].at
        assert span >= 46 / rate - JITTER, "no burst at the beginning"


async def test_a_server_that_refuses_beyond_a_rate_refuses_nothing_where_that_rate_is_asked_for() -> None:
    """Row 107; the server's own limit is a fifth higher, for arrivals jitter where starts do not."""
    with FaultServer() as server:
        rows = await fetch_all([server.url("/throttle?rate=24")] * 45, rate=20.0, retries=0)
        assert [row.status for row in rows] == [200] * 45


async def test_a_server_that_is_busy_beyond_four_at_once_refuses_nothing_with_four_per_host() -> None:
    """Row 108."""
    with FaultServer() as server:
        rows = await fetch_all([server.url("/busy?limit=4&ms=5")] * 200, concurrency=50, per_host=4, retries=0)
        assert [row.status for row in rows] == [200] * 200
        assert max(server.seen.max_in_flight.values()) == 4


async def test_short_links_do_not_take_the_host_that_they_lead_to_by_storm() -> None:
    """Redirect hops count where they go: at the host's own limit and at its own rate."""
    with FaultServer(hosts(9)) as server:
        goal = server.url("/delay/0.01", "127.0.0.1")
        urls = [server.url(f"/redirect-host?to={goal}&{n}", host) for host in server.hosts[1:] for n in range(3)]
        rows = await fetch_all(urls, concurrency=24, per_host=1, per_host_rate=40.0)
        assert all(row.ok and row.redirects == 1 for row in rows)
        arrived = server.seen.to("/delay/0.01")
        assert len(arrived) == 24
        assert server.seen.max_in_flight[arrived[0].value("host") or ""] == 1
        # Nobody could have come sooner: 24 starts are 23 intervals.
        assert arrived[-1].at - arrived[0].at >= 23 / 40 - JITTER


async def test_retries_are_starts_of_their_host() -> None:
    with FaultServer() as server:
        urls = [server.url(f"/flaky?fail=2&status=500&key={number}") for number in range(6)]
        rows = await fetch_all(urls, per_host_rate=30.0, retries=2, retry_delay=0.0)
        assert [row.attempts for row in rows] == [3] * 6
        times = [request.at for request in server.seen.requests]
        assert len(times) == 18
        assert times[-1] - times[0] >= 17 / 30 - JITTER


async def test_a_host_that_is_held_to_a_rate_does_not_hold_up_the_others() -> None:
    with FaultServer(hosts(9)) as server:
        slow = [server.url(f"/bytes/{number}", "127.0.0.1") for number in range(500)]
        fast = [server.url(f"/bytes/{number}", host) for number in range(20) for host in server.hosts[1:]]
        async with stream([*slow, *fast], concurrency=10, per_host=2, per_host_rate=200.0) as results:
            waiting, rows = len(fast), []
            async for row in results:
                rows.append(row)
                waiting -= not row.url.startswith(server.url("", "127.0.0.1"))
                if not waiting:
                    break
        assert count_at(rows, server, "127.0.0.1") < 100


async def test_ten_thousand_refusals_of_one_host_leave_the_others_at_full_speed() -> None:
    """Row 106; the list has the host that refuses in front, and it is asked ever less."""
    with FaultServer(hosts(9)) as server:
        busy = [server.url(f"/status/429?{number}", "127.0.0.1") for number in range(10_000)]
        fine = [server.url(f"/bytes/{number}", host) for number in range(30) for host in server.hosts[1:]]
        async with stream([*busy, *fine], concurrency=20, retries=2, retry_delay=0.05) as results:
            rows = []
            async for row in results:
                rows.append(row)
                if sum(row.ok for row in rows) == len(fine):
                    break
        asked = [request for request in server.seen.requests if request.address.startswith("127.0.0.1:")]
        # What was under way at the first refusal, and then one at ever longer intervals from 0.2 s on.
        assert len(asked) <= 20 + 20


async def test_a_host_that_refuses_all_ends_with_a_row_for_each_url_and_few_requests() -> None:
    with FaultServer() as server:
        rows = await fetch_all([server.url("/status/429")] * 300, retries=1, clock=FastClock())
        assert len(rows) == 300
        kinds = {row.error_type for row in rows}
        assert kinds == {None, "rate_limited"}
        unsent = [row for row in rows if row.error_type]
        assert {(row.attempts, row.status) for row in unsent} == {(0, None)}
        assert all("refused everything for" in str(row.error) for row in unsent)
        assert len(server.seen.requests) < 100


async def test_slow_urls_take_a_place_each_and_no_more() -> None:
    """Row 122: fast ones keep going while the slow ones are fewer than the places."""
    with FaultServer() as server:
        urls = [server.url(f"/bytes/{number}") for number in range(600)]
        for place in range(0, 600, 40):
            urls[place] = server.url("/never")
        async with stream(urls, concurrency=20, retries=0, read_timeout=20.0) as results:
            rows: list[Result] = []
            async for row in results:
                rows.append(row)
                if len(rows) == 585:
                    break
        assert all(row.ok for row in rows), "15 hang, and 585 were fetched beside them"


async def test_whoever_waits_to_be_tried_again_when_the_run_is_stopped_has_no_row() -> None:
    """Row 110: it was not finished, so that a resumed run fetches it."""
    with FaultServer() as server:
        urls = [server.url("/status/500"), *(server.url(f"/bytes/{number}") for number in range(20))]
        async with stream(urls, concurrency=4, retry_delay=1000.0) as results:
            rows = []
            async for row in results:
                rows.append(row)
                if len(rows) == 20:
                    await asyncio.sleep(0)
                    results.stop()
        assert sorted(row.index for row in rows) == list(range(1, 21))


def count_at(rows: Sequence[Result], server: FaultServer, host: str) -> int:
    return sum(row.url.startswith(server.url("", host)) for row in rows)
