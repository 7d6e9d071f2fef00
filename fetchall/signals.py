"""
What signals do: the first asks a run to end in good order, the second ends it.

Knows signals; it must not know what a run is.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any, Self

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
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for name in NAMES:
            number = getattr(signal, name, None)
            if number is None or signal.getsignal(number) is signal.SIG_IGN:
                continue
            before = signal.getsignal(number)
            try:
                self._loop.add_signal_handler(number, self._on, number)
            except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
                continue
            self._handled.append(number)
            self._before[number] = before
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._leave_loop()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def without_loop(self) -> None:
        """The loop stands still from now on, while the outputs are closed: be there without it."""
        for number in self._leave_loop():
            signal.signal(number, self._on_bare)

    def _leave_loop(self) -> list[signal.Signals]:
        left, self._handled = self._handled, []
        for number in left:
            self._loop.remove_signal_handler(number)
        return left

    def _on(self, number: signal.Signals) -> None:
        if self.code is None:
            self.code = 128 + number
            self._stop()
        else:
            self._end(number)

    def _on_bare(self, number: int, frame: FrameType | None) -> None:
        if self.code is None:
            self.code = 128 + number  # everything is fetched; what is left is to close, which a second one cuts short
        else:
            self._end(number)

    def _end(self, number: int) -> None:
        self._hurry()
        os._exit(128 + number)
