"""The index beside a WARC: each line leads to its answer, in the order in which replay tools look it up."""

from __future__ import annotations

import json
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from warcio.archiveiterator import ArchiveIterator

from fetchall import Options, fetch_all
from fetchall.errors import SinkError
from fetchall.records import Fault
from fetchall.sinks import make, sorting
from fetchall.sinks.archive import Archive
from fetchall.sinks.cdxj import Index
from fetchall.sinks.outlet import PartFile
from fetchall.sinks.sorting import Sorter
from fetchall.surt import surt
from fetchall.urls import parse
from tests.resuming import Site, contents, fetchall
from tests.test_archives import HEAD, WIRE, capture, ending, site

KEYS = ["url", "mime", "status", "digest", "length", "offset", "filename"]


def opened(path: Path, *, most: int = 0, cdx: bool = True) -> Archive:
    sink = make("warc", PartFile(str(path), keep=True), max_size=most, cdx=cdx)
    assert isinstance(sink, Archive)
    return sink


def entries(path: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Key, time and fields of every line, which stand in the order of their bytes."""
    lines = path.read_bytes().splitlines(keepends=True)
    assert lines == sorted(lines)
    found = []
    for line in lines:
        assert line.endswith(b"\n")
        key, timestamp, fields = line.decode("ascii").split(" ", 2)
        found.append((key, timestamp, json.loads(fields)))
    return found


def lead_to_every_answer(index: Path) -> list[tuple[str, str, dict[str, str]]]:
    """Seek each place and read what is there; then see that no answer of the files is left out."""
    found, places = entries(index), set()
    for key, timestamp, fields in found:
        assert list(fields) == [name for name in KEYS if name in fields]
        offset, length = int(fields["offset"]), int(fields["length"])
        with open(index.parent / fields["filename"], "rb") as file:
            file.seek(offset)
            records = ArchiveIterator(file, check_digests="raise")
            record = next(records)
            assert record.rec_type == "response"
            assert record.rec_headers["WARC-Target-URI"] == fields["url"]
            assert record.rec_headers["WARC-Payload-Digest"] == fields["digest"]
            assert "".join(filter(str.isdigit, record.rec_headers["WARC-Date"])).startswith(timestamp)
            assert record.http_headers.get_statuscode() == fields["status"]
            mime = record.http_headers.get_header("Content-Type")
            assert fields.get("mime") == (mime.split(";")[0].split()[0] if mime else None)
            record.content_stream().read()
            records.read_to_end()
            assert records.get_record_length() == length
        assert key == surt(fields["url"])
        assert len(timestamp) == 14
        places.add((fields["filename"], offset))
    answers = set()
    for path in {index.parent / fields["filename"] for _, _, fields in found}:
        with open(path, "rb") as file:
            reader = ArchiveIterator(file)
            answers |= {(path.name, reader.get_record_offset()) for record in reader if record.rec_type == "response"}
    assert places == answers
    assert len(found) == len(answers)
    return found


@pytest.mark.parametrize("most", [0, 10_000])
async def test_each_line_leads_to_its_answer(tmp_path: Path, most: int) -> None:
    sink = opened(tmp_path / "a.warc.gz", most=most)
    sink.begin()
    script = {
        **WIRE,
        "/hop": b"HTTP/1.1 301 Moved\r\nLocation: /plain?Z=1&a=2\r\nContent-Length: 0\r\n\r\n",
        "/plain?Z=1&a=2": b"HTTP/1.1 404 Gone\r\ncontent-TYPE:text/HTML;charset=x\r\n\r\nContent-Type: no/header\r\n",
        "/bare": b"HTTP/1.1 200 OK\r\n\r\nContent-Type: no/header\r\n\r\n",
        "/cut": HEAD + b"Content-Length: 10\r\n\r\nabc",
    }
    async with site(script.__getitem__, []) as port:
        urls = [f"http://127.0.0.1:{port}{path}" for path in ["/hop", "/bare", "/cut", *WIRE, "/plain"]]
        rows = await fetch_all(urls, Options(recorder=sink, retries=0))
    sink.close(ending())
    assert all(row.status for row in rows)
    found = lead_to_every_answer(tmp_path / "a.cdxj")
    assert len(found) == len(urls) + 1
    assert {(fields["status"], fields.get("mime")) for _, _, fields in found} >= {
        ("404", "text/HTML"), ("200", None), ("301", None), ("204", None), ("200", "text/plain"),
    }  # fmt: skip
    assert any(key == f"1,0,0,127:{port})/plain?a=2&z=1" for key, _, _ in found)
    assert set(contents(tmp_path)) == {"a.cdxj", *(fields["filename"] for _, _, fields in found)}


@pytest.mark.parametrize("most", [0, 6_000])
def test_the_index_of_a_run_that_went_on_is_whole(tmp_path: Path, most: int) -> None:
    path = tmp_path / "a.warc.gz"
    for first, complete in ((0, False), (10, True), (20, False), (30, True)):
        sink = opened(path, most=most)
        sink.go_on()
        for index in range(first, first + 10):
            sink.take(capture(index, os.urandom(500)))
        sink.close(ending(complete=complete))
        if complete:
            assert len(lead_to_every_answer(tmp_path / "a.cdxj")) == first + 10


@pytest.mark.parametrize("most", [0, 6_000])
def test_what_was_archived_without_an_index_can_get_one(tmp_path: Path, most: int) -> None:
    sink = opened(tmp_path / "a.warc.gz", most=most, cdx=False)
    sink.begin()
    for index in range(20):
        sink.take(capture(index, os.urandom(500)))
    sink.close(ending())
    assert not (tmp_path / "a.cdxj").exists()
    sink = opened(tmp_path / "a.warc.gz", most=most)
    sink.go_on()
    sink.close(ending())
    assert len(lead_to_every_answer(tmp_path / "a.cdxj")) == 20


def test_an_index_is_there_only_when_its_archive_is(tmp_path: Path) -> None:
    (tmp_path / "a.cdxj").write_text("of an earlier run\n")
    sink = opened(tmp_path / "a.warc.gz")
    sink.begin()
    sink.take(capture())
    sink.close(ending(complete=False))
    assert (tmp_path / "a.cdxj").read_text() == "of an earlier run\n"
    assert set(contents(tmp_path)) == {"a.warc.gz.part", "a.cdxj"}


@pytest.mark.parametrize("step", ["write", "finish"])
@pytest.mark.parametrize("most", [0, 6_000])
def test_an_archive_whose_index_fails_is_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int, step: str
) -> None:
    sink = opened(tmp_path / "a.warc.gz", most=most)
    sink.begin()
    sink.take(capture())

    def full(self: Index) -> None:
        raise OSError(28, "no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Index, step, full)
        with pytest.raises(OSError, match="no space"):
            sink.close(ending())
    assert bool(list(tmp_path.glob("*.gz"))) == (step == "finish")
    assert not (tmp_path / "a.cdxj").exists()
    sink = opened(tmp_path / "a.warc.gz", most=most)
    sink.go_on()
    sink.close(ending())
    assert len(lead_to_every_answer(tmp_path / "a.cdxj")) == 1


@pytest.fixture
def counting() -> Iterator[Site]:
    with Site() as opened:
        yield opened


@pytest.mark.parametrize("where", [("--summary", "a.cdxj"), ("-o", "b.json", "--summary", "a.cdxj")])
def test_an_index_and_another_output_are_not_one_file(
    counting: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    counting.write(tmp_path / "urls.txt", "/1")
    assert fetchall("urls.txt", "-o", "a.warc.gz", "--warc-cdx", "-q", *where) == 2
    assert set(contents(tmp_path)) == {"urls.txt"}


def test_a_folder_where_the_index_is_to_be_is_found_out_first(tmp_path: Path) -> None:
    (tmp_path / "a.cdxj").mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        opened(tmp_path / "a.warc.gz")


# The order


@given(st.lists(st.binary(max_size=8).filter(lambda line: b"\n" not in line), max_size=60), st.integers(1, 100))
def test_lines_come_in_order_whatever_fits_in_memory(lines: list[bytes], run: int) -> None:
    sorter = Sorter(run)
    for line in lines:
        sorter.add(line)
    assert list(sorter.lines()) == sorted(line + b"\n" for line in lines)
    sorter.close()


def test_memory_does_not_follow_the_number_of_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "_MERGE", 64 * 1024)
    monkeypatch.setattr(sorting, "_LEAST", 512)
    peaks = []
    for count in (4_000, 32_000):
        tracemalloc.start()
        sorter = Sorter(32 * 1024)
        for number in range(count):
            sorter.add(b"%05d%095d" % (number * 7919 % count, 0))
        lines = sorter.lines()
        assert all(line.startswith(b"%05d" % number) for number, line in enumerate(lines))
        sorter.close()
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0] < 400_000, peaks


# The key


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ("http://www.Example.com:80/B/?z=1&a=2#f", "com,example)/b?a=2&z=1"),
        ("https://www.example.com/b?a=2&z=1", "com,example)/b?a=2&z=1"),
        ("https://www12.example.com:443", "com,example)/"),
        ("http://example.com:443/", "com,example:443)/"),
        ("http://wwwx.example.com./", "com,example,wwwx)/"),
        ("http://me:word@example.com/", "com,example)/"),
        ("http://127.1:8080/x/", "1,0,0,127:8080)/x"),
        ("http://[::1]/", "::1)/"),
        ("http://[::1]:81/", "::1:81)/"),
        ("http://bücher.example/ü", "example,xn--bcher-kva)/%c3%bc"),
        ("http://h/a//b/./c/%252e%252e/d", "h)/a/b/d"),
        ("http://h/%2541%20%23?%2541=%26", "h)/a%20%23?&a="),
        ("http://h/?", "h)/"),
        ("http://h/?b&a&a=", "h)/?a&a=&b"),
        ("http://h/x;jsessionid=1?y", "h)/x;jsessionid=1?y"),
        ("http://h/?a=1&PHPSESSID=0123456789abcdef0123456789abcdef&b=2", "h)/?a=1&b=2"),
        ("http://h/?jsessionid=0123456789ABCDEF0123456789abcdef", "h)/"),
        ("http://h/?x&cfid=1&cftoken=2", "h)/?&x"),
        ("http://h/(S(0123456789abcdefghijklmn))/p.aspx?q", "h)/p.aspx?q"),
    ],
)
def test_the_key_is_that_of_the_wayback_machine(url: str, key: str) -> None:
    """Expected values: the package surt 0.3.1, which pywb uses."""
    target = parse(url)
    assert not isinstance(target, Fault)
    assert surt(target.href) == key


ODD = "a B % %25 %2e .. / // ? & = é %00 | ; # \\ 🜚".split()
PIECES = st.lists(st.sampled_from([*ODD, " "]), max_size=12).map("".join)


@given(st.sampled_from(["h.example", "WWW.h.example", "[::1]", "127.0.0.1", "bücher.example"]), PIECES)
def test_a_key_is_printable_and_the_same_for_addresses_of_one_page(host: str, rest: str) -> None:
    targets = [parse(f"{start}{host}{port}/{rest}") for start, port in (
        ("http://", ""), ("https://", ":443"), ("http://me:x@", ":80"),
    )]  # fmt: skip
    keys = {surt(target.href) for target in targets if not isinstance(target, Fault)}
    assert len(keys) <= 1
    for key in keys:
        assert key.isascii()
        assert key.isprintable()
        assert " " not in key
        assert key == key.lower()


@given(st.lists(st.from_regex(r"[a-z]{1,3}=[a-z]{0,2}", fullmatch=True), min_size=1, max_size=5), st.data())
def test_the_order_of_parameters_makes_no_difference(parameters: list[str], data: Any) -> None:
    shuffled = data.draw(st.permutations(parameters))
    assert surt("http://h/?" + "&".join(parameters)) == surt("http://h/?" + "&".join(shuffled))
