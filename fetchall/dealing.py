"""
Which URLs must be fetched by the same process or machine: those of one site, so that limits hold without shared state.

Knows names of hosts; it must not know how many take part, nor what they do.
"""

from __future__ import annotations

import re
from zlib import crc32

from fetchall.records import Fault
from fetchall.urls import parse

# A name that is surely its own serialisation: it does not end in a number, and no part of it is Punycode.
_plain = re.compile(
    r"https?://(?:www\.)?((?:(?!xn--)[a-z0-9-]+\.)*(?!xn--)[a-z][a-z0-9-]*)(?::[0-9]+)?(?:[/?#]|$)"
).match


def site_of(url: str) -> str:
    """
    The host of a URL without `www.`, scheme and port; what is no URL has any, mostly none.

    Coarser than the origin, so that the usual redirects (http to https, to and from www) stay within one site.
    """
    plain = _plain(url)
    if plain is not None:
        return plain[1]
    target = parse(url)
    return "" if isinstance(target, Fault) else target.origin.host.removesuffix(".").removeprefix("www.")


def share_of(site: str, shares: int) -> int:
    """Which of so many shares a site belongs to, from 0; the same on every machine and in every version."""
    return crc32(site.encode()) % shares
