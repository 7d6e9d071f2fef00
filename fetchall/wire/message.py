"""
What goes out for one request and what comes back for it: aiohttp's two classes, without what is not needed.

Knows how a head is written (RFC 9112 section 3); it must not know what may stand in it, nor any connection's fate.

Most requests are a head alone, and all of their heads are alike but for the path and the host. Such a one is written
here in one piece, from lines that were put together once; all others, with a body or through a proxy, are aiohttp's.
"""

from __future__ import annotations

import asyncio
from functools import lru_cache
from http.cookies import BaseCookie
from time import monotonic
from typing import TYPE_CHECKING, Any, NamedTuple

import aiohttp
from aiohttp import hdrs
from aiohttp.abc import AbstractStreamWriter
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ClientRequest, ClientResponse, ConnectionKey, RequestInfo
from aiohttp.connector import BaseConnector, Connection
from multidict import CIMultiDict
from yarl import URL

from fetchall.wire.exchange import EXCHANGE

if TYPE_CHECKING:
    from fetchall.records import Origin
    from fetchall.wire.credentials import Head

HEAD_ALONE = frozenset({"GET", "HEAD", "OPTIONS"})
"""Methods that send no Content-Length where they send no body (RFC 9110 section 8.6)."""
_NO_HEADERS: CIMultiDict[str] = CIMultiDict()
_NO_TRACES: list[Any] = []
_SITES = 1024
"""Origins that are kept ready; a list that is in more at once pays for a URL each time."""


class Site(NamedTuple):
    """An origin as aiohttp wants it, worked out once."""

    url: URL
    """Its root. Where a path must be known it is taken from the request's own URL, which nobody may rewrite."""
    host: str
    """The Host header's line."""
    key: ConnectionKey
    """By which the pool knows its connections."""


class Plain(NamedTuple):
    """A request that is a head alone."""

    site: Site
    head: bytes


class Lines(NamedTuple):
    """A request's headers as they are written, with the line ends before and after them."""

    host: str | None
    """The line of the user's own Host; None: the URL's."""
    text: str


@lru_cache(maxsize=_SITES)
def site(origin: Origin) -> Site:
    """What stands for an origin."""
    url = URL(str(origin), encoded=True)
    host = url.host_port_subcomponent
    assert host is not None
    assert url.raw_host is not None
    key = ConnectionKey(url.raw_host, url.port, origin.scheme == "https", True, None, None, None, None)
    return Site(url, f"Host: {host}", key)


def lines(head: Head) -> Lines | None:
    """A head's headers in one piece; None where aiohttp has to see one of them to act on it."""
    if hdrs.EXPECT in head:
        return None
    host = next((f"{name}: {value}" for name, value in head.items() if name.lower() == "host"), None)
    rest = "".join(f"\r\n{name}: {value}" for name, value in head.items() if name.lower() != "host")
    return Lines(host, f"{rest}\r\n\r\n")


def plain(method: str, href: str, origin: Origin, headers: Lines) -> Plain:
    """The request for a serialised http or https URL without userinfo, whose path goes out as it stands there."""
    to = site(origin)
    path = href[href.index("/", len("https://")) :]
    head = f"{method} {path} HTTP/1.1\r\n{headers.host or to.host}{headers.text}"
    return Plain(to, head.encode())


def as_it_stands(href: str) -> URL:
    """
    A serialised URL in a form from which aiohttp takes the request's target as it stands.

    As a path, the query included: yarl drops the `?` of an empty query, which the URL standard keeps.
    """
    scheme, _, rest = href.partition("://")
    path = rest.index("/")
    return URL.build(scheme=scheme, authority=rest[:path], path=rest[path:], encoded=True)


class WireRequest(ClientRequest):
    """aiohttp's request without headers of its own making: all that is sent is decided by us."""

    proxy = proxy_auth = proxy_headers = server_hostname = None
    _ssl = True
    _skip_auto_headers = CIMultiDict({hdrs.CONTENT_TYPE: None})

    def update_auto_headers(self, skip_auto_headers: object) -> None:
        """No headers but those that were handed in."""

    async def send(self, conn: Connection) -> ClientResponse:
        """Write the head, and give the response that is to come."""
        response = await super().send(conn)
        EXCHANGE.get().sent(monotonic())
        return response

    async def write_bytes(
        self, writer: AbstractStreamWriter, conn: Connection, content_length: int | None = None
    ) -> None:
        """Write the body."""
        await super().write_bytes(writer, conn, content_length)
        EXCHANGE.get().sent(monotonic())


class PlainRequest(WireRequest):
    """A request that is a head alone: as much of one as the connector wants to know."""

    def __init__(self, method: str, plain: Plain, loop: asyncio.AbstractEventLoop) -> None:
        self.method = method
        self.url = self.original_url = plain.site.url
        self.headers = _NO_HEADERS
        self.loop = loop
        self._plain = plain

    @property
    def connection_key(self) -> ConnectionKey:
        """See `Site.key`."""
        return self._plain.site.key

    def write(self, protocol: ResponseHandler) -> None:
        """Send it, and expect its answer."""
        protocol.set_response_params(skip_payload=self.method == hdrs.METH_HEAD, read_until_eof=True)
        transport = protocol.transport
        if transport is None or transport.is_closing():
            raise aiohttp.ServerDisconnectedError("the connection was closed before the request was sent")
        transport.write(self._plain.head)
        EXCHANGE.get().sent(monotonic())
        protocol.start_timeout()


async def ask(connector: BaseConnector, request: PlainRequest, timeout: aiohttp.ClientTimeout) -> ClientResponse:
    """
    Send a request, and give its response once the head has come: what aiohttp's session does for it, and no more.

    Raises what that would raise.
    """
    try:
        connection = await connector.connect(request, _NO_TRACES, timeout)
        response = PlainResponse(request)
        try:
            assert connection.protocol is not None
            request.write(connection.protocol)
            return await response.start(connection)
        except BaseException:
            response.close()
            connection.close()
            raise
    except aiohttp.ClientError:
        raise
    except TimeoutError as error:
        raise aiohttp.ConnectionTimeoutError(f"Connection timeout to host {request.url}") from error
    except OSError as error:
        raise aiohttp.ClientOSError(*error.args) from error


class PlainResponse(ClientResponse):
    """
    aiohttp's response to a head alone.

    It holds its connection until `release` or `close`; aiohttp's lets it go by itself, which takes callbacks.
    """

    def __init__(self, request: PlainRequest) -> None:
        self.method = request.method
        self._url = self._real_url = request.url
        self._request = request
        self._loop = request.loop
        self._cache = {}

    @property
    def request_info(self) -> RequestInfo:
        """What aiohttp's exceptions show."""
        return self._request.request_info

    async def start(self, connection: Connection) -> ClientResponse:
        """Wait for the head; interim answers (RFC 9110 section 15.2) are passed over."""
        self._closed = False
        self._connection = connection
        protocol = connection.protocol
        assert protocol is not None
        message, self.content = await protocol.read()
        while 100 <= message.code < 200 and message.code != 101:
            message, self.content = await protocol.read()
        self.version, self.status, self.reason = message.version, message.code, message.reason
        self._headers, self._raw_headers = message.headers, message.raw_headers
        return self

    def release(self) -> Any:
        """Give the connection back."""
        self._closed = True
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()


_NONE: BaseCookie[str] = BaseCookie()


class NoCookies(aiohttp.DummyCookieJar):
    """Cookies are headers here; aiohttp would make an empty jar of its own for each request."""

    def filter_cookies(self, request_url: URL) -> BaseCookie[str]:
        """None, ever."""
        return _NONE
