"""Ranges and braces, as curl 8 unrolls them: what is not in its manual was tried with its binary."""

from __future__ import annotations

import tracemalloc
from itertools import islice, product
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall.errors import InvalidOptions
from fetchall.records import ErrorType, Request
from fetchall.source import Reading, check_sources, count, read_sources
from fetchall.source.globbing import MOST, Glob

HOST = "http://h/"


def unrolled(pattern: str) -> list[str]:
    return [url.removeprefix(HOST) for url in Glob(HOST + pattern)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("{one,two,three}", ["one", "two", "three"]),
        ("file[1-4].txt", ["file1.txt", "file2.txt", "file3.txt", "file4.txt"]),
        ("[001-003]", ["001", "002", "003"]),
        ("[09-11]", ["09", "10", "11"]),
        ("[00-2]", ["00", "01", "02"]),
        ("[0-2]", ["0", "1", "2"]),
        ("[a-d]", ["a", "b", "c", "d"]),
        ("[1-10:4]", ["1", "5", "9"]),
        ("[a-e:2]", ["a", "c", "e"]),
        ("[1- 3]", ["1", "2", "3"]),
        ("[5-5][b-b]", ["5b"]),
        ("{a}", ["a"]),
        ("{a,}", ["a", ""]),
        ("{,}", ["", ""]),
        (r"{a\,b,c}", ["a,b", "c"]),
        ("[1-2]{x,y}", ["1x", "1y", "2x", "2y"]),
        ("a[]b?id[]=1", ["a[]b?id[]=1"]),
        (r"\{a\}\[1-2\]", ["{a}[1-2]"]),
        (r"\a", [r"\a"]),
        ("plain", ["plain"]),
        ("", [""]),
    ],
)
def test_a_pattern_is_unrolled_as_curl_does(pattern: str, expected: list[str]) -> None:
    assert unrolled(pattern) == expected


@pytest.mark.parametrize(
    "url", ["http://[::1]:8080/[1-2]", "http://[fe80::1%25eth0]/[1-2]", "http://[::ffff:1.2.3.4]/[1-2]"]
)
def test_an_ipv6_address_is_no_range(url: str) -> None:
    assert list(Glob(url)) == [url[:-5] + "1", url[:-5] + "2"]


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("{}", "nothing stands in the braces"),
        ("[1-3", "no range"),
        ("[3-1]", "runs backwards"),
        ("[z-a]", "runs backwards"),
        ("[A-z]", "mixes capital and small"),
        ("[1-3:5]", "a step of 5: from 1 to 2"),
        ("[1-3:0]", "a step of 0"),
        ("[1-1:2]", "a step of 2"),
        ("[a-1]", "no range"),
        ("[-1]", "no range"),
        ("[x]", "no range"),
        ("{a,[1-2]}", "can't be nested"),
        ("{a,{b}}", "can't be nested"),
        ("{a,b]}", "closes nothing"),
        ("{a", "is not closed"),
        ("a]", "closes nothing"),
        ("a}", "closes nothing"),
        ("[1-99999999999999999999]", "is beyond"),
        ("[1-9999999999999999999]", "is beyond"),
        ("[" * 100_000, "no range"),
        ("[1-2]" * (MOST + 1), "more than 100"),
    ],
)
def test_a_broken_pattern_says_what_is_wrong_with_it(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        Glob(HOST + pattern)


def test_what_goes_on_without_end_is_unrolled_one_by_one_in_a_memory_that_stays() -> None:
    tracemalloc.start()
    try:
        glob = Glob(HOST + "[1-1000000000000]/" * 9 + "[000-999]")
        first = [url[-3:] for url in islice(glob, 2_500)]
        assert tracemalloc.get_traced_memory()[1] < 1024**2
    finally:
        tracemalloc.stop()
    assert glob.count == 10**111
    assert first == [f"{number % 1000:03}" for number in range(2_500)]


PLAIN = st.text("abc/.?=&%", max_size=5)
NUMBERS = st.tuples(st.integers(0, 30), st.integers(1, 9), st.integers(1, 4), st.booleans())
PARTS = st.one_of(
    PLAIN.map(lambda text: (text, [text])),
    st.lists(PLAIN, min_size=1, max_size=4)
    .filter(lambda texts: texts != [""])
    .map(lambda texts: ("{" + ",".join(texts) + "}", texts)),
    NUMBERS.map(lambda given: _range(*given)),
)


def _range(first: int, more: int, step: int, padded: bool) -> tuple[str, list[str]]:
    last, step = first + more, min(step, more)
    width = len(str(last)) + 1 if padded else 0
    texts = [str(number).zfill(width) for number in range(first, last + 1, step)]
    return f"[{str(first).zfill(width)}-{last}:{step}]", texts


@given(st.lists(PARTS, max_size=4))
def test_it_gives_every_combination_once_the_rightmost_part_varying_fastest(parts: list[tuple[str, list[str]]]) -> None:
    glob = Glob("".join(pattern for pattern, _ in parts))
    assert list(glob) == ["".join(texts) for texts in product(*(texts for _, texts in parts))]
    assert glob.count == prod(len(texts) for _, texts in parts)


@given(st.text(st.sampled_from("[]{},-:\\019az \u0660é"), max_size=24))
def test_any_text_is_a_pattern_or_a_value_error(text: str) -> None:
    try:
        glob = Glob(text)
    except ValueError:
        return
    assert len(list(islice(glob, 100))) == min(glob.count, 100)


def test_an_argument_is_unrolled_and_counted_only_where_asked_to() -> None:
    name = HOST + "[1-3]"
    assert [request.url for batch in read_sources([name]) for request in batch] == [name]
    unrolled = [request for batch in read_sources([name, "http://z/"], reading=Reading(glob=True)) for request in batch]
    assert unrolled == [
        Request(url, index) for index, url in enumerate(["http://h/1", "http://h/2", "http://h/3", "http://z/"])
    ]
    assert (count([name]), count([name], Reading(glob=True))) == (1, 3)


def test_a_broken_pattern_is_a_usage_error_for_an_argument_without_its_password() -> None:
    check_sources(["http://u:secret@h/[3-1]"])
    with pytest.raises(InvalidOptions, match=r"--glob http://u:\*\*\*@h/\[3-1\]: the range at .* runs backwards"):
        check_sources(["http://u:secret@h/[3-1]"], Reading(glob=True))


def test_a_broken_pattern_in_a_list_is_a_bad_line_and_what_follows_is_numbered_on(tmp_path: object) -> None:
    path = f"{tmp_path}/list"
    with open(path, "w") as file:
        file.write("# all\nhttp://h/[1-2]\nhttp://h/[2-1]\nhttp://h/{a,b}\n")
    requests = [request for batch in read_sources([path], reading=Reading(glob=True)) for request in batch]
    assert [request.index for request in requests] == [0, 1, 2, 3, 4]
    assert [request.url for request in requests] == [HOST + "1", HOST + "2", HOST + "[2-1]", HOST + "a", HOST + "b"]
    fault = requests[2].fault
    assert fault is not None
    assert fault.type is ErrorType.BAD_LINE
    assert fault.message == f"line 3 of {path} has a broken range or brace: the range at 10 runs backwards"


def test_what_else_a_row_says_goes_with_each_of_its_urls(tmp_path: object) -> None:
    path = f"{tmp_path}/list.jsonl"
    with open(path, "w") as file:
        file.write('{"url": "http://h/{a,b}", "method": "PUT", "headers": {"X": "1"}, "body": "z", "id": 7}\n')
    found = [request for batch in read_sources([path], reading=Reading(glob=True)) for request in batch]
    assert found == [
        Request(HOST + end, index, "PUT", (("X", "1"),), b"z", {"id": 7}) for index, end in enumerate("ab")
    ]
