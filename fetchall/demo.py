"""
The practice site: about 100 URLs of every temper, served on loopback by aiohttp's own server in this process.

Knows how a server answers; must not know who fetches from it, nor import any module of ours but its pages.
"""

from __future__ import annotations

import asyncio
import errno
import logging
from collections import Counter
from typing import TYPE_CHECKING, Self
from zlib import crc32

from fetchall.demo_pages import HOPS, PAGES, Reply, Spot, answer, broken, spots

if TYPE_CHECKING:
    from types import TracebackType

    from aiohttp import web

PORT = 8642
_HOST = "127.0.0.1"
_SITES = 3
_PORTS_TRIED = 50
_BACKLOG = 1024
"""asyncio's own 100 drops connections, and costs them a second each, where hundreds arrive at once."""
_CLOSE_SECONDS = 0.2
"""What answers under way are left with when the site closes; nobody waits for them any more."""

# A server writes what it makes of strangers' bytes to its log; without a handler Python prints that to stderr.
_log = logging.getLogger(__name__)
_log.addHandler(logging.NullHandler())

_NOWHERE = Spot("", "status", 404, 0.0)


class PracticeSite:
    """
    The site while it is open: `async with PracticeSite() as site: fetch(site.urls)`.

    A port that is taken moves it to the next free one; 0 lets the system choose. Raises OSError where none can be had.
    When the first URL of the list is asked for again, a pass begins: what fails at first does so in each pass alike.
    """

    def __init__(self, port: int = PORT) -> None:
        self._asked = port
        self._ports = [port]
        self._spots = {spot.path: spot for spot in spots(PAGES + HOPS)}
        self._seen: Counter[str] = Counter()

    @property
    def port(self) -> int:
        """Where the site itself listens; its neighbours do so on the next free ports."""
        return self._ports[0]

    @property
    def base(self) -> str:
        """Where the site itself begins, without a slash at the end."""
        return f"http://{_HOST}:{self.port}"

    @property
    def urls(self) -> list[str]:
        """The list, the same and in the same order at every run."""
        return [f"http://{_HOST}:{self._ports[spot.site]}{spot.path}" for spot in spots()]

    @property
    def moved(self) -> bool:
        """Whether the port that was asked for was taken."""
        return self._asked not in (0, self.port)

    async def __aenter__(self) -> Self:
        """Open the site: when this returns, it answers."""
        from aiohttp import web

        self._server = web.Server(self._handle, access_log=None, logger=_log)
        self._ports = []
        self._listeners: list[asyncio.Server] = []
        try:
            for _ in range(_SITES):
                await self._open(self._ports[-1] + 1 if self._asked and self._ports else self._asked)
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close it, and every connection to it."""
        for listener in self._listeners:
            listener.close()
        self._server.pre_shutdown()
        await self._server.shutdown(_CLOSE_SECONDS)
        for listener in self._listeners:
            await listener.wait_closed()

    async def _open(self, first: int) -> None:
        """Listen on the first free port from this one on; Windows says EACCES of those that it keeps back."""
        last = min(first + _PORTS_TRIED, 65_535)
        loop = asyncio.get_running_loop()
        for port in range(first, last + 1):
            try:
                listener = await loop.create_server(self._server, _HOST, port, backlog=_BACKLOG)
            except OSError as error:
                if error.errno not in (errno.EADDRINUSE, errno.EACCES):
                    raise
            else:
                self._listeners.append(listener)
                self._ports.append(listener.sockets[0].getsockname()[1])
                return
        raise OSError(errno.EADDRINUSE, f"no free port from {first} to {last} for the practice site")

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer one request, after its latency."""
        path = request.raw_path
        if path == PAGES[0].path and self._seen[path]:
            self._seen.clear()
        spot = self._spots.get(path, _NOWHERE)
        self._seen[spot.path] += 1
        hit = self._seen[spot.path]
        if spot.answer == "chunked":
            return await _drip(request, spot)
        await asyncio.sleep(spot.seconds)
        raw = broken(spot)
        if raw is not None:
            return _write_raw(request, raw)
        return _response(answer(spot, hit), request.headers.get("If-None-Match"))


def _response(reply: Reply, known: str | None) -> web.Response:
    """A reply as aiohttp sends it; whoever knows a page by its ETag is told that it is unchanged."""
    from aiohttp import web

    etag = f'"{crc32(reply.body):08x}"'
    if reply.status == 200 and reply.body:
        if known == etag:
            return web.Response(status=304, headers={"ETag": etag})
        reply = reply._replace(headers=(*reply.headers, ("ETag", etag)))
    response = web.Response(status=reply.status, body=reply.body or None, headers=dict(reply.headers))
    if reply.body:
        response.headers["Content-Type"] = reply.content_type
    return response


async def _drip(request: web.BaseRequest, spot: Spot) -> web.StreamResponse:
    """A chunked body whose parts come one by one over the spot's latency."""
    from aiohttp import web

    response = web.StreamResponse(headers={"Content-Type": "text/plain; charset=utf-8"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    for part in range(1, int(spot.detail) + 1):
        await asyncio.sleep(spot.seconds / int(spot.detail))
        await response.write(f"part {part} of {spot.detail}\n".encode())
    await response.write_eof()
    return response


def _write_raw(request: web.BaseRequest, data: bytes) -> web.Response:
    """Bytes that aiohttp would refuse to send as they are, and the end of the connection after them."""
    from aiohttp import web

    if request.transport is not None:
        head, _, _ = data.partition(b"\r\n\r\n")
        request.transport.write(head + b"\r\n\r\n" if request.method == "HEAD" and data else data)
        request.transport.close()
    return web.Response()  # never sent: aiohttp finds the connection closed
