"""
Axes: round steps from zero, and the unit that a length of time reads best in.

Pure numbers; it must not know how an axis is drawn.
"""

from __future__ import annotations

from math import ceil, floor, log10
from typing import NamedTuple


class Unit(NamedTuple):
    """A unit of time: its name, and its seconds."""

    name: str
    seconds: float


_UNITS = (Unit("ms", 0.001), Unit("s", 1.0), Unit("min", 60.0), Unit("h", 3600.0))


def unit_of(top: float) -> Unit:
    """The unit of an axis that ends there."""
    for unit, beyond in zip(_UNITS, (1.0, 180.0, 3 * 3600.0), strict=False):
        if top < beyond:
            return unit
    return _UNITS[-1]


def step_of(top: float, most: int) -> float:
    """The smallest of 1, 2 or 5 times a power of ten of which at most so many steps fit below `top`."""
    if top <= 0:
        return 1.0
    power = 10.0 ** floor(log10(top / most))
    return next(power * factor for factor in (1, 2, 5, 10, 20) if top / (power * factor) <= most)


def ticks(top: float, most: int = 6) -> list[float]:
    """Round values from zero up to `top`."""
    step = step_of(top, most)
    return [number * step for number in range(floor(top / step + 1e-9) + 1)]


def counts(top: float, most: int = 4) -> tuple[list[float], float]:
    """Whole numbers for an axis of counts, and its end: the first of them that holds `top`."""
    step = max(step_of(top, most), 1.0)
    steps = max(ceil(top / step - 1e-9), 1)
    return [number * step for number in range(steps + 1)], steps * step


def rates(top: float, most: int = 4) -> tuple[list[float], float]:
    """The same for what may be less than one."""
    step = step_of(top, most)
    steps = max(ceil(top / step - 1e-9), 1)
    return [number * step for number in range(steps + 1)], steps * step


def decades(low: float, high: float) -> list[float]:
    """Round values on a logarithmic axis: 1, 2 and 5 of each power of ten, or the powers alone where they are many."""
    if not 0 < low <= high:
        return []
    factors = (1,) if high / low > 2e3 else (1, 2, 5)
    found = [factor * 10.0**power for power in range(floor(log10(low)), ceil(log10(high)) + 1) for factor in factors]
    return [value for value in found if low <= value <= high]


def number(value: float) -> str:
    """A number on an axis: no more digits than it has, thousands apart."""
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.6f}".rstrip("0").rstrip(".")
