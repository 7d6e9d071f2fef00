"""The number in flight that is found is about the best that could have been fixed, on servers of every kind."""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Protocol

import pytest

from fetchall.adapt import Tuner

MOST = 500
SECONDS = 60.0
"""Of a virtual clock: the climb is part of what is measured."""


class Server(Protocol):
    def begin(self, now: float) -> tuple[float, bool]:
        """When the answer to a request that begins now will come, and whether it is a good one."""

    def end(self) -> None:
        """One has been answered."""


class Distant:
    """Bound by latency: twice as many in flight are twice as many answers."""

    def __init__(self, latency: float, spread: float = 0.0) -> None:
        self.latency, self.spread, self.rng = latency, spread, random.Random(1)

    def begin(self, now: float) -> tuple[float, bool]:
        extra = self.rng.expovariate(1 / self.spread) if self.spread else 0.0
        return now + self.latency + extra, True

    def end(self) -> None:
        pass


class Saturating:
    """So many answers a second and no more: beyond, they queue."""

    def __init__(self, capacity: float, latency: float, *, even: bool) -> None:
        self.capacity, self.latency, self.even = capacity, latency, even
        self.free, self.rng = 0.0, random.Random(2)

    def begin(self, now: float) -> tuple[float, bool]:
        self.free = max(self.free, now) + (1 / self.capacity if self.even else self.rng.expovariate(self.capacity))
        return self.free + self.latency, True

    def end(self) -> None:
        pass


class Thrashing:
    """Beyond its knee it does not only queue, it gets less done."""

    def __init__(self, knee: int, latency: float) -> None:
        self.knee, self.latency, self.flying = knee, latency, 0

    def begin(self, now: float) -> tuple[float, bool]:
        self.flying += 1
        load = max(1.0, self.flying / self.knee)
        return now + self.latency * load * (1 + load) / 2, True

    def end(self) -> None:
        self.flying -= 1


class Throttling:
    """Answers 429 at once above a rate."""

    def __init__(self, rate: float, latency: float) -> None:
        self.rate, self.latency, self.tokens, self.last = rate, latency, 0.0, 0.0

    def begin(self, now: float) -> tuple[float, bool]:
        self.tokens = min(self.rate / 20, self.tokens + (now - self.last) * self.rate)
        self.last = now
        if self.tokens < 1:
            return now + 0.005, False
        self.tokens -= 1
        return now + self.latency, True

    def end(self) -> None:
        pass


class Mixed:
    """Some hosts are dead, and only a timeout says so."""

    def __init__(self, latency: float, dead: float, timeout: float) -> None:
        self.latency, self.dead, self.timeout, self.rng = latency, dead, timeout, random.Random(3)

    def begin(self, now: float) -> tuple[float, bool]:
        dead = self.rng.random() < self.dead
        return now + (self.rng.uniform(0.9, 1.1) * self.timeout if dead else self.latency), not dead

    def end(self) -> None:
        pass


def serve(server: Server, allowed: Callable[[], int], tuner: Tuner | None = None) -> tuple[float, float]:
    """Good answers a second, and the share of bad ones."""
    flights: list[tuple[float, int, float, bool]] = []
    now, number, good = 0.0, 0, 0
    while now < SECONDS:
        while len(flights) < allowed():
            at, ok = server.begin(now)
            number += 1
            heappush(flights, (at, number, now, ok))
        now, _, begun, ok = heappop(flights)
        server.end()
        if tuner is not None:
            tuner.heard(now, ok=ok, latency=now - begun, in_flight=len(flights) + 1)
        good += ok
    return good / now, 1 - good / (number - len(flights))


def tuned(server: Server, most: int = MOST) -> tuple[Tuner, float, float]:
    tuner = Tuner(most)
    return tuner, *serve(server, lambda: tuner.limit, tuner)


@pytest.mark.parametrize(
    ("server", "number", "best"),
    [
        pytest.param(Distant(0.1), 500, 5_000, id="bound by latency"),
        pytest.param(Distant(0.02, 0.1), 500, 4_167, id="bound by latency that varies"),
        pytest.param(Saturating(400, 0.05, even=True), 20, 400, id="saturating"),
        pytest.param(Saturating(400, 0.05, even=False), 20, 400, id="saturating unevenly"),
        pytest.param(Saturating(2_000, 0.1, even=False), 200, 2_000, id="saturating at more"),
        pytest.param(Saturating(30, 0.2, even=True), 6, 30, id="saturating at little"),
        pytest.param(Thrashing(40, 0.05), 40, 800, id="thrashing"),
        pytest.param(Thrashing(300, 0.05), 300, 6_000, id="thrashing at more"),
        pytest.param(Throttling(200, 0.05), 10, 200, id="429 above a rate"),
        pytest.param(Throttling(1_000, 0.1), 100, 1_000, id="429 above a higher rate"),
    ],
)
def test_it_comes_within_a_tenth_of_the_best_number_that_could_have_been_fixed(
    server: Server, number: int, best: float
) -> None:
    """`number` in flight, held from the first moment on, gives `best` good answers a second: more than can be had."""
    tuner, goodput, failing = tuned(server)
    assert goodput >= 0.9 * best
    assert 0.7 * number <= tuner.best <= 2 * number, "few more than fill the server"
    assert failing <= 0.1


@pytest.mark.parametrize(("number", "best"), [(22, 400.0), (200, 400.0)])
def test_what_is_called_best_is_what_a_fixed_number_gives(number: int, best: float) -> None:
    goodput, _ = serve(Saturating(400, 0.05, even=True), lambda: number)
    assert goodput == pytest.approx(best, rel=0.01)


def test_dead_hosts_that_fail_whatever_the_number_do_not_hold_it_down() -> None:
    tuner, _, _ = tuned(Mixed(0.05, dead=0.2, timeout=2.0))
    assert tuner.best >= 0.6 * MOST


def test_it_starts_low_and_reaches_the_bound_in_some_round_trips() -> None:
    tuner = Tuner(MOST)
    assert tuner.limit == Tuner.START
    server, now, number = Distant(0.1), 0.0, 0
    flights: list[tuple[float, int, float]] = []
    while tuner.limit < MOST:
        while len(flights) < tuner.limit:
            number += 1
            heappush(flights, (server.begin(now)[0], number, now))
        now, _, begun = heappop(flights)
        tuner.heard(now, ok=True, latency=now - begun, in_flight=len(flights) + 1)
    assert now < 1.0


@pytest.mark.parametrize("most", [1, 2, 3, 5, 37])
def test_it_never_asks_for_more_than_the_bound_or_less_than_one(most: int) -> None:
    tuner, rng = Tuner(most), random.Random(most)
    for number in range(30_000):
        ok, latency = rng.random() < 0.9, rng.expovariate(10)
        tuner.heard(number / 100, ok=ok, latency=latency, in_flight=rng.randint(1, tuner.limit))
        assert 1 <= tuner.limit <= most
        assert 1 <= tuner.best <= most


def test_too_little_work_teaches_nothing() -> None:
    tuner = Tuner(MOST)
    for number in range(10_000):
        tuner.heard(number / 10, ok=True, latency=0.1, in_flight=1)
    assert tuner.limit == Tuner.START


def test_a_server_that_becomes_faster_is_noticed() -> None:
    class Growing(Saturating):
        def begin(self, now: float) -> tuple[float, bool]:
            self.capacity = 200 if now < SECONDS / 3 else 2_000
            return super().begin(now)

    tuner, _, _ = tuned(Growing(200, 0.1, even=True))
    assert tuner.best >= 100


def test_it_shows_its_state() -> None:
    assert repr(Tuner(100)) == "<Tuner climbing, 4 in flight, best 4 of at most 100>"
    assert repr(tuned(Distant(0.1), 50)[0]).startswith("<Tuner resting, 50 in flight, best 50")
