"""One contract for every form: rows in are rows out, as a reader that knows nothing of fetchall sees them."""

from __future__ import annotations

import csv
import io
import json
import sqlite3
import subprocess
import sys
import tracemalloc
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from fetchall.errors import MissingExtra, SinkError
from fetchall.records import ErrorType, Hop, Request, Result, Timings, Try
from fetchall.rows import Columns, OldRow, Row, names
from fetchall.sinks import FORMS, Ending, Sink, check_installed, form_of, make, read_rows
from fetchall.sinks.outlet import PartFile
from fetchall.sinks.parquet import GROUP
from fetchall.tally import Tally
from tests.reading import READERS, as_told_by, of_csv, of_sqlite

ALL = Columns(headers=True, timings=True, sha256=True, body=True, dedupe=True, file=True, input=True)
WHEN = datetime(2026, 11, 20, 23, 19, 56, 162972, UTC)
NASTY = "a,\"b\"\r\n=cmd|'/c calc'!A1\t;\u202e\x00 é \U0001f600"
CONTROLS = "".join(map(chr, [*range(33), *range(127, 161)]))
HARD = {
    "": "",
    "\udc80 key": "lone \ud800",
    "nested": {"deep": [{"\udfff": [None, True, 1.5, {}]}, []]},
    "most": 2**64 - 1,
    "least": -(2**63),
    "longer": -(2**70),
    "in it": [2**70],
    "real": 1e300,
    CONTROLS: CONTROLS,
}
"""Columns of a list that are hard to write."""


def result(index: int, **changes: Any) -> Result:
    given: dict[str, Any] = {
        "request": Request(f"http://h/{index}", index, input={"id": f"{index}", "note": NASTY, "n": 7, "none": None}),
        "method": "GET",
        "url": f"http://h/{index}",
        "final_url": f"http://h/{index}?{index}",
        "status": 200,
        "ok": True,
        "attempts": 1,
        "started_at": WHEN,
        "elapsed": 0.125,
        "ttfb": 0.1,
        "size": 3,
        "wire_size": 3,
        "content_type": "text/plain",
        "http_version": "1.1",
        "remote_ip": "127.0.0.1",
        "headers": {"set-cookie": ["a=1", "b=2"], "x": [NASTY]},
        "history": (Hop("http://h/old", 301),),
        "timings": Timings(queued=0.5, wait=0.25),
        "reused": True,
        "tries": (Try(WHEN, 0.5, None, ErrorType.DNS, 0.0), Try(WHEN, 0.25, 200, None, 1.5)),
        "sha256": "ab" * 32,
        "body": b"abc",
        "file": "a/b.txt",
    }
    return Result(**{**given, **changes})


def samples() -> list[Result]:
    return [
        result(0),
        result(3, body=b'{"a": [1, null]}', content_type="application/json"),
        result(1, body=b"\xff\x00", content_type="image/png", history=(), headers={}),
        result(2, error=NASTY, error_type=ErrorType.TRUNCATED, ok=False, content_type="", duplicate_of=0),
        Result(Request("x", 4), "GET", "x", error_type=ErrorType.INVALID_URL, error="lone \udc80 surrogate"),
        result(5, content_type="=1+1", started_at=WHEN.replace(microsecond=0)),
        result(
            6, request=Request("http://h/\ud800", 6, input=HARD), url="http://h/\ud800", headers={"x\udfff": [CONTROLS]}
        ),
        result(7, body=b'{"long": 123456789012345678901234567890, "nul": "\\u0000"}', content_type="a/b+json"),
        *(
            result(number, ok=False, status=None, started_at=None, error_type=each, error=f"{each} {CONTROLS}")
            for number, each in enumerate(ErrorType, 8)
        ),
    ]


def ending(results: list[Result], *, complete: bool = True) -> Ending:
    tally = Tally()
    for each in results:
        tally.add(each)
    return Ending(tally.summary(1.0, interrupted=not complete), tally.timing(1.0, 20, None), complete)


def opened(path: Path, columns: Columns = ALL, **options: Any) -> Sink:
    return make(form_of(str(path)), PartFile(str(path)), columns=columns, **options)


def written(path: Path, rows: list[Row], columns: Columns = ALL, *, complete: bool = True, **options: Any) -> Path:
    sink = opened(path, columns, **options)
    for start in range(0, len(rows), 2):
        sink.write(rows[start : start + 2])
    sink.close(ending([], complete=complete))
    return path if complete else path.with_name(path.name + ".part")


def expected(form: str) -> dict[int, dict[str, Any]]:
    rows = [json.loads(Row(each, ALL).json) for each in samples()]
    return {row["index"]: as_told_by(form, row) for row in rows}


def path_of(folder: Path, form: str) -> Path:
    return folder / ("out" + next(ending for ending, known in FORMS.items() if known == form))


every_form = pytest.mark.parametrize("form", sorted(set(FORMS.values()) & set(READERS)))


def test_every_form_of_rows_is_under_this_contract() -> None:
    assert {form for form in FORMS.values() if form not in ("warc", "har", "html")} == set(READERS)


@every_form
def test_rows_in_are_rows_out(form: str, tmp_path: Path) -> None:
    path = written(path_of(tmp_path, form), [Row(each, ALL) for each in samples()])
    assert {row["index"]: row for row in READERS[form](path)} == expected(form)


def test_what_is_hard_to_write_is_escaped_and_nothing_is_rounded() -> None:
    row = json.loads(Row(samples()[6], ALL).json)
    assert row["url"] == "http://h/\\ud800"
    assert row["headers"] == {"x\\udfff": [CONTROLS]}
    assert row["input"] == {
        **{name: value for name, value in HARD.items() if "\udc80" not in name},
        "\\udc80 key": "lone \\ud800",
        "nested": {"deep": [{"\\udfff": [None, True, 1.5, {}]}, []]},
        "longer": str(-(2**70)),
        "in it": [str(2**70)],
    }
    assert json.loads(Row(samples()[7], ALL).json)["body_json"]["long"] == "123456789012345678901234567890"


@every_form
def test_rows_of_an_earlier_run_look_as_new_ones(form: str, tmp_path: Path) -> None:
    rows = [Row(each, ALL) for each in samples()]
    old: list[Row] = [OldRow(row.index, row.json, 0) for row in rows]
    path = written(path_of(tmp_path, form), old)
    assert {row["index"]: row for row in READERS[form](path)} == expected(form)


@every_form
def test_an_interrupted_output_is_valid_and_keeps_its_unfinished_name(form: str, tmp_path: Path) -> None:
    path = path_of(tmp_path, form)
    part = written(path, [Row(each, ALL) for each in samples()[:3]], complete=False)
    assert sorted(row["index"] for row in READERS[form](part)) == [0, 1, 3]
    assert not path.exists()


@every_form
def test_a_run_of_no_rows_gives_a_whole_output(form: str, tmp_path: Path) -> None:
    path = written(path_of(tmp_path, form), [])
    assert READERS[form](path) == []
    if form == "csv":
        assert path.read_text() == ",".join(names(ALL)) + "\n"
    if form == "parquet":
        assert pq.read_schema(path).names == list(names(ALL))


@every_form
def test_keys_stand_in_the_documented_order(form: str, tmp_path: Path) -> None:
    path = written(path_of(tmp_path, form), [Row(result(0), ALL)])
    assert list(READERS[form](path)[0]) == list(names(ALL))


@every_form
def test_an_output_given_up_leaves_its_part_and_says_nothing(form: str, tmp_path: Path) -> None:
    path = path_of(tmp_path, form)
    sink = opened(path)
    sink.write([Row(each, ALL) for each in samples()])
    sink.abort()
    del sink
    assert not path.exists()
    assert path.with_name(path.name + ".part").exists()


@pytest.mark.parametrize("form", ["csv", "sqlite", "parquet", "jsonl.gz", "jsonl.zst"])
def test_a_form_that_is_not_read_again_says_so(form: str, tmp_path: Path) -> None:
    path = written(path_of(tmp_path, form), [])
    with pytest.raises(ValueError, match="is complete"):
        list(read_rows(str(path)))


@pytest.mark.parametrize("form", ["jsonl.gz", "jsonl.zst"])
def test_compressed_lines_can_be_in_input_order(form: str, tmp_path: Path) -> None:
    path = written(path_of(tmp_path, form), [Row(each, ALL) for each in samples()], ordered=True)
    assert [row["index"] for row in READERS[form](path)] == list(range(len(samples())))


def test_csv_tells_an_empty_text_from_none(tmp_path: Path) -> None:
    columns = Columns()
    rows = [Row(result(0, request=Request("u"), error="", content_type=None), columns)]
    line = written(tmp_path / "a.csv", rows, columns).read_text().splitlines()[1]
    assert ',"",1,' in line
    assert ",3,3,,1.1," in line


@pytest.mark.parametrize("cell", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1"])
def test_csv_safe_leaves_no_cell_that_begins_a_formula(cell: str, tmp_path: Path) -> None:
    columns = Columns()
    rows = [Row(result(0, request=Request("u"), url=cell, content_type=cell, elapsed=1.0), columns)]
    row = of_csv(written(tmp_path / "a.csv", rows, columns, csv_safe=True))[0]
    assert row["url"] == row["content_type"] == "'" + cell
    row = of_csv(written(tmp_path / "b.csv", rows, columns))[0]
    assert row["url"] == cell


def test_parquet_has_times_maps_lists_and_structs_as_such(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", [Row(each, ALL) for each in samples()])
    shape = pq.read_schema(path)
    assert str(shape.field("started_at").type) == "timestamp[us, tz=UTC]"
    assert str(shape.field("headers").type).startswith("map<string, list<")
    assert str(shape.field("history").type).startswith("list<")
    assert str(shape.field("timings").type).startswith("struct<queued: double")
    assert shape.metadata[b"schema"] == b"fetchall/1"
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).compression == "ZSTD"


def test_parquet_groups_are_written_as_the_run_goes(tmp_path: Path) -> None:
    columns = Columns()
    path = tmp_path / "a.parquet"
    sink = opened(path, columns)
    part = tmp_path / "a.parquet.part"
    sizes = []
    for start in range(0, 3 * GROUP, 1000):
        sink.write([Row(result(start + i, request=Request("u", start + i)), columns) for i in range(1000)])
        sizes.append(part.stat().st_size)
    sink.close(ending([]))
    assert pq.ParquetFile(path).num_row_groups in (3, 4)
    assert len(set(sizes)) >= 3


@every_form
def test_memory_is_flat_however_many_rows_there_are(form: str, tmp_path: Path) -> None:
    """Bodies count: 40 MB of them go through each form, and at most half of that is ever held."""
    columns = Columns(body=True, sha256=True)
    body = bytes(range(32, 127)) * 200
    sink = opened(path_of(tmp_path, form), columns)
    pa.array([None])  # imports pandas, where that is installed: 25 MB, once
    tracemalloc.start()
    for index in range(2000):
        sink.write([Row(result(index, request=Request("u", index), body=body, size=len(body)), columns)])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    sink.close(ending([]))
    assert peak < 20e6


def test_sqlite_is_there_for_other_readers_while_the_run_goes(tmp_path: Path) -> None:
    columns = Columns()
    sink = opened(tmp_path / "a.sqlite", columns)
    for start in range(0, 10_000, 1000):
        sink.write([Row(result(start + i, request=Request("u", start + i)), columns) for i in range(1000)])
    reader = sqlite3.connect(f"file:{tmp_path}/a.sqlite.part?mode=ro", uri=True)
    assert reader.execute("SELECT count(*) FROM results").fetchone()[0] >= 5000
    reader.close()
    sink.close(ending([]))


def test_what_a_killed_run_left_of_a_table_is_not_mixed_into_the_next(tmp_path: Path) -> None:
    path = tmp_path / "a.sqlite"
    code = (
        "import os; from tests.test_forms import *; c = Columns(); s = opened(Path(os.environ['OUT']), c);"
        "s.write([Row(result(i, request=Request('u', i)), c) for i in range(3000)]); s._commit(s._open());"
        "s.write([Row(result(i, request=Request('u', i)), c) for i in range(3000, 60000)]);"
        "s._open().execute('UPDATE results SET ok = 0'); os.kill(os.getpid(), 9)"
    )
    root = str(Path(__file__).parents[1])
    subprocess.run([sys.executable, "-c", code], cwd=root, env={"OUT": str(path), "PATH": ""}, check=False)
    file = PartFile(str(path), keep=True)
    file.rewind()
    sink = make("sqlite", file, columns=ALL)
    sink.write([Row(each, ALL) for each in samples()])
    sink.close(ending([]))
    assert len(of_sqlite(path)) == len(samples())


def test_an_unknown_ending_names_those_that_are_known() -> None:
    with pytest.raises(SinkError, match=r"names no form; use .*\.parquet"):
        form_of("rows.xlsx")


def test_endings_are_longest_first_and_of_any_case() -> None:
    assert form_of("A.JSONL.GZ") == "jsonl.gz"
    assert form_of("a.csv") == "csv"


@pytest.mark.parametrize(("form", "module"), [("parquet", "pyarrow")])
def test_a_missing_extra_is_one_line_that_says_what_to_install(
    form: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fetchall.sinks.find_spec", lambda name: None if name == module else object())
    with pytest.raises(MissingExtra, match=rf"pip install 'fetchall\[{form}\]'") as caught:
        check_installed(form)
    assert "\n" not in str(caught.value)


def command(*arguments: str, stdin: bytes = b"", cwd: Path | None = None) -> subprocess.CompletedProcess[bytes]:
    root = str(Path(__file__).parents[1])
    return subprocess.run(
        [sys.executable, "-m", "fetchall", *arguments],
        input=stdin,
        capture_output=True,
        cwd=cwd,
        env={"PYTHONPATH": root, "PATH": ""},
        timeout=60,
        check=False,
    )


def test_csv_goes_to_stdout(tmp_path: Path) -> None:
    done = command("-", "--format", "csv", "-q", stdin=b"nonsense\n", cwd=tmp_path)
    found = list(csv.DictReader(io.StringIO(done.stdout.decode(), newline="")))
    assert [row["error_type"] for row in found] == ["invalid_url"]
