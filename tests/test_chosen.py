"""--match and --filter: which rows are written, by every form alike, while the run and its journal have them all."""

from __future__ import annotations

import csv
import json
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall.chosen import Choice, parse
from fetchall.errors import InvalidOptions
from fetchall.options import Options
from tests.test_bodies import answer, files, saved

ROW: dict[str, Any] = {
    "status": 200,
    "content_type": "Image/PNG; x=1",
    "size": 2048,
    "elapsed": 1.5,
    "error_type": None,
    "body_text": "some words",
}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("status=200", True),
        ("status=200-299", True),
        ("status=404,2xx", True),
        ("status=404", False),
        ("status!=404", True),
        ("status!=404,200", False),
        ("type=image/*", True),
        ("type=text/*,image/png", True),
        ("type!=image/*", False),
        ("type=", False),
        ("size=2k", True),
        ("size=1k-3k", True),
        ("size!=1k-3k", False),
        ("size>2k", False),
        ("size>=2k", True),
        ("size<10M", True),
        ("time>1", True),
        ("time<=1.5s", True),
        ("time=2-3", False),
        ("error=none", True),
        ("error=*", False),
        ("error=timeout,dns", False),
        ("error!=timeout", True),
        ("text=words", True),
        ("text=Words", False),
        ("text!=else", True),
        ("status=200, type=image/*, size>1k", True),
        ("status=200,type=text/*", False),
    ],
)
def test_an_expression_holds_where_all_its_conditions_do(text: str, holds: bool) -> None:
    assert all(each.holds(ROW) for each in parse(text)) == holds


@pytest.mark.parametrize("text", ["status=200-599", "type=*/*", "size>=0", "size<1G", "time>=0", "text=a"])
def test_what_is_not_known_fulfils_nothing(text: str) -> None:
    empty = dict.fromkeys(ROW) | {"error_type": "dns"}
    assert not parse(text)[0].holds(empty)
    assert parse("error=*")[0].holds(empty)
    assert parse("status!=200")[0].holds(empty)


@pytest.mark.parametrize(
    "text",
    ["", "nope=1", "200", "status=abc", "status>200", "status=", "size=x", "size=1k-x", "time=soon", "type<a", ","],
)
def test_an_expression_that_says_nothing_is_refused_with_what_to_write(text: str) -> None:
    with pytest.raises(ValueError, match=r"write|is = or|seconds"):
        parse(text)
    with pytest.raises(InvalidOptions):
        Options(match=(text,))


@given(st.text())
def test_any_text_is_an_expression_or_refused(text: str) -> None:
    try:
        conditions = parse(text)
    except ValueError:
        return
    assert all(each.holds(ROW) in (True, False) for each in conditions)


def test_one_match_is_enough_and_one_filter_too_many() -> None:
    choice = Choice.of(["status=404", "type=image/*"], ["size>1M"])
    assert choice.keeps(ROW)
    assert not choice.keeps(ROW | {"size": 2_000_000})
    assert not choice.keeps(ROW | {"content_type": None})
    assert Options().choice is None


def test_text_needs_the_body() -> None:
    with pytest.raises(InvalidOptions, match="need --body"):
        Options(match=("text=a",))
    assert Options(match=("text=a",), body=True).choice is not None


def test_every_form_writes_the_chosen_rows_and_the_run_counts_all(tmp_path: Path) -> None:
    lines = b"nonsense\nftp://h/\n" * 30
    forms = ["a.json", "a.jsonl", "a.csv", "a.sqlite", "a.parquet", "a.jsonl.gz"]
    for ordered in ([], ["--ordered"]):
        done = subprocess.run(
            [
                sys.executable, "-m", "fetchall", "-", "--match", "error=invalid_url", "--summary", "-", "--overwrite",
                *ordered, *[word for name in forms for word in ("-o", name)],
            ],
            input=lines, capture_output=True, cwd=tmp_path, timeout=60, check=False,
            env={"PYTHONPATH": str(Path(__file__).parents[1]), "PATH": ""},
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert json.loads(done.stdout)["summary"]["urls"] == 60
        even = list(range(0, 60, 2))
        rows = json.loads((tmp_path / "a.json").read_bytes())["results"]
        assert [row["index"] for row in rows] == even
        assert [json.loads(line)["index"] for line in (tmp_path / "a.jsonl").read_bytes().splitlines()] == even
        with open(tmp_path / "a.csv", newline="") as file:
            assert [int(row["index"]) for row in csv.DictReader(file)] == even
        connection = sqlite3.connect(tmp_path / "a.sqlite")
        assert connection.execute("SELECT count(*) FROM results").fetchone() == (30,)
        connection.close()
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(forms)


async def test_bodies_of_rows_that_are_not_chosen_are_not_saved(tmp_path: Path) -> None:
    kinds = {"/a": "image/png", "/b": "text/html"}
    rows = await saved(tmp_path, lambda path: answer(b"x", kinds[path]), list(kinds), match=("type=image/*",))
    assert [row.file for row in rows] == ["000000-127.0.0.1-a.png", None]
    assert len(files(tmp_path)) == 1
