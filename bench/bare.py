"""
The bare loop that ratios are taken against: aiohttp and gather, as somebody who knows both would write it in an hour.

Knows nothing of fetchall. Run as `python -m bench.bare LIST -c N -o ROWS.jsonl [--loop asyncio]`. N workers share one
iterator over the file and one session; each URL gives one orjson line (url, status, elapsed, size, or the error) when
it is done. No limits per host, retries, order, summary, bar or care for hostile answers.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import aiohttp
import orjson

CHUNK = 1 << 18


async def main(options: argparse.Namespace) -> None:
    """Fetch the list."""
    with options.list.open(encoding="utf-8") as lines, options.output.open("wb") as rows:
        urls = (line.rstrip("\n") for line in lines)
        async with session(options) as shared:
            workers = (work(shared, urls, rows, options) for _ in range(options.concurrency))
            await asyncio.gather(*workers)


@asynccontextmanager
async def session(options: argparse.Namespace) -> AsyncIterator[aiohttp.ClientSession]:
    """One session for all; everything but the limit and what the workload asks for is aiohttp's default."""
    context = ssl.create_default_context(cafile=options.cacert) if options.cacert else True
    connector = aiohttp.TCPConnector(limit=0, ssl=context)
    timeout = aiohttp.ClientTimeout(total=options.timeout, sock_connect=options.connect_timeout)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as shared:
        yield shared


async def work(shared: aiohttp.ClientSession, urls: Iterator[str], rows: BinaryIO, options: argparse.Namespace) -> None:
    """Take URLs from the shared iterator until it is empty."""
    for url in urls:
        began = time.perf_counter()
        try:
            async with shared.get(url) as response:
                if options.save:
                    found: dict[str, Any] = {"size": await save(response, options.save / url.rpartition("/")[2])}
                else:
                    body = await response.read()
                    found = {"size": len(body)}
                    if options.sha256:
                        found["sha256"] = hashlib.sha256(body).hexdigest()
                row = {"url": url, "status": response.status, "elapsed": time.perf_counter() - began, **found}
        except (aiohttp.ClientError, TimeoutError) as error:
            row = {"url": url, "error": repr(error), "elapsed": time.perf_counter() - began}
        rows.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))


async def save(response: aiohttp.ClientResponse, path: Path) -> int:
    """Write the body to a file as it comes; its size in bytes."""
    size = 0
    with path.open("wb") as file:
        async for chunk in response.content.iter_chunked(CHUNK):
            size += file.write(chunk)
    return size


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.bare", description="The bare loop: aiohttp and gather.")
    parser.add_argument("list", type=Path)
    parser.add_argument("-c", "--concurrency", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--loop", choices=("uvloop", "asyncio"), default="uvloop")
    parser.add_argument("--timeout", type=float, default=300.0, help="aiohttp's own default: 300")
    parser.add_argument("--connect-timeout", type=float, default=30.0, help="aiohttp's own default: 30")
    parser.add_argument("--cacert")
    parser.add_argument("--sha256", action="store_true")
    parser.add_argument("--save", type=Path, help="a folder for the bodies")
    return parser.parse_args()


if __name__ == "__main__":
    parsed = arguments()
    if parsed.loop == "uvloop":
        import uvloop

        uvloop.run(main(parsed))
    else:
        asyncio.run(main(parsed))
