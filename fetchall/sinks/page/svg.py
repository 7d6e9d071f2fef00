"""
A chart as inline SVG that is as wide as the page: lengths across are per cent, lengths down and letters are pixels.

Knows shapes; it must not know what they stand for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence


class Plot:
    """
    One chart. Across runs from 0 to 1, down is in pixels from the top of the plot; `room` is for the axis below it.

    Labels beside the plot stand in the margin that the style sheet leaves.
    """

    def __init__(self, height: float, *, head: int = 8, room: int = 24) -> None:
        self.height = height
        self._head = head
        self._room = room
        self._parts: list[str] = []

    def rect(self, left: float, right: float, top: float, bottom: float, kind: str, *, title: str = "") -> None:
        """A box; `title` is what it says when pointed at, escaped already."""
        x, width = _across(left), _across(max(right - left, 0.0))
        y, height = _down(self._head + top), _down(max(bottom - top, 0.0))
        box = f'<rect class="{kind}" x="{x}" y="{y}" width="{width}" height="{height}"'
        self._parts.append(f"{box}><title>{title}</title></rect>" if title else f"{box}/>")

    def line(self, left: float, right: float, top: float, bottom: float, kind: str) -> None:
        """A straight line."""
        ends = f'x1="{_across(left)}" x2="{_across(right)}" y1="{_down(self._head + top)}"'
        self._parts.append(f'<line class="{kind}" {ends} y2="{_down(self._head + bottom)}"/>')

    def text(
        self, across: float, down: float, words: str, kind: str = "", *, anchor: str = "start", shift: int = 0
    ) -> None:
        """Words, moved aside by `shift` pixels; escaped already."""
        place = f'x="{_across(across)}" y="{_down(self._head + down)}"'
        moved = f' dx="{shift}"' if shift else ""
        look = f' class="{kind}"' if kind else ""
        self._parts.append(f'<text {place}{moved}{look} text-anchor="{anchor}">{words}</text>')

    def area(self, points: Sequence[tuple[float, float]], kind: str) -> None:
        """What lies between a line and the bottom, and the line; points are (across, pixels from the top)."""
        if not points:
            return
        path = "L".join(f"{1000 * across:.1f} {down:.1f}" for across, down in points)
        first, last = 1000 * points[0][0], 1000 * points[-1][0]
        box = f'y="{self._head}" width="100%" height="{self.height:g}" viewBox="0 0 1000 {self.height:g}"'
        self._parts.append(
            f'<svg {box} preserveAspectRatio="none"><path class="{kind} fill" d="M{first:.1f} {self.height:g}L{path}'
            f'L{last:.1f} {self.height:g}Z"/><path class="{kind} edge" d="M{path}"/></svg>'
        )

    def begin(self, title: str, **data: str | int) -> None:
        """What follows up to `end` belongs together; `title` is escaped already."""
        given = "".join(f' data-{name}="{value}"' for name, value in data.items())
        self._parts.append(f"<g{given}><title>{title}</title>")

    def end(self) -> None:
        """See `begin`."""
        self._parts.append("</g>")

    def across(self, marks: Sequence[tuple[float, str]]) -> None:
        """An axis below the plot: places and labels."""
        for place, label in marks:
            self.line(place, place, 0, self.height, "grid")
            anchor = "end" if place > 0.98 else "start" if place < 0.02 else "middle"
            self.text(place, self.height + 16, label, "tick", anchor=anchor)

    def down(self, marks: Sequence[tuple[float, str]]) -> None:
        """An axis beside the plot: shares of its height from the bottom, and labels."""
        for share, label in marks:
            y = self.height * (1 - share)
            self.line(0, 1, y, y, "base" if share == 0 else "grid")
            self.text(0, y + 4, label, "tick", anchor="end", shift=-8)

    def svg(self, title: str, about: str, kind: str = "") -> str:
        """The chart; `title`, which no other chart has, and `about` are read out instead of it; escaped already."""
        name = re.sub(r"\W+", "-", title.lower())
        whole = self._head + self.height + self._room
        return (
            f'<svg class="plot {kind}" width="100%" height="{whole:g}" role="img" '
            f'aria-labelledby="{name}-t {name}-d">\n'
            f'<title id="{name}-t">{title}</title><desc id="{name}-d">{about}</desc>\n'
            + "".join(self._parts)
            + "</svg>"
        )


def _across(share: float) -> str:
    return f"{100 * share:.2f}".rstrip("0").rstrip(".") + "%"


def _down(pixels: float) -> str:
    return f"{pixels:.2f}".rstrip("0").rstrip(".")
