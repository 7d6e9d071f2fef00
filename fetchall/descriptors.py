"""
How many files and sockets the process may open, and what that leaves for requests.

Knows the system's limit alone.
"""

from __future__ import annotations

OWN = 32
"""Descriptors that fetchall needs beside its connections: outputs, the loop's own, Python's."""


def allowed(concurrency: int) -> int:
    """How many of the wanted requests can be in flight: the soft limit is raised as far as the system lets it."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return concurrency
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # A connection and the one that is closing to make room for it; happy eyeballs open a second for a moment.
    need = OWN + 2 * concurrency
    if soft == resource.RLIM_INFINITY or soft >= need:
        return concurrency
    wanted = need if hard == resource.RLIM_INFINITY else min(need, hard)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    except (ValueError, OSError):
        pass
    return max(1, min(concurrency, (soft - OWN) // 2))
