"""
What a run's options mean for each of several processes, and which can't be shared by them.

Knows options; it must not know processes beyond their number.
"""

from __future__ import annotations

import os
import pickle
import socket
import sys
from dataclasses import replace

from fetchall.engines.messages import Allowance, Charter
from fetchall.errors import InvalidOptions
from fetchall.options import Options
from fetchall.pool import LOOK_AHEAD
from fetchall.rows import Columns
from fetchall.wire.cookies import Cookies


def charter_of(options: Options, columns: Columns | None, jar: Cookies | None) -> Charter:
    """What each child is told at first, its allowance apart; raises `InvalidOptions`."""
    if os.name != "posix" or not hasattr(socket, "socketpair"):
        raise InvalidOptions("--processes needs a POSIX system, such as Linux or macOS: leave it out")
    if not sys.executable:
        raise InvalidOptions("--processes needs a Python to start: sys.executable is empty")
    if options.clock is not None:
        raise InvalidOptions("processes have a clock of their own: give either processes or a clock")
    slots = options.process_count
    share = options.concurrency // slots
    own = replace(
        options,
        processes=1,
        max_run_time=None,
        recorder=None,
        # The parent has read the file, and writes it at the end.
        cookie_jar=None,
        cookie=options.cookie if options.cookie and "=" in options.cookie else None,
    )
    if options.auto:
        # Each looks for the best number by itself, so that what is for all is divided for good.
        own = replace(
            own,
            concurrency=share,
            rate=options.rate / slots if options.rate else None,
            limit_rate=-(-options.limit_rate // slots),
        )
    charter = Charter(
        options=own,
        columns=columns,
        allowance=Allowance(share if options.auto else 0),
        look_ahead=max(LOOK_AHEAD // slots, 2 * options.concurrency),
        splits=_splits(options, jar),
        parent=os.getpid(),
        jar=jar,
        recording=options.recorder is not None,
    )
    try:
        pickle.dumps(charter)
    except Exception as error:
        raise InvalidOptions(f"processes take only options that can be pickled: {error}") from error
    return charter


def _splits(options: Options, jar: Cookies | None) -> bool:
    """Whether nothing is asked for that needs all URLs of a site to be with one process."""
    limited = options.per_host or options.per_host_rate or options.robots
    return not (limited or options.dedupe or jar is not None)
