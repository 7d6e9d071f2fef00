"""Digests are of all that came, in order, whatever the thread beside the loop does, and however little of it."""

from __future__ import annotations

import _thread
import asyncio
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchall import Options, Request, fetch_all
from fetchall.wire import hashing
from fetchall.wire.hashing import LARGE, MOST, Digest, Hasher

DATA = os.urandom(3 * LARGE)
sizes = st.one_of(st.integers(0, 2), st.integers(LARGE - 1, LARGE + 1), st.integers(0, len(DATA)))


@contextmanager
def started(how: Callable[[Callable[[], None]], None]) -> Iterator[None]:
    """Threads are started like this."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_thread, "start_new_thread", lambda work, _: how(work))
        yield


def none_to_be_had(work: Callable[[], None]) -> None:
    raise RuntimeError("can't start new thread")


def never_runs(work: Callable[[], None]) -> None:
    """A thread that died before it did anything."""


def assert_right(digest: Digest, pieces: list[bytes]) -> None:
    everything = b"".join(pieces)
    assert digest.sha256 == hashlib.sha256(everything).hexdigest()
    assert digest.md5 == hashlib.md5(everything).hexdigest()


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(sizes, max_size=8), min_size=1, max_size=4))
def test_digests_are_right_however_bodies_are_split_and_mixed(bodies: list[list[int]]) -> None:
    hasher = Hasher()
    digests = [(Digest(hasher, md5=True), [DATA[:size] for size in split]) for split in bodies]
    for place in range(8):
        for digest, pieces in digests:
            if place < len(pieces):
                digest.update(pieces[place])
    for digest, pieces in digests:
        assert_right(digest, pieces)
    hasher.close()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(sizes, st.integers(0, 3), st.booleans()), max_size=12))
def test_digests_are_right_whoever_comes_first(steps: list[tuple[int, int, bool]]) -> None:
    with started(never_runs):
        digest, pieces = Digest(Hasher(), md5=True), []
        for size, turns, asked in steps:
            pieces.append(DATA[:size])
            digest.update(pieces[-1])
            for _ in range(turns):
                digest.hash_next()  # what the thread does
            if asked:
                assert_right(digest, pieces)
        assert_right(digest, pieces)


def test_where_no_thread_can_start_the_loop_hashes_and_asks_once_only() -> None:
    asked: list[Any] = []

    def refused(work: Callable[[], None]) -> None:
        asked.append(work)
        none_to_be_had(work)

    with started(refused):
        hasher = Hasher()
        digest = Digest(hasher, md5=True)
        for _ in range(3):
            digest.update(DATA)
        assert_right(digest, [DATA] * 3)
        hasher.close()
    assert len(asked) == 1


def test_what_waits_for_a_thread_that_does_nothing_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    hashed = []
    honest = Digest._hash

    def counted(self: Digest, piece: bytes) -> None:
        hashed.append(len(piece))
        honest(self, piece)

    monkeypatch.setattr(Digest, "_hash", counted)
    with started(never_runs):
        hasher = Hasher()
        digests = [Digest(hasher, md5=True) for _ in range(10)]
        for _ in range(10):
            for digest in digests:
                digest.update(DATA)
        assert 100 - len(hashed) <= MOST
        for digest in digests:
            assert_right(digest, [DATA] * 10)
    assert len(hashed) == 100


def test_a_thread_without_memory_ends_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    loop = threading.current_thread()
    honest = Digest._hash

    def short(self: Digest, piece: bytes) -> None:
        if threading.current_thread() is not loop:
            raise MemoryError
        honest(self, piece)

    monkeypatch.setattr(Digest, "_hash", short)
    with started(lambda work: threads.append(threading.Thread(target=work))):
        digest = Digest(Hasher(), md5=True)
        for _ in range(3):
            digest.update(DATA)
        threads[0].start()
        threads[0].join(30)
        assert not threads[0].is_alive()
        assert_right(digest, [DATA] * 3)


def test_the_thread_does_all_that_was_asked_before_it_ends() -> None:
    threads: list[threading.Thread] = []
    with started(lambda work: threads.append(threading.Thread(target=work))):
        hasher = Hasher()
        digest = Digest(hasher, md5=True)
        for _ in range(3):
            digest.update(DATA)
        hasher.close()
        assert digest._waiting
        threads[0].start()
        threads[0].join(30)
        assert not threads[0].is_alive()
        assert not digest._waiting
        assert_right(digest, [DATA] * 3)


def test_small_pieces_need_no_thread() -> None:
    with started(none_to_be_had):
        hasher = Hasher()
        digest = Digest(hasher, md5=True)
        for _ in range(30):
            digest.update(DATA[: LARGE - 1])
        assert_right(digest, [DATA[: LARGE - 1]] * 30)
        assert hasher._started is None


BIG = os.urandom(5_000_000)
DIGESTS = hashlib.sha256(BIG).hexdigest(), hashlib.md5(BIG).hexdigest()


def answer(head: bytes) -> bytes:
    """All of it; of /cut at first the half, and then what is asked for."""
    first = int(head.partition(b"bytes=")[2].partition(b"-")[0] or 0)
    status = b"206 Partial Content" if first else b"200 OK"
    lines = [b"HTTP/1.1 " + status, b"Content-Length: %d" % (len(BIG) - first), b'ETag: "1"', b"Connection: close"]
    if first:
        lines.append(b"Content-Range: bytes %d-%d/%d" % (first, len(BIG) - 1, len(BIG)))
    end = len(BIG) // 2 if b"/cut" in head and not first else len(BIG)
    return b"\r\n".join([*lines, b"", BIG[first:end]])


class Threads:
    """What became of the threads that a run starts for its digests."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ended: list[threading.Event] = []


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> Threads:
    """Any piece is large, so that nothing depends on how much the system gives at once."""
    found, honest = Threads(), _thread.start_new_thread

    def start(work: Callable[[], None], _: tuple[()]) -> int:
        found.ended.append(ended := threading.Event())
        found.begun.set()

        def noted() -> None:
            work()
            ended.set()

        return honest(noted, ())

    monkeypatch.setattr(_thread, "start_new_thread", start)
    monkeypatch.setattr(hashing, "LARGE", 1)
    return found


@asynccontextmanager
async def site(pause: asyncio.Event | None = None) -> AsyncIterator[str]:
    """A server of `answer`, which sends the second half after `pause`."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        said = answer(await reader.readuntil(b"\r\n\r\n"))
        writer.write(said[: len(BIG) // 2])
        await writer.drain()
        if pause is not None:
            await pause.wait()
        writer.write(said[len(BIG) // 2 :])
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()


@pytest.mark.parametrize("path", ["/whole", "/cut"])
async def test_large_bodies_have_their_digests_and_files(path: str, tmp_path: Path, threads: Threads) -> None:
    async with site() as base:
        requests = [Request(base + path, input={"sum": DIGESTS[count % 2]}) for count in range(8)]
        options = Options(bodies=str(tmp_path), checksum_column="sum", retry_delay=0.001)
        rows = await fetch_all(requests, options)
    assert {(row.error_type, row.sha256, row.size) for row in rows} == {(None, DIGESTS[0], len(BIG))}
    assert [(tmp_path / str(row.file)).read_bytes() == BIG for row in rows] == [True] * 8
    assert [event.wait(30) for event in threads.ended] == [True]


async def test_a_large_body_with_another_checksum_is_not_kept(tmp_path: Path) -> None:
    async with site() as base:
        requests = [Request(base + "/x", input={"sum": "0" * size}) for size in (32, 64)]
        rows = await fetch_all(requests, bodies=str(tmp_path), checksum_column="sum")
    assert [(row.error_type, row.file) for row in rows] == [("write", None)] * 2
    assert DIGESTS[1] in str(rows[0].error)
    assert DIGESTS[0] in str(rows[1].error)


async def test_a_run_that_is_cancelled_in_a_large_body_ends_its_thread(tmp_path: Path, threads: Threads) -> None:
    async with site(asyncio.Event()) as base:
        task = asyncio.create_task(fetch_all([base + "/x"] * 3, bodies=str(tmp_path)))
        await threads.begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [event.wait(30) for event in threads.ended] == [True]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("start", [none_to_be_had, never_runs])
async def test_a_run_without_its_thread_is_only_slower(
    start: Callable[[Callable[[], None]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hashing, "LARGE", 1)
    async with site() as base:
        with started(start):
            rows = await fetch_all([base + "/x"] * 8, sha256=True)
    assert {row.sha256 for row in rows} == {DIGESTS[0]}
