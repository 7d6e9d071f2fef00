"""
Ports that never become a connection: one that refuses, and one that leaves a SYN without an answer.

Knows the kernel's listening queue; knows nothing of what is said on a connection.
"""

from __future__ import annotations

import contextlib
import errno
import socket

HOSTS = ("127.0.0.1", "127.0.0.2", "127.0.0.3", "::1")
_FILL = 8
"""Connections that fill a queue of length 0: Linux takes one or two, and answers no SYN after that."""


def bound(host: str, port: int = 0) -> socket.socket:
    """A socket with a port of its own that does not listen: a SYN to it is refused."""
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock


def everywhere(hosts: tuple[str, ...] = HOSTS) -> list[socket.socket]:
    """One port number, bound at each of the addresses that this machine has (::1 may be absent)."""
    for _ in range(50):
        with contextlib.ExitStack() as stack:
            first = bound(hosts[0])
            stack.callback(first.close)
            made = [first]
            try:
                for host in hosts[1:]:
                    made.append(bound(host, first.getsockname()[1]))
                    stack.callback(made[-1].close)
            except OSError as error:
                if error.errno == errno.EADDRINUSE:
                    continue
                if ":" not in host:
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
