"""What a list of URLs may hold, and in what pieces it may come (FAULTS, section A)."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import tracemalloc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall.errors import InvalidOptions, SourceError
from fetchall.options import Reporting
from fetchall.preflight import check_outputs
from fetchall.records import ErrorType, Request
from fetchall.source import check_sources, count, read_sources
from fetchall.source.maker import MAX_URL as MAX_LINE

URL = "http://127.0.0.1/"
LONG = {"blanks": b" " * 40_000, "text": b"x" * 30_000, "URL": b"http://a/", "#": b"#", "LF": b"\n", "CR": b"\r"}
"""What long lines are made of."""


def read(content: bytes, path: Path) -> list[Request]:
    path.write_bytes(content)
    return [request for batch in read_sources([str(path)]) for request in batch]


def urls(content: bytes, path: Path) -> list[str]:
    return [request.url for request in read(content, path)]


@contextmanager
def pieces(blocks: Sequence[bytes]) -> Iterator[int]:
    """A descriptor of which each read gives one of the blocks."""
    reader, writer = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with reader, writer:
        sending = threading.Thread(target=_send, args=(writer, blocks))
        sending.start()
        try:
            yield reader.fileno()
        finally:
            reader.shutdown(socket.SHUT_RD)
            sending.join()


def _send(writer: socket.socket, blocks: Sequence[bytes]) -> None:
    # Who has refused a list reads no more of it.
    with contextlib.suppress(OSError):
        for block in blocks:
            writer.send(block)
        writer.shutdown(socket.SHUT_WR)


def outcome(blocks: Sequence[bytes]) -> list[Request] | str:
    with pieces([block for block in blocks if block]) as descriptor:
        try:
            return [request for batch in read_sources(["-"], descriptor) for request in batch]
        except SourceError as error:
            return str(error)


@pytest.mark.parametrize("content", [b"", b"\n\n", b"  \r\n\t\n", b"# a\n  # b", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
def test_a_list_of_nothing_has_no_rows(content: bytes, tmp_path: Path) -> None:
    assert read(content, tmp_path / "list") == []


def test_lines_are_stripped_and_comments_and_blanks_are_neither_rows_nor_counted(tmp_path: Path) -> None:
    content = b"# head\n \thttp://a/ \t\n\n  # indented\nhttp://b/#part\n"
    requests = read(content, tmp_path / "list")
    assert [(request.index, request.url) for request in requests] == [(0, "http://a/"), (1, "http://b/#part")]


@pytest.mark.parametrize(
    "content",
    [
        b"http://a/\r\nhttp://b/\r\n",
        b"http://a/\nhttp://b/",
        b"\xef\xbb\xbfhttp://a/\nhttp://b/\n",
        b"\xef\xbb\xbfhttp://a/\r\n\r\nhttp://b/",
    ],
)
def test_crlf_a_mark_and_a_missing_newline_change_nothing(content: bytes, tmp_path: Path) -> None:
    assert urls(content, tmp_path / "list") == ["http://a/", "http://b/"]


def test_a_mark_within_the_list_is_part_of_its_line(tmp_path: Path) -> None:
    assert urls(b"http://a/\n\xef\xbb\xbfhttp://b/\n", tmp_path / "list")[1] == "\ufeffhttp://b/"


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", ["http://127.0.0.1/\n", "# a\r\nhttp://127.0.0.1/"])
def test_utf_16_is_refused_and_says_how_to_convert_it(encoding: str, text: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="looks like UTF-16: convert it"):
        read(text.encode(encoding), tmp_path / "list")


@pytest.mark.parametrize(
    ("line", "shown", "reason"),
    [
        (b"http://\xff/", r"http://\xff/", "is not UTF-8 text"),
        (b"http://a\0b/", r"http://a\x00b/", "holds a NUL byte"),
        (b"http://a/\x1b[31m\xff", r"http://a/\x1b[31m\xff", "is not UTF-8 text"),
        (b"\xed\xa0\x80", r"\xed\xa0\x80", "is not UTF-8 text"),
    ],
)
def test_a_line_that_is_not_text_is_a_bad_line_with_its_number(
    line: bytes, shown: str, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "list"
    first, bad, last = read(b"# one\n\nhttp://a/\n" + line + b"\nhttp://z/\n", path)
    assert (first.url, last.url, last.index) == ("http://a/", "http://z/", 2)
    assert bad.url == shown
    assert bad.fault is not None
    assert (bad.fault.type, bad.fault.message) == (ErrorType.BAD_LINE, f"line 4 of {path} {reason}")


@pytest.mark.parametrize("blanks", [b"", b" \t", b"\r"])
def test_a_line_of_64_kib_is_a_url_and_one_byte_more_is_a_bad_line(blanks: bytes, tmp_path: Path) -> None:
    longest = URL.encode() + b"x" * (MAX_LINE - len(URL))
    fits, over, after = read(longest + blanks + b"\n" + longest + b"x\n" + URL.encode(), tmp_path / "list")
    assert (len(fits.url), fits.fault) == (MAX_LINE, None)
    assert over.url == longest[:200].decode()
    assert over.fault is not None
    assert over.fault.message.endswith("line 2 of {} is longer than 64 KiB".format(tmp_path / "list"))
    assert after.url == URL


def test_blanks_before_a_url_do_not_lose_it_however_many_they_are(tmp_path: Path) -> None:
    assert urls(b" " * (3 * MAX_LINE) + URL.encode() + b"\n" + URL.encode(), tmp_path / "list") == [URL, URL]


def test_a_long_comment_is_a_comment_to_its_end(tmp_path: Path) -> None:
    assert urls(b"#" + b" http://no/" * 30_000 + b"\n" + URL.encode(), tmp_path / "list") == [URL]


def test_a_file_without_a_newline_is_one_bad_line_in_bounded_memory(tmp_path: Path) -> None:
    path = tmp_path / "list"
    with path.open("wb") as file:
        file.truncate(64 * 1024**2)
        file.seek(0)
        file.write(b"x" * 1000)
    tracemalloc.start()
    try:
        (bad,) = [request for batch in read_sources([str(path)]) for request in batch]
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert bad.fault is not None
    assert bad.url == "x" * 200
    assert peak < 1024**2


def test_memory_does_not_follow_the_list(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"".join(b"http://127.0.0.1/%d\n" % number for number in range(200_000)))
    tracemalloc.start()
    try:
        found = sum(len(batch) for batch in read_sources([str(path)]))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert found == 200_000
    assert peak < 6 * 1024**2


def test_a_url_that_comes_again_is_a_request_again(tmp_path: Path) -> None:
    requests = read((URL + "\n").encode() * 10_000, tmp_path / "list")
    assert [request.index for request in requests] == list(range(10_000))
    assert {request.url for request in requests} == {URL}


@pytest.mark.skipif(sys.platform != "linux", reason="a socket that keeps each message apart")
@given(
    st.lists(
        st.sampled_from(
            [b"http://a/", b"#c", b"\n", b"\r\n", b"\r", b" ", b"\0", b"\xff", b"\xfe", b"\xef\xbb\xbf", b"\xc3\xa9"]
        )
        | st.binary(max_size=4),
        max_size=24,
    )
)
def test_the_same_bytes_give_the_same_requests_however_they_are_cut(blocks: list[bytes]) -> None:
    whole = b"".join(blocks)
    expected = outcome([whole])
    assert outcome(blocks) == expected
    assert outcome([whole[at : at + 1] for at in range(len(whole))]) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="a socket that keeps each message apart")
@given(
    st.lists(st.sampled_from(sorted(LONG)), max_size=8),
    st.integers(1, 50_000),
)
def test_long_lines_are_judged_alike_however_they_are_cut(parts: list[str], size: int) -> None:
    whole = b"".join(LONG[part] for part in parts)
    expected = outcome([whole[at : at + 60_000] for at in range(0, len(whole), 60_000)])
    size = max(size, len(whole) // 20)
    assert outcome([whole[at : at + size] for at in range(0, len(whole), size)]) == expected


@pytest.mark.skipif(sys.platform != "linux", reason="a socket that keeps each message apart")
@pytest.mark.parametrize("text", ["http://127.0.0.1/\n", "h\n", "\xefh"])
@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("first", [1, 2, 3])
def test_utf_16_is_refused_also_where_a_read_gives_few_bytes(text: str, encoding: str, first: int) -> None:
    content = text.encode(encoding)
    assert "looks like UTF-16" in outcome([content[:first], content[first:]])


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\n\0"), max_size=20), max_size=20))
def test_every_line_of_text_that_is_no_comment_and_not_blank_is_a_request(lines: list[str]) -> None:
    wanted = [line.encode().strip().decode() for line in lines]
    wanted = [line for line in wanted if line and not line.startswith("#")]
    content = "\n".join(["# no mark", *lines]).encode()
    reader, writer = os.pipe()
    with open(writer, "wb") as file:
        file.write(content)
    try:
        found = [request for batch in read_sources(["-"], reader) for request in batch]
    finally:
        os.close(reader)
    assert [request.url for request in found] == wanted
    assert [request.index for request in found] == list(range(len(wanted)))
    assert all(request.fault is None for request in found)


def test_a_pipes_first_line_is_a_request_before_its_second_arrives() -> None:
    reader, writer = os.pipe()
    batches = read_sources(["-"], stdin=reader)
    os.write(writer, b"http://a/\nhttp://b")
    assert [request.url for request in next(batches)] == ["http://a/"]
    os.write(writer, b"/\n")
    assert [request.url for request in next(batches)] == ["http://b/"]
    os.close(writer)
    assert list(batches) == []
    os.close(reader)


def test_an_endless_pipe_is_read_as_it_comes_and_ends_with_its_writer() -> None:
    reader, writer = os.pipe()

    def feed() -> None:
        with open(writer, "wb", buffering=0) as file:
            for number in range(5000):
                file.write(b"http://a/%d\n" % number)

    thread = threading.Thread(target=feed)
    thread.start()
    found = [request.index for batch in read_sources(["-"], stdin=reader) for request in batch]
    thread.join()
    os.close(reader)
    assert found == list(range(5000))


def test_several_sources_are_one_list(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"\xef\xbb\xbfhttp://a/\n")
    two.write_bytes(b"\xef\xbb\xbfhttp://c/")
    batches = read_sources([str(one), "HTTP://b/", str(two), "https://d/"])
    found = [(request.index, request.url) for batch in batches for request in batch]
    assert found == [(0, "http://a/"), (1, "HTTP://b/"), (2, "http://c/"), (3, "https://d/")]


def test_a_bad_line_names_its_own_source_and_the_line_in_it(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"http://a/\nhttp://b/\n")
    two.write_bytes(b"#\n\xff\n")
    *_, bad = [request for batch in read_sources([str(one), str(two)]) for request in batch]
    assert bad.fault is not None
    assert bad.fault.message == f"line 2 of {two} is not UTF-8 text"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", "missing: no such file"),
        ("www.example.com", "a URL begins with http:// or https://"),
        ("nosuch://127.0.0.1/", "a URL begins with http:// or https://"),
        (".", "is a folder: name a file of URLs"),
    ],
)
def test_a_source_that_can_not_be_read_is_refused_before_anything_else(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=message):
        check_sources(["http://127.0.0.1/", name])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root reads everything")
def test_a_source_without_permission_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list"
    path.write_bytes(b"")
    path.chmod(0)
    with pytest.raises(SourceError, match="permission denied"):
        check_sources([str(path)])


@pytest.mark.parametrize("link", [False, True])
@pytest.mark.parametrize("option", ["output", "summary"])
def test_a_list_that_is_also_an_output_is_refused(link: bool, option: str, tmp_path: Path) -> None:
    source = tmp_path / "list.jsonl"
    source.write_bytes(b"http://127.0.0.1/\n")
    target = source
    if link:
        target = tmp_path / "link.jsonl"
        target.symlink_to(source)
    reporting = Reporting(output=(str(target),)) if option == "output" else Reporting(summary=str(target))
    with pytest.raises(InvalidOptions, match="both the list and an output"):
        check_outputs(reporting, [str(source)])
    assert source.read_bytes() == b"http://127.0.0.1/\n"


def test_a_list_that_stands_where_the_unfinished_output_would_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "rows.jsonl.part"
    source.write_bytes(b"http://127.0.0.1/\n")
    with pytest.raises(InvalidOptions, match="both the list and an output"):
        check_outputs(Reporting(output=(str(tmp_path / "rows.jsonl"),)), [str(source)])


def test_a_list_that_comes_on_stdin_from_the_output_itself_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "list.jsonl"
    source.write_bytes(b"http://127.0.0.1/\n")
    saved = os.dup(0)
    descriptor = os.open(source, os.O_RDONLY)
    os.dup2(descriptor, 0)
    try:
        with pytest.raises(InvalidOptions, match="both the list and an output"):
            check_outputs(Reporting(output=(str(source),)), ["-"])
    finally:
        os.dup2(saved, 0)
        os.close(saved)
        os.close(descriptor)


def test_an_output_named_twice_is_refused_also_by_a_link(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").touch()
    (tmp_path / "b.jsonl").symlink_to(tmp_path / "a.jsonl")
    with pytest.raises(InvalidOptions, match="named twice"):
        check_outputs(Reporting(output=(str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"))), [])


@pytest.mark.parametrize("content", [b"", b"# a\n\nhttp://a/\n http://b/ \r\n\xff\n", b"http://a/"])
def test_the_count_for_the_bar_is_the_number_of_rows(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "list"
    assert len(read(content, path)) == count([str(path)])
    assert count([str(path), URL]) == len(read(content, path)) + 1
    assert count([str(path), "-"]) is None
