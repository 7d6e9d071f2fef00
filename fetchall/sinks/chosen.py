"""
A sink that sees the chosen rows alone.

Knows rows; it must not know how they are chosen.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from fetchall.rows import Row
from fetchall.sinks import Ending, Sink

Keep = Callable[[Mapping[str, Any]], bool]


class Chosen:
    """See `Sink`. Sinks that write in input order choose by themselves: they must see every index."""

    def __init__(self, sink: Sink, keep: Keep) -> None:
        self._sink = sink
        self._keep = keep

    def __getattr__(self, name: str) -> Any:
        """What else a sink can do, such as telling how the run went, it does whatever rows it sees."""
        return getattr(self._sink, name)

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`."""
        return self._sink.write([row for row in rows if self._keep(row.fields)])

    def close(self, ending: Ending) -> None:
        """See `Sink`."""
        self._sink.close(ending)

    def abort(self) -> None:
        """See `Sink`."""
        self._sink.abort()
