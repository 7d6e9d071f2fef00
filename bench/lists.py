"""
How soon the first request of a large list is sent, and how much memory reading it takes, form by form.

    python -m bench.lists [--rows N] [--seconds S] [FORM ...]

Each form's list has N rows (1,000,000 unless said) of four columns. The first row's URL is the bench's own, which
notes when it is asked for; the others are the bench's server's. After S seconds (`--max-run-time`) the run is ended:
what reading holds it holds by then. `rows/s` is reading alone, through to `Request`s, in this process.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.measure import measure
from bench.server import ROOT, allow_many_files, running
from fetchall.source import read_sources

CONCURRENCY = 50
Row = dict[str, Any]


def rows(first: str, base: str, count: int) -> Iterator[Row]:
    for number in range(count):
        url = f"{base}/tiny?row={number}" if number else first
        yield {"id": number, "url": url, "title": f"title, {number}", "score": number / 8}


def write_csv(path: Path, found: Iterator[Row]) -> None:
    with gzip.open(path, "wt", 1, newline="") as file:
        writer = csv.DictWriter(file, ["id", "url", "title", "score"])
        writer.writeheader()
        writer.writerows(found)


def write_jsonl(path: Path, found: Iterator[Row]) -> None:
    with gzip.open(path, "wt", 1) as file:
        file.writelines(json.dumps(row) + "\n" for row in found)


def write_json(path: Path, found: Iterator[Row]) -> None:
    with gzip.open(path, "wt", 1) as file:
        file.write("[")
        file.writelines((",\n" if row["id"] else "") + json.dumps(row) for row in found)
        file.write("]")


def write_text(path: Path, found: Iterator[Row]) -> None:
    with gzip.open(path, "wt", 1) as file:
        file.writelines(row["url"] + "\n" for row in found)


def write_parquet(path: Path, found: Iterator[Row]) -> None:
    import pyarrow
    from pyarrow import parquet

    parquet.write_table(pyarrow.Table.from_pylist(list(found)), path, compression="zstd")


FORMS: dict[str, Callable[[Path, Iterator[Row]], None]] = {
    "csv.gz": write_csv,
    "jsonl.gz": write_jsonl,
    "json.gz": write_json,
    "txt.gz": write_text,
    "parquet": write_parquet,
}


class Door:
    """Notes when it is first knocked at, and answers."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/first"
        self.asked_at = 0.0
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._listener.close()

    def _answer(self) -> None:
        connection, _ = self._listener.accept()
        with connection:
            connection.recv(65_536)
            self.asked_at = time.monotonic()
            connection.sendall(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n")


def run(form: str, options: argparse.Namespace, base: str, folder: Path) -> str:
    door = Door()
    path = folder / f"list.{form}"
    FORMS[form](path, rows(door.url, base, options.rows))
    argv = [sys.executable, "-m", "fetchall", str(path), "-c", str(CONCURRENCY), "--format", "jsonl", "-q"]
    argv += ["--max-run-time", str(options.seconds)]
    began = time.monotonic()
    usage = measure(argv, folder / "rows.jsonl", ROOT, options.seconds + 60)
    with (folder / "rows.jsonl").open("rb") as file:
        fetched = sum(1 for _ in file)
    door.close()
    began_reading = time.perf_counter()
    read = sum(len(batch) for batch in read_sources([str(path)]))
    speed = read / (time.perf_counter() - began_reading)
    assert read == options.rows
    return (
        f"{form:10}{door.asked_at - began:>10.3f} s{usage.memory / 1024**2:>9.0f} MiB{speed:>12,.0f}{fetched:>12,}"
        f"{path.stat().st_size / 1024**2:>9.1f} MiB"
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.lists", description=__doc__.splitlines()[1] if __doc__ else ""
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("form", nargs="*", choices=[*FORMS, []], default=[])
    options = parser.parse_args()
    allow_many_files()
    print(f"{'form':10}{'first sent':>12}{'peak':>13}{'rows/s':>12}{'fetched':>12}{'list':>13}")
    with running() as place, tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for form in options.form or FORMS:
            print(run(form, options, f"http://{place.hosts[0]}:{place.port}", Path(folder)), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
