"""
The records that travel: a `Request` in, a `Result` out, and what is said about many of them.

Knows plain values only: no I/O, no HTTP library, no other module of ours.
Times are float seconds, sizes are int bytes, unknown is `None`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from fetchall.validators import Known, Refresh

T = TypeVar("T")


def light(record: type[T]) -> type[T]:
    """
    Let a frozen, slotted dataclass be filled before it freezes.

    A frozen dataclass sets each field through `object.__setattr__`, which for a row of 26 fields takes 2.8 us where
    assignments take 1.2. So an instance is of an open class of the same layout while its `__init__` runs.
    """
    opened = type(record.__name__, (), {"__slots__": record.__slots__})  # type: ignore[attr-defined]
    names = [field.name for field in fields(record)]  # type: ignore[arg-type]
    body = "; ".join(["open(self, opened)", *(f"self.{name} = {name}" for name in names), "self.__class__ = record"])
    scope: dict[str, Any] = {"open": object.__dict__["__class__"].__set__, "opened": opened, "record": record}
    exec(f"def __init__(self, {', '.join(names)}): {body}", scope)
    made, written = scope["__init__"], record.__init__
    made.__defaults__, made.__annotations__ = written.__defaults__, written.__annotations__
    record.__init__ = made  # type: ignore[method-assign]
    # Pickled as a call of that: a fifth of what the fields one by one take.
    values = attrgetter(*names)
    record.__reduce__ = lambda self: (record, values(self))  # type: ignore[method-assign]
    return record


class ErrorType(StrEnum):
    """
    Why a URL has no whole response: the closed list of `error_type`.

    An HTTP status of 400 or more is not an error: the response arrived.
    """

    BAD_LINE = "bad_line"
    INVALID_URL = "invalid_url"
    UNSUPPORTED_SCHEME = "unsupported_scheme"
    DNS = "dns"
    CONNECT_REFUSED = "connect_refused"
    CONNECT_ERROR = "connect_error"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    TLS_CERTIFICATE = "tls_certificate"
    PROXY = "proxy"
    READ_TIMEOUT = "read_timeout"
    TIMEOUT = "timeout"
    DISCONNECTED = "disconnected"
    TRUNCATED = "truncated"
    PROTOCOL = "protocol"
    DECODE = "decode"
    TOO_LARGE = "too_large"
    TOO_MANY_REDIRECTS = "too_many_redirects"
    BAD_REDIRECT = "bad_redirect"
    BLOCKED_ADDRESS = "blocked_address"
    ROBOTS = "robots"
    RATE_LIMITED = "rate_limited"
    HOST_SKIPPED = "host_skipped"
    WRITE = "write"
    CANCELLED = "cancelled"
    INTERNAL = "internal"


class Fault(NamedTuple):
    """What went wrong, as a word for programs and a sentence for people."""

    type: ErrorType
    message: str
    retryable: bool = True
    """False where another attempt can't help although the type as a whole may (a name that does not exist)."""
    ours: bool = False
    """True: this machine ran out of something (ports, files, buffers); nobody else had a part in it."""


class Origin(NamedTuple):
    """Scheme, host and port: the key of limits, rates, robots and credentials (RFC 6454)."""

    scheme: str
    host: str
    port: int

    def __str__(self) -> str:
        """As people write it: the default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        default = {"http": 80, "https": 443}.get(self.scheme)
        return f"{self.scheme}://{host}" if self.port == default else f"{self.scheme}://{host}:{self.port}"


@light
@dataclass(frozen=True, slots=True)
class Request:
    """
    One URL to fetch, as the list gave it.

    `index` and `url` together are its identity; the index is its place in the list, and given by whoever reads that.
    `fault` is set by a source for a line that is no request at all.
    """

    url: str
    index: int = 0
    method: str | None = None
    """None: the method of the options; POST where those name none and there is a body."""
    headers: tuple[tuple[str, str], ...] = ()
    """Added to those of the options; a name given here replaces theirs."""
    body: bytes | None = None
    input: dict[str, Any] | None = None
    """Further columns of the input, passed through to the row."""
    fault: Fault | None = None
    known: Known | None = None
    """What an earlier output says of it, with `Options.refresh`; filled in while the list is read."""
    output: str | None = None
    """What the file of its body is to be called, below the folder of bodies; None: as the options say."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of the last attempt's last hop went, in seconds; None: the phase did not happen."""

    queued: float | None = None
    dns: float | None = None
    connect: float | None = None
    send: float | None = None
    wait: float | None = None
    receive: float | None = None


@dataclass(frozen=True, slots=True)
class Try:
    """One attempt, kept on request. `wait` is the time that passed before it since the one before, in seconds."""

    started_at: datetime
    elapsed: float
    status: int | None
    error_type: ErrorType | None
    wait: float


@dataclass(frozen=True, slots=True)
class Hop:
    """One answer of a redirect chain that pointed on."""

    url: str
    status: int


class Answer(NamedTuple):
    """
    What one hop gave: the head and the size of one response, or a fault, or both.

    `status` is the one that a server sent, also where the fault came after the head; never anything else.
    """

    fault: Fault | None = None
    status: int | None = None
    headers: tuple[tuple[bytes, bytes], ...] = ()
    """As on the wire, in order."""
    http_version: str | None = None
    remote_ip: str | None = None
    ttfb: float | None = None
    """From the start of the hop to the end of the response's head."""
    size: int | None = None
    wire_size: int | None = None
    content_type: str | None = None
    reused: bool | None = None
    timings: Timings | None = None
    rationed: bool = False
    """It has a header that tells how much of a quota is left (RateLimit and its elders)."""

    def header(self, name: bytes) -> bytes | None:
        """The first value of a header, by its lower-case name."""
        for key, value in self.headers:
            if key.lower() == name:
                return value
        return None


@light
@dataclass(frozen=True, slots=True)
class Result:
    """
    What became of one request: the row, as an object.

    The fields are those of the row (the README describes each); those that were not asked for are None.
    """

    request: Request
    method: str
    url: str
    """As given, with its password masked."""
    final_url: str | None = None
    status: int | None = None
    ok: bool = False
    error_type: ErrorType | None = None
    error: str | None = None
    attempts: int = 0
    redirects: int = 0
    started_at: datetime | None = None
    elapsed: float | None = None
    ttfb: float | None = None
    size: int | None = None
    wire_size: int | None = None
    content_type: str | None = None
    http_version: str | None = None
    remote_ip: str | None = None
    wire_time: float = 0.0
    """Seconds that its attempts spent on the wire, waits between them apart; not part of the row."""
    headers: dict[str, list[str]] | None = None
    history: tuple[Hop, ...] | None = None
    timings: Timings | None = None
    reused: bool | None = None
    tries: tuple[Try, ...] | None = None
    sha256: str | None = None
    body: bytes | None = None
    file: str | None = None
    duplicate_of: int | None = None
    """The index of the row that was fetched for this one as well."""
    refresh: Refresh | None = None
    etag: str | None = None
    last_modified: str | None = None

    @property
    def index(self) -> int:
        """Position among the rows, from 0."""
        return self.request.index


@dataclass(frozen=True, slots=True)
class Latency:
    """How long answers took (`elapsed` of rows with a status), in seconds."""

    min: float
    mean: float
    p50: float
    p90: float
    p99: float
    max: float


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast one pass over the list went. `measured` is False for the sequential time that is only a sum."""

    elapsed: float
    requests_per_second: float | None
    concurrency: int | None = None
    measured: bool = True


@dataclass(frozen=True, slots=True)
class Timing:
    """Concurrent against one at a time; `speedup` is None unless both were measured."""

    concurrent: Pace
    sequential: Pace
    speedup: float | None = None


class HostLine(NamedTuple):
    """What one host gave; `mean` and `max` are the seconds that its answers took, None where it never answered."""

    host: str
    urls: int
    failed: int
    mean: float | None
    max: float | None


@dataclass(frozen=True, slots=True)
class Summary:
    """What a whole run gave."""

    urls: int
    ok: int
    failed: int
    retries: int
    bytes: int
    wire_bytes: int
    elapsed: float
    requests_per_second: float | None
    latency: Latency | None
    status: dict[str, int]
    errors: dict[str, int]
    interrupted: bool
    refresh: dict[str, int] | None = None
    """How many pages were unchanged, changed, gone and new; None without `Options.refresh`."""
