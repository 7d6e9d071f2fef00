"""
The console script, and `python -m fetchall`: what must hold before anything is loaded.

Imports nothing of ours until it does.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn


def main() -> NoReturn:
    """The command."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        # Until a run has something to end in good order, Ctrl-C ends the process, as a shell expects it.
        signal.signal(signal.SIGINT, lambda *_: os._exit(128 + signal.SIGINT))
    _occupy_standard_descriptors()
    from fetchall.cli import main as command

    command()


def _occupy_standard_descriptors() -> None:
    """Where stdin, stdout or stderr was closed, its number would go to the next file or socket."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        continue
    os.close(descriptor)


if __name__ == "__main__":
    main()
