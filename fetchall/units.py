"""
How people write sizes, rates, status codes and shards, and what those mean in bytes, starts a second and numbers.

Pure: text in, values out, `ValueError` with a sentence for people where the text can't be one.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_SIZE = re.compile(r"(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?", re.IGNORECASE)
_RATE = re.compile(r"(\d+(?:\.\d+)?)(?:/([smh]))?", re.IGNORECASE)
_CODES = re.compile(r"(\d{3})(?:-(\d{3}))?")
_SHARD = re.compile(r"([0-9]{1,7})/([0-9]{1,7})")
_SCALE = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_PERIOD = {"s": 1.0, "m": 60.0, "h": 3600.0}

Codes = tuple[tuple[int, int], ...]
"""Ranges of status codes, both ends included."""


class Shard(NamedTuple):
    """One of so many parts of a list, counted from 1."""

    number: int
    of: int

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"


def parse_shard(text: str) -> Shard:
    """`I/N`, I from 1 to N, as in the --shard of Playwright, Jest and Vitest."""
    match = _SHARD.fullmatch(text.strip())
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise ValueError(f"{text!r} is not a shard: write I/N with I from 1 to N, such as 3/8")
    return Shard(int(match[1]), int(match[2]))


def parse_size(text: str) -> int:
    """Bytes: `10k`, `5M`, `1G` are powers of 1024, as in curl's --max-filesize."""
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not a size: write bytes, or 10k, 5M, 1G")
    return int(float(match[1]) * _SCALE[match[2].lower()])


def parse_rate(text: str) -> float:
    """Starts a second: `5`, `5/s`, `100/m`, `1000/h`; a bare number is per second."""
    match = _RATE.fullmatch(text.strip())
    if match is None or float(match[1]) == 0:
        raise ValueError(f"{text!r} is not a rate: write 5/s, 100/m or 1000/h, more than 0")
    return float(match[1]) / _PERIOD[(match[2] or "s").lower()]


def parse_codes(text: str) -> Codes:
    """Ranges of statuses: `200-299,404`."""
    ranges = []
    for part in text.split(","):
        match = _CODES.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"{part.strip()!r} is not a status or a range of them: write 200-299,404")
        first, last = int(match[1]), int(match[2] or match[1])
        if first > last:
            raise ValueError(f"{part.strip()!r} runs backwards")
        ranges.append((first, last))
    return tuple(ranges)


def format_size(count: float) -> str:
    """Bytes for people: three figures and a unit of 1024."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def format_seconds(seconds: float) -> str:
    """A duration for people, with a unit that keeps about three figures."""
    if seconds < 0.9995:
        return f"{seconds * 1000:.1f} ms" if seconds < 0.0995 else f"{seconds * 1000:.0f} ms"
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {rest:02} s"
