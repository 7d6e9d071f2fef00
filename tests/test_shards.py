"""`--shard`: parts of one list that join into what one run would give; `--merge`: the joining."""

from __future__ import annotations

import csv
import json
import os
import re
import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from fetchall.dealing import site_of
from fetchall.engines.spans import Span, elapsed, most_at_once
from fetchall.fingerprint import Fingerprint
from fetchall.listing import of_shard
from fetchall.records import ErrorType, Fault, Request
from fetchall.tally import Tally
from fetchall.units import Shard, parse_shard
from tests.lists import packed, written
from tests.resuming import Site, apart, contents, fetchall, rows

HOSTS = [f"http://127.0.0.{number}:9" for number in range(1, 8)]
NO_URLS = ["", "junk", "ftp://a.example/", "http://", "http://a..b/", "http://u:p@127.0.0.3:9/x"]
NO_TIMES = ("started_at", "elapsed", "ttfb")


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with Site() as opened:
        yield opened


def lists_of(site: Site) -> list[str]:
    """A list whose lines are of many sites, twice the same, and no URLs at all."""
    here = [site.url(f"/{number}") for number in range(4)] + [site.url("/status/404")]
    return [*here, *(f"{host}/{number}" for host in HOSTS for number in range(3)), *NO_URLS[1:], here[0]]


def written_list(folder: Path, lines: list[str]) -> Path:
    path = folder / "urls.txt"
    path.write_text("".join(f"{line}\n" for line in lines))
    return path


def plain(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows in the order of the list, without what differs from run to run."""
    ordered = sorted(found, key=lambda row: int(row["index"]))
    return [{key: value for key, value in row.items() if key not in NO_TIMES} for row in ordered]


def sharded(folder: Path, source: Path, *more: object, of: int = 3, form: str = "jsonl") -> Path:
    """The list in so many shards, in a folder of their own."""
    shards = folder / "shards"
    shards.mkdir(exist_ok=True)
    for number in range(1, of + 1):
        fetchall(source, "--shard", f"{number}/{of}", "-o", shards / f"{number}.{form}", "-q", "--retries", 0, *more)
    return shards


@pytest.mark.parametrize(("text", "shard"), [("1/1", (1, 1)), ("3/8", (3, 8)), (" 8/8 ", (8, 8))])
def test_a_shard_is_one_of_n_counted_from_one(text: str, shard: tuple[int, int]) -> None:
    assert parse_shard(text) == shard


@pytest.mark.parametrize("text", ["", "1", "0/3", "4/3", "-1/3", "1/0", "1.5/3", "a/b", "1/3/5", "1 / 3", "\u0661/3"])
def test_what_is_no_shard_is_refused_with_what_would_do(text: str) -> None:
    with pytest.raises(ValueError, match="write I/N with I from 1 to N"):
        parse_shard(text)


requests = st.lists(
    st.tuples(
        st.sampled_from([*HOSTS, *NO_URLS]), st.sampled_from(["", "/", "/a?b#c", "\x00", "\ud800"]), st.booleans()
    ),
    max_size=40,
).map(
    lambda found: [
        Request(host + rest, index, fault=Fault(ErrorType.BAD_LINE, "line 1") if bad else None)
        for index, (host, rest, bad) in enumerate(found)
    ]
)


@given(requests, st.integers(1, 9), st.integers(1, 7))
def test_every_row_is_in_exactly_one_shard_and_keeps_its_index(whole: list[Request], of: int, size: int) -> None:
    batches = [whole[start : start + size] for start in range(0, len(whole), size)]
    shards = [[each for batch in of_shard(iter(batches), Shard(n, of)) for each in batch] for n in range(1, of + 1)]
    assert sorted((request for shard in shards for request in shard), key=lambda request: request.index) == whole
    for site_ in {site_of(request.url) for request in whole}:
        assert sum(any(site_of(request.url) == site_ for request in shard) for shard in shards) == 1


@given(requests, st.integers(1, 7))
def test_a_fingerprint_does_not_depend_on_how_the_list_comes(whole: list[Request], size: int) -> None:
    once, piecemeal = Fingerprint(), Fingerprint()
    once.add(whole)
    for start in range(0, len(whole), size):
        piecemeal.add(whole[start : start + size])
    assert (once.hex(), once.rows) == (piecemeal.hex(), piecemeal.rows)
    if whole:
        other = Fingerprint()
        other.add(whole[:-1])
        assert other.hex() != once.hex()


@pytest.mark.parametrize("form", ["jsonl", "json", "jsonl.gz", "jsonl.zst"])
def test_shards_joined_are_what_one_run_gives(form: str, site: Site, tmp_path: Path) -> None:
    source = written_list(tmp_path, lists_of(site))
    shards = sharded(tmp_path, source, form=form)
    assert fetchall(source, "-o", tmp_path / "one.json", "-q", "--retries", 0) == 1
    assert fetchall("--merge", shards, "-o", tmp_path / "all.json", "-q") == 1
    one, joined = (json.loads((tmp_path / name).read_bytes()) for name in ("one.json", "all.json"))
    assert plain(joined["results"]) == plain(one["results"])
    assert [row["index"] for row in joined["results"]] == list(range(len(one["results"])))
    for key in ("urls", "ok", "failed", "retries", "bytes", "wire_bytes", "status", "errors", "interrupted"):
        assert joined["summary"][key] == one["summary"][key]


@pytest.mark.parametrize("form", ["csv", "jsonl", "json", "parquet"])
def test_every_form_of_list_is_cut_alike_and_columns_travel(form: str, site: Site, tmp_path: Path) -> None:
    table = [{"url": url, "id": f"n{number}"} for number, url in enumerate([*HOSTS, site.url("/a"), site.url("/b")])]
    packing = "" if form == "parquet" else ".gz"
    source = tmp_path / f"list.{form}{packing}"
    source.write_bytes(packed(written(form, table), packing))
    shards = sharded(tmp_path, source, of=4)
    fetchall("--merge", shards, "-o", tmp_path / "all.json", "-o", tmp_path / "all.csv", "-q")
    found = rows(tmp_path / "all.json")
    assert [(row["url"], row["input"]["id"]) for row in found] == [(row["url"], row["id"]) for row in table]
    with (tmp_path / "all.csv").open(newline="") as file:
        assert {json.loads(row["input"])["id"] for row in csv.DictReader(file)} == {row["id"] for row in table}


def test_a_list_on_stdin_is_cut_as_well(site: Site, tmp_path: Path) -> None:
    from tests.command import run

    lines = "".join(f"{line}\n" for line in lists_of(site)).encode()
    found = []
    for number in (1, 2):
        done = run("--shard", f"{number}/2", "--retries", "0", "-q", folder=tmp_path, stdin=lines)
        found += json.loads(done.out)["results"]
    assert sorted(row["index"] for row in found) == list(range(len(lists_of(site))))


def test_the_plans_of_all_shards_add_up_to_the_lists(
    site: Site, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    source = written_list(tmp_path, lists_of(site))
    plans = []
    for shard in ([], ["--shard", "1/3"], ["--shard", "2/3"], ["--shard", "3/3"]):
        assert fetchall(source, "--plan", "--format", "json", *shard) == 0
        plans.append(json.loads(capfd.readouterr().out))
    for key in ("rows", "requests", "hosts", "duplicates"):
        assert plans[0][key] == sum(plan[key] for plan in plans[1:])


def test_both_passes_of_sync_take_the_same_shard(tmp_path: Path) -> None:
    with Site() as site:
        source = written_list(tmp_path, [site.url(f"/{number}") for number in range(5)])
        for number in (1, 2):
            assert fetchall(source, "--shard", f"{number}/2", "--sync", "-o", tmp_path / f"{number}.json", "-q") == 0
        assert set(site.counts.values()) == {2}
        documents = [json.loads((tmp_path / f"{number}.json").read_bytes()) for number in (1, 2)]
    assert sorted(document["summary"]["urls"] for document in documents) == [0, 5]


@pytest.mark.parametrize("shard", [["--shard", "2/3"], ["--shard", "1/2"], []])
@pytest.mark.parametrize("finished", [True, False])
def test_another_shard_is_not_gone_on_with(
    finished: bool, shard: list[str], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with Site() as site:
        lines = [*HOSTS, *(site.url(f"/{number}") for number in range(3)), site.url("/ok" if finished else "/stop")]
        mine = next(n for n in (1, 2, 3) if list(of_shard([[Request(site.url("/"), 0)]], Shard(n, 3))))
        rotated = [word.replace("2/3", f"{mine % 3 + 1}/3") for word in shard]
        source, out = written_list(tmp_path, lines), tmp_path / "out.jsonl"
        fetchall(source, "--shard", f"{mine}/3", "-o", out, "-q", "--retries", 0, "--grace", 0.1)
        assert out.exists() == finished
        before = contents(tmp_path)
        assert fetchall(source, *rotated, "-o", out, "-q", "--retries", 0, "--resume") == 4
        assert contents(tmp_path) == before
        assert "shard" in capfd.readouterr().err
        site.on["/stop"] = lambda: b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
        fetchall(source, "--shard", f"{mine}/3", "-o", out, "-q", "--retries", 0, "--resume")
        expected = [
            r.index for b in of_shard([[Request(u, i) for i, u in enumerate(lines)]], Shard(mine, 3)) for r in b
        ]
        assert sorted(row["index"] for row in rows(out)) == expected


def test_an_output_that_is_no_shard_any_more_has_no_note(site: Site, tmp_path: Path) -> None:
    source, out = written_list(tmp_path, [site.url("/1")]), tmp_path / "out.jsonl"
    fetchall(source, "--shard", "1/1", "-o", out, "-q")
    assert (tmp_path / "out.jsonl.shard").exists()
    fetchall(source, "-o", out, "-q")
    assert not (tmp_path / "out.jsonl.shard").exists()


def test_no_secret_of_a_url_is_in_a_note(site: Site, tmp_path: Path) -> None:
    source = written_list(tmp_path, [site.url("/1", user="me:hunter2@"), "http://:hunter2@a..b/"])
    shards = sharded(tmp_path, source, "-u", "you:hunter2", "-H", "X-Api-Key: hunter2", of=1)
    assert all(b"hunter2" not in data for data in contents(shards).values())


@pytest.fixture
def shards(site: Site, tmp_path: Path) -> Path:
    """Three finished shards."""
    return sharded(tmp_path, written_list(tmp_path, lists_of(site)))


def refusal(folder: Path, *more: object) -> tuple[int, str]:
    """How a merge is refused: its exit code, and the one line; nothing was written."""
    from tests.command import run

    out = folder.parent / "joined"
    out.mkdir()
    done = run("--merge", str(folder), "-o", str(out / "all.json"), *map(str, more), folder=folder.parent)
    assert not list(out.iterdir())
    assert done.out == b""
    assert done.err.count("\n") == 1 or done.code == 2, done.err
    return done.code, done.err


def test_a_missing_shard_is_named(shards: Path) -> None:
    (shards / "2.jsonl.shard").unlink()
    code, message = refusal(shards)
    assert code == 4
    assert "1 of 3 shards missing (2/3)" in message
    assert "--partial" in message


def test_an_unfinished_shard_is_named(shards: Path) -> None:
    (shards / "3.jsonl").rename(shards / "3.jsonl.part")
    (shards / "3.jsonl.shard").unlink()
    code, message = refusal(shards)
    assert code == 4
    assert "3.jsonl.part is unfinished" in message


def test_a_shard_that_is_there_twice_is_named(shards: Path) -> None:
    (shards / "x.jsonl").write_bytes((shards / "1.jsonl").read_bytes())
    note = (shards / "1.jsonl.shard").read_text().replace('"1.jsonl"', '"x.jsonl"')
    (shards / "x.jsonl.shard").write_text(note)
    assert refusal(shards, "--partial") == (
        4, f"fetchall: {shards}: 1.jsonl and x.jsonl are both shard 1/3: keep one\n",
    )  # fmt: skip


def test_shards_of_two_lists_are_not_joined(shards: Path, site: Site, tmp_path: Path) -> None:
    other = tmp_path / "other.txt"
    other.write_text(site.url("/other") + "\n")
    fetchall(other, "--shard", "2/3", "-o", shards / "2.jsonl", "-q")
    code, message = refusal(shards, "--partial")
    assert code == 4
    assert "of another" in message


def test_shards_with_other_columns_are_not_joined(shards: Path, tmp_path: Path) -> None:
    fetchall(tmp_path / "urls.txt", "--shard", "2/3", "-o", shards / "2.jsonl", "-q", "--retries", 0, "--headers")
    code, message = refusal(shards)
    assert code == 4
    assert "other options" in message


def test_a_shard_that_is_not_as_it_was_is_named(shards: Path) -> None:
    with (shards / "1.jsonl").open("ab") as file:
        file.truncate(100)
    code, message = refusal(shards)
    assert code == 3
    assert "1.jsonl is not as it was" in message


def test_a_row_that_is_none_breaks_the_merge_and_leaves_nothing(shards: Path) -> None:
    biggest = max(shards.glob("*.jsonl"), key=lambda path: path.stat().st_size)
    data = biggest.read_bytes()
    biggest.write_bytes(b"?" * 9 + data[9:])
    code, message = refusal(shards)
    assert code == 3
    assert f"row 1 of {biggest.name} is none" in message


def test_a_form_that_is_not_read_back_is_named(site: Site, tmp_path: Path) -> None:
    code, message = refusal(sharded(tmp_path, written_list(tmp_path, [site.url("/")]), form="csv", of=1))
    assert code == 3
    assert "1.csv can't be joined: rows are read back from json, jsonl, jsonl.gz, jsonl.zst alone" in message


def test_a_folder_without_shards_says_what_a_shard_is(tmp_path: Path) -> None:
    folder = tmp_path / "empty"
    folder.mkdir()
    code, message = refusal(folder)
    assert code == 4
    assert "no finished shard" in message


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-o", "all.warc.gz"], "not what went over the wire"),
        (["--resume", "-o", "a.json"], "exclude each other"),
        (["--shard", "1/2"], "exclude each other"),
        (["urls.txt"], "leave SOURCE out"),
        (["--sync"], "exclude each other"),
        (["--format", "lines"], "--format json"),
    ],
)
def test_what_can_not_be_joined_is_exit_2(
    words: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert fetchall("--merge", tmp_path, *words) == 2
    assert message in capfd.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_shard_is_not_overwritten_by_the_merge(shards: Path, capfd: pytest.CaptureFixture[str]) -> None:
    before = contents(shards)
    assert fetchall("--merge", shards, "-o", shards / "1.jsonl") == 2
    assert "is one of the shards" in capfd.readouterr().err
    assert contents(shards) == before


def test_partial_joins_what_there_is_and_says_so(shards: Path, tmp_path: Path) -> None:
    (shards / "2.jsonl.shard").unlink()
    fetchall("--merge", shards, "--partial", "-o", tmp_path / "some.json", "-q")
    document = json.loads((tmp_path / "some.json").read_bytes())
    there = [row["index"] for name in ("1.jsonl", "3.jsonl") for row in rows(shards / name)]
    assert [row["index"] for row in document["results"]] == sorted(there)
    assert document["summary"]["interrupted"] is True


def test_a_merge_writes_every_form_of_rows(shards: Path, site: Site, tmp_path: Path) -> None:
    names = ["a.json", "a.jsonl", "a.csv", "a.parquet", "a.sqlite", "a.jsonl.gz", "a.html"]
    assert fetchall("--merge", shards, "-q", *(word for name in names for word in ("-o", tmp_path / name))) == 1
    count = len(lists_of(site))
    assert len(rows(tmp_path / "a.json")) == len(rows(tmp_path / "a.jsonl")) == count
    assert parquet.read_table(tmp_path / "a.parquet").num_rows == count
    with (tmp_path / "a.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == count
    database = sqlite3.connect(tmp_path / "a.sqlite")
    tables = [name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
    assert count in [database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in tables]
    database.close()
    assert {path.name for path in tmp_path.iterdir() if path.is_file()} == {"urls.txt", *names}


def test_jsonl_is_joined_in_order_where_that_is_asked_for(shards: Path, tmp_path: Path) -> None:
    fetchall("--merge", shards, "--ordered", "-o", tmp_path / "all.jsonl", "-q")
    found = [row["index"] for row in rows(tmp_path / "all.jsonl")]
    assert found == sorted(found)


def test_the_summary_of_a_merge_is_that_of_all_rows(shards: Path, tmp_path: Path) -> None:
    assert fetchall("--merge", shards, "-o", tmp_path / "a.jsonl", "--summary", tmp_path / "sum.json", "-q") == 1
    document = json.loads((tmp_path / "sum.json").read_bytes())
    tally = Tally()
    for row in rows(tmp_path / "a.jsonl"):
        tally.add_row(row)
    whole = tally.summary(document["summary"]["elapsed"], interrupted=False)
    assert document["summary"]["status"] == whole.status
    assert whole.latency is not None
    for name, value in document["summary"]["latency"].items():
        assert value == pytest.approx(getattr(whole.latency, name), rel=1e-3, abs=2e-6)


def test_a_merge_writes_the_rows_that_are_chosen(shards: Path, tmp_path: Path) -> None:
    assert fetchall("--merge", shards, "--match", "status=404", "-o", tmp_path / "a.jsonl", "-q") == 1
    assert [row["status"] for row in rows(tmp_path / "a.jsonl")] == [404]


@pytest.mark.parametrize(("fail_on", "code"), [("any", 1), ("error", 1), ("never", 0)])
def test_a_merge_has_the_exit_code_of_its_rows(fail_on: str, code: int, shards: Path, tmp_path: Path) -> None:
    assert fetchall("--merge", shards, "-o", tmp_path / "a.jsonl", "-q", "--fail-on", fail_on) == code


def test_a_merge_that_is_stopped_leaves_nothing(site: Site, tmp_path: Path) -> None:
    import signal
    import subprocess

    source = written_list(tmp_path, [site.url(f"/{number}") for number in range(40)])
    shards, out = sharded(tmp_path, source, of=1), tmp_path / "joined"
    data = (shards / "1.jsonl").read_bytes()
    note = json.loads((shards / "1.jsonl.shard").read_bytes())
    times = 5_000
    (shards / "1.jsonl").write_bytes(data * times)
    note["size"] = len(data) * times
    note["tally"]["urls"] = note["total"] = 40 * times
    (shards / "1.jsonl.shard").write_text(json.dumps(note))
    out.mkdir()
    words = apart("--merge", shards, "-o", out / "all.jsonl")
    process = subprocess.Popen(words, cwd=Path(__file__).parent.parent, stderr=subprocess.PIPE)
    part = out / "all.jsonl.part"
    site.until(lambda: part.exists() and part.stat().st_size > 0)
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert not list(out.iterdir())


def test_time_side_by_side_counts_once_and_breaks_do_not() -> None:
    spans = [Span(0.0, 10.0, 5), Span(2.0, 12.0, 5), Span(20.0, 21.0, 3), Span(20.2, 20.4, 4), Span(30.0, 31.0, 20)]
    assert elapsed(spans) == 12.0 + 1.0 + 1.0
    assert most_at_once(spans) == 20
    assert most_at_once(spans[:4]) == 10
    assert (elapsed([]), most_at_once([])) == (0.0, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="no file modes")
def test_a_note_that_can_not_be_written_is_exit_3(site: Site, tmp_path: Path) -> None:
    source = written_list(tmp_path, [site.url("/1")])
    os.mkdir(tmp_path / "out.jsonl.shard")
    assert fetchall(source, "--shard", "1/1", "-o", tmp_path / "out.jsonl", "-q") == 3


PAGE = (Path(__file__).parent.parent / "docs" / "scale.md").read_text()


def test_the_pages_options_are_those_that_there_are() -> None:
    from fetchall.cli import command

    known = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    for line in re.findall(r"fetchall (?:urls|/data|--merge)[^#\n]*", PAGE):
        for flag in re.findall(r"(?<=\s)--?[a-z][a-z-]*", f" {line}"):
            assert flag in known, line


def test_the_pages_program_runs(site: Site, tmp_path: Path) -> None:
    import subprocess

    from tests.command import environment

    written_list(tmp_path, [site.url("/1"), site.url("/status/404")])
    (tmp_path / "program.py").write_text(re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0])
    words = [sys.executable, "program.py"]
    done = subprocess.run(words, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("2 rows, 1 failed\n", "")
