"""
A fence around this process: what is dialled or looked up beyond loopback is refused and noted, never sent.

Knows Python's audit events, which come before the system call. It sees what goes through Python's sockets: asyncio's
and uvloop's connections, and the threads of a resolver.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

_INSIDE = (ipaddress.ip_network("127.0.0.0/8"), ipaddress.ip_network("::1/128"))
_LOCAL = ("localhost", "localhost.", "ip6-localhost", "")


@dataclass
class Fence:
    """What was refused, and what is still to fail: the errors that the next connects meet in the system's place."""

    dialled: list[str] = field(default_factory=list)
    """Addresses beyond loopback that were dialled, and names that were looked up."""
    errors: list[int] = field(default_factory=list)
    inside: tuple[str, ...] = ()
    """Further addresses that are let through: in a network namespace, where they are loopback's."""


_fences: list[Fence] = []
_hooked: list[bool] = []


@contextmanager
def fenced(errors: Sequence[int] = (), inside: tuple[str, ...] = ()) -> Iterator[Fence]:
    """Keep this process on loopback; the first connects fail with these errors, as if the system had said so."""
    if not _hooked:
        # There is no way to take a hook back, so there is one for all fences.
        _hooked.append(True)
        sys.addaudithook(_hook)
    fence = Fence(errors=list(errors), inside=inside)
    _fences.append(fence)
    try:
        yield fence
    finally:
        _fences.remove(fence)


def _hook(event: str, args: tuple[object, ...]) -> None:
    if not _fences or not event.startswith("socket."):
        return
    if event in ("socket.connect", "socket.sendto"):
        address = args[1]
        if not isinstance(address, tuple):
            return
        if not _is_inside(str(address[0])) and address[0] not in _fences[-1].inside:
            _refuse(f"{address[0]}:{address[1]}")
        elif event == "socket.connect" and (errors := _fences[-1].errors):
            number = errors.pop(0)
            raise OSError(number, os.strerror(number))
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        host = args[0].decode("latin-1") if isinstance(args[0], bytes) else str(args[0] or "")
        if host not in _LOCAL and not _is_address(host):
            _refuse(host)


def _refuse(what: str) -> None:
    _fences[-1].dialled.append(what)
    raise OSError(errno.EACCES, f"{what} is beyond loopback")


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _is_inside(host: str) -> bool:
    if not _is_address(host):
        return host in _LOCAL
    address = ipaddress.ip_address(host.partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return any((mapped or address) in network for network in _INSIDE)
