"""Which results are worth another attempt, after how long, and what servers say about it."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall.records import ErrorType, Fault
from fetchall.retry import LONGEST_WAIT, RetryPolicy, asked_wait, backoff, parse_retry_on, worth_retrying

POLICY = RetryPolicy()
TRANSIENT = [
    ErrorType.DNS,
    ErrorType.CONNECT_REFUSED,
    ErrorType.CONNECT_ERROR,
    ErrorType.CONNECT_TIMEOUT,
    ErrorType.READ_TIMEOUT,
    ErrorType.TIMEOUT,
    ErrorType.DISCONNECTED,
    ErrorType.TRUNCATED,
]
NOW = 1_700_000_000.0
"""2023-11-14 22:13:20 UTC."""


def worth(
    policy: RetryPolicy = POLICY,
    *,
    method: str = "GET",
    status: int | None = None,
    error: ErrorType | None = None,
    retryable: bool = True,
    attempts: int = 1,
    elapsed: float = 0.0,
    redirects: int = 0,
) -> bool:
    fault = None if error is None else Fault(error, "", retryable)
    return worth_retrying(
        policy, method=method, status=status, fault=fault, attempts=attempts, elapsed=elapsed, redirects=redirects
    )


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 522, 524])
def test_a_transient_status_is_tried_again(status: int) -> None:
    assert worth(status=status)


@pytest.mark.parametrize("status", [200, 204, 304, 400, 401, 403, 404, 410, 501, 999])
def test_any_other_status_is_not(status: int) -> None:
    assert not worth(status=status)


@pytest.mark.parametrize("error", list(ErrorType))
def test_of_the_errors_the_transient_ones_are_tried_again_and_no_others(error: ErrorType) -> None:
    assert worth(error=error) == (error in TRANSIENT)


def test_a_fault_that_another_attempt_cannot_help_is_not_tried_again() -> None:
    assert not worth(error=ErrorType.DNS, retryable=False)
    assert not worth(error=ErrorType.TRUNCATED, status=503, retryable=False)


def test_a_network_fault_after_the_head_of_a_503_is_as_transient_as_the_503() -> None:
    assert worth(error=ErrorType.DECODE, status=503)
    assert not worth(error=ErrorType.DECODE, status=200)


@pytest.mark.parametrize("error", [ErrorType.TOO_LARGE, ErrorType.WRITE, ErrorType.CANCELLED, ErrorType.INTERNAL])
def test_a_fault_of_ours_is_not_tried_again_whatever_the_status(error: ErrorType) -> None:
    assert not worth(error=error, status=503)


@pytest.mark.parametrize("retries", [0, 1, 2, 7])
def test_there_are_so_many_further_attempts_and_no_more(retries: int) -> None:
    policy = RetryPolicy(retries=retries)
    attempts = 1
    while worth(policy, status=503, attempts=attempts):
        attempts += 1
    assert attempts == 1 + retries


def test_no_attempt_begins_after_retry_max_time() -> None:
    policy = RetryPolicy(retry_max_time=10.0)
    assert worth(policy, status=503, elapsed=10.0)
    assert not worth(policy, status=503, elapsed=10.1)
    assert worth(status=503, elapsed=1e9)


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"])
def test_idempotent_methods_are_tried_again(method: str) -> None:
    assert worth(method=method, error=ErrorType.DISCONNECTED)


@pytest.mark.parametrize("method", ["POST", "PATCH", "CONNECT", "LOCK", "get"])
def test_others_are_not_after_the_request_may_have_left(method: str) -> None:
    assert not worth(method=method, error=ErrorType.DISCONNECTED)
    assert not worth(method=method, error=ErrorType.READ_TIMEOUT)
    assert not worth(method=method, status=503)
    assert worth(RetryPolicy(all_methods=True), method=method, status=503)


@pytest.mark.parametrize("error", TRANSIENT[:4])
def test_others_are_when_no_request_ever_left(error: ErrorType) -> None:
    assert worth(method="POST", error=error)
    assert not worth(method="POST", error=error, redirects=1)
    assert worth(method="GET", error=error, redirects=1)


def test_retry_on_names_what_is_tried_again_in_place_of_the_usual() -> None:
    policy = RetryPolicy(on=parse_retry_on("404, 500-599,timeout,tls"))
    assert worth(policy, status=404)
    assert worth(policy, status=501)
    assert worth(policy, error=ErrorType.TIMEOUT)
    assert worth(policy, error=ErrorType.TLS)
    assert not worth(policy, status=429)
    assert not worth(policy, error=ErrorType.DNS)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "no status and no error"),
        ("429,", "no status and no error"),
        ("tiemout", "'tiemout' is no status and no error that can be retried: write 429, 500-599 or connect_error, "),
        ("invalid_url", "'invalid_url' is the same at every attempt"),
        ("host_skipped", "is the same at every attempt"),
        ("42", "'42' is not a status"),
        ("599-500", "'599-500' runs backwards"),
    ],
)
def test_a_wrong_retry_on_says_what_to_write(text: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence.replace("'", ".")):
        parse_retry_on(text)


@given(st.integers(1, 10_000), st.integers(0, 2**32))
def test_a_wait_is_never_longer_than_the_exponential_and_its_cap(attempts: int, seed: int) -> None:
    wait = backoff(POLICY, attempts, random.Random(seed))
    assert 0 <= wait <= min(30.0, 0.5 * 2 ** (min(attempts, 20) - 1))


def test_jitter_comes_after_the_cap_so_that_those_at_the_cap_spread() -> None:
    rng = random.Random(1)
    waits = sorted(backoff(POLICY, 50, rng) for _ in range(1_000))
    tenths = [sum(tenth * 3 <= wait < tenth * 3 + 3 for wait in waits) for tenth in range(10)]
    assert min(tenths) > 60


def test_waits_grow_with_the_attempts() -> None:
    rng = random.Random(1)
    means = [sum(backoff(POLICY, attempts, rng) for _ in range(2_000)) / 2_000 for attempts in (1, 2, 3, 4)]
    assert means == pytest.approx([0.25, 0.5, 1.0, 2.0], rel=0.1)


# --- what servers say


def asked(*fields: tuple[str, str], status: int = 429) -> float | None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in fields]
    return asked_wait(headers, status, NOW)


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        (" 7 ", 7.0),
        ("0007", 7.0),
        ("1.5", 1.5),
        ("Tue, 14 Nov 2023 22:15:20 GMT", 120.0),
        ("Tuesday, 14-Nov-23 22:15:20 GMT", 120.0),
        ("Tue Nov 14 22:15:20 2023", 120.0),
        ("Tue, 14 Nov 2023 22:15:20 -0000", 120.0),
        ("Tue, 14 Nov 2023 23:15:20 +0100", 120.0),
        ("99999999999", LONGEST_WAIT),
        ("9" * 32, LONGEST_WAIT),
        ("Fri, 31 Dec 9999 23:59:59 GMT", LONGEST_WAIT),
    ],
)
def test_retry_after_is_understood_in_all_its_forms_and_capped_at_a_year(
    value: str, seconds: float, status: int
) -> None:
    assert asked(("Retry-After", value), status=status) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "0",
        "0.0",
        "-1",
        "-120",
        "+5",
        "1e3",
        "0x10",
        "soon",
        "5 s",
        "5, 10",
        "inf",
        "nan",
        "9" * 5_000,
        "\u00b2",
        "Tue, 14 Nov 2023 22:13:19 GMT",
        "Thu, 01 Jan 1970 00:00:00 GMT",
        "Tue, 99 Nov 2023 22:15:20 GMT",
        "Tue, 14 Nov 2023 99:15:20 GMT",
        "Tue, 14 Foo 2023 22:15:20 GMT",
        "14 Nov",
        "Tue, " + "1" * 20,
    ],
)
def test_a_retry_after_that_is_past_zero_negative_or_no_number_says_nothing(value: str) -> None:
    assert asked(("Retry-After", value)) is None


@pytest.mark.parametrize("status", [200, 301, 302, 307, 404, 500])
def test_retry_after_counts_on_429_and_503_alone(status: int) -> None:
    assert asked(("Retry-After", "5"), status=status) is None


def test_of_several_retry_after_the_longest_counts() -> None:
    assert asked(("Retry-After", "5"), ("retry-after", "word"), ("RETRY-AFTER", "9")) == 9.0


@pytest.mark.parametrize("status", [200, 403, 429])
@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ([("RateLimit-Remaining", "0"), ("RateLimit-Reset", "30")], 30.0),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1700000030")], 30.0),
        ([("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1700000030000")], 30.0),
        ([("X-Rate-Limit-Remaining", "0.0"), ("X-Rate-Limit-Reset", "30.5")], 30.5),
        ([("RateLimit", '"default";r=0;t=30')], 30.0),
        ([("RateLimit", '"burst"; r=0; t=2, "hour,day";r=0;t=30, "year";r=5;t=900')], 30.0),
        ([("RateLimit", '"burst";r=9;t=2'), ("RateLimit", '"day";t=30;r=0')], 30.0),
        ([("RateLimit", "limit=100, remaining=0, reset=30")], 30.0),
    ],
)
def test_a_quota_that_is_used_up_says_when_it_returns(
    fields: list[tuple[str, str]], seconds: float, status: int
) -> None:
    assert asked(*fields, status=status) == seconds


@pytest.mark.parametrize(
    "fields",
    [
        [("RateLimit-Remaining", "1"), ("RateLimit-Reset", "30")],
        [("RateLimit-Remaining", "0")],
        [("RateLimit-Reset", "30")],
        [("RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "30")],
        [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "1699999999")],
        [("X-RateLimit-Remaining", "0"), ("X-RateLimit-Reset", "tomorrow")],
        [("X-RateLimit-Remaining", "none"), ("X-RateLimit-Reset", "30")],
        [("RateLimit", '"default";r=5;t=30')],
        [("RateLimit", '"default";r=0')],
        [("RateLimit", "limit=100, remaining=5, reset=30")],
        [("RateLimit", "limit=100, remaining=0")],
        [("RateLimit", "")],
        [("RateLimit", ";;;=,=;r=;t=")],
    ],
)
def test_a_quota_that_is_left_or_unclear_says_nothing(fields: list[tuple[str, str]]) -> None:
    assert asked(*fields) is None


def test_retry_after_goes_before_ratelimit() -> None:
    quota = [("RateLimit-Remaining", "0"), ("RateLimit-Reset", "30")]
    assert asked(("Retry-After", "5"), *quota) == 5.0
    assert asked(("Retry-After", "soon"), *quota) == 30.0


names = st.sampled_from(
    [b"Retry-After", b"RateLimit", b"RateLimit-Remaining", b"RateLimit-Reset", b"X-RateLimit-Reset"]
)
words = st.sampled_from(
    [b"0", b"30", b"-1", b"Tue, ", b"14 Nov ", b"22:15:20", b"GMT", b"r=0", b";t=5", b"1e999", b" "]
)
values = st.one_of(st.binary(max_size=60), st.lists(words, max_size=6).map(b"".join))


@given(st.lists(st.tuples(names, values), max_size=5), st.sampled_from([200, 429, 503]))
def test_whatever_a_server_says_it_is_nothing_or_a_wait_of_at_most_a_year(
    headers: list[tuple[bytes, bytes]], status: int
) -> None:
    wait = asked_wait(headers, status, NOW)
    assert wait is None or 0 < wait <= LONGEST_WAIT


@given(st.datetimes(min_value=datetime(1000, 1, 1), timezones=st.just(UTC)))
def test_any_date_that_can_be_written_is_past_or_a_wait(moment: datetime) -> None:
    seconds = moment.timestamp() - NOW
    wait = asked(("Retry-After", format_datetime(moment, usegmt=True)))
    assert (wait or 0.0) == pytest.approx(min(max(seconds, 0.0), LONGEST_WAIT), abs=1.0)
