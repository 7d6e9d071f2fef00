"""
How many files and sockets the process may open, and what that leaves for requests.

Knows the system's limit alone.
"""

from __future__ import annotations

OWN = 32
"""Descriptors that fetchall needs beside its connections: outputs, the loop's own, Python's."""
EACH = 2
"""For a request: its connection, and the one that is closing to make room for it, or that happy eyeballs try beside."""
SPARE = 512
"""Idle connections beyond the requests in flight that are worth keeping: 30 MB where all of them are TLS."""


def allowed(concurrency: int) -> int:
    """How many of the wanted requests can be in flight: the soft limit is raised as far as the system lets it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return concurrency
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    need = OWN + EACH * concurrency + 2 * SPARE
    if soft == resource.RLIM_INFINITY or soft >= need:
        return concurrency
    wanted = need if hard == resource.RLIM_INFINITY else min(need, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    except (ValueError, OSError):
        pass
    return max(1, min(concurrency, (soft - OWN) // EACH))


def spare(concurrency: int) -> int:
    """How many idle connections may be kept beyond these: at most half of the files that are still to be had."""
    try:
        import resource
    except ImportError:
        return SPARE
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return SPARE
    return max(0, min(SPARE, (soft - OWN - EACH * concurrency) // 2))
