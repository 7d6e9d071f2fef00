"""
One run's network, settled once from its options: TLS, names, proxies, credentials, cookies and the session itself.

Knows options and what they mean on the wire; it must not know retries, the schedule, or outputs.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from pathlib import Path
from ssl import SSLContext
from typing import TYPE_CHECKING

import aiohttp

from fetchall import __version__, descriptors, robots
from fetchall.errors import InvalidOptions
from fetchall.options import Options
from fetchall.records import Answer, Fault, Request
from fetchall.urls import Target
from fetchall.validators import are_conditional
from fetchall.wire import tls
from fetchall.wire.connection import guarded
from fetchall.wire.credentials import CONTENT, HARMLESS, Credentials, Head, parse_header
from fetchall.wire.decode import ACCEPT_ENCODING
from fetchall.wire.fetch import Fetcher
from fetchall.wire.netrc import NetrcMap, default_path, read_netrc
from fetchall.wire.proxies import Proxies
from fetchall.wire.recording import SECRET, Record
from fetchall.wire.resolver import ThreadResolver
from fetchall.wire.wiring import Wiring

if TYPE_CHECKING:
    from fetchall.wire.cookies import Cookies

FORM = "application/x-www-form-urlencoded"
"""The Content-Type of --data, as curl's."""


class Session:
    """
    What a run sends with, built once.

    Raises `InvalidOptions` for what can't be sent and `MissingExtra` for a proxy that needs one.
    """

    def __init__(self, options: Options, environ: Mapping[str, str] = os.environ) -> None:
        self._options = options
        if options.robots:
            robots.check_installed()
        self.body = _body(options)
        """What requests send that bring no body of their own."""
        self.jar = _cookies(options)
        """The cookies of the run; None: it keeps none."""
        self._credentials = _credentials(options)
        given = map(parse_header, options.header)
        self._conditional = are_conditional(header[0] for header in given if header is not None)
        self._proxies = Proxies(proxy=options.proxy, noproxy=options.noproxy, environ=environ)
        self._tls = _tls(options)
        self._overrides = _overrides(options.resolve)

    def open(self) -> Fetcher:
        """The shared session, on the running loop."""
        self._fetcher = self._wired()
        return self._fetcher

    def head(
        self,
        target: Target,
        home: Target | None,
        request: Request,
        *,
        body: bool,
        conditions: Sequence[tuple[str, str]] = (),
    ) -> Head:
        """Everything that goes into a request's head; see `Credentials.headers`."""
        cookies = self.jar.for_target(target) if self.jar is not None else None
        return self._credentials.headers(
            target, home, request.headers, body=body, cookies=cookies, conditions=conditions
        )

    def is_conditional(self, request: Request) -> bool:
        """Whether the user has conditions of their own, which stay alone."""
        return self._conditional or are_conditional(name for name, _ in request.headers)

    def record(self, request: Request) -> Record:
        """What notes a hop, without the values of credentials: of the headers of the user's all but harmless ones."""
        if self._options.keep_secrets:
            return Record(frozenset())
        names = [parsed[0] for text in self._options.header if (parsed := parse_header(text)) is not None]
        names += [name for name, _ in request.headers]
        return Record(SECRET | {name.lower().encode() for name in names if name.lower() not in HARMLESS | CONTENT})

    def keep_cookies(self, target: Target, answer: Answer) -> None:
        """Take in what the server set, where the jar is on."""
        if self.jar is not None and answer.headers:
            values = [value for name, value in answer.headers if name.lower() == b"set-cookie"]
            if values:
                self.jar.store(target, values)

    def home_after(self, home: Target | None, target: Target) -> Target | None:
        """See `Credentials.home_after`."""
        return self._credentials.home_after(home, target)

    def body_fault(self, target: Target, home: Target | None) -> Fault | None:
        """See `Credentials.body_fault`."""
        return self._credentials.body_fault(target, home)

    async def close(self) -> None:
        """Close every connection; write the cookie jar where one was named (`SinkError`)."""
        await self._fetcher.close()
        self.save_jar()

    def save_jar(self) -> None:
        """Write the cookie jar where one was named; raises `SinkError`."""
        if self.jar is not None and self._options.cookie_jar:
            self.jar.save(Path(self._options.cookie_jar))

    def _wired(self) -> Fetcher:
        options = self._options
        family = socket.AF_INET if options.ipv4 else socket.AF_INET6 if options.ipv6 else socket.AF_UNSPEC
        resolver: aiohttp.abc.AbstractResolver = options.resolver or ThreadResolver(
            limit=min(options.concurrency, 128), overrides=self._overrides
        )
        return Fetcher(
            Wiring(
                sockets=options.concurrency,
                spare=descriptors.spare(options.concurrency),
                connect_timeout=options.connect_timeout,
                read_timeout=options.read_timeout,
                body_cap=options.body_cap,
                tls=self._tls,
                resolver=resolver,
                family=family,
                proxies=self._proxies,
                pinned=self._overrides,
                send_twice=options.retry_all_methods,
                timings=options.timings,
                limit_rate=options.limit_rate,
                speed_limit=options.speed_limit,
                speed_time=options.speed_time,
                recording=options.recorder is not None,
                socket_factory=guarded if options.block_private else None,
            )
        )


def user_agent() -> str:
    """`fetchall/VERSION`, with the project's name, as RFC 9110 section 10.1.5 asks of a client."""
    return f"fetchall/{__version__}"


def _credentials(options: Options) -> Credentials:
    content_type = None
    if options.data:
        content_type = FORM
    elif options.json is not None:
        content_type = "application/json"
    return Credentials(
        headers=[given for given in map(parse_header, options.header) if given is not None],
        user=options.user,
        bearer=options.oauth2_bearer,
        netrc=_logins(options),
        cookie=options.cookie if options.cookie and "=" in options.cookie else None,
        user_agent=options.user_agent if options.user_agent is not None else user_agent(),
        accept="application/json" if options.json is not None else "*/*",
        accept_encoding=ACCEPT_ENCODING,
        content_type=content_type,
        trusted=options.location_trusted,
    )


def _tls(options: Options) -> Callable[[], SSLContext]:
    """The context once it is needed, since it takes 15 ms; but a file that can't be used is refused at once."""
    made = cache(
        partial(tls.context, insecure=options.insecure, cacert=options.cacert, cert=options.cert, key=options.key)
    )
    if options.cacert is not None or options.cert is not None:
        made()
    return made


def _logins(options: Options) -> NetrcMap | None:
    if options.netrc_file is not None:
        return read_netrc(Path(options.netrc_file))
    return read_netrc(default_path()) if options.netrc else None


def _body(options: Options) -> bytes | None:
    text = options.json if options.json is not None else "&".join(options.data) if options.data else None
    return None if text is None else text.encode("utf-8", "surrogateescape")


def _cookies(options: Options) -> Cookies | None:
    if options.cookie is None and options.cookie_jar is None:
        return None
    from fetchall.wire.cookies import Cookies  # most runs keep none

    jar = Cookies()
    if options.cookie and "=" not in options.cookie:
        jar.load(Path(options.cookie), missing_ok=options.cookie == options.cookie_jar)
    return jar


_override = re.compile(r"(\[[^\[\]]*\]|[^:]*):([^:]*):(.*)").fullmatch


def _overrides(entries: Sequence[str]) -> dict[tuple[str, int], list[str]]:
    """`HOST:PORT:ADDR[,ADDR]` as in curl's --resolve; an IPv6 address may stand in brackets."""
    found: dict[tuple[str, int], list[str]] = {}
    for entry in entries:
        parts = _override(entry)
        host, port, addresses = parts.groups() if parts else ("", "", "")
        listed = [address.strip().strip("[]") for address in addresses.split(",") if address.strip()]
        try:
            number = int(port)
            for address in listed:
                ipaddress.ip_address(address)
            if host.startswith("["):
                host = str(ipaddress.IPv6Address(host[1:-1]))
        except ValueError:
            number = 0
        if not host or not 0 < number < 65536 or not listed:
            raise InvalidOptions(f"--resolve {entry}: write HOST:PORT:ADDRESS, such as example.com:443:127.0.0.1")
        found[host.lower(), number] = listed
    return found
