"""
Ports that never become a connection: one that refuses, and one that leaves a SYN without an answer.

Knows the kernel's listening queue; knows nothing of what is said on a connection.
"""

from __future__ import annotations

import contextlib
import errno
import socket
from functools import cache

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "::1")
_FILL = 8
"""Connections that fill a queue of length 0: Linux takes one or two, and answers no SYN after that."""


@cache
def present(host: str) -> bool:
    """Whether this machine has the address: ::1 may be switched off, and macOS has 127.0.0.1 alone of its network."""
    try:
        bound(host).close()
    except OSError:
        return False
    return True


def bound(host: str, port: int = 0) -> socket.socket:
    """A socket with a port of its own that does not listen: a SYN to it is refused."""
    # The protocol is named because asyncio switches Nagle's delay off only where it is.
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def everywhere(hosts: tuple[str, ...] = HOSTS) -> list[socket.socket]:
    """One port number, bound at each of the addresses that this machine has (see `present`)."""
    wanted = [host for host in hosts if present(host)]
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            made: list[socket.socket] = []
            try:
                for host in wanted:
                    made.append(bound(host, made[0].getsockname()[1] if made else 0))
                    stack.callback(made[-1].close)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                raise
            stack.pop_all()
            return made
    raise OSError(errno.EADDRINUSE, "no port number is free at all addresses")


def fill(sock: socket.socket) -> list[socket.socket]:
    """Listen with a queue of length 0 and fill it; the connections that fill it are the caller's to close."""
    sock.listen(0)
    fillers = []
    for _ in range(_FILL):
        filler = socket.socket(sock.family)
        filler.setblocking(False)
        filler.connect_ex(sock.getsockname()[:2])
        fillers.append(filler)
    return fillers
