"""
fetchall: a list of URLs in, one row for each out.

Import from here; anything deeper may move. The folder reads as the pipeline:
source → schedule → pool → wire → report → sinks, put together in `run`, offered by `api`, typed at `cli`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from fetchall.api import Stream, fetch_all, stream
    from fetchall.engines.sharded import fetch_sharded
    from fetchall.errors import FetchallError, InvalidOptions, MissingExtra, SinkError, SourceError
    from fetchall.options import Options
    from fetchall.records import ErrorType, Fault, Hop, Request, Result, Summary, Timing, Timings, Try

_HOMES = {
    "fetchall.api": ("Stream", "fetch_all", "stream"),
    "fetchall.engines.sharded": ("fetch_sharded",),
    "fetchall.errors": ("FetchallError", "InvalidOptions", "MissingExtra", "SinkError", "SourceError"),
    "fetchall.options": ("Options",),
    "fetchall.records": ("ErrorType", "Fault", "Hop", "Request", "Result", "Summary", "Timing", "Timings", "Try"),
}

__all__ = [
    "ErrorType",
    "Fault",
    "FetchallError",
    "Hop",
    "InvalidOptions",
    "MissingExtra",
    "Options",
    "Request",
    "Result",
    "SinkError",
    "SourceError",
    "Stream",
    "Summary",
    "Timing",
    "Timings",
    "Try",
    "__version__",
    "fetch_all",
    "fetch_sharded",
    "stream",
]


def __getattr__(name: str) -> Any:
    """Import what is asked for when it is asked for: aiohttp alone takes longer than `fetchall --help` may."""
    for home, names in _HOMES.items():
        if name in names:
            from importlib import import_module

            return getattr(import_module(home), name)
    raise AttributeError(f"module 'fetchall' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
