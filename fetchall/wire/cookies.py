"""
The cookies of a run: what each origin set, what a cookies.txt brought, and which of them a request takes along.

Knows whose cookie is whose and the Netscape file; it must not know what is requested, nor the text of `--cookie`.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from fetchall.errors import InvalidOptions, SinkError
from fetchall.records import Origin
from fetchall.urls import Target
from fetchall.wire.set_cookie import Cookie, parse_set_cookie, path_of, usable

PER_ORIGIN = 50
"""Cookies of one origin (RFC 6265 section 6.1)."""
MAX_HEADER = 8190
"""Bytes of one Cookie header: as curl, since common servers refuse longer lines."""
MAX_ORIGINS = 10_000
"""With `MAX_SIZE` what bounds the memory: the origins that were used last stay."""
MAX_SIZE = 16 * 1024**2
"""Characters of all names, values and paths."""

_HTTP_ONLY = "#HttpOnly_"
"""curl and browsers' exports hide cookies behind this from readers that know only comments."""

Jar = dict[tuple[str, str], Cookie]


class Cookies:
    """
    The jar of one run.

    What a server sets goes back to its own origin (scheme, host and port) alone: `Domain` is ignored, which is
    stricter than browsers and needs no list of public suffixes. A loaded file is the user's own word: its cookies go
    to their host, on any port, and to its subdomains where the file says so. `now` gives seconds since 1970.
    """

    def __init__(self, *, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._jars: OrderedDict[Origin, Jar] = OrderedDict()
        self._loaded: dict[str, Jar] = {}
        self._size = 0

    def __repr__(self) -> str:
        """Without names and values: both may be secrets."""
        return f"Cookies(origins={len(self._jars)}, loaded={sum(map(len, self._loaded.values()))})"

    def for_target(self, target: Target) -> str | None:
        """The value of the Cookie header for this hop; None: no such header."""
        jar = self._jars.get(target.origin)
        if jar is not None:
            self._jars.move_to_end(target.origin)
        elif self._loaded:
            jar = self._loaded_for(target.origin)
        return _header(jar.values(), path_of(target), self._now()) if jar else None

    def store(self, target: Target, set_cookie_values: Iterable[bytes]) -> None:
        """Take in the Set-Cookie headers of an answer; what can't be a cookie is passed over."""
        now, origin = self._now(), target.origin
        cookies = [c for c in (parse_set_cookie(value, target, now) for value in set_cookie_values) if c]
        if not cookies:
            return
        jar = dict(self._jars[origin] if origin in self._jars else self._loaded_for(origin))
        for cookie in cookies:
            if cookie.expired(now):
                jar.pop(cookie.key, None)
                self._loaded.get(origin.host, {}).pop(cookie.key, None)
            else:
                jar[cookie.key] = cookie
        self._keep(origin, _trimmed(jar, now))

    def load(self, path: Path, *, missing_ok: bool = False) -> None:
        """
        Take in a cookies.txt: Netscape's form as curl and browsers' exports have it, lines that aren't passed over.

        Raises InvalidOptions where it can't be read or has not one such line though it has others.
        """
        try:
            lines = path.read_bytes().split(b"\n")
        except FileNotFoundError as error:
            if missing_ok:
                return
            raise InvalidOptions(f"--cookie: there is no file {path}; write NAME=VALUE to send a cookie") from error
        except OSError as error:
            raise InvalidOptions(f"--cookie: {path} can't be read: {error.strerror}") from error
        written = [
            line for line in lines if line.strip() and (line[:1] != b"#" or line.startswith(_HTTP_ONLY.encode()))
        ]
        cookies = [cookie for cookie in map(_from_line, written) if cookie]
        if written and not cookies:
            raise InvalidOptions(f"--cookie: {path} is no cookies.txt: seven fields a line, with tabs between them")
        for cookie in cookies:
            self._loaded.setdefault(cookie.domain, {})[cookie.key] = cookie

    def merge(self, other: Cookies) -> None:
        """Take in a jar that began as this one did, and was used for other origins, or later."""
        for domain, jar in self._loaded.items():
            kept = other._loaded.get(domain, {})
            self._loaded[domain] = {key: cookie for key, cookie in jar.items() if key in kept}
        for origin, jar in other._jars.items():
            self._keep(origin, jar)

    def save(self, path: Path) -> None:
        """Write all that are still good as a cookies.txt that only its owner can read; SinkError where that fails."""
        lines = ["# Netscape HTTP Cookie File", "# Whoever has these can act as you: keep the file private.", ""]
        text = "\n".join([*lines, *map(_to_line, self._good()), ""])
        try:
            # A file of its own, 0600 from the start, so that neither a planted link nor an old mode matters.
            handle, part = tempfile.mkstemp(dir=path.parent, prefix=f"{path.name}.", suffix=".part")
            try:
                with open(handle, "w", encoding="utf-8", newline="\n") as file:
                    file.write(text)
                os.replace(part, path)
            except BaseException:
                os.unlink(part)
                raise
        except OSError as error:
            raise SinkError(f"--cookie-jar: {path} can't be written: {error.strerror}") from error

    def _good(self) -> Iterator[Cookie]:
        """One per domain, path and name; what an origin set counts more than what the file brought."""
        latest = {(cookie.domain, cookie.key): cookie for jar in self._loaded.values() for cookie in jar.values()}
        for jar in self._jars.values():
            for cookie in jar.values():
                if self._loaded.get(cookie.domain, {}).get(cookie.key) is not cookie:
                    latest[cookie.domain, cookie.key] = cookie
        now = self._now()
        return (cookie for cookie in latest.values() if not cookie.expired(now))

    def _loaded_for(self, origin: Origin) -> Jar:
        """The file's cookies for one origin; where two share a name and a path, that of the nearer domain."""
        labels = origin.host.split(".") if self._loaded else []
        jar: Jar = {}
        for cut in reversed(range(len(labels))):
            for key, cookie in self._loaded.get(".".join(labels[cut:]), {}).items():
                if (cut == 0 or cookie.subdomains) and (origin.scheme == "https" or not cookie.secure):
                    jar[key] = cookie
        return jar

    def _keep(self, origin: Origin, jar: Jar) -> None:
        """Put a jar in its place, and the origins that were not used for longest out."""
        self._size += _size(jar) - _size(self._jars.pop(origin, {}))
        # An empty one says that the server took back what the file brought.
        if jar or self._loaded:
            self._jars[origin] = jar
        while len(self._jars) > MAX_ORIGINS or self._size > MAX_SIZE:
            self._size -= _size(self._jars.popitem(last=False)[1])


def _header(cookies: Iterable[Cookie], path: str, now: float) -> str | None:
    """Longer paths first, then the older cookie (RFC 6265 section 5.4), as far as `MAX_HEADER` goes."""
    fitting = [cookie for cookie in cookies if _covers(cookie.path, path) and not cookie.expired(now)]
    fitting.sort(key=lambda cookie: -len(cookie.path))
    pairs, length = [], 0
    for cookie in fitting:
        pair = f"{cookie.name}={cookie.value}"
        length += len(pair.encode()) + 2
        if length > MAX_HEADER:
            break
        pairs.append(pair)
    return "; ".join(pairs) or None


def _covers(prefix: str, path: str) -> bool:
    """RFC 6265 section 5.1.4."""
    return path.startswith(prefix) and (path == prefix or prefix.endswith("/") or path[len(prefix)] == "/")


def _trimmed(jar: Jar, now: float) -> Jar:
    """The cookies that are still good, and of too many the newest."""
    good = [(key, cookie) for key, cookie in jar.items() if not cookie.expired(now)]
    return dict(good[-PER_ORIGIN:])


def _size(jar: Jar) -> int:
    return sum(cookie.size for cookie in jar.values())


def _from_line(line: bytes) -> Cookie | None:
    """Domain, whether subdomains too, path, whether https only, end (0: the session's), name, value."""
    try:
        text = line.decode("utf-8").rstrip("\r")
        fields = text.removeprefix(_HTTP_ONLY).split("\t")
        domain, subdomains, path, secure, expires, name = fields[:6]
        ends = int(expires.partition(".")[0])  # some exports write fractions of a second
    except ValueError:
        return None
    host = domain.removeprefix(".").lower()
    # A lone label (com) and an address have no subdomains.
    wide = subdomains.upper() == "TRUE" and "." in host and not host.rpartition(".")[2].isdigit()
    cookie = Cookie(
        name,
        "\t".join(fields[6:]),
        host,
        path if path.startswith("/") else "/",
        ends or None,
        secure.upper() == "TRUE",
        text.startswith(_HTTP_ONLY),
        wide,
    )
    return cookie if host and usable(cookie) else None


def _to_line(cookie: Cookie) -> str:
    prefix, dot = (_HTTP_ONLY if cookie.http_only else ""), ("." if cookie.subdomains else "")
    fields = (
        f"{prefix}{dot}{cookie.domain}",
        str(cookie.subdomains).upper(),
        cookie.path,
        str(cookie.secure).upper(),
        str(int(cookie.expires or 0)),
        cookie.name,
        cookie.value,
    )
    return "\t".join(fields)
