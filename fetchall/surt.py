"""
A URL as replay tools sort it (SURT): the host turned round, and what tells two addresses of one page apart left out.

Knows the rules of the Wayback Machine, by which pywb and its kin look captures up; it must not know archives.

`http://www.Example.com:80/B/?z=1&a=2` is `com,example)/b?a=2&z=1`. The package `surt` writes the same; it has no
wheel, and asks for a list of public suffixes that is never needed here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote_from_bytes, unquote_to_bytes

_WWW = re.compile(r"www\d*\.")
_PORTS = {"http": ":80", "https": ":443"}
_AS_THEY_ARE = "!\"$&'()*+,-./:;<=>?@[\\]^_`{|}~"
"""Printable ASCII but `%` and `#`."""
_PATH_SESSIONS = tuple(
    re.compile(rf"(.*/)\((?:{inner})\)/([^?]+\.aspx.*)", re.IGNORECASE)
    for inner in (r"(?:[a-z]\([0-9a-z]{24}\))+", r"[0-9a-z]{24}")
)
"""ASP.NET's, as a folder of its own."""
_SESSIONS = tuple(
    re.compile(rf"(.*){name}(?:&(.*))?", re.IGNORECASE)
    for name in (
        "jsessionid=[0-9a-z]{32}",
        "phpsessid=[0-9a-z]{32}",
        "sid=[0-9a-z]{32}",
        "aspsessionid[a-z]{8}=[a-z]{24}",
        "cfid=[^&]+&cftoken=[^&]+",
    )
)
_SESSION = re.compile(r"sid=|sess|cfid=", re.IGNORECASE)
"""What each of these has in it."""
_SITES = 4096


def surt(href: str) -> str:
    """The key of a serialised http or https URL without userinfo and fragment."""
    scheme, _, rest = href.partition("://")
    authority, slash, rest = rest.partition("/")
    path, _, query = rest.partition("?")
    return _host(scheme, authority) + _path(slash + path) + _query(query)


@lru_cache(maxsize=_SITES)
def _host(scheme: str, authority: str) -> str:
    host, colon, port = authority.rpartition(":") if re.search(r":\d+$", authority) else (authority, "", "")
    if _PORTS.get(scheme) == colon + port:
        colon = port = ""
    host = host.strip("[].")
    if found := _WWW.match(host):
        host = host[found.end() :]
    return ",".join(reversed(host.split("."))) + colon + port + ")"


def _path(path: str) -> str:
    kept: list[str] = []
    steps = _plain(path).split("/")[1:]
    for step in steps:
        if step == ".." and kept:
            kept.pop()
        elif step != ".":
            kept.append(step)
    last = kept.pop() if kept else ""
    path = "/" + "".join(f"{step}/" for step in kept if step) + last
    path = path.lower()
    for pattern in _PATH_SESSIONS if "(" in path else ():
        if found := pattern.fullmatch(path):
            path = found[1] + found[2]
    return path[:-1] if len(path) > 1 and path.endswith("/") else path


def _query(query: str) -> str:
    query = _plain(query)
    for pattern in _SESSIONS if _SESSION.search(query) else ():
        if found := pattern.fullmatch(query):
            query = found[1] + (found[2] or "")
    if not query:
        return ""
    return "?" + "&".join("=".join(pair) for pair in sorted(part.split("=", 1) for part in query.lower().split("&")))


def _plain(text: str) -> str:
    """Escaped once, however often it was before."""
    if "%" not in text:
        return text
    data = text.encode()
    while (less := unquote_to_bytes(data)) != data:
        data = less
    return quote_from_bytes(data, safe=_AS_THEY_ARE)
