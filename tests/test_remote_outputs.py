"""An output may be a URL: it is there whole or not at all, and nothing is lost where it can't be put."""

from __future__ import annotations

import gzip
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import fsspec
import pytest

from fetchall.sinks import FORMS
from tests.command import environment, run, start, until
from tests.resuming import ANSWER, Site, fetchall, rows
from tests.shelf import SECRET, Shelf, on_the_path

PLACE = f"shelf://user:{SECRET}@"
PATHS = [f"/{number}" for number in range(8)]


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the command is run; what it keeps until it is uploaded is in `state` there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    return tmp_path


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder behind `shelf://`."""
    fsspec.register_implementation("shelf", Shelf, clobber=True)
    monkeypatch.setenv("SHELF", str(tmp_path / "shelf"))
    (tmp_path / "shelf").mkdir()
    return tmp_path / "shelf"


def waiting(folder: Path) -> list[str]:
    """What is in the waiting room, by the names that it will have."""
    room = folder / "state" / "fetchall"
    return sorted(path.name.partition("-")[2] for path in room.iterdir()) if room.exists() else []


def command(site: Site, folder: Path, *outputs: str, paths: list[str] = PATHS) -> list[str]:
    site.write(folder / "urls.txt", *paths)
    return ["urls.txt", *(word for output in outputs for word in ("-o", output)), "-c", "1", "--grace", "0", "-q"]


def payloads(archive: bytes) -> list[bytes]:
    """What its records hold, without their heads."""
    return gzip.decompress(archive).split(b"\r\n\r\n")[1::3]


@pytest.mark.parametrize("ending", sorted(FORMS))
@pytest.mark.parametrize("scheme", ["memory", "shelf"])
def test_every_form_is_at_its_place_as_a_local_one_would_be(
    ending: str, scheme: str, site: Site, folder: Path, shelf: Path
) -> None:
    assert fetchall(*command(site, folder, f"{scheme}://out{ending}", f"out{ending}")) == 0
    with fsspec.open(f"{scheme}://out{ending}", "rb") as file:
        found = file.read()
    wanted = (folder / f"out{ending}").read_bytes()
    if ending == ".warc.gz":  # its records have names of their own
        assert payloads(found) == payloads(wanted)
        return
    assert found == wanted
    assert waiting(folder) == []


def test_several_outputs_may_go_to_several_places(site: Site, folder: Path, shelf: Path) -> None:
    assert fetchall(*command(site, folder, "shelf://a.json", "b.csv", "memory://b.parquet", "shelf://c.jsonl")) == 0
    assert {path.name for path in shelf.iterdir()} == {"a.json", "c.jsonl"}
    assert len(rows(shelf / "a.json")) == len(rows(shelf / "c.jsonl")) == len(PATHS)
    assert fsspec.open("memory://b.parquet").fs.exists("/b.parquet")


@pytest.mark.parametrize("name", ["out.jsonl", "out.json", "out.parquet", "out.har"])
def test_a_run_that_stopped_left_nothing_there_and_goes_on(name: str, site: Site, folder: Path, shelf: Path) -> None:
    words = command(site, folder, PLACE + name, paths=[*PATHS, "/stop", "/last"])
    assert fetchall(*words) == 143
    assert list(shelf.iterdir()) == []
    assert name + ".part" in waiting(folder)
    site.on["/stop"] = lambda: ANSWER
    assert fetchall(*words) == 3  # an unfinished run is safe from its owner
    assert fetchall(*words, "--resume") == 0
    assert [path.name for path in shelf.iterdir()] == [name]
    assert waiting(folder) == []
    assert sorted(site.counts.elements()) == sorted([*PATHS, "/stop", "/stop", "/last"])
    if name in ("out.jsonl", "out.json"):
        assert sorted(row["index"] for row in rows(shelf / name)) == list(range(len(PATHS) + 2))


@pytest.mark.parametrize("name", ["out.jsonl", "out.json", "out.parquet", "out.warc.gz", "out.sqlite"])
@pytest.mark.parametrize("step", ["put", "mv"])
def test_what_can_not_be_put_is_kept_and_put_later(
    name: str, step: str, site: Site, folder: Path, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shelf / "refuses").write_text(step)
    words = command(site, folder, PLACE + name)
    assert fetchall(*words) == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        f"fetchall: shelf://user:***@{name}: no place for shelf://user:***@x; not uploaded, but whole"
    )
    kept = Path(line.partition("whole in ")[2].partition(";")[0])
    assert kept.stat().st_size > 0
    assert line.endswith("the same command with --resume uploads it")
    assert {path.name for path in shelf.iterdir()} == {"refuses"}
    (shelf / "refuses").unlink()
    assert fetchall(*words, "--resume") == 0
    assert capsys.readouterr().err == ""
    assert site.counts == dict.fromkeys(PATHS, 1)
    assert [path.name for path in shelf.iterdir()] == [name]
    assert waiting(folder) == []


def test_an_earlier_output_stays_until_the_new_one_is_there(site: Site, folder: Path, shelf: Path) -> None:
    (shelf / "out.json").write_bytes(b"earlier")
    (shelf / "refuses").write_text("put")
    words = command(site, folder, "shelf://out.json")
    assert fetchall(*words) == 3
    assert (shelf / "out.json").read_bytes() == b"earlier"
    (shelf / "refuses").unlink()
    assert fetchall(*words, "--overwrite") == 0
    assert len(rows(shelf / "out.json")) == len(PATHS)


@pytest.mark.parametrize("name", ["out.jsonl", "out.json", "out.har"])
def test_a_list_that_grew_adds_to_what_is_there(name: str, site: Site, folder: Path, shelf: Path) -> None:
    words = command(site, folder, *dict.fromkeys(("shelf://rows.jsonl", f"shelf://{name}")))
    assert fetchall(*words) == 0
    site.write(folder / "urls.txt", *PATHS, "/more")
    assert fetchall(*words, "--resume") == 0
    assert site.counts == dict.fromkeys([*PATHS, "/more"], 1)
    if name == "out.har":
        assert len(json.loads((shelf / name).read_bytes())["log"]["entries"]) == len(PATHS) + 1
    else:
        assert sorted(row["index"] for row in rows(shelf / name)) == list(range(len(PATHS) + 1))


def kept_rows(folder: Path) -> list[bytes]:
    """The lines of what waits to be uploaded."""
    (part,) = (folder / "state" / "fetchall").glob("*.part")
    return part.read_bytes().splitlines()


def test_a_run_that_was_killed_goes_on_in_a_process_of_its_own(site: Site, folder: Path, shelf: Path) -> None:
    env = environment(PYTHONPATH=on_the_path(folder / "path"))
    words = command(site, folder, "shelf://out.jsonl", paths=[*PATHS, "/hold"])
    process = start(*words, folder=folder, env=env)
    until(lambda: site.counts["/hold"] and len(kept_rows(folder)) == len(PATHS))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert list(shelf.iterdir()) == []
    site.on["/hold"] = lambda: ANSWER
    done = run(*words, "--resume", folder=folder, env=env)
    assert (done.code, done.err) == (0, "")
    assert sorted(row["index"] for row in rows(shelf / "out.jsonl")) == list(range(len(PATHS) + 1))
    assert site.counts == dict.fromkeys(PATHS, 1) | {"/hold": 2}


def test_the_summary_says_where_it_is_and_no_secret(
    site: Site, folder: Path, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = command(site, folder, f"{PLACE}out.jsonl")[:-1]
    assert fetchall(*words, "-v") == 0
    assert "written to shelf://user:***@out.jsonl" in capsys.readouterr().err
    assert fetchall(*words, paths_of_state(folder)) == 3
    assert SECRET not in capsys.readouterr().err


def paths_of_state(folder: Path) -> str:
    """A source that is not there, so that the run ends with a message."""
    return str(folder / "state" / "no-such-list")


def test_no_secret_is_in_what_waits(site: Site, folder: Path, shelf: Path) -> None:
    assert fetchall(*command(site, folder, f"{PLACE}out.json", paths=["/1", "/stop", "/2"])) == 143
    room = folder / "state" / "fetchall"
    assert room.stat().st_mode & 0o077 == 0
    for path in room.iterdir():
        assert SECRET not in path.name
        assert SECRET.encode() not in path.read_bytes()


def test_what_can_not_be_reached_is_known_before_the_first_request(
    site: Site, folder: Path, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (shelf / "refuses").write_text("info")
    assert fetchall(*command(site, folder, f"{PLACE}out.json")) == 3
    assert capsys.readouterr().err == "fetchall: shelf://user:***@out.json: no place for shelf://user:***@x\n"
    assert fetchall(*command(site, folder, "out.json"), "--summary", f"{PLACE}run.json") == 3
    assert site.asked == []
    assert waiting(folder) == []


def test_the_summary_of_a_run_may_go_to_a_place_too(
    site: Site, folder: Path, shelf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*command(site, folder, "out.json"), "--summary", f"{PLACE}run.json"]
    assert fetchall(*words) == 0
    assert json.loads((shelf / "run.json").read_bytes())["summary"]["urls"] == len(PATHS)
    (shelf / "refuses").write_text("put")
    assert fetchall(*words) == 3
    line = capsys.readouterr().err
    kept = Path(line.strip().partition("not uploaded, but whole in ")[2])
    assert json.loads(kept.read_bytes())["summary"]["urls"] == len(PATHS)


def test_a_plan_may_go_to_a_place_too(site: Site, folder: Path, shelf: Path) -> None:
    assert fetchall(*command(site, folder, f"{PLACE}plan.json"), "--plan") == 0
    assert json.loads((shelf / "plan.json").read_bytes())
    assert site.asked == []


@pytest.mark.parametrize("scheme", ["file", "local"])
def test_a_url_of_a_local_file_is_that_file(scheme: str, site: Site, folder: Path) -> None:
    words = command(site, folder, f"{scheme}://{folder}/out.json", paths=["/1", "/stop"])
    assert fetchall(*words) == 143
    assert (folder / "out.json.part").exists()
    site.on["/stop"] = lambda: ANSWER
    assert fetchall(*words, "--resume", "--summary", f"{scheme}://{folder}/run.json") == 0
    assert len(rows(folder / "out.json")) == 2
    assert (folder / "run.json").exists()
    assert waiting(folder) == []


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["-o", "https://h/out.json"], 2, "https://h/out.json: nothing is sent to web servers"),
        (["-o", "zip://out.json::memory://a.zip"], 2, "leave out what stands before ::"),
        (["-o", "nosuch://u:pw@h/out.json"], 3, "nosuch://u:***@h/out.json: Protocol not known: nosuch"),
        (["-o", "s3://bucket/out.json"], 3, "s3://bucket/out.json: Install s3fs to access S3"),
        (["-o", "memory://u:pw@out.xyz"], 3, "memory://u:***@out.xyz: its ending names no form"),
        (["-o", "memory://out.json", "-o", "memory://out.json"], 2, "is named twice as an output"),
        (["-o", "memory://out.json", "--summary", "memory://out.json"], 2, "is named twice as an output"),
        (["-o", "memory://list.jsonl", "memory://list.jsonl"], 2, "is both the list and an output"),
        (["-o", "out.json", "--bodies", "memory://bodies"], 2, "--bodies takes a folder of this machine"),
        (["-o", "file:///proc/nowhere/out.json"], 3, "/proc/nowhere/out.json: no such file or directory"),
    ],
)
def test_what_can_not_be_is_refused_in_one_line(
    words: list[str], code: int, said: str, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with fsspec.open("memory://list.jsonl", "wb") as file:
        file.write(b'"http://127.0.0.1:1/"\n')
    words = words if words[-1].endswith("list.jsonl") else [*words, "http://127.0.0.1:1/"]
    assert fetchall(*words) == code
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "pw" not in line


def test_a_list_is_no_output_however_it_is_named(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "rows.jsonl").write_text('"http://127.0.0.1:1/"\n')
    for words in (
        ["rows.jsonl", "-o", f"file://{folder}/rows.jsonl"],
        [f"file://{folder}/rows.jsonl", "-o", "rows.jsonl"],
    ):
        assert fetchall(*words) == 2
        assert "both the list and an output" in capsys.readouterr().err
    assert (folder / "rows.jsonl").read_text() == '"http://127.0.0.1:1/"\n'


def test_a_waiting_room_that_can_not_be_made_is_named(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", "/proc/nowhere")
    assert fetchall(*command(site, folder, "memory://out.json")) == 3
    assert "/proc/nowhere/fetchall: no such file or directory; XDG_STATE_HOME" in capsys.readouterr().err
    assert site.asked == []


def without_fsspec(folder: Path) -> dict[str, str]:
    """An environment in which fsspec is not installed, and says when somebody tries."""
    (folder / "hidden").mkdir(parents=True)
    (folder / "hidden" / "fsspec.py").write_text("raise ImportError('it is not installed')\n")
    return environment(PYTHONPATH=os.pathsep.join([str(folder / "hidden"), environment()["PYTHONPATH"]]))


def test_without_its_extra_one_line_says_what_to_install(folder: Path) -> None:
    for name in ("s3://bucket/out.json", "file:///tmp/out.json"):
        done = run("http://127.0.0.1:1/", "-o", name, folder=folder, env=without_fsspec(folder / name[0]))
        assert done.code == 2
        assert done.err == (
            "fetchall: an output that is not a local file needs the extra 'remote': pip install 'fetchall[remote]'\n"
        )


def test_local_runs_and_help_do_not_import_it(site: Site, folder: Path) -> None:
    code = "import sys; from fetchall.cli import main\ntry: main()\nfinally: assert 'fsspec' not in sys.modules"
    listed = command(site, folder, "out.json")
    (folder / "urls.txt").rename(folder / "file")
    for words in (["--help"], ["file", *listed[1:]]):
        done = subprocess.run(
            [sys.executable, "-c", code, *words], cwd=folder, env=environment(FETCHALL_OUTPUT="s3://b/x.json")
        )
        assert done.returncode == 0
