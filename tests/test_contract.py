"""The command's contract: one run's rows are the same in every form, and one list's requests from every form."""

from __future__ import annotations

import gzip
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from warcio.archiveiterator import ArchiveIterator

from fetchall.sinks import FORMS
from tests.command import run
from tests.lists import ENDINGS, PACKINGS, packed, written
from tests.lists import FORMS as LISTS
from tests.reading import READERS, as_told_by
from tests.resuming import BROKEN, Site
from tests.test_archives import assert_checks, assert_har

OUTPUTS = {form: f"out{ending}" for ending, form in reversed(FORMS.items())}
LONG = 123456789012345678901234567890


def answer(body: bytes, *headers: str) -> bytes:
    head = "\r\n".join(["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers])
    return head.encode("latin-1") + b"\r\n\r\n" + body


def moved(location: str) -> bytes:
    return f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


ANSWERS = {
    "/text": answer("grüße \u202e\x00 \U0001f600".encode(), "Content-Type: text/plain; charset=utf-8"),
    "/latin": answer(b"gr\xfc\xdfe", "Content-Type: text/plain; charset=iso-8859-1"),
    "/json": answer(b'{"long": %d, "none": null, "nul": "\\u0000"}' % LONG, "Content-Type: application/json"),
    "/no-json": answer(b"{", "Content-Type: application/json"),
    "/binary": answer(bytes(range(256)), "Content-Type: image/png"),
    "/no-type": answer(b"\xff\x00"),
    "/empty": answer(b""),
    "/gzip": answer(gzip.compress(b"a" * 600), "Content-Type: text/plain", "Content-Encoding: gzip"),
    "/headers": answer(b"x", "X-A: 1", "X-A: 2", "X-Latin: \xe9\xff", "X-Empty:", "Content-Type: =1+1"),
    "/hop": moved("/text?q=%22%3C"),
    "/text?q=%22%3C": answer(b"there", "Content-Type: text/html"),
    "/missing": b"HTTP/1.1 404 <b>Gone</b> Fishing\r\nContent-Length: 2\r\n\r\nno",
    "/too-large": answer(b"a" * 2000),
    "/cut": answer(gzip.compress(b"abc")[:-4], "Content-Encoding: gzip"),
    "/bad-gzip": answer(b"no gzip", "Content-Encoding: gzip"),
    "/no-http": b"\x00\x01 what?\r\n\r\n",
    "/loop": moved("/loop"),
    "/elsewhere": moved("ftp://127.0.0.1/"),
}
FAULTS = {
    "/too-large": "too_large",
    "/cut": "decode",
    "/bad-gzip": "decode",
    "/no-http": "protocol",
    "/loop": "too_many_redirects",
    "/elsewhere": "bad_redirect",
    "/silence": "timeout",
}
NASTY = "a,\"b\"\r\n=cmd|'/c calc'!A1\t;\u202e\x00\x1b[31m é \U0001f600 </script><!--"


NO_HOPS_FAULT = (None, "too_many_redirects", "bad_redirect")
"""The last hop of these came whole."""


@pytest.fixture
def site() -> Iterator[Site]:
    with Site() as opened:
        for path, said in ANSWERS.items():
            opened.on[path] = partial(bytes, said)
        turns = iter([BROKEN])
        opened.on["/second"] = lambda: next(turns, ANSWERS["/text"])
        opened.on["/silence"] = lambda: None
        yield opened


def listed(site: Site) -> bytes:
    """A list with whatever a list can hold."""
    lines: list[object] = [
        {"url": site.url(path), "id": place, "note": NASTY, "long": LONG, "none": None, "deep": {"a": [1, {"b": []}]}}
        for place, path in enumerate([*ANSWERS, "/second", "/silence", "/text"])
    ]
    lines += [
        {"url": site.url("/posted"), "json": {"id": LONG}, "headers": {"X-Own": "1"}},
        site.url("/text", user="name:pass%77ord@"),
        "http://127.0.0.1:1/",
        "http://exa mple/\u202e<b>",
        "ftp://127.0.0.1/",
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines) + b"{no json\n" + b'"\xff"\n'


@pytest.fixture
def outputs(site: Site, tmp_path: Path) -> Path:
    """The folder in which one run has written every form there is."""
    (tmp_path / "list.jsonl").write_bytes(listed(site))
    named = [word for name in OUTPUTS.values() for word in ("-o", name)]
    wanted = ["--headers", "--timings", "--sha256", "--body", "--dedupe"]
    limits = ["--retries", "1", "--retry-delay", "0", "-m", "1", "--max-body", "1k", "--max-redirs", "2", "-c", "4"]
    done = run("list.jsonl", *named, *wanted, *limits, "-q", folder=tmp_path)
    assert (done.code, done.out, done.err) == (1, b"", "")
    assert {path.name for path in tmp_path.iterdir()} == {"list.jsonl", *OUTPUTS.values()}
    return tmp_path


def test_one_run_says_the_same_in_every_form(site: Site, outputs: Path) -> None:
    rows = json.loads((outputs / OUTPUTS["json"]).read_bytes())["results"]
    assert_rows(site, rows)
    told = {row["index"]: row for row in rows}
    for form, read in READERS.items():
        found = read(outputs / OUTPUTS[form])
        assert len(found) == len(rows), form
        assert {row["index"]: row for row in found} == {n: as_told_by(form, row) for n, row in told.items()}, form
    assert_warc(outputs / OUTPUTS["warc"], rows)
    assert_hops(json.loads((outputs / OUTPUTS["har"]).read_bytes()), rows)
    assert_page((outputs / OUTPUTS["html"]).read_text(), rows)
    assert set(OUTPUTS) == {*READERS, "warc", "har", "html"}


def assert_rows(site: Site, rows: list[dict[str, Any]]) -> None:
    """What the rows say is what was asked for and answered."""
    assert [row["index"] for row in rows] == list(range(len(listed(site).splitlines())))
    by_path = {row["url"].removeprefix(site.url("")): row for row in reversed(rows)}
    for path, error in FAULTS.items():
        assert by_path[path]["error_type"] == error
    for row in rows[: len(ANSWERS)]:
        assert row["input"] == {
            "id": row["index"], "note": NASTY, "long": str(LONG), "none": None, "deep": {"a": [1, {"b": []}]},
        }  # fmt: skip
    assert by_path["/json"]["body_json"] == {"long": str(LONG), "none": None, "nul": "\0"}
    assert by_path["/latin"]["body_text"] == "grüße"
    assert by_path["/no-type"]["body_base64"] == "/wA="
    assert by_path["/gzip"]["body_text"] == "a" * 600
    assert by_path["/headers"]["headers"] == {
        "content-length": ["1"], "x-a": ["1", "2"], "x-latin": ["éÿ"], "x-empty": [""], "content-type": ["=1+1"],
    }  # fmt: skip
    assert by_path["/hop"]["history"] == [{"url": site.url("/hop"), "status": 302}]
    assert [each["status"] for each in by_path["/second"]["tries"]] == [500, 200]
    assert by_path["/posted"]["method"] == "POST"
    types = [row["error_type"] for row in rows[-5:]]
    assert types == ["connect_refused", "invalid_url", "unsupported_scheme", "bad_line", "bad_line"]
    assert rows[-6]["url"] == site.url("/text", user="name:***@")
    (twin,) = [row for row in rows if row["duplicate_of"] is not None]
    assert rows[twin["duplicate_of"]]["url"] == twin["url"]


def assert_warc(path: Path, rows: list[dict[str, Any]]) -> None:
    """By warcio: every answer that had a head is there, with the body that the row tells of."""
    assert_checks(path)
    last: dict[int, tuple[str, str]] = {}
    with open(path, "rb") as file:
        for record in ArchiveIterator(file):
            if record.rec_type == "response":
                index = int(record.rec_headers["Fetchall-Index"])
                body = record.content_stream().read()
                last[index] = record.http_headers.get_statuscode(), hashlib.sha256(body).hexdigest()
    alone = [row for row in rows if row["duplicate_of"] is None]
    assert last.keys() == {row["index"] for row in alone if row["status"] is not None}
    for row in alone:
        if row["status"] is not None:
            assert last[row["index"]][0] == str(row["status"])
        if row["sha256"] is not None:
            assert last[row["index"]][1] == row["sha256"]


def assert_hops(document: Any, rows: list[dict[str, Any]]) -> None:
    """Every request that was sent is an entry; the last of a row has its status."""
    assert_har(document)
    entries = document["log"]["entries"]
    alone = [row for row in rows if row["duplicate_of"] is None]
    hops = Counter(entry["_index"] for entry in entries)
    assert hops == {row["index"]: row["attempts"] + row["redirects"] for row in alone if row["attempts"]}
    last = {entry["_index"]: entry for entry in entries}
    for row in alone:
        if row["attempts"]:
            assert last[row["index"]]["response"]["status"] == (row["status"] or 0)
            assert ("_error" in last[row["index"]]) == (row["error_type"] not in NO_HOPS_FAULT)


class Requests(HTMLParser):
    """The page's table of requests: of each row its number, its outcome, and the text of its cells."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int, tuple[str, str]] = {}
        self._row: int | None = None

    def handle_starttag(self, tag: str, given: list[tuple[str, str | None]]) -> None:
        attributes = dict(given)
        if tag == "tr":
            place = attributes.get("data-i")
            self._row = None if place is None else int(place)
            if self._row is not None:
                self.rows[self._row] = attributes.get("data-o") or "", ""

    def handle_data(self, data: str) -> None:
        if self._row is not None:
            outcome, text = self.rows[self._row]
            self.rows[self._row] = outcome, text + data


def assert_page(text: str, rows: list[dict[str, Any]]) -> None:
    """By Python's own parser: every row with its outcome and its URL, and nothing that a list or a server made up."""
    table = Requests()
    table.feed(text)
    assert {place: outcome for place, (outcome, _) in table.rows.items()} == {
        row["index"]: row["error_type"] or str(row["status"]) for row in rows
    }
    for row in rows:
        if row["url"].isprintable() and row["error_type"] != "bad_line":
            assert row["url"] in table.rows[row["index"]][1]
    failed = sum(not row["ok"] for row in rows)
    assert f"<b>{len(rows) - failed}</b> of {len(rows)} ok" in re.sub(r"\s+", " ", text)


ROWS = [
    {"id": "1", "url": "/a", "note": 'quotes ", tabs\t, commas'},
    {"id": "", "url": "/b%2F?c", "note": "two\nlines"},
]


@pytest.mark.parametrize("packing", PACKINGS)
class TestOneList:
    """The same list in every form is the same requests, wherever it comes from."""

    def test_is_read_from_files_and_by_fsspec(self, packing: str, site: Site, tmp_path: Path) -> None:
        names = []
        for form in LISTS:
            name = f"list.{ENDINGS.get(form, form)}{packing}"
            (tmp_path / name).write_bytes(packed(written(form, self.rows(site)), packing))
            names += [name, f"file://{tmp_path}/{name}"]
        assert self.fetched(site, tmp_path, *names) == [row for name in names for row in self.expected(site, name)]

    @pytest.mark.parametrize("form", LISTS)
    def test_is_read_from_stdin(self, form: str, packing: str, site: Site, tmp_path: Path) -> None:
        stdin = packed(written(form, self.rows(site)), packing)
        assert self.fetched(site, tmp_path, "-", "--input-format", form, stdin=stdin) == self.expected(site, form)

    def rows(self, site: Site) -> list[dict[str, str]]:
        return [row | {"url": site.url(row["url"])} for row in ROWS]

    def expected(self, site: Site, name: str) -> list[tuple[str, dict[str, str] | None]]:
        text = "txt" in name or name == "text"
        return [(row["url"], None if text else {"id": row["id"], "note": row["note"]}) for row in self.rows(site)]

    def fetched(self, site: Site, folder: Path, *words: str, stdin: bytes | None = None) -> list[Any]:
        """What the rows say was asked for, which is what the server heard."""
        done = run(*words, "-q", "-c", "1", folder=folder, stdin=stdin)
        assert (done.code, done.err) == (0, "")
        rows = json.loads(done.out)["results"]
        assert [row["url"] for row in rows] == [site.url(path.decode()) for _, path in site.asked]
        return [(row["url"], row.get("input")) for row in rows]
