"""
The bar on stderr while a run goes on, and the lines that are written above it.

The only module that imports tqdm, and only where a bar is drawn. Knows counts; must not know what is counted.
"""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from threading import RLock
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tqdm import tqdm

_COLUMNS = 80
"""Where a terminal does not say how many it has."""
_LEAST_COLUMNS = 12
"""On a narrower one nothing worth reading fits into a line."""
_BAR_COLUMNS = 16
"""What the percentage and a bar that deserves the name take."""
_LABELLED_COLUMNS = 60
_SMOOTHING = 0.1
"""tqdm's own 0.3 has the rate jump about when it is told ten times a second."""
_RED, _RESET = "\x1b[31m", "\x1b[0m"
_ERASE = "\r\x1b[K"


class Progress:
    """
    A bar with count, failures, rate and requests in flight; share and time left where the total is known.

    There is none where `stream` (None: stderr) is no terminal, or one that can't go back to the start of a line
    (TERM=dumb); no colours where `color` or NO_COLOR says so. `label` stands before it where there is room. A terminal
    that goes away takes the bar with it: only `write` raises, for the stream that it writes to.
    """

    def __init__(
        self,
        *,
        enabled: bool,
        total: int | None = None,
        stream: TextIO | None = None,
        color: bool = True,
        label: str = "",
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._color = color and not os.environ.get("NO_COLOR")
        self._label = label
        self._shown = ""
        self._bar: tqdm[None] | None = None
        if enabled and _is_terminal(self._stream):
            self._bar = _make_bar(self._stream, total, "green" if self._color else None)

    def set_total(self, total: int) -> None:
        """Say how many there will be, as soon as that is known."""
        if self._bar is not None:
            self._bar.total = total

    def update(self, done: int, failed: int, in_flight: int) -> None:
        """Show where the run stands; to be called about ten times a second."""
        if self._bar is None:
            return
        # tqdm leaves out of its rate what passes between updates by nothing.
        if done != self._bar.n:
            self._bar.update(done - self._bar.n)
        room = _columns(self._stream) - 1
        self._shown = self._text(self._bar, failed, in_flight, room) if room >= _LEAST_COLUMNS else ""
        self._draw(self._shown)

    def write(self, text: str, stream: TextIO | None = None) -> None:
        """Write lines of visible text above the bar, to stdout if not told otherwise; its OSError is the caller's."""
        target = sys.stdout if stream is None else stream
        self._draw("")
        target.write(text if text.endswith("\n") else f"{text}\n")
        if self._bar is not None:
            target.flush()
            self._draw(self._shown)

    def close(self) -> None:
        """Take the bar away, for good; what is written next begins a line."""
        self._draw("")
        if self._bar is not None:
            self._bar.close()
        self._bar = None

    def _text(self, bar: tqdm[None], failed: int, in_flight: int, room: int) -> str:
        """The bar as one line: as many of its parts as there is room for, the most telling first."""
        total = bar.total if bar.total and bar.n <= bar.total else None
        label = f"{self._label}  " if self._label and room >= _LABELLED_COLUMNS else ""
        share = label + ("{percentage:3.0f}% {bar} " if total else "")
        rate = bar.format_dict["rate"] or bar.n / max(bar.format_dict["elapsed"], 1e-3)
        parts = [f"{bar.n:,}/{total:,}" if total else f"{bar.n:,} done", f"{failed:,} failed"]
        if total and rate:
            parts.append(f"{bar.format_interval((total - bar.n) / rate)} left")
        parts += [f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s", f"{in_flight:,} in flight"]
        while len(parts) > 1 and len(" · ".join(parts)) > room - len(label) - (_BAR_COLUMNS if total else 0):
            parts.pop()
        if failed and self._color and len(parts) > 1:
            parts[1] = f"{_RED}{parts[1]}{_RESET}"
        bar.ncols = room
        bar.bar_format = share + " · ".join(parts)
        return str(bar)

    def _draw(self, text: str) -> None:
        if self._bar is None:
            return
        try:
            self._stream.write(_ERASE + text)
            self._stream.flush()
        except (OSError, ValueError):
            self._bar = None


def _make_bar(stream: TextIO, total: int | None, colour: str | None) -> tqdm[None]:
    """A tqdm that counts, smooths and formats, and leaves the drawing to us."""
    with _without_settings():
        from tqdm.std import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]  # generic in its stubs alone
        # Its monitor is a thread that redraws bars which nobody updates.
        monitor_interval = 0

        def display(self, msg: str | None = None, pos: int | None = None) -> None:
            """Draw nothing: the lines above the bar need it drawn at the right moment."""

    Bar.set_lock(RLock())  # its own needs multiprocessing, a semaphore and 10 ms
    return Bar(
        total=total,
        file=stream,
        disable=False,
        leave=False,
        mininterval=0,
        miniters=0,
        smoothing=_SMOOTHING,
        colour=colour,
        position=0,
    )


@contextmanager
def _without_settings() -> Iterator[None]:
    """Without TQDM_*: tqdm reads them at import, where TQDM_MININTERVAL=x is a ValueError."""
    hidden = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("TQDM_")}
    try:
        yield
    finally:
        os.environ.update(hidden)


def _is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty() and os.environ.get("TERM") != "dumb"
    except ValueError:  # closed
        return False


def _columns(stream: TextIO) -> int:
    try:
        return os.get_terminal_size(stream.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS
