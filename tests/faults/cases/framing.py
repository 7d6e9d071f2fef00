"""Section F, second part: bodies that lie about their length, end too early, or go on too long."""

from __future__ import annotations

from ..case import MIB, Case
from ..checks import both, connections_of, took_at_most
from ..framing import BADCHUNK, BADLENGTH

_ECHO = "http://127.0.0.1:{http}/echo"
_ELSEWHERE = "http://127.0.0.2:{http}/delay/0.05"
"""Time in which what is under way arrives, while the connection to the first host is idle."""

_WHAT = ("", "what=garbage")
"""A whole answer, or bytes of none."""


def _cut(row: int, name: str, why: str = "", **expected: object) -> Case:
    """An end too early: the status is kept, the connection is not."""
    return Case(row=row, name=name, url=f"/{name}", error_type="truncated", after=(_ECHO,), why=why,
                check=connections_of(1, 2), **expected)  # type: ignore[arg-type]  # fmt: skip


def _beyond(row: int, name: str, ms: int, why: str = "", **expected: object) -> Case:
    """Bytes after the end: one outcome whenever they come, and the connection is not used again."""
    path, _, kind = name.partition("?")
    return Case(row=row, name=f"{path}-{kind or 'plain'}-{ms}ms", url=f"/{path}?ms={ms}&{kind}", why=why,
                after=(_ELSEWHERE, _ECHO), check=connections_of(1, 2, 3), **expected)  # type: ignore[arg-type]  # fmt: skip


def _length(kind: str) -> Case:
    url = f"/badlength?kind={kind}"
    why = "two lengths are refused, whatever they say: the strict one of two answers" if kind == "same-twice" else ""
    return Case(row=59, name=f"length-{kind}", url=url, status=None, error_type="protocol", after=(_ECHO,),
                check=connections_of(1, 2), why=why)  # fmt: skip


CASES = (
    _cut(50, "truncated", wire_size=500, says=("500", "900")),
    _cut(50, "half-closed", wire_size=500, why="only the server's sending side is closed"),
    _cut(51, "reset-mid-body", wire_size=500, why="the body is known to be cut off, whoever did it"),
    _cut(50, "coded-cut?coding=gzip", why="the length says it before the decoder does"),
    Case(row=51, name="retried", url="/flaky?fail=1&mode=truncated", attempts=2, requests=2, fast=True,
         options={"retries": 1}),
    _cut(54, "chunk-truncated", wire_size=10),
    _cut(54, "chunk-no-end", wire_size=5),
    *(
        Case(row=55, name=f"chunk-{kind}", url=f"/badchunk?kind={kind}", error_type="protocol", after=(_ECHO,),
             check=connections_of(1, 2), rss=16, why="its head was right: the status is kept")
        for kind in BADCHUNK
    ),
    *(
        Case(row=55, name=f"chunk-{kind}-later", url=f"/badchunk?kind={kind}&ms=20", error_type="protocol",
             after=(_ECHO,), check=connections_of(1, 2), why="the same row when the head came on its own")
        for kind in ("word", "overflow", "nocrlf")
    ),
    Case(row=56, name="chunk-extension", url="/badchunk?kind=extension", body=b"hello", rss=16,
         why="accepted: it is read over, nothing of it is kept"),
    Case(row=56, name="chunk-extension-forever", url="/badchunk?kind=extension-forever", error_type="timeout", rss=16,
         options={"timeout": 0.5}),
    Case(row=56, name="trailers-forever", url="/badchunk?kind=trailers-forever", error_type="protocol", rss=16),
    Case(row=56, name="trailers-100000", url="/badchunk?kind=trailers", error_type="protocol", rss=16,
         why="bounded as headers are"),
    Case(row=56, name="trailer", url="/trailers", body=b"hello", after=(_ECHO,), check=connections_of(1, 1)),
    Case(row=57, name="nolength-close", url="/nolength-close", size=500, after=(_ECHO,), check=connections_of(1, 2)),
    _cut(58, "nolength-reset", wire_size=500),
    *(_length(kind) for kind in BADLENGTH),
    *(
        Case(row=60, name=f"coding-{value}", url=f"/badcoding?value={value}", error_type="protocol", after=(_ECHO,),
             check=connections_of(1, 2), why="the head was read: the status is kept; where the body ends is unknown")
        for value in ("banana", "gzip", "gzip,chunked", "identity")
    ),
    *(_beyond(61, f"overrun?{what}", ms, body=b"hello") for ms in (0, 1, 20) for what in _WHAT),
    *(_beyond(61, f"204-with-body?{what}", ms, status=204, size=0) for ms in (0, 20) for what in _WHAT),
    *(_beyond(61, f"304-with-body?{what}", ms, status=304, size=0) for ms in (0, 20) for what in _WHAT),
    Case(row=61, name="overrun-forever", url="/overrun-forever", body=b"hello", after=(_ECHO,), rss=16,
         check=both(connections_of(1, 2), took_at_most("/overrun-forever", MIB))),
    *(
        _beyond(62, f"unsolicited?{what}", ms, body=b"hello",
                why="what waits when the connection is to be used again is nobody's answer")
        for ms in (0, 1, 20)
        for what in _WHAT
    ),
    Case(row=62, name="unsolicited-many", url="/unsolicited?ms=0", times=200, body=b"hello",
         options={"concurrency": 1}, why="one segment: it is there before the next request is written"),
    *(
        _beyond(79, f"head-with-body?{kind}", ms, options={"method": "HEAD"}, size=0)
        for kind in ("", "chunked=1", "what=garbage")
        for ms in (0, 20)
    ),
    Case(row=79, name="head", url="/bytes/1000", options={"head": True}, size=0, shows={"content-length": ["1000"]},
         after=("http://127.0.0.1:{http}/bytes/10",), check=connections_of(1, 1)),
)  # fmt: skip
