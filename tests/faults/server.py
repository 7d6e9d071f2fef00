"""
The fault server: listeners on loopback in a thread of its own, each request handed to the fault that its path names.

Knows which ports there are and how a request reaches its handler; knows no particular fault.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import tempfile
import threading
import time
from functools import partial
from types import TracebackType
from typing import Self

from . import answers, bodies, framing, fresh, heads, keepalive, polite, ports, redirects, slow, throttle, tls
from .exchange import MAX_SECONDS, Connection, Exchange, Headers
from .reading import Head, parse_head
from .routes import handler_of
from .seen import Seen, SeenRequest

FAULTS = (answers, bodies, framing, fresh, heads, keepalive, polite, redirects, slow, throttle)
"""The modules whose handlers are served."""
MAX_CONNECTIONS = 4096
_MAX_HEAD = 256 * 1024
_MAX_BODY = 4 * 1024**2
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9-]*)\}")


class FaultServer:
    """
    A context in which the faults are served; `seen` says what arrived, `ports` where they listen.

    `http` and `other` serve every path at each of HOSTS, `lone` at 127.0.0.1 only, so do the TLS ports of `tls.py`
    with their certificates. `refused` refuses, `full` answers no SYN, `closing` accepts and closes. `split` serves at
    127.0.0.1, answers no SYN at 127.0.0.2 and ::1, and refuses at 127.0.0.3.
    """

    def __init__(self, hosts: tuple[str, ...] = ports.HOSTS) -> None:
        self.seen = Seen()
        self.hosts = hosts
        self.ports: dict[str, int] = {}
        self.state: dict[str, int] = {}
        """What handlers count between requests, by a name of their own."""
        self.times: dict[str, list[float]] = {}
        self.robots: dict[str, tuple[int, bytes, Headers]] = {}
        """What each address has at /robots.txt: status (0: the connection is cut), body, headers; 404 elsewhere."""
        self.pages: dict[str, fresh.Page] = {}
        """What is at /fresh/NAME."""
        self.trust = ""
        """A PEM file with the authority that signed the right certificates."""
        self._plain: list[int] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop = asyncio.Event()
        self._ready = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="fault server", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        self._ready.wait()
        if self._failure is not None:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        if self._thread.is_alive() or self._failure is not None:
            raise RuntimeError(f"the fault server did not end: {self._failure!r}")

    def url(self, path: str, host: str = "127.0.0.1", port: str = "http") -> str:
        """The URL of a path, at one of the hosts and named ports."""
        name = f"[{host}]" if ":" in host else host
        scheme = "https" if port.startswith("tls") else "http"
        return f"{scheme}://{name}:{self.ports[port]}{path}"

    def text(self, text: str) -> str:
        """A text with its `{http}`, `{tls}` and the like replaced by port numbers, `{trust}` by that file's name."""
        known = {**self.ports, "trust": self.trust}
        return _PLACEHOLDER.sub(lambda match: str(known.get(match[1], match[0])), text)

    def fill(self, url: str) -> str:
        """The same; a bare path gets the main origin."""
        return self.text(self.url(url) if url.startswith("/") and not url.startswith("//") else url)

    def quiet(self, seconds: float = 2.0) -> bool:
        """Wait until no connection is open, for so long at most; whether that came true."""
        end = time.monotonic() + seconds
        while self._tasks and time.monotonic() < end:
            time.sleep(0.002)
        return not self._tasks

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(self._main())
        except BaseException as error:
            self._failure = error
        finally:
            self._ready.set()

    async def _main(self) -> None:
        loop = self._loop = asyncio.get_running_loop()
        # A handshake that fails is what a test asked for; what else comes here is a bug.
        loop.set_exception_handler(self._note)
        async with contextlib.AsyncExitStack() as stack:
            await self._open(stack)
            self._ready.set()
            await self._stop.wait()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _note(self, loop: asyncio.AbstractEventLoop, context: dict[str, object]) -> None:
        error = context.get("exception")
        if not isinstance(error, OSError):
            self.seen.errors.append(f"{context.get('message')}: {error!r}")

    async def _open(self, stack: contextlib.AsyncExitStack) -> None:
        for name in ("http", "other"):
            await self._listen(stack, name, self.hosts)
        for name in tls.LISTENERS:
            await self._listen(stack, name, self.hosts)
        for name in tls.HANDSHAKES:
            await self._listen(stack, name, self.hosts[:1])
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.trust = f"{folder}/authority.pem"
        tls.authority().cert_pem.write_to_path(self.trust)
        self._dead_ends(stack, "refused", ports.bound(self.hosts[0]))
        full = ports.bound(self.hosts[0])
        self._dead_ends(stack, "full", full, *ports.fill(full))
        if set(ports.HOSTS) <= set(self.hosts):
            await self._split(stack)

    async def _listen(self, stack: contextlib.AsyncExitStack, name: str, hosts: tuple[str, ...]) -> None:
        for sock in ports.everywhere(hosts):
            self.ports[name] = sock.getsockname()[1]
            await self._serve(stack, name, sock)

    async def _serve(self, stack: contextlib.AsyncExitStack, name: str, sock: socket.socket) -> None:
        secure = name in tls.LISTENERS
        server = await asyncio.start_server(
            partial(self._accepted, name),
            sock=sock,
            backlog=1024,
            ssl=tls.context(name) if secure else None,
            ssl_handshake_timeout=5 if secure else None,
            ssl_shutdown_timeout=1 if secure else None,
        )
        if not secure:
            self._plain.append(sock.getsockname()[1])
        stack.callback(server.close)

    def _dead_ends(self, stack: contextlib.AsyncExitStack, name: str, *socks: socket.socket) -> None:
        self.ports[name] = socks[0].getsockname()[1]
        for sock in socks:
            stack.callback(sock.close)

    async def _split(self, stack: contextlib.AsyncExitStack) -> None:
        alive, *dead = ports.everywhere()
        await self._serve(stack, "split", alive)
        for sock in dead:
            refusing = sock.getsockname()[0] == "127.0.0.3"
            self._dead_ends(stack, "split", sock, *([] if refusing else ports.fill(sock)))

    def _accepted(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= MAX_CONNECTIONS:
            writer.transport.abort()
            return
        task = asyncio.get_running_loop().create_task(self._connection(name, reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connection(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer, self.seen.connected())
        try:
            if handshake := tls.HANDSHAKES.get(name):
                self.seen.handshakes += 1
                async with asyncio.timeout(MAX_SECONDS):
                    await handshake(connection)
            else:
                await self._requests(name, connection)
        except (OSError, asyncio.CancelledError):
            connection.cut()
        except Exception as error:
            self.seen.errors.append(repr(error))
            connection.cut()
        finally:
            self.seen.disconnected()
            writer.close()
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _requests(self, name: str, connection: Connection) -> None:
        keep = True
        while keep:
            head = await self._head(name, connection)
            if head is None:
                return
            address, port = connection.writer.get_extra_info("sockname")[:2]
            request = SeenRequest(
                time.monotonic(), connection.number, f"{address}:{port}", name in tls.LISTENERS,
                head.method, head.target, head.version, head.headers,
            )  # fmt: skip
            request.body = await self._body(head, connection)
            self.seen.began(request)
            exchange = Exchange(self, connection, request)
            try:
                async with asyncio.timeout(MAX_SECONDS):
                    await self._answer(exchange)
            finally:
                self.seen.ended(request)
            keep = exchange.keep and not connection.over

    async def _head(self, name: str, connection: Connection) -> Head | None:
        if not connection.buffer and not await connection.fill():
            return None
        if connection.buffer.startswith(b"\x16"):
            self.seen.hellos += 1
            connection.writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
            await connection.writer.drain()
            return None
        raw = await connection.until(b"\r\n\r\n", _MAX_HEAD)
        if raw is None:
            self.seen.anomalies.append(f"a request without its end: {connection.buffer[:200]!r}")
            return None
        head = parse_head(raw)
        self.seen.anomalies += head.anomalies
        return head

    async def _body(self, head: Head, connection: Connection) -> bytes:
        if not head.chunked:
            return await connection.exactly(min(head.length, _MAX_BODY))
        body = b""
        while len(body) < _MAX_BODY:
            size = await connection.until(b"\r\n", 1024)
            if not size or not (count := int(size.partition(b";")[0], 16)):
                break
            body += await connection.exactly(count)
            await connection.until(b"\r\n", 1024)
        await connection.until(b"\r\n", 1024)
        return body

    async def _answer(self, exchange: Exchange) -> None:
        handler = handler_of(exchange.request.path)
        if handler is None:
            await exchange.reply(404, b"no such fault")
        else:
            await handler(exchange)
