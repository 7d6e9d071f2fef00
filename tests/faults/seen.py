"""
What the fault server saw: requests, connections, credentials, anomalies, how many at once.

Knows nothing of sockets. Written by the server's thread alone; read by tests, from any thread.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

CREDENTIALS = frozenset({"authorization", "cookie", "proxy-authorization", "x-api-key"})
"""Header names whose values are for one origin and no other."""


@dataclass(slots=True, eq=False)
class SeenRequest:
    """One request as it arrived, and what became of it."""

    at: float
    """When its head was whole, on the monotonic clock."""
    connection: int
    """Which connection it came on, counted from 1 over all listeners."""
    address: str
    """What the client dialled: `127.0.0.2:8080`."""
    secure: bool
    method: str = ""
    target: str = ""
    """As on the wire, bytes as latin-1."""
    version: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    """As on the wire, in order, bytes as latin-1."""
    body: bytes = b""
    sent: int = 0
    """Bytes handed to the system for it: what the client took is at most the buffers' size less."""
    ended: float | None = None

    @property
    def path(self) -> str:
        """The target without its query."""
        return self.target.partition("?")[0]

    def values(self, name: str) -> list[str]:
        """All values of a header, by its lower-case name."""
        return [value for key, value in self.headers if key.lower() == name]

    def value(self, name: str) -> str | None:
        """The first value of a header, by its lower-case name."""
        return next(iter(self.values(name)), None)


@dataclass(frozen=True, slots=True)
class Credential:
    """A secret that arrived, and the address that was dialled with it."""

    address: str
    name: str
    value: str


@dataclass(slots=True)
class Seen:
    """All that arrived since the server was opened."""

    requests: list[SeenRequest] = field(default_factory=list)
    credentials: list[Credential] = field(default_factory=list)
    anomalies: list[str] = field(default_factory=list)
    """What no client should send: each with the bytes that show it."""
    errors: list[str] = field(default_factory=list)
    """Bugs of the fault server itself."""
    hellos: int = 0
    """TLS hellos that came to a plain port."""
    handshakes: int = 0
    """Connections to the ports that answer TLS wrongly."""
    connections: int = 0
    open: int = 0
    max_open: int = 0
    in_flight: Counter[str] = field(default_factory=Counter)
    """By host (as in the Host header) and, under the empty name, in all."""
    max_in_flight: Counter[str] = field(default_factory=Counter)

    def connected(self) -> int:
        """Count a connection; its number."""
        self.connections += 1
        self.open += 1
        self.max_open = max(self.max_open, self.open)
        return self.connections

    def disconnected(self) -> None:
        """The connection is gone."""
        self.open -= 1

    def began(self, request: SeenRequest) -> None:
        """A request's head is whole."""
        self.requests.append(request)
        for name, value in request.headers:
            if name.lower() in CREDENTIALS:
                self.credentials.append(Credential(request.address, name.lower(), value))
        for host in ("", request.value("host") or "?"):
            self.in_flight[host] += 1
            self.max_in_flight[host] = max(self.max_in_flight[host], self.in_flight[host])

    def ended(self, request: SeenRequest) -> None:
        """Its answer, such as it is, is over."""
        request.ended = time.monotonic()
        for host in ("", request.value("host") or "?"):
            self.in_flight[host] -= 1

    def to(self, path: str) -> list[SeenRequest]:
        """The requests for a path, whatever their query."""
        return [request for request in self.requests if request.path == path]

    def secrets_at(self, address: str) -> Iterator[Credential]:
        """Credentials that arrived at one dialled address."""
        return (credential for credential in self.credentials if credential.address == address)
