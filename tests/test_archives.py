"""WARC and HAR: what went over the wire, byte for byte, secrets apart; whole after a kill; read by others' readers."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tracemalloc
from base64 import b32encode, b64decode
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

import pytest
import trustme
from warcio.archiveiterator import ArchiveIterator

from fetchall import Options, Result, fetch_all, stream
from fetchall.captures import Capture
from fetchall.errors import MissingExtra
from fetchall.records import Answer, ErrorType, Fault, Timings
from fetchall.rows import PLAIN, Columns
from fetchall.sinks import Ending, check_installed, form_of, make
from fetchall.sinks.archive import Archive, Archives
from fetchall.sinks.outlet import PartFile
from fetchall.tally import Tally
from fetchall.wire.connection import Protocol
from fetchall.wire.recording import SECRET, Record

ROOT = str(Path(__file__).parents[1])
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n"


def ending(*, complete: bool = True) -> Ending:
    tally = Tally()
    return Ending(tally.summary(1.0, interrupted=not complete), tally.timing(1.0, 20, None), complete)


def opened(path: Path, *, keep: bool = False) -> Archive:
    sink = make(form_of(str(path)), PartFile(str(path), keep=keep), columns=Columns())
    assert isinstance(sink, Archive)
    return sink


def capture(index: int = 0, body: bytes = b"abc", **changes: Any) -> Capture:
    given: dict[str, Any] = {
        "index": index,
        "url": f"http://h/{index}?a=1&b=",
        "method": "GET",
        "started_at": datetime(2026, 11, 20, 23, 19, 56, 5, UTC),
        "elapsed": 0.5,
        "answer": Answer(status=200, http_version="1.1", remote_ip="127.0.0.1", ttfb=0.25, size=3, wire_size=3),
        "request": b"GET /0 HTTP/1.1\r\nHost: h\r\n\r\n",
        "response": (HEAD + b"\r\n", len(body), (body,)),
        "whole": True,
    }
    return Capture(**{**given, **changes})


Script = Callable[[str], bytes]


@asynccontextmanager
async def site(script: Script, heads: list[bytes], **options: Any) -> AsyncIterator[int]:
    """A server that answers each path with the script's bytes, word for word, and closes; its port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        if size := re.search(rb"(?i)content-length: (\d+)", head):
            head += await reader.readexactly(int(size[1]))
        heads.append(head)
        writer.write(script(head.split(b" ")[1].decode()))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", **options)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


def members(path: Path) -> list[tuple[dict[str, str], bytes]]:
    """Every record by a reader of our own: one gzip member each, its fields and its block."""
    import zlib

    data, found = path.read_bytes(), []
    while data:
        undo = zlib.decompressobj(31)
        plain = undo.decompress(data) + undo.flush()
        assert undo.eof
        data = undo.unused_data
        head, _, rest = plain.partition(b"\r\n\r\n")
        version, *lines = head.decode().split("\r\n")
        assert version == "WARC/1.1"
        fields = dict(line.split(": ", 1) for line in lines)
        block = rest[: int(fields["Content-Length"])]
        assert rest == block + b"\r\n\r\n"
        found.append((fields, block))
    return found


def responses(path: Path) -> dict[str, tuple[dict[str, str], bytes]]:
    """By path of the URL."""
    found = {}
    for fields, block in members(path):
        if fields["WARC-Type"] == "response":
            found["/" + fields["WARC-Target-URI"].split("/", 3)[3]] = (fields, block)
    return found


def requests(path: Path) -> list[bytes]:
    return [block for fields, block in members(path) if fields["WARC-Type"] == "request"]


def assert_checks(path: Path) -> None:
    """By warcio's own command and its iterator."""
    done = subprocess.run(
        [sys.executable, "-m", "warcio.cli", "check", str(path)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (0, "")
    with open(path, "rb") as file:
        for record in ArchiveIterator(file, check_digests="raise"):
            record.content_stream().read()


async def archived(path: Path, script: Script, paths: list[str], **options: Any) -> tuple[list[Result], list[bytes]]:
    sink = opened(path)
    heads: list[bytes] = []
    async with site(script, heads) as port:
        urls = [f"http://127.0.0.1:{port}{each}" for each in paths]
        rows = await fetch_all(urls, Options(recorder=sink, retries=0, **options))
    sink.close(ending())
    return rows, heads


WIRE = {
    "/plain": HEAD + b"Content-Length: 3\r\n\r\nabc",
    "/chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nTrailer: t\r\n\r\n",
    "/gzip": HEAD + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"hello" * 100, mtime=0),
    "/odd": b"HTTP/1.1 200 Fine  by me\r\nx-lower: 1\r\nX-Latin: \xe9\r\nX-Twice: a\r\nX-Twice:   b  \r\n\r\n",
    "/none": b"HTTP/1.1 204 No Content\r\n\r\n",
    "/old": b"HTTP/1.0 404 Not Found\r\n\r\nno",
    "/large": HEAD + b"\r\n" + bytes(range(256)) * 8000,
    "/large?2": HEAD + b"\r\n" + bytes(range(256)) * 1500,
}


async def test_every_answer_is_archived_as_it_was_on_the_wire(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    rows, heads = await archived(path, WIRE.__getitem__, list(WIRE))
    assert all(row.status for row in rows)
    found = responses(path)
    assert {name: block for name, (_, block) in found.items()} == WIRE
    assert sorted(requests(path)) == sorted(heads)
    assert not any("WARC-Truncated" in fields for fields, _ in found.values())
    assert_checks(path)


async def test_records_are_told_apart_joined_and_dated(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    await archived(path, WIRE.__getitem__, ["/plain", "/none"])
    records = members(path)
    assert [fields["WARC-Type"] for fields, _ in records] == ["warcinfo", *["response", "request"] * 2]
    assert len({fields["WARC-Record-ID"] for fields, _ in records}) == 5
    assert records[2][0]["WARC-Concurrent-To"] == records[1][0]["WARC-Record-ID"]
    assert {fields["Fetchall-Index"] for fields, _ in records[1:]} == {"0", "1"}
    for fields, _ in records:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", fields["WARC-Date"])
        assert re.fullmatch(r"sha1:[A-Z2-7]{32}", fields["WARC-Block-Digest"])
    assert records[1][0]["WARC-IP-Address"] == "127.0.0.1"
    assert b"software: fetchall/" in records[0][1]
    # A request has an address, and a payload where it has a body (sections 5.9 and 5.10).
    assert records[2][0]["WARC-IP-Address"] == "127.0.0.1"
    assert "WARC-Payload-Digest" not in records[2][0]
    assert records[1][0]["Content-Type"] == "application/http;msgtype=response"
    assert records[2][0]["Content-Type"] == "application/http;msgtype=request"
    assert len({fields["WARC-Date"] for fields, _ in records[1:3]}) == 1


def test_a_files_name_is_a_field_whatever_is_in_it(tmp_path: Path) -> None:
    path = tmp_path / "a\r\nb: \udcff\u00e9.warc.gz"
    sink = opened(path)
    sink.take(capture())
    sink.close(ending())
    assert members(path)[0][0]["WARC-Filename"] == "a??b: ?é.warc.gz"
    with open(path, "rb") as file:
        assert [record.rec_type for record in ArchiveIterator(file)] == ["warcinfo", "response", "request"]


async def test_interim_answers_are_not_taken_for_the_answer(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    interim = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
    await archived(path, lambda _: interim + WIRE["/plain"], ["/x"])
    assert responses(path)["/x"][1] == WIRE["/plain"]
    assert_checks(path)


async def test_redirect_hops_are_records_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    hop = b"HTTP/1.1 302 Found\r\nLocation: /plain\r\nContent-Length: 4\r\n\r\nmove"
    rows, _ = await archived(path, lambda path: hop if path == "/hop" else WIRE[path], ["/hop"])
    assert rows[0].redirects == 1
    found = responses(path)
    assert set(found) == {"/hop", "/plain"}
    assert found["/hop"][1].startswith(b"HTTP/1.1 302 Found\r\nLocation: /plain\r\n")
    assert_checks(path)


async def test_what_was_cut_off_says_so_and_what_never_came_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    broken = {
        "/cut": HEAD + b"Content-Length: 10\r\n\r\nabc",
        "/long": HEAD + b"Content-Length: 9999\r\n\r\n" + b"x" * 9999,
        "/nothing": b"",
        "/half": b"HTTP/1.1 200 OK\r\nConte",
    }
    await archived(path, broken.__getitem__, list(broken), max_body=1000)
    found = responses(path)
    assert {name: fields["WARC-Truncated"] for name, (fields, _) in found.items()} == {
        "/cut": "disconnect",
        "/long": "length",
    }
    assert found["/cut"][1] == broken["/cut"]
    assert_checks(path)


SECRETS = {
    "header": ("X-Api-Key: s3cret-a", "Accept: text/s3en"),
    "cookie": "c=s3cret-b",
    "user": "me:s3cret-c",
}


@pytest.mark.parametrize("name", ["a.warc.gz", "a.har"])
async def test_values_of_credentials_are_not_archived(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    answer = HEAD + b"Set-Cookie: c=s3cret-d;\r\n folded-s3cret\r\nContent-Length: 0\r\n\r\n"
    _, heads = await archived(path, lambda _: answer, ["/x"], **SECRETS)
    assert b"s3cret-a" in heads[0]
    assert b"s3cret-b" in heads[0]
    data = path.read_bytes() if name.endswith("har") else b"".join(block for _, block in members(path))
    assert b"s3cret" not in data
    assert b"s3en" in data
    assert data.count(b"***") >= 4
    if name.endswith("gz"):
        assert requests(path)[0].startswith(b"GET /x HTTP/1.1\r\nHost: 127.0.0.1")
        assert_checks(path)


@pytest.mark.parametrize("name", ["a.warc.gz", "a.har"])
async def test_keep_secrets_keeps_them(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    _, heads = await archived(path, WIRE.__getitem__, ["/plain"], keep_secrets=True, **SECRETS)
    data = path.read_bytes() if name.endswith("har") else b"".join(block for _, block in members(path))
    assert b"s3cret-a" in data
    if name.endswith("gz"):
        assert requests(path) == heads


async def test_a_body_that_was_sent_is_archived(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    _, heads = await archived(path, WIRE.__getitem__, ["/plain"], data=("a=1&b=2" * 1000,))
    assert requests(path) == heads
    assert heads[0].endswith(b"a=1&b=2")
    (fields,) = [fields for fields, _ in members(path) if fields["WARC-Type"] == "request"]
    digest = hashlib.sha1(heads[0].partition(b"\r\n\r\n")[2]).digest()
    assert fields["WARC-Payload-Digest"] == "sha1:" + b32encode(digest).decode()
    assert_checks(path)


async def test_over_tls_it_is_the_plain_text_that_is_archived(tmp_path: Path) -> None:
    authority = trustme.CA()
    import ssl

    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    sink = opened(tmp_path / "a.warc.gz")
    heads: list[bytes] = []
    async with site(lambda _: WIRE["/plain"], heads, ssl=context) as port:
        options = Options(recorder=sink, cacert=str(tmp_path / "ca.pem"))
        (row,) = await fetch_all([f"https://127.0.0.1:{port}/x"], options)
    sink.close(ending())
    assert row.ok, row.error
    assert responses(tmp_path / "a.warc.gz")["/x"][1] == WIRE["/plain"]
    assert requests(tmp_path / "a.warc.gz") == heads


async def test_kept_alive_connections_keep_exchanges_apart(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except (asyncio.IncompleteReadError, ConnectionError):
                break
            body = head.split(b" ")[1]
            writer.write(HEAD + b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    base = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    path = tmp_path / "a.warc.gz"
    sink = opened(path)
    rows = await fetch_all([f"{base}/{n}" for n in range(200)], Options(recorder=sink, concurrency=4))
    sink.close(ending())
    server.close()
    assert sum(bool(row.reused) for row in rows) > 150
    found = responses(path)
    assert {name: block.rpartition(b"\r\n\r\n")[2].decode() for name, (_, block) in found.items()} == {
        f"/{n}": f"/{n}" for n in range(200)
    }
    for block in requests(path):
        assert block.count(b"HTTP/1.1") == 1


async def test_a_run_that_archives_nothing_has_plain_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set()
    made = Protocol.connection_made

    def note(self: Protocol, transport: asyncio.BaseTransport) -> None:
        kinds.add(type(self))
        made(self, transport)

    monkeypatch.setattr(Protocol, "connection_made", note)
    async with site(lambda _: WIRE["/plain"], []) as port:
        await fetch_all([f"http://127.0.0.1:{port}/"])
    assert kinds == {Protocol}


async def test_a_large_answer_is_not_held_in_memory(tmp_path: Path) -> None:
    block, count = b"x" * 100_000, 300

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(HEAD + b"Connection: close\r\n\r\n")
        for _ in range(count):
            writer.write(block)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1")
    sink = opened(tmp_path / "a.warc.gz")
    tracemalloc.start()
    await fetch_all([f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"], Options(recorder=sink))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    server.close()
    sink.close(ending())
    (_, found) = responses(tmp_path / "a.warc.gz")["/"]
    assert len(found) > count * len(block)
    assert peak < 8e6


@pytest.mark.parametrize("name", ["a.warc.gz", "a.har"])
def test_a_torn_archive_goes_on_after_what_is_whole(name: str, tmp_path: Path) -> None:
    path, part = tmp_path / name, tmp_path / (name + ".part")
    sink = opened(path)
    sizes = []
    for index in range(3):
        sink.take(capture(index))
        sizes.append(part.stat().st_size)
    sink.abort()
    whole = part.read_bytes()
    for cut in [0, 1, sizes[0] - 1, *range(sizes[1], sizes[2] + 1, 7)]:
        part.write_bytes(whole[:cut] + (b"\0" * 50 if cut % 2 else b""))
        sink = opened(path, keep=True)
        sink.go_on()
        sink.take(capture(7))
        sink.close(ending())
        kept = sum(size <= cut for size in sizes)
        assert indexes(path)[:kept] == list(range(kept))
        assert indexes(path)[-1] == 7
        if name.endswith("har"):
            assert_har(json.loads(path.read_bytes()))
        path.unlink()


def indexes(path: Path) -> list[int]:
    if path.name.endswith("har"):
        return [entry["_index"] for entry in json.loads(path.read_bytes())["log"]["entries"]]
    return [int(fields["Fetchall-Index"]) for fields, _ in members(path) if fields["WARC-Type"] == "response"]


@pytest.mark.parametrize("name", ["a.warc.gz", "a.har"])
def test_a_finished_archive_is_added_to_and_stays_until_the_new_one_is_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    sink = opened(path)
    sink.take(capture(0))
    sink.close(ending())
    before = path.read_bytes()
    sink = opened(path, keep=True)
    sink.go_on()
    sink.take(capture(1))
    assert path.read_bytes() == before
    sink.close(ending())
    assert indexes(path) == [0, 1]


@pytest.mark.parametrize("name", ["a.warc.gz", "a.har"])
def test_a_new_archive_that_was_killed_at_once_is_not_taken_for_the_finished_one(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    sink = opened(path)
    sink.take(capture(0))
    sink.close(ending())
    sink = opened(path)
    sink.begin()
    sink.abort()
    sink = opened(path, keep=True)
    sink.go_on()
    sink.take(capture(1))
    sink.close(ending())
    assert indexes(path) == [1]


@pytest.mark.parametrize("name", ["a.warc.gz", "a.har"])
def test_a_finished_archive_is_copied_whole_or_not_at_all(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    sink = opened(path)
    for index in range(3):
        sink.take(capture(index))
    sink.close(ending())
    whole = path.read_bytes()

    def torn(source: IO[bytes], target: IO[bytes], _: int) -> None:
        target.write(whole[: len(whole) // 2])
        raise OSError(28, "no space left on device")

    sink = opened(path, keep=True)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "copyfileobj", torn)
        with pytest.raises(OSError, match="no space"):
            sink.go_on()
    sink.abort()
    sink = opened(path, keep=True)
    sink.go_on()
    sink.close(ending())
    assert indexes(path) == [0, 1, 2]
    assert [each.name for each in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize("name", ["a.warc.gz", "a.har"])
@pytest.mark.parametrize("nth", [1, 2])
def test_nothing_is_stored_behind_what_is_torn(
    name: str, nth: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / name
    sink = opened(path)
    sink.begin()
    sink.take(capture(0))
    left, write = [nth], PartFile.write

    def torn(self: PartFile, data: bytes) -> None:
        left[0] -= 1
        write(self, data if left[0] else data[: len(data) // 2])
        if not left[0]:
            raise OSError(28, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(PartFile, "write", torn)
        with pytest.raises(OSError, match="no space"):  # noqa: PT012
            sink.take(capture(1))
            sink.take(capture(2))
    with pytest.raises(OSError, match="no space"):
        sink.take(capture(3))
    sink.close(ending(complete=False))
    done = 2 if name.endswith("har") and nth == 2 else 1
    if name.endswith("har"):
        assert_har(json.loads((tmp_path / "a.har.part").read_bytes()))
    else:
        assert_checks(tmp_path / "a.warc.gz.part")
    sink = opened(path, keep=True)
    sink.go_on()
    sink.take(capture(9))
    sink.close(ending())
    assert indexes(path) == [*range(done), 9]


def test_an_archive_of_another_tool_is_added_to_and_nothing_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.warc.gz"
    head = "WARC/1.0\r\nWARC-Type: {}\r\nWARC-Record-ID: <urn:x:1>\r\nWARC-Date: 2026-01-01T00:00:00Z\r\n"
    head += "WARC-Target-URI: http://other/\r\nContent-Type: application/http\r\nContent-Length: {}\r\n\r\n"
    for kind, block in (("request", "GET / HTTP/1.1\r\n\r\n"), ("response", "HTTP/1.1 200 OK\r\n\r\n")):
        with path.open("ab") as file:
            file.write(gzip.compress((head.format(kind, len(block)) + block + "\r\n\r\n").encode()))
    sink = opened(path, keep=True)
    sink.go_on()
    sink.take(capture(0))
    sink.close(ending())
    assert_checks(path)
    with path.open("rb") as file:
        kinds = [record.rec_type for record in ArchiveIterator(file)]
    assert kinds == ["request", "response", "response", "request"]


@pytest.mark.parametrize("name", ["a.warc.gz", "a.har"])
def test_an_interrupted_archive_is_valid(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    for takes in (0, 1):
        sink = opened(path, keep=True)
        sink.go_on()
        for index in range(takes):
            sink.take(capture(index))
        sink.close(ending(complete=False))
        part = tmp_path / (name + ".part")
        assert not path.exists()
        if name.endswith("har"):
            assert_har(json.loads(part.read_bytes()))
        else:
            assert_checks(part)


def test_two_archives_of_one_run_both_have_the_body(tmp_path: Path) -> None:
    archives, sinks = Archives(), []
    for name in ("a.warc.gz", "b.warc.gz"):
        sinks.append(opened(tmp_path / name))
        archives.add(PartFile(str(tmp_path / f"part of {name}")), sinks[-1])
    archives.take(capture(0, b"the body"))
    for sink in sinks:
        sink.close(ending())
    for name in ("a.warc.gz", "b.warc.gz"):
        assert members(tmp_path / name)[1][1].endswith(b"\r\n\r\nthe body")


async def test_a_killed_run_that_goes_on_has_every_row_in_its_archive(tmp_path: Path) -> None:
    count = 60
    async with site(lambda path: HEAD + b"Content-Length: 4\r\n\r\n" + path.encode()[-4:].rjust(4), []) as port:
        (tmp_path / "urls").write_text("".join(f"http://127.0.0.1:{port}/{n}\n" for n in range(count)))
        run = ["urls", "-c", "2", "--rate", "100", "-o", "a.warc.gz", "-o", "a.har", "-o", "a.csv", "-q"]
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fetchall", *run, cwd=tmp_path, env={"PYTHONPATH": ROOT, "PATH": ""}
        )
        part = tmp_path / "a.har.part"
        for _ in range(1000):
            await asyncio.sleep(0.01)
            if part.exists() and part.stat().st_size > 5000:
                break
        process.kill()
        await process.wait()
        assert not (tmp_path / "a.warc.gz").exists()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fetchall", *run, "--resume", cwd=tmp_path, env={"PYTHONPATH": ROOT, "PATH": ""}
        )
        assert await process.wait() == 0
    assert_checks(tmp_path / "a.warc.gz")
    for name in ("a.warc.gz", "a.har"):
        found = indexes(tmp_path / name)
        assert set(found) == set(range(count))
        assert len(found) <= count + 4
    assert len((tmp_path / "a.csv").read_text().splitlines()) == count + 1


def test_a_missing_extra_is_one_line_that_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("fetchall.sinks.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'fetchall\[warc\]'"):
        check_installed("warc")


@pytest.mark.parametrize(
    ("data", "masked"),
    [
        (b"GET / HTTP/1.1\r\nCookie: a\r\n\r\n", b"GET / HTTP/1.1\r\nCookie: ***\r\n\r\n"),
        (b"GET / HTTP/1.1\r\ncOOKIE :a\r\nB: c\r\n\r\n", b"GET / HTTP/1.1\r\ncOOKIE : ***\r\nB: c\r\n\r\n"),
        (b"GET / HTTP/1.1\nCookie: a\n b\n\tc\nB: c\n\nCookie: x", b"GET / HTTP/1.1\nCookie: ***\nB: c\n\nCookie: x"),
        (b"GET / HTTP/1.1\r\nCookie: a\r\n b\r\n\r\n", b"GET / HTTP/1.1\r\nCookie: ***\r\n\r\n"),
        (b"Cookie: no head yet", b"Cookie: no head yet"),
    ],
)
def test_a_masked_head_is_a_head_still(data: bytes, masked: bytes) -> None:
    record = Record(SECRET)
    record.sent(data)
    assert record.request == masked


NUMBER, TEXT = (int, float), str
PAIR = {"name": TEXT, "value": TEXT}
HAR: dict[str, Any] = {
    "log": {
        "version": TEXT,
        "creator": PAIR | {"version": TEXT, "name": TEXT},
        "entries": [
            {
                "startedDateTime": TEXT,
                "time": NUMBER,
                "request": {
                    "method": TEXT,
                    "url": TEXT,
                    "httpVersion": TEXT,
                    "cookies": [PAIR],
                    "headers": [PAIR],
                    "queryString": [PAIR],
                    "headersSize": int,
                    "bodySize": int,
                },
                "response": {
                    "status": int,
                    "statusText": TEXT,
                    "httpVersion": TEXT,
                    "cookies": [PAIR],
                    "headers": [PAIR],
                    "content": {"size": int, "mimeType": TEXT},
                    "redirectURL": TEXT,
                    "headersSize": int,
                    "bodySize": int,
                },
                "cache": {},
                "timings": {"send": NUMBER, "wait": NUMBER, "receive": NUMBER},
            }
        ],
    }
}
"""What HAR 1.2 requires, by section 3's tables."""
HAR["log"]["creator"] = {"name": TEXT, "version": TEXT}
POSTED = {"mimeType": TEXT, "text": TEXT}


def violations(value: Any, shape: Any, where: str = "har") -> Iterator[str]:
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            yield f"{where} is no object"
            return
        for key, inner in shape.items():
            if key not in value:
                yield f"{where}.{key} is missing"
            else:
                yield from violations(value[key], inner, f"{where}.{key}")
    elif isinstance(shape, list):
        for place, item in enumerate(value):
            yield from violations(item, shape[0], f"{where}[{place}]")
    elif not isinstance(value, shape) or isinstance(value, bool):
        yield f"{where} is {value!r}"


def assert_har(document: Any) -> None:
    assert list(violations(document, HAR)) == []
    assert document["log"]["version"] == "1.2"
    for entry in document["log"]["entries"]:
        content = entry["response"]["content"]
        assert content.keys() <= {"size", "mimeType", "text", "encoding"}
        assert content.keys() >= {"text"} or "encoding" not in content
        assert isinstance(content.get("text", ""), str)
        if "encoding" in content:
            assert content["encoding"] == "base64"
            assert len(b64decode(content["text"], validate=True)) == content["size"]
        assert list(violations(entry["request"].get("postData", {"mimeType": "", "text": ""}), POSTED)) == []
        datetime.fromisoformat(entry["startedDateTime"])
        for name in ("send", "wait", "receive"):
            assert entry["timings"][name] >= 0
        known = sum(value for value in entry["timings"].values() if value > 0)
        assert known == pytest.approx(entry["time"], rel=0.01, abs=0.5)


async def test_a_har_fits_its_schema_and_has_every_hop(tmp_path: Path) -> None:
    path = tmp_path / "a.har"
    script = {**WIRE, "/hop": b"HTTP/1.1 301 Moved\r\nLocation: /plain?x=1&y=\r\n\r\n", "/nothing": b""}
    script["/plain?x=1&y="] = WIRE["/plain"]
    await archived(path, script.__getitem__, ["/hop", "/nothing", *WIRE], timings=True)
    document = json.loads(path.read_bytes())
    assert_har(document)
    entries = document["log"]["entries"]
    assert len(entries) == len(WIRE) + 3
    by_path = {"/" + entry["request"]["url"].split("/", 3)[3]: entry for entry in entries}
    assert by_path["/hop"]["response"]["redirectURL"] == "/plain?x=1&y="
    assert by_path["/plain?x=1&y="]["request"]["queryString"] == [
        {"name": "x", "value": "1"},
        {"name": "y", "value": ""},
    ]
    assert by_path["/odd"]["response"]["statusText"] == "Fine  by me"
    assert by_path["/gzip"]["response"]["content"]["size"] == 500
    assert by_path["/gzip"]["response"]["bodySize"] < 500
    assert by_path["/nothing"]["response"]["status"] == 0
    assert "disconnected" in by_path["/nothing"]["_error"]
    assert by_path["/plain"]["request"]["headersSize"] == len(requests_text(by_path["/plain"]))


def requests_text(entry: dict[str, Any]) -> str:
    lines = [f"{each['name']}: {each['value']}\r\n" for each in entry["request"]["headers"]]
    path = "/" + entry["request"]["url"].split("/", 3)[3]
    return f"GET {path} HTTP/1.1\r\n" + "".join(lines) + "\r\n"


FORM = [{"name": "a", "value": "1"}, {"name": "b", "value": " "}, {"name": "c", "value": ""}]
BODIES = {
    "/text": (HEAD + b"\r\nplain \xc3\xa9", "plain é"),
    "/latin": (b"HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=latin-1\r\n\r\n<p>\xe9", "<p>é"),
    "/json": (b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{"a": [1]}', '{"a": [1]}'),
    "/gzip": (WIRE["/gzip"], "hello" * 100),
    "/chunked": (WIRE["/chunked"], "abc"),
    "/none": (WIRE["/none"], ""),
    "/binary": (b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n\r\n\x89PNG\0abc", b"\x89PNG\0abc"),
    "/lie": (HEAD + b"\r\n\xff\xfe\xfd", b"\xff\xfe\xfd"),
    "/cut": (HEAD + b"Content-Length: 10\r\n\r\nabc", None),
    "/hop": (b"HTTP/1.1 302 Found\r\nLocation: /text\r\nContent-Length: 4\r\n\r\nmove", None),
    "/nothing": (b"", None),
}


@pytest.mark.parametrize("asked_for", [True, False])
async def test_a_har_has_the_bodies_where_they_are_asked_for(tmp_path: Path, asked_for: bool) -> None:
    await archived(tmp_path / "a.har", lambda path: BODIES[path][0], list(BODIES), body=asked_for)
    document = json.loads((tmp_path / "a.har").read_bytes())
    assert_har(document)
    found: dict[str, Any] = {}
    for entry in document["log"]["entries"]:
        content = entry["response"]["content"]
        text = content.get("text")
        found["/" + entry["request"]["url"].split("/", 3)[3]] = b64decode(text) if "encoding" in content else text
    assert found == {path: body if asked_for else None for path, (_, body) in BODIES.items()}


async def test_bodies_of_a_har_are_not_all_held_in_memory(tmp_path: Path) -> None:
    answer = HEAD + b"\r\n" + b"x" * 1_000_000
    sink = opened(tmp_path / "a.har")
    async with site(lambda _: answer, []) as port:
        tracemalloc.start()
        urls = [f"http://127.0.0.1:{port}/{number}" for number in range(40)]
        async with stream(urls, Options(recorder=sink, body=True, concurrency=2)) as results:
            async for batch in results.batches():
                assert all(result.ok for result in batch)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    sink.close(ending())
    assert (tmp_path / "a.har").stat().st_size > 40e6
    assert peak < 20e6


@pytest.mark.parametrize(
    ("kind", "body", "posted"),
    [
        ("application/json", b'{"a": "\xc3\xa9"}', {"text": '{"a": "é"}'}),
        ("application/x-www-form-urlencoded; charset=UTF-8", b"a=1&b=%20&c", {"text": "a=1&b=%20&c", "params": FORM}),
        ("image/png", b"\x89PNG", {"text": "iVBORw==", "_encoding": "base64"}),
    ],
)
def test_what_was_sent_is_in_the_entry(tmp_path: Path, kind: str, body: bytes, posted: dict[str, Any]) -> None:
    sink = opened(tmp_path / "a.har")
    head = f"POST /0 HTTP/1.1\r\nHost: h\r\ncontent-type: {kind}\r\n\r\n".encode()
    sink.take(capture(method="POST", request=head + body))
    sink.close(ending())
    document = json.loads((tmp_path / "a.har").read_bytes())
    assert_har(document)
    (entry,) = document["log"]["entries"]
    assert entry["request"]["postData"] == {"mimeType": kind, **posted}
    assert entry["request"]["bodySize"] == len(body)


def test_phases_and_faults_of_a_capture_are_in_its_entry(tmp_path: Path) -> None:
    sink = opened(tmp_path / "a.har")
    timings = Timings(dns=0.1, connect=None, send=0.0, wait=0.2, receive=0.1)
    fault = Fault(ErrorType.TRUNCATED, "cut")
    sink.take(capture(0, answer=Answer(fault=fault, status=200, timings=timings), request=b""))
    sink.close(ending())
    document = json.loads((tmp_path / "a.har").read_bytes())
    assert_har(document)
    entry = document["log"]["entries"][0]
    assert entry["timings"] == pytest.approx(
        {"dns": 100, "connect": -1, "send": 0, "wait": 200, "receive": 100, "blocked": 100}
    )
    assert entry["_error"] == "truncated: cut"


def test_a_digest_is_of_what_the_record_holds(tmp_path: Path) -> None:
    sink = opened(tmp_path / "a.warc.gz")
    body = b"z" * 3_000_000
    sink.take(capture(0, body, response=(HEAD + b"\r\n", len(body), [body[:1], body[1:]])))
    sink.close(ending())
    fields, block = members(tmp_path / "a.warc.gz")[1]
    assert fields["WARC-Payload-Digest"] == "sha1:" + b32encode(hashlib.sha1(body).digest()).decode()
    assert block.endswith(body)
    assert_checks(tmp_path / "a.warc.gz")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_archives_are_synced_before_their_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from fetchall.options import Reporting
    from fetchall.outputs import Outputs
    from fetchall.person import Person

    names = [str(tmp_path / name) for name in ("a.jsonl", "a.warc.gz", "a.har")]
    reporting = Reporting(output=tuple(names), quiet=True)
    outputs = Outputs(reporting, Options(), Person(reporting), lambda: None, PLAIN)
    assert outputs.journal is not None
    outputs.begin(None, Options())
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    outputs.journal.sync()
    assert synced == [f"{names[1]}.part", f"{names[2]}.part", f"{names[0]}.part"]
    outputs.withdraw()
