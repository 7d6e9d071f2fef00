"""
Text of strangers as HTML: what is invisible is written out, what is long is cut, what is markup is escaped.

Knows characters; it must not know the page.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape

from fetchall.cells import NOTHING, cut_middle, visible
from fetchall.units import format_seconds, format_size


def safe(text: str, most: int = 160) -> str:
    """The text for an element or a quoted attribute, its middle left out beyond so many columns."""
    return escape(cut_middle(visible(text), most), quote=True)


def without_scheme(url: str) -> str:
    """The part of a URL that tells it from its neighbours."""
    return url.partition("://")[2] or url


def count(number: int) -> str:
    """With its thousands apart."""
    return f"{number:,}"


def counted(number: int, one: str, many: str) -> str:
    """A number and its noun."""
    return f"{number:,} {one if number == 1 else many}"


def seconds(value: float | None) -> str:
    """A duration; a dash where there is none."""
    if value is not None and value < 0.00005:
        return "&lt; 0.1 ms" if value > 0 else "0 s"
    return NOTHING if value is None else format_seconds(value)


def size(value: int | None) -> str:
    """Bytes; a dash where there are none to speak of."""
    return NOTHING if value is None else format_size(value)


def percent(part: float, whole: float) -> str:
    """A share, which is 0 % or 100 % only where it is exactly that."""
    if whole <= 0:
        return NOTHING
    share = 100 * part / whole
    if 0 < share < 0.1:
        return "&lt; 0.1 %"
    if 99.9 < share < 100:
        return "&gt; 99.9 %"
    return f"{share:.0f} %" if share in (0, 100) else f"{share:.1f} %"


def attributes(**values: str | int | float | None) -> str:
    """Attributes of a tag, each after a blank; `data_v` is `data-v`, None is left out. Values are escaped already."""
    return "".join(
        f' {name.rstrip("_").replace("_", "-")}="{value}"' for name, value in values.items() if value is not None
    )


def joined(parts: Iterable[str]) -> str:
    """One after another, each on its line."""
    return "\n".join(parts)


def within(parts: Iterable[str], budget: int) -> Iterator[str]:
    """As many of these as so many bytes hold: what keeps the page small whatever the rows are."""
    for part in parts:
        budget -= len(part.encode("utf-8", "surrogatepass"))
        if budget < 0:
            return
        yield part
