"""The row, section by section of the contract: which keys, in which order, and that JSON holds whatever came."""

from __future__ import annotations

import base64
import dataclasses
import json
import pickle
import re
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall import records
from fetchall.body_form import body_fields, media_type
from fetchall.options import Options
from fetchall.records import ErrorType, Fault, Hop, Request, Result, Timings, Try
from fetchall.rows import (
    PLAIN,
    Columns,
    Row,
    dumps,
    fields,
    summary_fields,
    timing_fields,
)
from fetchall.tally import Tally

ALWAYS = [
    "index", "url", "final_url", "method", "status", "ok", "error_type", "error", "attempts", "redirects", "started_at",
    "elapsed", "ttfb", "size", "wire_size", "content_type", "http_version", "remote_ip",
]  # fmt: skip
"""The keys of every row, in the order of the contract."""
ERROR_TYPES = """
    bad_line invalid_url unsupported_scheme dns connect_refused connect_error connect_timeout tls tls_certificate proxy
    read_timeout timeout disconnected truncated protocol decode too_large too_many_redirects bad_redirect
    blocked_address robots rate_limited host_skipped write cancelled internal
""".split()

REQUEST = Request("http://127.0.0.1/a", 7)
WHOLE = Result(
    REQUEST,
    "GET",
    "http://127.0.0.1/a",
    final_url="http://127.0.0.1/b",
    status=200,
    ok=True,
    attempts=2,
    redirects=1,
    started_at=datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC),
    elapsed=0.12345678,
    ttfb=0.1,
    size=5,
    wire_size=4,
    content_type="text/plain",
    http_version="1.1",
    remote_ip="127.0.0.1",
    wire_time=0.2,
    headers={"x-a": ["1", "2"]},
    history=(Hop("http://127.0.0.1/a", 301),),
    timings=Timings(queued=0.5, wait=0.1),
    reused=True,
    tries=(Try(datetime(2026, 1, 2, tzinfo=UTC), 0.1, 503, None, 0.0),),
    sha256="ab" * 32,
    body=b"hello",
)
EVERYTHING = Columns(headers=True, timings=True, sha256=True, body=True)

any_text = st.text(st.characters(codec=None))
"""Lone surrogates included."""


def row(result: Result, columns: Columns = PLAIN) -> dict[str, Any]:
    return fields(result, columns)


def test_the_error_types_are_the_closed_list() -> None:
    assert [str(kind) for kind in ErrorType] == ERROR_TYPES


def test_every_row_has_these_keys_in_this_order() -> None:
    assert list(row(WHOLE)) == ALWAYS
    assert list(row(Result(REQUEST, "GET", "x"))) == ALWAYS


@pytest.mark.parametrize(
    ("asked", "keys"),
    [
        ({"headers": True}, ["headers", "history"]),
        ({"timings": True}, ["timings", "reused", "tries"]),
        ({"sha256": True}, ["sha256"]),
        ({"body": True}, ["sha256", "body_json", "body_text", "body_base64"]),
    ],
)
def test_what_was_asked_for_is_added_and_nothing_else(asked: dict[str, bool], keys: list[str]) -> None:
    columns = Columns.of(Options(**asked))  # type: ignore[arg-type]
    assert list(row(WHOLE, columns)) == ALWAYS + keys
    assert list(row(Result(REQUEST, "GET", "x"), columns)) == ALWAYS + keys


def test_the_inputs_further_columns_and_a_saved_file_come_last() -> None:
    result = dataclasses.replace(WHOLE, file="a/b", request=dataclasses.replace(REQUEST, input={"id": 1}))
    assert list(row(result, EVERYTHING))[-2:] == ["file", "input"]
    assert row(result)["input"] == {"id": 1}


def test_a_row_as_json_is_what_it_says() -> None:
    found = json.loads(Row(WHOLE, EVERYTHING).json)
    assert found == {
        "index": 7,
        "url": "http://127.0.0.1/a",
        "final_url": "http://127.0.0.1/b",
        "method": "GET",
        "status": 200,
        "ok": True,
        "error_type": None,
        "error": None,
        "attempts": 2,
        "redirects": 1,
        "started_at": "2026-01-02T03:04:05.678901Z",
        "elapsed": 0.123457,
        "ttfb": 0.1,
        "size": 5,
        "wire_size": 4,
        "content_type": "text/plain",
        "http_version": "1.1",
        "remote_ip": "127.0.0.1",
        "headers": {"x-a": ["1", "2"]},
        "history": [{"url": "http://127.0.0.1/a", "status": 301}],
        "timings": {"queued": 0.5, "dns": None, "connect": None, "send": None, "wait": 0.1, "receive": None},
        "reused": True,
        "tries": [
            {"started_at": "2026-01-02T00:00:00Z", "elapsed": 0.1, "status": 503, "error_type": None, "wait": 0.0}
        ],
        "sha256": "ab" * 32,
        "body_json": None,
        "body_text": "hello",
        "body_base64": None,
    }


def test_times_of_day_are_rfc_3339_in_utc_and_end_in_z() -> None:
    for moment in (datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC)):
        text = json.loads(Row(dataclasses.replace(WHOLE, started_at=moment), PLAIN).json)["started_at"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", text)
        assert datetime.fromisoformat(text) == moment


def test_what_was_never_sent_is_null_not_zero() -> None:
    found = row(Result(REQUEST, "GET", "x", error_type=ErrorType.BAD_LINE, error="line 3"))
    unknown = {key for key, value in found.items() if value is None}
    assert unknown == {
        "final_url", "status", "started_at", "elapsed", "ttfb", "size", "wire_size", "content_type", "http_version",
        "remote_ip",
    }  # fmt: skip
    assert (found["attempts"], found["redirects"], found["ok"]) == (0, 0, False)


@given(any_text, any_text, st.dictionaries(any_text, st.lists(any_text, max_size=2), max_size=3), st.binary(max_size=9))
def test_whatever_text_came_the_row_is_valid_json_and_ordinary_text_unchanged(
    url: str, error: str, headers: dict[str, list[str]], body: bytes
) -> None:
    result = dataclasses.replace(WHOLE, url=url, error=error, headers=headers, body=body)
    line = Row(result, EVERYTHING).json
    assert b"\n" not in line
    found = orjson.loads(line)
    assert json.loads(line) == found
    for text, key in ((url, "url"), (error, "error")):
        assert found[key] == text.encode("utf-8", "backslashreplace").decode()
    assert len(found["headers"]) == len({name.encode("utf-8", "backslashreplace") for name in headers})


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | any_text,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
        max_leaves=8,
    )
)
def test_any_further_columns_of_the_input_can_be_written(value: Any) -> None:
    assert json.loads(dumps({"input": value})).keys() == {"input"}


@pytest.mark.parametrize(
    ("content_type", "body", "key", "value"),
    [
        ("application/json", b'{"a": [1, null]}', "body_json", {"a": [1, None]}),
        ("application/problem+json; charset=utf-8", b"[]", "body_json", []),
        ("application/json", b"{broken", "body_text", "{broken"),
        ("application/json", b"\xff", "body_base64", "/w=="),
        ("text/html", "é".encode(), "body_text", "é"),
        ("text/html; charset=iso-8859-1", b"\xe9", "body_text", "é"),
        ('text/html; charset="UTF-8"', "é".encode(), "body_text", "é"),
        ("text/html; charset=no-such", "é".encode(), "body_text", "é"),
        ("text/html", b"\xe9", "body_base64", "6Q=="),
        ("image/png", b"plain", "body_base64", "cGxhaW4="),
        ("image/svg+xml", b"<svg/>", "body_text", "<svg/>"),
        (None, b"plain", "body_text", "plain"),
        (None, b"\0", "body_base64", "AA=="),
        ("", b"", "body_text", ""),
        ("text/plain; charset=base64", b"aGk=", "body_base64", "YUdrPQ=="),
        ("text/plain; charset=utf-8\x00", b"x", "body_text", "x"),
    ],
)
def test_a_body_stands_in_the_form_that_fits_it_and_in_no_other(
    content_type: str | None, body: bytes, key: str, value: Any
) -> None:
    found = body_fields(dataclasses.replace(WHOLE, content_type=content_type, body=body))
    assert found.pop(key) == value
    assert list(found.values()) == [None, None]


def test_json_null_is_told_from_no_json_by_the_other_two() -> None:
    found = body_fields(dataclasses.replace(WHOLE, content_type="application/json", body=b"null"))
    assert found == {"body_json": None, "body_text": None, "body_base64": None}


@given(st.one_of(st.none(), any_text), st.binary(max_size=40))
def test_no_body_and_no_content_type_breaks_a_row(content_type: str | None, body: bytes) -> None:
    found = body_fields(dataclasses.replace(WHOLE, content_type=content_type, body=body))
    assert sum(value is not None for value in found.values()) <= 1
    if found["body_base64"] is not None:
        assert base64.b64decode(found["body_base64"]) == body
    json.loads(dumps(found))


def test_the_media_type_is_in_lower_case_and_without_its_parameters() -> None:
    assert media_type("Text/HTML ; Charset=UTF-8") == ("text/html", "utf-8")
    assert media_type(None) == ("", None)


def _records() -> list[type]:
    return [each for each in vars(records).values() if dataclasses.is_dataclass(each) and isinstance(each, type)]


@pytest.mark.parametrize("record", _records(), ids=lambda record: record.__name__)
def test_what_travels_is_frozen_and_slotted(record: type) -> None:
    assert record.__dataclass_params__.frozen  # type: ignore[attr-defined]
    assert "__slots__" in vars(record)


def test_what_travels_can_be_pickled() -> None:
    request = dataclasses.replace(REQUEST, fault=Fault(ErrorType.BAD_LINE, "line 1"), input={"a": [1]})
    result = dataclasses.replace(WHOLE, request=request)
    assert pickle.loads(pickle.dumps(result)) == result


def _tally() -> Tally:
    tally = Tally()
    tally.add(WHOLE)
    tally.add(Result(REQUEST, "GET", "x", error_type=ErrorType.DNS, error="no such name"))
    return tally


def test_the_summary_has_the_contracts_keys() -> None:
    found = summary_fields(_tally().summary(2.0, interrupted=False))
    assert list(found) == [
        "urls", "ok", "failed", "retries", "bytes", "wire_bytes", "elapsed", "requests_per_second", "latency", "status",
        "errors", "interrupted",
    ]  # fmt: skip
    assert list(found["latency"]) == ["min", "mean", "p50", "p90", "p99", "max"]
    assert (found["status"], found["errors"], found["retries"]) == ({"200": 1}, {"dns": 1}, 1)
    assert (found["urls"], found["ok"], found["failed"], found["requests_per_second"]) == (2, 1, 1, 1.0)


def test_a_summary_of_nothing_has_no_latency_and_no_rate() -> None:
    found = summary_fields(Tally().summary(0.0, interrupted=True))
    assert (found["latency"], found["requests_per_second"], found["interrupted"]) == (None, None, True)


def test_without_a_sequential_pass_no_speedup_is_claimed() -> None:
    assert timing_fields(_tally().timing(2.0, 20, None)) == {
        "async": {"elapsed": 2.0, "requests_per_second": 1.0, "concurrency": 20},
        "sync": {"elapsed": 0.2, "requests_per_second": 10.0, "measured": False},
        "speedup": None,
    }


def test_with_a_sequential_pass_the_speedup_is_the_ratio_of_the_two() -> None:
    found = timing_fields(_tally().timing(2.0, 20, 10.0))
    assert found["sync"] == {"elapsed": 10.0, "requests_per_second": 0.2, "measured": True}
    assert found["speedup"] == 5.0
