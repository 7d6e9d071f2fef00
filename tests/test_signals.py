"""What signals do to a run: the first ends it in good order, the second at once, a stop for a while costs nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.storm import ROOT, heed_interrupts
from fetchall import heart
from tests.resuming import ANSWER, FULL, Site, apart, end_this, fetchall, rows


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as opened:
        yield opened


def begun(site: Site, *words: object) -> subprocess.Popen[bytes]:
    """A run of its own that has come to a URL which is never answered."""
    heed_interrupts()
    process = subprocess.Popen(apart(*words), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    site.until(lambda: site.counts["/hold"] > 0)
    return process


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_the_first_signal_gives_the_grace_and_names_the_way_on(
    site: Site, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    listed = site.write(tmp_path / "urls.txt", "/1", "/hold", "/2")
    process = begun(site, listed, "-o", tmp_path / "out.json", "-c", "1", "--grace", "0.3")
    process.send_signal(number)
    _, said = process.communicate(timeout=10)
    assert process.returncode == code
    assert [row["index"] for row in rows(tmp_path / "out.json.part")] == [0]
    lines = [line for line in said.decode().splitlines() if "--resume" in line]
    assert len(lines) == 1
    assert "out.json.part" in lines[0]
    assert site.counts["/2"] == 0


def test_what_is_in_flight_may_finish_within_the_grace(site: Site, tmp_path: Path) -> None:
    listed = site.write(tmp_path / "urls.txt", "/last", "/hold")
    site.on["/last"] = lambda: end_this(ANSWER)
    assert fetchall(listed, "-o", tmp_path / "out.jsonl", "-c", "1", "-q", "--grace", "1") == 143
    assert [row["status"] for row in rows(tmp_path / "out.jsonl.part")] == [200]


def test_the_second_signal_ends_at_once_with_whole_lines(site: Site, tmp_path: Path) -> None:
    listed = site.write(tmp_path / "urls.txt", "/1", "/hold", "/2")
    process = begun(site, listed, "-o", tmp_path / "out.jsonl", "-c", "1", "--grace", "60")
    assert process.stderr is not None
    process.send_signal(signal.SIGINT)
    assert b"stopping" in process.stderr.readline()
    sent = time.monotonic()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=10)
    assert process.returncode == 130
    assert time.monotonic() - sent < 2  # the rule says 0.5 s; a busy machine gets some more
    assert [row["index"] for row in rows(tmp_path / "out.jsonl.part")] == [0]


def test_the_second_signal_ends_a_run_whose_reader_is_stuck(site: Site, tmp_path: Path) -> None:
    listed = site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(3000)))
    process = subprocess.Popen(apart(listed, "--format", "jsonl", "-q"), cwd=ROOT, stdout=subprocess.PIPE)
    site.until(lambda: len(site.asked) > 1000)
    time.sleep(0.2)
    for _ in range(2):
        process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
    assert process.wait(5) == 143
    assert process.stdout is not None
    process.stdout.close()


def test_a_reader_that_goes_away_ends_quietly_and_the_files_go_on(site: Site, tmp_path: Path) -> None:
    listed = site.write(tmp_path / "urls.txt", *(f"/{number}" for number in range(300)), "/hold")
    words = [listed, "-o", tmp_path / "out.jsonl", "-o", tmp_path / "out.json", "--progress"]
    process = subprocess.Popen(
        apart(*words, "--format", "jsonl"), cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(10) == 141
    assert json.loads((tmp_path / "out.json.part").read_bytes())["summary"]["interrupted"] is True
    kept = {row["index"] for row in rows(tmp_path / "out.jsonl.part")}
    site.on["/hold"] = lambda: ANSWER
    asked = len(site.asked)
    assert fetchall(*words, "--resume", "-q") == 0
    assert len(site.asked) - asked == 301 - len(kept)
    assert sorted(row["index"] for row in rows(tmp_path / "out.jsonl")) == list(range(301))


def test_what_was_in_flight_while_the_process_stood_still_is_sent_again_and_counts_once(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heart, "BEAT", 0.05)
    monkeypatch.setattr(heart, "LATE", 0.3)
    before = signal.signal(signal.SIGUSR1, lambda *_: time.sleep(1))
    try:
        listed = site.write(tmp_path / "urls.txt", "/still", "/after")
        site.on["/still"] = lambda: _once(site)
        assert fetchall(listed, "-o", tmp_path / "out.jsonl", "-q", "--retries", "0", "--read-timeout", "0.4") == 0
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert site.counts["/still"] == 2
    assert {row["attempts"] for row in rows(tmp_path / "out.jsonl")} == {1}


def _once(site: Site) -> bytes | None:
    """No answer to the first, which has this process stand still; one to the second."""
    if site.counts["/still"] > 1:
        return ANSWER
    os.kill(os.getpid(), signal.SIGUSR1)
    return None


def test_a_timeout_while_the_process_ran_is_an_attempt(site: Site, tmp_path: Path) -> None:
    listed = site.write(tmp_path / "urls.txt", "/hold")
    assert fetchall(listed, "-o", tmp_path / "out.jsonl", "-q", "--retries", "0", "--read-timeout", "0.2") == 1
    assert [(row["error_type"], row["attempts"]) for row in rows(tmp_path / "out.jsonl")] == [("read_timeout", 1)]


@pytest.mark.skipif(not FULL, reason="stands still for 20 s: FETCHALL_FULL=1")
def test_a_process_that_was_stopped_and_continued_fails_nothing(site: Site, tmp_path: Path) -> None:
    listed = site.write(tmp_path / "urls.txt", *(f"/hold/{number}" for number in range(200)), "/hold")
    words = [listed, "-o", tmp_path / "out.jsonl", "-c", "201", "--retries", "0", "--timeout", "10"]
    process = begun(site, *words)
    site.until(lambda: len(site.asked) == 201)
    process.send_signal(signal.SIGSTOP)
    time.sleep(20)
    for path in list(site.counts):
        site.on[path] = lambda: ANSWER
    process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    assert {row["attempts"] for row in rows(tmp_path / "out.jsonl")} == {1}


def test_ctrl_c_while_the_command_line_is_still_loading_ends_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\nimport none_such\n")
    heed_interrupts()
    done = subprocess.run(
        apart("--version"), cwd=ROOT, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
