"""What is tried again, when, and what the row says of it; waits that servers ask for. Section I, at a real server."""

from __future__ import annotations

from email.utils import formatdate
from typing import Any

import pytest

from fetchall import FetchallError, Request, Result, fetch_all, stream
from tests.faults import FaultServer
from tests.faults.hold import FastClock
from tests.faults.throttle import FLAKY

FAILS = {"status": (503, None), "close": (None, "disconnected"), "reset": (None, "disconnected"),
         "truncated": (200, "truncated"), "never": (None, "read_timeout")}  # fmt: skip


async def one(url: str | Request, **options: Any) -> Result:
    (row,) = await fetch_all([url], **options)
    return row


@pytest.mark.parametrize("mode", FLAKY)
async def test_what_fails_twice_and_then_answers_is_a_success_with_three_attempts(mode: str) -> None:
    """Row 101."""
    with FaultServer() as server:
        row = await one(
            server.url(f"/flaky?fail=2&mode={mode}"),
            retry_delay=0.01,
            read_timeout=0.2,
            timings=True,
            clock=FastClock(),
        )
        assert (row.status, row.ok, row.error_type, row.attempts) == (200, True, None, 3)
        assert len(server.seen.requests) == 3
        assert row.tries is not None
        assert [(one.status, one.error_type) for one in row.tries] == [FAILS[mode], FAILS[mode], (200, None)]
        assert row.tries[0].wait == 0


@pytest.mark.parametrize("mode", FLAKY)
async def test_what_fails_more_often_than_it_is_tried_keeps_its_last_failure(mode: str) -> None:
    with FaultServer() as server:
        url = server.url(f"/flaky?fail=9&mode={mode}")
        row = await one(url, retries=1, retry_delay=0.01, read_timeout=0.2, clock=FastClock())
        assert ((row.status, row.error_type), row.ok, row.attempts) == (FAILS[mode], False, 2)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 501])
async def test_an_answer_that_would_be_the_same_is_not_asked_for_again(status: int) -> None:
    """Row 102."""
    with FaultServer() as server:
        row = await one(server.url(f"/status/{status}"))
        assert (row.status, row.attempts, len(server.seen.requests)) == (status, 1, 1)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 522, 524])
async def test_transient_statuses_are_asked_for_again(status: int) -> None:
    """Row 103."""
    with FaultServer() as server:
        row = await one(server.url(f"/flaky?status={status}&fail=1"), retry_delay=0.01, clock=FastClock())
        assert (row.status, row.attempts) == (200, 2)


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_methods_that_may_be_repeated_are(method: str) -> None:
    with FaultServer() as server:
        row = await one(server.url("/flaky?status=500"), method=method, retry_delay=0.01)
        assert (row.status, row.attempts) == (200, 3)


@pytest.mark.parametrize("mode", ["status", "close", "reset", "truncated"])
async def test_a_post_that_was_sent_is_not_sent_again_unless_asked_for(mode: str) -> None:
    """Row 109."""
    with FaultServer() as server:
        row = await one(server.url(f"/flaky?mode={mode}&key=once"), data=("a=1",), retry_delay=0.01)
        assert ((row.status, row.error_type), row.attempts) == (FAILS[mode], 1)
        assert len(server.seen.requests) == 1
        row = await one(
            server.url(f"/flaky?mode={mode}"),
            data=("a=1",),
            retry_all_methods=True,
            retry_delay=0.01,
            clock=FastClock(),
        )
        assert (row.status, row.attempts) == (200, 3)
        assert [request.body for request in server.seen.requests[1:]] == [b"a=1"] * 3


async def test_a_post_that_never_left_is_tried_again() -> None:
    with FaultServer() as server:
        row = await one(server.url("/", port="refused"), data=("a=1",), retry_delay=0.01)
        assert (row.error_type, row.attempts) == ("connect_refused", 3)


async def test_what_is_tried_again_can_be_chosen() -> None:
    with FaultServer() as server:
        chosen = {"retry_on": frozenset({404, "truncated"}), "retry_delay": 0.01}
        assert (await one(server.url("/status/404"), **chosen)).attempts == 3
        assert (await one(server.url("/status/500"), **chosen)).attempts == 1
        assert (await one(server.url("/truncated"), **chosen)).attempts == 3
        assert (await one(server.url("/reset"), **chosen)).attempts == 1


@pytest.mark.parametrize(("seconds", "attempts"), [(0.0, 1), (1_000.0, 4)])
async def test_no_attempt_begins_later_than_was_allowed(seconds: float, attempts: int) -> None:
    with FaultServer() as server:
        options = {"retries": 3, "retry_delay": 0.01, "retry_max_time": seconds}
        assert (await one(server.url("/status/500"), **options)).attempts == attempts


async def test_waiting_for_another_attempt_holds_no_place() -> None:
    with FaultServer() as server:
        urls = [server.url(f"/flaky?status=500&fail=1&key={number}") for number in range(5)]
        urls += [server.url("/bytes/1")] * 20
        async with stream(urls, concurrency=1, retry_delay=30.0) as results:
            rows = [await anext(results) for _ in range(20)]
        assert all(row.index >= 5 for row in rows)


@pytest.mark.parametrize(
    ("query", "least", "most"),
    [
        pytest.param("value=1", 0.99, 5.0, id="seconds"),
        pytest.param("value=0.4", 0.39, 5.0, id="fractions, which some send"),
        pytest.param("in=2", 0.9, 5.0, id="a date, whole seconds ahead"),
        pytest.param("value=1&status=503", 0.99, 5.0, id="of a 503"),
    ],
)
async def test_a_wait_that_is_asked_for_is_kept(query: str, least: float, most: float) -> None:
    """Row 104."""
    with FaultServer() as server:
        row = await one(server.url(f"/retry-after?{query}"), retry_delay=0.0)
        assert (row.status, row.attempts) == (200, 2)
        first, second = server.seen.requests
        assert least <= second.at - first.at <= most


PAST = formatdate(0, usegmt=True).replace(" ", "%20")


@pytest.mark.parametrize(
    "value", ["-5", "0", "soon", "", "1e3", "12abc", "%C2%B2", PAST, "Thu,%2099%20Foo%2099999%2099:99:99"]
)
async def test_a_wait_that_is_past_or_no_number_is_not_waited_for(value: str) -> None:
    """Row 105; what remains is the wait before any retry."""
    with FaultServer() as server:
        row = await one(server.url(f"/retry-after?value={value}"), retry_delay=0.0)
        assert (row.status, row.attempts) == (200, 2)


@pytest.mark.parametrize("value", ["61", "9" * 31, "Fri,%2031%20Dec%202100%2023:59:59%20GMT"])
async def test_who_asks_for_longer_than_allowed_is_left_alone_and_its_urls_say_so(value: str) -> None:
    with FaultServer() as server:
        urls = [server.url(f"/retry-after?fail=99&value={value}"), *[server.url("/bytes/1")] * 5]
        urls.append(server.url("/bytes/1", "127.0.0.2"))
        rows = await fetch_all(urls, concurrency=1)
        assert (rows[0].status, rows[0].error_type, rows[0].attempts) == (429, None, 1)
        for row in rows[1:6]:
            assert (row.error_type, row.status, row.attempts, row.final_url) == ("rate_limited", None, 0, None)
            assert "asked to wait" in str(row.error)
            assert "--retry-after-max" in str(row.error)
        assert rows[6].ok
        assert len(server.seen.requests) == 2


async def test_a_pause_is_the_whole_hosts_not_one_urls() -> None:
    with FaultServer() as server:
        urls = [server.url("/retry-after?value=1"), *(server.url(f"/bytes/{number}") for number in range(10))]
        await fetch_all(urls, concurrency=1)
        times = [request.at for request in server.seen.requests]
        assert len(times) == 12
        assert times[1] - times[0] >= 0.99


@pytest.mark.parametrize(("remaining", "pauses"), [("0", True), ("7", False)])
async def test_an_answer_that_says_that_its_quota_is_used_up_pauses_its_host(remaining: str, pauses: bool) -> None:
    with FaultServer() as server:
        path = f"/rationed?remaining={remaining}&reset={1 if pauses else 1000}"
        rows = await fetch_all([server.url(path), server.url("/bytes/1")], concurrency=1)
        assert [row.status for row in rows] == [200, 200]
        first, second = server.seen.requests
        assert (second.at - first.at >= 0.99) is pauses


async def test_a_quota_that_is_filled_later_than_may_be_waited_for_bans_nobody() -> None:
    """Only a refusal does: the answers may go on."""
    with FaultServer() as server:
        rows = await fetch_all([server.url("/rationed?reset=3600")] * 5, concurrency=1)
        assert [row.status for row in rows] == [200] * 5


async def test_the_rest_of_a_dead_host_is_skipped_with_its_last_error() -> None:
    with FaultServer() as server:
        urls = [server.url(f"/{number}", port="refused") for number in range(20)]
        rows = await fetch_all([*urls, server.url("/bytes/1")], concurrency=1, retries=0, max_host_errors=3)
        assert [row.error_type for row in rows[:3]] == ["connect_refused"] * 3
        for row in rows[3:20]:
            assert (row.error_type, row.status, row.attempts, row.started_at) == ("host_skipped", None, 0, None)
            assert "no answer 3 times in a row, at last connect_refused (--max-host-errors)" in str(row.error)
        assert rows[20].ok


async def test_a_host_that_answers_now_and_then_is_not_dead() -> None:
    with FaultServer() as server:
        urls = [server.url("/reset" if number % 3 else "/status/500") for number in range(12)]
        rows = await fetch_all(urls, concurrency=1, retries=0, max_host_errors=3)
        assert "host_skipped" not in {row.error_type for row in rows}


async def test_without_the_option_every_url_of_a_dead_host_is_tried() -> None:
    with FaultServer() as server:
        rows = await fetch_all([server.url("/", port="refused")] * 20, retries=0)
        assert {row.error_type for row in rows} == {"connect_refused"}


async def test_a_retry_that_is_refused_keeps_the_answer_that_it_had() -> None:
    """Its host was banned while it waited: the row says what was received, not that nothing was sent."""
    with FaultServer() as server:
        urls = [server.url("/status/500"), server.url("/retry-after?fail=9&value=3600")]
        rows = await fetch_all(urls, retry_delay=30.0, concurrency=1)
        assert [(row.status, row.error_type) for row in rows] == [(500, None), (429, None)]
        assert len(server.seen.requests) == 1 + rows[0].attempts


def test_the_callers_own_mistakes_are_still_exceptions() -> None:
    with pytest.raises(FetchallError):
        stream([], concurrency=-1)
