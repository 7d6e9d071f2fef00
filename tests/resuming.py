"""What the tests of long runs share: a counting site whose paths do something, and the command run in this process."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bench.storm import ANSWER as ANSWER
from bench.storm import Counting
from fetchall.cli import command

NOT_FOUND = ANSWER.replace(b"200 OK", b"404 Gone Fishing")
BROKEN = ANSWER.replace(b"200 OK", b"500 Broken")
FULL = bool(os.environ.get("FETCHALL_FULL"))
"""The full figures, which take minutes, instead of a few of each."""


def end_this(answer: bytes | None = None) -> bytes | None:
    """Ask this process to end, as a SIGTERM from outside would."""
    os.kill(os.getpid(), signal.SIGTERM)
    return answer


class Site(Counting):
    """
    Answers by path: /hold never, /status/404 so, /stop asks this process to end, and anything that `on` names.

    `counts` says how often a path was asked for.
    """

    def __init__(self) -> None:
        super().__init__()
        self.on: dict[str, Callable[[], bytes | None]] = {}

    def answer(self, path: bytes) -> bytes | None:
        name = path.decode()
        if name in self.on:
            return self.on[name]()
        if name.startswith("/hold"):
            return None
        if name.startswith("/stop"):
            return end_this()
        if name.startswith("/status/404"):
            return NOT_FOUND
        return BROKEN if name.startswith("/status/500") else ANSWER

    @property
    def counts(self) -> Counter[str]:
        return Counter(path.decode() for _, path in self.asked)

    def url(self, path: str, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.port}{path}"

    def write(self, file: Path, *paths: str) -> Path:
        """A list of these paths."""
        file.write_text("".join(self.url(path) + "\n" for path in paths))
        return file

    def until(self, met: Callable[[], bool]) -> None:
        """Wait, for ten seconds at most."""
        end = time.monotonic() + 10
        while not met():
            assert time.monotonic() < end, "it did not come to that"
            time.sleep(0.002)


def fetchall(*words: object) -> int:
    """The command, in this process; its exit code."""
    try:
        command.main([str(word) for word in words], prog_name="fetchall", standalone_mode=False)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else -1
    except click.UsageError as error:
        print(error.format_message(), file=sys.stderr)
        return 2
    raise AssertionError("it did not end")


def apart(*words: object) -> list[str]:
    """The command's words, for a process of its own."""
    return [sys.executable, "-m", "fetchall", *(str(word) for word in words)]


def rows(path: Path) -> list[dict[str, Any]]:
    """The rows of an output, finished or not."""
    data = path.read_bytes()
    if path.name.removesuffix(".part").endswith(".json"):
        return list(json.loads(data)["results"])
    assert data.endswith(b"\n") or not data
    return [json.loads(line) for line in data.splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder, to see that nothing was touched."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
