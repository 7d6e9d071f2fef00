"""What a machine does to a run: full disks, few files, no ports, little memory, a reader that takes its time."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

from bench.storm import ANSWER, ROOT
from tests.faults import namespace
from tests.resuming import FULL, Site, apart, contents, fetchall, rows


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as opened:
        yield opened


def limited(words: list[str], limit: Callable[[], None]) -> subprocess.CompletedProcess[bytes]:
    """The command under a limit of its own, set between fork and exec."""
    return subprocess.run(words, cwd=ROOT, capture_output=True, timeout=110, check=False, preexec_fn=limit)


def hosts(site: Site, folder: Path, count: int) -> list[object]:
    """A list of so many hosts, all of them this one; the words that name it."""
    (folder / "urls.txt").write_text("".join(f"http://h{n}.test:{site.port}/{n}\n" for n in range(count)))
    resolve = ",\n".join(f'"h{n}.test:{site.port}:127.0.0.1"' for n in range(count))
    (folder / "hosts.toml").write_text(f"resolve = [{resolve}]\n")
    return [folder / "urls.txt", "-q", "--config", folder / "hosts.toml", "-o", folder / "out.jsonl"]


def test_a_low_limit_of_files_lowers_the_concurrency_with_one_warning(site: Site, tmp_path: Path) -> None:
    words = [word for word in hosts(site, tmp_path, 1000) if word != "-q"]
    done = limited(apart(*words, "-c", "1000"), lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64)))
    assert done.returncode == 0, done.stderr
    assert done.stderr.count(b"concurrency lowered") == 1
    assert [row["error"] for row in rows(tmp_path / "out.jsonl") if not row["ok"]] == []
    assert len(rows(tmp_path / "out.jsonl")) == 1000


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
def test_sockets_are_bounded_over_many_hosts(site: Site, tmp_path: Path) -> None:
    concurrency, count = 100, 5_000
    words = hosts(site, tmp_path, count)
    process = subprocess.Popen(apart(*words, "-c", concurrency), cwd=ROOT)
    most = looks = 0
    while process.poll() is None:
        try:
            links = [os.readlink(f"/proc/{process.pid}/fd/{name}") for name in os.listdir(f"/proc/{process.pid}/fd")]
        except (FileNotFoundError, PermissionError):
            continue
        most, looks = max(most, sum(link.startswith("socket:") for link in links)), looks + 1
        time.sleep(0.002)
    assert process.returncode == 0
    assert looks > 20
    # The loop has a pair of sockets of its own, to be woken by.
    assert most <= 1.1 * concurrency + 2
    assert len(rows(tmp_path / "out.jsonl")) == count


def test_a_full_disk_ends_the_run_with_3_and_whole_rows_and_it_goes_on(site: Site, tmp_path: Path) -> None:
    listed = site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(500)))
    for name in ("out.jsonl", "out.json"):
        words = [listed, "-o", tmp_path / name, "-q"]
        site.asked.clear()
        done = limited(apart(*words), lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000)))
        assert done.returncode == 3
        assert done.stderr.count(b"\n") == 1
        assert b"too large" in done.stderr
        asked = len(site.asked)
        assert asked < 500
        assert fetchall(*words, "--resume", "--summary", tmp_path / "summary") == 0
        assert json.loads((tmp_path / "summary").read_bytes())["summary"]["status"] == {"200": 500}
        assert sorted(row["index"] for row in rows(tmp_path / name)) == list(range(500))
        # The rows that were written count as done.
        assert len(site.asked) < 500 + asked


@pytest.mark.parametrize("place", ["gone/out.jsonl", "urls.txt/out.jsonl", "sub", "sub.json"])
def test_an_output_that_cannot_be_is_found_out_before_any_request(site: Site, tmp_path: Path, place: str) -> None:
    listed = site.write(tmp_path / "urls.txt", "/1")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub.json").mkdir()
    assert fetchall(listed, "-o", tmp_path / "fine.jsonl", "-o", tmp_path / place, "-q") == 3
    assert not site.asked
    assert set(contents(tmp_path)) == {"urls.txt"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_found_out_before_any_request(site: Site, tmp_path: Path) -> None:
    listed = site.write(tmp_path / "urls.txt", "/1")
    folder = tmp_path / "sub"
    folder.mkdir(0o500)
    assert fetchall(listed, "-o", folder / "out.jsonl", "-q") == 3
    assert not site.asked


@pytest.mark.parametrize("name", ["out.jsonl", "out.json"])
def test_a_folder_that_vanishes_meanwhile_is_said_with_3(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    folder = tmp_path / "sub"
    folder.mkdir()
    listed = site.write(tmp_path / "urls.txt", "/1", "/vanish", "/2")

    def vanish() -> bytes:
        shutil.rmtree(folder)
        return ANSWER

    site.on["/vanish"] = vanish
    assert fetchall(listed, "-o", folder / name, "-q") == 3
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no such file" in said


def test_a_slow_reader_slows_the_run_and_memory_stays_flat(site: Site, tmp_path: Path) -> None:
    count = 12_000
    listed = site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(count)))
    process = subprocess.Popen(apart(listed, "--format", "jsonl", "-q"), cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    first = process.stdout.readline()
    time.sleep(1)
    held = len(site.asked)
    time.sleep(1)
    assert len(site.asked) == held < count
    status = Path(f"/proc/{process.pid}/status").read_text()
    lines = [first, *process.stdout.readlines()]
    process.stdout.close()
    assert process.wait(30) == 0
    assert sorted(json.loads(line)["index"] for line in lines) == list(range(count))
    peak = re.search(r"VmHWM:\s+(\d+)", status)
    assert peak is None or int(peak[1]) < 150_000


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux holds a process to RLIMIT_AS")
def test_a_memory_limit_ends_the_run_with_3(site: Site, tmp_path: Path) -> None:
    body = b"x" * 9_000_000
    site.on["/big"] = lambda: ANSWER.replace(b"Length: 2", b"Length: %d" % len(body))[:-2] + body
    listed = site.write(tmp_path / "urls.txt", *["/big"] * 40)
    words = apart(listed, "-o", tmp_path / "out.jsonl", "--body", "-c", "40", "-q")
    room = 420 * 1024**2
    done = limited(words, lambda: resource.setrlimit(resource.RLIMIT_AS, (room, room)))
    assert done.returncode == 3, done.stderr
    assert b"memory" in done.stderr
    assert b"Traceback" not in done.stderr


PORTS_USED_UP = """
import asyncio, sys
sys.path[:0] = {paths!r}
from tests.faults.namespace import _open
_open()
open("/proc/sys/net/ipv4/ip_local_port_range", "w").write("40000 40019")
from tests.resuming import Site, fetchall
from pathlib import Path
with Site() as site:
    listed = site.write(Path({folder!r}) / "urls.txt", *(f"/{{n}}" for n in range(60)))
    code = fetchall(listed, "-o", Path({folder!r}) / "out.jsonl", "-c", "60", "-q", "--retries", "0")
sys.exit(code)
"""


@pytest.mark.skipif(namespace.way() is None, reason="needs a network namespace: unshare --net")
def test_a_run_out_of_ports_waits_and_fails_nothing(tmp_path: Path) -> None:
    program = PORTS_USED_UP.format(paths=[str(ROOT)], folder=str(tmp_path))
    way = namespace.way()
    assert way is not None
    done = subprocess.run([*way, sys.executable, "-c", program], capture_output=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    assert {(row["status"], row["attempts"]) for row in rows(tmp_path / "out.jsonl")} == {(200, 1)}


@cache
def can_inject() -> bool:
    if shutil.which("strace") is None:
        return False
    words = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO", "true"]
    return subprocess.run(words, capture_output=True, timeout=20, check=False).returncode == 0


CALLS = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,openat,ftruncate"


PART = ".part"


def traced(folder: Path, words: list[str], log: Path, inject: str | None) -> subprocess.CompletedProcess[bytes]:
    """The command under strace, which looks at its outputs alone; one of its calls may fail."""
    names = [f"out{suffix}{more}" for suffix in (".jsonl", ".json") for more in ("", ".part", ".part.journal")]
    names += [f"out{suffix}.part.state{new}" for suffix in (".jsonl", ".json", ".warc.gz") for new in ("", ".new")]
    names += ["out.warc.gz", "out.warc.gz.part", "out.warc.gz.part.journal", "out.cdxj", "out.cdxj.part"]
    names += [f"out-{number:05}.warc.gz{part}" for number in range(12) for part in ("", PART)]
    paths = [word for name in names for word in ("-P", str(folder / name))]
    how = ["-e", f"inject={inject}"] if inject else []
    trace = ["strace", "-f", "-qq", "-o", str(log), *paths, "-e", f"trace={CALLS}", *how]
    return subprocess.run([*trace, *words], cwd=ROOT, capture_output=True, timeout=60, check=False)


@pytest.mark.skipif(not can_inject(), reason="needs strace, and leave to trace")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["out.jsonl", "out.json"])
def test_after_any_failed_write_sync_rename_or_open_a_run_goes_on(site: Site, tmp_path: Path, name: str) -> None:
    listed = site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(40)))
    words = [listed, "-o", tmp_path / name, "-q", "-c", "4", "--fsync", "0.01"]
    log = tmp_path / "calls.log"
    assert traced(tmp_path, apart(*words), log, None).returncode == 0
    made: dict[str, int] = {}
    for call in re.findall(r"^\d+ +(\w+)\(", log.read_text(), re.MULTILINE):
        made[call] = made.get(call, 0) + 1
    assert {"write", "fsync", "openat"} <= made.keys()
    tried = 0
    for call, count in made.items():
        for turn in range(1, count + 1) if FULL else sorted({1, 2, count - 1, count} - {0}):
            for error in ("ENOSPC", "EIO") if FULL else ("EIO" if call == "fsync" else "ENOSPC",):
                for path in tmp_path.glob("out*"):
                    path.unlink()
                done = traced(tmp_path, apart(*words), log, f"{call}:error={error}:when={turn}")
                whole = (tmp_path / name).exists()
                said = f"{error} at {call} {turn}: {done.returncode} {done.stderr.decode()}"
                assert done.returncode == (0 if whole and b"fetchall" not in done.stderr else 3), said
                assert b"Traceback" not in done.stderr, said
                assert fetchall(*words, "--resume") == 0, said
                assert sorted(row["index"] for row in rows(tmp_path / name)) == list(range(40)), said
                assert {path.name for path in tmp_path.glob("out*")} == {name}, said
                tried += 1
    print(f"{tried} faults of {sum(made.values())} calls: {made}")
