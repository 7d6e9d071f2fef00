"""The report page: what it says, what it must never do, and how it behaves in a browser."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fetchall import exits, program
from fetchall.cells import TIMES
from fetchall.options import Options, Reporting
from fetchall.records import ErrorType, Request, Result, Timings, Try
from fetchall.rows import PLAIN, Columns, Row
from fetchall.sinks import Ending, Narrator, make
from fetchall.sinks.page import Page
from fetchall.sinks.page.about import described
from fetchall.sinks.page.aggregate import Picture
from fetchall.sinks.page.html import page
from fetchall.sinks.page.seen import Seen, of_result, seen_of
from fetchall.sinks.page.text import safe
from fetchall.tally import Tally
from tests import browser

BASE = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
HOSTILE = (
    "http://a.example/</script><script>window.pwned=1</script>\"'><img src=x onerror=pwned=1>&amp;\x00\u202e\x1b]0;"
)


class Memory:
    """An outlet that keeps what it was given."""

    def __init__(self) -> None:
        self.data = b""
        self.complete: bool | None = None

    def write(self, data: bytes) -> None:
        self.data += data

    def finish(self, *, complete: bool) -> None:
        self.complete = complete

    def abort(self) -> None:
        """Nothing is open."""


def result(index: int, url: str = "", *, after: float | None = None, seconds: float = 0.05, ok: bool = True) -> Result:
    url = url or f"http://h{index % 3}.example/{index}"
    started = BASE + timedelta(seconds=index * 0.01 if after is None else after)
    fault = None if ok else ErrorType.TIMEOUT if index % 2 else ErrorType.DNS
    final = f"http://h{index % 3}.example/{index}"
    return Result(
        Request(url, index), "GET", url, final_url=final, status=200 if ok else None, ok=ok, error_type=fault,
        error=None if ok else f"no: {url}", attempts=1, started_at=started, elapsed=seconds,
        ttfb=seconds, size=100 + index, wire_size=100, wire_time=seconds,
        timings=Timings(0.002, 0.001, 0.004, 0.0, seconds - 0.01, 0.005),
        tries=(Try(started, seconds, 200 if ok else None, fault, 0.0),),
    )  # fmt: skip


def made(results: list[Result], *, alone: list[Result] | None = None, complete: bool = True) -> bytes:
    """The page of these results, with a sequential pass where one is given."""
    outlet, tally = Memory(), Tally()
    sink = Page(outlet)
    sink.begin(("urls.txt",), Options())
    if alone is not None:
        sink.sequential(alone)
    sink.write([Row(each, PLAIN) for each in results])
    for each in results:
        tally.add(each)
    sequential = None if alone is None else sum(each.elapsed or 0.0 for each in alone)
    elapsed = max([(each.elapsed or 0.0) + each.index * 0.01 for each in results], default=0.0)
    summary = tally.summary(elapsed, interrupted=not complete)
    sink.close(Ending(summary, tally.timing(elapsed, 20, sequential), complete))
    assert outlet.complete is complete
    return outlet.data


def few(count: int = 60) -> list[Result]:
    return [result(index, ok=index % 7 != 3, seconds=0.02 + (index * 37 % 50) / 1000) for index in range(count)]


class Elements(HTMLParser):
    """Every element with its attributes, and the text outside of style and script."""

    def __init__(self, document: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._inside = ""
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = tag

    def handle_data(self, data: str) -> None:
        if self._inside not in ("style", "script"):
            self.text += data


def test_the_page_is_a_sink_and_tells_how_the_run_went() -> None:
    sink = make("html", Memory(), ordered=False)
    assert isinstance(sink, Narrator)
    assert not isinstance(make("jsonl", Memory(), ordered=False), Narrator)


def test_the_policy_names_exactly_the_style_and_the_script_that_are_there() -> None:
    text = made(few()).decode()
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)
    assert policy is not None
    assert policy[1].startswith("default-src 'none';")
    assert "unsafe" not in policy[1]
    for kind in ("style", "script"):
        code = re.findall(rf"<{kind}>(.*?)</{kind}>", text, re.DOTALL)
        assert len(code) == 1
        digest = base64.b64encode(hashlib.sha256(code[0].encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy[1]


def test_nothing_in_the_page_points_outside_of_it_or_runs_by_itself() -> None:
    elements = Elements(made([*few(), result(60, HOSTILE, ok=False)], alone=few()).decode())
    tags = [tag for tag, _ in elements.found]
    assert tags.count("script") == tags.count("style") == 1
    assert not {"img", "iframe", "object", "embed", "base", "form", "a"} & set(tags)
    for tag, attributes in elements.found:
        assert not any(name.startswith("on") or name in ("style", "src") for name in attributes), (tag, attributes)
        assert tag == "link" or "href" not in attributes
        assert tag != "link" or str(attributes["href"]).startswith("data:")


def test_hostile_text_is_shown_as_text() -> None:
    elements = Elements(made([result(0, HOSTILE, ok=False), result(1)]).decode())
    assert "</script><script>window.pwned=1</script>\"'><img src=x onerror=pwned=1>&amp;" in elements.text
    assert "\\x00\\u202e\\x1b]0;" in elements.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", elements.text)


@settings(deadline=None)
@given(st.text())
@example("\ud800 &lt; <b title='x\">")
def test_no_text_can_leave_its_element_or_its_attribute(text: str) -> None:
    shown = safe(text)
    assert not set("<>\"'") & set(shown)
    assert shown.isprintable()
    shown.encode()
    assert [tag for tag, _ in Elements(f'<i title="{shown}">{shown}</i>').found] == ["i"]


def test_secrets_among_the_options_are_not_told() -> None:
    options = Options(
        header=("X-Api-Key: s3cret",), user="me:s3cret", cookie="a=s3cret", data=("s3cret",), proxy="http://u:s3cret@p:1",
        oauth2_bearer="s3cret", retries=5, insecure=True, rate=2.5,
    )  # fmt: skip
    found = dict(described(["http://me:s3cret@h.example/list", "-"], options))
    assert "s3cret" not in str(found)
    assert found["--user"] == "given (not shown here)"
    assert found["--retries"] == "5"
    assert found["--rate"] == "2.5"
    assert found["--insecure"] == "on"
    assert found["List"] == "http://me:***@h.example/list, stdin"


def test_the_headline_says_how_many_and_what_concurrency_bought() -> None:
    text = made(few(), alone=few()).decode()
    assert re.search(r"<h1><b>51</b> of 60 ok in \d+ ms</h1>", text)
    assert re.search(
        rf"<b>\d+\.\d {TIMES} faster</b> with up to 20 requests in flight than one at a time, which took", text
    )
    assert "not measured" in made(few()).decode()
    assert f"{TIMES} faster" not in made(few()).decode()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_run_of_next_to_nothing_has_a_page_too(count: int) -> None:
    unsent = Result(Request("x", 0), "GET", "x", error_type=ErrorType.INVALID_URL, error="no scheme")
    for results in (few(count), [unsent][:count], [result(index, seconds=0.0) for index in range(count)]):
        assert b"</html>" in made(results)
        assert b"</html>" in made(results, alone=results)


def test_an_interrupted_run_says_so() -> None:
    assert "Interrupted" in made(few(), complete=False).decode()
    assert "Interrupted" in made([], complete=False).decode()


def test_a_row_of_an_earlier_run_says_the_same_as_its_result() -> None:
    columns = Columns(timings=True)
    for original in (result(3, HOSTILE, ok=False), result(4)):
        old = Row.__new__(Row)
        old._fields = json.loads(Row(original, columns).json)
        before, after = of_result(original), seen_of(old)
        assert before._replace(start=None, tries=()) == after._replace(start=None, tries=())
        assert after.start == pytest.approx(before.start, abs=1e-5)
        assert after.tries[0] == pytest.approx(before.tries[0], abs=1e-5)


moments = st.datetimes(datetime(1971, 1, 1), datetime(2199, 1, 1), timezones=st.just(UTC))
seconds = st.sampled_from([0.0, 1e-9, 0.003, 1.0, 86_400.0, 1e9]) | st.floats(0, 1e6)
phase = st.none() | seconds


@st.composite
def strange(draw: st.DrawFn) -> Result:
    """A result with whatever values its fields may have, sense or none."""
    error = draw(st.none() | st.sampled_from(ErrorType))
    sent = draw(st.booleans())
    tries = draw(st.none() | st.lists(st.tuples(moments, seconds), max_size=3))
    return Result(
        Request(draw(st.text(max_size=30)), draw(st.integers(0, 40))),
        "GET",
        draw(st.text(max_size=300)),
        final_url=draw(st.none() | st.sampled_from(["http://a/", "http://[::1]:8/", f"https://{'x' * 400}/"])),
        status=draw(st.none() | st.integers(100, 999)),
        ok=draw(st.booleans()),
        error_type=error,
        error=draw(st.none() | st.text(max_size=300)),
        attempts=draw(st.integers(0, 99)),
        redirects=draw(st.integers(0, 20)),
        started_at=draw(moments) if sent else None,
        elapsed=draw(seconds) if sent else None,
        size=draw(st.none() | st.integers(0, 2**62)),
        timings=draw(st.none() | st.builds(Timings, phase, phase, phase, phase, phase, phase)),
        tries=None if tries is None or not sent else tuple(Try(at, took, 200, None, 0.0) for at, took in tries),
        duplicate_of=draw(st.none() | st.just(0)),
    )


@settings(deadline=None, max_examples=60)
@given(st.lists(strange(), max_size=12, unique_by=lambda each: each.index), st.booleans())
def test_no_result_however_strange_keeps_the_page_from_being_drawn(results: list[Result], both: bool) -> None:
    document = made(results, alone=results if both else None).decode()
    assert document.endswith("</html>\n")
    assert not re.search('(?:nan|inf)[%"]', document)


def test_a_million_rows_of_the_worst_kind_stay_below_a_megabyte() -> None:
    picture, tally = Picture(), Tally()
    nasty = '"<' * 60
    for place in range(1_000_000):
        failed = place % 5 == 0
        error = f"{place % 40}" if failed else None
        picture.add(
            Seen(place, nasty * 2, f"{place}{nasty[:110]}", None if failed else 200, not failed, error, nasty if failed
                 else None, 1, 0, 1e9 + place / 3000, 0.001 + place % 1000 / 100, place % 5000, None, ())
        )  # fmt: skip
    for place in range(10):
        tally.add(result(place))
    started = time.monotonic()
    made_page = page(picture, Ending(tally.summary(300, interrupted=False), tally.timing(300, 99, None), True), [], 1e9)
    assert len(made_page) < 1_000_000
    assert time.monotonic() - started < 5
    assert len(re.findall(b"<tr data-i=", made_page)) > 100


@contextmanager
def local_server() -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(0.005)
            self.send_response(404 if self.path.endswith("7") else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, format: str, *args: object) -> None:
            """Quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_run_writes_a_page_with_phases_of_both_passes_and_gives_no_other_output_columns(tmp_path: Path) -> None:
    page_file, rows_file = tmp_path / "report.html", tmp_path / "rows.jsonl"
    with local_server() as base:
        (tmp_path / "urls").write_text("".join(f"{base}/{number}\n" for number in range(20)))
        reporting = Reporting(output=(str(page_file), str(rows_file)), sync=True, quiet=True)
        assert program.run([str(tmp_path / "urls")], Options(concurrency=4), reporting) == exits.NOT_OK
    text = page_file.read_text()
    assert "<b>18</b> of 20 ok" in text
    assert len(re.findall('<svg[^>]*aria-labelledby="waterfall-', text)) == 3
    assert text.count('class="wait"') >= 60
    rows = [json.loads(line) for line in rows_file.read_text().splitlines()]
    assert len(rows) == 20
    assert not {"timings", "tries", "reused"} & rows[0].keys()


chromium = pytest.mark.skipif(browser.CHROMIUM is None, reason=browser.WHY_NOT)


@chromium
async def test_a_browser_shows_the_charts_sorts_filters_and_finds_nothing_to_complain_about(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(made([*few(), result(60, HOSTILE, ok=False)], alone=few()))
    async with browser.tab() as tab:
        await tab.open(path)
        ask = tab.evaluate
        charts = "[...document.querySelectorAll('svg[role=img]')]"
        assert await ask(f"{charts}.length") == 8
        assert await ask(f"{charts}.every(each => each.getBoundingClientRect().width > 700)")
        assert await ask(f"{charts}.every(each => document.getElementById(each.getAttribute('aria-labelledby')"
                         ".split(' ')[0]).textContent)")  # fmt: skip
        assert await ask("document.documentElement.scrollWidth <= innerWidth")
        head = "document.querySelectorAll('#requests th button')[3]"
        values = "[...document.querySelectorAll('#requests tbody tr')].map(row => Number(row.cells[3].dataset.v))"
        await ask(f"{head}.click()")
        falling = await ask(values)
        assert falling == sorted(falling, reverse=True)
        assert await ask(f"{head}.parentElement.getAttribute('aria-sort')") == "descending"
        await ask(f"{head}.click()")
        assert await ask(values) == sorted(falling)
        hosts = "[...document.querySelectorAll('#hosts tbody tr')].map(row => row.cells[0].textContent)"
        await ask("document.querySelector('#hosts th button').click()")
        assert await ask(hosts) == ["h0.example", "h1.example", "h2.example"]
        shown = "document.querySelectorAll('#requests tbody tr:not([hidden])').length"
        assert await ask(shown) == 61
        await ask("document.querySelector('button[data-outcome=timeout]').click()")
        assert await ask(shown) == len([each for each in few() if each.error_type is ErrorType.TIMEOUT])
        assert await ask("document.querySelectorAll('g.dim').length") > 0
        await ask("document.getElementById('f-clear').click()")
        await ask(
            "box = document.getElementById('f-text'); box.value = 'ONERROR'; box.dispatchEvent(new Event('input'))"
        )
        assert await ask(shown) == 1
        assert await ask("document.getElementById('f-count').textContent") == "1 of 61 shown"
        assert await ask("window.pwned === undefined")
        assert tab.complaints == []
        assert {url.partition(":")[0] for url in tab.requested} <= {"file", "data"}
        assert [url for url in tab.requested if url.startswith("file")] == [path.as_uri()]


@chromium
async def test_a_browser_shows_it_dark_where_dark_is_preferred_and_light_on_paper(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(made(few(), alone=few()))
    ground = "getComputedStyle(document.body).backgroundColor"
    async with browser.tab() as tab:
        await tab.open(path)
        dark = [{"name": "prefers-color-scheme", "value": "dark"}]
        light = await tab.evaluate(ground)
        await tab.call("Emulation.setEmulatedMedia", media="screen", features=dark)
        assert await tab.evaluate(ground) != light
        await tab.call("Emulation.setEmulatedMedia", media="print", features=dark)
        assert await tab.evaluate(ground) == light
        assert await tab.evaluate("getComputedStyle(document.querySelector('.filters')).display") == "none"


@chromium
async def test_a_page_as_large_as_it_gets_opens_within_a_second_or_so(tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_bytes(made([result(n, f"http://h{n % 400}.example/{'x' * 90}/{n}", ok=n % 3 > 0) for n in range(5_000)]))
    assert path.stat().st_size > 400_000
    async with browser.tab() as tab:
        await tab.open(path)
        took = await tab.evaluate("performance.getEntriesByType('navigation')[0].loadEventEnd")
        assert 0 < took < 5_000  # a second, on a machine that has time for it
        assert tab.complaints == []
