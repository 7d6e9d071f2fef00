"""What an output holds, by readers that know nothing of fetchall, and what a form can't tell apart."""

from __future__ import annotations

import csv
import gzip
import json
import sqlite3
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from backports import zstd


def of_json(path: Path) -> list[dict[str, Any]]:
    return list(json.loads(path.read_bytes())["results"])


def of_jsonl(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def of_gzip(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def of_zstd(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in zstd.decompress(path.read_bytes()).splitlines()]


NESTED = {"headers", "history", "timings", "tries", "input", "body_json"}
NUMBERS = {"index", "status", "attempts", "redirects", "elapsed", "ttfb", "size", "wire_size", "duplicate_of"}
TRUTHS = {"ok", "reused"}


def of_csv(path: Path) -> list[dict[str, Any]]:
    with open(path, newline="", encoding="utf-8") as file:
        found: list[dict[str, Any]] = list(csv.DictReader(file))
    for row in found:
        for name, value in row.items():
            if value == "":
                row[name] = None
            elif name in NESTED | NUMBERS | TRUTHS:
                row[name] = json.loads(value)
    return found


def of_sqlite(path: Path) -> list[dict[str, Any]]:
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    found = [dict(row) for row in connection.execute("SELECT * FROM results")]
    connection.close()
    for row in found:
        for name, value in row.items():
            if value is not None and name in NESTED:
                row[name] = json.loads(value)
            elif value is not None and name in TRUTHS:
                row[name] = bool(value)
    return found


def of_parquet(path: Path) -> list[dict[str, Any]]:
    found = pq.read_table(path).to_pylist()
    for row in found:
        for name in ("headers", "input"):
            if row[name] is not None:
                row[name] = dict(row[name])
        if row["body_json"] is not None:
            row["body_json"] = json.loads(row["body_json"])
    return [dict(row) for row in found]


READERS: dict[str, Callable[[Path], list[dict[str, Any]]]] = {
    "json": of_json,
    "jsonl": of_jsonl,
    "jsonl.gz": of_gzip,
    "jsonl.zst": of_zstd,
    "csv": of_csv,
    "sqlite": of_sqlite,
    "parquet": of_parquet,
}


def as_told_by(form: str, row: dict[str, Any]) -> dict[str, Any]:
    """A row of the JSON forms as another form tells it."""
    row = dict(row)
    if form == "csv":
        return {name: None if value == "" else value for name, value in row.items()}
    if form == "parquet":
        if row["started_at"]:
            row["started_at"] = datetime.fromisoformat(row["started_at"])
        if row["tries"]:
            row["tries"] = [
                attempt | {"started_at": datetime.fromisoformat(attempt["started_at"])} for attempt in row["tries"]
            ]
        if row["input"]:
            row["input"] = {
                name: value if value is None or isinstance(value, str) else in_one_line(value)
                for name, value in row["input"].items()
            }
    return row


def in_one_line(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
