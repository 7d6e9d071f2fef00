"""Sections J and K: kept-alive connections that die or speak, and answers that come slowly or never end."""

from __future__ import annotations

import os

from ..case import MIB, Case
from ..checks import connections, connections_of, others_done_within, took_at_most, wire_size_between

MANY = 10_000 if os.environ.get("FETCHALL_FULL") else 300
"""Requests over connections that die: the figure to reach is 10,000, which FETCHALL_FULL=1 runs."""

_ECHO = "http://127.0.0.1:{http}/echo"
_ELSEWHERE = "http://127.0.0.2:{http}/delay/0.1"
_LATE = (*[_ELSEWHERE] * 4, _ECHO)
"""What comes too late for the case's own URL arrives while these are fetched."""
_PATIENT = {"read_timeout": 2.0, "timeout": 0.5}
_HASTY = {"read_timeout": 0.3, "timeout": 3.0}


def _stale(row: int, name: str, url: str, **options: object) -> Case:
    return Case(row=row, name=name, url=url, times=MANY, attempts=1, body=b"kept", within=4 + MANY / 50,
                options={"concurrency": 4, **options},
                why="an idle connection's death is no failure, and no attempt of the user's")  # fmt: skip


_KEPT = (
    _stale(111, "close-race", "/keepalive-close-race"),
    _stale(111, "idle-close", "/keepalive-idle-close?ms=1"),
    _stale(111, "idle-close-at-once", "/keepalive-idle-close?ms=0"),
    _stale(111, "reset", "/keepalive-reset?ms=1"),
    _stale(111, "reset-at-once", "/keepalive-reset?ms=0"),
    _stale(111, "one-at-a-time", "/keepalive-reset?ms=1", concurrency=1),
    _stale(112, "408", "/keepalive-408?ms=0"),
    _stale(112, "408-later", "/keepalive-408?ms=1"),
    _stale(113, "die-on-reuse", "/keepalive-die-on-reuse"),
    Case(row=112, name="408-meant", url="/status/408", status=408, why="the first answer of a connection is an answer"),
    Case(row=109, name="post-is-not-sent-twice", url="/flaky?fail=1&mode=close", status=None, attempts=1, requests=1,
         error_type="disconnected", options={"data": ("a=b",), "retries": 2}, fast=True,
         why="nobody knows whether it was done"),
    Case(row=109, name="post-on-a-connection-of-its-own", url="/keepalive-die-on-reuse", times=5, requests=5,
         options={"data": ("a=b",), "concurrency": 1}, check=connections(5),
         why="on a kept-alive one that turns out dead, nobody would know whether it was done"),
    Case(row=109, name="post-that-may-be-sent-twice", url="/echo", times=5, requests=5, check=connections(1),
         options={"data": ("a=b",), "concurrency": 1, "retry_all_methods": True}),
    Case(row=113, name="kept", url="/echo", times=20, options={"concurrency": 1}, check=connections(1)),
    Case(row=114, name="read-timeout", url="/late-rest?ms=600", error_type="read_timeout", wire_size=5,
         options={"read_timeout": 0.4}, after=_LATE, check=connections_of(1, 2, 2, 2, 2, 3)),
    Case(row=114, name="timeout", url="/late-rest?ms=600", error_type="timeout", wire_size=5,
         options={"timeout": 0.4}, within=4.0, after=_LATE, check=connections_of(1, 2, 2, 2, 2, 3)),
    Case(row=114, name="late-head", url="/delay/0.6", status=None, error_type="read_timeout",
         options={"read_timeout": 0.4}, after=_LATE, check=connections_of(1, 2, 2, 2, 2, 3)),
    Case(row=114, name="too-large", url="/bytes/2000000", error_type="too_large", after=(_ECHO,),
         check=connections_of(1, 2)),
    Case(row=114, name="too-large-compressed", url="/bomb-gzip?size=4194304", error_type="too_large",
         after=(_ELSEWHERE, _ECHO), check=connections_of(1, 2, 3)),
    Case(row=115, name="idle-for-longer-than-a-read", url="/echo", options={"read_timeout": 0.4, "rate": 1.6}, times=2,
         check=connections_of(1, 1), why="0.6 s lie between the two"),
)  # fmt: skip

_SLOW = (
    Case(row=116, name="never", url="/never", status=None, error_type="read_timeout", options=_HASTY),
    Case(row=116, name="never-in-all", url="/never", status=None, error_type="timeout", options=_PATIENT),
    Case(row=116, name="never-is-retried", url="/flaky?fail=1&mode=never", attempts=2, fast=True,
         options={"read_timeout": 0.3, "retries": 1}),
    Case(row=117, name="slowloris", url="/slowloris?ms=20", status=None, error_type="timeout", options=_PATIENT),
    Case(row=117, name="header-drip", url="/header-drip?ms=20", status=None, error_type="timeout", options=_PATIENT),
    Case(row=118, name="drip", url="/drip?bytes=1000&rate=50", error_type="timeout", options=_PATIENT,
         check=wire_size_between(1, 30)),
    Case(row=118, name="drip-in-time", url="/drip?bytes=10&rate=50", size=10, options=_HASTY),
    Case(row=119, name="stall", url="/stall", error_type="read_timeout", wire_size=500, options=_HASTY),
    Case(row=119, name="stall-in-all", url="/stall", error_type="timeout", wire_size=500, options=_PATIENT),
    *(
        Case(row=120, name=name, url=url, error_type="too_large", rss=16, check=took_at_most(path, 16 * MIB),
             options={"body": False}, after=(_ECHO,))
        for name, url, path in (
            ("never-ending", "/never-ending", "/never-ending"),
            ("tebibyte", "/never-ending?length=1", "/never-ending"),
            ("infinite-chunked", "/infinite-chunked", "/infinite-chunked"),
        )
    ),
    Case(row=121, name="tiny-chunks", url="/tiny-chunks?n=1000000", size=1_000_000, cpu=2.0, rss=16,
         options={"body": False, "timeout": 10.0}),
    Case(row=122, name="slow-among-fast", url="/never", times=10, status=None, error_type="read_timeout",
         options={"concurrency": 20, "read_timeout": 1.5, "body": False}, beside=("/bytes/10",) * 400,
         check=others_done_within(1.2), why="the fast ones keep going while the slow are fewer than the pool"),
)  # fmt: skip

CASES = (*_KEPT, *_SLOW)
