"""Bodies as tar shards: samples whole and adjacent, each with a row and each row with its sample, whatever happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall import InvalidOptions, Options, Result, SinkError, stream
from fetchall.records import Request
from fetchall.rows import PLAIN, Row
from fetchall.tar_shards import Shards
from tests.command import run
from tests.resuming import FULL, Site, apart, fetchall, rows
from tests.test_bodies import answer, echo, listed, saved, site

_MEMBER = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)")
"""How readers of such shards tell the key from the rest of a name: at the first dot after the last slash."""


@pytest.fixture
def counting() -> Iterator[Site]:
    with Site() as opened:
        yield opened


def samples(shard: Path) -> list[dict[str, Any]]:
    """The samples of a shard, as webdataset groups them: members that stand together and share a key."""
    found: list[dict[str, Any]] = []
    with tarfile.open(shard, "r:") as tar:
        for member in tar:
            match = _MEMBER.fullmatch(member.name)
            assert match is not None
            file = tar.extractfile(member)
            assert file is not None
            if not found or found[-1]["__key__"] != match[1]:
                found.append({"__key__": match[1]})
            assert match[2] not in found[-1]
            found[-1][match[2]] = file.read()
    return found


def everything(folder: Path) -> dict[str, dict[str, Any]]:
    """All samples of a folder by key; none is there twice, and nothing is unfinished."""
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(os.listdir(folder)):
        assert re.fullmatch(r"\d{5}\.tar", name), name
        for sample in samples(folder / name):
            assert sample["__key__"] not in found
            found[sample["__key__"]] = {**sample, "shard": name}
    return found


async def test_a_shard_is_read_as_webdataset_reads_it(tmp_path: Path) -> None:
    kinds = {"/a.png": "image/png", "/b": "image/jpeg", "/c.json": "application/json", "/d": ""}
    found = await saved(tmp_path, lambda path: answer(path.encode(), kinds[path]), list(kinds), tar_shards=10)
    assert [row.file for row in found] == [
        f"00000.tar/{name}" for name in ("000000000.png", "000000001.jpg", "000000002.body.json", "000000003.bin")
    ]
    read = everything(tmp_path)
    assert sorted(read) == [f"{index:09}" for index in range(4)]
    for row, path in zip(found, kinds, strict=True):
        key, ending = (row.file or "").split("/")[1].split(".", 1)
        assert read[key][ending] == path.encode()
        line = json.loads(read[key]["json"])
        assert (line["index"], line["url"], line["file"], line["sha256"]) == (row.index, row.url, row.file, row.sha256)


async def test_a_shard_holds_so_many_samples_and_the_last_what_is_left(tmp_path: Path) -> None:
    await saved(tmp_path, echo, [f"/{number}" for number in range(25)], tar_shards=10)
    assert sorted(listed(tmp_path)) == ["00000.tar", "00001.tar", "00002.tar"]
    assert [len(samples(tmp_path / name)) for name in sorted(listed(tmp_path))] == [10, 10, 5]


async def test_only_good_bodies_that_are_chosen_are_samples(tmp_path: Path) -> None:
    says = {
        "/ok": answer(b"ok"),
        "/cut": answer(b"half", length=8),
        "/gone": answer(b"no", status="404 Not Found"),
        "/page": answer(b"<p>", "text/html"),
        "/empty": answer(b""),
    }
    found = await saved(tmp_path, says.__getitem__, list(says), tar_shards=10, match=("type=text/plain",))
    assert [row.file is not None for row in found] == [True, False, False, False, True]
    assert {key: sample["txt"] for key, sample in everything(tmp_path).items()} == {
        "000000000": b"ok", "000000004": b"",
    }  # fmt: skip


async def test_where_nothing_is_saved_there_is_no_shard(tmp_path: Path) -> None:
    await saved(tmp_path, lambda _: answer(b"", status="404 Not Found"), ["/x"], tar_shards=10)
    assert listed(tmp_path) == []


async def test_headers_say_nothing_of_when_and_by_whom(tmp_path: Path) -> None:
    await saved(tmp_path, echo, ["/x"], tar_shards=1)
    with tarfile.open(tmp_path / "00000.tar") as tar:
        for member in tar:
            assert (member.mtime, member.uid, member.gid, member.uname, member.gname) == (0, 0, 0, "", "")
            assert (member.mode, member.isreg(), member.pax_headers) == (0o644, True, {})


@pytest.mark.parametrize("name", ["..", "a/../../b", "%2e%2e%2f", "x.sh;rm", "a.\u202egnp"])
async def test_no_url_names_a_member(name: str, tmp_path: Path) -> None:
    (row,) = await saved(tmp_path, lambda _: answer(b"x", "what/ever"), [f"/{name}"], tar_shards=1)
    assert re.fullmatch(r"00000\.tar/000000000\.[a-z0-9]{1,8}", row.file or "")


@pytest.mark.parametrize("ending", ["pyd", "PKL", "pickle", "pth", "pt"])
async def test_no_url_makes_a_reader_run_a_body(ending: str, tmp_path: Path) -> None:
    """webdataset's decode() unpickles members with these endings."""
    (row,) = await saved(tmp_path, lambda _: answer(b"x", "application/octet-stream"), [f"/x.{ending}"], tar_shards=1)
    assert row.file == "00000.tar/000000000.bin"


async def test_a_body_in_the_row_is_not_twice_in_the_sample(tmp_path: Path) -> None:
    (row,) = await saved(tmp_path, echo, ["/x"], tar_shards=1, body=True)
    assert row.body == b"/x"
    assert not {"body_text", "body_json", "body_base64"} & json.loads(everything(tmp_path)["000000000"]["json"]).keys()


@pytest.mark.parametrize("there", ["00000.tar", "00007.tar.part"])
async def test_shards_that_are_there_are_never_mixed_with_others(there: str, tmp_path: Path) -> None:
    (tmp_path / there).write_bytes(b"mine")
    with pytest.raises(SinkError, match=there):
        await saved(tmp_path, echo, ["/x"], tar_shards=10)
    assert (tmp_path / there).read_bytes() == b"mine"
    assert listed(tmp_path) == [there]


def test_the_command_refuses_a_folder_with_shards_before_a_request(counting: Site, tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "00000.tar").write_bytes(b"mine")
    words = [counting.write(tmp_path / "urls.txt", "/1"), "--bodies", tmp_path / "b", "--tar-shards", 2]
    assert fetchall(*words, "-o", tmp_path / "out.jsonl", "-q") == 3
    assert not counting.asked
    assert sorted(listed(tmp_path)) == ["b", "urls.txt"]


@pytest.mark.parametrize("also", [{"name": "{index}"}, {"no_clobber": True}, {"dedupe_bodies": True}, {"bodies": None}])
def test_options_that_name_files_do_not_go_with_shards(also: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptions, match="--tar-shards"):
        Options(**{"bodies": "b", "tar_shards": 1, **also})


async def test_a_sample_that_can_not_be_written_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pread, failing = os.pread, iter([False, True, False])

    def read(descriptor: int, size: int, place: int) -> bytes:
        if next(failing):
            raise OSError(5000, "no luck")
        return pread(descriptor, size, place)

    monkeypatch.setattr(os, "pread", read)
    found = await saved(tmp_path, echo, ["/0", "/1", "/2"], tar_shards=10, concurrency=1)
    assert [row.error_type for row in found] == [None, "write", None]
    assert sorted(everything(tmp_path)) == ["000000000", "000000002"]


def sample_of(shards: Shards, index: int, body: bytes) -> None:
    descriptor = os.memfd_create("body")
    os.write(descriptor, body)
    shards.add(descriptor, len(body), "bin", Result(Request("http://h/", index), "GET", "http://h/"))
    os.close(descriptor)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="needs memfd_create")
@given(st.lists(st.binary(max_size=2000), min_size=1, max_size=6), st.integers(0, 10_000), st.data())
def test_wherever_a_kill_cuts_a_shard_whole_samples_with_rows_stay(
    tmp_path_factory: pytest.TempPathFactory, bodies: list[bytes], cut: int, data: st.DataObject
) -> None:
    """What has no row is fetched again, and is then there once; what has one is as it was."""
    folder = tmp_path_factory.mktemp("shards")
    first = Shards(str(folder), 2, PLAIN, lambda: None)
    first.begin()
    for index, body in enumerate(bodies):
        sample_of(first, index, body)
    first.abort()
    last = sorted(folder.iterdir())[-1]
    os.truncate(last, max(0, last.stat().st_size - cut))
    with_rows = data.draw(st.integers(0, len(bodies)))
    second = Shards(str(folder), 2, PLAIN, lambda: None)
    row = {"file": None}
    held = [
        index
        for index in range(with_rows)
        if second.holds({"file": f"{index // 2:05}.tar/{index:09}.bin"}) and second.holds(row)
    ]
    second.begin(lambda index: index in held)
    for index, body in enumerate(bodies):
        if index not in held:
            sample_of(second, index, body)
    second.end(complete=True)
    found = everything(folder)
    assert [found[f"{index:09}"]["bin"] for index in range(len(bodies))] == bodies
    assert [json.loads(found[f"{index:09}"]["json"])["index"] for index in range(len(bodies))] == [*range(len(bodies))]
    assert len(found) == len(bodies)


def assert_each_once(folder: Path, output: Path, count: int) -> None:
    """One row for every URL, one sample for every row, and each knows of the other."""
    found, lines = everything(folder), rows(output)
    assert sorted(row["index"] for row in lines) == list(range(count))
    assert len(found) == count
    for row in lines:
        sample = found[f"{row['index']:09}"]
        assert row["file"] == f"{sample['shard']}/{sample['__key__']}.{next(key for key in sample if key in 'txt bin')}"
        assert json.loads(sample["json"])["file"] == row["file"]


def test_a_run_that_is_killed_goes_on_with_nothing_lost_or_doubled(counting: Site, tmp_path: Path) -> None:
    count = 2000
    listing = counting.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(count)))
    folder, output = tmp_path / "shards", tmp_path / "out.jsonl"
    words = apart(listing, "-q", "-o", output, "--bodies", folder, "--tar-shards", 70, "--resume", "--fsync", "0.05")
    kills = 0
    for kill in range(40 if FULL else 3):
        process = subprocess.Popen(words)
        more = len(counting.asked) + 50
        while len(counting.asked) < more and process.poll() is None:
            time.sleep(0.002)
        time.sleep(0.003 * (kill % 7))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait()
        for name in listed(folder):
            if name.endswith(".tar"):
                assert len(samples(folder / name)) == 70
    assert kills
    assert subprocess.run(words).returncode == 0
    assert_each_once(folder, output, count)


def test_an_interrupted_run_leaves_shards_that_can_be_read_and_goes_on(counting: Site, tmp_path: Path) -> None:
    listing = counting.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(9)), "/stop")
    folder, output = tmp_path / "shards", tmp_path / "out.jsonl"
    words = [listing, "-q", "-o", output, "--bodies", folder, "--tar-shards", 4, "-c", 1, "--grace", 0]
    assert fetchall(*words) == 143
    parts = [samples(folder / name) for name in sorted(listed(folder))]
    assert sum(map(len, parts)) in (9, 10)
    counting.on["/stop"] = lambda: answer(b"x")
    assert fetchall(*words) == 3
    assert fetchall(*words, "--resume") == 0
    assert_each_once(folder, output, 10)
    # The list has grown: what is complete stays as it is.
    before = (folder / "00000.tar").read_bytes()
    counting.write(
        listing, *(f"/{number}" for number in range(9)), "/stop", *(f"/{number}" for number in range(10, 15))
    )
    assert fetchall(*words, "--resume") == 0
    assert (folder / "00000.tar").read_bytes() == before
    assert_each_once(folder, output, 15)


def test_another_number_a_shard_is_another_run(counting: Site, tmp_path: Path) -> None:
    listing = counting.write(tmp_path / "urls.txt", "/1", "/stop")
    words = [listing, "-q", "-o", tmp_path / "out.jsonl", "--bodies", tmp_path / "b", "-c", 1, "--grace", 0]
    assert fetchall(*words, "--tar-shards", 4) == 143
    assert fetchall(*words, "--tar-shards", 5, "--resume") == 4


def test_a_shard_has_its_name_only_after_its_rows_are_on_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A power cut leaves no shard with a sample that has no row."""
    events: list[str] = []
    rename = os.rename

    def note(old: str, new: str) -> None:
        events.append("named")
        rename(old, new)

    monkeypatch.setattr(os, "rename", note)
    shards = Shards(str(tmp_path), 1, PLAIN, lambda: events.append("rows synced"))
    shards.begin()
    sample_of(shards, 0, b"x")
    shards.sync()
    events.append("rows synced")
    shards.sync()
    assert events == ["rows synced"]  # its row is not written yet
    row = Result(Request("http://h/", 0), "GET", "http://h/", file="00000.tar/000000000.bin")
    shards.write([Row(row, PLAIN)])
    shards.sync()
    assert events == ["rows synced"]
    shards.sync()
    assert events == ["rows synced", "named"]
    sample_of(shards, 1, b"y")
    shards.end(complete=True)
    assert events == ["rows synced", "named", "rows synced", "named"]


def test_shards_that_wait_for_their_rows_are_few_also_where_nothing_is_synced_meanwhile(
    counting: Site, tmp_path: Path
) -> None:
    """With --fsync 0 each would hold a descriptor to the end."""
    listing = counting.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(200)), "/last")
    folder = tmp_path / "b"
    waiting: list[int] = []

    def look() -> bytes:
        waiting.append(sum(name.endswith(".part") for name in listed(folder)))
        return answer(b"last")

    counting.on["/last"] = look
    words = [listing, "-q", "--bodies", folder, "--tar-shards", 1, "-o", tmp_path / "out.jsonl", "--fsync", 0, "-c", 1]
    assert fetchall(*words) == 0
    assert 1 <= waiting[0] <= 20
    assert_each_once(folder, tmp_path / "out.jsonl", 201)


async def test_a_shard_without_a_sample_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int, size: int, place: int) -> bytes:
        raise OSError(5000, "no luck")

    monkeypatch.setattr(os, "pread", fail)
    (row,) = await saved(tmp_path, echo, ["/0"], tar_shards=10)
    assert row.error_type == "write"
    assert listed(tmp_path) == []


def test_duplicates_share_a_sample(counting: Site, tmp_path: Path) -> None:
    listing = counting.write(tmp_path / "urls.txt", "/1", "/1", "/2")
    output = tmp_path / "out.jsonl"
    words = ["-q", "--bodies", tmp_path / "b", "--tar-shards", 2, "--dedupe", "-o", output]
    assert fetchall(listing, *words) == 0
    files = [row["file"] for row in sorted(rows(output), key=lambda row: row["index"])]
    assert files[0] == files[1] != files[2]
    assert len(everything(tmp_path / "b")) == 2


def test_without_a_file_of_rows_shards_are_whole_too(counting: Site, tmp_path: Path) -> None:
    listing = counting.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(5)))
    done = run(str(listing), "--format", "jsonl", "--bodies", "b", "--tar-shards", "2", "-q", folder=tmp_path)
    assert (done.code, done.err) == (0, "")
    assert len(done.out.splitlines()) == len(everything(tmp_path / "b")) == 5


async def test_a_stream_that_is_left_leaves_its_last_shard_unfinished(tmp_path: Path) -> None:
    async with site(echo) as base:
        urls = [f"{base}/{number}" for number in range(500)]
        async with stream(urls, bodies=str(tmp_path), tar_shards=1000) as found:
            async for _ in found:
                break
    assert listed(tmp_path) == ["00000.tar.part"]
    assert samples(tmp_path / "00000.tar.part")
