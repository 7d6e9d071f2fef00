"""
Cases in a network namespace of their own, whose loopback device has a public address as well: nothing leaves it.

Knows Linux's `unshare` and how an interface is brought up; knows no particular case. Run as a module inside the
namespace, it reads titles of cases as JSON and writes what did not hold.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Iterable
from functools import cache

from .case import PUBLIC

_SIOCSIFFLAGS, _SIOCSIFADDR, _SIOCSIFNETMASK = 0x8914, 0x8916, 0x891C
_UP = 0x1 | 0x40
_WAYS = (("unshare", "--net"), ("unshare", "--map-root-user", "--net"))
_SECONDS = 120


@cache
def way() -> tuple[str, ...] | None:
    """The command that makes a namespace here; None where none may be made."""
    if sys.platform != "linux":
        return None
    for command in _WAYS:
        try:
            tried = subprocess.run([*command, "true"], capture_output=True, timeout=10, check=False)
        except (OSError, subprocess.TimeoutExpired):
            continue
        if tried.returncode == 0:
            return command
    return None


def hold_apart(titles: Iterable[str]) -> dict[str, list[str]]:
    """What of these cases does not hold, tried one after another in one namespace."""
    command = way()
    assert command is not None, "no namespace can be made here"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [*command, sys.executable, "-m", __name__],
        input=json.dumps(list(titles)),
        capture_output=True,
        text=True,
        env=environment,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the namespace failed: {done.stderr[-2000:]}")
    found: dict[str, list[str]] = json.loads(done.stdout)
    return found


def _open() -> None:
    """Bring loopback up, and give it the public address."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        _set(sock, _SIOCSIFFLAGS, b"lo", struct.pack("h", _UP))
        _set(sock, _SIOCSIFADDR, b"lo:1", _address(PUBLIC))
        _set(sock, _SIOCSIFNETMASK, b"lo:1", _address("255.255.255.255"))


def _set(sock: socket.socket, request: int, name: bytes, value: bytes) -> None:
    import fcntl

    fcntl.ioctl(sock, request, struct.pack("16s24s", name, value))


def _address(text: str) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(text))


def main() -> None:
    """Inside the namespace."""
    from .hold import hold
    from .table import CASES

    _open()
    titles = set(json.load(sys.stdin))
    json.dump({case.title: asyncio.run(hold(case)) for case in CASES if case.title in titles}, sys.stdout)


if __name__ == "__main__":
    main()
