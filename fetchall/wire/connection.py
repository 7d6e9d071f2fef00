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
from collections.abc import Callable, Collection
from math import inf
from ssl import SSLContext
from time import monotonic
from typing import Any

import aiohttp
from aiohttp.abc import ResolveResult
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ClientResponse, ConnectionKey
from aiohttp.connector import AddrInfoType, Connection, TCPConnector
from aiohttp.helpers import is_ip_address

from fetchall.wire.exchange import EXCHANGE, Exchange
from fetchall.wire.framing import Framed
from fetchall.wire.guard import BlockedAddress, check_public

KEEPALIVE = 15.0
"""Seconds that an idle connection is kept: below the 20 s and more that servers commonly allow (nginx 75, Apache 5)."""

CLOSING_TURNS = 3
"""Turns of the loop after which a socket that made room is closed; TLS may take longer to say goodbye."""

MISSED = 8
"""Sockets that are added when a connection is opened anew that had made room."""

_RELIED_ON: dict[type, str] = {
    TCPConnector: "_create_connection _get_ssl_context _resolve_host _release _cleanup _closed "
    "_update_proxy_auth_header_and_build_proxy_req",
    ResponseHandler: "should_close is_connected set_response_params data_received start_timeout resume_reading "
    "connection_lost _drain_tail _reading_paused _reschedule_timeout _drop_timeout _on_read_timeout",
    ClientRequest: "update_auto_headers connection_key send write_bytes _skip_auto_headers _body _upload_tracker",
    ClientResponse: "start release _closed _connection _headers _raw_headers _raw_cookie_headers _released",
}
_RELIED_ON_IN_POOL = "_acquired _conns _cleanup_handle _factory _loop"


def check_aiohttp() -> None:
    """Raise RuntimeError where this aiohttp lacks what the pool is built on."""
    missing = [f"{cls.__name__}.{name}" for cls, names in _RELIED_ON.items() for name in _absent(cls, names)]
    if "_retry_connection" not in aiohttp.ClientSession.ATTRS:
        missing.append("ClientSession._retry_connection")
    _complain_of(missing)


def _absent(owner: object, names: str) -> list[str]:
    return [name for name in names.split() if not hasattr(owner, name)]


def _complain_of(missing: list[str]) -> None:
    if missing:
        raise RuntimeError(
            f"aiohttp {aiohttp.__version__} lacks {', '.join(missing)}, on which fetchall builds: "
            "install aiohttp>=3.14.5,<3.15"
        )


def guarded(address: AddrInfoType) -> socket.socket:
    """
    A socket for a public address; raises `BlockedAddress` for any other, and notes it on the exchange.

    It is asked for each address just before connecting, so it sees what a name, a literal or a redirect came to. The
    note is needed because several failed addresses end in one exception that names none of them.
    """
    try:
        check_public(str(address[4][0]))
    except BlockedAddress as refused:
        EXCHANGE.get().blocked = refused
        raise
    family, kind, protocol, *_ = address
    return socket.socket(family, kind, protocol)


class Protocol(Framed):
    """
    One connection, which also remembers its peer and whether it has served before.

    Where aiohttp sets a timer for each piece of data, it notes the time, and `Deadlines` looks at it now and then.
    """

    heard_at = inf
    """Since when the server has been waited for in vain; `inf`: it is not its turn, or we do not listen."""
    peer: str | None = None
    served = 0
    _poll: select.poll | None = None

    def __init__(self, loop: asyncio.AbstractEventLoop, standing: set[Protocol]) -> None:
        super().__init__(loop)
        self._standing = standing

    def connection_lost(self, exc: BaseException | None) -> None:
        """Its socket is closed now, which may be some turns of the loop after `close`."""
        self._standing.discard(self)
        super().connection_lost(exc)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the peer: after a short body the response has lost its connection."""
        super().connection_made(transport)
        self._standing.add(self)
        address = transport.get_extra_info("peername")
        if isinstance(address, tuple):
            self.peer = address[0]
        sock = transport.get_extra_info("socket")
        if sock is not None and hasattr(select, "poll"):
            # poll, not select: descriptors go beyond 1023.
            self._poll = select.poll()
            self._poll.register(sock.fileno(), select.POLLIN)

    def fall_silent(self) -> None:
        """Nothing came for too long: as aiohttp's own timer would have it."""
        self._on_read_timeout()

    def _reschedule_timeout(self) -> None:
        self.heard_at = monotonic()

    def _drop_timeout(self) -> None:
        self.heard_at = inf

    def resume_reading(self, resume_parser: bool = True) -> None:
        """At each body's end aiohttp asks for what is hardly ever needed: to read on after a pause."""
        payload = self._payload
        if self._reading_paused or (resume_parser and (payload is None or not payload.is_eof())):
            super().resume_reading(resume_parser)

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
    A connector whose open sockets, idle ones included, stay within `sockets`, and a `spare` where more pays.

    aiohttp's own limit does not count idle connections. Those used last are taken first, since they are the least
    likely to have been closed by the server; those idle for longest make room. Over hosts that are asked once, idle
    connections are of no use. Where an origin is asked again soon after its connection has made room, that one would
    have been: each time this happens, a few more may stay open.
    """

    def __init__(
        self,
        sockets: int,
        spare: int,
        tls: Callable[[], SSLContext],
        pinned: Collection[tuple[str, int]] = (),
        protocol: type[Protocol] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(limit=0, keepalive_timeout=KEEPALIVE, timeout_ceil_threshold=float("inf"), **kwargs)
        _complain_of(_absent(self, _RELIED_ON_IN_POOL))
        self._sockets = sockets
        self._most = sockets + spare
        self._let_go: OrderedDict[ConnectionKey, None] = OrderedDict()
        """Origins whose connections made room, the latest last."""
        self._tls = tls
        self._pinned = pinned
        self._connecting = 0
        self._idle: OrderedDict[ResponseHandler, ConnectionKey] = OrderedDict()
        self._standing: set[Protocol] = set()
        """Connections whose sockets are open, those that are being closed included."""
        self._factory: Any = functools.partial(protocol or Protocol, self._loop, self._standing)

    def __repr__(self) -> str:
        return f"<Connector {len(self._acquired)} in use, {self._connecting} connecting, {len(self._idle)} idle>"

    async def connect(self, req: ClientRequest, traces: Any, timeout: Any) -> Connection:
        """A connection from the pool, or a new one within the connect timeout (DNS, TCP and TLS)."""
        exchange = EXCHANGE.get()
        key = req.connection_key
        protocol = None if exchange.fresh else self._take(key)
        if protocol is None:
            protocol = await self._open(exchange, req, traces, timeout)
        elif req.proxy:
            self._update_proxy_auth_header_and_build_proxy_req(req)
        self._acquired.add(protocol)
        exchange.protocol = protocol
        exchange.reused = protocol.served > 0
        exchange.taken_at = monotonic()
        protocol.served += 1
        if exchange.on_taken is not None:
            exchange.on_taken(protocol)
        return Connection(self, key, protocol, self._loop)

    def _get_ssl_context(self, req: ClientRequest) -> SSLContext | None:
        return self._tls() if req.is_ssl() else None

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

    async def _open(self, exchange: Exchange, req: ClientRequest, traces: Any, timeout: Any) -> Protocol:
        if req.connection_key in self._let_go:
            del self._let_go[req.connection_key]
            self._sockets = min(self._sockets + MISSED, self._most)
        self._make_room()
        self._connecting += 1
        try:
            async with asyncio.timeout(timeout.connect or None):
                for _ in range(CLOSING_TURNS):
                    if len(self._standing) + self._connecting <= self._sockets:
                        break
                    await asyncio.sleep(0)
                exchange.connect_started(monotonic())
                protocol = await self._create_connection(req, traces, timeout)
                exchange.connect_ended(monotonic())
        finally:
            self._connecting -= 1
        assert isinstance(protocol, Protocol)
        if self.closed:
            protocol.close()
            raise aiohttp.ClientConnectionError("Connector is closed")
        return protocol

    async def _resolve_host(self, host: str, port: int, traces: Any = None) -> list[ResolveResult]:
        """The addresses of a host; raises `socket.gaierror` also where a resolver finds none without saying so."""
        if self._pinned and ((host, port) in self._pinned or ("*", port) in self._pinned):
            # aiohttp asks no resolver about an address, but --resolve may send even that elsewhere, as in curl.
            return await self._resolver.resolve(host, port, family=self._family)
        if is_ip_address(host):
            return await super()._resolve_host(host, port)
        exchange = EXCHANGE.get()
        exchange.dns_started(monotonic())
        found = await self._resolver.resolve(host, port, family=self._family)
        exchange.dns_ended(monotonic())
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, "the resolver gave no address")
        return found

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
            self._let_go[key] = None
            self._let_go.move_to_end(key)
            if len(self._let_go) > self._most:
                self._let_go.popitem(last=False)

    def _release(self, key: ConnectionKey, protocol: ResponseHandler, *, should_close: bool = False) -> None:
        if self._closed or should_close or self._cleanup_handle is None or protocol.should_close:
            super()._release(key, protocol, should_close=should_close)
        else:
            # What aiohttp does with a connection that is kept, without the limits that we have lifted.
            self._acquired.discard(protocol)
            self._conns[key].append((protocol, monotonic()))
        if protocol.transport is not None and not self._closed:
            self._idle[protocol] = key

    def _cleanup(self) -> None:
        super()._cleanup()
        for protocol in [protocol for protocol in self._idle if protocol.transport is None]:
            del self._idle[protocol]
