"""
aiohttp's session as it is used here: with a connector of ours, and without what it does by itself.

Knows aiohttp's arguments; it must not know what is sent.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import aiohttp

from fetchall.wire.connection import Connector
from fetchall.wire.message import NoCookies, WireRequest
from fetchall.wire.recording import Recording
from fetchall.wire.wiring import Wiring


def timeout_of(wiring: Wiring) -> aiohttp.ClientTimeout:
    """Of a connection; all that comes after it is `Deadlines`' business."""
    return aiohttp.ClientTimeout(total=None, connect=wiring.connect_timeout or None, ceil_threshold=float("inf"))


def session_of(
    wiring: Wiring, timeout: aiohttp.ClientTimeout, socket_factory: Callable[[Any], socket.socket] | None
) -> aiohttp.ClientSession:
    """A session over a connector of its own."""
    connector = Connector(
        wiring.sockets,
        # Where there are two connectors, they share them.
        wiring.spare // 2 if wiring.proxies.any else wiring.spare,
        tls=wiring.tls,
        protocol=Recording if wiring.recording else None,
        resolver=wiring.resolver,
        use_dns_cache=False,  # the resolver has one
        family=wiring.family,
        pinned=wiring.pinned,
        socket_factory=socket_factory,
    )
    session = aiohttp.ClientSession(
        connector=connector,
        cookie_jar=NoCookies(),
        request_class=WireRequest,
        timeout=timeout,
        auto_decompress=False,
        trust_env=False,
    )
    # aiohttp would send a request again by itself, once and silently, on a connection that turned out dead.
    session._retry_connection = False
    return session
