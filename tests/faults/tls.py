"""
The TLS side: certificates that are right or wrong in one way each, and listeners that fail in the handshake.

Knows certificates and the first bytes of a connection; knows nothing of HTTP.
"""

from __future__ import annotations

import ipaddress
import ssl
import tempfile
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import cache

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from .exchange import Connection

LISTENERS = ("tls", "tls-wrong-name", "tls-expired", "tls-not-yet", "tls-self-signed", "tls-unknown-ca")
"""Ports that speak TLS and serve every path, by the certificate that they show."""

ALERT = b"\x15\x03\x01\x00\x02\x02\x46"
"""A fatal `protocol_version` alert: what a TLS port says to plain HTTP."""
_REFUSAL = b"\x15\x03\x03\x00\x02\x02\x28"
"""A fatal `handshake_failure` alert."""
_NAMES = ("localhost", "one.test", "two.test", "127.0.0.1", "127.0.0.2", "127.0.0.3", "::1")


@cache
def authority() -> trustme.CA:
    """The authority that tests trust."""
    return trustme.CA()


@cache
def context(kind: str) -> ssl.SSLContext:
    """A server's context with the certificate of that kind."""
    now = datetime.now(UTC)
    match kind:
        case "tls-self-signed":
            return _self_signed(now)
        case "tls":
            leaf = authority().issue_cert(*_NAMES)
        case "tls-wrong-name":
            leaf = authority().issue_cert("elsewhere.test")
        case "tls-expired":
            leaf = authority().issue_cert(*_NAMES, not_before=now - timedelta(9), not_after=now - timedelta(2))
        case "tls-not-yet":
            leaf = authority().issue_cert(*_NAMES, not_before=now + timedelta(2), not_after=now + timedelta(9))
        case "tls-unknown-ca":
            leaf = trustme.CA().issue_cert(*_NAMES)
        case _:
            raise ValueError(f"no certificate of kind {kind}")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    leaf.configure_cert(made)
    return made


def _self_signed(now: datetime) -> ssl.SSLContext:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(1)).not_valid_after(now + timedelta(1))
    certificate = builder.add_extension(names, critical=False).sign(key, hashes.SHA256())
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.NamedTemporaryFile() as file:
        file.write(certificate.public_bytes(serialization.Encoding.PEM))
        file.write(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        file.flush()
        made.load_cert_chain(file.name)
    return made


async def hang(connection: Connection) -> None:
    """Take the hello, answer nothing."""
    while await connection.fill():
        connection.buffer = b""


async def garbage(connection: Connection) -> None:
    """Answer the hello with bytes that are no TLS record."""
    await connection.fill()
    connection.writer.write(b"\x00\xff not a TLS record \xff\x00" * 8)
    await connection.writer.drain()


async def close(connection: Connection) -> None:
    """Take the hello and close."""
    await connection.fill()
    connection.cut()


async def reset(connection: Connection) -> None:
    """Take the hello and reset."""
    await connection.fill()
    await connection.reset()


async def refuse(connection: Connection) -> None:
    """Take the hello and refuse it, as a server that shares no cipher does."""
    await connection.fill()
    connection.writer.write(_REFUSAL)
    await connection.writer.drain()


async def only(connection: Connection) -> None:
    """Answer plain HTTP as some TLS servers do: with an alert."""
    await connection.fill()
    connection.writer.write(ALERT)
    await connection.writer.drain()


async def nothing(connection: Connection) -> None:
    """Close what was accepted, with nothing read."""
    connection.cut()


HANDSHAKES: dict[str, Callable[[Connection], Awaitable[None]]] = {
    "tls-hang": hang,
    "tls-garbage": garbage,
    "tls-close": close,
    "tls-reset": reset,
    "tls-refuse": refuse,
    "tls-only": only,
    "closing": nothing,
}
"""Ports at which no request is ever read."""
