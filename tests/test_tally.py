"""What results add up to: exact sums, percentiles within 1.1 %, in memory that does not grow."""

from __future__ import annotations

import math
import random
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall.records import ErrorType, Request, Result
from fetchall.tally import Histogram, Tally, host_of

REQUEST = Request("http://127.0.0.1/")
seconds = st.floats(1e-6, 1e5)


def result(
    elapsed: float | None = 0.1,
    *,
    status: int | None = 200,
    ok: bool = True,
    error: ErrorType | None = None,
    host: str | None = "a",
    attempts: int = 1,
) -> Result:
    return Result(
        REQUEST,
        "GET",
        "http://a/",
        final_url=f"http://{host}/x" if host else None,
        status=status,
        ok=ok,
        error_type=error,
        attempts=attempts,
        elapsed=elapsed,
        size=10,
        wire_size=7,
        wire_time=0.05,
    )


def filled(latencies: list[float]) -> Histogram:
    histogram = Histogram()
    for latency in latencies:
        histogram.add(latency)
    return histogram


def exact(latencies: list[float], q: float) -> float:
    return sorted(latencies)[max(1, math.ceil(q * len(latencies))) - 1]


@given(st.lists(seconds, min_size=1, max_size=200), st.sampled_from([0.0, 0.5, 0.9, 0.99, 1.0]))
def test_percentiles_are_right_within_a_little_more_than_one_percent(latencies: list[float], q: float) -> None:
    assert filled(latencies).quantile(q) == pytest.approx(exact(latencies, q), rel=0.0115)


def test_percentiles_of_many_latencies_are_right_as_well() -> None:
    rng = random.Random(1)
    latencies = [rng.lognormvariate(-2, 1.5) for _ in range(20_000)]
    found = filled(latencies).latency()
    assert found is not None
    for q, value in ((0.5, found.p50), (0.9, found.p90), (0.99, found.p99)):
        assert value == pytest.approx(exact(latencies, q), rel=0.011)
    assert (found.min, found.max) == (min(latencies), max(latencies))
    assert found.mean == pytest.approx(sum(latencies) / len(latencies))


@given(st.lists(seconds, min_size=1))
def test_percentiles_never_leave_what_was_seen_nor_cross(latencies: list[float]) -> None:
    found = filled(latencies).latency()
    assert found is not None
    assert found.min <= found.p50 <= found.p90 <= found.p99 <= found.max


@given(st.lists(seconds, min_size=1, max_size=100), st.integers(1, 12))
def test_every_latency_stands_in_one_bar_below_its_edge(latencies: list[float], most: int) -> None:
    bars = filled(latencies).bars(most)
    assert len(bars) <= most
    assert sum(count for _, count in bars) == len(latencies)
    assert [edge for edge, _ in bars] == sorted(edge for edge, _ in bars)
    below = 0
    for edge, count in bars:
        below += count
        assert below == sum(latency <= edge * (1 + 1e-9) for latency in latencies)


def test_no_latency_has_no_percentile_and_no_bar() -> None:
    assert Histogram().latency() is None
    assert Histogram().bars() == []


def test_an_elapsed_of_nothing_is_counted() -> None:
    assert filled([0.0, 0.0]).count == 2


def test_sums_are_those_of_all_results() -> None:
    tally = Tally()
    tally.add(result())
    tally.add(result(status=404, ok=False, attempts=3))
    tally.add(result(status=None, ok=False, error=ErrorType.DNS))
    tally.add(result(None, status=None, ok=False, error=ErrorType.BAD_LINE, host=None, attempts=0))
    summary = tally.summary(2.0, interrupted=False)
    assert (summary.urls, summary.ok, summary.failed, summary.retries) == (4, 1, 3, 2)
    assert (summary.bytes, summary.wire_bytes) == (40, 28)
    assert summary.status == {"200": 1, "404": 1}
    assert summary.errors == {"bad_line": 1, "dns": 1}
    assert summary.requests_per_second == 2.0
    assert tally.wire_time == pytest.approx(0.2)


def test_latency_is_that_of_answers_not_of_failures_without_one() -> None:
    tally = Tally()
    tally.add(result(0.1))
    tally.add(result(9.0, status=None, ok=False, error=ErrorType.TIMEOUT))
    assert tally.histogram.count == 1


def test_the_slowest_hosts_are_those_with_the_largest_mean() -> None:
    tally = Tally()
    for host, elapsed in (("a", 0.1), ("b", 0.3), ("b", 0.5), ("c", 0.2)):
        tally.add(result(elapsed, host=host, ok=host != "c"))
    b, c = tally.slowest_hosts(2)
    assert (b.host, b.urls, b.failed) == ("b", 2, 0)
    assert b.mean == pytest.approx(0.4)
    assert b.max == 0.5
    assert (c.host, c.failed) == ("c", 1)


def test_of_one_host_alone_nothing_is_said() -> None:
    tally = Tally()
    tally.add(result())
    assert tally.slowest_hosts() == []


def test_memory_follows_neither_the_results_nor_the_hosts() -> None:
    rng = random.Random(1)
    tally = Tally()
    tracemalloc.start()
    try:
        for number in range(30_000):
            tally.add(result(rng.expovariate(10), host=f"host-{number}.example"))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert tally.urls == 30_000
    assert peak < 6 * 1024**2


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("http://a/", "a"),
        ("https://a:8443/x/@y", "a:8443"),
        ("http://***@a/x", "a"),
        ("http://u:***@[::1]:80/", "[::1]:80"),
        ("http://a/?q=http://b/", "a"),
    ],
)
def test_a_host_is_told_without_its_userinfo(url: str, host: str) -> None:
    assert host_of(url) == host
