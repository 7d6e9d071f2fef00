"""
One hop: one request out, one answer back, its body read; a failure is an answer with a fault.

Knows the aiohttp session; it must not know retries, the redirects' policy, or the schedule.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from functools import partial
from time import monotonic
from typing import Any, NamedTuple

import aiohttp
from aiohttp import hdrs
from multidict import CIMultiDict

from fetchall.records import Answer, ErrorType, Fault, Timings
from fetchall.retry import IDEMPOTENT
from fetchall.urls import Target
from fetchall.wire.bandwidth import Bandwidth, Metered
from fetchall.wire.body import Keeper, receive
from fetchall.wire.client import session_of, timeout_of
from fetchall.wire.connection import check_aiohttp
from fetchall.wire.credentials import Head
from fetchall.wire.deadline import Deadlines
from fetchall.wire.exchange import EXCHANGE, Exchange
from fetchall.wire.failures import STALE, BadHead, TooLarge, Truncated, classify
from fetchall.wire.message import (
    HEAD_ALONE,
    Lines,
    PlainRequest,
    as_it_stands,
    ask,
    lines,
    plain,
)
from fetchall.wire.proxied import through
from fetchall.wire.proxies import Proxy
from fetchall.wire.quota import rationed
from fetchall.wire.ranges import Part
from fetchall.wire.recording import Record, begin, end
from fetchall.wire.wiring import Wiring

REDIRECTS = frozenset({301, 302, 303, 307, 308})
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
    part: Part | None = None
    """What an earlier attempt has of the body; the head asks for the rest."""
    budget: float = 0.0
    cap: int = 0
    """Decoded bytes that are taken; 0: as many as the session's cap."""
    follow: bool = True
    """The body of a redirect that names a location is not read."""
    record: Record | None = None
    """Takes what goes over the connection; the session must be `recording`."""


class Fetcher:
    """The shared session of one run."""

    def __init__(self, wiring: Wiring) -> None:
        check_aiohttp()
        self._wiring = wiring
        self._deadlines = Deadlines(wiring.read_timeout)
        self._bandwidth = Bandwidth(wiring.limit_rate) if wiring.limit_rate else None
        self._head: Head | None = None
        """The head that was sent last, which is mostly the next one's too."""
        self._lines: Lines | None = None
        self._timeout = timeout_of(wiring)
        self._direct = session_of(wiring, self._timeout, wiring.socket_factory)
        assert self._direct.connector is not None
        self._connector = self._direct.connector
        self._loop = asyncio.get_running_loop()
        # A guard can't tell a proxy from a target, so what goes through proxies has a connector of its own.
        self._proxied = session_of(wiring, self._timeout, None) if wiring.proxies.any else self._direct

    def limit_rate(self, rate: float) -> None:
        """So many bytes a second from now on, for all bodies together."""
        assert self._bandwidth is not None
        self._bandwidth.rate = rate

    async def close(self) -> None:
        """Close every connection, now."""
        self._deadlines.close()
        await self._direct.close()
        await self._proxied.close()
        await self._wiring.resolver.close()

    async def hop(self, call: Call) -> Answer:
        """Send one request and read its answer; nothing that a network or a server did is raised."""
        exchange = Exchange(call.task, monotonic(), call.budget)
        # Nobody could tell whether it was done if a kept-alive connection turned out dead.
        exchange.fresh = not (call.method in IDEMPOTENT or self._wiring.send_twice)
        EXCHANGE.set(exchange)
        if call.record is not None:
            exchange.on_taken = partial(begin, call.record)
        self._deadlines.enter(exchange)
        try:
            return await self._answer(call, exchange)
        except asyncio.CancelledError:
            if not exchange.expired or call.task.uncancel():
                raise
            fault = Fault(ErrorType.TIMEOUT, "not done within the timeout (--timeout)")
        except Exception as error:
            fault = self._fault(call, exchange, error)
        finally:
            self._deadlines.leave(exchange)
            if exchange.response is not None:
                exchange.response.close()
            if call.record is not None:
                end(exchange.protocol)
        if exchange.response is not None:
            return self._described(exchange, exchange.response, fault)
        return Answer(fault=fault, remote_ip=exchange.peer, reused=exchange.reused, timings=self._timings(exchange))

    def _fault(self, call: Call, exchange: Exchange, error: Exception) -> Fault:
        """What an exception means; raised again where it is a bug."""
        # Of several addresses one may have been refused and another have failed: nothing was connected to.
        refused = exchange.blocked if exchange.protocol is None else None
        fault = classify(refused or error, https=call.target.origin.scheme == "https")
        if fault is None:
            raise error
        return fault

    async def _answer(self, call: Call, exchange: Exchange) -> Answer:
        try:
            response = await self._send(call, exchange)
        except STALE as error:
            if isinstance(error, aiohttp.ClientConnectorError) or not _stale(exchange):
                raise
            response = await self._send_again(call, exchange)
        # A server that closes an idle connection may say so with a 408 (RFC 9110 section 15.5.9).
        if response.status == 408 and _stale(exchange):
            response.close()
            response = await self._send_again(call, exchange)
        status = response.status
        if status < 100:
            response.close()
            raise BadHead(f"not an HTTP answer: a status of {status:03}")
        exchange.response = response
        exchange.head_at = monotonic()
        if status < 200:
            raise BadHead(f"a status of {status} that was not asked for")
        redirect = status in REDIRECTS and call.follow and bool(response.headers.get(hdrs.LOCATION))
        if not redirect and call.method != "HEAD" and status not in BODILESS:
            cap = call.cap or self._wiring.body_cap
            if status == 206 and call.part is not None:
                await self._rest(call, call.part, exchange, response, cap)
            else:
                await self._body(call, exchange, response, call.keeper, cap)
        answer = self._described(exchange, response)
        if call.record is not None:
            call.record.whole = response.content.is_eof()
        # A body that is not wanted is not waited for: what has come whole leaves the connection usable.
        if response.content.is_eof():
            response.release()
        else:
            response.close()
        exchange.response = None
        return answer

    async def _send_again(self, call: Call, exchange: Exchange) -> aiohttp.ClientResponse:
        """A kept-alive connection that turns out dead is replaced by a new one, which is no attempt."""
        exchange.fresh = True
        return await self._send(call, exchange)

    def _send(self, call: Call, exchange: Exchange) -> Awaitable[aiohttp.ClientResponse]:
        proxy = self._wiring.proxies.proxy_for(call.target.origin)
        if proxy is None and call.body is None and call.method in HEAD_ALONE:
            if call.headers is not self._head:
                self._head, self._lines = call.headers, lines(call.headers)
            if self._lines is not None:
                head = plain(call.method, call.target.href, call.target.origin, self._lines)
                return ask(self._connector, PlainRequest(call.method, head, self._loop), self._timeout)
        return self._send_whole(call, proxy)

    def _send_whole(self, call: Call, proxy: Proxy | None) -> Awaitable[aiohttp.ClientResponse]:
        """The same where aiohttp has to see more than where to: a body, a proxy, or a header on which it acts."""
        headers: Head | CIMultiDict[str] = call.headers
        extra: dict[str, Any] = {}
        session = self._direct
        if proxy is not None:
            session = self._proxied
            headers, extra = through(proxy, call.headers, call.target.origin.scheme)
            if call.record is not None:
                call.record.through_proxy(tunnel=call.target.origin.scheme == "https")
        if call.body is not None:
            extra["data"] = call.body
        return session.request(
            call.method,
            as_it_stands(call.target.href),
            headers=headers,
            allow_redirects=False,
            **extra,
        )

    def _body(
        self, call: Call, exchange: Exchange, response: aiohttp.ClientResponse, keeper: Keeper | None, cap: int
    ) -> Awaitable[None]:
        wiring = self._wiring
        headers = response.headers
        codings = None
        if hdrs.CONTENT_ENCODING in headers:
            codings = ", ".join(headers.getall(hdrs.CONTENT_ENCODING))
        else:
            length = headers.get(hdrs.CONTENT_LENGTH)
            # Who has a cap of its own wants what comes before it.
            if not call.cap and length is not None and length.isdecimal() and int(length) > cap:
                raise TooLarge(f"the body is {int(length):,} bytes, more than --max-body allows")
        read = None
        if self._bandwidth is not None or wiring.speed_limit:
            read = Metered(response.content, self._bandwidth, wiring.speed_limit, wiring.speed_time).read
        assert exchange.protocol is not None
        return receive(response.content, codings, keeper, cap, exchange, exchange.protocol.check_end, read)

    async def _rest(
        self, call: Call, part: Part, exchange: Exchange, response: aiohttp.ClientResponse, cap: int
    ) -> None:
        """Read what follows on a part that is kept; sizes and the cap are those of the whole."""
        end = part.take_up(response.raw_headers, cap)
        exchange.wire = exchange.decoded = part.keeper.size
        try:
            await self._body(call, exchange, response, part.keeper, end)
        except TooLarge:
            raise part.refusal("more bytes came than its Content-Range says") from None
        if missing := part.missing(end):
            raise Truncated(missing)

    def _described(self, exchange: Exchange, response: aiohttp.ClientResponse, fault: Fault | None = None) -> Answer:
        version = response.version
        return Answer(
            fault=fault,
            status=response.status,
            headers=response.raw_headers,
            http_version=_VERSIONS.get(version) or f"{version.major}.{version.minor}" if version else None,
            remote_ip=exchange.peer,
            ttfb=(exchange.head_at or monotonic()) - exchange.started_at,
            size=exchange.decoded,
            wire_size=exchange.wire,
            content_type=_text(response, hdrs.CONTENT_TYPE),
            reused=exchange.reused,
            timings=self._timings(exchange),
            rationed=rationed(response.headers),
        )

    def _timings(self, exchange: Exchange) -> Timings | None:
        return exchange.timings(monotonic()) if self._wiring.timings else None


def _stale(exchange: Exchange) -> bool:
    """Whether a failure may be the kept-alive connection's, and the request may be sent again."""
    return exchange.reused and not exchange.fresh


def _text(response: aiohttp.ClientResponse, name: str) -> str | None:
    value = response.headers.get(name)
    if value is None or value.isascii():
        return value
    return value.encode("utf-8", "surrogateescape").decode("latin-1")
