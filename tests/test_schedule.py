"""Who may go next, and when: each rule of the schedule by example, and whole runs on a virtual clock."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import pairwise
from math import inf

import pytest

import fetchall.schedule
from fetchall.pace import Brake
from fetchall.records import ErrorType, Fault, Origin
from fetchall.schedule import Limits, Schedule, Signal

FINE = Signal(answered=True, throttled=False)
SILENCE = Signal(answered=False, throttled=False)
BUSY = Signal(answered=True, throttled=True)
FORBIDDEN = Fault(ErrorType.ROBOTS, "disallowed by /private", retryable=False)


def busy(pause: float) -> Signal:
    return Signal(answered=True, throttled=True, pause=pause)


def origin(name: str) -> Origin:
    return Origin("http", f"{name}.example", 80)


A, B, C = origin("a"), origin("b"), origin("c")


class Job:
    def __init__(self, place: Origin, name: str = "", cost: float = 0.05) -> None:
        self.origin = place
        self.name = name
        self.cost = cost
        self.attempts = 0

    def __repr__(self) -> str:
        return self.name or str(self.origin)


def jobs(place: Origin, count: int, name: str = "") -> list[Job]:
    return [Job(place, f"{name or place.host[0]}{number}") for number in range(count)]


def planned(limits: Limits, *lists: Iterable[Job], gate: bool = False) -> Schedule[Job]:
    """A schedule that holds these jobs, added at 0.0."""
    schedule: Schedule[Job] = Schedule(limits, gate=gate)
    for each in lists:
        for job in each:
            schedule.add(job, 0.0)
    return schedule


def take(schedule: Schedule[Job], now: float, most: int = 1_000) -> str:
    """The names of all that may go at once."""
    found: list[str] = []
    while len(found) < most and (job := schedule.next(now)) is not None:
        found.append(repr(job))
    return " ".join(found)


def wake_at(schedule: Schedule[Job], now: float) -> float | None:
    """When something may go, asked once nothing may any more."""
    assert schedule.next(now) is None
    return schedule.wake_at()


def refused(schedule: Schedule[Job]) -> list[tuple[str, ErrorType]]:
    found = [(repr(job), fault.type) for job, fault in schedule.refused]
    schedule.refused.clear()
    return found


# --- order


def test_one_origin_without_limits_goes_in_the_order_of_the_list() -> None:
    assert take(planned(Limits(), jobs(A, 4)), 0.0) == "a0 a1 a2 a3"


def test_origins_take_turns_where_jobs_have_piled_up() -> None:
    schedule = planned(Limits(), jobs(A, 4), jobs(B, 2), jobs(C, 1))
    assert take(schedule, 0.0) == "a0 b0 c0 a1 b1 a2 a3"


def test_a_list_that_nothing_limits_is_begun_in_its_order() -> None:
    schedule: Schedule[Job] = Schedule(Limits())
    listed = [Job(origin(random.Random(number).choice("abc")), str(number)) for number in range(50)]
    begun = []
    for job in listed:
        schedule.add(job, 0.0)
        begun.append(schedule.next(0.0))
    assert begun == listed


def test_a_hop_goes_before_what_its_new_origin_has_waiting_from_the_list() -> None:
    schedule = planned(Limits(), jobs(A, 1), jobs(B, 2))
    job = schedule.next(0.0)
    assert job is not None
    schedule.done(A, 0.0, FINE)
    job.origin = B
    schedule.again(job, 0.0)
    assert take(schedule, 0.0) == "a0 b0 b1"


def test_a_retry_goes_when_it_is_due_and_then_before_the_list() -> None:
    schedule = planned(Limits(), jobs(A, 1))
    job = schedule.next(0.0)
    assert job is not None
    schedule.done(A, 0.0, FINE)
    schedule.again(job, 0.0, at=5.0)
    assert schedule.wake_at() == 5.0
    for other in jobs(A, 3, "x"):
        schedule.add(other, 1.0)
    assert take(schedule, 4.9, most=2) == "x0 x1"
    assert take(schedule, 5.0) == "a0 x2"


def test_retries_of_the_same_time_keep_their_order() -> None:
    schedule: Schedule[Job] = Schedule(Limits())
    for job in jobs(A, 5):
        schedule.again(job, 0.0, at=3.0)
    assert take(schedule, 2.9) == ""
    assert take(schedule, 3.0) == "a0 a1 a2 a3 a4"


# --- limits


def test_no_more_are_in_flight_at_an_origin_than_per_host() -> None:
    schedule = planned(Limits(per_host=2), jobs(A, 5), jobs(B, 1))
    assert take(schedule, 0.0) == "a0 b0 a1"
    assert schedule.wake_at() is None
    schedule.done(B, 0.1, FINE)
    assert take(schedule, 0.1) == ""
    schedule.done(A, 0.2, FINE)
    assert take(schedule, 0.2) == "a2"


def test_a_hop_counts_where_it_goes() -> None:
    schedule = planned(Limits(per_host=1), jobs(A, 1), jobs(B, 2))
    job = schedule.next(0.0)
    assert job is not None
    assert take(schedule, 0.0) == "b0"
    schedule.done(A, 0.1, FINE)
    job.origin = B
    schedule.again(job, 0.1)
    assert take(schedule, 0.1) == ""
    schedule.done(B, 0.2, FINE)
    assert take(schedule, 0.2) == "a0"


def test_the_rate_counts_the_starts_of_all_origins_retries_and_hops() -> None:
    schedule = planned(Limits(rate=1.0), jobs(A, 2), jobs(B, 2))
    schedule.again(Job(C, "hop"), 0.0)
    schedule.again(Job(C, "retry"), 0.0, at=0.5)
    found = []
    for second in range(6):
        found.append(take(schedule, float(second)))
        assert schedule.wake_at() == (second + 1.0 if second < 5 else None)
    assert found == ["a0", "b0", "hop", "a1", "b1", "retry"]


def test_a_rate_per_host_holds_for_each_origin_alone() -> None:
    schedule = planned(Limits(per_host_rate=0.5), jobs(A, 2), jobs(B, 2))
    assert take(schedule, 0.0) == "a0 b0"
    assert schedule.wake_at() == 2.0
    assert take(schedule, 1.9) == ""
    assert take(schedule, 2.0) == "a1 b1"


def test_a_rate_per_host_is_remembered_while_the_origin_has_no_jobs() -> None:
    schedule = planned(Limits(per_host_rate=0.5), jobs(A, 1))
    assert take(schedule, 0.0) == "a0"
    schedule.done(A, 0.1, FINE)
    schedule.add(Job(A, "later"), 0.2)
    assert take(schedule, 1.9) == ""
    assert take(schedule, 2.0) == "later"


# --- throttled origins


def test_a_wait_that_is_asked_for_pauses_the_whole_origin_and_no_other() -> None:
    schedule = planned(Limits(), jobs(A, 3), jobs(B, 3))
    assert take(schedule, 0.0, most=2) == "a0 b0"
    schedule.done(A, 1.0, busy(10.0))
    assert take(schedule, 1.0) == "b1 b2"
    assert schedule.wake_at() == 11.0
    assert take(schedule, 10.9) == ""
    assert take(schedule, 11.0) == "a1 a2"


def test_a_shorter_wait_does_not_end_a_longer_one() -> None:
    schedule = planned(Limits(), jobs(A, 3))
    assert take(schedule, 0.0, most=2) == "a0 a1"
    schedule.done(A, 1.0, busy(10.0))
    schedule.done(A, 1.0, busy(2.0))
    assert wake_at(schedule, 1.0) == 11.0


def test_an_answer_that_is_no_refusal_ends_no_pause() -> None:
    schedule = planned(Limits(), jobs(A, 3))
    assert take(schedule, 0.0, most=2) == "a0 a1"
    schedule.done(A, 1.0, busy(10.0))
    schedule.done(A, 1.0, FINE)
    assert take(schedule, 10.9) == ""


def test_a_pause_is_remembered_while_the_origin_has_no_jobs() -> None:
    schedule = planned(Limits(), jobs(A, 1))
    assert take(schedule, 0.0) == "a0"
    schedule.done(A, 0.0, busy(10.0))
    schedule.add(Job(A, "later"), 5.0)
    assert take(schedule, 9.0) == ""
    assert take(schedule, 10.0) == "later"


def test_a_quota_that_is_used_up_pauses_too_but_bans_nobody() -> None:
    schedule = planned(Limits(retry_after_max=60), jobs(A, 3))
    assert take(schedule, 0.0, most=1) == "a0"
    schedule.done(A, 0.0, Signal(answered=True, throttled=False, pause=5.0))
    assert take(schedule, 4.9) == ""
    assert take(schedule, 5.0, most=1) == "a1"
    schedule.done(A, 5.0, Signal(answered=True, throttled=False, pause=3_600.0))
    assert take(schedule, 5.0) == "a2"


def test_a_wait_longer_than_retry_after_max_refuses_what_was_not_sent_until_that_time() -> None:
    schedule = planned(Limits(retry_after_max=60), jobs(A, 3), jobs(B, 1))
    assert take(schedule, 0.0, most=1) == "a0"
    schedule.again(Job(A, "hop"), 0.0)
    schedule.again(Job(A, "retry"), 0.0, at=20.0)
    schedule.done(A, 1.0, busy(120.0))
    message = schedule.refused[0][1].message
    assert message == "http://a.example asked to wait 120 s, longer than the 60 s of --retry-after-max"
    limited = ErrorType.RATE_LIMITED
    assert refused(schedule) == [("hop", limited), ("a1", limited), ("a2", limited), ("retry", limited)]
    schedule.add(Job(A, "soon"), 120.9)
    schedule.again(Job(A, "another retry"), 120.9, at=200.0)
    assert refused(schedule) == [("soon", limited), ("another retry", limited)]
    schedule.add(Job(A, "late"), 121.0)
    assert refused(schedule) == []
    assert take(schedule, 121.0) == "b0 late"


def test_a_shorter_wait_that_is_too_long_does_not_end_a_longer_one() -> None:
    schedule = planned(Limits(retry_after_max=60), jobs(A, 2))
    take(schedule, 0.0)
    schedule.done(A, 0.0, busy(1_000.0))
    schedule.done(A, 0.0, busy(100.0))
    schedule.add(Job(A, "later"), 500.0)
    assert refused(schedule) == [("later", ErrorType.RATE_LIMITED)]


def test_those_who_may_stay_keep_their_times_when_others_are_refused() -> None:
    schedule: Schedule[Job] = Schedule(Limits(), gate=True)
    for at in (1, 10, 2, 11, 12, 3, 4):  # as a heap keeps them
        schedule.again(Job(A, str(at)), 0.0, at=float(at))
    schedule.open(A, 0.0, check=lambda job: FORBIDDEN if job.name == "1" else None, interval=None)
    assert wake_at(schedule, 0.0) == 2.0
    assert take(schedule, 20.0) == "2 3 4 10 11 12"


def test_without_a_wait_an_origin_slows_down_alone_and_recovers() -> None:
    schedule = planned(Limits(), jobs(A, 200), jobs(B, 1))
    assert take(schedule, 0.0, most=1) == "a0"
    schedule.done(A, 0.0, BUSY)
    assert take(schedule, 0.0) == "b0"
    assert schedule.wake_at() == Brake.FIRST
    gaps, last = [], 0.0
    while (at := schedule.wake_at()) is not None and at > last:
        assert len(take(schedule, at, most=1)) > 0
        schedule.done(A, at, FINE)
        gaps.append(at - last)
        last = at
    assert gaps[:2] == [Brake.FIRST, Brake.FIRST]
    assert all(later <= first + 1e-9 for first, later in pairwise(gaps))
    assert gaps[-1] < 0.01


def test_a_hundred_refusals_at_once_slow_down_once() -> None:
    schedule = planned(Limits(), jobs(A, 200))
    take(schedule, 0.0, most=100)
    for _ in range(100):
        schedule.done(A, 1.0, BUSY)
    assert wake_at(schedule, 1.0) == 1.0 + Brake.FIRST


def test_answers_to_what_was_under_way_at_the_refusal_do_not_ease() -> None:
    schedule = planned(Limits(), jobs(A, 200))
    take(schedule, 0.0, most=100)
    schedule.done(A, 0.0, BUSY)
    for number in range(99):
        schedule.done(A, number / 10, FINE)
    take(schedule, 10.0, most=1)
    assert wake_at(schedule, 10.0) == 10.0 + Brake.FIRST


def test_refusals_again_and_again_slow_down_to_one_in_thirty_seconds() -> None:
    schedule = planned(Limits(), jobs(A, 20))
    now, gaps = 0.0, []
    while schedule.waiting:
        assert take(schedule, now, most=1)
        schedule.done(A, now, BUSY)
        at = wake_at(schedule, now)
        if at is not None:
            gaps.append(at - now)
            now = at
    assert gaps[:3] == pytest.approx([0.2, 0.4, 0.8])
    assert gaps[-1] == pytest.approx(30.0)


def test_who_refuses_everything_for_longer_than_retry_after_max_has_asked_for_longer() -> None:
    schedule = planned(Limits(retry_after_max=60), jobs(A, 10_000))
    now, sent = 0.0, 0
    while not schedule.refused:
        assert take(schedule, now, most=1)
        sent += 1
        schedule.done(A, now, BUSY)
        now = wake_at(schedule, now) or now
    assert 70 < now < 120
    assert len(schedule.refused) == 10_000 - sent
    assert schedule.refused[0][1].type is ErrorType.RATE_LIMITED
    assert "refused everything for" in schedule.refused[0][1].message


def test_one_answer_in_between_shows_that_an_origin_does_not_refuse_everything() -> None:
    schedule = planned(Limits(retry_after_max=60), jobs(A, 100))
    now = 0.0
    for signal in (busy(60.0), BUSY, FINE) * 30:
        if schedule.next(now) is None:
            now = schedule.wake_at() or now
            assert schedule.next(now) is not None
        schedule.done(A, now, signal)
    assert not schedule.refused


def test_silence_never_makes_an_origin_faster() -> None:
    schedule = planned(Limits(), jobs(A, 50))
    take(schedule, 0.0, most=1)
    schedule.done(A, 0.0, BUSY)
    now, gaps = 0.0, set()
    for _ in range(40):
        at = wake_at(schedule, now)
        assert at is not None
        gaps.add(round(at - now, 6))
        now = at
        take(schedule, now, most=1)
        schedule.done(A, now, SILENCE)
    assert gaps == {Brake.FIRST}


@pytest.mark.parametrize("pause", [0.0, -5.0, float("nan")])
def test_a_wait_that_is_none_slows_down_as_if_it_had_not_been_said(pause: float) -> None:
    schedule = planned(Limits(), jobs(A, 2))
    take(schedule, 0.0, most=1)
    schedule.done(A, 0.0, busy(pause))
    assert wake_at(schedule, 0.0) == Brake.FIRST


# --- dead origins


def test_after_max_host_errors_in_a_row_the_rest_is_refused_and_what_comes_too() -> None:
    schedule = planned(Limits(max_host_errors=2), jobs(A, 5), jobs(B, 1))
    assert take(schedule, 0.0, most=3) == "a0 b0 a1"
    schedule.done(A, 1.0, SILENCE)
    assert refused(schedule) == []
    schedule.done(A, 1.0, SILENCE)
    assert schedule.refused[0][1].message == "http://a.example gave no answer 2 times in a row (--max-host-errors)"
    assert [name for name, _ in refused(schedule)] == ["a2", "a3", "a4"]
    schedule.add(Job(A, "later"), 1e6)
    schedule.again(Job(A, "retry"), 1e6, at=2e6)
    skipped = ErrorType.HOST_SKIPPED
    assert refused(schedule) == [("later", skipped), ("retry", skipped)]
    assert schedule.waiting == 0


@pytest.mark.parametrize("answer", [FINE, BUSY, busy(1.0)])
def test_any_answer_starts_the_count_of_errors_anew(answer: Signal) -> None:
    schedule = planned(Limits(max_host_errors=2), jobs(A, 9))
    take(schedule, 0.0, most=4)
    for signal in (SILENCE, answer, SILENCE):
        schedule.done(A, 0.0, signal)
    assert not schedule.refused
    schedule.done(A, 0.0, SILENCE)
    assert len(schedule.refused) == 5


def test_an_answer_of_one_that_was_still_under_way_lets_what_comes_go_again() -> None:
    schedule = planned(Limits(max_host_errors=1), jobs(A, 2))
    take(schedule, 0.0)
    schedule.done(A, 0.0, SILENCE)
    schedule.done(A, 0.1, FINE)
    schedule.add(Job(A, "later"), 0.2)
    assert take(schedule, 0.2) == "later"


def test_errors_are_not_counted_unless_asked_for() -> None:
    schedule = planned(Limits(), jobs(A, 100))
    for _ in range(99):
        take(schedule, 0.0, most=1)
        schedule.done(A, 0.0, SILENCE)
    assert take(schedule, 0.0) == "a99"


def test_a_cancelled_hop_says_nothing() -> None:
    schedule = planned(Limits(max_host_errors=1, per_host=1), jobs(A, 2))
    take(schedule, 0.0)
    schedule.done(A, 0.0)
    assert take(schedule, 0.0) == "a1"


# --- rules of origins (robots.txt)


def gated(*lists: Iterable[Job], limits: Limits = Limits()) -> Schedule[Job]:  # noqa: B008
    return planned(limits, *lists, gate=True)


def test_whoever_waits_for_an_origins_rules_holds_no_slot_and_the_rules_are_asked_for_once() -> None:
    schedule = gated(jobs(A, 3), jobs(B, 1))
    assert list(schedule.ungated) == [A, B]
    assert take(schedule, 0.0) == ""
    assert schedule.wake_at() is None
    assert (schedule.waiting, schedule.in_flight) == (4, 0)


def test_who_goes_to_find_out_passes_the_gate_and_counts_as_a_start() -> None:
    schedule = gated(jobs(A, 2), limits=Limits(per_host=1, per_host_rate=1.0, rate=1.0))
    schedule.again(Job(A, "robots"), 0.0, passes=True)
    assert take(schedule, 0.0) == "robots"
    schedule.open(A, 0.1, check=None, interval=None)
    assert take(schedule, 0.9) == ""
    schedule.done(A, 0.9, FINE)
    assert take(schedule, 0.9) == ""
    assert take(schedule, 1.0) == "a0"


def test_a_retry_of_who_passes_the_gate_wakes_and_passes_it_too() -> None:
    schedule = gated(jobs(A, 1))
    schedule.again(Job(A, "robots"), 0.0, at=7.0, passes=True)
    assert schedule.wake_at() == 7.0
    assert take(schedule, 7.0) == "robots"


def test_a_robots_redirect_passes_the_gate_of_the_origin_that_it_goes_to() -> None:
    schedule = gated(jobs(A, 1))
    schedule.again(Job(B, "robots of a"), 0.0, passes=True)
    assert take(schedule, 0.0) == "robots of a"
    assert list(schedule.ungated) == [A]
    schedule.add(Job(B, "b0"), 0.0)
    assert list(schedule.ungated) == [A, B]
    assert take(schedule, 0.0) == ""


def test_rules_refuse_those_that_wait_and_those_that_come_hops_and_retries_included() -> None:
    schedule = gated([Job(A, "/"), Job(A, "/private")])
    schedule.again(Job(A, "/private/hop"), 0.0)
    schedule.again(Job(A, "/private/retry"), 0.0, at=9.0)
    schedule.again(Job(A, "/private/robots"), 0.0, passes=True)
    schedule.again(Job(A, "/private/robots again"), 0.0, at=9.0, passes=True)
    schedule.open(A, 1.0, check=lambda job: FORBIDDEN if "private" in job.name else None, interval=None)
    robots = ErrorType.ROBOTS
    assert refused(schedule) == [("/private/hop", robots), ("/private", robots), ("/private/retry", robots)]
    schedule.add(Job(A, "/private/2"), 1.0)
    schedule.again(Job(A, "/private/3"), 1.0)
    schedule.add(Job(A, "/2"), 1.0)
    assert refused(schedule) == [("/private/2", robots), ("/private/3", robots)]
    assert take(schedule, 1.0) == "/private/robots / /2"
    assert take(schedule, 9.0) == "/private/robots again"


def test_open_origins_are_remembered_while_they_have_no_jobs() -> None:
    schedule = gated(jobs(A, 1))
    schedule.open(A, 0.0, check=None, interval=None)
    assert take(schedule, 0.0) == "a0"
    schedule.done(A, 0.0, FINE)
    schedule.ungated.clear()
    schedule.add(Job(A, "later"), 1e6)
    assert not schedule.ungated
    assert take(schedule, 1e6) == "later"


@pytest.mark.parametrize(("rate", "delay", "gap"), [(None, 3.0, 3.0), (1.0, 3.0, 3.0), (0.2, 3.0, 5.0), (None, 0, 0)])
def test_a_crawl_delay_is_the_origins_rate_unless_a_slower_one_was_set(
    rate: float | None, delay: float, gap: float
) -> None:
    schedule = gated(jobs(A, 2), limits=Limits(per_host_rate=rate))
    schedule.open(A, 0.0, check=None, interval=delay)
    assert take(schedule, 0.0, most=1) == "a0"
    assert take(schedule, max(gap - 0.1, -1)) == ("" if gap else "a1")
    assert take(schedule, gap) == ("a1" if gap else "")


def test_a_crawl_delay_and_a_brake_hold_together() -> None:
    schedule = gated(jobs(A, 3))
    schedule.open(A, 0.0, check=None, interval=3.0)
    take(schedule, 0.0)
    schedule.done(A, 0.0, BUSY)
    assert wake_at(schedule, 0.0) == 3.0


# --- memory


def test_an_origin_of_which_nothing_is_to_be_remembered_is_forgotten_at_once() -> None:
    schedule = planned(Limits(per_host=1, max_host_errors=3), jobs(A, 2), jobs(B, 1))
    for _ in range(3):
        job = schedule.next(0.0)
        assert job is not None
        schedule.done(job.origin, 0.0, FINE)
    assert repr(schedule) == "<Schedule 0 waiting, 0 in flight, 0 origins (0 idle), 0 in turn, 0 timed>"


def test_what_is_remembered_of_idle_origins_is_bounded_and_the_youngest_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetchall.schedule, "MEMORY", 5_000)
    schedule: Schedule[Job] = Schedule(Limits())
    for number in range(20_000):
        place = origin(str(number))
        schedule.add(Job(place), 0.0)
        take(schedule, 0.0)
        schedule.done(place, 0.0, busy(50.0))
        assert len(schedule._lanes) <= 5_000
    schedule.add(Job(origin("19000"), "young"), 1.0)
    schedule.add(Job(origin("1"), "old"), 1.0)
    assert take(schedule, 1.0) == "old"
    assert take(schedule, 50.0) == "young"


def test_pauses_that_have_ended_are_forgotten_although_memory_is_not_full() -> None:
    schedule: Schedule[Job] = Schedule(Limits(per_host_rate=10))
    for number in range(20_000):
        now = number / 1_000
        place = origin(str(number))
        schedule.add(Job(place), now)
        take(schedule, now)
        schedule.done(place, now, FINE)
    assert len(schedule._lanes) <= 1_000


def test_a_pause_that_was_enough_is_forgotten_too() -> None:
    schedule: Schedule[Job] = Schedule(Limits())
    for number in range(5_000):
        place, now = origin(str(number)), number / 10
        schedule.add(Job(place), now)
        take(schedule, now)
        schedule.done(place, now, busy(2.0))
    assert len(schedule._lanes) <= 1_000


def test_an_origin_with_jobs_is_never_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetchall.schedule, "MEMORY", 100)
    schedule: Schedule[Job] = Schedule(Limits(per_host_rate=0.1))
    schedule.add(Job(A), 0.0)
    take(schedule, 0.0)
    schedule.done(A, 0.0, FINE)
    schedule.add(Job(A, "waits"), 1.0)
    for number in range(5_000):
        place = origin(str(number))
        schedule.add(Job(place), 1.0)
        take(schedule, 1.0)
        schedule.done(place, 1.0, FINE)
    assert take(schedule, 10.0) == "waits"
    schedule.done(A, 10.0, FINE)
    assert (schedule.waiting, schedule.in_flight) == (0, 0)


def test_an_origin_whose_turn_is_moved_ten_thousand_times_leaves_no_trace_of_them() -> None:
    schedule: Schedule[Job] = Schedule(Limits())
    schedule.again(Job(A, "retry"), 0.0, at=1e9)
    for number in range(10_000):
        schedule.add(Job(A), float(number))
        take(schedule, float(number))
        schedule.done(A, float(number), FINE)
    assert len(schedule._timed) < 1_100


# --- whole runs


def run(
    schedule: Schedule[Job],
    listed: list[Job],
    slots: int,
    serve: Callable[[Job, float], tuple[float, Signal]],
    *,
    ahead: int = 10_000,
    retries: int = 0,
) -> dict[Job, float]:
    """When each job was over, on a virtual clock; the list is read as far as slots are free, up to `ahead` waiting."""
    feed, now, number = iter(listed), 0.0, 0
    flights: list[tuple[float, int, Job, Signal]] = []
    over: dict[Job, float] = {}
    reading = True
    while len(over) < len(listed):
        while len(flights) < slots:
            job = schedule.next(now)
            if job is None:
                fresh = next(feed, None) if reading and schedule.waiting < ahead else None
                if fresh is None:
                    break
                schedule.add(fresh, now)
                continue
            number += 1
            lasts, signal = serve(job, now)
            heappush(flights, (now + lasts, number, job, signal))
        over |= {job: now for job, _ in schedule.refused}
        schedule.refused.clear()
        wake = schedule.wake_at() if len(flights) < slots else None
        if flights and (wake is None or flights[0][0] <= wake):
            now, _, job, signal = heappop(flights)
            job.attempts += 1
            schedule.done(job.origin, now, signal)
            if signal.throttled and job.attempts <= retries:
                schedule.again(job, now, now + (signal.pause or 1.0))
            else:
                over[job] = now
        elif wake is not None:
            now = max(now, wake)
    return over


def fixed(job: Job, now: float) -> tuple[float, Signal]:
    return job.cost, FINE


@pytest.mark.parametrize("order", ["sorted by host", "shuffled"])
def test_fifty_hosts_with_two_each_take_exactly_their_ideal_time(order: str) -> None:
    listed = [job for number in range(50) for job in jobs(origin(f"h{number}"), 40)]
    if order == "shuffled":
        random.Random(1).shuffle(listed)
    over = run(Schedule(Limits(per_host=2)), listed, 100, fixed)
    assert max(over.values()) == pytest.approx(40 * 0.05 / 2)


def test_ten_thousand_jobs_of_an_origin_that_answers_429_cost_the_others_nothing() -> None:
    storm, calm = jobs(A, 10_000), [job for number in range(50) for job in jobs(origin(f"h{number}"), 40)]

    def serve(job: Job, now: float) -> tuple[float, Signal]:
        return 0.05, BUSY if job.origin == A else FINE

    listed = [*storm[:5_000], *calm, *storm[5_000:]]
    over = run(Schedule(Limits(per_host=2)), listed, 102, serve, retries=2)
    assert max(over[job] for job in calm) == pytest.approx(40 * 0.05 / 2)
    assert max(over.values()) < 120


def test_slow_ones_delay_nobody_while_there_are_fewer_than_slots() -> None:
    slow = [Job(origin(f"slow{number}"), cost=30.0) for number in range(90)]
    fast = [Job(origin(f"h{number % 500}"), cost=0.01) for number in range(20_000)]
    listed = [*slow, *fast]
    random.Random(2).shuffle(listed)
    over = run(Schedule(Limits()), listed, 100, fixed)
    assert max(over[job] for job in fast) <= 20_000 * 0.01 / 10 * 1.01


def test_dead_hosts_are_given_up_and_the_rest_goes_on() -> None:
    dead, alive = [jobs(origin(f"dead{number}"), 10) for number in range(40)], jobs(A, 160)

    def serve(job: Job, now: float) -> tuple[float, Signal]:
        return (0.01, FINE) if job.origin == A else (2.0, SILENCE)

    listed = [*(job for group in dead for job in group), *alive]
    over = run(Schedule(Limits(per_host=1, max_host_errors=2)), listed, 100, serve)
    assert max(over.values()) == pytest.approx(4.0)


def test_a_rate_is_used_to_97_percent_by_who_wakes_late() -> None:
    schedule = planned(Limits(rate=200.0), (Job(origin(f"h{number % 7}")) for number in range(2_000)))
    rng, now, begun = random.Random(3), 0.0, 0
    while schedule.waiting:
        wake = schedule.wake_at()
        assert wake is not None
        if wake > now:
            now = wake + rng.uniform(0, 0.008)
        begun += len(take(schedule, now).split())
    assert begun == 2_000
    assert 2_000 / now >= 0.97 * 200


def test_a_limit_that_a_server_keeps_to_itself_is_found_and_kept() -> None:
    """A server that answers 429 above 20 a second, without a word about when to return."""
    tokens, last, refusals = 20.0, 0.0, 0

    def serve(job: Job, now: float) -> tuple[float, Signal]:
        nonlocal tokens, last, refusals
        tokens, last = min(20.0, tokens + (now - last) * 20), now
        if tokens >= 1:
            tokens -= 1
            return 0.05, FINE
        refusals += 1
        return 0.05, BUSY

    listed = jobs(A, 1_000)
    over = run(Schedule(Limits()), listed, 100, serve, retries=2)
    assert max(over.values()) <= 1.25 * 49
    assert refusals <= 200
    assert sum(job.attempts == 3 for job in listed) <= 10


def test_what_may_go_already_wakes_at_once() -> None:
    schedule = planned(Limits(), jobs(A, 1))
    assert schedule.wake_at() == -inf
