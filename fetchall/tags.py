"""
What a page forbids by its X-Robots-Tag header, for those who keep pages: noindex, noai and the like.

Pure: header values in, a word out. There is no RFC; the syntax is Google's, which others took over
(developers.google.com/search/docs/crawling-indexing/robots-meta-tag).
"""

from __future__ import annotations

from collections.abc import Iterable

from fetchall.records import Answer, ErrorType, Fault

_WITH_VALUE = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
"""Directives that have a colon themselves; any other word before one names an agent."""
_MEANS: dict[str, tuple[str, ...]] = {"none": ("noindex", "nofollow")}


def parse_tags(text: str) -> tuple[str, ...]:
    """`noai,noindex`, sorted; raises ValueError."""
    found = sorted({part.strip().lower() for part in text.split(",") if part.strip()})
    if not found or any(":" in part or " " in part for part in found):
        raise ValueError(f"{text!r}: write the tags with commas between them, such as noai,noindex")
    return tuple(found)


def forbidding(values: Iterable[str], tags: tuple[str, ...], agent: str) -> str | None:
    """The first of these tags that is said to all agents, or to this one; None: there is none."""
    for value in values:
        addressed = ""
        for piece in value.lower().split(","):
            name, colon, rest = piece.partition(":")
            word = piece.strip()
            if colon and name.strip() not in _WITH_VALUE:
                addressed, word = name.strip(), rest.strip()
            if addressed and addressed != agent.lower():
                continue
            for said in (word, *_MEANS.get(word, ())):
                if said in tags:
                    return said
    return None


def respecting(answer: Answer, tags: tuple[str, ...], user_agent: str | None) -> Answer:
    """The answer, with a fault where its sender does not want it kept, be it whole or not."""
    values = [value.decode("latin-1") for name, value in answer.headers if name.lower() == b"x-robots-tag"]
    if not values:
        return answer
    agent = (user_agent or "fetchall").partition("/")[0].strip()
    tag = forbidding(values, tags, agent)
    if tag is None:
        return answer
    return answer._replace(fault=Fault(ErrorType.ROBOTS, f"X-Robots-Tag: {tag} (--respect-tags)", retryable=False))
