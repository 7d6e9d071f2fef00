"""How long a server may be silent, and a task may take: one timer for both."""

from __future__ import annotations

import asyncio
from math import inf
from time import monotonic
from typing import Any

import pytest

from fetchall import ErrorType, Result, fetch_all
from fetchall.wire.deadline import Deadlines
from tests.test_message import Server

HEAD = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n"
SILENCE = 0.3
"""Seconds; a pause of a third of it must never be taken for silence."""


async def one(url: str, **options: Any) -> Result:
    return (await fetch_all([url], retries=0, **options))[0]


@pytest.mark.parametrize("sent", [b"", b"HTTP/1.1 2", HEAD % 10, HEAD % 10 + b"abc"], ids=str)
async def test_silence_ends_a_hop_wherever_it_begins(sent: bytes) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(sent)

    async with Server(answer) as server:
        result = await one(server.base, read_timeout=SILENCE, timeout=30.0)
    assert result.error_type is ErrorType.READ_TIMEOUT
    assert result.status == (200 if sent.startswith(HEAD % 10) else None)


async def test_a_body_that_comes_in_pieces_is_whole_however_long_it_takes() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % 6)
        for _ in range(6):
            await asyncio.sleep(SILENCE / 3)
            writer.write(b"x")

    async with Server(answer) as server:
        result = await one(server.base, read_timeout=SILENCE)
    assert (result.error_type, result.size) == (None, 6)


async def test_what_we_do_not_read_is_not_held_against_the_server() -> None:
    size = 600_000

    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % size + b"x" * size)

    async with Server(answer) as server:
        result = await one(server.base, read_timeout=0.05, limit_rate=size * 2)
    assert (result.error_type, result.size) == (None, size)


async def test_an_attempt_ends_at_its_time_though_the_server_goes_on() -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD % 1000)
        for _ in range(1000):
            await asyncio.sleep(SILENCE / 3)
            writer.write(b"x")

    async with Server(answer) as server:
        result = await one(server.base, read_timeout=30.0, timeout=SILENCE)
    assert result.error_type is ErrorType.TIMEOUT


class Watched:
    """A task that waits for ever, and a server that was heard when it was told so."""

    def __init__(self, seconds: float) -> None:
        self.task = asyncio.create_task(asyncio.Event().wait())
        self.started_at = monotonic()
        self.ends_at = self.started_at + seconds
        self.expired = False
        self.heard = inf
        self.silent = asyncio.Event()

    def heard_at(self) -> float:
        return self.heard

    def fall_silent(self) -> None:
        self.heard = inf
        self.silent.set()


async def test_only_the_task_whose_time_is_up_is_cancelled() -> None:
    deadlines = Deadlines(0.0)
    early, late = Watched(0.05), Watched(60.0)
    gone = Watched(0.01)
    for each in (late, early, gone):
        deadlines.enter(each)
    deadlines.leave(gone)
    with pytest.raises(asyncio.CancelledError):
        await early.task
    assert (early.expired, late.expired, gone.expired) == (True, False, False)
    for each in (late, gone):
        each.task.cancel()
    deadlines.close()


async def test_who_is_listened_to_again_after_a_pause_has_the_whole_time() -> None:
    deadlines = Deadlines(0.1)
    watched = Watched(60.0)
    deadlines.enter(watched)
    await asyncio.sleep(0.15)  # the timer has looked, while nothing was waited for
    assert not watched.silent.is_set()
    watched.heard = monotonic()
    await watched.silent.wait()
    assert monotonic() - watched.started_at > 0.24
    watched.task.cancel()
    deadlines.close()
