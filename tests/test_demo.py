"""The practice site, asked by a real client on loopback."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import pytest
import yarl

from fetchall.demo import PracticeSite
from fetchall.demo_pages import HOPS, PAGES, spots

FAILING = {
    "/errors/missing": "404",
    "/errors/gone": "410",
    "/errors/broken": "500",
    "/flaky/once": "503",
    "/flaky/twice": "503",
    "/busy": "429",
    "/old/loop": "TooManyRedirects",
    "/cut/body": "ClientPayloadError",
    "/cut/connection": "ServerDisconnectedError",
    "/cut/gzip": "cut gzip",
}
"""What fails at the first attempt, and how."""


@pytest.fixture
async def site() -> AsyncIterator[PracticeSite]:
    async with PracticeSite(port=0) as opened:
        yield opened


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(auto_decompress=False, connector=connector) as session:
        yield session


async def outcome(client: aiohttp.ClientSession, url: str, method: str = "GET") -> str:
    """The status, or the name of what went wrong; URLs go to the wire as given."""
    try:
        async with client.request(method, yarl.URL(url, encoded=True)) as answer:
            body = await answer.read()
            if answer.headers.get("Content-Encoding") == "gzip" and method == "GET":
                decoder = zlib.decompressobj(31)
                decoder.decompress(body)
                return str(answer.status) if decoder.eof else "cut gzip"
            return str(answer.status)
    except aiohttp.ClientError as error:
        return type(error).__name__


def path_of(url: str) -> str:
    return "/" + url.split("/", 3)[3]


def test_importing_the_site_imports_neither_aiohttp_nor_another_module_of_ours() -> None:
    code = (
        "import sys, fetchall; before = set(sys.modules); import fetchall.demo; new = set(sys.modules) - before\n"
        "print([m for m in new if m.startswith(('aiohttp', 'fetchall')) and not m.startswith('fetchall.demo')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


async def test_the_list_is_the_same_at_every_run() -> None:
    # The ports apart, which are the same where they are free.
    async with PracticeSite(port=0) as one:
        first = [path_of(url) for url in one.urls]
    async with PracticeSite(port=0) as two:
        assert [path_of(url) for url in two.urls] == first
    assert 95 <= len(first) <= 110
    assert len(set(first)) == len(first)


def test_latencies_are_set_so_that_one_at_a_time_takes_seconds_and_no_page_more_than_400_ms() -> None:
    seconds = [spot.seconds for spot in spots()]
    assert 5.5 <= sum(seconds) <= 8
    assert max(seconds) <= 0.4


def test_no_path_is_served_in_two_ways() -> None:
    paths = [spot.path for spot in spots(PAGES + HOPS)]
    assert len(set(paths)) == len(paths)


async def test_every_url_answers_as_its_row_of_the_table_says(
    site: PracticeSite, client: aiohttp.ClientSession
) -> None:
    outcomes = await asyncio.gather(*(outcome(client, url) for url in site.urls))
    failures = {path_of(url): what for url, what in zip(site.urls, outcomes, strict=True) if what not in ("200", "204")}
    assert failures == FAILING


async def test_flaky_urls_fail_as_often_in_each_pass(site: PracticeSite, client: aiohttp.ClientSession) -> None:
    flaky = ["/flaky/once", "/flaky/twice", "/busy"]
    for _ in range(2):
        assert await outcome(client, site.urls[0]) == "200"
        seen = [[await outcome(client, site.base + path) for _ in range(3)] for path in flaky]
        assert seen == [["503", "200", "200"], ["503", "503", "200"], ["429", "200", "200"]]


async def test_a_busy_answer_says_when_to_come_back(site: PracticeSite, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{site.base}/busy") as answer:
        assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize(
    ("path", "end", "hops"),
    [
        ("/old/chain", "/chain/end", [301, 302, 307]),
        ("/old/about", "/about", [301]),
        ("/old/articles/first", "/articles/1", [308]),
        ("/old/search", "/old/search?page=2", [302]),
    ],
)
async def test_redirects_lead_where_the_table_says(
    site: PracticeSite, client: aiohttp.ClientSession, path: str, end: str, hops: list[int]
) -> None:
    async with client.get(site.base + path) as answer:
        assert path_of(str(answer.url)) == end
        assert [hop.status for hop in answer.history] == hops


async def test_an_escaped_query_is_found_only_as_it_was_given(
    site: PracticeSite, client: aiohttp.ClientSession
) -> None:
    (url,) = (url for url in site.urls if "%2F" in url)
    assert await outcome(client, url) == "200"
    assert await outcome(client, url.replace("%2F", "/")) == "404"


async def test_pages_are_what_their_type_says(site: PracticeSite, client: aiohttp.ClientSession) -> None:
    async with client.get(f"{site.base}/api/users/1") as answer:
        assert isinstance(await answer.json(), list)
    async with client.get(f"{site.base}/images/1.png") as answer:
        assert answer.content_type == "image/png"
        image = await answer.read()
    at, parts = 8, []
    while at < len(image):
        length = int.from_bytes(image[at : at + 4], "big")
        data = image[at + 4 : at + 8 + length]
        assert int.from_bytes(image[at + 8 + length : at + 12 + length], "big") == zlib.crc32(data)
        parts.append(data)
        at += 12 + length
    assert [part[:4] for part in parts] == [b"IHDR", b"IDAT", b"IEND"]
    assert len(zlib.decompress(parts[1][4:])) == 64 * 65
    async with client.get(f"{site.base}/cafe/menu") as answer:
        assert dict(answer.raw_headers)[b"X-Dish"] == b"cr\xe8me"
        assert await answer.text() == "crème\n"
    async with client.get(f"{site.base}/reports/large") as answer:
        assert 1_000_000 < len(await answer.read()) < 1_100_000
    async with client.get(f"{site.base}/robots.txt") as answer:
        assert "Disallow: /private/" in await answer.text()


async def test_head_and_post_are_answered_everywhere(site: PracticeSite, client: aiohttp.ClientSession) -> None:
    for method in ("HEAD", "POST"):
        what = Counter(await asyncio.gather(*(outcome(client, url, method) for url in site.urls)))
        assert what["200"] >= 90
        assert what["404"] == 1


async def test_whoever_knows_a_page_is_told_that_it_is_unchanged(
    site: PracticeSite, client: aiohttp.ClientSession
) -> None:
    async with client.get(f"{site.base}/about") as answer:
        etag = answer.headers["ETag"]
    for known, status in ((etag, 304), ('"another"', 200)):
        async with client.get(f"{site.base}/about", headers={"If-None-Match": known}) as answer:
            assert (answer.status, answer.headers["ETag"], bool(await answer.read())) == (status, etag, status == 200)
    async with client.get(f"{site.base}/errors/missing") as answer:
        assert "ETag" not in answer.headers


async def test_a_port_that_is_taken_moves_the_site_to_the_next_free_one() -> None:
    async with PracticeSite(port=0) as first:
        assert not first.moved
        async with PracticeSite(port=first.port) as second:
            assert second.moved
            assert second.port > first.port
            assert not {urlsplit(url).port for url in first.urls} & {urlsplit(url).port for url in second.urls}
            assert second.base == f"http://127.0.0.1:{second.port}"
            assert second.urls[0] == f"{second.base}/"


async def test_what_asks_for_patience_is_on_hosts_of_its_own(site: PracticeSite) -> None:
    ports = {path_of(url): urlsplit(url).port for url in site.urls}
    assert len(set(ports.values())) == 3
    assert ports["/"] == site.port
    assert len({ports["/"], ports["/flaky/twice"], ports["/busy"]}) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere 127.0.0.2 is no address of the machine's")
async def test_the_site_listens_on_one_address_alone(site: PracticeSite) -> None:
    with socket.socket() as probe:
        # Were the site on 0.0.0.0, no other address could have the same port.
        probe.bind(("127.0.0.2", site.port))


async def test_closing_leaves_no_task_and_no_socket_whatever_is_under_way(
    client: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture
) -> None:
    before = asyncio.all_tasks()
    async with PracticeSite(port=0) as site:
        base = site.base
        waiting = [asyncio.create_task(outcome(client, f"{base}/slow/{n}")) for n in (1, 2, 3)]
        assert await outcome(client, f"{base}/api/ping") == "204"
    assert set(await asyncio.gather(*waiting)) <= {"200", "ServerDisconnectedError", "ClientOSError"}
    assert await outcome(client, f"{base}/") == "ClientConnectorError"
    assert asyncio.all_tasks() == before
    gc.collect()  # an open socket would be a ResourceWarning, and that an error
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


RUBBISH = """
import asyncio
from fetchall.demo import PracticeSite

async def main():
    async with PracticeSite(port=0) as site:
        for data in (b"GET / HTTP/1.1\\r\\nno header\\r\\n\\r\\n", b"GET /slow/1 HTTP/1.1\\r\\nHost: x\\r\\n\\r\\n"):
            reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
            writer.write(data)
            await writer.drain()
            if b"no header" in data:
                assert (await reader.readline()).startswith(b"HTTP/1.0 400")
            writer.transport.abort()

asyncio.run(main())
"""


def test_a_client_that_sends_rubbish_or_leaves_prints_nothing() -> None:
    # In a process of its own: pytest takes logs that would else be printed.
    done = subprocess.run([sys.executable, "-c", RUBBISH], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
