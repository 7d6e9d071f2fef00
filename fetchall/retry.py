"""
Whether a result is worth another attempt, and after how long.

Pure: no clock, no sleeping, no queue. Whoever asks passes the time and the random source, and does the waiting.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC

from fetchall.records import ErrorType, Fault
from fetchall.units import parse_codes

TRANSIENT_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 522, 524})
"""curl's --retry (docs/cmdline-opts/retry.md)."""

_UNSENT = frozenset({ErrorType.DNS, ErrorType.CONNECT_REFUSED, ErrorType.CONNECT_ERROR, ErrorType.CONNECT_TIMEOUT})
"""The request surely never left."""

TRANSIENT_ERRORS = _UNSENT | {
    ErrorType.READ_TIMEOUT,
    ErrorType.TIMEOUT,
    ErrorType.DISCONNECTED,
    ErrorType.TRUNCATED,
}
"""A failed handshake (`tls`) is not among them: what two ends can't agree on, they can't a second later."""

RETRYABLE_ERRORS = TRANSIENT_ERRORS | {
    ErrorType.TLS,
    ErrorType.TLS_CERTIFICATE,
    ErrorType.PROXY,
    ErrorType.PROTOCOL,
    ErrorType.DECODE,
}
"""What `--retry-on` may name: failures of a network or a server. The others are ours, or the same each time."""

IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110, 9.2.2."""

LONGEST_WAIT = 365 * 86_400.0
"""Seconds: what a server asks for beyond a year counts as a year."""

Headers = Sequence[tuple[bytes, bytes]]
RetryOn = frozenset[int | ErrorType]

USUAL: RetryOn = TRANSIENT_STATUSES | TRANSIENT_ERRORS
"""What is tried again unless `--retry-on` says otherwise."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Which failures are tried again, how often, and how the waits grow; times in seconds."""

    retries: int = 2
    """Attempts after the first (Scrapy's default)."""
    retry_delay: float = 0.5
    """The first wait at most; each further one doubles."""
    max_delay: float = 30.0
    retry_max_time: float | None = None
    """No attempt begins later than this after the first; None: no bound."""
    on: RetryOn = USUAL
    all_methods: bool = False
    """Also those that are not idempotent, although the server may have acted on the first attempt."""


def parse_retry_on(text: str) -> RetryOn:
    """What `--retry-on` names, in place of the usual: `429,500-599,timeout,dns`; ValueError with a sentence."""
    return frozenset(found for part in text.split(",") for found in _parse_part(part.strip()))


def _parse_part(part: str) -> Iterator[int | ErrorType]:
    if part[:1].isdigit():
        for first, last in parse_codes(part):
            yield from range(first, last + 1)
    elif part in RETRYABLE_ERRORS:
        yield ErrorType(part)
    elif part in set(ErrorType):
        raise ValueError(f"{part!r} is the same at every attempt: it can't be retried")
    else:
        words = ", ".join(sorted(RETRYABLE_ERRORS))
        raise ValueError(f"{part!r} is no status and no error that can be retried: write 429, 500-599 or {words}")


def worth_retrying(
    policy: RetryPolicy,
    *,
    method: str,
    status: int | None,
    fault: Fault | None,
    attempts: int,
    elapsed: float,
    redirects: int = 0,
) -> bool:
    """
    Whether another attempt may help and is allowed.

    `attempts` were made; the next would begin `elapsed` seconds after the first did: add the wait that it would
    have. `redirects` of the last attempt were followed: then its first request has left, and was acted on.
    """
    if attempts > policy.retries:
        return False
    if policy.retry_max_time is not None and elapsed > policy.retry_max_time:
        return False
    if not _transient(policy, status, fault):
        return False
    unsent = fault is not None and fault.type in _UNSENT and not redirects
    return unsent or policy.all_methods or method in IDEMPOTENT


def _transient(policy: RetryPolicy, status: int | None, fault: Fault | None) -> bool:
    """A fault after the head of a 503 is as transient as the 503, if it is one of the network's at all."""
    if fault is None:
        return status in policy.on
    if not fault.retryable or fault.type not in RETRYABLE_ERRORS:
        return False
    return fault.type in policy.on or status in policy.on


def backoff(policy: RetryPolicy, attempts: int, rng: random.Random) -> float:
    """
    Seconds to wait after so many attempts: exponential, capped, then full jitter.

    Jitter comes after the cap, or everybody at the cap would return at once (AWS: "Exponential Backoff And Jitter").
    """
    doublings = min(attempts - 1, 64)
    return rng.uniform(0, min(policy.max_delay, policy.retry_delay * 2.0**doublings))


_ASKING = frozenset(
    {
        b"retry-after",
        b"ratelimit",
        b"ratelimit-remaining",
        b"ratelimit-reset",
        b"x-ratelimit-remaining",
        b"x-ratelimit-reset",
        b"x-rate-limit-remaining",
        b"x-rate-limit-reset",
    }
)
_NUMBER = re.compile(rb"\d{1,32}(?:\.\d{1,32})?")
_DATE = re.compile(rb"[A-Za-z]{3,9},? [\x20-\x7e]{8,40}")
_PARAMETER = re.compile(rb"([a-z]+)\s*=\s*(\d{1,32})")
_EPOCH = 1e9
"""A reset beyond this is a time of day (seconds since 1970), not a wait: as a wait it were 31 years."""
_EPOCH_MS = 1e11
"""And beyond this one in milliseconds."""


def asked_wait(headers: Headers, status: int, now_utc: float) -> float | None:
    """
    Seconds for which an answer asks to be left alone, at most `LONGEST_WAIT`; None: it does not say. Never raises.

    Retry-After counts on 429 and 503 (on a 3xx it is for a browser that would follow, RFC 9110, 10.2.3), as seconds,
    fractions included for some send them, or as a date. Without it RateLimit does, on any status once nothing
    remains, in the forms of its drafts (draft-ietf-httpapi-ratelimit-headers, by which Retry-After goes first) and
    as X-RateLimit-*. What is past, zero, negative or no number says nothing. `now_utc`: seconds since 1970.
    """
    fields: dict[bytes, list[bytes]] = {}
    for name, value in headers:
        key = name.lower()
        if key in _ASKING:
            fields.setdefault(key, []).append(value.strip())
    if not fields:
        return None
    wait = 0.0
    if status in (429, 503):
        wait = max((_retry_after(value, now_utc) for value in fields.get(b"retry-after", ())), default=0.0)
    if wait <= 0:
        wait = max(_reset(fields, now_utc), _rate_limit(b",".join(fields.get(b"ratelimit", ()))))
    return min(wait, LONGEST_WAIT) if wait > 0 else None


def _retry_after(value: bytes, now_utc: float) -> float:
    if _NUMBER.fullmatch(value):
        return float(value)
    if not _DATE.fullmatch(value):
        return 0.0
    from email.utils import parsedate_to_datetime  # which takes --help longer than all the rest of this file

    try:
        date = parsedate_to_datetime(value.decode("ascii"))
    except (ValueError, TypeError, IndexError, OverflowError):
        return 0.0
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now_utc


def _reset(fields: dict[bytes, list[bytes]], now_utc: float) -> float:
    """`RateLimit-Remaining: 0` with `RateLimit-Reset: 5`, and the older names, where the reset may be a time of day."""
    wait = 0.0
    for prefix in (b"ratelimit-", b"x-ratelimit-", b"x-rate-limit-"):
        remaining, reset = fields.get(prefix + b"remaining"), fields.get(prefix + b"reset")
        if remaining and reset and _is_zero(remaining[0]) and _NUMBER.fullmatch(reset[0]):
            seconds = float(reset[0])
            if seconds > _EPOCH_MS:
                seconds /= 1000
            wait = max(wait, seconds - now_utc if seconds > _EPOCH else seconds)
    return wait


def _rate_limit(value: bytes) -> float:
    """`RateLimit: "policy";r=0;t=5, ...` (drafts from 08), or `RateLimit: limit=9, remaining=0, reset=5` (07)."""
    whole = dict(_PARAMETER.findall(value))
    if b"remaining" in whole:
        return float(whole.get(b"reset", 0)) if _is_zero(whole[b"remaining"]) else 0.0
    policies = [dict(_PARAMETER.findall(part)) for part in value.split(b",")]
    return max(float(policy.get(b"t", 0)) if _is_zero(policy.get(b"r", b"")) else 0.0 for policy in policies)


def _is_zero(value: bytes) -> bool:
    return _NUMBER.fullmatch(value) is not None and float(value) == 0
