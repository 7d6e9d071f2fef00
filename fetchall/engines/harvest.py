"""
What children give of finished requests, as it is given on: sheaves of rows, or results.

Knows rows and results; it must not know processes, nor where rows go.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

from fetchall.engines.messages import Account
from fetchall.options import Options
from fetchall.outcome import unsent
from fetchall.records import ErrorType, Fault, Request
from fetchall.report import Sheaf
from fetchall.rows import Columns, OldRow, Row
from fetchall.tally import Tally


class Harvest:
    """With `columns`, what is delivered are `Sheaf`s; else results."""

    def __init__(self, options: Options, columns: Columns | None, deliver: Callable[[Any], None]) -> None:
        self._options = options
        self._columns = columns
        self._deliver = deliver

    def add(self, account: Account) -> array[int]:
        """The rows of an account; their indices."""
        indices = array("q", account.indices)
        if self._columns is None:
            for result in account.results:
                self._deliver(result)
        elif indices:
            lines = account.lines.split(b"\n")
            rows: list[Row] = [OldRow(index, line, -1) for index, line in zip(indices, lines, strict=True)]
            self._deliver(Sheaf(rows, account.tally))
        return indices

    def bury(self, request: Request, fate: str) -> None:
        """The row of a request that a process died of each time that it was sent."""
        method = self._options.verb_of(request.method, request.body)
        fault = Fault(ErrorType.INTERNAL, f"the process that fetched it died three times: {fate}")
        result = unsent(request, method, fault)
        if self._columns is None:
            self._deliver(result)
            return
        tally = Tally()
        tally.add(result)
        self._deliver(Sheaf([Row(result, self._columns)], tally))
