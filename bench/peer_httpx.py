"""
A list fetched with httpx (Python), as its documentation shows: one AsyncClient, N workers over one iterator.

Knows nothing of fetchall; runs in whichever Python has httpx. `python -m bench.peer_httpx LIST -c N -o ROWS.jsonl`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import ssl
import time
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import IO, Any

httpx: Any = import_module("httpx")


async def main(options: argparse.Namespace) -> None:
    """Fetch the list."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    timeout = httpx.Timeout(options.timeout, connect=options.connect_timeout or options.timeout)
    verify = ssl.create_default_context(cafile=options.cacert) if options.cacert else True
    with options.list.open(encoding="utf-8") as lines, options.output.open("w", encoding="utf-8") as rows:
        urls = (line.rstrip("\n") for line in lines)
        async with httpx.AsyncClient(limits=limits, timeout=timeout, verify=verify, trust_env=False) as client:
            await asyncio.gather(*(work(client, urls, rows) for _ in range(options.concurrency)))


async def work(client: Any, urls: Iterator[str], rows: IO[str]) -> None:
    """Take URLs from the shared iterator until it is empty."""
    for url in urls:
        began = time.perf_counter()
        try:
            response = await client.get(url)
            row = {"url": url, "status": response.status_code, "size": len(response.content)}
        except httpx.HTTPError as error:
            row = {"url": url, "error": repr(error)}
        rows.write(json.dumps(row | {"elapsed": time.perf_counter() - began}) + "\n")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m bench.peer_httpx")
    parser.add_argument("list", type=Path)
    parser.add_argument("-c", "--concurrency", type=int, default=20)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--timeout", type=float)
    parser.add_argument("--connect-timeout", type=float)
    parser.add_argument("--cacert")
    return parser.parse_args()


if __name__ == "__main__":
    parsed = arguments()
    try:
        uvloop: Any = import_module("uvloop")
    except ImportError:
        asyncio.run(main(parsed))
    else:
        uvloop.run(main(parsed))
