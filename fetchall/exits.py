"""
Exit codes, and which of them a whole run has by its rows.

Knows tallies; it must not know how rows came about.
"""

from __future__ import annotations

from fetchall.options import Reporting
from fetchall.tally import Tally

OK, NOT_OK, USAGE, IO, REFUSED, TIME_UP, BUG, CLOSED = 0, 1, 2, 3, 4, 5, 70, 141
"""A signal's is 128 and its number."""


def verdict(tally: Tally, reporting: Reporting) -> int:
    """The exit code of a run that is complete."""
    bad = {"any": tally.failed, "error": tally.errors.total(), "never": 0}
    return NOT_OK if bad[reporting.fail_on] else OK
