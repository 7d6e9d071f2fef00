"""How the library is typed, as mypy sees it: checked with the rest, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import assert_type

from fetchall import ErrorType, Options, Request, Result, Stream, Timings, fetch_all, stream


def listed() -> Iterator[str]:
    yield "http://127.0.0.1/"


async def later() -> AsyncIterator[Request]:
    yield Request("http://127.0.0.1/", method="HEAD", headers=(("X-A", "1"),), body=b"")


async def uses() -> None:
    assert_type(await fetch_all(["http://127.0.0.1/"], concurrency=20), list[Result])
    assert_type(await fetch_all(listed(), Options(timeout=3)), list[Result])
    assert_type(stream(later()), Stream)
    async with stream([Request("http://127.0.0.1/"), "http://127.0.0.1/"], Options(), retries=0) as results:
        assert_type(results, Stream)
        async for result in results:
            assert_type(result, Result)
            assert_type(result.status, int | None)
            assert_type(result.error_type, ErrorType | None)
            assert_type(result.started_at, datetime | None)
            assert_type(result.timings, Timings | None)
            assert_type(result.headers, dict[str, list[str]] | None)
    fetch_all(5)  # type: ignore[arg-type, unused-coroutine]
    Options(20)  # type: ignore[call-arg]
