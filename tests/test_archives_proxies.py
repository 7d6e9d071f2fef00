"""Through a proxy, archives have the exchange with the target: no CONNECT, no password of the proxy's, exact bytes."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import trustme

from fetchall import Options, Result, fetch_all
from tests.test_archives import (
    WIRE,
    Script,
    assert_checks,
    assert_har,
    ending,
    members,
    opened,
    requests,
    responses,
    site,
)  # fmt: skip

ACCOUNT = "me:pr0xy-word"
NAMES = ["a.warc.gz", "a.har"]


@asynccontextmanager
async def proxy(seen: list[bytes]) -> AsyncIterator[int]:
    """A proxy that wants a password: a tunnel for CONNECT, else the request passed on without what is the proxy's."""
    wanted = b"Basic " + b64encode(ACCOUNT.encode())

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        seen.append(head)
        if wanted not in head:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            writer.close()
            return
        place = re.match(rb"(\w+) (?:http://)?([^:/]+):(\d+)(\S*)", head)
        assert place is not None
        far_reader, far_writer = await asyncio.open_connection(place[2].decode(), int(place[3]))
        if place[1] == b"CONNECT":
            writer.write(b"HTTP/1.1 200 Connection established\r\nProxy-Agent: test\r\n\r\n")
        else:
            head = re.sub(rb"(?i)proxy-authorization:[^\n]*\n", b"", head).replace(place[0], place[1] + b" " + place[4])
            far_writer.write(head)
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    server = await asyncio.start_server(serve, "127.0.0.1")
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def through(
    path: Path, script: Script, paths: list[str], *, scheme: str, account: str = ACCOUNT, **options: Any
) -> tuple[list[Result], list[bytes], list[bytes]]:
    """Rows, what the target got, what the proxy got."""
    context = None
    if scheme == "https":
        authority = trustme.CA()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(str(path.with_name("ca.pem")))
        options["cacert"] = str(path.with_name("ca.pem"))
    sink = opened(path)
    heads: list[bytes] = []
    seen: list[bytes] = []
    async with site(script, heads, ssl=context) as port, proxy(seen) as gate:
        urls = [f"{scheme}://127.0.0.1:{port}{each}" for each in paths]
        where = f"http://{account}@127.0.0.1:{gate}"
        rows = await fetch_all(
            urls, Options(recorder=sink, retries=0, concurrency=1, proxy=where, noproxy="", **options)
        )
    sink.close(ending())
    return rows, heads, seen


def contents(path: Path) -> bytes:
    if path.name.endswith("har"):
        return path.read_bytes()
    return b"".join(json.dumps(fields).encode() + block for fields, block in members(path))


@pytest.mark.parametrize("keep_secrets", [False, True])
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", NAMES)
async def test_nothing_that_is_the_proxys_is_archived(
    tmp_path: Path, name: str, scheme: str, keep_secrets: bool
) -> None:
    path = tmp_path / name
    rows, heads, seen = await through(
        path, WIRE.__getitem__, ["/plain", "/chunked"], scheme=scheme, keep_secrets=keep_secrets
    )
    assert [row.status for row in rows] == [200, 200]
    assert len(heads) == 2
    assert all(b"Proxy-Authorization" in head for head in seen)
    assert seen[0].startswith(b"CONNECT ") == (scheme == "https")
    data = contents(path).lower()
    for word in (b"connect ", b"proxy-", b64encode(ACCOUNT.encode()).lower(), b"pr0xy", b"established"):
        assert word not in data
    # The address that is known is the proxy's, and not of the host in the URL (WARC 1.1, section 5.10).
    for word in (b"warc-ip-address", b"serveripaddress"):
        assert word not in data
    if name.endswith("har"):
        document = json.loads(path.read_bytes())
        assert_har(document)
        assert len(document["log"]["entries"]) == 2
    else:
        assert_checks(path)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_the_bytes_are_those_of_the_exchange_with_the_target(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "a.warc.gz"
    _, heads, seen = await through(path, WIRE.__getitem__, list(WIRE), scheme=scheme)
    assert {place: block for place, (_, block) in responses(path).items()} == WIRE
    if scheme == "https":
        assert requests(path) == heads
        return
    # To a plain proxy the request names the whole URL (RFC 9112 section 3.2.2); this is what was sent.
    assert requests(path) == [re.sub(rb"Proxy-Authorization:[^\n]*\n", b"", head) for head in seen]
    assert all(block.startswith(b"GET http://127.0.0.1:") for block in requests(path))
    assert len(requests(path)) == len(WIRE)


@pytest.mark.parametrize("scheme", ["http", "https"])
async def test_a_body_goes_into_the_archive_through_a_proxy_too(tmp_path: Path, scheme: str) -> None:
    path = tmp_path / "a.warc.gz"
    await through(path, WIRE.__getitem__, ["/plain"], scheme=scheme, data=("a=1&b=2" * 1000,))
    assert requests(path)[0].partition(b"\r\n\r\n")[2] == b"a=1&b=2" * 1000
    assert_checks(path)


@pytest.mark.parametrize("name", NAMES)
async def test_a_tunnel_that_is_refused_leaves_no_answer(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    rows, heads, _ = await through(path, WIRE.__getitem__, ["/plain"], scheme="https", account="me:wr0ng")
    assert rows[0].error_type == "proxy"
    assert heads == []
    if name.endswith("har"):
        (entry,) = json.loads(path.read_bytes())["log"]["entries"]
        assert entry["response"]["status"] == 0
        assert entry["request"]["headers"] == []
        assert b"CONNECT" not in path.read_bytes().replace(entry["_error"].encode(), b"")
    else:
        assert path.read_bytes() == b""
