"""
The TLS context of a run, made once.

Knows certificates and keys; it must not know connections.
"""

from __future__ import annotations

import ssl

from fetchall.errors import InvalidOptions
from fetchall.wire.framing import Notified


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
