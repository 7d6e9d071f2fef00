"""
What a run and the processes that work for it tell each other.

Plain records; must not know how they travel, nor what follows from them.
"""

from __future__ import annotations

from typing import NamedTuple

from fetchall.captures import Capture
from fetchall.options import Options
from fetchall.records import Origin, Request, Result
from fetchall.rows import Columns
from fetchall.schedule import Signal
from fetchall.tally import Tally
from fetchall.wire.cookies import Cookies

Packed = tuple[int, str] | Request
"""A request; of one that is a URL alone, index and URL."""


class Allowance(NamedTuple):
    """How many requests a child may have on the wire, and how often it was told so; see `Allowances`."""

    allowed: int
    number: int = 0


class Charter(NamedTuple):
    """What a child must know before anything else."""

    options: Options
    columns: Columns | None
    """Those of the rows that it makes; None: results are wanted."""
    allowance: Allowance
    look_ahead: int
    splits: bool
    """Nothing is limited per host: a hop may leave its site without asking."""
    parent: int
    """The process that it is to outlive by nothing."""
    jar: Cookies | None
    recording: bool
    """Captures are wanted."""


class Twins(NamedTuple):
    """The first of equal requests is done, somewhere else than where the others wait for it."""

    site: str
    """Of their URL."""
    key: bytes
    result: Result


class Orders(NamedTuple):
    """From the parent to a child."""

    requests: tuple[Packed, ...] = ()
    journeys: tuple[bytes, ...] = ()
    """Of others, whose next hop goes to a site that belongs here."""
    twins: tuple[Twins, ...] = ()
    taken: int = 0
    """Rows that were taken from it so far."""
    allowance: Allowance | None = None
    held: frozenset[str] = frozenset()
    """Sites that are not shared out any longer."""
    heard: tuple[tuple[Origin, Signal], ...] = ()
    """What others learned of origins."""
    stop: bool = False
    """Begin nothing more, and end when what is under way is done."""
    abandon: bool = False


class Departure(NamedTuple):
    """A journey whose next hop goes to another site."""

    row: int
    """Its index."""
    site: str
    journey: bytes


class Stand(NamedTuple):
    """How a child stands."""

    credit: int
    """Requests that may have been sent to it altogether."""
    number: int
    """Of the allowance that it keeps."""
    in_flight: int
    eager: bool
    """It could do with a larger allowance."""
    concurrency: int
    settled: bool
    """See `Run`."""


class Account(NamedTuple):
    """From a child to the parent: what it has done since the last one, and how it stands."""

    indices: bytes
    """Of the rows, eight bytes each."""
    lines: bytes
    """The rows as JSON, a line each; empty where results are wanted."""
    tally: Tally
    """Of the rows in `lines`."""
    results: tuple[Result, ...]
    departures: tuple[Departure, ...]
    twins: tuple[Twins, ...]
    heard: tuple[tuple[Origin, Signal], ...]
    """What hops said about their origins that is not the usual."""
    stand: Stand


class Piece(NamedTuple):
    """Some of the body of a capture that follows."""

    data: bytes


class Captured(NamedTuple):
    """One hop as it went over the wire; its body was in the pieces before."""

    capture: Capture


class Farewell(NamedTuple):
    """The last of a child: its cookies, and what ended it before its time."""

    jar: Cookies | None
    failure: BaseException | None
