"""A row that names a file never outlives the file: synced before it, and looked for after a kill."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetchall import Options, Request, Result
from fetchall.options import Reporting
from fetchall.outputs import Outputs
from fetchall.person import Person
from fetchall.rows import Columns, Row
from fetchall.sinks.saved import SavedFiles
from tests.resuming import ANSWER, Site, apart, fetchall, rows


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as opened:
        yield opened


def row(index: int, file: str | None, size: int = 1) -> Row:
    return Row(Result(Request("http://h/", index), "GET", "http://h/", file=file, size=size), Columns(file=True))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="names of descriptors are in /proc")
@pytest.mark.parametrize("shards", [0, 2])
def test_bodies_are_synced_before_the_rows_that_name_them(
    shards: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "b"
    reporting = Reporting(output=(str(tmp_path / "a.jsonl"),), quiet=True)
    options = Options(bodies=str(folder), tar_shards=shards)
    outputs = Outputs(reporting, options, Person(reporting), lambda: None, Columns.of(options))
    outputs.begin(None, options)
    (folder / "sub").mkdir(parents=True)
    names = ["one", "sub/two", "gone"]
    for name in names[:2]:
        (folder / name).write_text("x")
    for sink in outputs.sinks:
        sink.write([row(index, name if not shards else "00000.tar/x") for index, name in enumerate(names)])
    if shards:
        target = outputs.attached(options).shards
        descriptor = os.open(folder / "one", os.O_RDONLY)
        target.add(descriptor, 1, "txt", row(0, None).result)
        os.close(descriptor)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    assert outputs.journal is not None
    outputs.journal.sync()
    if shards:
        expected = [f"{folder}/00000.tar.part", str(folder), str(tmp_path)]
    else:
        expected = [f"{folder}/one", f"{folder}/sub/two", str(folder), str(tmp_path), f"{folder}/sub"]
    assert sorted(synced[:-1]) == sorted(expected)
    assert synced[-1] == f"{tmp_path}/a.jsonl.part"
    synced.clear()
    outputs.journal.sync()
    assert shards or synced == [f"{tmp_path}/a.jsonl.part"]
    outputs.withdraw()


def test_what_cannot_be_synced_because_it_is_no_file_of_ours_ends_nothing(tmp_path: Path) -> None:
    """With --no-clobber a row may name what was there before, whatever that is."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/")
    (tmp_path / "file").write_text("x")
    saved = SavedFiles(str(tmp_path), any_size=True)
    saved.write([row(index, name) for index, name in enumerate(["pipe", "link", "file/x", "none", "file"])])
    saved.sync()


def test_a_disk_that_does_not_take_a_body_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    (tmp_path / "file").write_text("x")
    saved = SavedFiles(str(tmp_path), any_size=False)
    saved.write([row(0, "file")])
    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="Input/output"):
        saved.sync()


def test_after_a_kill_a_row_whose_file_is_not_there_is_fetched_again(site: Site, tmp_path: Path) -> None:
    """A power cut may leave a row that was not synced without its file, or with a part of it."""
    folder, output = tmp_path / "b", tmp_path / "out.jsonl"
    listing = site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(20)), "/kill")
    words = [listing, "-q", "-o", output, "--bodies", folder, "-c", 1, "--resume"]
    process = subprocess.Popen(apart(*words))

    def kill() -> bytes:
        process.kill()
        return ANSWER

    site.on["/kill"] = kill
    assert process.wait() == -9
    done = {line["index"]: folder / line["file"] for line in rows(tmp_path / "out.jsonl.part")}
    assert len(done) > 10
    done[3].unlink()
    done[5].write_bytes(b"")
    site.on["/kill"] = lambda: ANSWER
    assert fetchall(*words) == 0
    lines = rows(output)
    assert sorted(line["index"] for line in lines) == list(range(21))
    assert all((folder / line["file"]).stat().st_size == line["size"] for line in lines)
    again = {path for path, count in site.counts.items() if count > 1}
    assert again - {"/kill"} - {f"/{index}" for index in range(20) if index not in done} == {"/3", "/5"}


def test_files_of_rows_that_were_noted_are_their_owners_to_move(site: Site, tmp_path: Path) -> None:
    folder, output = tmp_path / "b", tmp_path / "out.jsonl"
    listing = site.write(tmp_path / "urls.txt", "/1", "/2", "/stop", "/3")
    words = [listing, "-q", "-o", output, "--bodies", folder, "-c", 1, "--resume"]
    assert fetchall(*words, "--grace", 0) == 143
    for path in folder.iterdir():
        path.unlink()
    site.on["/stop"] = lambda: ANSWER
    assert fetchall(*words) == 0
    assert (site.counts["/1"], site.counts["/2"]) == (1, 1)


def test_a_finished_output_with_bodies_can_be_gone_on_with(site: Site, tmp_path: Path) -> None:
    listing = site.write(tmp_path / "urls.txt", "/1")
    words = [listing, "-q", "-o", tmp_path / "out.jsonl", "--bodies", tmp_path / "b"]
    assert fetchall(*words) == 0
    site.write(listing, "/1", "/2")
    assert fetchall(*words, "--resume") == 0
    assert [line["index"] for line in rows(tmp_path / "out.jsonl")] == [0, 1]
    assert fetchall(*words[:-2], "--resume") == 4
