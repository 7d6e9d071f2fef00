"""
The forms of a list, by name and by the endings of files: one file each, all with the same contract.

Knows names; it must not know what a form looks like inside.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from fetchall.records import Request
from fetchall.source import parquet
from fetchall.source.array import read_json
from fetchall.source.content import Content
from fetchall.source.jsonl import read_jsonl
from fetchall.source.maker import Maker
from fetchall.source.packed import ENDINGS as PACKINGS
from fetchall.source.tables import read_csv, read_tsv
from fetchall.source.text import read_text

Reader = Callable[[Content, Maker], Iterator[list[Request]]]
"""Gives a source's requests in batches, blocking and lazily: what has come is given before more is waited for."""

TEXT = "text"
READERS: dict[str, Reader] = {
    TEXT: read_text,
    "csv": read_csv,
    "tsv": read_tsv,
    "jsonl": read_jsonl,
    "json": read_json,
    "parquet": parquet.read_parquet,
}
ENDINGS = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "json",
    ".parquet": "parquet",
}


def form_of(name: str) -> str:
    """The form that a name's ending says, before that of a packing; text where it says none."""
    name = name.lower()
    for ending in PACKINGS:
        name = name.removesuffix(ending)
    return next((form for ending, form in ENDINGS.items() if name.endswith(ending)), TEXT)
