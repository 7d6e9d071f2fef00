"""The command on a terminal of its own: readable lines, a bar, a summary, and nothing that a terminal obeys."""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import pytest

from fetchall.options import Reporting
from fetchall.person import Person
from fetchall.tally import Tally
from tests.command import environment, run, terminal
from tests.faults import FaultServer

STYLE = re.compile(r"\x1b\[[0-9;]*m")
ERASE = re.compile(r"\r\x1b\[K")


def shown(out: bytes) -> list[str]:
    """The lines as they stand on the terminal at the end: what the bar drew over is gone."""
    text = STYLE.sub("", out.decode()).replace("\r\n", "\n")
    return [ERASE.split(line)[-1] for line in text.split("\n")]


def rows(lines: list[str]) -> int:
    """The lines that stand for a URL; the summary has its own of each status."""
    return sum(re.match("(200|404|ERR) +(?!OK|Not Found)", line) is not None for line in lines)


@pytest.fixture
def urls(server: FaultServer, tmp_path: Path) -> str:
    paths = ("/bytes/5", "/status/404", "/truncated", "/delay/0.3", "/redirect-chain/1")
    lines = [*map(server.url, paths), "http://127.0.0.1/\x1b[31mred\x07", "http://b\u202ead:99999/"]
    (tmp_path / "urls.txt").write_text("\n".join(lines))
    return "urls.txt"


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_line_for_each_url_and_the_summary_fit_the_terminal(columns: int, urls: str, tmp_path: Path) -> None:
    done = terminal(urls, "--retries", "0", "-k", folder=tmp_path, columns=columns)
    lines = shown(done.out)
    assert done.code == 1
    assert max(map(len, lines)) <= max(columns, 72)  # the hint at the end and warnings are not cut
    assert rows(lines) == 7
    assert any("3 ok" in line for line in lines)
    assert any("pipe it or write it" in line for line in lines)


def test_untrusted_text_never_reaches_the_terminal_raw(urls: str, tmp_path: Path) -> None:
    out = terminal(urls, "--retries", "0", folder=tmp_path).out.decode()
    left = STYLE.sub("", out).replace("\r\x1b[K", "").replace("\r\n", "")
    assert left.isprintable()
    assert r"\x1b[31mred" in out or "%1B[31mred" in out


def test_colours_go_where_they_are_not_wanted(urls: str, tmp_path: Path) -> None:
    assert STYLE.search(terminal(urls, "--retries", "0", folder=tmp_path).out.decode())
    for env in (environment(TERM="xterm", NO_COLOR="1"), environment(TERM="dumb")):
        assert not STYLE.search(terminal(urls, "--retries", "0", folder=tmp_path, env=env).out.decode())
    assert not STYLE.search(terminal(urls, "--retries", "0", "--no-color", folder=tmp_path).out.decode())


def test_the_bar_is_there_while_it_runs_and_gone_at_the_end(urls: str, tmp_path: Path) -> None:
    done = terminal(urls, "--retries", "0", folder=tmp_path, columns=100)
    assert re.search(r"\d/7 · \d failed", STYLE.sub("", done.out.decode()))
    assert not any("in flight ·" in line or "/7 ·" in line for line in shown(done.out))


class Screen(io.StringIO):
    """A terminal that keeps what it was sent."""

    def isatty(self) -> bool:
        return True


def test_a_warning_stands_above_the_bar_not_behind_it(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Screen()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm")
    person = Person(Reporting())
    person.start_bar(10)
    person.show(Tally(), in_flight=2)
    person.warn("stopping")
    person.end_bar()
    before, after = screen.getvalue().split("fetchall: stopping\n")
    assert before.endswith("\r\x1b[K")
    assert "0/10" in STYLE.sub("", before)
    assert "0/10" in STYLE.sub("", after)


def test_without_a_stderr_nothing_is_said_on_stdout_instead(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    Person(Reporting()).complain("a word")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("option", ["--no-progress", "-q"])
def test_there_is_no_bar_where_it_is_not_wanted(option: str, urls: str, tmp_path: Path) -> None:
    done = terminal(urls, option, "--retries", "0", folder=tmp_path)
    assert not ERASE.search(done.out.decode())
    assert rows(shown(done.out)) == 7


def test_json_is_json_on_a_terminal_too_where_asked_for(server: FaultServer, tmp_path: Path) -> None:
    lines = shown(terminal(server.url("/bytes/5"), "--format", "jsonl", "-q", folder=tmp_path, columns=2000).out)
    assert lines[0].startswith('{"index":0,')


def test_a_terminal_without_a_list_is_told_what_to_do(tmp_path: Path) -> None:
    done = terminal(folder=tmp_path)
    assert done.code == 2
    assert b"no SOURCE" in done.out
    assert b"--demo" in done.out


def test_a_dash_reads_what_is_typed(server: FaultServer, tmp_path: Path) -> None:
    done = terminal("-", folder=tmp_path, stdin=f"{server.url('/bytes/5')}\n\x04".encode())
    assert done.code == 0
    assert any(line.startswith("200 ") for line in shown(done.out))


def test_lines_in_a_pipe_are_plain(server: FaultServer, tmp_path: Path) -> None:
    done = run(server.url("/bytes/5"), "--format", "lines", folder=tmp_path)
    (line,) = done.out.decode().splitlines()
    assert line.endswith(server.url("/bytes/5"))
    assert "\x1b" not in line
