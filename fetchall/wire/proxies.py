"""
Which proxy a URL takes: the option's or the environment's, read once, by the rules of curl (measured with 7.88.1).

Knows hosts, addresses and ports; it must not know how one talks to a proxy.
"""

from __future__ import annotations

import importlib.util
import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import unquote

from fetchall.errors import InvalidOptions, MissingExtra
from fetchall.records import Fault, Origin
from fetchall.urls import parse

SOCKS = frozenset({"socks4", "socks4a", "socks5", "socks5h"})
PORTS = {"https": 443}
"""Ports of proxies that name none; all others have `DEFAULT_PORT`, http too, as in curl."""
DEFAULT_PORT = 1080
VARIABLES = {
    # Not HTTP_PROXY: a web server hands a request's `Proxy` header to its CGI programs by that name (httpoxy).
    "http": ("http_proxy", "all_proxy", "ALL_PROXY"),
    "https": ("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
}
"""Where a scheme's proxy is looked for; an empty one counts as not set."""

_KEPT = 4096
"""Origins whose answer is kept ready."""
_SCHEME = re.compile(r"([a-zA-Z][a-zA-Z0-9+.-]*)://")
_PORT = re.compile(r":([0-9]+)$")
_HOST_AND_PORT = re.compile(r"(?:\[([^\[\]]+)\]|([^\[\]:]+))(?::([0-9]{1,5}))?")


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy; its account is never shown."""

    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    """Percent-decoded; bytes that are no UTF-8 stand as surrogate escapes."""
    password: str | None = field(default=None, repr=False)

    @property
    def url(self) -> str:
        """Without the account."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def authorization(self) -> str | None:
        """The value of Proxy-Authorization (RFC 7617); None: no account, or SOCKS, which has a way of its own."""
        if self.user is None or self.scheme in SOCKS:
            return None
        account = f"{self.user}:{self.password or ''}".encode("utf-8", "surrogateescape")
        return "Basic " + b64encode(account).decode("ascii")


class Proxies:
    """
    The proxies of a run: `proxy` for all URLs ("": none), else those of `environ`; `noproxy` replaces its NO_PROXY.

    Raises InvalidOptions where one can't be used, naming where it was given and never what, and MissingExtra for SOCKS
    without its extra.
    """

    def __init__(self, *, proxy: str | None, noproxy: str | None, environ: Mapping[str, str]) -> None:
        self._by_scheme: dict[str, Proxy] = {}
        for scheme, variables in VARIABLES.items():
            source = "--proxy" if proxy is not None else next(filter(environ.get, variables), "")
            text = proxy if proxy is not None else environ.get(source, "")
            if text:
                self._by_scheme[scheme] = parse_proxy(text, source)
        if noproxy is None:
            noproxy = environ.get("no_proxy") or environ.get("NO_PROXY") or ""
        self._direct = NoProxy(noproxy)
        self.any = bool(self._by_scheme) and not self._direct.all
        """False: every URL is reached directly."""
        self.proxy_for = lru_cache(maxsize=_KEPT)(self._choose)
        """The proxy for an origin; None: none."""

    def _choose(self, origin: Origin) -> Proxy | None:
        proxy = self._by_scheme.get(origin.scheme)
        return None if proxy is None or origin in self._direct else proxy


class NoProxy:
    """
    The origins that are reached directly, as NO_PROXY writes them: names apart by commas or blanks, `*` alone for all.

    A name stands for itself and all below it, with or without a leading dot; an address for itself; a network
    (`10.0.0.0/8`) for its addresses. With `:PORT`, which curl does not know, for that port alone. What is none of
    these stands for nothing, as in curl.
    """

    def __init__(self, text: str) -> None:
        self.all = text.strip() == "*"
        self._names: dict[str, set[int | None]] = {}
        self._addresses: dict[IPv4Address | IPv6Address, set[int | None]] = {}
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in re.split(r"[,\s]+", text.lower()):
            self._add(entry)

    def __contains__(self, origin: Origin) -> bool:
        if self.all:
            return True
        address = _address(origin.host)
        if address is not None:
            ports = self._addresses.get(address, ())
            return None in ports or origin.port in ports or any(address in network for network in self._networks)
        labels = origin.host.removesuffix(".").split(".")
        for cut in range(len(labels) if self._names else 0):
            ports = self._names.get(".".join(labels[cut:]), ())
            if None in ports or origin.port in ports:
                return True
        return False

    def _add(self, entry: str) -> None:
        if re.search(r"/[0-9]+$", entry):
            try:
                self._networks.append(ip_network(entry, strict=False))
            except ValueError:
                return
        elif (bare := _address(entry)) is not None:
            self._addresses.setdefault(bare, set()).add(None)
        elif match := _HOST_AND_PORT.fullmatch(entry):
            host, port = match[1] or match[2], int(match[3]) if match[3] else None
            address = _address(host)
            if address is not None:
                self._addresses.setdefault(address, set()).add(port)
            else:
                self._names.setdefault(host.removeprefix(".").removesuffix("."), set()).add(port)


def parse_proxy(text: str, source: str) -> Proxy:
    """A proxy as curl writes it, `http://` where it has no scheme; `source` is the option or variable it came from."""
    text = text.strip()
    match = _SCHEME.match(text)
    scheme = match[1].lower() if match else "http"
    if scheme not in SOCKS and scheme not in ("http", "https"):
        raise InvalidOptions(f"{source}: a proxy's URL begins with http, https, socks4, socks4a, socks5 or socks5h")
    authority, *path = re.split(r"[/\\?#]", text[match.end() if match else 0 :], maxsplit=1)
    userinfo, at, host_and_port = authority.rpartition("@")
    # The host is read as that of any URL is. An @ in the path was meant to end a password with a bare / ? or # in it.
    target = parse(f"http://{host_and_port}/")
    if isinstance(target, Fault) or "@" in "".join(path):
        raise InvalidOptions(
            f"{source} is no proxy: write http://HOST:PORT, with / ? # @ in a password as %2F %3F %23 %40"
        )
    if scheme in SOCKS and importlib.util.find_spec("aiohttp_socks") is None:
        raise MissingExtra(f"the SOCKS proxy of {source}", "socks")
    user, _, password = userinfo.partition(":")
    return Proxy(
        scheme,
        target.origin.host,
        target.origin.port if _PORT.search(host_and_port) else PORTS.get(scheme, DEFAULT_PORT),
        unquote(user, errors="surrogateescape") if at else None,
        unquote(password, errors="surrogateescape") if at else None,
    )


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None
