"""
A list fetched with Scrapy: a spider that yields its requests in list order and one item for each answer or failure.

Knows nothing of fetchall; runs in whichever Python has Scrapy. `python -m bench.peer_scrapy LIST -c N -o ROWS.jsonl`.
"""

from __future__ import annotations

import argparse
from collections.abc import AsyncIterator
from importlib import import_module
from pathlib import Path
from typing import Any

scrapy: Any = import_module("scrapy")
crawler: Any = import_module("scrapy.crawler")


async def start(spider: Any) -> AsyncIterator[Any]:
    """A request for each line."""
    with spider.list.open(encoding="utf-8") as lines:
        for line in lines:
            yield scrapy.Request(line.rstrip("\n"), callback=spider.parse, errback=spider.failed, dont_filter=True)


def parse(spider: Any, response: Any) -> dict[str, Any]:
    """The row of an answer."""
    return {
        "url": response.url,
        "status": response.status,
        "elapsed": response.meta["download_latency"],
        "size": len(response.body),
    }


def failed(spider: Any, failure: Any) -> dict[str, Any]:
    """The row of a failure."""
    return {"url": failure.request.url, "error": repr(failure.value)}


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """Scrapy's settings for a list of files: no politeness that was not asked for, no retries, no log."""
    return {
        "CONCURRENT_REQUESTS": options.concurrency,
        "CONCURRENT_REQUESTS_PER_DOMAIN": options.per_host or options.concurrency,
        "COOKIES_ENABLED": False,
        "DOWNLOAD_DELAY": 0,
        "DOWNLOAD_TIMEOUT": options.timeout or 180,
        "FEEDS": {options.output: {"format": "jsonlines"}},
        "HTTPERROR_ALLOW_ALL": True,
        "LOG_ENABLED": False,
        "RETRY_ENABLED": False,
        "ROBOTSTXT_OBEY": False,
        "TELNETCONSOLE_ENABLED": False,
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.peer_scrapy")
    parser.add_argument("list", type=Path)
    parser.add_argument("-c", "--concurrency", type=int, default=16)
    parser.add_argument("-o", "--output", required=True)
    parser.add_argument("--per-host", type=int, default=0)
    parser.add_argument("--timeout", type=float)
    parsed = parser.parse_args()
    members = {"name": "listed", "list": parsed.list, "start": start, "parse": parse, "failed": failed}
    process = crawler.CrawlerProcess(settings(parsed))
    process.crawl(type("Listed", (scrapy.Spider,), members))
    process.start()
