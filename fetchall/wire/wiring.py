"""
What a session is made of.

Holds values alone, settled once from a run's options; it must not know those.
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Collection
from dataclasses import dataclass
from ssl import SSLContext
from typing import Any

import aiohttp

from fetchall.wire.proxies import Proxies


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What a session is made of; seconds and bytes."""

    sockets: int
    spare: int
    """Sockets beyond these, for idle connections that were missed."""
    connect_timeout: float
    read_timeout: float
    body_cap: int
    tls: Callable[[], SSLContext]
    """The context for https, made at the first call."""
    resolver: aiohttp.abc.AbstractResolver
    family: socket.AddressFamily = socket.AF_UNSPEC
    proxies: Proxies
    pinned: Collection[tuple[str, int]] = ()
    """Hosts and ports, host `*` for any, whose addresses the resolver is asked for though they are addresses."""
    send_twice: bool = False
    """Methods that are not idempotent may be sent again; else each goes out on a connection of its own."""
    timings: bool = False
    limit_rate: int = 0
    """Bytes a second of all bodies together; 0: no limit."""
    speed_limit: int = 0
    """Bytes a second below which a body is given up after `speed_time`; 0: never."""
    speed_time: float = 0.0
    recording: bool = False
    """Calls bring a `record`."""
    socket_factory: Callable[[Any], socket.socket] | None = None
    """Guards direct connections; through a proxy it would see the proxy's address alone."""
