"""Every form of a list, in every packing, from everywhere: the same rows in, the same requests out."""

from __future__ import annotations

import os
import random
import sys
import threading
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchall.errors import MissingExtra, SourceError
from fetchall.records import ErrorType, Request
from fetchall.source import Reading, check_sources, content, count, packed, read_sources
from tests.lists import ENDINGS, FORMS, PACKINGS, messages, piped, read, read_up_to_error, written
from tests.lists import packed as pack

ROWS = [
    {"id": "1", "url": "http://127.0.0.1/a", "note": "plain"},
    {"id": "2", "url": "http://127.0.0.1/ü?q=%2F", "note": 'quotes ", tabs\t, commas'},
    {"id": "", "url": "http://127.0.0.1/c", "note": "two\nlines\r\nand [brackets], {braces} and \\ "},
    *({"id": str(number), "url": f"http://127.0.0.1/{number}", "note": "x" * number} for number in range(20)),
]
WITH_COLUMNS = [form for form in FORMS if form != "text"]


def expected(form: str, rows: list[dict[str, str]]) -> list[Request]:
    columns = [{key: value for key, value in row.items() if key != "url"} or None for row in rows]
    return [
        Request(row["url"], index, input=None if form == "text" else columns[index]) for index, row in enumerate(rows)
    ]


def named(folder: Path, form: str, packing: str = "") -> Path:
    return folder / f"list.{ENDINGS.get(form, form)}{packing}"


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", FORMS)
class TestEveryFormAndPacking:
    def test_gives_the_same_requests_from_a_file(self, form: str, packing: str, tmp_path: Path) -> None:
        path = named(tmp_path, form, packing)
        path.write_bytes(pack(written(form, ROWS), packing))
        assert read(str(path)) == expected(form, ROWS)

    def test_gives_the_same_requests_from_stdin(self, form: str, packing: str) -> None:
        with piped(pack(written(form, ROWS), packing)) as stdin:
            assert read("-", stdin=stdin, form=form) == expected(form, ROWS)

    def test_gives_the_same_requests_from_a_remote_file(self, form: str, packing: str) -> None:
        name = f"memory://{form}/{named(Path(), form, packing)}"
        with fsspec.open(name, "wb") as file:
            file.write(pack(written(form, ROWS), packing))
        check_sources([name])
        assert read(name) == expected(form, ROWS)

    def test_gives_the_same_requests_under_any_name_where_the_form_is_said(
        self, form: str, packing: str, tmp_path: Path
    ) -> None:
        path = tmp_path / "list"
        path.write_bytes(pack(written(form, ROWS), packing))
        assert read(str(path), form=form) == expected(form, ROWS)

    def test_is_numbered_on_from_the_source_before(self, form: str, packing: str, tmp_path: Path) -> None:
        path = named(tmp_path, form, packing)
        path.write_bytes(pack(written(form, ROWS), packing))
        requests = read("http://127.0.0.1/first", str(path), str(path), "http://127.0.0.1/last")
        assert [request.index for request in requests] == list(range(2 * len(ROWS) + 2))

    def test_of_nothing_has_no_rows(self, form: str, packing: str, tmp_path: Path) -> None:
        path = named(tmp_path, form, packing)
        path.write_bytes(pack(written(form, []), packing))
        assert read(str(path)) == []

    def test_is_counted_rightly_or_not_at_all(self, form: str, packing: str, tmp_path: Path) -> None:
        path = named(tmp_path, form, packing)
        path.write_bytes(pack(written(form, ROWS), packing))
        assert count([str(path)]) in (None, len(ROWS))
        assert count([str(path)], Reading(glob=True)) is None

    def test_unrolls_urls_where_asked_to(self, form: str, packing: str, tmp_path: Path) -> None:
        path = named(tmp_path, form, packing)
        path.write_bytes(pack(written(form, [{"url": "http://h/[1-2]"}, {"url": "http://h/{a,b}"}]), packing))
        assert [(r.index, r.url[9:]) for r in read(str(path), glob=True)] == [(0, "1"), (1, "2"), (2, "a"), (3, "b")]
        assert [r.url for r in read(str(path))] == ["http://h/[1-2]", "http://h/{a,b}"]


TEXTS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=12)
TOKENS = st.text("abcdefgh0123456789%/", min_size=1, max_size=12)


@given(st.lists(st.tuples(TOKENS, TEXTS, TEXTS), min_size=1, max_size=12), st.sampled_from(WITH_COLUMNS), st.data())
@settings(max_examples=200, deadline=None)
def test_whatever_the_cells_hold_comes_through(
    rows: list[tuple[str, str, str]], form: str, data: st.DataObject
) -> None:
    table = [{"url": f"http://127.0.0.1/{path}", "a": a, "b\n": b} for path, a, b in rows]
    if form in ("csv", "tsv"):
        table = [{key.strip(): value for key, value in row.items()} for row in table]
    packing = data.draw(st.sampled_from(PACKINGS))
    with fsspec.open(f"memory://any.{form}{packing}", "wb") as file:
        file.write(pack(written(form, table), packing))
    assert read(f"memory://any.{form}{packing}") == expected(form, table)


@given(st.binary(max_size=300), st.sampled_from(FORMS), st.sampled_from(PACKINGS))
@settings(max_examples=300, deadline=None)
def test_whatever_bytes_a_list_holds_it_is_rows_or_one_sentence(data: bytes, form: str, packing: str) -> None:
    with fsspec.open(f"memory://bytes{packing}", "wb") as file:
        file.write(pack(data, packing))
    requests, error = read_up_to_error(f"memory://bytes{packing}", form=form)
    assert error is None or (error.isprintable() and len(error) < 1_000)
    assert [request.index for request in requests] == list(range(len(requests)))


@pytest.mark.parametrize("form", [form for form in FORMS if form != "parquet"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_in_whatever_pieces_it_comes_it_is_the_same(form: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "_BLOCK", size)
    with fsspec.open("memory://pieces", "wb") as file:
        file.write(b"\xef\xbb\xbf" + written(form, ROWS).replace(b"\r\n", b"\n"))
    rows = [{key: value.replace("\r\n", "\n") for key, value in row.items()} for row in ROWS]
    found = read("memory://pieces", form=form)
    if form in ("jsonl", "json"):
        assert [request.url for request in found] == [row["url"] for row in ROWS]
    else:
        assert found == expected(form, rows)


@pytest.mark.parametrize("form", [form for form in FORMS if form != "parquet"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
def test_utf_16_is_refused_in_every_form(form: str, encoding: str, tmp_path: Path) -> None:
    path = named(tmp_path, form)
    path.write_bytes(written(form, [{"url": "http://127.0.0.1/"}]).decode().encode(encoding))
    with pytest.raises(SourceError, match="looks like UTF-16: convert it"):
        read(str(path))


class Trickle:
    """A pipe into which a test writes while a list is read from it."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()

    def __enter__(self) -> Trickle:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.reader)

    def batches(self, form: str) -> Iterator[list[Request]]:
        return read_sources(["-"], self.reader, Reading(form))


# What the next read would wait for is never written: a reader that asks for more than it needs hangs, and times out.
FIRST = {
    "text": b"http://h/1\n",
    "csv": b"id,url\n1,http://h/1\n",
    "tsv": b"id\turl\n1\thttp://h/1\n",
    "jsonl": b'{"url": "http://h/1"}\n',
    "json": b'[{"url": "http://h/1"},',
}
SECOND = {
    "text": b"http://h/2\n",
    "csv": b'"2","http://h/2"\n',
    "tsv": b"2\thttp://h/2\n",
    "jsonl": b'"http://h/2"\n',
    "json": b'\n"http://h/2"]',
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", list(FIRST))
def test_the_first_row_is_given_before_the_second_comes(form: str, packing: str) -> None:
    with Trickle() as pipe:
        batches = pipe.batches(form)
        for number, data in enumerate((FIRST[form], SECOND[form]), 1):
            os.write(pipe.writer, pack(data, packing))
            assert [request.url for request in next(batches)] == [f"http://h/{number}"]
        os.close(pipe.writer)
        assert list(batches) == []


@pytest.mark.timeout(20)
def test_a_row_is_given_although_the_next_waits_for_the_end_of_its_quote() -> None:
    with Trickle() as pipe:
        batches = pipe.batches("csv")
        os.write(pipe.writer, b'url,note\nhttp://h/1,a\nhttp://h/2,"open\nstill\n')
        assert [request.url for request in next(batches)] == ["http://h/1"]
        os.write(pipe.writer, b'closed"\nhttp://h/3,"o')
        assert [request.input for request in next(batches)] == [{"note": "open\nstill\nclosed"}]
        os.write(pipe.writer, b'"\n')
        os.close(pipe.writer)
        assert [request.input for batch in batches for request in batch] == [{"note": "o"}]


@pytest.mark.timeout(20)
@pytest.mark.parametrize("packing", PACKINGS)
def test_a_stream_of_rows_without_end_is_read_in_a_memory_that_stays(packing: str) -> None:
    """A writer that never stops: the reader may not wait for an end, nor keep what it gave."""
    block = pack(b"".join(b"%d,http://h/%d,%s\n" % (number, number, b"x" * 100) for number in range(2_000)), packing)
    with Trickle() as pipe:
        stop = threading.Event()

        def write() -> None:
            with os.fdopen(pipe.writer, "wb", buffering=0) as file:
                file.write(pack(b"id,url,more\n", packing))
                while not stop.is_set():
                    try:
                        file.write(block)
                    except BrokenPipeError:
                        return

        thread = threading.Thread(target=write)
        thread.start()
        batches = pipe.batches("csv")
        tracemalloc.start()
        try:
            rows = 0
            while rows < 20_000:
                rows += len(next(batches))
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
            stop.set()
            batches.close()  # type: ignore[attr-defined]
            os.close(pipe.reader)
            thread.join()
            pipe.reader = os.open(os.devnull, os.O_RDONLY)
    assert peak < 8 * 1024**2


def peak_of(path: Path) -> tuple[int, int]:
    """Rows, and the most bytes that Python held while they were read."""
    rows = 0
    next(read_sources([str(path)]))  # what is imported on the way is not what a list costs
    tracemalloc.start()
    try:
        for batch in read_sources([str(path)]):
            rows += len(batch)
        return rows, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("packing", PACKINGS)
@pytest.mark.parametrize("form", WITH_COLUMNS)
def test_memory_does_not_follow_the_list(form: str, packing: str, tmp_path: Path) -> None:
    path = named(tmp_path, form, packing)
    rows = [{"url": f"http://127.0.0.1/{number}", "more": "x" * 200} for number in range(10_000)]
    path.write_bytes(pack(written(form, rows), packing))
    found, peak = peak_of(path)
    assert found == len(rows)
    assert peak < 2 * 1024**2


@pytest.mark.parametrize("packing", [".gz", ".zst"])
@pytest.mark.parametrize("form", [form for form in FORMS if form != "parquet"])
def test_a_bomb_of_one_line_goes_through_a_bounded_memory(form: str, packing: str, tmp_path: Path) -> None:
    path = named(tmp_path, form, packing)
    inside = {"json": b"[" + b"1" * 2**25, "csv": b'url\n"' + b"a" * 2**25, "tsv": b'url\n"' + b"a" * 2**25}
    path.write_bytes(pack(inside.get(form, b"a" * 2**25), packing))
    tracemalloc.start()
    try:
        with pytest.raises(SourceError) if form == "json" else _nothing():
            found = read(str(path))
            assert [request.fault.type for request in found if request.fault] == [ErrorType.BAD_LINE]
        assert tracemalloc.get_traced_memory()[1] < 8 * 1024**2
    finally:
        tracemalloc.stop()


class _nothing:
    def __enter__(self) -> None: ...

    def __exit__(self, *_: object) -> None: ...


@pytest.mark.parametrize("packing", [".gz", ".zst"])
class TestPacking:
    # What can't be packed well comes out early, not all at the end.
    data = b"".join(b"http://h/%x\n" % random.Random(number).getrandbits(500) for number in range(4_000))

    def test_cut_off_is_an_error_after_the_rows_that_came(self, packing: str, tmp_path: Path) -> None:
        path = tmp_path / f"list{packing}"
        whole = pack(self.data, packing)
        path.write_bytes(whole[: 2 * len(whole) // 3])
        requests, error = read_up_to_error(str(path))
        assert error is not None
        assert "is cut off" in error
        assert 2_000 <= len(requests) < 4_000
        assert messages(requests) == [None] * len(requests)

    def test_broken_in_the_middle_is_an_error_after_the_rows_that_came(self, packing: str, tmp_path: Path) -> None:
        path = tmp_path / f"list{packing}"
        whole = bytearray(pack(self.data, packing))
        second = whole.rindex(whole[:4])
        whole[second + 4 : second + 36] = b"\xff" * 32
        path.write_bytes(whole)
        requests, error = read_up_to_error(str(path))
        assert error is not None
        assert "is broken" in error
        assert len(requests) > 1_000

    @pytest.mark.parametrize("left", [1, 3, 5])
    def test_cut_off_in_its_first_bytes_is_an_error_and_no_row(self, packing: str, left: int, tmp_path: Path) -> None:
        path = tmp_path / f"list{packing}"
        path.write_bytes(pack(b"http://h/\n", packing)[:left])
        with pytest.raises(SourceError, match=r"is cut off|is not"):
            read(str(path))

    def test_by_its_name_alone_is_an_error(self, packing: str, tmp_path: Path) -> None:
        path = tmp_path / f"list{packing}"
        path.write_bytes(b"http://h/\n")
        with pytest.raises(SourceError, match=r"is not (gzip|zstd), though its name says so"):
            read(str(path))

    def test_with_something_after_its_end_is_an_error_after_the_rows(self, packing: str, tmp_path: Path) -> None:
        path = tmp_path / f"list{packing}"
        path.write_bytes(pack(b"http://h/1\nhttp://h/2\n", packing) + b"http://h/3\n")
        requests, error = read_up_to_error(str(path))
        assert error is not None
        assert "goes on after the end" in error
        assert [request.url for request in requests] == ["http://h/1", "http://h/2"]

    def test_is_seen_without_being_said(self, packing: str, tmp_path: Path) -> None:
        path = tmp_path / "list"
        path.write_bytes(pack(b"http://h/1\n", packing))
        assert [request.url for request in read(str(path))] == ["http://h/1"]
        assert count([str(path)]) is None


def test_zeros_after_a_gzip_stream_are_padding(tmp_path: Path) -> None:
    path = tmp_path / "list.gz"
    path.write_bytes(pack(b"http://h/1\n", ".gz") + b"\0" * 1000)
    assert [request.url for request in read(str(path))] == ["http://h/1"]


def test_zstd_without_its_extra_says_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "list.zst"
    path.write_bytes(pack(b"http://h/1\n", ".zst"))
    monkeypatch.setattr(packed, "zstd", None)
    with pytest.raises(MissingExtra, match=r"pip install 'fetchall\[fast\]'"):
        check_sources([str(path)])
    with pytest.raises(MissingExtra):
        read(str(path))


def test_remote_lists_and_parquet_without_their_extras_say_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "list.parquet"
    path.write_bytes(written("parquet", ROWS))
    for module in ("fsspec", "pyarrow"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtra, match=r"pip install 'fetchall\[remote\]'"):
        check_sources(["s3://bucket/list.csv"])
    monkeypatch.setattr("fetchall.source.parquet.find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'fetchall\[parquet\]'"):
        check_sources([str(path)])


def test_a_remote_list_that_is_not_there_is_one_sentence_without_its_password() -> None:
    with pytest.raises(SourceError, match=r"^memory://user:\*\*\*@gone\.csv: "):
        read("memory://user:secret@gone.csv")
    with pytest.raises(SourceError, match="nosuchscheme"):
        check_sources(["nosuchscheme://x/list.csv"])


def test_http_arguments_are_urls_to_fetch_and_not_lists() -> None:
    assert read("http://127.0.0.1/list.csv", "HTTPS://h/x.parquet") == [
        Request("http://127.0.0.1/list.csv", 0),
        Request("HTTPS://h/x.parquet", 1),
    ]
