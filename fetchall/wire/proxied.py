"""
How aiohttp is told that a request goes through a proxy.

Knows aiohttp's arguments; which proxy it is, if any, is `proxies`' to say.
"""

from __future__ import annotations

from typing import Any

from aiohttp import hdrs
from multidict import CIMultiDict
from yarl import URL

from fetchall.wire.credentials import Head
from fetchall.wire.proxies import Proxy


def through(proxy: Proxy, head: Head, scheme: str) -> tuple[Head | CIMultiDict[str], dict[str, Any]]:
    """Where the proxy's own password goes: on a tunnel's CONNECT, or beside the request's headers."""
    extra: dict[str, Any] = {"proxy": URL(proxy.url)}
    if proxy.authorization is None:
        return head, extra
    if scheme == "https":
        extra["proxy_headers"] = {hdrs.PROXY_AUTHORIZATION: proxy.authorization}
        return head, extra
    headers = head.copy()
    headers[hdrs.PROXY_AUTHORIZATION] = proxy.authorization
    return headers, extra
