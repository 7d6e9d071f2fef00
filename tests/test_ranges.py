"""A body that was cut off is continued by Range where that is safe, else begins anew, and is right in any case."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict, CIMultiDictProxy

from fetchall import Options, Request, Result, fetch_all
from fetchall.bodies import Bodies
from fetchall.captures import Capture
from fetchall.continuing import Continuing
from fetchall.journey import Journey
from fetchall.records import Answer, ErrorType, Fault
from fetchall.urls import Target, parse
from fetchall.wire.body import Memory
from fetchall.wire.failures import NotContinued, TooLarge
from fetchall.wire.ranges import Part, begun

BODY = os.urandom(60_000)
DIGEST = hashlib.sha256(BODY).hexdigest()
TAG = '"v1"'
LATER = "Sat, 01 Aug 2026 10:01:00 GMT"
THEN = "Sat, 01 Aug 2026 10:00:00 GMT"


class Asked:
    """One request as the server saw it."""

    def __init__(self, head: bytes) -> None:
        line, *fields = head.decode("latin-1").split("\r\n")
        self.path = line.split(" ")[1]
        self.fields = {name.lower(): value.strip() for name, _, value in (field.partition(":") for field in fields)}

    def __getattr__(self, name: str) -> str | None:
        return self.fields.get(name.replace("_", "-"))

    @property
    def first(self) -> int:
        return int((self.range or "bytes=0-")[6:-1])


Say = Callable[[Asked, int], bytes]
"""What is said to a request, and how many came before it; the connection then ends."""


@asynccontextmanager
async def site(say: Say) -> AsyncIterator[tuple[str, list[Asked]]]:
    asked: list[Asked] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = Asked(await reader.readuntil(b"\r\n\r\n"))
        asked.append(head)
        writer.write(say(head, len(asked) - 1))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", asked
    finally:
        server.close()
        await server.wait_closed()


def whole(*fields: str, body: bytes = BODY, cut: int | None = None, status: str = "200 OK") -> bytes:
    """An answer that announces all of a body, and sends it up to `cut`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *fields]
    return "\r\n".join([*lines, "", ""]).encode() + body[:cut]


def rest(
    first: int, *fields: str, tag: str | None = TAG, end: int | None = None, cut: int | None = None, total: Any = None
) -> bytes:
    """A 206 with the bytes from `first` to before `end`, sent up to `cut`."""
    end = len(BODY) if end is None else end
    lines = [
        f"Content-Range: bytes {first}-{end - 1}/{total or len(BODY)}",
        *([f"ETag: {tag}"] if tag else []),
        *fields,
    ]
    return whole(*lines, body=BODY[first:end], cut=cut, status="206 Partial Content")


async def fetched(say: Say, folder: Path, path: str = "/x.bin", **options: Any) -> tuple[Result, list[Asked]]:
    async with site(say) as (base, asked):
        request = Request(base + path, headers=options.pop("own", ()))
        chosen = {"bodies": str(folder), "retries": 2, "retry_delay": 0.001, **options}
        (row,) = await fetch_all([request], Options(**chosen))
    return row, asked


def saved(row: Result, folder: Path) -> bytes:
    assert row.file is not None
    (name,) = os.listdir(folder)
    assert name == row.file
    return (folder / name).read_bytes()


def assert_whole(row: Result, folder: Path) -> None:
    assert (row.error_type, row.ok) == (None, True)
    assert saved(row, folder) == BODY
    assert (row.sha256, row.size, row.wire_size) == (DIGEST, len(BODY), len(BODY))


def script(*steps: Callable[[Asked], bytes]) -> Say:
    return lambda asked, count: steps[min(count, len(steps) - 1)](asked)


def cut_at(size: int, *fields: str) -> Callable[[Asked], bytes]:
    return lambda _: whole(f"ETag: {TAG}", "Content-Type: image/png", *fields, cut=size)


async def test_a_body_that_was_cut_off_is_gone_on_with(tmp_path: Path) -> None:
    row, asked = await fetched(script(cut_at(20_000), lambda asked: rest(asked.first)), tmp_path)
    assert_whole(row, tmp_path)
    assert (asked[1].range, asked[1].if_range) == ("bytes=20000-", TAG)
    assert (asked[0].range, asked[0].if_range) == (None, None)
    assert (row.status, row.attempts) == (206, 2)
    # A 206 need not repeat what the 200 said.
    assert row.content_type == "image/png"
    assert (row.file or "").endswith(".png")


async def test_it_is_gone_on_with_as_often_as_there_are_retries(tmp_path: Path) -> None:
    def say(asked: Asked, count: int) -> bytes:
        return cut_at(10_000)(asked) if not count else rest(asked.first, cut=10_000)

    row, asked = await fetched(say, tmp_path, retries=9)
    assert_whole(row, tmp_path)
    assert [each.first for each in asked] == [0, 10_000, 20_000, 30_000, 40_000, 50_000]
    assert row.attempts == 6


async def test_progress_does_not_give_further_attempts(tmp_path: Path) -> None:
    def say(asked: Asked, count: int) -> bytes:
        return cut_at(1)(asked) if not count else rest(asked.first, cut=1)

    row, asked = await fetched(say, tmp_path, retries=3)
    assert (row.error_type, row.attempts, row.status, row.file, row.size) == ("truncated", 4, 206, None, 4)
    assert len(asked) == 4
    assert os.listdir(tmp_path) == []


async def test_a_206_of_fewer_bytes_than_asked_for_is_gone_on_with_too(tmp_path: Path) -> None:
    def say(asked: Asked, count: int) -> bytes:
        return cut_at(10_000)(asked) if not count else rest(asked.first, end=min(asked.first + 30_000, len(BODY)))

    row, asked = await fetched(say, tmp_path)
    assert_whole(row, tmp_path)
    assert [each.first for each in asked] == [0, 10_000, 40_000]


async def test_a_200_begins_anew_without_loss(tmp_path: Path) -> None:
    row, asked = await fetched(script(cut_at(20_000), lambda _: whole('ETag: "v2"')), tmp_path)
    assert_whole(row, tmp_path)
    assert asked[1].range is not None
    assert (row.status, row.attempts) == (200, 2)


WRONG = {
    "416": lambda asked: whole("Content-Range: bytes */60000", body=b"no", status="416 Range Not Satisfiable"),
    "start": lambda asked: rest(asked.first - 1),
    "later start": lambda asked: rest(asked.first + 1),
    "end": lambda asked: rest(asked.first, total=len(BODY) + 1),
    "unknown total": lambda asked: rest(asked.first, total="*"),
    "no content-range": lambda asked: whole(f"ETag: {TAG}", body=BODY[asked.first :], status="206 Partial Content"),
    "two": lambda asked: rest(asked.first, f"Content-Range: bytes {asked.first}-59999/60000"),
    "unit": lambda asked: rest(asked.first).replace(b"bytes ", b"lines "),
    "etag": lambda asked: rest(asked.first, tag='"v2"'),
    "weak etag": lambda asked: rest(asked.first, tag=f"W/{TAG}"),
    "no etag": lambda asked: rest(asked.first, tag=None),
    "coded": lambda asked: rest(asked.first, "Content-Encoding: gzip"),
    "multipart": lambda asked: whole(
        "Content-Type: multipart/byteranges; boundary=x", f"ETag: {TAG}", body=b"--x", status="206 Partial Content"
    ),
    "length": lambda asked: rest(asked.first).replace(b"Content-Length: 40000", b"Content-Length: 39999"),
    "more": lambda asked: (
        f"HTTP/1.1 206 P\r\nETag: {TAG}\r\nContent-Range: bytes {asked.first}-59999/60000\r\n\r\n".encode()
        + BODY[asked.first :]
        + b"more"
    ),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_what_is_no_continuation_costs_neither_the_body_nor_an_attempt(wrong: str, tmp_path: Path) -> None:
    """One retry is allowed, and it is whole: the same attempt asks for all of it."""
    steps = script(cut_at(20_000), WRONG[wrong], lambda _: whole())
    row, asked = await fetched(steps, tmp_path, retries=1)
    assert_whole(row, tmp_path)
    assert [each.range for each in asked] == [None, "bytes=20000-", None]
    assert (row.attempts, row.status) == (2, 200)


@pytest.mark.parametrize(
    "fields",
    [
        [],
        [f"ETag: W/{TAG}"],
        ["ETag: v1"],
        [f"ETag: {TAG}", 'ETag: "v2"'],
        [f"ETag: {TAG}", "Accept-Ranges: none"],
        [f"ETag: {TAG}", "Accept-Ranges: pages"],
        [f"Last-Modified: {THEN}"],
        [f"Last-Modified: {THEN}", f"Date: {THEN}"],
        [f"Last-Modified: {THEN}", f"Date: {LATER}", f"ETag: W/{TAG}"],
        ["Last-Modified: yesterday", f"Date: {LATER}"],
    ],
)
async def test_without_a_strong_validator_it_begins_anew(fields: list[str], tmp_path: Path) -> None:
    row, asked = await fetched(script(lambda _: whole(*fields, cut=100), lambda _: whole(*fields)), tmp_path)
    assert_whole(row, tmp_path)
    assert [each.range for each in asked] == [None, None]


async def test_a_date_a_minute_old_is_a_strong_validator(tmp_path: Path) -> None:
    changed = f"Last-Modified: {THEN}"
    steps = script(
        lambda _: whole(changed, f"Date: {LATER}", "Accept-Ranges: bytes", cut=100),
        lambda asked: rest(asked.first, changed, tag=None),
    )
    row, asked = await fetched(steps, tmp_path)
    assert_whole(row, tmp_path)
    assert asked[1].if_range == THEN


async def test_a_coded_body_begins_anew(tmp_path: Path) -> None:
    packed = gzip.compress(BODY)
    fields = [f"ETag: {TAG}", "Content-Encoding: gzip"]
    steps = script(lambda _: whole(*fields, body=packed, cut=9000), lambda _: whole(*fields, body=packed))
    row, asked = await fetched(steps, tmp_path)
    assert saved(row, tmp_path) == BODY
    assert asked[1].range is None


async def test_an_identity_coding_is_none(tmp_path: Path) -> None:
    steps = script(cut_at(100, "Content-Encoding: identity"), lambda asked: rest(asked.first))
    assert_whole((await fetched(steps, tmp_path))[0], tmp_path)


@pytest.mark.parametrize("own", [("Range", "bytes=0-"), ("If-Range", TAG)])
async def test_a_range_of_the_users_own_is_never_touched(own: tuple[str, str], tmp_path: Path) -> None:
    row, asked = await fetched(script(cut_at(100), lambda _: whole()), tmp_path, own=(own,))
    assert_whole(row, tmp_path)
    assert asked[1].fields.get(own[0].lower()) == own[1]
    assert (asked[1].range, asked[1].if_range).count(None) == 1


async def test_a_body_without_a_length_is_gone_on_with(tmp_path: Path) -> None:
    start = f"HTTP/1.1 200 OK\r\nETag: {TAG}\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n".encode() + BODY[:2000]
    row, asked = await fetched(script(lambda _: start, lambda asked: rest(asked.first)), tmp_path)
    assert_whole(row, tmp_path)
    assert asked[1].range == "bytes=2000-"


async def test_what_comes_between_does_not_cost_the_beginning(tmp_path: Path) -> None:
    """A 503, and a connection that is closed without a word, leave what was kept."""
    steps = script(
        cut_at(20_000),
        lambda _: whole(body=b"busy", status="503 Busy"),
        lambda _: b"",
        lambda asked: rest(asked.first),
    )
    row, asked = await fetched(steps, tmp_path, retries=3)
    assert_whole(row, tmp_path)
    assert [each.first for each in asked] == [0, 20_000, 20_000, 20_000]


@pytest.mark.parametrize("last", ["404 Not Found", "503 Busy"])
async def test_another_end_leaves_no_file(last: str, tmp_path: Path) -> None:
    row, _ = await fetched(script(cut_at(100), lambda _: whole(body=b"no", status=last)), tmp_path, retries=1)
    assert (row.status, row.file, row.error_type, row.size) == (int(last[:3]), None, None, 2)
    assert os.listdir(tmp_path) == []


async def test_the_sum_is_bounded_by_max_body(tmp_path: Path) -> None:
    start = f"HTTP/1.1 200 OK\r\nETag: {TAG}\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n".encode() + BODY[:2000]
    steps = script(lambda _: start, lambda asked: rest(asked.first))
    row, _ = await fetched(steps, tmp_path, max_body=50_000)
    assert (row.error_type, row.file) == ("too_large", None)
    assert os.listdir(tmp_path) == []


def redirect(to: str) -> bytes:
    return whole(f"Location: {to}", body=b"", status="302 Found")


async def test_a_redirect_is_followed_anew_and_only_the_same_url_is_gone_on_with(tmp_path: Path) -> None:
    def say(asked: Asked, count: int) -> bytes:
        if asked.path == "/x.bin":
            return redirect("/real")
        return cut_at(100)(asked) if count == 1 else rest(asked.first)

    row, asked = await fetched(say, tmp_path)
    assert_whole(row, tmp_path)
    assert [(each.path, each.range) for each in asked] == [
        ("/x.bin", None), ("/real", None), ("/x.bin", None), ("/real", "bytes=100-"),
    ]  # fmt: skip


async def test_a_redirect_elsewhere_begins_anew(tmp_path: Path) -> None:
    def say(asked: Asked, count: int) -> bytes:
        if asked.path == "/x.bin":
            return redirect(f"/{count}")
        return whole(f"ETag: {TAG}", cut=100 if count == 1 else None)

    row, asked = await fetched(say, tmp_path)
    assert_whole(row, tmp_path)
    assert [each.range for each in asked] == [None] * 4


async def test_credentials_go_where_they_go_without_a_range(tmp_path: Path) -> None:
    steps = script(cut_at(100), lambda asked: rest(asked.first))
    row, asked = await fetched(steps, tmp_path, user="me:secret", own=(("X-Key", "k"),))
    assert_whole(row, tmp_path)
    assert asked[1].authorization == asked[0].authorization is not None
    assert {**asked[0].fields, "range": "bytes=100-", "if-range": TAG} == asked[1].fields


async def test_a_post_begins_anew(tmp_path: Path) -> None:
    steps = script(cut_at(100), lambda _: whole())
    row, asked = await fetched(steps, tmp_path, data=("x",), retry_all_methods=True)
    assert_whole(row, tmp_path)
    assert asked[1].range is None


async def test_a_206_counts_as_the_200_that_it_completes(tmp_path: Path) -> None:
    row, _ = await fetched(script(cut_at(100), lambda asked: rest(asked.first)), tmp_path, accept=((200, 200),))
    assert_whole(row, tmp_path)


async def test_a_checksum_of_the_list_is_that_of_the_whole(tmp_path: Path) -> None:
    async with site(script(cut_at(100), lambda asked: rest(asked.first))) as (base, _):
        request = Request(base + "/x", input={"md5": hashlib.md5(BODY).hexdigest()})
        options = Options(bodies=str(tmp_path), checksum_column="md5", retry_delay=0.001)
        (row,) = await fetch_all([request], options)
    assert_whole(row, tmp_path)


@pytest.mark.parametrize("asks", [{"sha256": True}, {"body": True}])
async def test_digests_and_bodies_in_rows_are_gone_on_with_too(asks: dict[str, Any], tmp_path: Path) -> None:
    row, asked = await fetched(script(cut_at(100), lambda asked: rest(asked.first)), tmp_path, bodies=None, **asks)
    assert (row.sha256, row.size, row.body) == (DIGEST, len(BODY), BODY if "body" in asks else None)
    assert asked[1].range == "bytes=100-"


async def test_where_nothing_is_kept_nothing_is_gone_on_with(tmp_path: Path) -> None:
    row, asked = await fetched(script(cut_at(100), lambda _: whole()), tmp_path, bodies=None)
    assert (row.ok, asked[1].range) == (True, None)


def test_what_waits_for_another_attempt_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """One may always wait; those that do not fit beside it begin anew."""
    monkeypatch.setattr("fetchall.continuing.ON_DISK", 100)
    waiting = Continuing(Options())
    target = parse("http://h/")
    assert isinstance(target, Target)
    journeys = [Journey(Request("http://h/", index), target, "GET", None, 0.0) for index in range(4)]
    kept = []
    for journey, size in zip(journeys, (150, 60, 30, 30), strict=True):
        journey.begin()
        journey.keeper = Memory(digest=True, body=False)
        journey.keeper.write(b"x" * size)
        fault = Fault(ErrorType.TRUNCATED, "cut")
        assert not waiting.after_hop(journey, Answer(fault=fault, status=200, headers=((b"etag", b'"v"'),)))
        kept.append(journey.part is not None)
        if size == 150:
            waiting.let_go(journey)
    assert kept == [True, True, True, False]


def test_who_gave_up_waits_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the last answer was: else what failed long ago would leave no room for others."""
    monkeypatch.setattr("fetchall.continuing.ON_DISK", 100)
    waiting = Continuing(Options())
    target = parse("http://h/")
    assert isinstance(target, Target)
    cut = Fault(ErrorType.TRUNCATED, "cut")
    for resumed in (False, True, True):
        journey = Journey(Request("http://h/"), target, "GET", None, 0.0)
        journey.begin()
        journey.keeper = Memory(digest=True, body=False)
        journey.keeper.write(b"x" * 80)
        waiting.after_hop(journey, Answer(fault=cut, status=200, headers=((b"etag", b'"v"'),)))
        assert journey.part is not None
        if resumed:
            waiting.asking(journey, CIMultiDictProxy(CIMultiDict()))
            journey.part.take_up(((b"content-range", b"bytes 80-99/100"), (b"etag", b'"v"')), 1000)
            waiting.after_hop(journey, Answer(fault=cut, status=206))
        waiting.settle(journey, whole=False)
        assert journey.part is None


async def test_an_archive_has_each_answer_as_it_was(tmp_path: Path) -> None:
    found: list[tuple[int | None, int, bool]] = []

    class Archive:
        def take(self, capture: Capture) -> None:
            assert capture.response is not None
            found.append((capture.answer.status, len(b"".join(capture.response[2])), capture.whole))

    steps = script(cut_at(20_000), WRONG["etag"], cut_at(20_000), lambda asked: rest(asked.first))
    row, _ = await fetched(steps, tmp_path, recorder=Archive())
    assert_whole(row, tmp_path)
    assert [status for status, _, _ in found] == [200, 206, 200, 206]
    assert found[0] == found[2] == (200, 20_000, False)
    assert found[3] == (206, 40_000, True)


def test_a_beginning_that_is_gone_or_another_is_not_gone_on_with(tmp_path: Path) -> None:
    bodies = Bodies(Options(bodies=str(tmp_path)))
    altered, swept, same = (bodies.keeper() for _ in range(3))
    for keeper in (altered, swept, same):
        assert keeper is not None
        keeper.write(b"x" * 100)
        keeper.rest()
    one, other, _ = sorted(tmp_path.iterdir(), key=lambda path: int(path.name.split("-")[-1][:-5]))
    one.write_bytes(b"another's")
    other.unlink()
    assert [keeper.resume() for keeper in (altered, swept, same) if keeper is not None] == [False, False, True]
    bodies.close(complete=True)


async def test_a_run_that_is_left_leaves_no_beginning(tmp_path: Path) -> None:
    async with site(script(cut_at(100))) as (base, asked):
        options = Options(bodies=str(tmp_path), per_host_rate=0.001, max_run_time=0.3)
        await fetch_all([base + "/x"], options)
    assert len(asked) == 1
    assert os.listdir(tmp_path) == []


async def test_tags_hold_for_a_body_that_was_cut_off(tmp_path: Path) -> None:
    """The 206 that would follow need not repeat them."""
    steps = script(cut_at(100, "X-Robots-Tag: noai"), lambda asked: rest(asked.first))
    row, asked = await fetched(steps, tmp_path, respect_tags=("noai",))
    assert (row.error_type, row.file, len(asked)) == ("robots", None, 1)
    assert os.listdir(tmp_path) == []


def part(size: int = 10, total: int | None = 100) -> Part:
    keeper = Memory(digest=True, body=True)
    keeper.write(b"x" * size)
    length = ((b"Content-Length", str(total).encode()),) if total is not None else ()
    found = begun("http://h/", Answer(status=200, headers=((b"ETag", b'"v"'), *length)), keeper)
    assert found is not None
    return found


fields = st.one_of(
    st.binary(max_size=40),
    st.builds("bytes {}-{}/{}".format, *[st.integers(-1, 120)] * 3).map(str.encode),
)


@given(st.lists(st.tuples(st.sampled_from([b"content-range", b"ETag", b"content-length", b"x"]), fields), max_size=5))
def test_only_bytes_that_begin_where_the_part_ends_are_taken_up(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Whatever a server says, what is taken up lies within the representation and follows on what is there."""
    found = part()
    try:
        end = found.take_up(((b"ETag", b'"v"'), *headers), 1000)
    except (NotContinued, TooLarge):
        assert not found.resumed
    else:
        assert 10 < end <= 100
        assert (b"content-range", f"bytes 10-{end - 1}/100".encode()) in headers
        assert found.resumed


@given(st.lists(st.tuples(st.sampled_from([b"etag", b"last-modified", b"date", b"accept-ranges"]), st.binary())))
def test_no_head_of_a_server_breaks_the_decision(headers: list[tuple[bytes, bytes]]) -> None:
    keeper = Memory(digest=True, body=False)
    keeper.write(b"x")
    begun("http://h/", Answer(status=200, headers=tuple(headers)), keeper)
