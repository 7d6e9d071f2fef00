"""A WARC in numbered files: each whole alone, none torn, named together, gone on with after whatever stopped it."""

from __future__ import annotations

import os
import re
import resource
import shutil
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from warcio.checker import Checker

from fetchall.errors import ResumeError
from fetchall.sinks import Ending, make
from fetchall.sinks.archive import Archive
from fetchall.sinks.journal import Journal
from fetchall.sinks.outlet import PartFile
from tests.command import ROOT, start, until
from tests.resuming import ANSWER, FULL, Site, apart, contents, fetchall, rows
from tests.test_archives import capture, ending, members
from tests.test_machine import can_inject, traced

MOST = 8_000
NOISE = bytes(range(256)) * 10
"""Some that gzip makes less of, so that files fill up."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as opened:
        yield opened


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def opened(path: Path, *, most: int = MOST, cdx: bool = False) -> Archive:
    sink = make("warc", PartFile(str(path), keep=True), max_size=most, cdx=cdx)
    assert isinstance(sink, Archive)
    return sink


def fill(sink: Archive, first: int, last: int, size: int = 1_000) -> None:
    for index in range(first, last):
        sink.take(capture(index, os.urandom(size)))


def volumes(folder: Path, ending: str = "") -> list[Path]:
    found = sorted(folder.glob(f"a-*.warc.gz{ending}"))
    assert [path.name for path in found] == [f"a-{number:05}.warc.gz{ending}" for number in range(len(found))]
    return found


def indexes(paths: list[Path]) -> list[int]:
    """Of the answers of several files, each of which is whole alone and tears no pair apart."""
    found = []
    for path in paths:
        assert Checker(SimpleNamespace(inputs=[str(path)], verbose=False)).process_all() == 0
        (info, _), *records = members(path)
        assert info["WARC-Type"] == "warcinfo"
        assert info["WARC-Filename"] == path.name.removesuffix(".part")
        for (answer, _), (request, _) in zip(records[::2], records[1::2], strict=True):
            assert (answer["WARC-Type"], request["WARC-Type"]) == ("response", "request")
            assert request["WARC-Concurrent-To"] == answer["WARC-Record-ID"]
            found.append(int(answer["Fetchall-Index"]))
    return found


def test_every_file_is_whole_alone_and_no_larger_than_asked(tmp_path: Path) -> None:
    sink = opened(tmp_path / "a.warc.gz")
    sink.begin()
    fill(sink, 0, 40)
    assert not volumes(tmp_path)
    sink.close(ending())
    assert len(volumes(tmp_path)) > 5
    assert indexes(volumes(tmp_path)) == list(range(40))
    sizes = [path.stat().st_size for path in volumes(tmp_path)]
    assert max(sizes) <= MOST
    assert min(sizes[:-1]) > MOST / 2
    assert set(contents(tmp_path)) == {path.name for path in volumes(tmp_path)}


def test_what_is_larger_alone_has_a_file_of_its_own(tmp_path: Path) -> None:
    sink = opened(tmp_path / "a.warc.gz")
    sink.begin()
    fill(sink, 0, 2)
    fill(sink, 2, 4, size=3 * MOST)
    fill(sink, 4, 6)
    sink.close(ending())
    found = volumes(tmp_path)
    assert [indexes([path]) for path in found] == [[0, 1], [2], [3], [4, 5]]


def test_text_that_shrinks_is_not_thought_to_grow(tmp_path: Path) -> None:
    sink = opened(tmp_path / "a.warc.gz", most=100_000)
    sink.begin()
    for index in range(100):
        sink.take(capture(index, b"the same again " * 600))
    sink.close(ending())
    assert all(path.stat().st_size > 85_000 for path in volumes(tmp_path)[:-1])


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_files_that_are_full_do_not_stay_open(tmp_path: Path) -> None:
    sink = opened(tmp_path / "a.warc.gz", most=2_000)
    before = len(os.listdir("/proc/self/fd"))
    sink.begin()
    fill(sink, 0, 100)
    assert len(volumes(tmp_path, ".part")) == 100
    assert len(os.listdir("/proc/self/fd")) < before + 12
    sink.sync()
    assert len(os.listdir("/proc/self/fd")) == before + 1
    sink.close(ending())
    assert indexes(volumes(tmp_path)) == list(range(100))


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc")
def test_every_file_is_synced_and_the_list_of_them_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sink = opened(tmp_path / "a.warc.gz", most=2_000)
    sink.begin()
    fill(sink, 0, 3)
    synced: list[str] = []
    monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.path.basename(os.readlink(f"/proc/self/fd/{file}"))))
    sink.sync()
    assert synced == ["a.warc.gz.part", *(f"a-0000{number}.warc.gz.part" for number in range(3))]
    sink.sync()
    assert synced[4:] == ["a.warc.gz.part", "a-00002.warc.gz.part"]
    sink.abort()


def test_an_interrupted_archive_is_valid_and_unnamed(tmp_path: Path) -> None:
    sink = opened(tmp_path / "a.warc.gz")
    sink.begin()
    fill(sink, 0, 20)
    sink.close(ending(complete=False))
    assert not volumes(tmp_path)
    assert indexes(volumes(tmp_path, ".part")) == list(range(20))
    assert (tmp_path / "a.warc.gz.part").read_text().splitlines()[1:] == [
        path.name.removesuffix(".part") for path in volumes(tmp_path, ".part")
    ]


@pytest.mark.parametrize("longer_before", [False, True])
@pytest.mark.parametrize("stop", range(9))
def test_a_stop_between_two_renames_is_told_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int, longer_before: bool
) -> None:
    if longer_before:
        sink = opened(tmp_path / "a.warc.gz")
        sink.begin()
        fill(sink, 100, 150)
        sink.close(ending())
        assert len(volumes(tmp_path)) > 8
    sink = opened(tmp_path / "a.warc.gz")
    sink.begin()
    fill(sink, 0, 20)
    whole = len(volumes(tmp_path, ".part"))
    assert 5 < whole < 9
    left, replace = [stop], os.replace

    def stopping(source: str, target: str) -> None:
        if not left[0]:
            raise OSError(5, "stopped here", target)
        left[0] -= 1
        replace(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", stopping)
        if stop < whole:
            with pytest.raises(OSError, match="stopped here"):
                sink.close(ending())
            assert (tmp_path / "a.warc.gz.part").read_text().endswith("complete\n")
            if not longer_before:
                # The first is named last: where it is, all are.
                assert not (tmp_path / "a-00000.warc.gz").exists()
        else:
            sink.close(ending())
    sink = opened(tmp_path / "a.warc.gz")
    sink.go_on()
    assert len(volumes(tmp_path, ".part")) == (whole if stop < whole else 0)
    fill(sink, 20, 30)
    sink.close(ending())
    assert indexes(volumes(tmp_path)) == list(range(30))
    assert set(contents(tmp_path)) == {path.name for path in volumes(tmp_path)}


def test_a_file_cut_anywhere_goes_on_after_what_is_whole(tmp_path: Path) -> None:
    path, kept = tmp_path / "a.warc.gz", tmp_path / "kept"
    sink = opened(path)
    sink.begin()
    fill(sink, 0, 12)
    sink.abort()
    shutil.copytree(tmp_path, kept)
    last = volumes(tmp_path, ".part")[-1]
    whole = last.read_bytes()
    for cut in (0, 1, *range(len(whole) // 3, len(whole), 197)):
        last.write_bytes(whole[:cut] + b"\0" * (cut % 3))
        sink = opened(path)
        sink.go_on()
        fill(sink, 12, 14)
        sink.close(ending())
        found = indexes(volumes(tmp_path))
        assert found[:-2] == list(range(len(found) - 2))
        assert found[-2:] == [12, 13]
        for each in volumes(tmp_path):
            each.unlink()
        shutil.copytree(kept, tmp_path, dirs_exist_ok=True)


@pytest.mark.parametrize("torn", ["", "a-000", "a-00002.warc.gz", "\0" * 50, "a-00009.warc.gz\n", "../x\n", "compl"])
def test_a_volume_that_was_listed_and_no_more_is_begun(tmp_path: Path, torn: str) -> None:
    sink = opened(tmp_path / "a.warc.gz")
    sink.begin()
    fill(sink, 0, 3)
    sink.abort()
    with (tmp_path / "a.warc.gz.part").open("a") as file:
        file.write("a-00001.warc.gz\n" + torn)
    sink = opened(tmp_path / "a.warc.gz")
    sink.go_on()
    fill(sink, 3, 4)
    sink.close(ending())
    assert [indexes([path]) for path in volumes(tmp_path)] == [[0, 1, 2], [3]]


def test_a_volume_that_is_gone_is_missed(tmp_path: Path) -> None:
    sink = opened(tmp_path / "a.warc.gz")
    sink.begin()
    fill(sink, 0, 20)
    sink.abort()
    (tmp_path / "a-00001.warc.gz.part").unlink()
    with pytest.raises(FileNotFoundError, match="a-00001"):
        opened(tmp_path / "a.warc.gz").go_on()


def test_a_finished_archive_is_added_to_by_further_files(tmp_path: Path) -> None:
    sink = opened(tmp_path / "a.warc.gz")
    sink.begin()
    fill(sink, 0, 10)
    sink.close(ending())
    before = contents(tmp_path)
    for first in (10, 20):
        sink = opened(tmp_path / "a.warc.gz")
        sink.go_on()
        fill(sink, first, first + 5)
        sink.close(ending(complete=False))
        sink = opened(tmp_path / "a.warc.gz")
        sink.go_on()
        fill(sink, first + 5, first + 10)
        sink.close(ending())
    assert indexes(volumes(tmp_path)) == list(range(30))
    assert before.items() <= contents(tmp_path).items()
    sink = opened(tmp_path / "a.warc.gz")
    sink.go_on()
    sink.close(ending())
    assert indexes(volumes(tmp_path)) == list(range(30))


@pytest.mark.parametrize(("before", "after"), [(0, MOST), (MOST, 0)])
def test_an_archive_in_one_file_is_not_gone_on_with_in_several(tmp_path: Path, before: int, after: int) -> None:
    sink = opened(tmp_path / "a.warc.gz", most=before)
    sink.begin()
    fill(sink, 0, 3)
    sink.abort()
    with pytest.raises(ResumeError, match="--warc-max-size"):
        opened(tmp_path / "a.warc.gz", most=after).check()


def interrupted(site: Site, folder: Path, *outputs: str) -> list[str]:
    site.write(folder / "urls.txt", *(f"/{number}" for number in range(30)), "/stop", *(f"/x{n}" for n in range(9)))
    names = [word for name in outputs for word in ("-o", name)]
    command = ["urls.txt", *names, "-c", "1", "--grace", "0", "-q", "--warc-max-size", "4k"]
    assert fetchall(*command) == 143
    site.on["/stop"] = lambda: ANSWER
    return command


@pytest.mark.parametrize("outputs", [("a.warc.gz",), ("b.jsonl", "a.warc.gz"), ("a.warc.gz", "b.csv")])
def test_an_interrupted_run_goes_on(site: Site, folder: Path, outputs: tuple[str, ...]) -> None:
    command = interrupted(site, folder, *outputs)
    assert indexes(volumes(folder, ".part")) == list(range(30))
    assert fetchall(*command, "--resume") == 0
    assert indexes(volumes(folder)) == list(range(40))
    assert set(contents(folder)) == {"urls.txt", *(path.name for path in volumes(folder)), *outputs} - {"a.warc.gz"}


def test_a_run_that_would_change_the_kind_of_archive_is_refused_and_nothing_touched(
    site: Site, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = interrupted(site, folder, "b.jsonl", "a.warc.gz")
    before = contents(folder)
    assert fetchall(*command[: command.index("--warc-max-size")], "--resume") == 4
    assert contents(folder) == before
    assert "--warc-max-size" in capsys.readouterr().err


def test_a_finished_archive_that_comes_first_is_not_begun_anew_by_resume(site: Site, folder: Path) -> None:
    command = interrupted(site, folder, "a.warc.gz")
    assert fetchall(*command, "--resume") == 0
    before, asked = contents(folder), len(site.asked)
    assert fetchall(*command, "--resume") == 4
    assert contents(folder) == before
    assert len(site.asked) == asked


def test_an_archive_that_is_thrown_away_leaves_no_file(site: Site, folder: Path) -> None:
    command = interrupted(site, folder, "a.warc.gz")
    assert len(volumes(folder, ".part")) > 2
    site.write(folder / "urls.txt", "/1")
    assert fetchall(*command, "--overwrite") == 0
    assert indexes(volumes(folder)) == [0]
    assert set(contents(folder)) == {"urls.txt", "a-00000.warc.gz"}


@pytest.mark.parametrize("more", [[], ["--overwrite"]])
def test_a_run_that_ends_before_its_first_row_leaves_nothing(site: Site, folder: Path, more: list[str]) -> None:
    command = interrupted(site, folder, "a.warc.gz") if more else ["urls.txt", "-o", "a.warc.gz", "-q"]
    (folder / "urls.txt").write_bytes(b"\xff\xfeh\0t\0t\0p\0")
    words = [*command, *more, *(() if more else ("--warc-max-size", "4k"))]
    assert fetchall(*words) == 3
    assert set(contents(folder)) == {"urls.txt"}


def test_a_full_disk_ends_the_run_and_what_is_there_goes_on(site: Site, folder: Path) -> None:
    listed = site.write(folder / "urls.txt", *(f"/{number}" for number in range(300)))
    words = [listed, "-o", "rows.csv", "-o", "a.warc.gz", "--warc-max-size", "30k", "-q"]
    limit: Callable[[], None] = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    done = subprocess.run(
        apart(*words), cwd=folder, capture_output=True, preexec_fn=limit, timeout=60, env={"PYTHONPATH": str(ROOT)}
    )
    assert done.returncode == 3
    assert done.stderr.count(b"\n") == 1
    assert fetchall(*words, "--resume") == 0
    found = indexes(volumes(folder))
    assert set(found) == set(range(300))
    assert len(found) <= len(site.asked)


def test_a_killed_run_has_every_answer_and_none_twice_that_came_once(site: Site, folder: Path) -> None:
    count, kills = 1500, 0
    site.write(folder / "urls.txt", *(f"/{number}" for number in range(count)))
    command = ["urls.txt", "-c", "4", "-o", "a.jsonl", "-o", "a.warc.gz", "--warc-max-size", "20k", "--warc-cdx", "-q"]
    for limit in (100, 400, 900):
        before = len(site.asked)
        process = start(*command, "--resume", folder=folder)
        until(lambda: len(site.asked) > before + limit or process.poll() is not None)  # noqa: B023
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.communicate()
    assert kills >= 2
    assert not volumes(folder)
    assert fetchall(*command, "--resume") == 0
    found = indexes(volumes(folder))
    assert {row["index"] for row in rows(folder / "a.jsonl")} == set(found) == set(range(count))
    # An answer that was stored before a kill and its row not is another capture of its URL: really asked for twice.
    assert len(found) <= len(site.asked)
    records = [fields["WARC-Record-ID"] for path in volumes(folder) for fields, _ in members(path)]
    assert len(records) == len(set(records))
    assert len((folder / "a.cdxj").read_text().splitlines()) == len(found)


def test_a_run_that_is_complete_but_for_its_journal_goes_on_and_adds_nothing(
    site: Site, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = interrupted(site, folder, "a.warc.gz")

    def fail(self: Journal, ending: Ending) -> None:
        raise OSError(5, "input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "close", fail)
        assert fetchall(*command, "--resume") == 3
    before = {path: path.read_bytes() for path in volumes(folder)}
    assert indexes(list(before)) == list(range(40))
    assert fetchall(*command, "--resume") == 0
    assert {path: path.read_bytes() for path in volumes(folder)} == before
    assert set(contents(folder)) == {"urls.txt", *(path.name for path in before)}


@pytest.mark.skipif(not can_inject(), reason="needs strace, and leave to trace")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("most", ["6k", "0"])
def test_after_any_failed_write_sync_rename_or_open_an_archive_goes_on(site: Site, tmp_path: Path, most: str) -> None:
    listed = site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(24)))
    words = [listed, "-o", tmp_path / "out.warc.gz", "--warc-max-size", most, "--warc-cdx", "-q", "-c", "4"]
    log = tmp_path / "calls.log"
    assert traced(tmp_path, apart(*words), log, None).returncode == 0
    assert 4 < len(list(tmp_path.glob("out-*"))) < 12 or most == "0"
    calls = re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE)
    for call, count in Counter(calls).items():
        for turn in range(1, count + 1) if FULL else sorted({1, max(count // 2, 1), count}):
            for path in tmp_path.glob("out*"):
                path.unlink()
            done = traced(
                tmp_path, apart(*words), log, f"{call}:error={'EIO' if call == 'fsync' else 'ENOSPC'}:when={turn}"
            )
            said = f"{call} {turn}: {done.returncode} {done.stderr.decode()}"
            assert done.returncode in (0, 3), said
            assert b"Traceback" not in done.stderr, said
            if done.returncode == 3:
                assert fetchall(*words, "--resume") == 0, said
            assert set(indexes(sorted(tmp_path.glob("out*.warc.gz")))) == set(range(24)), said
            assert not list(tmp_path.glob("out*.part*")), said
            assert len((tmp_path / "out.cdxj").read_text().splitlines()) >= 24, said


@pytest.mark.parametrize("option", [["--warc-max-size", "1G"], ["--warc-cdx"]])
def test_options_of_archives_want_one(site: Site, folder: Path, option: list[str]) -> None:
    site.write(folder / "urls.txt", "/1")
    assert fetchall("urls.txt", "-o", "a.har", *option) == 2
    assert set(contents(folder)) == {"urls.txt"}


def test_the_summary_names_what_there_is(site: Site, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site.write(folder / "urls.txt", *(f"/{number}" for number in range(9)))
    words = ["urls.txt", "--no-progress", "-o", "a.warc.gz", "--warc-cdx"]
    assert fetchall(*words, "--warc-max-size", "4k") == 0
    named = f"written to a-00000.warc.gz to {volumes(folder)[-1].name}\nwritten to a.cdxj\n"
    assert named in capsys.readouterr().err
