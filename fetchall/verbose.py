"""
What --verbose tells: the options that were set, and every URL whose way was not straight.

Knows options and results; it must not print.
"""

from __future__ import annotations

import dataclasses
import platform

from fetchall import __version__
from fetchall.options import REQUEST, SECURITY, Options, spec_of
from fetchall.records import Result
from fetchall.units import format_seconds

_PROXY = "proxy"


def settings(options: Options) -> str:
    """The version, and the options that are not as they come; of what may be secret, the name alone."""
    told = []
    for field in dataclasses.fields(options):
        spec, value = spec_of(field), getattr(options, field.name)
        if spec is None or value == field.default:
            continue
        secret = spec.group in (REQUEST, SECURITY) and not isinstance(value, (bool, int))
        told.append(f"{spec.name}={'…' if secret or spec.name == _PROXY else value}")
    return f"{__version__} on Python {platform.python_version()}: {' '.join(told) or 'every option as it comes'}"


def detour(result: Result) -> str | None:
    """What happened on a URL's way that its row tells in numbers only; None: it went straight."""
    told = []
    if result.attempts > 1:
        told.append(f"{result.attempts} attempts in {format_seconds(result.elapsed or 0.0)}")
    if result.redirects:
        told.append(f"{result.redirects} redirects to {result.final_url}")
    if result.error_type is not None:
        told.append(f"{result.error_type}: {result.error}")
    return f"{result.url}: {'; '.join(told)}" if told else None
