"""
The note beside a finished shard: which part of which list it holds, and what its rows add up to.

Knows JSON and tallies; it must not know how shards are fetched or joined. No URL and no secret is in it, but the names
of hosts.
"""

from __future__ import annotations

import dataclasses
import json
import os
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from fetchall import __version__
from fetchall.errors import ResumeError
from fetchall.fingerprint import Fingerprint
from fetchall.records import Timing
from fetchall.rows import Columns
from fetchall.sinks.outlet import write_whole
from fetchall.tally import Tally
from fetchall.units import Shard, parse_shard

NOTE = ".shard"
"""What is added to the output's name."""
VERSION = 1


@dataclass(frozen=True, slots=True)
class ShardNote:
    """What is known of one shard whose output is whole."""

    file: str
    """The output's name, without its folder."""
    size: int
    """Its bytes."""
    shard: Shard
    whole: str
    """The fingerprint of the whole list."""
    total: int
    """Rows of the whole list."""
    columns: Columns
    chosen: bool
    """Not every row was written (--match, --filter)."""
    tally: dict[str, Any]
    elapsed: float
    """Seconds that it took,"""
    ended_at: float
    """until then (seconds since 1970)."""
    concurrency: int

    def json(self) -> bytes:
        """The note as a document."""
        return json.dumps({"fetchall": __version__, "version": VERSION, **dataclasses.asdict(self)}).encode() + b"\n"

    @classmethod
    def parse(cls, data: bytes, name: str) -> ShardNote:
        """The note that a file of this name holds; raises `ResumeError` for what is none."""
        try:
            found = json.loads(data)
            writer, version = found.pop("fetchall"), found.pop("version")
            if version != VERSION:
                raise ResumeError(f"{name} is of fetchall {writer}, which this one can't read")
            found["shard"], found["columns"] = parse_shard("{}/{}".format(*found["shard"])), Columns(**found["columns"])
            Tally.restored(found["tally"])
            return cls(**found)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise ResumeError(f"{name} is damaged: fetch its shard again") from error


def load(output: str) -> ShardNote | None:
    """The note beside a finished output; None: it is no shard."""
    try:
        with open(output + NOTE, "rb") as file:
            return ShardNote.parse(file.read(), output + NOTE)
    except FileNotFoundError:
        return None


def check(output: str, shard: Shard | None) -> None:
    """Raise `ResumeError` where a finished output holds another part of the list than is wanted."""
    note = load(output)
    if note is not None and note.shard != shard:
        wanted = f"shard {shard}" if shard is not None else "the whole list"
        raise ResumeError(f"{output} holds shard {note.shard}, not {wanted}: write elsewhere")


def settle(
    output: str,
    shard: Shard | None,
    whole: Fingerprint,
    *,
    columns: Columns,
    chosen: bool,
    tally: Tally,
    timing: Timing,
) -> None:
    """An output is whole: note of which list which part it is, or let go of an older note. Raises OSError."""
    if shard is None:
        with suppress(FileNotFoundError):
            os.unlink(output + NOTE)
        return
    note = ShardNote(
        file=os.path.basename(output),
        size=os.path.getsize(output),
        shard=shard,
        whole=whole.hex(),
        total=whole.rows,
        columns=columns,
        chosen=chosen,
        tally=tally.snapshot(),
        elapsed=timing.concurrent.elapsed,
        ended_at=time.time(),
        concurrency=timing.concurrent.concurrency or 0,
    )
    write_whole(output + NOTE, note.json())
