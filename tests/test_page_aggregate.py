"""What the report page adds up: bins, samples, tops and phases, whatever comes in whatever order."""

from __future__ import annotations

import math
import tracemalloc
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchall.sinks.page.aggregate import EXAMPLES, HOSTS, SAMPLE, Picture, Sample, Top
from fetchall.sinks.page.bins import MOST, Timeline
from fetchall.sinks.page.scale import counts, decades, rates, ticks
from fetchall.sinks.page.seen import Phases, Seen
from fetchall.sinks.page.waterfall import segments

moments = st.floats(0, 1e6, allow_nan=False)
lengths = st.floats(0, 1e4, allow_nan=False)
attempts = st.lists(st.tuples(moments, lengths, st.booleans()), min_size=1, max_size=60)


def seen(
    place: int,
    *,
    start: float | None = 0.0,
    elapsed: float | None = 1.0,
    ok: bool = True,
    host: str = "a.example",
    size: int | None = 10,
    error_type: str | None = None,
    redirects: int = 0,
    phases: Phases | None = None,
    tries: tuple[tuple[float, float], ...] = (),
) -> Seen:
    status = None if error_type else 200 if ok else 404
    return Seen(
        place, f"http://{host}/{place}", host, status, ok, error_type, None, max(len(tries), 1), redirects, start,
        elapsed, size, phases, tries,
    )  # fmt: skip


@settings(deadline=None)
@given(attempts, st.integers(1, 200))
def test_no_result_is_lost_when_bins_double_their_width(given: list[tuple[float, float, bool]], most: int) -> None:
    timeline = Timeline()
    for start, elapsed, ok in given:
        timeline.attempt(1.7e9 + start, elapsed)
        timeline.result(1.7e9 + start + elapsed, ok)
    found = timeline.intervals(most)
    assert len(found) <= most
    assert sum(part.ok for part in found) == sum(ok for _, _, ok in given)
    assert sum(part.failed for part in found) == sum(not ok for _, _, ok in given)
    assert all(one.end == pytest.approx(other.start) for one, other in pairwise(found))


@settings(deadline=None)
@given(attempts, st.integers(1, 200))
def test_in_flight_is_the_exact_mean_of_each_stretch(given: list[tuple[float, float, bool]], most: int) -> None:
    timeline = Timeline()
    for start, elapsed, _ in given:
        timeline.attempt(start, elapsed)
    found = timeline.intervals(most)
    begin, end = min(start for start, _, _ in given), max(start + elapsed for start, elapsed, _ in given)
    assert timeline.last - timeline.first == pytest.approx(end - begin, abs=1e-6)
    for part in found:
        left, right = max(part.start, 0.0) + begin, min(part.end + begin, end)
        span = max(right - left, 0.001)
        area = sum(max(min(start + elapsed, right) - max(start, left), 0.0) for start, elapsed, _ in given)
        assert part.in_flight == pytest.approx(area / span, abs=1e-4 + 1e-6 * len(given) / span)


def test_there_are_never_more_bins_than_stated_and_a_short_run_keeps_fine_ones() -> None:
    timeline = Timeline()
    for at in range(400):
        timeline.attempt(at / 1000, 0.0)
    assert timeline.width == 0.001
    for at in range(5_000):
        timeline.attempt(at * 7.0, 3.0)
        timeline.attempt(-at * 3.0, 1.0)
    assert len(timeline._bins) <= MOST
    assert len(timeline.intervals(MOST)) <= MOST


@settings(deadline=None)
@given(st.permutations(range(300)))
def test_a_sample_does_not_depend_on_the_order_of_arrival(order: list[int]) -> None:
    one, other = Sample(40), Sample(40)
    for place in range(300):
        one.add(seen(place))
    for place in order:
        other.add(seen(place))
    assert one.rows() == other.rows()
    assert one.rows(10) == one.rows()[:10]


def test_a_sample_draws_evenly_from_the_whole_list() -> None:
    sample = Sample(1_000)
    for place in range(20_000):
        sample.add(seen(place))
    tenths = [0] * 10
    for row in sample.rows():
        tenths[row.place // 2_000] += 1
    # Hypergeometric: 100 each, standard deviation 9.2.
    assert all(55 < tenth < 145 for tenth in tenths)


@settings(deadline=None)
@given(st.lists(st.floats(0, 100, allow_nan=False), max_size=80))
def test_the_slowest_are_what_sorting_all_would_give(values: list[float]) -> None:
    top = Top(7)
    for place, value in enumerate(values):
        top.add(value, seen(place))
    expected = sorted(range(len(values)), key=lambda place: (-values[place], place))[:7]
    assert [row.place for row in top.rows()] == expected


phase = st.none() | st.floats(0, 50, allow_nan=False)


@settings(deadline=None)
@given(
    st.floats(0, 100, allow_nan=False),
    st.integers(0, 3),
    st.tuples(phase, phase, phase, phase, phase, phase),
    st.lists(st.tuples(st.floats(0, 5), st.floats(0, 5)), max_size=4),
)
def test_phases_never_overlap_and_never_outlast_their_request(
    elapsed: float, redirects: int, phases: Phases, waits: list[tuple[float, float]]
) -> None:
    start, tries = 1000.0, []
    at = start
    for wait, length in waits:
        tries.append((at, length))
        at += length + wait
    if tries:
        elapsed = tries[-1][0] + tries[-1][1] - start
    row = seen(0, start=start, elapsed=elapsed, redirects=redirects, phases=phases, tries=tuple(tries))
    found = segments(row)
    assert found
    assert all(one.end <= other.start + 1e-9 for one, other in pairwise(found))
    assert all(part.start <= part.end for part in found)
    assert found[-1].end <= start + elapsed + 1e-9
    assert all(part.start >= start - 1e-9 for part in found if part.phase != "queued")


def test_a_retried_request_shows_its_earlier_attempts_and_the_wait_between_them_as_a_gap() -> None:
    row = seen(0, start=10.0, elapsed=5.0, phases=(0.5, None, None, 0.1, 0.8, 0.1), tries=((10.0, 1.0), (14.0, 1.0)))
    found = [(part.phase, round(part.start, 6), round(part.end, 6)) for part in segments(row)]
    assert found == [
        ("other", 10.0, 11.0), ("queued", 13.5, 14.0), ("send", 14.0, 14.1), ("wait", 14.1, 14.9),
        ("receive", 14.9, 15.0),
    ]  # fmt: skip


def test_what_was_never_sent_is_counted_but_has_no_place_in_time() -> None:
    picture = Picture()
    picture.add(seen(0, start=None, elapsed=None, ok=False, error_type="invalid_url", host=""))
    assert picture.rows == 1
    assert picture.trace.sent == 0
    assert picture.trace.begin is None
    assert segments(picture.groups["invalid_url"].examples[0]) == []


def test_examples_of_a_failure_come_from_different_hosts() -> None:
    picture = Picture()
    for place in range(200):
        host = f"h{place - 94}.example" if place > 95 else "same.example"
        picture.add(seen(place, ok=False, error_type="timeout", host=host))
    group = picture.groups["timeout"]
    assert group.count == 200
    assert len({row.host for row in group.examples}) == EXAMPLES


def test_hosts_beyond_the_bound_are_counted_together() -> None:
    picture = Picture()
    for place in range(HOSTS + 25):
        picture.add(seen(place, host=f"h{place}.example"))
    assert len(picture.hosts) == HOSTS
    assert picture.other_hosts.urls == 25


def test_memory_does_not_grow_with_the_rows() -> None:
    picture = Picture()

    def add(first: int, last: int) -> int:
        for place in range(first, last):
            failed = "timeout" if place % 9 == 0 else None
            picture.add(
                seen(place, start=place * 0.01, ok=not failed, error_type=failed, host=f"h{place % 300}.example",
                     size=place % 5_000, elapsed=(place % 997) / 500, phases=(0.1, None, 0.1, 0.1, 0.2, 0.1))
            )  # fmt: skip
        return tracemalloc.get_traced_memory()[0]

    tracemalloc.start()
    try:
        early = add(0, 6 * SAMPLE)
        late = add(6 * SAMPLE, 24 * SAMPLE)
    finally:
        tracemalloc.stop()
    assert late - early < 150_000


@settings(deadline=None)
@given(st.floats(1e-6, 1e9, allow_nan=False), st.integers(2, 10))
def test_axes_begin_at_zero_hold_their_top_and_step_by_1_2_or_5(top: float, most: int) -> None:
    for marks in (ticks(top, most), counts(top, most)[0], rates(top, most)[0]):
        assert marks[0] == 0
        steps = {round(other - one, 12) for one, other in pairwise(marks)}
        for step in list(steps)[:1]:
            assert f"{step:.6e}"[0] in "125"
            assert all(math.isclose(step, other, rel_tol=1e-6) for other in steps)
    assert len(ticks(top, most)) <= most + 1
    assert ticks(top, most)[-1] <= top * (1 + 1e-6)
    for axis in (counts, rates):
        assert axis(top, most)[1] >= top * (1 - 1e-6)


@settings(deadline=None)
@given(st.floats(1e-6, 1e5), st.floats(1, 1e8))
def test_marks_of_a_logarithmic_axis_lie_on_it(low: float, factor: float) -> None:
    found = decades(low, low * factor)
    assert all(low <= value <= low * factor for value in found)
    assert found == sorted(found)
