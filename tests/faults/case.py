"""
What a row of the table says: a fault, and what fetchall must make of it. Plain data; `hold.py` knows how it is tried.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from .names import Step

if TYPE_CHECKING:
    from .hold import Walk

MIB = 1024**2
PUBLIC = "8.8.8.8"
"""In a network namespace of the tests' own, an address of the loopback device: nothing leaves it."""

DEFAULTS: dict[str, Any] = {
    "retries": 0,
    "timeout": 3.0,
    "read_timeout": 2.0,
    "connect_timeout": 1.0,
    "max_body": MIB,
    "headers": True,
    "body": True,
    "noproxy": "*",
    "cacert": "{trust}",
}
"""
The options of every case that does not say otherwise.

One authority instead of the system's, because to load all of those takes longer than most cases.
"""

Check = Callable[["Walk"], str | None]
"""What is wrong with a walk, in words; None: nothing."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """One fault. Of texts, `{http}` and the like are ports of the fault server, `{trust}` its authority's file."""

    row: int
    name: str
    url: str
    """A path of the fault server's main origin, or whatever a line of a list may be."""

    status: int | None = 200
    error_type: str | None = None
    ok: bool | None = None
    """None: as the other two say."""
    says: tuple[str, ...] = ()
    """Words that the message has."""
    body: bytes | None = None
    size: int | None = None
    wire_size: int | None = None
    attempts: int | None = None
    redirects: int | None = None
    final_url: str | None = None
    shows: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """Headers in the row: each character is one byte of the wire."""

    times: int = 1
    """The same URL so many times in one run: each row is as said."""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    """Fetched in the same run, one at a time, in this order: each is a 200 of its own."""
    beside: tuple[str, ...] = ()
    """Fetched in the same run, all at once: each is a 200 of its own."""

    requests: int | None = None
    """That the server saw in all."""
    sends: str | None = None
    """The target of the last request, as on the wire."""
    within: float | None = None
    """Seconds for the whole; None: its timeout and one more, as FAULTS has it for every row."""
    rss: int | None = None
    """MiB by which memory may grow at its peak."""
    cpu: float | None = None
    """Seconds of the loop's thread."""
    pause: float | None = None
    """The loop is never kept busy for longer, in seconds of its thread's own time."""
    raises: str | None = None
    """The caller's mistake that is raised instead, before any request."""
    check: Check | None = None

    options: Mapping[str, Any] = field(default_factory=dict)
    names: Mapping[str, Sequence[Step]] | None = field(default_factory=dict)
    """What names resolve to; None: fetchall's own resolver."""
    connect_errors: tuple[int, ...] = ()
    """What the first connects meet in the system's place."""
    netrc: str | None = None
    """A file in the user's home."""
    apart: bool = False
    """Tried in a network namespace of its own, where loopback has a public address."""
    fast: bool = False
    """Waits between attempts pass a hundred times as fast."""
    needs: tuple[str, ...] = ()
    """`br`, `zstd`, `linux`: what the machine must have, beside the addresses that are named."""
    why: str = ""
    """The reason, and the choice where FAULTS leaves two."""

    @property
    def title(self) -> str:
        """The test's name."""
        return f"{self.row}-{self.name}"

    @property
    def limit(self) -> float:
        """Seconds for the whole."""
        return {**DEFAULTS, **self.options}["timeout"] + 1.0 if self.within is None else self.within

    @property
    def fine(self) -> bool:
        """What `ok` must be."""
        return self.error_type is None and self.status is not None and self.status < 400 if self.ok is None else self.ok
