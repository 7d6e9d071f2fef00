"""
One hop: one request out, one answer back, its body read; a failure is an answer with a fault.

Knows the aiohttp session; it must not know retries, the redirects' policy, or the schedule.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import Any, NamedTuple

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from fetchall.records import Answer, ErrorType, Fault, Timings
from fetchall.urls import Target
from fetchall.wire.bandwidth import Bandwidth, Metered
from fetchall.wire.body import Keeper, Tally, receive
from fetchall.wire.connection import EXCHANGE, Connector, Exchange, WireRequest, check_aiohttp
from fetchall.wire.credentials import Head
from fetchall.wire.deadline import Deadlines
from fetchall.wire.decode import Decoder, decoder
from fetchall.wire.failures import BadHead, TooLarge, classify
from fetchall.wire.proxies import Proxies, Proxy

MAX_LINE = 64 * 1024
"""Bytes of a status line or of one header: ordinary sites pass aiohttp's 8,190."""
MAX_HEADERS = 1024
"""Header lines of one answer: ordinary sites pass aiohttp's 128."""
READ_AHEAD = 64 * 1024
"""Bytes of a body that may wait in memory before the socket is paused."""
REDIRECTS = frozenset({301, 302, 303, 307, 308})
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""RFC 9110 section 9.2.2."""
BODILESS = frozenset({204, 304})
"""RFC 9110 section 6.4.1; 1xx never get here."""
_VERSIONS = {(1, 1): "1.1", (1, 0): "1.0"}


class Call(NamedTuple):
    """What one hop sends, and how long it may take (seconds; 0: no limit)."""

    task: asyncio.Task[Any]
    """The task that makes the call, which is cancelled when the time is up."""
    target: Target
    method: str
    headers: Head
    body: bytes | None = None
    keeper: Keeper | None = None
    budget: float = 0.0
    cap: int = 0
    """Decoded bytes that are taken; 0: as many as the session's cap."""
    follow: bool = True
    """The body of a redirect that names a location is not read."""


@dataclass(frozen=True, kw_only=True)
class Wiring:
    """What a session is made of; seconds and bytes."""

    sockets: int
    connect_timeout: float
    read_timeout: float
    body_cap: int
    ssl: Any
    resolver: aiohttp.abc.AbstractResolver
    family: socket.AddressFamily = socket.AF_UNSPEC
    proxies: Proxies
    timings: bool = False
    limit_rate: int = 0
    """Bytes a second of all bodies together; 0: no limit."""
    speed_limit: int = 0
    """Bytes a second below which a body is given up after `speed_time`; 0: never."""
    speed_time: float = 0.0
    socket_factory: Callable[[Any], socket.socket] | None = None
    """Guards direct connections; through a proxy it would see the proxy's address alone."""


class Fetcher:
    """The shared session of one run."""

    def __init__(self, wiring: Wiring) -> None:
        check_aiohttp()
        self._wiring = wiring
        self._deadlines = Deadlines()
        self._bandwidth = Bandwidth(wiring.limit_rate) if wiring.limit_rate else None
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=wiring.connect_timeout or None,
            sock_read=wiring.read_timeout or None,
            ceil_threshold=float("inf"),
        )
        self._direct = self._session(wiring.socket_factory)
        # A guard can't tell a proxy from a target, so what goes through proxies has a connector of its own.
        self._proxied = self._session(None) if wiring.proxies.any else self._direct

    async def close(self) -> None:
        """Close every connection, now."""
        self._deadlines.close()
        await self._direct.close()
        await self._proxied.close()
        await self._wiring.resolver.close()

    async def hop(self, call: Call) -> Answer:
        """Send one request and read its answer; nothing that a network or a server did is raised."""
        tally = Tally()
        exchange = Exchange(monotonic())
        EXCHANGE.set(exchange)
        head: list[aiohttp.ClientResponse] = []
        deadline = self._deadlines.enter(call.task, call.budget) if call.budget else None
        try:
            return await self._answer(call, exchange, tally, head)
        except asyncio.CancelledError:
            if deadline is None or not deadline.expired or call.task.uncancel():
                raise
            fault: Fault | None = Fault(ErrorType.TIMEOUT, "not done within the timeout (--timeout)")
        except Exception as error:
            # Of several addresses one may have been refused and another have failed: nothing was connected to.
            refused = exchange.blocked if exchange.protocol is None else None
            fault = classify(refused or error, https=call.target.origin.scheme == "https")
            if fault is None:
                raise
        finally:
            if deadline is not None:
                self._deadlines.leave(deadline)
            for response in head:
                response.close()
        assert fault is not None
        if head and fault.type is not ErrorType.PROTOCOL:
            return self._described(call, exchange, tally, head[-1], fault=fault)
        return Answer(fault=fault, remote_ip=exchange.peer, reused=exchange.reused, timings=self._timings(exchange))

    async def _answer(self, call: Call, exchange: Exchange, tally: Tally, head: list[aiohttp.ClientResponse]) -> Answer:
        response = await self._head(call, exchange)
        head.append(response)
        exchange.head_at = monotonic()
        status = response.status
        if not 200 <= status <= 999:
            raise BadHead(f"a status of {status:03} that was not asked for")
        redirect = call.follow and status in REDIRECTS and hdrs.LOCATION in response.headers
        if not redirect and call.method != "HEAD" and status not in BODILESS:
            await self._body(call, response, tally)
        answer = self._described(call, exchange, tally, response)
        # A body that is not wanted is not waited for: what has come whole leaves the connection usable.
        if response.content.is_eof():
            response.release()
        else:
            response.close()
        head.clear()
        return answer

    async def _head(self, call: Call, exchange: Exchange) -> aiohttp.ClientResponse:
        """The answer's head; a kept-alive connection that turns out dead is replaced, which is no attempt."""
        while True:
            try:
                response = await self._send(call, exchange)
            except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
                if isinstance(error, aiohttp.ClientConnectorError) or not self._stale(call, exchange):
                    raise
            else:
                # A server that closes an idle connection may say so with a 408 (RFC 9110 section 15.5.9).
                if response.status != 408 or not self._stale(call, exchange):
                    return response
                response.close()
            exchange.fresh = True

    def _stale(self, call: Call, exchange: Exchange) -> bool:
        return exchange.reused and not exchange.fresh and call.method in IDEMPOTENT

    async def _send(self, call: Call, exchange: Exchange) -> aiohttp.ClientResponse:
        headers: Head | CIMultiDict[str] = call.headers
        proxy = self._wiring.proxies.proxy_for(call.target.origin)
        extra: dict[str, Any] = {}
        session = self._direct
        if proxy is not None:
            session = self._proxied
            headers, extra = _through(proxy, call)
        if call.body is not None:
            extra["data"] = call.body
        return await session.request(
            call.method,
            URL(call.target.href, encoded=True),
            headers=headers,
            allow_redirects=False,
            trace_request_ctx=exchange,
            **extra,
        )

    async def _body(self, call: Call, response: aiohttp.ClientResponse, tally: Tally) -> None:
        wiring = self._wiring
        cap = call.cap or wiring.body_cap
        codings = response.headers.getall(hdrs.CONTENT_ENCODING, None)
        layers: Decoder | None = decoder(", ".join(codings), limit=cap) if codings else None
        if layers is None:
            length = response.headers.get(hdrs.CONTENT_LENGTH)
            if length is not None and length.isdecimal() and int(length) > cap:
                raise TooLarge(f"the body is {int(length):,} bytes, more than --max-body allows")
        read = None
        if self._bandwidth is not None or wiring.speed_limit:
            read = Metered(response.content, self._bandwidth, wiring.speed_limit, wiring.speed_time).read
        await receive(response.content, layers, call.keeper, cap, tally, read)

    def _described(
        self,
        call: Call,
        exchange: Exchange,
        tally: Tally,
        response: aiohttp.ClientResponse,
        fault: Fault | None = None,
    ) -> Answer:
        version = response.version
        return Answer(
            fault=fault,
            status=response.status,
            headers=response.raw_headers,
            http_version=_VERSIONS.get(version) or f"{version.major}.{version.minor}" if version else None,
            remote_ip=exchange.peer,
            ttfb=(exchange.head_at or monotonic()) - exchange.started_at,
            size=tally.decoded,
            wire_size=tally.wire,
            content_type=_text(response, hdrs.CONTENT_TYPE),
            reused=exchange.reused,
            timings=self._timings(exchange),
        )

    def _timings(self, exchange: Exchange) -> Timings | None:
        return exchange.timings(monotonic()) if self._wiring.timings else None

    def _session(self, socket_factory: Callable[[Any], socket.socket] | None) -> aiohttp.ClientSession:
        wiring = self._wiring
        connector = Connector(
            wiring.sockets,
            ssl=wiring.ssl,
            resolver=wiring.resolver,
            use_dns_cache=False,  # the resolver has one
            family=wiring.family,
            socket_factory=socket_factory,
        )
        session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            request_class=WireRequest,
            timeout=self._timeout,
            auto_decompress=False,
            trust_env=False,
            read_bufsize=READ_AHEAD,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
            trace_configs=[_trace()] if wiring.timings else [],
        )
        # aiohttp would send a request again by itself, once and silently, on a connection that turned out dead.
        session._retry_connection = False
        return session


def _through(proxy: Proxy, call: Call) -> tuple[Head | CIMultiDict[str], dict[str, Any]]:
    """Where the proxy's own password goes: on a tunnel's CONNECT, or beside the request's headers."""
    extra: dict[str, Any] = {"proxy": URL(proxy.url)}
    if proxy.authorization is None:
        return call.headers, extra
    if call.target.origin.scheme == "https":
        extra["proxy_headers"] = {hdrs.PROXY_AUTHORIZATION: proxy.authorization}
        return call.headers, extra
    headers = call.headers.copy()
    headers[hdrs.PROXY_AUTHORIZATION] = proxy.authorization
    return headers, extra


def _text(response: aiohttp.ClientResponse, name: str) -> str | None:
    value = response.headers.get(name)
    if value is None or value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("latin-1")


def _trace() -> aiohttp.TraceConfig:
    """Listeners that note the phases; they cost, so they are there only for --timings."""
    config = aiohttp.TraceConfig()

    def noting(note: Callable[[Exchange, float], None]) -> Callable[..., Any]:
        async def listener(session: Any, context: Any, parameters: Any) -> None:
            note(context.trace_request_ctx, monotonic())

        return listener

    config.on_dns_resolvehost_start.append(noting(Exchange.dns_started))
    config.on_dns_resolvehost_end.append(noting(Exchange.dns_ended))
    config.on_connection_create_start.append(noting(Exchange.connect_started))
    config.on_connection_create_end.append(noting(Exchange.connect_ended))
    config.on_request_headers_sent.append(noting(Exchange.sent))
    config.on_request_chunk_sent.append(noting(Exchange.sent))
    return config
