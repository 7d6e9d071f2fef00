"""
How many requests each of several processes may have on the wire, so that they never have more than N in sum.

Pure: told what each has and wants, it says what each may. Knows numbers; it must not know processes or pipes.

What is taken away from one is given to another only once it is free: a process that was told to have fewer says so
when it has heard it, and what it has on the wire beyond that is counted until it is done.
"""

from __future__ import annotations

from collections.abc import Sequence

from fetchall.engines.messages import Allowance


class Allowances:
    """`total` shared out among processes by their slots; none has anything before it says that it could use it."""

    def __init__(self, total: int, slots: int) -> None:
        self._total = total
        self.allowed = [0] * slots
        """What each was told that it may have."""
        self.number = [0] * slots
        """How often each was told another number."""
        self.counted = list(self.allowed)
        """What each may have at most right now, as far as is known: never more than the total in sum."""
        self._wishes = [0] * slots

    def __repr__(self) -> str:
        return f"<Allowances {self.allowed} of {self._total}>"

    def of(self, slot: int) -> Allowance:
        """What a process is to be told."""
        return Allowance(self.allowed[slot], self.number[slot])

    def heard(self, slot: int, number: int, in_flight: int, *, eager: bool) -> None:
        """What a process has on the wire, the last number that it knows of, and whether it could do with more."""
        if number == self.number[slot]:
            self.counted[slot] = max(self.allowed[slot], in_flight)
        self._wishes[slot] = self._total if eager else in_flight
        self._share()

    def died(self, slot: int) -> None:
        """A process is gone with all that it had on the wire; the one in its place begins with nothing."""
        self._set(slot, 0)
        self.counted[slot] = self._wishes[slot] = 0

    def _share(self) -> None:
        """Give what is free to those who have less than their fair part, and take what they lack from others."""
        if not any(wish > allowed for wish, allowed in zip(self._wishes, self.allowed, strict=True)):
            return
        fair = fair_parts(self._wishes, self._total)
        free = self._total - sum(self.counted)
        lack = 0
        for slot, part in enumerate(fair):
            if part > self.allowed[slot]:
                # What it still has beyond its old number is counted already.
                grown = min(part, self.counted[slot] + free)
                if grown > self.allowed[slot]:
                    free -= max(0, grown - self.counted[slot])
                    self._set(slot, grown)
                lack += part - self.allowed[slot]
        lack -= sum(self.counted) - sum(self.allowed)
        for slot, part in enumerate(fair):
            cut = min(self.allowed[slot] - part, lack)
            if cut > 0:
                lack -= cut
                self._set(slot, self.allowed[slot] - cut)

    def _set(self, slot: int, allowed: int) -> None:
        self.allowed[slot] = allowed
        self.counted[slot] = max(self.counted[slot], allowed)
        self.number[slot] += 1


def fair_parts(wishes: Sequence[int], total: int) -> list[int]:
    """Who wishes for little gets it; the others share the rest alike (max-min fairness)."""
    parts = [0] * len(wishes)
    for place, slot in enumerate(sorted(range(len(wishes)), key=wishes.__getitem__)):
        parts[slot] = min(wishes[slot], total // (len(wishes) - place))
        total -= parts[slot]
    return parts
