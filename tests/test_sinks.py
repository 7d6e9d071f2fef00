"""One contract for every output: rows in are rows out, whatever the order, the reader, or the end of the run."""

from __future__ import annotations

import asyncio
import json
import os
import random
import stat
import tempfile
import threading
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall.errors import SinkError
from fetchall.records import ErrorType, Request, Result
from fetchall.rows import PLAIN, OldRow, Row
from fetchall.sinks import FORMS, Ending, Sink, form_of, make
from fetchall.sinks.outlet import FULL, PartFile, StandardStream
from fetchall.sinks.readable import Readable
from fetchall.sinks.spool import Scratch, Spool
from fetchall.tally import Tally

KINDS = ("json", "jsonl", "jsonl ordered")


@dataclass
class Kept:
    """An outlet that keeps what it is given."""

    data: bytearray = field(default_factory=bytearray)
    ended: list[str] = field(default_factory=list)

    def write(self, data: bytes) -> None:
        self.data += data

    def finish(self, *, complete: bool) -> None:
        self.ended.append("complete" if complete else "interrupted")

    def abort(self) -> None:
        self.ended.append("aborted")


def result(index: int, size: int = 0) -> Result:
    request = Request(f"http://127.0.0.1/{index}", index)
    return Result(
        request,
        "GET",
        request.url + "x" * size,
        status=200,
        ok=True,
        error_type=ErrorType.TRUNCATED if index % 7 == 3 else None,
        started_at=datetime(2026, 1, 1, tzinfo=UTC),
    )


def row(index: int, size: int = 0) -> Row:
    return Row(result(index, size), PLAIN)


def line(index: int, data: bytes) -> Row:
    return OldRow(index, data, -1)


def open_file(path: str, *, ordered: bool, overwrite: bool) -> Sink:
    """As a run opens a file of its own."""
    part = PartFile(path, overwrite=overwrite)
    part.rewind()
    return make(form_of(path), part, ordered=ordered)


def ending(*, complete: bool = True) -> Ending:
    tally = Tally()
    return Ending(tally.summary(1.0, interrupted=not complete), tally.timing(1.0, 2, None), complete)


def made(kind: str, outlet: Any) -> Sink:
    return make(kind.split()[0], outlet, ordered="ordered" in kind)


def read(kind: str, data: bytes) -> list[dict[str, Any]]:
    """The rows that an output holds."""
    if kind == "json":
        document = json.loads(data)
        assert list(document) == ["schema", "results", "summary", "timing"]
        assert document["schema"] == "fetchall/1"
        rows: list[dict[str, Any]] = document["results"]
        return rows
    assert data.endswith(b"\n") or not data
    return [json.loads(line) for line in data.splitlines()]


def put(sink: Sink, rows: Sequence[Row]) -> None:
    """Write, and go on while the sink says that there is more."""
    more = sink.write(rows)
    while more:
        more = sink.write(())


def is_ordered(kind: str) -> bool:
    return kind != "jsonl"


@pytest.mark.parametrize("kind", KINDS)
@given(order=st.permutations(range(12)), cuts=st.lists(st.integers(1, 5), min_size=12, max_size=12))
def test_rows_in_are_rows_out_in_the_order_promised(kind: str, order: list[int], cuts: list[int]) -> None:
    kept = Kept()
    sink = made(kind, kept)
    left = list(order)
    for cut in cuts:
        put(sink, [row(index) for index in left[:cut]])
        left = left[cut:]
    sink.close(ending())
    found = read(kind, bytes(kept.data))
    assert found == [json.loads(row(index).json) for index in (sorted(order) if is_ordered(kind) else order)]
    assert kept.ended == ["complete"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_is_handed_on_at_once_when_its_turn_has_come(kind: str) -> None:
    kept = Kept()
    sink = made(kind, kept)
    put(sink, [row(0)])
    assert row(0).json in kept.data
    put(sink, [row(2), row(1)])
    assert row(2).json in kept.data


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("indices", [[], [3], [0, 1], [1, 4, 2], [0, 5]])
def test_an_interrupted_output_is_valid_and_has_what_was_finished(kind: str, indices: list[int]) -> None:
    kept = Kept()
    sink = made(kind, kept)
    put(sink, [row(index) for index in indices])
    sink.close(ending(complete=False))
    found = [each["index"] for each in read(kind, bytes(kept.data))]
    assert found == (sorted(indices) if is_ordered(kind) else indices)
    assert kept.ended == ["interrupted"]


def test_an_interrupted_document_says_so() -> None:
    kept = Kept()
    made("json", kept).close(ending(complete=False))
    assert json.loads(kept.data)["summary"]["interrupted"] is True


def test_a_row_of_a_document_has_a_line_of_its_own() -> None:
    kept = Kept()
    sink = made("json", kept)
    put(sink, [row(1), row(0)])
    sink.close(ending())
    lines = bytes(kept.data).splitlines()
    assert [json.loads(line.removesuffix(b",")) for line in lines[1:-1]] == [json.loads(row(i).json) for i in (0, 1)]


@pytest.mark.parametrize("kind", ["json", "jsonl ordered"])
def test_rows_that_wait_for_a_slow_first_url_wait_on_disk(kind: str) -> None:
    kept = Kept()
    sink = made(kind, kept)
    rows = 20_000
    tracemalloc.start()
    try:
        for index in range(1, rows):
            sink.write([row(index, size=200)])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not read(kind, bytes(kept.data)) if kind != "json" else not kept.data
    # Eight bytes for each index, and a small buffer; the rows themselves are 10 MB.
    assert peak < 2 * 1024**2
    put(sink, [row(0)])
    sink.close(ending())
    assert [each["index"] for each in read(kind, bytes(kept.data))] == list(range(rows))


def test_rows_that_were_held_up_are_written_a_thousand_at_a_time() -> None:
    sink = made("json", Kept())
    for index in range(1, 2500):
        assert not sink.write([row(index)])
    assert sink.write([row(0)])
    assert sink.write(())
    assert not sink.write(())


def test_the_spool_is_no_file_that_could_be_left_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    spool = Spool(Scratch())
    for index in range(1, 5000):
        spool.put(line(index, b"x" * 200))
    assert list(tmp_path.iterdir()) == []
    spool.close()


@given(st.permutations(range(40)), st.integers(1, 6), st.randoms())
def test_a_spool_gives_lines_in_order_however_they_came(order: list[int], most: int, rng: random.Random) -> None:
    spool = Spool(Scratch())
    taken: list[bytes] = []
    for index in order:
        if spool.pass_through(index):
            taken.append(b"%d" % index)
        else:
            spool.put(line(index, b"%d" % index))
        if rng.random() < 0.5:
            taken += spool.due(most)
    taken += spool.rest()
    spool.close()
    assert taken == [b"%d" % index for index in range(40)]


def test_a_spool_that_went_to_disk_and_was_emptied_is_used_again() -> None:
    spool = Spool(Scratch())
    for start in (0, 5000, 10_000):
        for index in range(start + 1, start + 5000):
            spool.put(line(index, b"%d" % index + b"x" * 200))
        assert spool.pass_through(start)
        found = []
        while lines := spool.due(1000):
            found += lines
        assert [int(line.rstrip(b"x")) for line in found] == list(range(start + 1, start + 5000))
    spool.close()


@pytest.mark.parametrize("name", ["out.json", "out.jsonl", "out.NDJSON"])
def test_an_output_has_its_name_only_when_it_is_whole(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    sink = open_file(str(path), ordered=False, overwrite=False)
    put(sink, [row(0)])
    assert not path.exists()
    assert (tmp_path / f"{name}.part").exists()
    sink.close(ending())
    assert [each.name for each in tmp_path.iterdir()] == [name]
    assert len(read("json" if name == "out.json" else "jsonl", path.read_bytes())) == 1


def test_an_interrupted_run_leaves_a_finished_output_of_an_earlier_one_alone(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("earlier\n")
    sink = open_file(str(path), ordered=False, overwrite=False)
    put(sink, [row(0)])
    sink.close(ending(complete=False))
    assert path.read_text() == "earlier\n"
    assert len(read("jsonl", (tmp_path / "out.jsonl.part").read_bytes())) == 1


def test_a_finished_output_is_replaced_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    path.write_text("earlier\n")
    sink = open_file(str(path), ordered=False, overwrite=False)
    put(sink, [row(0)])
    assert path.read_text() == "earlier\n"
    sink.close(ending())
    assert read("jsonl", path.read_bytes())[0]["index"] == 0


def test_an_aborted_output_keeps_what_was_written(tmp_path: Path) -> None:
    sink = open_file(str(tmp_path / "out.jsonl"), ordered=False, overwrite=False)
    put(sink, [row(0)])
    sink.abort()
    assert len(read("jsonl", (tmp_path / "out.jsonl.part").read_bytes())) == 1


def test_an_unfinished_output_is_refused_and_thrown_away_only_where_asked(tmp_path: Path) -> None:
    path, part = tmp_path / "out.jsonl", tmp_path / "out.jsonl.part"
    part.write_text("half")
    with pytest.raises(SinkError, match="--overwrite"):
        open_file(str(path), ordered=False, overwrite=False)
    assert part.read_text() == "half"
    open_file(str(path), ordered=False, overwrite=True).close(ending())
    assert path.read_bytes() == b""


def test_a_folder_is_no_output(tmp_path: Path) -> None:
    (tmp_path / "out.jsonl").mkdir()
    with pytest.raises(SinkError, match="is a folder"):
        open_file(str(tmp_path / "out.jsonl"), ordered=False, overwrite=False)
    assert [each.name for each in tmp_path.iterdir()] == ["out.jsonl"]


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="no such file or directory"):
        open_file(str(tmp_path / "no" / "out.jsonl"), ordered=False, overwrite=False)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root writes everywhere")
def test_a_folder_that_can_not_be_written_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(stat.S_IRUSR | stat.S_IXUSR)
    with pytest.raises(SinkError, match="permission denied"):
        open_file(str(tmp_path / "out.jsonl"), ordered=False, overwrite=False)


@pytest.mark.parametrize("name", ["out", "out.txt", "json", ".json"])
def test_an_ending_that_names_no_form_is_refused_with_those_that_do(name: str) -> None:
    with pytest.raises(SinkError, match=", ".join(FORMS)):
        form_of(name)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no disk that is always full")
@pytest.mark.parametrize("kind", KINDS)
def test_a_full_disk_is_an_os_error(kind: str, tmp_path: Path) -> None:
    (tmp_path / "out.part").symlink_to("/dev/full")
    sink = made(kind, PartFile(str(tmp_path / "out"), overwrite=True))
    with pytest.raises(OSError, match="No space left"):
        sink.write([row(0)])


async def test_a_slow_reader_of_stdout_is_waited_for_and_loses_nothing() -> None:
    reader, writer = os.pipe()
    room = asyncio.Event()
    stream = StandardStream(writer, room.set)
    piece = b"x" * 50_000 + b"\n"
    written = 0
    while not stream.full:
        stream.write(piece)
        written += len(piece)
    assert written <= FULL + 2 * len(piece) + 1024**2
    found = bytearray()

    def drain() -> None:
        while block := os.read(reader, 1 << 16):
            found.extend(block)

    thread = threading.Thread(target=drain)
    thread.start()
    await asyncio.wait_for(room.wait(), 5)
    assert not stream.full
    stream.finish(complete=True)
    os.close(writer)
    thread.join()
    os.close(reader)
    assert bytes(found) == piece * (written // len(piece))


async def test_a_reader_that_has_gone_is_a_broken_pipe() -> None:
    reader, writer = os.pipe()
    stream = StandardStream(writer, lambda: None)
    os.close(reader)
    with pytest.raises(BrokenPipeError):
        stream.write(b"x\n")
    os.close(writer)


async def test_a_reader_that_goes_while_rows_wait_is_a_broken_pipe_at_the_next_write() -> None:
    reader, writer = os.pipe()
    room = asyncio.Event()
    stream = StandardStream(writer, room.set)
    while not stream.full:
        stream.write(b"x" * 100_000)
    os.close(reader)
    await asyncio.wait_for(room.wait(), 5)
    with pytest.raises(BrokenPipeError):
        stream.write(b"x")
    with pytest.raises(BrokenPipeError):
        stream.finish(complete=True)
    os.close(writer)


async def test_a_stream_that_is_a_file_is_written_at_once(tmp_path: Path) -> None:
    with (tmp_path / "out").open("wb") as file:
        stream = StandardStream(file.fileno(), lambda: None)
        stream.write(b"x" * (2 * FULL))
        assert not stream.full
        assert (tmp_path / "out").stat().st_size == 2 * FULL


@given(st.text(st.characters(codec=None)), st.text(st.characters(codec=None)))
def test_readable_lines_send_no_control_character_to_a_terminal(url: str, error: str) -> None:
    kept = Kept()
    sink = Readable(kept, color=False, width=lambda: None)
    odd = Result(Request(url), "GET", url, error_type=ErrorType.INVALID_URL, error=error)
    sink.write([Row(odd, PLAIN)])
    text = kept.data.decode()
    assert text.endswith("\n")
    assert text[:-1].isprintable()


def test_readable_lines_are_one_for_each_row() -> None:
    kept = Kept()
    sink = Readable(kept, color=False, width=lambda: 80)
    put(sink, [row(2), row(0)])
    sink.close(ending(complete=False))
    two, zero = kept.data.decode().splitlines()
    assert two.endswith("127.0.0.1/2")
    assert zero.endswith("127.0.0.1/0")
    assert kept.ended == ["interrupted"]
