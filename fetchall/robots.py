"""
What an origin allows, from its robots.txt's text (RFC 9309) or from the want of one.

Knows rules and paths; it must not know sockets, nor when the text is fetched.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from fetchall.errors import MissingExtra
from fetchall.records import ErrorType, Fault, Origin

PATH = "/robots.txt"
MOST = 500 * 1024
"""Bytes of a robots.txt that are read (RFC 9309 section 2.5)."""
MAX_HOPS = 5
"""Redirects to follow at least (RFC 9309 section 2.3.1.2); at more the file counts as unavailable."""
AGENT = "fetchall"
"""The product token that rules are looked up for (RFC 9309 section 2.2.1)."""


class Rules(NamedTuple):
    """What is known of one origin: its parsed file, or one verdict for all paths."""

    origin: Origin
    parsed: Any = None
    reason: str = ""
    """Why everything is disallowed; empty: it is not."""

    def check(self, url: str) -> Fault | None:
        """Why a URL of this origin is not to be fetched; None: it may be."""
        if self.reason:
            return Fault(ErrorType.ROBOTS, self.reason, retryable=False)
        if self.parsed is None or self.parsed.can_fetch(url, AGENT):
            return None
        return Fault(ErrorType.ROBOTS, f"disallowed by {self.origin}{PATH}{self._rule(url)}", retryable=False)

    @property
    def crawl_delay(self) -> float | None:
        """Seconds between starts that the file asks for."""
        return None if self.parsed is None else self.parsed.crawl_delay(AGENT)

    def _rule(self, url: str) -> str:
        """The line that hit, as far as the parser lets it be seen."""
        group = self.parsed._get_matching_rule_set(AGENT)
        path = url[url.find("/", url.find("://") + 3) :]
        for rule in getattr(group, "_rules", ()):
            if rule.value.match(path):
                return f" (Disallow: {rule.value._pattern})"
        return ""


def check_installed() -> None:
    """Raise `MissingExtra` where the parser is not installed."""
    try:
        import protego  # noqa: F401
    except ImportError:
        raise MissingExtra("--robots", "robots") from None


def rules_of(origin: Origin, status: int | None, text: bytes, failure: str = "") -> Rules:
    """
    The rules after an attempt to read the file.

    2xx: what it says. 4xx: there is none, so all is allowed (section 2.3.1.3); 429 is not that, it asks to be left
    alone. 5xx or no answer: everything is disallowed (section 2.3.1.4).
    """
    if status is not None and 200 <= status < 300:
        from protego import Protego

        # A byte order mark is no part of the first line (RFC 9309 section 2.3.1 asks for UTF-8).
        return Rules(origin, Protego.parse(text[:MOST].decode("utf-8-sig", "replace")))
    if status is not None and 300 <= status < 500 and status != 429:
        return Rules(origin)
    found = f"answered {status}" if status is not None else failure or "gave no answer"
    return Rules(origin, reason=f"{origin}{PATH} {found}, so everything there counts as disallowed (RFC 9309, 2.3.1.4)")
