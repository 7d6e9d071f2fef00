"""The bar, on a real terminal of the test's own."""

from __future__ import annotations

import fcntl
import io
import os
import re
import select
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

import pytest

from fetchall.progress import Progress

pty = pytest.importorskip("pty", reason="terminals of one's own are POSIX")

ESCAPE = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
HARMLESS = re.compile(r"\x1b\[(?:K|0m|3[12]m)")


class Screen:
    """The far end of a terminal: what was sent to it, and what stands there now."""

    def __init__(self, columns: int) -> None:
        self._far, near = pty.openpty()
        fcntl.ioctl(near, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.stream: TextIO = os.fdopen(near, "w", encoding="utf-8", newline="")
        self._sent = b""

    def sent(self) -> str:
        """All that was sent so far."""
        while select.select([self._far], [], [], 0)[0]:
            self._sent += os.read(self._far, 65_536)
        return self._sent.decode()

    def lines(self) -> list[str]:
        """What can be read, the line with the bar last; each \\r with an erasure begins its line anew."""
        return [ESCAPE.sub("", row.rsplit("\r\x1b[K", 1)[-1]).rstrip("\r") for row in self.sent().split("\n")]

    def close(self) -> None:
        """Hang up."""
        self.stream.close()
        os.close(self._far)


@contextmanager
def screen(columns: int = 100) -> Iterator[Screen]:
    opened = Screen(columns)
    try:
        yield opened
    finally:
        opened.close()


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def test_a_bar_shows_share_count_failures_rate_in_flight_and_time_left() -> None:
    with screen() as terminal:
        progress = Progress(enabled=True, total=4000, stream=terminal.stream)
        progress.update(1000, 3, 20)
        shown = terminal.lines()[-1]
        assert re.fullmatch(r" 25% █+\S? +1,000/4,000 · 3 failed · [\d:]+ left · [\d,]+/s · 20 in flight", shown)
        assert len(shown) == 99
        progress.close()


def test_without_a_total_there_is_neither_share_nor_time_left_until_it_is_known() -> None:
    with screen() as terminal:
        progress = Progress(enabled=True, total=None, stream=terminal.stream)
        progress.update(1000, 0, 20)
        assert re.fullmatch(r"1,000 done · 0 failed · [\d,]+/s · 20 in flight", terminal.lines()[-1])
        progress.set_total(2000)
        progress.update(1000, 0, 20)
        assert terminal.lines()[-1].startswith(" 50% █")
        progress.close()


def test_a_label_stands_before_the_bar_where_there_is_room() -> None:
    for columns, labelled in ((100, True), (40, False)):
        with screen(columns) as terminal:
            progress = Progress(enabled=True, total=10, stream=terminal.stream, label="one at a time")
            progress.update(5, 0, 1)
            shown = terminal.lines()[-1]
            assert shown.startswith("one at a time   50% █") == labelled
            assert len(shown) == columns - 1
            progress.close()


def test_more_done_than_the_total_is_no_error() -> None:
    with screen() as terminal:
        progress = Progress(enabled=True, total=10, stream=terminal.stream)
        progress.update(11, 0, 0)
        assert terminal.lines()[-1].startswith("11 done")
        progress.close()


def test_lines_stand_above_the_bar_and_the_bar_stays_the_last_line() -> None:
    with screen() as terminal:
        progress = Progress(enabled=True, total=10, stream=terminal.stream)
        for done in range(1, 4):
            progress.update(done, 0, 1)
            progress.write(f"line {done}", terminal.stream)
        *above, bar = terminal.lines()
        assert above == ["line 1", "line 2", "line 3"]
        assert bar.startswith(" 30% ")
        progress.close()


def test_lines_go_to_stdout_where_nothing_else_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with screen() as terminal:
        progress = Progress(enabled=True, total=10, stream=terminal.stream)
        progress.update(1, 0, 1)
        progress.write("one\ntwo\n")
        assert capsys.readouterr().out == "one\ntwo\n"
        assert "one" not in terminal.sent()
        progress.close()


def test_a_closed_bar_leaves_an_empty_line_and_stays_silent() -> None:
    with screen() as terminal:
        progress = Progress(enabled=True, total=10, stream=terminal.stream)
        progress.update(5, 0, 1)
        progress.close()
        assert terminal.lines() == [""]
        before = terminal.sent()
        progress.update(6, 0, 1)
        progress.set_total(7)
        progress.close()
        assert terminal.sent() == before


def test_nothing_is_drawn_where_the_stream_is_no_terminal_or_the_bar_is_off() -> None:
    stream = io.StringIO()
    closed = io.StringIO()
    closed.close()
    for progress in (Progress(enabled=True, total=10, stream=stream), Progress(enabled=True, total=10, stream=closed)):
        progress.update(5, 1, 1)
        progress.write("a line", stream)
        progress.close()
    assert stream.getvalue() == "a line\n" * 2
    with screen() as terminal:
        progress = Progress(enabled=False, total=10, stream=terminal.stream)
        progress.update(5, 1, 1)
        progress.close()
        assert terminal.sent() == ""


def test_nothing_is_drawn_on_a_dumb_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    with screen() as terminal:
        progress = Progress(enabled=True, total=10, stream=terminal.stream)
        progress.update(5, 1, 1)
        progress.close()
        assert terminal.sent() == ""


@pytest.mark.parametrize(("variable", "color"), [("1", True), ("", False)])
def test_no_color_takes_the_colours_and_leaves_the_bar(
    monkeypatch: pytest.MonkeyPatch, variable: str, color: bool
) -> None:
    monkeypatch.setenv("NO_COLOR", variable)
    with screen() as terminal:
        progress = Progress(enabled=True, total=10, stream=terminal.stream, color=color)
        progress.update(5, 1, 1)
        assert set(ESCAPE.findall(terminal.sent())) == {"\x1b[K"}
        assert "1 failed" in terminal.lines()[-1]
        progress.close()


def test_failures_are_red_and_nothing_but_colour_and_erasure_is_sent() -> None:
    with screen() as terminal:
        progress = Progress(enabled=True, total=10, stream=terminal.stream)
        progress.update(5, 1, 1)
        assert "\x1b[31m1 failed\x1b[0m" in terminal.sent()
        assert "\x1b" not in HARMLESS.sub("", terminal.sent())
        progress.close()


@pytest.mark.parametrize("columns", range(1, 100, 7))
@pytest.mark.parametrize("total", [None, 3_000_000])
def test_a_bar_never_wraps_whatever_the_terminal_is_wide(columns: int, total: int | None) -> None:
    with screen(columns) as terminal:
        progress = Progress(enabled=True, total=total, stream=terminal.stream)
        for done in (1, 12_345, 2_999_999):
            progress.update(done, done // 2, 500)
            assert len(terminal.lines()[-1]) < max(columns, 1)
        progress.write("a line", terminal.stream)
        assert terminal.lines()[0] == "a line"
        progress.close()


def test_a_terminal_that_does_not_know_its_width_is_taken_for_80_columns() -> None:
    with screen(columns=0) as terminal:
        progress = Progress(enabled=True, total=10, stream=terminal.stream)
        progress.update(5, 0, 1)
        assert 60 < len(terminal.lines()[-1]) < 80
        progress.close()


def test_a_terminal_that_went_away_takes_the_bar_with_it_and_ends_nothing() -> None:
    terminal = Screen(80)
    progress = Progress(enabled=True, total=10, stream=terminal.stream)
    progress.update(1, 0, 1)
    terminal.close()
    progress.update(2, 0, 1)
    progress.update(3, 0, 1)
    progress.close()


def test_a_stdout_that_went_away_is_the_callers_to_handle() -> None:
    read, write = os.pipe()
    os.close(read)
    with screen() as terminal:
        progress = Progress(enabled=True, total=10, stream=terminal.stream)
        progress.update(1, 0, 1)
        stdout = os.fdopen(write, "w")
        with pytest.raises(BrokenPipeError):
            progress.write("a line", stdout)
        with pytest.raises(BrokenPipeError):
            stdout.close()
        progress.close()


def test_idle_time_counts_towards_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("tqdm.std.time", lambda: now)
    with screen() as terminal:
        progress = Progress(enabled=True, total=None, stream=terminal.stream)
        for tick in range(1, 601):
            now += 0.1
            progress.update(tick // 10, 0, 1)
            terminal.sent()  # a terminal that nobody reads fills up
        assert terminal.lines()[-1].startswith("60 done · 0 failed · 1.0/s")
        progress.close()


SCRIPT = """
import sys, threading
before = set(sys.modules)
from fetchall.progress import Progress
assert "tqdm" not in sys.modules
Progress(enabled=False, total=3).update(1, 0, 1)
Progress(enabled=True, total=3, stream=open("/dev/null", "w")).update(1, 0, 1)
assert "tqdm" not in sys.modules, "imported where no bar is drawn"
progress = Progress(enabled=True, total=3)
progress.update(1, 0, 1)
assert "tqdm" in sys.modules
assert threading.active_count() == 1, "tqdm's monitor runs"
assert "multiprocessing" not in sys.modules
progress.close()
import os
assert os.environ.get("TQDM_MININTERVAL") == "x", "the environment is as it was"
"""


def test_tqdm_is_imported_for_a_bar_alone_and_its_environment_breaks_nothing() -> None:
    with screen() as terminal:
        settings = {
            "MININTERVAL": "x",
            "DISABLE": "1",
            "BAR_FORMAT": "{nothing}",
            "GUI": "1",
            "NCOLS": "-5",
            "ASCII": " >",
        }
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", SCRIPT],
            env={**os.environ, **{f"TQDM_{name}": value for name, value in settings.items()}},
            stderr=terminal.stream,
            check=False,
        )
        assert done.returncode == 0, terminal.sent()
        assert " 33% ████" in ESCAPE.sub("", terminal.sent())
