"""robots.txt by RFC 9309, at real servers: once per origin, before its first URL, and held to by every hop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from fetchall import Result, fetch_all, stream
from fetchall.robots import MOST
from tests.faults import FaultServer
from tests.faults.hold import FastClock
from tests.faults.ports import present

pytest.importorskip("protego")
pytestmark = pytest.mark.skipif(not present("127.0.0.4"), reason="this machine has 127.0.0.1 alone")

HOSTS = tuple(f"127.0.0.{number}" for number in range(1, 5))
ONE = "127.0.0.1"
NOBODY = b"User-agent: *\nDisallow: /\n"


async def fetched(urls: list[str], **options: Any) -> list[Result]:
    return await fetch_all(urls, robots=True, **{"retry_delay": 0.01, "clock": FastClock(), **options})


def paths(server: FaultServer, host: str = ONE) -> list[str]:
    """What was asked for at one host, in order."""
    return [request.path for request in server.seen.requests if request.address.startswith(f"{host}:")]


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        pytest.param("User-agent: *\nDisallow: /bytes", False, id="everybody"),
        pytest.param("User-agent: fetchall\nDisallow: /bytes", False, id="us by name"),
        pytest.param("User-agent: FETCHALL\nDisallow: /bytes", False, id="names ignore case"),
        pytest.param("User-agent: other\nDisallow: /", True, id="somebody else"),
        pytest.param("User-agent: fetchall\nAllow: /\n\nUser-agent: *\nDisallow: /", True, id="our group goes first"),
        pytest.param("User-agent: *\nDisallow: /\nAllow: /bytes/1", True, id="the longest match decides"),
        pytest.param("User-agent: *\nDisallow: /*/1$", False, id="wildcards"),
        pytest.param("User-agent: *\nDisallow:", True, id="an empty rule allows"),
        pytest.param("\ufeffUser-agent: *\nDisallow: /bytes", False, id="a byte order mark"),
        pytest.param("<html>404, said a 200</html>", True, id="no rules at all"),
        pytest.param("", True, id="empty"),
    ],
)
async def test_the_file_says_what_may_be_fetched(rules: str, allowed: bool) -> None:
    with FaultServer(HOSTS) as server:
        server.robots[ONE] = (200, rules.encode(), ())
        (row,) = await fetched([server.url("/bytes/1")])
        assert paths(server) == (["/robots.txt", "/bytes/1"] if allowed else ["/robots.txt"])
        assert row.ok is allowed
        if not allowed:
            assert (row.error_type, row.status, row.attempts, row.started_at) == ("robots", None, 0, None)
            assert "/robots.txt (Disallow: " in str(row.error)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
async def test_no_file_allows_everything(status: int) -> None:
    """RFC 9309 section 2.3.1.3."""
    with FaultServer(HOSTS) as server:
        server.robots[ONE] = (status, NOBODY, ())
        rows = await fetched([server.url("/bytes/1")] * 3)
        assert all(row.ok for row in rows)
        assert paths(server).count("/robots.txt") == 1


@pytest.mark.parametrize("status", [500, 503, 599, 429, 0])
async def test_an_origin_that_can_not_say_what_it_allows_allows_nothing(status: int) -> None:
    """Section 2.3.1.4; tried as often as any URL. 0: the connection is cut."""
    with FaultServer(HOSTS) as server:
        server.robots[ONE] = (status, b"", ())
        rows = await fetched([*[server.url("/bytes/1")] * 3, server.url("/bytes/1", "127.0.0.2")], retries=1)
        assert [row.error_type for row in rows] == ["robots"] * 3 + [None]
        assert "so everything there counts as disallowed" in str(rows[0].error)
        assert paths(server) == ["/robots.txt"] * (1 if status == 599 else 2)


async def test_an_origin_that_is_not_there_has_rows_that_say_so() -> None:
    with FaultServer(HOSTS) as server:
        rows = await fetched([server.url("/", port="refused")] * 3, retries=1)
        assert {row.error_type for row in rows} == {"robots"}
        assert "refused" in str(rows[0].error)


async def test_a_file_that_fails_at_first_is_tried_again() -> None:
    with FaultServer(HOSTS) as server:
        target = server.url("/flaky?status=500&fail=1", "127.0.0.2")
        server.robots[ONE] = (302, b"", (("Location", target),))
        (row,) = await fetched([server.url("/bytes/1")])
        assert row.ok
        assert paths(server, "127.0.0.2") == ["/flaky", "/flaky"]


async def test_of_a_large_file_500_kib_are_heeded() -> None:
    """Section 2.5."""
    padding = b"# nothing\n"
    first = b"User-agent: *\nDisallow: /bytes\n"
    with FaultServer(HOSTS) as server:
        server.robots[ONE] = (200, first + padding * (2 * MOST // len(padding)), ())
        server.robots["127.0.0.2"] = (200, padding * (2 * MOST // len(padding)) + first, ())
        rows = await fetched([server.url("/bytes/1"), server.url("/bytes/1", "127.0.0.2")])
        assert [row.error_type for row in rows] == ["robots", None]


async def test_redirects_of_the_file_are_followed_to_other_hosts_for_the_host_that_was_asked() -> None:
    """Section 2.3.1.2; the other host's own rules are its own."""
    with FaultServer(HOSTS) as server:
        server.robots[ONE] = (301, b"", (("Location", server.url("/robots.txt", "127.0.0.2")),))
        server.robots["127.0.0.2"] = (200, NOBODY, ())
        (row,) = await fetched([server.url("/bytes/1")])
        assert (row.error_type, paths(server)) == ("robots", ["/robots.txt"])
        assert paths(server, "127.0.0.2") == ["/robots.txt"]


async def test_a_file_behind_endless_redirects_is_no_file() -> None:
    with FaultServer(HOSTS) as server:
        server.robots[ONE] = (302, b"", (("Location", "/robots.txt"),))
        (row,) = await fetched([server.url("/bytes/1")])
        assert row.ok
        assert paths(server) == ["/robots.txt"] * 6 + ["/bytes/1"]


async def test_a_hop_is_refused_where_its_host_disallows_it_and_keeps_the_redirects_answer() -> None:
    with FaultServer(HOSTS) as server:
        server.robots["127.0.0.2"] = (200, NOBODY, ())
        (row,) = await fetched([server.url(f"/redirect-host?to={server.url('/bytes/1', '127.0.0.2')}")], headers=True)
        assert (row.error_type, row.status, row.attempts, row.redirects) == ("robots", 302, 1, 1)
        assert paths(server, "127.0.0.2") == ["/robots.txt"]


async def test_the_file_is_asked_for_once_however_many_urls_wait() -> None:
    with FaultServer(HOSTS) as server:
        urls = [server.url(f"/bytes/{number}", host) for number in range(30) for host in HOSTS]
        rows = await fetched(urls, concurrency=30)
        assert all(row.ok for row in rows)
        for host in HOSTS:
            asked = paths(server, host)
            assert asked[0] == "/robots.txt"
            assert asked.count("/robots.txt") == 1


async def test_each_port_and_scheme_has_a_file_of_its_own() -> None:
    with FaultServer(HOSTS) as server:
        rows = await fetched([server.url("/bytes/1"), server.url("/bytes/1", port="other")])
        assert all(row.ok for row in rows)
        assert paths(server).count("/robots.txt") == 2


async def test_who_waits_for_a_file_holds_no_place() -> None:
    """The file of one host never comes; with two places, the URLs of another are fetched meanwhile."""
    with FaultServer(HOSTS) as server:
        server.robots[ONE] = (302, b"", (("Location", server.url("/never", "127.0.0.3")),))
        urls = [server.url(f"/bytes/{number}") for number in range(20)]
        urls += [server.url(f"/bytes/{number}", "127.0.0.2") for number in range(20)]
        async with stream(urls, robots=True, concurrency=2) as results:
            rows = [await anext(results) for _ in range(20)]
        assert all(row.ok and row.index >= 20 for row in rows)


async def test_a_crawl_delay_is_the_time_between_starts() -> None:
    with FaultServer(HOSTS) as server:
        server.robots[ONE] = (200, b"User-agent: *\nCrawl-delay: 0.2\n", ())
        urls = [server.url(f"/bytes/{number}") for number in range(4)]
        urls += [server.url(f"/bytes/{number}", "127.0.0.2") for number in range(40)]
        async with stream(urls, robots=True) as results:
            rows = [row async for row in results]
        assert all(row.ok for row in rows)
        times = [request.at for request in server.seen.requests if request.address.startswith(f"{ONE}:")][1:]
        assert times[-1] - times[0] >= 3 * 0.2 - 0.1
        assert {row.index for row in rows[-2:]} <= {0, 1, 2, 3}, "nobody else waited"


async def test_where_the_file_leads_to_a_host_that_wants_nothing_more_all_counts_as_disallowed() -> None:
    with FaultServer(HOSTS) as server:
        server.robots[ONE] = (302, b"", (("Location", server.url("/robots.txt", "127.0.0.2")),))
        banned = asyncio.Event()

        async def urls() -> AsyncIterator[str]:
            yield server.url("/retry-after?fail=9&value=3600", "127.0.0.2")
            await banned.wait()
            yield server.url("/bytes/1")

        async with stream(urls(), robots=True) as results:
            first = await anext(results)
            banned.set()
            rest = [row async for row in results]
        assert (first.status, first.attempts) == (429, 1)
        assert [row.error_type for row in rest] == ["robots"]
        assert "asked to wait 3600 s" in str(rest[0].error)
        assert paths(server, "127.0.0.2") == ["/robots.txt", "/retry-after"]


async def test_a_file_that_asks_for_a_wait_gets_it() -> None:
    """A Retry-After on robots.txt is the host's as on any URL: too long a one leaves rows that say so."""
    with FaultServer(HOSTS) as server:
        server.robots[ONE] = (503, b"", (("Retry-After", "3600"),))
        rows = await fetched([server.url("/bytes/1"), server.url("/bytes/2")])
        assert {row.error_type for row in rows} <= {"rate_limited", "robots"}
        assert paths(server) == ["/robots.txt"]
