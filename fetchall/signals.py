"""
What signals do: the first asks a run to end in good order, the second ends it.

Knows signals; it must not know what a run is.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import TracebackType
from typing import Self

NAMES = ("SIGINT", "SIGTERM", "SIGHUP")


class Signals:
    """
    While entered: the first SIGINT, SIGTERM or SIGHUP calls `stop`, the next calls `hurry` and ends the process.

    `code` is the exit code that the first one asked for: 128 and its number. A signal that was ignored when the
    process began (nohup) stays so.
    """

    def __init__(self, stop: Callable[[], None], hurry: Callable[[], None]) -> None:
        self.code: int | None = None
        self._stop = stop
        self._hurry = hurry
        self._loop = asyncio.get_running_loop()
        self._handled: list[signal.Signals] = []

    def __enter__(self) -> Self:
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) is signal.SIG_IGN:
                continue
            try:
                self._loop.add_signal_handler(number, self._on, number)
            except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
                continue
            self._handled.append(number)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number in self._handled:
            self._loop.remove_signal_handler(number)

    def _on(self, number: signal.Signals) -> None:
        if self.code is None:
            self.code = 128 + number
            self._stop()
        else:
            self._hurry()
            os._exit(128 + number)
