"""The command as a user starts it: a process of its own, with pipes or a terminal of its own."""

from __future__ import annotations

import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from fcntl import ioctl
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parent.parent
COMMAND = (sys.executable, "-m", "fetchall")
LONGEST = 60.0
"""Seconds that a command may take before a test gives it up."""


class Done(NamedTuple):
    """How a command ended, and what it said."""

    code: int
    out: bytes
    err: str


def environment(**changes: str) -> dict[str, str]:
    """The environment, with fetchall's own code first, and these changes."""
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def start(*arguments: str, folder: Path, env: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
    """The command under way, with pipes at all ends."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [*COMMAND, *arguments], cwd=folder, env=env or environment(), stdin=pipe, stdout=pipe, stderr=pipe
    )


def run(*arguments: str, folder: Path, stdin: bytes | None = None, env: Mapping[str, str] | None = None) -> Done:
    """The command to its end; without `stdin` there is nothing to read."""
    done = subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=env or environment(),
        input=b"" if stdin is None else stdin,
        capture_output=True,
        timeout=LONGEST,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())


def until(condition: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come to pass"
        time.sleep(0.005)


def stop(process: subprocess.Popen[bytes], number: signal.Signals) -> Done:
    """Send a signal, and wait for the end."""
    process.send_signal(number)
    out, err = process.communicate(timeout=LONGEST)
    return Done(process.returncode, out, err.decode())


def terminal(
    *arguments: str, folder: Path, columns: int = 80, env: Mapping[str, str] | None = None, stdin: bytes = b""
) -> Done:
    """The command on a terminal of so many columns, stdout and stderr on it together, as `out`."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    process = subprocess.Popen(
        [*COMMAND, *arguments],
        cwd=folder,
        env=env or environment(TERM="xterm"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    if stdin:
        os.write(master, stdin)
    out = bytearray()
    while True:
        try:
            block = os.read(master, 65536)
        except OSError:  # Linux says so when nobody has the other end any more
            break
        if not block:
            break
        out += block
    os.close(master)
    return Done(process.wait(LONGEST), bytes(out), "")
