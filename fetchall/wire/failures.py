"""
What an exception of the network means: one ordered table from exceptions to `ErrorType`, specific before general.

Knows aiohttp's and the system's exceptions; it must not know what is done about a failure.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Callable

import aiohttp
from aiohttp import http_exceptions

from fetchall.records import ErrorType, Fault
from fetchall.wire.bandwidth import TooSlow
from fetchall.wire.decode import DecodeError, TooMuch
from fetchall.wire.guard import BlockedAddress

NO_SUCH_NAME = {getattr(socket, name, socket.EAI_NONAME) for name in ("EAI_NONAME", "EAI_NODATA", "EAI_ADDRFAMILY")}
"""What a system says of a name that has no address of the family asked for, and will not have one soon."""


SHORTAGES = {errno.EADDRNOTAVAIL, errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}
"""What a system says that has no more ports, files or memory to give."""


class TooLarge(Exception):
    """The body passed the cap."""


class NotKept(Exception):
    """Whoever keeps the body can't; the message says why."""


class BadHead(Exception):
    """The answer's head is none that HTTP knows, though the parser let it pass."""


class BadFraming(Exception):
    """The answer's body is not framed as HTTP has it; its head was right."""


class Truncated(Exception):
    """The connection ended before the body did."""


class NotContinued(Truncated):
    """What was to be the rest of a body is not."""


def cause(error: BaseException, *kinds: type[BaseException]) -> BaseException | None:
    """The first exception of these kinds along the chain of causes, the error itself included."""
    seen: set[int] = set()
    link: BaseException | None = error
    while link is not None and id(link) not in seen:
        if isinstance(link, kinds):
            return link
        seen.add(id(link))
        link = link.__cause__ or link.__context__
    return None


def classify(error: BaseException, *, https: bool) -> Fault | None:
    """The fault that an exception stands for; None: it is no failure of the network but a bug."""
    if (short := cause(error, MemoryError)) is not None:
        raise short  # the parser takes it for a malformed answer: it is this machine's, and ends the run
    for kinds, judge in TABLE:
        if isinstance(error, kinds) and (fault := judge(error, https)) is not None:
            return fault
    return None


INTERRUPTED = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError, aiohttp.ClientConnectionResetError)
"""A connection that ended before the head did; the last is raised where it is gone before the request is written."""

STALE = (*INTERRUPTED, aiohttp.ClientResponseError, http_exceptions.HttpProcessingError)
"""What a kept-alive connection may give instead of an answer: its end, or what was left over from the one before."""

Judge = Callable[[BaseException, bool], Fault | None]


def _blocked(error: BaseException, https: bool) -> Fault | None:
    refused = cause(error, BlockedAddress)
    return None if refused is None else Fault(ErrorType.BLOCKED_ADDRESS, str(refused))


def _dns(error: BaseException, https: bool) -> Fault | None:
    assert isinstance(error, aiohttp.ClientConnectorDNSError)
    reason = error.os_error
    final = reason.errno in NO_SUCH_NAME
    what = "no such name" if final else _words(reason)
    return Fault(ErrorType.DNS, f"{error.host}: {what}", retryable=not final)


def _certificate(error: BaseException, https: bool) -> Fault | None:
    assert isinstance(error, aiohttp.ClientConnectorCertificateError)
    reason = error.certificate_error
    what = getattr(reason, "verify_message", None) or str(reason)
    return Fault(ErrorType.TLS_CERTIFICATE, f"certificate of {error.host}: {what}", retryable=False)


def _tls(error: BaseException, https: bool) -> Fault | None:
    # aiohttp's own exceptions are of OpenSSL's kind too, and say less than the one that they wrap.
    found = getattr(error, "os_error", None)
    if not isinstance(found, ssl.SSLError):
        found = cause(error, ssl.SSLError)
    if found is None:
        return None
    if isinstance(found, ssl.SSLCertVerificationError):
        return Fault(ErrorType.TLS_CERTIFICATE, f"certificate: {found.verify_message}", retryable=False)
    return Fault(ErrorType.TLS, f"TLS: {tls_words(found)}")


def tls_words(error: BaseException) -> str:
    """OpenSSL's reason in lower case, and what it most often means."""
    reason = (getattr(error, "reason", None) or str(error)).replace("_", " ").lower()
    if reason in ("wrong version number", "http request", "packet length too long", "record layer failure"):
        return f"{reason}: the server does not seem to speak TLS on this port"
    return reason


def _proxy(error: BaseException, https: bool) -> Fault | None:
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return Fault(ErrorType.PROXY, f"the proxy answered CONNECT with {error.status} {error.message}".rstrip())
    assert isinstance(error, aiohttp.ClientProxyConnectionError)
    reason = error.os_error
    words = f"proxy {error.host}:{error.port}: {_words(reason)}"
    return Fault(ErrorType.PROXY, words, ours=reason.errno in SHORTAGES)


def _connect(error: BaseException, https: bool) -> Fault | None:
    assert isinstance(error, aiohttp.ClientConnectorError)
    reason, where = error.os_error, f"{error.host}:{error.port}"
    if reason.errno == errno.ECONNREFUSED:
        return Fault(ErrorType.CONNECT_REFUSED, f"{where} refused the connection")
    if reason.errno == errno.ETIMEDOUT:
        return Fault(ErrorType.CONNECT_TIMEOUT, f"{where}: {_words(reason)}")
    if https and (reason.errno is None or isinstance(reason, (ConnectionResetError, BrokenPipeError))):
        return Fault(ErrorType.TLS, f"{where} closed the connection in the TLS handshake")
    return Fault(ErrorType.CONNECT_ERROR, f"{where}: {_words(reason)}", ours=reason.errno in SHORTAGES)


def _connect_timeout(error: BaseException, https: bool) -> Fault:
    return Fault(ErrorType.CONNECT_TIMEOUT, "no connection within the connect timeout")


def _read_timeout(error: BaseException, https: bool) -> Fault:
    return Fault(ErrorType.READ_TIMEOUT, "nothing came within the read timeout")


def _interrupted(error: BaseException, https: bool) -> Fault | None:
    reason = cause(error, ConnectionResetError, BrokenPipeError)
    how = "reset" if reason is not None else "closed"
    return Fault(ErrorType.DISCONNECTED, f"the server {how} the connection before its answer was whole")


def _malformed(error: BaseException, https: bool) -> Fault:
    return Fault(ErrorType.PROTOCOL, f"not an HTTP answer: {parser_words(error)}")


def _decode(error: BaseException, https: bool) -> Fault:
    return Fault(ErrorType.DECODE, str(error), retryable=False)


def _too_large(error: BaseException, https: bool) -> Fault:
    return Fault(ErrorType.TOO_LARGE, str(error), retryable=False)


def _too_slow(error: BaseException, https: bool) -> Fault:
    return Fault(ErrorType.TIMEOUT, str(error))


def _not_kept(error: BaseException, https: bool) -> Fault:
    return Fault(ErrorType.WRITE, str(error), retryable=False)


def _bad_answer(error: BaseException, https: bool) -> Fault:
    return Fault(ErrorType.PROTOCOL, str(error))


def _truncated(error: BaseException, https: bool) -> Fault:
    return Fault(ErrorType.TRUNCATED, str(error))


def _unnameable(error: BaseException, https: bool) -> Fault:
    """Some libraries decode an `xn--` label on their way to a proxy, by an IDNA that is older than the web's."""
    return Fault(ErrorType.INVALID_URL, "the host's name can't be sent to the proxy", retryable=False)


def _system(error: BaseException, https: bool) -> Fault:
    assert isinstance(error, OSError)
    return Fault(ErrorType.CONNECT_ERROR, _words(error), ours=error.errno in SHORTAGES)


TABLE: tuple[tuple[tuple[type[BaseException], ...], Judge], ...] = (
    ((aiohttp.ClientConnectorError, BlockedAddress), _blocked),
    ((aiohttp.ClientConnectorDNSError,), _dns),
    ((aiohttp.ClientConnectorCertificateError,), _certificate),
    ((aiohttp.ClientConnectorSSLError, ssl.SSLError, aiohttp.ClientConnectorError, aiohttp.ClientOSError), _tls),
    ((aiohttp.ClientProxyConnectionError, aiohttp.ClientHttpProxyError), _proxy),
    ((aiohttp.ClientConnectorError,), _connect),
    ((aiohttp.ConnectionTimeoutError,), _connect_timeout),
    ((aiohttp.ServerTimeoutError, TimeoutError), _read_timeout),
    ((TooSlow,), _too_slow),
    ((TooLarge, TooMuch), _too_large),
    ((DecodeError,), _decode),
    ((BadHead, BadFraming), _bad_answer),
    ((NotKept,), _not_kept),
    ((Truncated,), _truncated),
    (INTERRUPTED, _interrupted),
    ((aiohttp.ClientResponseError, http_exceptions.HttpProcessingError), _malformed),
    ((OSError,), _system),
    ((UnicodeError,), _unnameable),
)
"""What is tried in turn: these exceptions, judged so; a judge may pass with None."""


def _words(error: OSError) -> str:
    """The system's own words, without asyncio's 'Connect call failed (...)' around them."""
    if isinstance(error, socket.gaierror):
        return error.strerror or str(error)
    if error.errno is not None:
        return f"{os.strerror(error.errno).lower()} (errno {error.errno})"
    return str(error) or type(error).__name__


def parser_words(error: BaseException) -> str:
    """The parser's message on one line, without the dump of what it read."""
    text = getattr(error, "message", "") or str(error)
    return re.sub(r"\s+", " ", text.split("\n")[0]).strip().rstrip(":") or "malformed"
