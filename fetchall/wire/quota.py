"""
Whether an answer tells how much of a quota is left.

Knows header names; what they say, and what follows from it, is not its business.
"""

from __future__ import annotations

from collections.abc import Container

from multidict import istr

_PLAIN, _LEFT, _X_LEFT, _X_RATE_LEFT = map(
    istr, ("RateLimit", "RateLimit-Remaining", "X-RateLimit-Remaining", "X-Rate-Limit-Remaining")
)


def rationed(headers: Container[str]) -> bool:
    """Asked of every answer: 0.1 us for four names that are not there."""
    return _PLAIN in headers or _LEFT in headers or _X_LEFT in headers or _X_RATE_LEFT in headers
