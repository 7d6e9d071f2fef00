"""A run that stopped goes on: every URL has exactly one row, and nothing is mixed that does not belong together."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bench.storm import ROOT
from tests.resuming import ANSWER, FULL, Site, apart, contents, end_this, fetchall, rows

FORMS = {
    "jsonl": ("out.jsonl",),
    "json": ("out.json",),
    "ordered": ("out.jsonl", "--ordered"),
    "both": ("out.jsonl", "out.json"),
    "document first": ("out.json", "out.jsonl"),
}
PATHS = [f"/{number}" for number in range(12)]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def words(form: str) -> list[str]:
    return [word for name in FORMS[form] for word in ((name,) if name.startswith("-") else ("-o", name))]


def outputs(folder: Path, form: str) -> list[Path]:
    return [folder / name for name in FORMS[form] if not name.startswith("-")]


def interrupted(site: Site, folder: Path, form: str = "jsonl", paths: list[str] = PATHS) -> list[str]:
    """A run that was asked to end when eight rows were done; the words of its command."""
    listed = [*paths[:8], "/stop", *paths[8:]]
    site.write(folder / "urls.txt", *listed)
    command = ["urls.txt", *words(form), "-c", "1", "--grace", "0", "-q"]
    assert fetchall(*command) == 143
    site.on["/stop"] = lambda: ANSWER
    return command


@pytest.mark.parametrize("form", FORMS)
def test_an_interrupted_run_goes_on_and_every_url_has_one_row(site: Site, folder: Path, form: str) -> None:
    command = interrupted(site, folder, form)
    for path in outputs(folder, form):
        part = path.with_name(path.name + ".part")
        assert [row["index"] for row in rows(part)] == list(range(8))
        assert not path.exists()
        if path.suffix == ".json":
            assert json.loads(part.read_bytes())["summary"]["interrupted"] is True
    assert fetchall(*command, "--resume") == 0
    for path in outputs(folder, form):
        assert sorted(row["index"] for row in rows(path)) == list(range(13))
    assert sorted(site.counts.elements()) == sorted([*PATHS, "/stop", "/stop"])
    assert {path.name for path in folder.iterdir()} == {"urls.txt", *(path.name for path in outputs(folder, form))}


@pytest.mark.parametrize("form", FORMS)
def test_a_list_that_grew_at_its_end_goes_on(site: Site, folder: Path, form: str) -> None:
    command = interrupted(site, folder, form)
    with (folder / "urls.txt").open("a") as file:
        file.write(site.url("/more") + "\n")
    assert fetchall(*command, "--resume") == 0
    for path in outputs(folder, form):
        assert len(rows(path)) == 14
    with (folder / "urls.txt").open("a") as file:
        file.write(site.url("/still-more") + "\n")
    assert fetchall(*command, "--resume") == 0
    for path in outputs(folder, form):
        assert sorted(row["index"] for row in rows(path)) == list(range(15))
    assert max(count for path, count in site.counts.items() if path != "/stop") == 1


def test_a_list_may_come_through_a_pipe_again(site: Site, folder: Path) -> None:
    interrupted(site, folder)
    command = apart("-o", folder / "out.jsonl", "-c", "1", "-q", "--resume")
    with (folder / "urls.txt").open("rb") as file:
        done = subprocess.run(command, stdin=file, cwd=ROOT, timeout=60, check=False)
    assert done.returncode == 0
    assert sorted(row["index"] for row in rows(folder / "out.jsonl")) == list(range(13))
    assert max(count for path, count in site.counts.items() if path != "/stop") == 1


@pytest.mark.parametrize("change", ["head", "middle", "shorter", "swapped"])
@pytest.mark.parametrize("finished", [False, True])
def test_another_list_is_refused_and_nothing_is_touched(
    site: Site, folder: Path, capsys: pytest.CaptureFixture[str], change: str, finished: bool
) -> None:
    command = interrupted(site, folder)
    if finished:
        assert fetchall(*command, "--resume") == 0
    lines = (folder / "urls.txt").read_text().splitlines(keepends=True)
    changed = {
        "head": [site.url("/other") + "\n", *lines[1:]],
        "middle": [*lines[:5], site.url("/other") + "\n", *lines[5:]],
        "shorter": lines[:4],
        "swapped": [lines[1], lines[0], *lines[2:]],
    }
    (folder / "urls.txt").write_text("".join(changed[change]))
    before, asked = contents(folder), len(site.asked)
    assert fetchall(*command, "--resume") == 4
    assert contents(folder) == before
    assert len(site.asked) == asked
    assert "another list" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "named"),
    [
        (["--headers"], "--headers"),
        (["-H", "X-Colour: red"], "--header"),
        (["-X", "OPTIONS"], "--request"),
        (["--accept", "200"], "--accept"),
        (["--no-location"], "--location"),
        (["--max-body", "5"], "--max-body"),
        (["-u", "me:word"], "--user"),
        (["--ordered"], "ordered"),
    ],
)
def test_options_that_would_mix_two_datasets_are_refused_by_name(
    site: Site, folder: Path, capsys: pytest.CaptureFixture[str], more: list[str], named: str
) -> None:
    command = interrupted(site, folder)
    before = contents(folder)
    assert fetchall(*command, *more, "--resume") == 4
    assert contents(folder) == before
    assert named in capsys.readouterr().err


def test_how_fast_and_how_patiently_is_free_to_change(site: Site, folder: Path) -> None:
    command = interrupted(site, folder)
    free = ["-c", "7", "--timeout", "9", "--retries", "0", "--fsync", "0", "--oauth2-bearer", "new", "-o", "also.json"]
    assert fetchall(*command, *free, "--resume") == 0
    assert len(rows(folder / "out.jsonl")) == 13
    assert [row["index"] for row in rows(folder / "also.json")] == list(range(13))


def test_a_finished_output_of_other_columns_is_refused(
    site: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site.write(folder / "urls.txt", "/1")
    assert fetchall("urls.txt", "-o", "out.json", "-q") == 0
    before = contents(folder)
    assert fetchall("urls.txt", "-o", "out.json", "-q", "--resume", "--sha256") == 4
    assert contents(folder) == before
    assert "sha256" in capsys.readouterr().err


def test_a_finished_output_of_a_list_with_columns_or_of_bodies_is_gone_on_with(site: Site, folder: Path) -> None:
    (folder / "urls.csv").write_text(f"id,url\n7,{site.url('/1')}\n")
    for more in ((), ("--bodies", "pages")):
        for _ in range(2):
            assert fetchall("urls.csv", "-o", f"out{len(more)}.jsonl", "-q", "--resume", *more) == 0
    assert site.counts["/1"] == 2
    assert fetchall("urls.csv", "-o", "out2.jsonl", "-q", "--resume", "--sha256") == 4


def test_no_secret_is_in_the_state(site: Site, folder: Path) -> None:
    site.write(folder / "urls.txt", "/1", "/stop")
    secrets = ["-H", "X-Key: hunter2-key", "-u", "me:hunter2-user", "--oauth2-bearer", "hunter2-token"]
    secrets += ["-b", "id=hunter2-cookie", "-d", "hunter2-data"]
    for pair in (secrets[:4], secrets[4:6], secrets[6:]):
        site.on.pop("/stop", None)
        assert fetchall("urls.txt", "-o", "out.jsonl", "-c", "1", "--grace", "0", "-q", "--overwrite", *pair) == 143
        state = (folder / "out.jsonl.part.state").read_text()
        assert "hunter2" not in state
        assert os.stat("out.jsonl.part.state").st_mode & 0o077 == 0
        site.on["/stop"] = lambda: ANSWER
        assert fetchall("urls.txt", "-o", "out.jsonl", "-c", "1", "-q", "--resume", *pair) == 0


def test_the_identity_survives_the_masking_of_passwords(site: Site, folder: Path) -> None:
    first, last = site.url("/1", "me:secret@"), site.url("/2", "tok3n@")
    (folder / "urls.txt").write_text(f"{first}\n{last}\n{site.url('/stop')}\nhttp://me:secret@[x\n")
    command = ["urls.txt", "-o", "out.jsonl", "-c", "1", "--grace", "0", "-q"]
    assert fetchall(*command) == 143
    site.on["/stop"] = lambda: ANSWER
    assert fetchall(*command, "--resume") == 1
    assert site.counts["/1"] == site.counts["/2"] == 1
    assert len(rows(folder / "out.jsonl")) == 4
    assert "secret" not in (folder / "out.jsonl").read_text()


def test_an_unfinished_run_is_safe_from_its_owner(site: Site, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = interrupted(site, folder)
    before = contents(folder)
    assert fetchall(*command) == 3
    assert contents(folder) == before
    said = capsys.readouterr().err
    assert "--resume" in said
    assert "--overwrite" in said
    assert fetchall(*command, "--overwrite") == 0
    assert len(rows(folder / "out.jsonl")) == 13
    assert site.counts["/0"] == 2


def test_resume_without_anything_to_go_on_from_begins(site: Site, folder: Path) -> None:
    site.write(folder / "urls.txt", *PATHS)
    assert fetchall("urls.txt", "-o", "out.jsonl", "-q", "--resume") == 0
    assert len(rows(folder / "out.jsonl")) == 12


@pytest.mark.parametrize(
    "bad", [["--resume"], ["--resume", "-o", "-"], ["--retry-failed", "-o", "x.jsonl"], ["--resume", "--overwrite"]]
)
def test_resume_without_a_file_is_a_mistake_of_usage(site: Site, folder: Path, bad: list[str]) -> None:
    site.write(folder / "urls.txt", "/1")
    assert fetchall("urls.txt", *bad) == 2
    assert set(contents(folder)) == {"urls.txt"}


def test_a_finished_output_is_replaced_only_when_the_new_one_is_whole(site: Site, folder: Path) -> None:
    (folder / "out.jsonl").write_text('{"index":0,"url":"of an earlier run"}\n')
    command = interrupted(site, folder)
    assert "earlier" in (folder / "out.jsonl").read_text()
    assert fetchall(*command, "--resume") == 0
    assert len(rows(folder / "out.jsonl")) == 13


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    ("types", "again"),
    [("", 4), ("all", 4), ("404", 2), ("5xx", 1), ("invalid_url,500", 2), ("dns,timeout", 0)],
)
def test_retry_failed_fetches_again_what_failed_and_the_new_row_takes_its_place(
    site: Site, folder: Path, form: str, types: str, again: int
) -> None:
    site.write(folder / "urls.txt", "/1", "/status/404/a", "/2", "/status/500/b", "/status/404/c", "/3")
    with (folder / "urls.txt").open("a") as file:
        file.write("http://[bad\n")
    command = ["urls.txt", *words(form), "-q", "--retries", "0"]
    assert fetchall(*command) == 1
    for asked in list(site.counts):
        site.on[asked] = lambda: ANSWER
    before = site.counts
    assert fetchall(*command, "--resume", f"--retry-failed={types}" if types else "--retry-failed") == 1
    for path in outputs(folder, form):
        found = {row["index"]: row for row in rows(path)}
        assert len(rows(path)) == len(found) == 7
        assert sum(row["ok"] for row in found.values()) == 3 + again - ("invalid_url" in types or types in ("", "all"))
    fetched = site.counts - before
    assert sum(fetched.values()) == again - ("invalid_url" in types or types in ("", "all"))
    assert "/1" not in fetched


def test_retry_failed_leaves_the_next_word_alone(site: Site, folder: Path) -> None:
    site.write(folder / "urls.txt", "/status/404")
    assert fetchall("urls.txt", "-o", "out.jsonl", "-q") == 1
    site.on["/status/404"] = lambda: ANSWER
    assert fetchall("-o", "out.jsonl", "-q", "--resume", "--retry-failed", "urls.txt") == 0


def test_a_retry_of_failures_that_is_interrupted_loses_no_url(site: Site, folder: Path) -> None:
    site.write(folder / "urls.txt", "/1", "/status/404/a", "/2", "/status/404/stop", "/status/404/b")
    command = ["urls.txt", "-o", "out.jsonl", "-q", "-c", "1", "--grace", "0"]
    assert fetchall(*command) == 1
    finished = (folder / "out.jsonl").read_bytes()
    site.on["/status/404/stop"] = lambda: end_this()
    assert fetchall(*command, "--resume", "--retry-failed") == 143
    assert (folder / "out.jsonl").read_bytes() == finished
    site.on["/status/404/stop"] = lambda: ANSWER
    assert fetchall(*command, "--resume") == 1
    assert sorted(row["index"] for row in rows(folder / "out.jsonl")) == list(range(5))


def test_two_runs_on_one_output_the_second_ends_at_once(
    site: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = interrupted(site, folder)
    with (folder / "out.jsonl.part").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        before = contents(folder)
        for more in ([], ["--resume"], ["--overwrite"]):
            assert fetchall(*command, *more) == 4
        assert contents(folder) == before
        assert "in use" in capsys.readouterr().err
    # A dead process holds no lock.
    assert fetchall(*command, "--resume") == 0


def test_a_second_output_that_is_in_use_is_left_alone_too(site: Site, folder: Path) -> None:
    site.write(folder / "urls.txt", "/1")
    (folder / "b.json.part").write_bytes(b"")
    with (folder / "b.json.part").open("rb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert fetchall("urls.txt", "-o", "a.jsonl", "-o", "b.json", "--overwrite") == 4
    assert set(contents(folder)) == {"urls.txt", "b.json.part"}


def summary(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "summary.json").read_bytes()))


def test_summary_timing_and_exit_code_speak_of_all_rows(site: Site, folder: Path) -> None:
    command = [*interrupted(site, folder, paths=["/status/404", *PATHS[1:]]), "--summary", "summary.json"]
    earlier = json.loads((folder / "out.jsonl.part.state").read_bytes())["elapsed"]
    assert fetchall(*command, "--resume") == 1
    told = summary(folder)
    assert told["summary"]["urls"] == 13
    assert told["summary"]["status"] == {"200": 12, "404": 1}
    assert told["summary"]["interrupted"] is False
    assert told["summary"]["bytes"] == 26
    assert told["summary"]["elapsed"] > earlier > 0
    assert told["timing"]["sync"]["requests_per_second"] is not None
    # The same again, of a finished output: nothing is fetched, and its failure is still one.
    asked = len(site.asked)
    assert fetchall(*command, "--resume") == 1
    assert len(site.asked) == asked
    for name in ("urls", "ok", "failed", "retries", "bytes", "wire_bytes", "status", "errors", "interrupted"):
        assert summary(folder)["summary"][name] == told["summary"][name]


def test_a_signal_in_the_sequential_pass_leaves_a_run_that_goes_on(site: Site, folder: Path) -> None:
    command = [*interrupted(site, folder), "--overwrite", "--sync"]
    site.on.pop("/stop")
    assert fetchall(*command) == 143
    assert rows(folder / "out.jsonl.part") == []
    site.on["/stop"] = lambda: ANSWER
    command[command.index("--overwrite")] = "--resume"
    assert fetchall(*command, "--summary", "summary.json") == 0
    assert summary(folder)["timing"]["sync"]["measured"] is True
    assert len(rows(folder / "out.jsonl")) == 13


def test_the_sequential_pass_is_not_repeated_when_its_time_is_known(site: Site, folder: Path) -> None:
    site.write(folder / "urls.txt", "/1", "/stop", "/2")
    turns = iter([ANSWER, None])
    site.on["/stop"] = lambda: next(turns, None) or end_this()
    command = ["urls.txt", "-o", "out.jsonl", "-q", "-c", "1", "--grace", "0", "--sync", "--summary", "summary.json"]
    assert fetchall(*command) == 143
    site.on["/stop"] = lambda: ANSWER
    assert fetchall(*command, "--resume") == 0
    assert summary(folder)["timing"]["speedup"] is not None
    assert site.counts["/1"] == 2


@pytest.mark.parametrize("form", ["jsonl", "json", "ordered"])
@pytest.mark.timeout(3600)
def test_an_output_cut_at_any_of_its_last_bytes_goes_on(site: Site, folder: Path, form: str) -> None:
    command = interrupted(site, folder, form)
    journal = "out.jsonl.part" if form == "jsonl" else f"{FORMS[form][0]}.part.journal"
    kept = contents(folder)
    whole = kept[journal]
    cuts = range(1, min(2000, len(whole)) + 1, 1 if FULL else 37)
    for cut in cuts:
        for name, data in kept.items():
            (folder / name).write_bytes(data)
        (folder / journal).write_bytes(whole[:-cut])
        asked = len(site.asked)
        assert fetchall(*command, "--resume") == 0
        left = whole[:-cut].count(b"\n")
        assert len(site.asked) - asked == 13 - left
        assert sorted(row["index"] for row in rows(folder / FORMS[form][0])) == list(range(13))
        (folder / FORMS[form][0]).unlink()


@pytest.mark.parametrize("form", ["jsonl", "json"])
@pytest.mark.timeout(3600)
def test_a_finished_output_that_was_cut_goes_on(site: Site, folder: Path, form: str) -> None:
    command = interrupted(site, folder, form)
    assert fetchall(*command, "--resume") == 0
    out = folder / FORMS[form][0]
    whole = out.read_bytes()
    for cut in range(1, min(2000, len(whole)) + 1, 1 if FULL else 97):
        out.write_bytes(whole[:-cut])
        assert fetchall(*command, "--resume") == 0
        assert sorted(row["index"] for row in rows(out)) == list(range(13))


@pytest.mark.parametrize("tail", [b"\0" * 700, b'{"index":9,"url":"http', b"\0\0\n", b"garbage\n{}\n"])
def test_what_a_power_cut_left_behind_the_synced_rows_is_cut(site: Site, folder: Path, tail: bytes) -> None:
    command = interrupted(site, folder)
    with (folder / "out.jsonl.part").open("ab") as file:
        file.write(tail)
    assert fetchall(*command, "--resume") == 0
    assert sorted(row["index"] for row in rows(folder / "out.jsonl")) == list(range(13))


def test_garbage_among_the_synced_rows_is_refused_with_its_offset(
    site: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = interrupted(site, folder)
    part = folder / "out.jsonl.part"
    lines = part.read_bytes().splitlines(keepends=True)
    lines[3] = b"x" * (len(lines[3]) - 1) + b"\n"
    part.write_bytes(b"".join(lines))
    before = contents(folder)
    assert fetchall(*command, "--resume") == 4
    assert contents(folder) == before
    assert f"byte {sum(map(len, lines[:3]))}" in capsys.readouterr().err


def test_a_row_that_is_there_twice_is_refused(site: Site, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = interrupted(site, folder)
    part = folder / "out.jsonl.part"
    part.write_bytes(part.read_bytes() + part.read_bytes().splitlines(keepends=True)[2])
    assert fetchall(*command, "--resume") == 4
    assert "two rows for index 2" in capsys.readouterr().err


@pytest.mark.parametrize("state", [None, b"", b'{"fetchall": "0.1.0", "vers', b"[]", b'{"fetchall":"9","version":99}'])
def test_a_state_that_says_nothing_is_refused(
    site: Site, folder: Path, capsys: pytest.CaptureFixture[str], state: bytes | None
) -> None:
    command = interrupted(site, folder)
    path = folder / "out.jsonl.part.state"
    path.unlink() if state is None else path.write_bytes(state)
    before = contents(folder)
    assert fetchall(*command, "--resume") == 4
    assert contents(folder) == before
    assert "--overwrite" in capsys.readouterr().err


@pytest.mark.parametrize("document", [b"", b"{}", b'{"results": []}\n', b"not JSON at all\n"])
def test_a_finished_output_that_is_none_of_ours_is_not_gone_on_with(site: Site, folder: Path, document: bytes) -> None:
    site.write(folder / "urls.txt", "/1")
    (folder / "out.json").write_bytes(document)
    code = fetchall("urls.txt", "-o", "out.json", "-q", "--resume")
    assert code == (0 if not document else 4)
    assert (folder / "out.json").read_bytes() == document or not document


def test_a_list_that_cannot_be_read_leaves_nothing_behind(site: Site, folder: Path) -> None:
    (folder / "urls.txt").write_bytes(b"\xff\xfeh\0t\0t\0p\0")
    assert fetchall("urls.txt", "-o", "out.jsonl", "-o", "out.json", "-q") == 3
    assert set(contents(folder)) == {"urls.txt"}
