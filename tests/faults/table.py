"""
The table: every fault of FAULTS, sections B to H, J, K and O, and what fetchall makes of it.

Data alone, in files by section; `hold.py` tries a case, `tests/test_faults.py` walks them all.
"""

from __future__ import annotations

from .case import Case
from .cases import addresses, compression, connections, framing, heads, network, redirects, secrets, urls

CASES: tuple[Case, ...] = (
    *urls.CASES,
    *network.CASES,
    *heads.CASES,
    *framing.CASES,
    *compression.CASES,
    *redirects.CASES,
    *connections.CASES,
    *secrets.CASES,
    *addresses.CASES,
)
ELSEWHERE: dict[int, str] = {
    34: "a bounded cache of names: tests/test_resolver.py",
    89: "a decoder that is missing: tests/test_decode.py",
    146: "names of saved files come with --bodies",
}
"""Rows that no run against a server shows, and who holds them."""
