"""
Who of several processes fetches which request: whole sites, and a share of one that would keep all others idle.

Pure: requests in, requests out, told what is done and who died. Knows sites; it must not know processes or pipes.

A site belongs to one hand, so that its limits, rates, back-off, rules, cookies and connections need no shared state.
Where nothing of that kind was asked for, and the site refused nobody, what has piled up at one hand may go to another.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterable, Sequence

from fetchall.dealing import share_of, site_of
from fetchall.records import Request

SITES = 10_000
"""Sites that are dealt out in turn, so that few of them are spread evenly; those after them by their names."""
PILE = 100
"""Requests that must have piled up at one hand before another takes of them: below that they stay together."""
MOST_HELD = 100_000
"""Sites that are remembered for not being shared out; of more, nothing is shared out any longer."""
DEADLY = 2
"""Deaths after which a request that was out each time is suspected, and goes out alone."""

_head = re.compile(r"https?://[A-Za-z0-9.-]+(?::[0-9]+)?").fullmatch


class _Hand:
    """What one process is to fetch, and what it has."""

    __slots__ = ("again", "alone", "out", "shared", "suspects", "whole")

    def __init__(self) -> None:
        self.again: deque[Request] = deque()
        """Those that it had when it died, before all others."""
        self.whole: deque[Request] = deque()
        """Of sites that are not shared out."""
        self.shared: deque[Request] = deque()
        """All others; of a site that is held they move over once that is noticed."""
        self.suspects: deque[Request] = deque()
        self.out: dict[int, Request] = {}
        self.alone: int | None = None
        """The index of the suspect that it has, and nothing else."""


class Dealer:
    """Every request goes out once, and again where the hand that had it died."""

    def __init__(self, hands: int, *, splits: bool, drains: bool = True) -> None:
        """`drains`: what a hand has gets done whatever else goes out, so that it can be waited for."""
        self._drains = drains
        self._hands = [_Hand() for _ in range(hands)]
        self._owners: dict[str, int] = {}
        self._heads: dict[str, int] = {}
        """The hand of what stands before a URL's path, for a look there is a tenth of finding out the site."""
        self.splits = splits
        """Whether a site may be shared out at all."""
        self.held: set[str] = set()
        """Sites that only their owners fetch."""
        self._deaths: dict[int, int] = {}
        """How often a request was out when its hand died."""
        self.waiting = 0
        """Requests that no hand has yet."""

    def __repr__(self) -> str:
        out = sum(len(hand.out) for hand in self._hands)
        return f"<Dealer {self.waiting} waiting, {out} out, {len(self._owners)} sites>"

    @property
    def idle(self) -> bool:
        """Whether every request is done."""
        return not self.waiting and not any(hand.out for hand in self._hands)

    def owner(self, site: str) -> int:
        """The hand that a site belongs to, for good."""
        found = self._owners.get(site)
        if found is not None:
            return found
        if len(self._owners) >= SITES:
            return share_of(site, len(self._hands))
        self._owners[site] = found = len(self._owners) % len(self._hands)
        return found

    def add(self, requests: Sequence[Request]) -> None:
        """Requests of the list, in its order."""
        hands, heads = self._hands, self._heads
        for request in requests:
            url = request.url
            end = url.find("/", 8)
            slot = heads.get(url[:end]) if end > 0 else None
            if slot is None:
                slot = self._owner_of(url, end)
            hands[slot].shared.append(request)
        self.waiting += len(requests)

    def take(self, slot: int, most: int) -> list[Request]:
        """At most so many requests for a hand, which from now on has them."""
        hand = self._hands[slot]
        if hand.alone is not None or most <= 0:
            return []
        if hand.suspects:
            found = [] if hand.out and self._drains else [hand.suspects.popleft()]
            hand.alone = found[0].index if found else None
        else:
            found = _first(hand.again, most)
            found += _first(hand.whole, most - len(found))
            found += _first(hand.shared, most - len(found))
            if not found and self.splits:
                found = self._share(most)
        self.waiting -= len(found)
        hand.out.update([(request.index, request) for request in found])
        return found

    def done(self, slot: int, indices: Iterable[int]) -> None:
        """These have their rows; raises KeyError for one that the hand did not have."""
        hand = self._hands[slot]
        for index in indices:
            del hand.out[index]
            if self._deaths:
                self._deaths.pop(index, None)
            if index == hand.alone:
                hand.alone = None

    def move(self, index: int, slot: int, site: str) -> int:
        """A request that one hand has goes on to a site: who has it now. A suspect stays where it is alone."""
        if index == self._hands[slot].alone:
            return slot
        to = self.owner(site)
        self._hands[to].out[index] = self._hands[slot].out.pop(index)
        return to

    def hold(self, sites: Iterable[str]) -> None:
        """These sites refused, or gave no answer: what is left of them goes to their owners alone."""
        self.held.update(sites)
        if len(self.held) > MOST_HELD:
            self.splits = False
            self.held.clear()

    def died(self, slot: int) -> Request | None:
        """A hand died: what it had is to be fetched again. A request that it died of for certain is given up."""
        hand = self._hands[slot]
        lost, hand.out, hand.alone = hand.out, {}, None
        if len(lost) == 1 and self._deaths.get(index := next(iter(lost)), 0) >= DEADLY:
            del self._deaths[index]
            return lost[index]
        for index in sorted(lost, reverse=True):
            deaths = self._deaths[index] = self._deaths.get(index, 0) + 1
            # It may have been on its way to another site than its own, where it begins again.
            home = self._hands[self.owner(site_of(lost[index].url))]
            (home.again if deaths < DEADLY else home.suspects).appendleft(lost[index])
        self.waiting += len(lost)
        return None

    def clear(self) -> None:
        """Nothing more goes out."""
        for hand in self._hands:
            for queue in (hand.again, hand.whole, hand.shared, hand.suspects):
                queue.clear()
        self.waiting = 0

    def _owner_of(self, url: str, end: int) -> int:
        """The hand of a URL whose scheme and host are not known by heart, and are from now on."""
        slot = self.owner(site_of(url))
        if end > 0 and _head(url[:end]):
            if len(self._heads) >= SITES:
                self._heads.clear()
            self._heads[url[:end]] = slot
        return slot

    def _share(self, most: int) -> list[Request]:
        """Of what has piled up most, as much as leaves its owner the larger half."""
        hand = max(self._hands, key=lambda hand: len(hand.shared))
        pile = hand.shared
        found: list[Request] = []
        most = min(most, len(pile) // 2)
        # What is held moves out of the way as it is met, once.
        while len(found) < most and len(pile) >= PILE:
            request = pile.popleft()
            if self.held and site_of(request.url) in self.held:
                hand.whole.append(request)
            else:
                found.append(request)
        return found


def _first(queue: deque[Request], most: int) -> list[Request]:
    return [queue.popleft() for _ in range(min(most, len(queue)))]
