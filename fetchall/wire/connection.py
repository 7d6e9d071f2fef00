"""
Which connections may be used again, and how many may be open: aiohttp's connector with our rules for its pool.

Knows aiohttp's connector and protocol from the inside, which is why the minor version is pinned; it must not know
what is requested or why.
"""

from __future__ import annotations

import asyncio
import functools
import select
import socket
from collections import OrderedDict
from contextvars import ContextVar
from time import monotonic
from typing import Any

import aiohttp
from aiohttp import hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ConnectionKey
from aiohttp.connector import AddrInfoType, Connection, TCPConnector
from multidict import CIMultiDict

from fetchall.records import Timings
from fetchall.wire.guard import BlockedAddress, guarded_socket_factory

KEEPALIVE = 15.0
"""Seconds that an idle connection is kept: below the 20 s and more that servers commonly allow (nginx 75, Apache 5)."""

_RELIED_ON: tuple[tuple[type, tuple[str, ...]], ...] = (
    (TCPConnector, ("_create_connection", "_release", "_cleanup", "_update_proxy_auth_header_and_build_proxy_req")),
    (ResponseHandler, ("should_close", "is_connected", "set_response_params", "data_received")),
    (ClientRequest, ("update_auto_headers", "_skip_auto_headers")),
)


def check_aiohttp() -> None:
    """Raise RuntimeError where this aiohttp lacks what the pool is built on."""
    missing = [f"{cls.__name__}.{name}" for cls, names in _RELIED_ON for name in names if not hasattr(cls, name)]
    if "_retry_connection" not in aiohttp.ClientSession.ATTRS:
        missing.append("ClientSession._retry_connection")
    if missing:
        raise RuntimeError(
            f"aiohttp {aiohttp.__version__} lacks {', '.join(missing)}, on which fetchall builds: "
            "install aiohttp>=3.14.5,<3.15"
        )


class Exchange:
    """What one hop learns of its connection and its phases; the task carries it, as `EXCHANGE`."""

    __slots__ = (
        "blocked", "connect_at", "connect_end", "dns_at", "dns_end", "fresh", "head_at", "protocol", "reused",
        "sent_at", "started_at", "taken_at",
    )  # fmt: skip

    def __init__(self, started_at: float) -> None:
        self.started_at = started_at
        self.blocked: BlockedAddress | None = None
        """An address that was not dialled."""
        self.fresh = False
        """True: take no connection from the pool."""
        self.protocol: Protocol | None = None
        self.reused = False
        self.taken_at: float | None = None
        """When there was a connection to send on."""
        self.head_at: float | None = None
        self.dns_at: float | None = None
        self.dns_end: float | None = None
        self.connect_at: float | None = None
        self.connect_end: float | None = None
        self.sent_at: float | None = None

    @property
    def peer(self) -> str | None:
        """The address at the other end, once there is a connection."""
        return self.protocol.peer if self.protocol is not None else None

    def dns_started(self, now: float) -> None:
        """A name is being looked up."""
        self.dns_at, self.dns_end = now, None

    def dns_ended(self, now: float) -> None:
        """The name has addresses."""
        self.dns_end = now

    def connect_started(self, now: float) -> None:
        """A connection is being made: the name first, if there is one to look up."""
        self.connect_at, self.connect_end, self.dns_at = now, None, None

    def connect_ended(self, now: float) -> None:
        """The connection stands, TLS included."""
        self.connect_end = now

    def sent(self, now: float) -> None:
        """The head, or a piece of the body, has been handed to the system."""
        self.sent_at = now

    def timings(self, now: float) -> Timings:
        """The phases; one that was not reached is None, one that was cut short lasted until `now`."""
        dns = connect = send = wait = receive = None
        if self.dns_at is not None:
            dns = (self.dns_end or now) - self.dns_at
        if self.connect_at is not None and (self.dns_at is None or self.dns_end is not None):
            connect = (self.connect_end or now) - (self.dns_end or self.connect_at)
        if self.taken_at is not None:
            sent = self.sent_at or self.taken_at
            send = sent - self.taken_at
            wait = (self.head_at or now) - sent
        if self.head_at is not None:
            receive = now - self.head_at
        return Timings(dns=dns, connect=connect, send=send, wait=wait, receive=receive)


EXCHANGE: ContextVar[Exchange] = ContextVar("EXCHANGE")
"""The current task's hop: aiohttp hands nothing of the caller's own down to its connector."""


def guarded(address: AddrInfoType) -> socket.socket:
    """
    A socket for a public address; raises `BlockedAddress` for any other, and notes it on the exchange.

    It is asked for each address just before connecting, so it sees what a name, a literal or a redirect came to. The
    note is needed because several failed addresses end in one exception that names none of them.
    """
    try:
        return guarded_socket_factory(address)
    except BlockedAddress as refused:
        EXCHANGE.get().blocked = refused
        raise


class WireRequest(ClientRequest):
    """aiohttp's request without headers of its own making: all that is sent is decided by us."""

    _skip_auto_headers = CIMultiDict({hdrs.CONTENT_TYPE: None})

    def update_auto_headers(self, skip_auto_headers: object) -> None:
        """No headers but those that were handed in."""


class Protocol(ResponseHandler):
    """aiohttp's protocol, which also remembers its peer and whether it has served before."""

    peer: str | None = None
    served = 0
    _poll: select.poll | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the peer: after a short body the response has lost its connection."""
        super().connection_made(transport)
        address = transport.get_extra_info("peername")
        if isinstance(address, tuple):
            self.peer = address[0]
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(select, "poll"):
            # poll, not select: descriptors go beyond 1023.
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    @property
    def reusable(self) -> bool:
        """
        No answer is under way, none is left over, and no input waits.

        What waits was sent before the next request is written: a close, or bytes that would be taken for its answer.
        """
        if self.should_close or not self.is_connected():
            return False
        return self._poll is None or not self._poll.poll(0)


class Connector(TCPConnector):
    """
    A connector whose open sockets, idle ones included, stay within `sockets`.

    aiohttp's own limit does not count idle connections. Those used last are taken first, since they are the least
    likely to have been closed by the server; those idle for longest make room.
    """

    def __init__(self, sockets: int, **kwargs: Any) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEPALIVE, timeout_ceil_threshold=float("inf"), **kwargs)
        self._sockets = sockets
        self._connecting = 0
        self._idle: OrderedDict[ResponseHandler, ConnectionKey] = OrderedDict()
        self._factory: Any = functools.partial(Protocol, loop=self._loop)

    def __repr__(self) -> str:
        return f"<Connector {len(self._acquired)} in use, {self._connecting} connecting, {len(self._idle)} idle>"

    async def connect(self, req: ClientRequest, traces: Any, timeout: Any) -> Connection:
        """A connection from the pool, or a new one within the connect timeout (DNS, TCP and TLS)."""
        exchange = EXCHANGE.get()
        key = req.connection_key
        protocol = None if exchange.fresh else self._take(key)
        if protocol is None:
            protocol = await self._open(req, traces, timeout)
        elif req.proxy:
            self._update_proxy_auth_header_and_build_proxy_req(req)
        self._acquired.add(protocol)
        exchange.protocol = protocol
        exchange.reused = protocol.served > 0
        exchange.taken_at = monotonic()
        protocol.served += 1
        return Connection(self, key, protocol, self._loop)

    def _take(self, key: ConnectionKey) -> Protocol | None:
        connections = self._conns.get(key)
        if connections is None:
            return None
        found: Protocol | None = None
        oldest = monotonic() - KEEPALIVE
        while connections and found is None:
            protocol, idle_since = connections.pop()
            self._idle.pop(protocol, None)
            assert isinstance(protocol, Protocol)
            if idle_since >= oldest and protocol.reusable:
                found = protocol
            else:
                protocol.close()
        if not connections:
            del self._conns[key]
        return found

    async def _open(self, req: ClientRequest, traces: Any, timeout: Any) -> Protocol:
        self._make_room()
        self._connecting += 1
        try:
            async with asyncio.timeout(timeout.connect or None):
                for trace in traces:
                    await trace.send_connection_create_start()
                protocol = await self._create_connection(req, traces, timeout)
                for trace in traces:
                    await trace.send_connection_create_end()
        finally:
            self._connecting -= 1
        assert isinstance(protocol, Protocol)
        if self.closed:
            protocol.close()
            raise aiohttp.ClientConnectionError("Connector is closed")
        return protocol

    def _make_room(self) -> None:
        while self._idle and len(self._acquired) + self._connecting + len(self._idle) >= self._sockets:
            protocol, key = self._idle.popitem(last=False)
            connections = self._conns.get(key)
            if connections is not None:
                # The oldest of its origin stands first, so this takes one step.
                for position, (candidate, _) in enumerate(connections):
                    if candidate is protocol:
                        del connections[position]
                        break
                if not connections:
                    del self._conns[key]
            protocol.close()

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        super()._release(key, protocol, should_close=should_close)
        if protocol.transport is not None and not self.closed:
            self._idle[protocol] = key

    def _cleanup(self) -> None:
        super()._cleanup()
        for protocol in [protocol for protocol in self._idle if protocol.transport is None]:
            del self._idle[protocol]
