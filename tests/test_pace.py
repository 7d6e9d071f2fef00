"""How far apart starts are, whatever the rate and however late the caller wakes."""

from __future__ import annotations

import random
from itertools import pairwise
from math import ceil, inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall.pace import IDLE, SLACK, Brake, Pace

ROUNDING = 1e-6
"""Seconds: sums of thousands of floats differ in their last digits."""

rates = st.one_of(st.integers(1, 2_000).map(float), st.floats(0.001, 2_000))
seeds = st.integers(0, 2**32)


def starts(pace: Pace, count: int, lateness: float, seed: int, pauses: bool = False) -> list[float]:
    """When a caller starts who wakes up to `lateness` seconds late and always has work, or with `pauses` not always."""
    rng = random.Random(seed)
    now, due, found = 1_000.0, -inf, []
    for _ in range(count):
        if now < due:
            now = due + rng.uniform(0, lateness)
        if pauses and rng.random() < 0.05:
            now += rng.uniform(0, 3 * pace.interval + 0.1)
        found.append(now)
        due = pace.after(due, now)
    return found


@given(rates, seeds, st.sampled_from([0.0, 0.003, SLACK, 0.5]))
def test_no_sliding_second_has_more_starts_than_the_rate(rate: float, seed: int, lateness: float) -> None:
    window, most = (1.0, rate) if rate >= 1 else (1 / rate, 1)
    found = starts(Pace.at_rate(rate), 300, lateness, seed, pauses=True)
    for first, later in zip(found, found[ceil(most) :], strict=False):
        assert later - first >= window - ROUNDING


@given(st.floats(0.001, 1), seeds)
def test_at_one_a_second_or_less_starts_are_never_closer_than_the_interval(rate: float, seed: int) -> None:
    found = starts(Pace.at_rate(rate), 50, 0.02, seed, pauses=True)
    assert all(later - first >= 1 / rate - ROUNDING for first, later in pairwise(found))


@given(rates, seeds, st.sampled_from([0.0, 0.003, 0.015]))
def test_at_least_97_percent_of_a_rate_is_used_by_a_caller_who_wakes_late(
    rate: float, seed: int, lateness: float
) -> None:
    count = 100 + int(5 * rate)
    found = starts(Pace.at_rate(rate), count, lateness, seed)
    assert (count - 1) / (found[-1] - found[0]) >= 0.97 * rate


@given(rates)
def test_starts_are_spread_evenly(rate: float) -> None:
    found = starts(Pace.at_rate(rate), 100, 0.0, 0)
    gaps = [later - first for first, later in pairwise(found)]
    assert max(gaps) - min(gaps) < ROUNDING


@given(st.integers(1, 2_000), st.floats(0, IDLE))
def test_after_a_stall_no_more_start_at_once_than_the_slack_allows(rate: int, stall: float) -> None:
    pace = Pace.at_rate(rate)
    due = pace.after(-inf, 1_000.0)
    now = due + stall
    at_once = 0
    while due <= now:
        due = pace.after(due, now)
        at_once += 1
    assert at_once <= 1 + SLACK * rate + ROUNDING


def test_idle_time_is_not_caught_up() -> None:
    pace = Pace.at_rate(1_000)
    assert pace.after(1_000.0, 1_001.0) == 1_001.0 + pace.interval
    assert pace.after(-inf, 1_001.0) == 1_001.0 + pace.interval


def test_an_interval_catches_nothing_up() -> None:
    pace = Pace(10.0)
    assert pace.after(pace.after(-inf, 0.0), 13.0) == 23.0


def gripping(interval: float = 0.2) -> Brake:
    brake = Brake()
    now = 0.0
    brake.pull(now, 0, 0.0)
    while brake.interval < interval:
        brake.pull(now, 0, 0.0)
    return brake


def test_a_refusal_without_a_wait_halves_the_pace_each_time_down_to_one_in_thirty_seconds() -> None:
    brake = Brake()
    intervals = []
    for number in range(12):
        brake.pull(float(number), 0, 0.0)
        intervals.append(brake.interval)
    assert intervals[:4] == [Brake.FIRST, 2 * Brake.FIRST, 4 * Brake.FIRST, 8 * Brake.FIRST]
    assert intervals[-1] == Brake.CAP


def test_a_server_that_says_how_long_to_wait_is_believed_once() -> None:
    brake = Brake()
    brake.pull(0.0, 0, 5.0)
    assert brake.interval == 0
    brake.pull(6.0, 0, 5.0)
    assert brake.interval == Brake.FIRST


def test_a_wait_that_was_enough_is_forgotten() -> None:
    brake = Brake()
    brake.pull(0.0, 0, 5.0)
    assert not brake.ease(5.5)
    assert brake.ease(5.1 + Brake.WARY)
    brake.pull(6.0 + Brake.WARY, 0, 5.0)
    assert brake.interval == 0


def test_what_was_under_way_when_the_brake_was_pulled_is_a_stray() -> None:
    brake = Brake()
    brake.pull(0.0, 3, 0.0)
    assert [brake.ended() for _ in range(5)] == [True, True, True, False, False]


def test_answers_double_the_pace_each_second_however_many_come() -> None:
    for answers_a_second in (2, 1_000):
        brake = gripping(12.8)
        before, brake.refused_at = brake.interval, 0.0
        for number in range(3 * answers_a_second):
            brake.ease((number + 1) / answers_a_second)
        assert brake.interval == pytest.approx(before / 8)


def test_near_the_pace_that_was_refused_easing_is_slow_and_never_leaps_there() -> None:
    brake = gripping(1.6)
    edge = brake.refused_at * Brake.NEAR
    brake.ease(100.0)
    assert brake.interval == edge
    brake.ease(101.0)
    assert 0.8 * edge < brake.interval < edge


def test_a_limit_that_is_gone_is_left_behind_and_the_brake_goes_off() -> None:
    brake = gripping(30.0)
    answers = 0
    while not brake.ease(float(answers)):
        answers += 1
    assert brake.interval < Brake.GONE
    assert answers < 60


def test_no_single_answer_more_than_doubles_the_pace() -> None:
    brake = gripping(25.6)
    brake.refused_at = 0.0
    brake.ease(1e9)
    assert brake.interval == pytest.approx(12.8)
