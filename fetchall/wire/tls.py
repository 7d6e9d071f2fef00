"""
TLS: the context of a run, made once, and what is noted of each connection's.

Knows certificates, keys and records; it must not know what is sent.
"""

from __future__ import annotations

import ssl
from typing import Any

from fetchall.errors import InvalidOptions

RECORD = 16 * 1024
"""The most bytes that one read gives (RFC 8446, section 5.1): loops make room for sixteen times as many each time."""


class Notified(ssl.SSLObject):
    """One connection's TLS, which remembers a close_notify: without one, anybody may have cut the connection."""

    notified = False

    def read(self, len: int = 1024, buffer: Any = None) -> Any:
        """As ever; nothing read, where data were wanted, is the close_notify."""
        try:
            data = super().read(min(len, RECORD)) if buffer is None else super().read(len, buffer)
        except ssl.SSLZeroReturnError:
            self.notified = True
            raise
        if not data:
            self.notified = True
        return data

    def getpeercert(self, binary_form: bool = False) -> Any:
        """
        The certificate, in DER where that is asked for.

        Loops ask for the other form at each handshake, for whoever may want it, and nobody does: a tenth of its cost.
        """
        return super().getpeercert(binary_form=True) if binary_form else None


def context(
    *, insecure: bool = False, cacert: str | None = None, cert: str | None = None, key: str | None = None
) -> ssl.SSLContext:
    """
    Verify against the system's authorities, or `cacert`'s, unless `insecure`; show `cert` where one is given.

    Raises `InvalidOptions` for a file that can't be used. SSL_CERT_FILE and SSL_CERT_DIR are obeyed, as by OpenSSL.
    """
    try:
        made = ssl.create_default_context(cafile=cacert)
    except (OSError, ssl.SSLError) as error:
        raise InvalidOptions(f"--cacert {cacert}: {_reason(error)}") from error
    if insecure:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    if cert is not None:
        try:
            made.load_cert_chain(cert, key, password=_no_password)
        except (OSError, ssl.SSLError, ValueError) as error:
            raise InvalidOptions(f"--cert {cert}: {_reason(error)}") from error
    made.sslobject_class = Notified
    made.set_alpn_protocols(["http/1.1"])
    return made


def _no_password() -> str:
    """OpenSSL would ask on the terminal."""
    raise ValueError("the key has a password; give one without (openssl rsa -in KEY -out NEW)")


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error)
