"""Sections C, D and E: names, connections, TLS."""

from __future__ import annotations

import errno
import socket

from ..case import Case
from ..checks import asked, connections, sooner_than

_SLOW = {"connect_timeout": 5.0, "timeout": 6.0}

_DNS = (
    Case(row=30, name="nxdomain", url="http://nx.test/", status=None, error_type="dns", attempts=1, requests=0,
         options={"retries": 2}, fast=True, check=asked("nx.test", 1), says=("nx.test",)),
    Case(row=30, name="no-address", url="http://none.test/", status=None, error_type="dns", names={"none.test": [()]},
         requests=0, why="a name without an address is as good as none"),
    Case(row=30, name="no-such-family", url="http://odd.test/", status=None, error_type="dns", attempts=1, requests=0,
         options={"retries": 2}, fast=True, names={"odd.test": [getattr(socket, "EAI_ADDRFAMILY", socket.EAI_NONAME)]}),
    Case(row=31, name="servfail", url="http://again.test/", status=None, error_type="dns", attempts=3, requests=0,
         options={"retries": 2}, fast=True, names={"again.test": [socket.EAI_AGAIN]}, check=asked("again.test", 3)),
    Case(row=31, name="servfail-then-good", url="http://again.test:{http}/echo", attempts=2, fast=True,
         options={"retries": 2}, names={"again.test": [socket.EAI_AGAIN, ("127.0.0.1",)]}),
    Case(row=32, name="hangs", url="http://hang.test:{http}/echo", status=None, error_type="connect_timeout",
         options={"connect_timeout": 0.3}, names={"hang.test": [None]}, requests=0),
    Case(row=33, name="first-refuses", url="http://two.test:{split}/echo", requests=1, options=_SLOW,
         names={"two.test": [("127.0.0.3", "127.0.0.1")]}),
    Case(row=33, name="first-dead", url="http://two.test:{split}/echo", requests=1, options=_SLOW, needs=("linux",),
         names={"two.test": [("127.0.0.2", "127.0.0.1")]}, check=sooner_than(1.0),
         why="300 ms, and time for a busy machine; without happy eyeballs it would be 5 s"),
    Case(row=33, name="aaaa-dead", url="http://two.test:{split}/echo", requests=1, options=_SLOW,
         needs=("linux",), names={"two.test": [("::1", "127.0.0.1")]}, check=sooner_than(1.0)),
    Case(row=33, name="all-refuse", url="http://two.test:{refused}/", status=None, error_type="connect_refused",
         names={"two.test": [("127.0.0.1", "127.0.0.1")]}),
    Case(row=36, name="localhost", url="http://localhost:{http}/echo", names=None,
         final_url="http://localhost:{http}/echo"),
    Case(row=36, name="localhost-dot", url="http://localhost.:{http}/echo", names={"localhost.": [("127.0.0.1",)]},
         check=asked("localhost.", 1), why="resolved as given: the final dot keeps search domains out"),
    Case(row=36, name="address-overridden", url="http://192.0.2.7:{http}/echo", names=None, requests=1,
         options={"resolve": ("192.0.2.7:{http}:127.0.0.1",)}, why="--resolve holds for addresses too, as in curl"),
    Case(row=36, name="ipv6-address-overridden", url="http://[2001:db8::7]:{http}/echo", names=None, requests=1,
         options={"resolve": ("[2001:db8:0::7]:{http}:127.0.0.1",)}),
)  # fmt: skip

_TCP = (
    Case(row=37, name="refused", url="http://127.0.0.1:{refused}/", status=None, error_type="connect_refused",
         attempts=1, says=("127.0.0.1:{refused}",)),
    Case(row=37, name="refused-is-retried", url="http://127.0.0.1:{refused}/", status=None,
         error_type="connect_refused", attempts=3, options={"retries": 2}, fast=True),
    Case(row=38, name="no-syn-ack", url="http://127.0.0.1:{full}/", status=None, error_type="connect_timeout",
         options={"connect_timeout": 0.3}, needs=("linux",)),
    Case(row=38, name="total-timeout-first", url="http://127.0.0.1:{full}/", status=None, error_type="timeout",
         options={"connect_timeout": 5.0, "timeout": 0.3}, needs=("linux",),
         why="the two limits are told apart"),
    Case(row=39, name="unreachable", url="http://127.255.255.255:{http}/", status=None, error_type="connect_error",
         says=(str(errno.ENETUNREACH),), needs=("linux",),
         why="the broadcast address of loopback: Linux says ENETUNREACH without sending"),
    Case(row=39, name="no-host", url="http://127.0.0.1:{http}/echo", status=None, error_type="connect_error",
         says=(str(errno.EHOSTUNREACH),), connect_errors=(errno.EHOSTUNREACH,), requests=0),
    Case(row=40, name="no-ports-left", url="/echo", connect_errors=(errno.EADDRNOTAVAIL,) * 3, options={"retries": 3},
         fast=True, requests=1, why="it passes as other connections end: tried again"),
    Case(row=41, name="accepted-then-closed", url="http://127.0.0.1:{closing}/", status=None,
         error_type="disconnected", attempts=1, times=20,
         why="the request may meet a connection that is gone already: the same row"),
    Case(row=41, name="read-then-closed", url="/empty", status=None, error_type="disconnected", requests=1),
    Case(row=41, name="retried-on-a-new-connection", url="/flaky?fail=1&mode=close", attempts=2, requests=2,
         options={"retries": 1}, fast=True, check=connections(2)),
    Case(row=42, name="reset", url="/reset", status=None, error_type="disconnected", requests=1),
    Case(row=42, name="retried-on-a-new-connection", url="/flaky?fail=1&mode=reset", attempts=2, requests=2,
         options={"retries": 1}, fast=True, check=connections(2)),
)  # fmt: skip


def _tls(row: int, name: str, port: str, error: str, *says: str, why: str = "", path: str = "/echo") -> Case:
    url = f"https://127.0.0.1:{{{port}}}{path}"
    return Case(row=row, name=name, url=url, status=None, error_type=error, says=says, why=why, requests=0)  # fmt: skip


_TLS = (
    Case(row=43, name="trusted", url="https://127.0.0.1:{tls}/echo",
         why="the authority is known: so the others fail for what they are"),
    Case(row=43, name="trusted-by-name", url="https://one.test:{tls}/echo",
         names={"one.test": [("127.0.0.1",)]}),
    Case(row=43, name="authority-not-named", url="https://127.0.0.1:{tls}/echo", status=None,
         error_type="tls_certificate", options={"cacert": None}),
    _tls(43, "self-signed", "tls-self-signed", "tls_certificate", "self-signed"),
    _tls(43, "unknown-authority", "tls-unknown-ca", "tls_certificate", "issuer"),
    Case(row=43, name="not-retried", url="https://127.0.0.1:{tls-self-signed}/", status=None, attempts=1, fast=True,
         error_type="tls_certificate", options={"retries": 2}),
    _tls(44, "wrong-name", "tls-wrong-name", "tls_certificate", "127.0.0.1"),
    _tls(44, "expired", "tls-expired", "tls_certificate", "expired"),
    _tls(44, "not-yet-valid", "tls-not-yet", "tls_certificate", "not yet valid"),
    *(
        Case(row=45, name=f"insecure-{kind}", url=f"https://127.0.0.1:{{tls-{kind}}}/echo",
             options={"insecure": True}, requests=1)
        for kind in ("self-signed", "unknown-ca", "wrong-name", "expired")
    ),
    Case(row=46, name="handshake-hangs", url="https://127.0.0.1:{tls-hang}/", status=None,
         error_type="connect_timeout", options={"connect_timeout": 0.3}),
    _tls(47, "garbage", "tls-garbage", "tls"),
    _tls(47, "closed-in-handshake", "tls-close", "tls", "TLS"),
    _tls(47, "reset-in-handshake", "tls-reset", "tls", "TLS"),
    _tls(47, "refused-by-alert", "tls-refuse", "tls", "handshake failure"),
    _tls(47, "plain-http", "http", "tls", "does not seem to speak TLS"),
    _tls(48, "https-to-a-port-that-closes", "closing", "tls"),
    Case(row=48, name="http-to-a-tls-port", url="http://127.0.0.1:{tls-only}/", status=None, error_type="protocol"),
    Case(row=48, name="http-to-a-silent-tls-port", url="http://127.0.0.1:{tls}/echo", status=None,
         error_type="disconnected", why="OpenSSL closes without a word: nothing says TLS"),
    Case(row=49, name="close-notify", url="https://127.0.0.1:{tls}/nolength-close", size=500),
    Case(row=49, name="no-close-notify", url="https://127.0.0.1:{tls}/nolength-cut", error_type="truncated",
         wire_size=500, says=("500",)),
    Case(row=49, name="reset", url="https://127.0.0.1:{tls}/nolength-reset", error_type="truncated"),
    Case(row=49, name="length-and-no-close-notify", url="https://127.0.0.1:{tls}/keepalive-cut", size=4,
         why="the length says that it is whole"),
    Case(row=49, name="truncated", url="https://127.0.0.1:{tls}/truncated", error_type="truncated",
         wire_size=500),
    Case(row=49, name="chunks-cut", url="https://127.0.0.1:{tls}/chunk-no-end", error_type="truncated"),
)  # fmt: skip

CASES = (*_DNS, *_TCP, *_TLS)
