"""
What writing costs: each form's seconds a row beside those of a run at full speed on tiny bodies, and WARC's records.

`python -m bench.forms` prints one line a form. The run is the library alone, its rows dropped; the server is a process
of its own. Times are CPU, closing included, so that neither a busy disk nor a busy machine counts.
"""

from __future__ import annotations

import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from bench.server import running
from fetchall import Options, Request, Result, stream
from fetchall.captures import Capture
from fetchall.records import Answer
from fetchall.rows import Columns, Row
from fetchall.sinks import FORMS, Ending, make
from fetchall.sinks.archive import Archive
from fetchall.sinks.outlet import PartFile
from fetchall.tally import Tally

URLS = 20_000
ROWS = 60_000
BATCH = 20
"""Rows that a run at full speed writes at once."""
PAIRS = 3_000
BODY = 24 * 1024
SHARE, RECORDS = 0.15, 4_000
"""The figures to reach."""
WHEN = datetime(2026, 1, 1, tzinfo=UTC)


def main() -> int:
    """0: the figures are reached."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        folder = Path(name)
        run = asyncio.run(whole_run())
        print(f"a run      {run * 1e6:6.1f} µs a row, {1 / run:,.0f} rows a CPU second")
        reached = True
        for form in sorted(set(FORMS.values()) - {"warc", "har", "html"}):
            cost = rows_cost(form, folder)
            good = cost / run <= SHARE
            reached = reached and (good or form not in ("jsonl", "parquet"))
            print(f"{form:10} {cost * 1e6:6.1f} µs a row, {cost / run:6.1%} of the run")
        rate, indexed = records_rate(folder), records_rate(folder, cdx=True)
        print(f"warc       {rate:,.0f} answers/s of {BODY // 1024} KB, each with its request")
        print(f"           {indexed:,.0f} with an index")
    return int(not reached or min(rate, indexed) < RECORDS)


async def whole_run() -> float:
    """CPU seconds a row of the cheapest of three runs that write nothing."""
    found = []
    with running() as place:
        urls = [f"http://{place.hosts[0]}:{place.port}/tiny/{number}" for number in range(URLS)]
        for _ in range(3):
            started = time.process_time()
            async with stream(urls, Options(concurrency=100)) as results:
                async for batch in results.batches():
                    assert batch
            found.append((time.process_time() - started) / URLS)
    return min(found)


def rows_cost(form: str, folder: Path) -> float:
    """CPU seconds a row, making the row included."""
    path = folder / ("rows" + next(ending for ending, known in FORMS.items() if known == form))
    sink = make(form, PartFile(str(path)), columns=Columns())
    results = [_result(number) for number in range(ROWS)]
    started = time.process_time()
    for start in range(0, ROWS, BATCH):
        sink.write([Row(result, Columns()) for result in results[start : start + BATCH]])
    sink.close(_ending())
    return (time.process_time() - started) / ROWS


def records_rate(folder: Path, *, cdx: bool = False) -> float:
    """Answers a CPU second; each is two records, of which only the answer's is counted."""
    sink = make("warc", PartFile(str(folder / "a.warc.gz")), columns=Columns(), cdx=cdx)
    assert isinstance(sink, Archive)
    body = b" ".join(_words())[:BODY]
    started = time.process_time()
    for number in range(PAIRS):
        sink.take(_capture(number, body))
    sink.close(_ending())
    return PAIRS / (time.process_time() - started)


def _result(number: int) -> Result:
    return Result(
        request=Request(f"http://127.0.0.1:8080/tiny/{number}", number),
        method="GET",
        url=f"http://127.0.0.1:8080/tiny/{number}",
        final_url=f"http://127.0.0.1:8080/tiny/{number}",
        status=200,
        ok=True,
        attempts=1,
        started_at=WHEN,
        elapsed=0.012345 + number / 1e6,
        ttfb=0.012,
        size=13,
        wire_size=13,
        content_type="text/plain",
        http_version="1.1",
        remote_ip="127.0.0.1",
    )


def _capture(number: int, body: bytes) -> Capture:
    return Capture(
        index=number,
        url=f"http://127.0.0.1:8080/page/{number}",
        method="GET",
        started_at=WHEN,
        elapsed=0.01,
        answer=Answer(status=200, remote_ip="127.0.0.1"),
        request=b"GET /page HTTP/1.1\r\nHost: 127.0.0.1:8080\r\nUser-Agent: fetchall\r\nAccept: */*\r\n\r\n",
        response=(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", len(body), (body,)),
        whole=True,
    )


def _words() -> Iterator[bytes]:
    """Text that shrinks to about half, as pages without much markup do."""
    chance = random.Random(1)
    known = [f"{chance.getrandbits(24):x}".encode() for _ in range(2_000)]
    for _ in range(BODY // 4):
        yield chance.choice(known)


def _ending() -> Ending:
    tally = Tally()
    return Ending(tally.summary(1.0, interrupted=False), tally.timing(1.0, 100, None), complete=True)


if __name__ == "__main__":
    sys.exit(main())
