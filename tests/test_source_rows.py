"""What the rows of tables, of JSON and of Parquet may hold, and what becomes of a bad one."""

from __future__ import annotations

import csv
import datetime
import decimal
import io
import json
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from fetchall.errors import SourceError
from fetchall.options import Options
from fetchall.records import ErrorType, Request, Result
from fetchall.rows import PLAIN, Columns, dumps, fields
from fetchall.source import Reading, read_sources
from fetchall.source.cells import LONGEST
from fetchall.source.columns import distinct
from fetchall.source.maker import MAX_URL
from fetchall.source.objects import MAX_OBJECT
from tests.lists import messages, read, read_up_to_error


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Names in messages are short: each test reads from its own folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def table(content: bytes | str, name: str = "a.csv", **reading: Any) -> list[Request]:
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return read(name, **reading)


def row(request: Request) -> dict[str, Any]:
    """The row as it is written, parsed again."""
    found: dict[str, Any] = orjson.loads(dumps(fields(Result(request, "GET", request.url), PLAIN)))
    return found


pytestmark = pytest.mark.usefixtures("folder")

# Which column is the URL.


@pytest.mark.parametrize(
    ("content", "reading"),
    [
        ("id,url,link\n1,http://h/,http://no/\n", {}),
        ("id,URL,link\n1,http://h/,http://no/\n", {}),
        ("id, Url ,link\n1,http://h/,http://no/\n", {}),
        ("id,link\n1,http://h/\n", {}),
        ("id,link\n,\n,\n1,http://h/\n", {}),
        ("url,link\nhttp://no/,http://h/\n", {"url_column": "link"}),
        ("url,Link\nhttp://no/,http://h/\n", {"url_column": "link"}),
        ("url,Link\nhttp://no/,http://h/\n", {"url_column": "2"}),
        ("a,b\n1,2\nhttp://no/,http://h/\n", {"url_column": "b"}),
        ("http://h/\n", {}),
        ("1,http://h/,x\n", {}),
        ("http://no/,http://h/\n", {"url_column": "2"}),
        ("http://no/,http://h/\n", {"url_column": "column2"}),
        ("id;url\n1;http://h/\n", {}),
    ],
)
def test_the_column_of_urls_is_the_one_asked_for_or_named_url_or_the_only_one(
    content: str, reading: dict[str, str]
) -> None:
    assert table(content, **reading)[-1].url == "http://h/"


@pytest.mark.parametrize(
    ("content", "reading", "reason"),
    [
        ("a,b\n1,2\n", {}, r"a\.csv has no column named url, and none that holds URLs: say which with --url-column"),
        ("a,b\n" + "1,2\n" * 100_000 + "1,http://h/\n", {}, "has no column named url"),
        ("a,b\nhttp://x/,http://y/\n", {}, r"holds URLs in several columns \(a, b\): say which"),
        ("a,b\nhttp://x/,\n,http://y/\n", {}, r"holds URLs in several columns \(a, b\): say which"),
        ("a,b\n1,2\n", {"url_column": "c"}, r"has no column 'c' \(--url-column\); it has a, b"),
        ("a,b\n1,2\n", {"url_column": "3"}, "has no column '3'"),
        (b"a,\xff\n1,2\n", {}, r"line 1 of a\.csv, its header, is not UTF-8 text"),
    ],
)
def test_a_table_that_does_not_say_where_its_urls_are_is_an_error_that_says_what_to_do(
    content: str | bytes, reading: dict[str, str], reason: str
) -> None:
    with pytest.raises(SourceError, match=reason):
        table(content, **reading)


def test_a_header_alone_is_a_list_of_nothing() -> None:
    assert table("a,b\n") == []


def test_other_columns_travel_through_and_every_name_stands_once() -> None:
    (request,) = table("a,url,a,,a_2\n1,http://h/,2,3,4\n")
    assert request.input == {"a": "1", "a_2": "2", "column4": "3", "a_2_2": "4"}
    assert row(request)["input"] == request.input


@given(st.lists(st.sampled_from(["a", "b", "", "a_2", "column1", "column2"]), max_size=8))
def test_made_up_names_never_clash(names: list[str]) -> None:
    found = distinct(names)
    assert len(set(found)) == len(names)
    assert all(found)


def test_a_short_row_has_nulls_and_a_blank_line_is_none() -> None:
    requests = table("id,url,a,b\n\n1,http://h/1\n   \n2,http://h/2,x\n")
    assert [request.input for request in requests if not request.fault] == [
        {"id": "1", "a": None, "b": None},
        {"id": "2", "a": "x", "b": None},
    ]
    assert messages(requests) == [None, "line 4 of a.csv has no URL", None]


# Bad rows of tables.


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"1,,x", "has no URL"),
        (b"1,http://h/a,b,c", "has 4 cells, and there are 3 columns: quote what has a delimiter in it"),
        (b"1,http://\xff/,x", "is not UTF-8 text"),
        (b"1,http://h/\0,x", "holds a NUL byte"),
        (b"1,http://h/,a\rb", "is not CSV: new-line character seen in unquoted field"),
        (b"1,http://h/," + b"x" * LONGEST, "is longer than 128 KiB"),
        (b"1,http://h/" + b"x" * MAX_URL + b",", "is longer than 64 KiB"),
        (b'1,http://h/,"' + b"x" * LONGEST, "is longer than 128 KiB"),
    ],
)
def test_a_bad_row_names_file_and_line_and_the_next_is_read(line: bytes, reason: str) -> None:
    first, bad, last = table(b'id,url,x\n1,http://a/,"two\nlines"\n' + line + b"\n3,http://z/,y\n")
    assert (first.url, last.url, last.index) == ("http://a/", "http://z/", 2)
    assert bad.fault is not None
    assert bad.fault.type is ErrorType.BAD_LINE
    assert bad.fault.message.startswith(f"line 4 of a.csv {reason}")
    assert len(bad.url) <= 800


@pytest.mark.parametrize("after", [3, 5_000])
def test_a_quote_that_does_not_close_costs_its_own_row_alone(after: int) -> None:
    content = 'id,url,x\n0,http://h/,"open\n' + "".join(f"{n},http://h/{n},y\n" for n in range(1, after))
    bad, *others = table(content)
    assert messages([bad]) == ["line 2 of a.csv has a quote that opens and does not close"]
    assert bad.url == '0,http://h/,"open'
    assert [request.input for request in others] == [{"id": str(n), "x": "y"} for n in range(1, after)]


def test_a_quote_that_closes_in_a_later_rows_quote_costs_its_own_row_alone() -> None:
    content = 'id,url,x\n0,http://h/,"open\n1,http://h/1,y\n2,http://h/2,"quo\nted"\n3,http://h/3,z\n'
    requests = table(content)
    assert messages(requests)[0] == "line 2 of a.csv has a quote that opens and does not close"
    assert [request.url for request in requests[1:]] == ["http://h/1", "http://h/2", "http://h/3"]
    assert requests[2].input == {"id": "2", "x": "quo\nted"}


@given(st.lists(st.sampled_from(['"', ",", "\n", "a", "\r\n", '""', "http://h/", ";", "\t"]), max_size=40))
@settings(max_examples=250, deadline=None)
def test_a_well_formed_table_is_cut_as_the_csv_module_cuts_it(pieces: list[str]) -> None:
    text = "url,b,c,d,e,f,g,h,i,j,k\nhttp://first/\n" + "".join(pieces)
    try:
        expected = [cells for cells in csv.reader(io.StringIO(text, newline=""), strict=True) if cells][1:]
    except csv.Error:
        expected = None
    found = table(text)
    assert [request.index for request in found] == list(range(len(found)))
    if expected is not None and all(len(cells) <= 11 for cells in expected):
        values = [[request.url, *(request.input or {}).values()] for request in found if not request.fault]
        wanted = [[cells[0].strip(), *cells[1:], *[None] * (11 - len(cells))] for cells in expected if cells[0].strip()]
        assert values == wanted


# JSON.


def lines(*values: object) -> list[Request]:
    return table(
        b"".join(value if isinstance(value, bytes) else orjson.dumps(value) + b"\n" for value in values), "a.jsonl"
    )


def test_an_object_may_set_method_headers_and_body_and_the_rest_travels_through() -> None:
    found = lines(
        {"url": "http://h/", "method": "post", "headers": {"X-A": "1", "X-B": 2, "X-C": ["3", 4.5]}, "body": "ü"},
        {"url": "http://h/", "body_base64": "AP8=", "method": "Custom-method"},
        {"url": "http://h/", "json": {"a": [1, None]}, "headers": {"accept": "text/plain"}},
        {"url": "http://h/", "method": None, "headers": None, "body": None, "json": None, "id": 7, "output": "a.txt"},
        "http://h/",
    )
    json_type = ("Content-Type", "application/json")
    assert found == [
        Request("http://h/", 0, "POST", (("X-A", "1"), ("X-B", "2"), ("X-C", "3"), ("X-C", "4.5")), "ü".encode()),
        Request("http://h/", 1, "Custom-method", (), b"\0\xff"),
        Request("http://h/", 2, None, (("accept", "text/plain"), json_type), b'{"a":[1,null]}'),
        Request("http://h/", 3, None, (), None, {"id": 7, "output": "a.txt"}, output="a.txt"),
        Request("http://h/", 4),
    ]


@given(st.integers(-(10**300), 10**300) | st.sampled_from([2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1]))
def test_no_integer_is_rounded(number: int) -> None:
    (found,) = lines(
        b'{"url": "http://h/", "id": %d, "json": [%d], "headers": {"X-Id": %d}}' % (number, number, number)
    )
    assert found.input == {"id": number}
    assert found.body == b"[%d]" % number
    assert found.headers[0] == ("X-Id", str(number))


def test_a_long_number_in_what_nests_deeply_is_a_row_still() -> None:
    deep = b"[" * 240 + b"]" * 240
    (found,) = lines(b'{"url": "http://h/", "id": %d, "deep": %s}' % (2**70, deep))
    assert (found.fault, (found.input or {})["id"]) == (None, 2**70)


def test_of_a_row_of_an_earlier_run_the_url_alone_is_asked_for() -> None:
    """What stands there as headers and body is the answer's: as a request's it would be nonsense, or a POST."""
    earlier = Result(Request("http://h/"), "GET", "http://h/", headers={"content-length": ["2"]}, body=b"\0\xff")
    answer = fields(earlier, Columns(headers=True, body=True))
    (request,) = table(dumps(answer), "rows.jsonl")
    assert (request.url, request.method, request.headers, request.body) == ("http://h/", None, (), None)
    assert request.fault is None
    assert request.input is not None
    assert request.input["headers"] == {"content-length": ["2"]}


def test_a_body_of_its_own_implies_post_unless_the_options_name_a_method() -> None:
    assert Options().verb_of(None, b"x") == "POST"
    assert Options(method="PUT").verb_of(None, b"x") == "PUT"
    assert Options(head=True).verb_of(None, b"x") == "HEAD"
    assert Options(data=("a",)).verb_of("GET", b"x") == "GET"
    assert Options().verb_of(None, None) == "GET"


@pytest.mark.parametrize(
    ("value", "shown", "reason"),
    [
        (b'{"url": "http://h/"\n', '{"url": "http://h/"', "is not JSON: "),
        (b"http://h/\n", "http://h/", "is not JSON: "),
        (b'"http://\xff/"\n', r'"http://\xff/"', "is not JSON: "),
        (b'{"url": "\\ud800"}\n', r'{"url": "\ud800"}', "is not JSON: "),
        (b"7\n", "7", "is neither an object nor a URL"),
        ([], "[]", "is neither an object nor a URL"),
        (b"null\n", "null", "is neither an object nor a URL"),
        ({"id": 1}, '{"id":1}', "has no URL"),
        ({"url": ""}, '{"url":""}', "has no URL"),
        ({"url": 7}, '{"url":7}', "has a url that is no text"),
        ({"a": "http://h/", "b": "http://h/"}, '{"a":"http://h/","b":"http://h/"}', "has no URL"),
        ({"url": "http://h/", "method": 7}, "http://h/", "has a method that is none"),
        ({"url": "http://h/", "method": "GET /"}, "http://h/", "has a method that is none"),
        ({"url": "http://h/", "headers": "X: 1"}, "http://h/", "has headers that are no object"),
        ({"url": "http://h/", "headers": {"X": True}}, "http://h/", "has a header 'X' that is no text"),
        ({"url": "http://h/", "headers": {"X": {}}}, "http://h/", "has a header 'X' that is no text"),
        ({"url": "http://h/", "body": {}}, "http://h/", "has a body that is no text"),
        ({"url": "http://h/", "body_base64": "?"}, "http://h/", "has a body_base64 that is not base64"),
        ({"url": "http://h/", "body_base64": "ü"}, "http://h/", "has a body_base64 that is not base64"),
        ({"url": "http://h/", "body": "", "json": 1}, "http://h/", "has body and json: leave one"),
    ],
)
def test_a_bad_line_of_json_names_file_and_line_and_the_next_is_read(value: object, shown: str, reason: str) -> None:
    first, bad, last = lines("http://a/", b"# comment\n\n", value, "http://z/")
    assert (first.url, last.url, last.index) == ("http://a/", "http://z/", 2)
    assert bad.url == shown
    assert bad.fault is not None
    assert bad.fault.type is ErrorType.BAD_LINE
    assert bad.fault.message.startswith(f"line 4 of a.jsonl {reason}")


def test_an_object_of_1_mib_is_a_row_and_one_byte_more_is_a_bad_line() -> None:
    around = len(b'{"url":"http://h/","x":""}')
    fits, over, last = lines(
        {"url": "http://h/", "x": "x" * (MAX_OBJECT - around)},
        {"url": "http://h/", "x": "x" * (MAX_OBJECT - around + 1)},
        "http://z/",
    )
    assert (fits.fault, last.url) == (None, "http://z/")
    assert messages([over]) == ["line 2 of a.jsonl is longer than 1024 KiB"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
def test_what_nests_too_deeply_to_be_written_is_a_bad_line_and_what_does_not_is_written(name: str) -> None:
    def nested(depth: int) -> bytes:
        return b'{"url": "http://h/", "x": ' + b"[" * depth + b"]" * depth + b"}"

    depths = [1, 200, 240, 255, 1_000, 5_000]
    content = b"\n".join(map(nested, depths)) if name == "a.jsonl" else b"[" + b",\n".join(map(nested, depths)) + b"]"
    found = table(content, name)
    assert [request.fault is None for request in found] == [True, True, True, False, False, False]
    for request in found:
        assert row(request)["url"] == request.url


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text('abc[]{},"\\:', max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.lists(JSON, max_size=6), st.sampled_from([None, 1, 4]), st.booleans())
@settings(max_examples=150, deadline=None)
def test_an_array_is_cut_where_its_elements_end_whatever_they_hold(
    values: list[object], indent: int | None, ascii_only: bool
) -> None:
    rows = [{"url": f"http://h/{number}", "x": value} for number, value in enumerate(values)]
    text = json.dumps(rows, indent=indent, ensure_ascii=ascii_only)
    found = table(text, "a.json")
    assert found == [Request(row["url"], index, input={"x": row["x"]}) for index, row in enumerate(rows)]  # type: ignore[arg-type]
    assert [row(request)["input"] for request in found] == [
        orjson.loads(orjson.dumps({"x": value})) for value in values
    ]


def test_elements_are_named_by_the_line_in_which_they_begin() -> None:
    found = table('\n[\n"http://h/1", 5,\n\n  {"url":\n 7},\n6\n,\n"http://h/2",\n]\n', "a.json")
    assert messages(found) == [
        None,
        "line 3 of a.json is neither an object nor a URL",
        "line 5 of a.json has a url that is no text",
        "line 7 of a.json is neither an object nor a URL",
        None,
    ]


@pytest.mark.parametrize(
    ("content", "rows", "reason"),
    [
        ('{"url": "http://h/"}\n', 0, "a.json is no JSON array: for one value a line, say --input-format jsonl"),
        ("http://h/\n", 0, "is no JSON array"),
        ('["http://h/", "http://h/2"', 1, "ends within its array, at line 1; what came before was read"),
        ('["http://h/"\n, {"url": "x', 1, "ends within its array, at line 2"),
        ("[", 0, "ends within its array"),
        ('["http://h/"] x', 0, "goes on after its array, which ends in line 1"),
        ('["http://h/"]["http://h/"]', 0, "goes on after its array"),
    ],
)
def test_what_is_no_whole_array_is_an_error_after_the_elements_that_came(content: str, rows: int, reason: str) -> None:
    Path("a.json").write_text(content)
    found, error = read_up_to_error("a.json")
    assert len(found) == rows
    assert error is not None
    assert reason in error


@pytest.mark.parametrize("content", ['["http://h/", {"url": 1}}, "http://z/"]', '[}, "http://h/", "http://z/"]'])
def test_a_bracket_too_many_costs_its_own_element_alone(content: str) -> None:
    found = table(content, "a.json")
    assert [request.fault is None for request in found].count(False) == 1
    assert found[-1].url == "http://z/"


def test_an_element_that_is_too_long_is_a_bad_line_and_the_next_is_read() -> None:
    found = table('[\n"http://a/", {"url": "http://h/", "x": "' + "x" * MAX_OBJECT + '"},\n"http://z/"]', "a.json")
    assert [request.url for request in (found[0], found[2])] == ["http://a/", "http://z/"]
    assert messages(found)[1] == "line 2 of a.json holds an element longer than 1 MiB"


# Parquet.


def arrow(columns: dict[str, Any], **reading: Any) -> list[Request]:
    parquet.write_table(pa.table(columns), "a.parquet")
    return read("a.parquet", **reading)


def test_every_type_of_parquet_is_a_value_that_json_can_say() -> None:
    moment = datetime.datetime(2024, 2, 3, 4, 5, 6, 789_000)
    columns = {
        "url": ["http://h/", "http://h/"],
        "int": [2**63 - 1, None],
        "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
        "float": [0.5, float("nan")],
        "half": pa.array([1.5, None], pa.float16()),
        "bool": [True, None],
        "nothing": pa.nulls(2),
        "bytes": [b"\0\xff", None],
        "fixed": pa.array([b"ab", None], pa.binary(2)),
        "date": [moment.date(), None],
        "time": pa.array([5, None], pa.time64("ns")),
        "naive": pa.array([moment, None], pa.timestamp("ms")),
        "zoned": pa.array([1, None], pa.timestamp("ns", "+02:00")),
        "duration": pa.array([1500, None], pa.duration("ms")),
        "decimal": pa.array([decimal.Decimal("1.20"), None], pa.decimal128(5, 2)),
        "category": pa.array(["a", None]).dictionary_encode(),
        "list": [[[moment]], None],
        "struct": pa.array([{"a": b"x", "b": [1]}, None]),
        "map": pa.array([[("k", decimal.Decimal("1"))], None], pa.map_(pa.string(), pa.decimal128(3, 0))),
        "numbers": pa.array([[(1, "x")], None], pa.map_(pa.int32(), pa.string())),
    }
    first, second = arrow(columns)
    assert row(first)["input"] == {
        "int": 2**63 - 1,
        "unsigned": 2**64 - 1,
        "float": 0.5,
        "half": 1.5,
        "bool": True,
        "nothing": None,
        "bytes": "AP8=",
        "fixed": "YWI=",
        "date": "2024-02-03",
        "time": "00:00:00.000000005",
        "naive": "2024-02-03T04:05:06.789",
        "zoned": "1970-01-01T00:00:00.000000001Z",
        "duration": 1.5,
        "decimal": "1.20",
        "category": "a",
        "list": [["2024-02-03T04:05:06.789000"]],
        "struct": {"a": "eA==", "b": [1]},
        "map": {"k": "1"},
        "numbers": [[1, "x"]],
    }
    assert set(row(second)["input"].values()) == {None}


LISTS = st.lists(
    st.none() | st.lists(st.none() | st.fixed_dictionaries({"a": st.none() | st.integers(0, 9)})), max_size=9
)


@given(LISTS, st.sampled_from(["list", "large", "sliced"]))
@settings(deadline=None)
def test_nested_columns_keep_their_shape(given: list[Any], kind: str) -> None:
    from fetchall.source.arrow import values

    inner = pa.struct([("a", pa.int64())])
    array = pa.array([*given, []], pa.large_list(inner) if kind == "large" else pa.list_(inner))
    assert values(array.slice(1) if kind == "sliced" else array) == (
        [*given, []][1:] if kind == "sliced" else [*given, []]
    )


def test_a_bad_row_of_parquet_names_file_and_row() -> None:
    found = arrow({"id": [1, 2, 3], "url": ["http://h/", None, "http://z/"]})
    assert messages(found) == [None, "row 2 of a.parquet has no URL", None]
    assert found[1].input == {"id": 2}
    assert messages(arrow({"url": [1]})) == ["row 1 of a.parquet has a url that is no text"]


def test_the_column_of_urls_in_parquet_is_found_as_in_csv() -> None:
    assert [request.url for request in arrow({"id": [1], "link": ["http://h/"]})] == ["http://h/"]
    assert [request.url for request in arrow({"url": ["x"], "b": ["http://h/"]}, url_column="b")] == ["http://h/"]
    with pytest.raises(SourceError, match="several columns"):
        arrow({"a": ["http://h/"], "b": ["http://h/"]})
    with pytest.raises(SourceError, match="no column named url"):
        arrow({"a": [1]})


def test_a_column_that_nests_too_deeply_is_an_error() -> None:
    kind, value = pa.int64(), 1
    for _ in range(150):
        kind, value = pa.list_(kind), [value]  # type: ignore[assignment]
    with pytest.raises(SourceError, match="too deeply nested"):
        arrow({"url": ["http://h/"], "x": pa.array([value], kind)})


@pytest.mark.parametrize("damage", ["no parquet", "cut off", "pages"])
def test_a_broken_parquet_file_is_one_sentence(damage: str) -> None:
    Path("a.parquet").write_bytes(b"url\nhttp://h/\n")
    if damage != "no parquet":
        parquet.write_table(pa.table({"url": [f"http://h/{n}" for n in range(5_000)]}), "a.parquet")
        whole = bytearray(Path("a.parquet").read_bytes())
        whole[4:2_000] = b"\xff" * 1_996
        Path("a.parquet").write_bytes(whole if damage == "pages" else whole[:-20])
    with pytest.raises(SourceError, match=r"^a\.parquet can't be read as Parquet: [^\n]+$"):
        list(read_sources(["a.parquet"], reading=Reading()))
