"""Lines and summaries as a person reads them."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetchall.cells import Span, bar, columns, cut_end, cut_middle, flowed, render
from fetchall.records import ErrorType, Latency, Pace, Request, Result, Summary, Timing
from fetchall.terminal import HostLine, line, summary_text, visible

SGR = re.compile(r"\x1b\[[0-9;]*m")
BAD = ("Cc", "Cf", "Cs", "Zl", "Zp")
"""Unicode's categories of what a terminal obeys, hides or cannot encode."""
HOSTILE = "\x1b]0;own\x07\x9b31m\x7f\r\n\u202egnp.exe\u2066\ud800\u2028\ufeff"
TEXTS = st.text(st.characters(categories=("L", "M", "N", "P", "S", "Z", "C")), max_size=60)

SUMMARY = Summary(
    urls=102,
    ok=92,
    failed=10,
    retries=3,
    bytes=1_900_000,
    wire_bytes=1_200_000,
    elapsed=0.407,
    requests_per_second=250.5,
    latency=Latency(0.0061, 0.0601, 0.0455, 0.132, 0.2998, 0.3012),
    status={"200": 91, "204": 1, "404": 1, "500": 1, "503": 2},
    errors={"truncated": 1, "disconnected": 2},
    interrupted=False,
)
HISTOGRAM = [(0.01, 4), (0.02, 0), (0.05, 32), (0.1, 8), (0.2, 0)]
HOSTS = [HostLine("slow.example", 12, 3, 2.1, 10.0), HostLine("dead.example", 3, 3, None, None)]
MEASURED = Timing(Pace(0.21, 190.0, 20), Pace(4.05, 9.9, 1), 19.3)
ESTIMATED = Timing(Pace(0.21, 190.0, 20), Pace(4.0, None, 1, measured=False))


def result(url: str = "http://h.example/", **fields: object) -> Result:
    return Result(request=Request(url), method="GET", url=url, **fields)  # type: ignore[arg-type]


def text(
    summary: Summary = SUMMARY,
    timing: Timing = ESTIMATED,
    hosts: list[HostLine] = HOSTS,
    histogram: list[tuple[float, int]] = HISTOGRAM,
    color: bool = False,
    width: int | None = 80,
) -> str:
    return summary_text(summary, timing, hosts, histogram, color, width)


# What may be sent


@given(TEXTS)
@example(HOSTILE)
def test_nothing_that_a_terminal_obeys_is_visible(given_text: str) -> None:
    shown = visible(given_text)
    assert not [char for char in shown if unicodedata.category(char) in BAD]
    shown.encode("utf-8")


@given(st.text(st.characters(categories=("L", "N", "P", "S")), max_size=60))
def test_text_that_can_be_read_is_left_as_it_is(given_text: str) -> None:
    assert visible(given_text) == given_text


def test_escapes_are_written_by_their_number() -> None:
    assert visible("a\x1b[31m\n\x9b\x7f\u202e\ud800\U000e0001b") == (r"a\x1b[31m\x0a\x9b\x7f\u202e\ud800\U000e0001b")


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("width", [None, 1, 20, 80])
def test_untrusted_text_never_reaches_a_line_or_a_summary_raw(color: bool, width: int | None) -> None:
    bad = result(HOSTILE, final_url=HOSTILE, redirects=1, status=200, ok=True)
    worse = result(HOSTILE, error_type=ErrorType.INVALID_URL, error=HOSTILE)
    shown = line(bad, color, width) + line(worse, color, width)
    shown += text(hosts=[HostLine(HOSTILE, 1, 1, 1.0, 1.0)] * 2, color=color, width=width).replace("\n", "")
    assert SGR.sub("", shown).isprintable()
    assert color or "\x1b" not in shown


# Columns


def test_wide_characters_take_two_columns_and_combining_marks_none() -> None:
    assert columns("abc") == 3
    assert columns("例え") == 4
    assert columns("e\u0301") == 1


@given(TEXTS.map(visible), st.integers(0, 40))
def test_a_cut_text_fits_and_a_text_that_fits_is_not_cut(given_text: str, room: int) -> None:
    for cut in (cut_end, cut_middle):
        assert columns(cut(given_text, room)) <= room
        if columns(given_text) <= room and len(given_text) <= 4 * room:
            assert cut(given_text, room) == given_text


def test_a_cut_url_keeps_its_final_part() -> None:
    assert cut_middle("https://host.example/a/long/way/to/file.tar.gz", 24) == "https://…/to/file.tar.gz"
    assert cut_middle("https://例え.example/とても/長い/終わり", 24) == "https://…も/長い/終わり"


def test_combining_marks_cannot_make_a_line_endless() -> None:
    assert len(line(result("http://h/a" + "\u0301" * 100_000), False, 80)) < 500


@given(st.floats(0, 1e6), st.floats(1e-6, 1e6), st.integers(0, 200))
def test_a_bar_begins_at_zero_and_fits(value: float, top: float, room: int) -> None:
    drawn = bar(min(value, top), top, room)
    assert len(drawn) <= room
    assert bool(drawn) == (value > 0 and room > 0)


def test_bars_are_as_long_as_their_values() -> None:
    assert bar(10, 10, 8) == "█" * 8
    assert bar(5, 10, 8) == "█" * 4
    assert bar(1, 64, 8) == "▏"
    assert bar(1, 1_000_000, 8) == "▏"


@given(st.lists(TEXTS.map(visible), max_size=6), st.integers(1, 30), st.integers(0, 9))
def test_flowing_loses_no_word(texts: list[str], width: int, indent: int) -> None:
    rows = flowed([Span(f" {given_text}") for given_text in texts], width, indent)
    words = "".join(span.text for row in rows for span in row)
    assert re.sub(r"[ ·]", "", words) == re.sub(r"[ ·]", "", "".join(texts))


@given(st.lists(TEXTS.map(visible), max_size=6), st.integers(1, 30), st.booleans())
def test_a_rendered_row_is_no_wider_than_the_terminal(texts: list[str], width: int, color: bool) -> None:
    shown = render([Span(given_text, "31") for given_text in texts], color, width)
    assert columns(SGR.sub("", shown)) <= width


# One line


def test_a_line_shows_status_time_size_and_url() -> None:
    shown = line(result(status=200, ok=True, elapsed=0.0452, size=12_600), False, 80)
    assert shown == "200  45.2 ms   12.3 KiB  http://h.example/"


def test_a_line_shows_the_error_and_its_message() -> None:
    cut = result(status=200, elapsed=0.06, size=9000, error_type=ErrorType.TRUNCATED, error="9,000 of 24,000 bytes")
    assert line(cut, False, None) == "ERR  60.0 ms    8.8 KiB  http://h.example/  truncated: 9,000 of 24,000 bytes"


def test_a_line_of_what_was_never_sent_has_neither_time_nor_size() -> None:
    shown = line(result("ftp://h/", error_type=ErrorType.UNSUPPORTED_SCHEME), False, 80)
    assert shown.split() == ["ERR", "\N{EN DASH}", "\N{EN DASH}", "ftp://h/", "unsupported_scheme"]


def test_columns_are_aligned_whatever_they_hold() -> None:
    lines = [
        line(result(status=200, elapsed=0.001, size=0), False, 80),
        line(result(status=404, elapsed=61.0, size=123_456_789), False, 80),
        line(result(elapsed=4000.0, error_type=ErrorType.TIMEOUT), False, 80),
        line(result(error_type=ErrorType.DNS), False, 80),
    ]
    assert {shown.index("http://") for shown in lines} == {25}


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"status": 200}, "32"),
        ({"status": 304}, "36"),
        ({"status": 404}, "33"),
        ({"status": 503}, "31"),
        ({"status": 999}, "31"),
        ({"status": 200, "error_type": ErrorType.TRUNCATED}, "31"),
        ({"error_type": ErrorType.DNS}, "31"),
    ],
)
def test_a_line_is_coloured_by_its_class(fields: dict[str, object], code: str) -> None:
    assert line(result("http://h/", **fields), True, 80).startswith(f"\x1b[{code}m")
    assert "\x1b" not in line(result("http://h/", **fields), False, 80)


def test_an_error_is_named_even_where_the_url_is_long() -> None:
    long = result("http://h.example/" + "x" * 200 + "/end", error_type=ErrorType.TOO_MANY_REDIRECTS, error="more")
    for width in (44, 60, 80, 120):
        shown = line(long, False, width)
        assert shown.endswith("/end  too_many_redirects")
        assert columns(shown) == width


def test_a_redirect_shows_where_it_led() -> None:
    moved = result("http://h/old", final_url="http://h/new", redirects=1, status=200)
    assert line(moved, False, 80).endswith("http://h/old  → /new")
    away = result("http://h/old", final_url="http://host.example/", redirects=1, status=200)
    assert line(away, False, 80).endswith("http://h/old  → http://host.example/")


def test_attempts_are_shown_where_there_was_more_than_one() -> None:
    assert line(result(status=200, attempts=3), False, 80).endswith("  3 attempts")
    assert "attempt" not in line(result(status=200, attempts=1), False, 80)


@given(
    url=TEXTS,
    status=st.none() | st.integers(100, 999),
    kind=st.none() | st.sampled_from(ErrorType),
    elapsed=st.none() | st.floats(0, 1e6),
    size=st.none() | st.integers(0, 10**15),
    width=st.integers(1, 130),
)
def test_a_line_fits_every_terminal(
    url: str, status: int | None, kind: ErrorType | None, elapsed: float | None, size: int | None, width: int
) -> None:
    row = result(url, status=status, error_type=kind, error=kind and url, elapsed=elapsed, size=size, attempts=2)
    shown = line(row, True, width)
    assert shown.count("\n") == 0
    assert columns(SGR.sub("", shown)) <= width


# The summary


def test_a_summary_says_how_many_were_ok_and_failed_and_how_fast() -> None:
    first = text().splitlines()[0]
    assert first == "92 ok   10 failed   of 102 URLs in 407 ms · 250 requests/s · 3 retries"


def test_a_summary_counts_statuses_errors_hosts_and_bytes() -> None:
    shown = text()
    for pattern in (
        r"^200 OK +91\b",
        r"^404 Not Found +1\b",
        r"^disconnected +2$",
        r"^slow.example +12 +3 +2.10 s +10.00 s$",
        r"^dead.example +3 +3 +\N{EN DASH} +\N{EN DASH}$",
        r"^Bytes +1.8 MiB decoded, 1.1 MiB on the wire, 2.8 MiB/s$",
        r"p50 +45.5 ms +p90 +132 ms +p99 +300 ms$",
        r"min +6.1 ms +mean +60.1 ms +max +301 ms$",
    ):
        assert re.search(pattern, shown, re.MULTILINE), pattern


def test_one_failure_among_a_million_shows_in_the_bar_and_so_does_one_success() -> None:
    for ok in (999_999, 1):
        shown = text(replace(SUMMARY, urls=1_000_000, ok=ok, failed=1_000_000 - ok)).splitlines()[1]
        assert set(shown) == {"━", "\N{MULTIPLICATION SIGN}"}
        assert len(shown) == 80


def test_a_histogram_has_bars_from_zero_with_counts_and_no_empty_ends() -> None:
    rows = re.findall(r"(≤ \S+ ms) +(\d+) ?(\S*)$", text(), re.MULTILINE)
    counts = [(edge, int(count)) for edge, count, _ in rows]
    assert counts == [("≤ 10 ms", 4), ("≤ 20 ms", 0), ("≤ 50 ms", 32), ("≤ 100 ms", 8)]
    lengths = [columns(drawn) for _, _, drawn in rows]
    assert lengths[1] == 0
    assert lengths[2] == pytest.approx(4 * lengths[3], abs=4)


@given(st.lists(st.integers(0, 10**6), max_size=400))
def test_a_long_histogram_is_joined_and_counts_everything(counts: list[int]) -> None:
    histogram = [(0.001 * 1.05**at, count) for at, count in enumerate(counts)]
    shown = text(histogram=histogram, hosts=[], width=60)
    rows = [row for row in shown.splitlines() if row.lstrip().startswith("≤")]
    assert len(rows) <= 10
    numbers = [re.search(r"(?:ms|s|min) +([\d,]+)(?: [█▏▎▍▌▋▊▉]*)?$", row) for row in rows]
    assert sum(int(found[1].replace(",", "")) for found in numbers if found) == sum(counts)


def test_a_measured_speed_up_is_said_with_its_caveat() -> None:
    shown = text(timing=MEASURED)
    assert "one at a time 4.05 s, concurrently 210 ms at 20 in flight: 19.3 \N{MULTIPLICATION SIGN} faster" in shown
    assert "the first pass also warms servers and DNS" in shown


def test_an_estimate_is_called_one_and_claims_no_speed_up() -> None:
    shown = " ".join(text(timing=ESTIMATED).split())
    assert "one at a time would take at most ~4.00 s (sum of times on the wire, not measured)" in shown
    assert "faster" not in shown


def test_concurrency_that_did_not_pay_is_not_called_faster() -> None:
    shown = text(timing=Timing(Pace(4.2, 10.0, 20), Pace(4.0, 10.5, 1), 0.95))
    assert "no faster (0.95 \N{MULTIPLICATION SIGN})" in shown


def test_an_interrupted_run_says_so_first() -> None:
    assert text(replace(SUMMARY, interrupted=True)).splitlines()[0].startswith("Interrupted")


def test_an_empty_run_reads_well() -> None:
    nothing = Summary(0, 0, 0, 0, 0, 0, 0.01, None, None, {}, {}, False)
    timing = Timing(Pace(0.01, None, 20), Pace(0.0, None, measured=False))
    assert text(nothing, timing, [], []) == "No URLs: the list held none."
    assert text(replace(nothing, interrupted=True), timing, [], []) == "Interrupted before the first answer."


def test_a_run_without_any_answer_has_no_latencies() -> None:
    dead = replace(SUMMARY, ok=0, failed=102, latency=None, status={}, errors={"dns": 102}, bytes=0, wire_bytes=0)
    shown = text(dead, Timing(Pace(1.0, 102.0, 20), Pace(0.0, None, measured=False)), [], [])
    assert "Latency" not in shown
    assert "Status" not in shown
    assert "Time" not in shown
    assert re.search(r"^dns +102$", shown, re.MULTILINE)


def test_one_host_alone_is_no_table() -> None:
    assert "Slowest" not in text(hosts=HOSTS[:1])


def test_of_a_hundred_statuses_the_most_frequent_are_shown_and_the_rest_counted() -> None:
    status = {str(code): code for code in range(600, 700)}
    shown = text(replace(SUMMARY, status=status), width=60)
    assert [int(code) for code in re.findall(r"^(6\d\d) ", shown, re.MULTILINE)] == list(range(690, 700))
    assert re.search(rf"^90 more +{sum(range(600, 690)):,}$", shown, re.MULTILINE)


@pytest.mark.parametrize("color", [False, True])
@pytest.mark.parametrize("timing", [MEASURED, ESTIMATED], ids=["measured", "estimated"])
def test_a_summary_fits_every_terminal(color: bool, timing: Timing) -> None:
    for width in range(1, 140):
        for row in text(replace(SUMMARY, interrupted=True), timing, color=color, width=width).splitlines():
            assert columns(SGR.sub("", row)) <= width


def test_colours_change_nothing_else() -> None:
    assert SGR.sub("", text(color=True)) == text(color=False)
    assert SGR.search(text(color=True))
