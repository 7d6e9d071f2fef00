"""
What is known of a run whose shards lie in one store: of which list, how cut, with which options; and what is done.

Knows the store and JSON; it must not know who fetches. No URL and no secret is in it: what may be one is there as a
salted digest, as beside any unfinished output.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from fetchall import __version__
from fetchall.engines.shards import Cut
from fetchall.engines.spans import Span, elapsed, most_at_once
from fetchall.engines.store import Store, write
from fetchall.errors import ResumeError
from fetchall.options import Options
from fetchall.records import Summary, Timing
from fetchall.shard_note import NOTE, ShardNote
from fetchall.state import bound_options, check_options, new_salt
from fetchall.tally import Tally

MANIFEST = "manifest.json"
STOP = "stop"
"""While a file of this name is there, no shard is fetched: who is at work gives up."""
VERSION = 1
_OURS = re.compile(r"shard-[0-9]+-of-[0-9]+\.jsonl(\.shard)?")
_DRAFT = re.compile(r"\." + _OURS.pattern + r"\.[0-9a-f]+\.part")


@dataclass(frozen=True, slots=True)
class Manifest:
    """One run."""

    whole: str
    """The fingerprint of the list."""
    total: int
    """Its rows."""
    cut: Cut
    shards: int
    options: dict[str, Any]
    salt: str

    @classmethod
    def begin(cls, fingerprint: str, total: int, cut: Cut, shards: int, options: Options) -> Manifest:
        """The manifest of a new run."""
        salt = new_salt()
        return cls(fingerprint, total, cut, shards, bound_options(options, salt), salt)

    def check_options(self, options: Options, name: str) -> None:
        """Raise `ResumeError`, naming what differs, where a run would mix two datasets."""
        check_options(self.options, bound_options(options, self.salt), name)

    def check_list(self, fingerprint: str, name: str) -> None:
        """Raise `ResumeError` for another list."""
        if fingerprint != self.whole:
            raise ResumeError(f"{name} belongs to another list: give the list as it was, or --overwrite")

    def finished(self, store: Store, rows: Sequence[int]) -> dict[int, ShardNote]:
        """
        The notes of the shards that are done, by number, of which the first is 1; `rows`: how many each is to have.

        Raises `ResumeError` for what is no shard of this run, and where the list was cut otherwise: then what is done
        is not what is missing here, and rows would be lost or there twice.
        """
        found: dict[int, ShardNote] = {}
        whole = len(rows) == self.shards
        for note in notes(store):
            number = note.shard.number
            if (note.whole, note.shard.of) != (self.whole, self.shards) or number in found:
                raise ResumeError(f"{store.name}: {note.file} is no shard of this run; move it elsewhere")
            found[number] = note
            whole = whole and note.tally["urls"] == rows[number - 1]
        if not whole:
            words = "its shards were cut otherwise: finish it where it began, or --overwrite"
            raise ResumeError(f"{store.name}: {words}")
        return found

    def save(self, store: Store) -> None:
        """Write it whole or not at all; raises OSError."""
        found = {"fetchall": __version__, "version": VERSION, **dataclasses.asdict(self)}
        write(store, MANIFEST, json.dumps(found).encode() + b"\n")


def load(store: Store) -> Manifest | None:
    """The manifest; None where there is none. Raises `ResumeError` for one that can't be understood."""
    data = store.read(MANIFEST)
    if data is None:
        return None
    where = f"{store.name}: {MANIFEST}"
    try:
        found = json.loads(data)
        writer, version = found.pop("fetchall"), found.pop("version")
        if version != VERSION:
            raise ResumeError(f"{where} is of fetchall {writer}: finish the run with that, or --overwrite it")
        found["cut"] = Cut(*found["cut"])
        return Manifest(**found)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResumeError(f"{where} is damaged: --overwrite the run") from error


def shard_name(number: int, shards: int) -> str:
    """What a shard's output is called: in the order of their numbers wherever names are sorted."""
    return f"shard-{number:0{len(str(shards))}}-of-{shards}.jsonl"


def notes(store: Store) -> Iterator[ShardNote]:
    """The note of every finished shard; raises `ResumeError` for one that can't be understood."""
    for name in store.names():
        if name.endswith(NOTE) and not name.startswith("."):
            data = store.read(name)
            if data is not None:
                yield ShardNote.parse(data, f"{store.name}: {name}")


def clear(store: Store) -> None:
    """
    Throw a run away, if there is one: other files of such names are somebody's.

    The manifest goes last, so that what is left of a clearing that was cut short is still a run.
    """
    if not store.exists(MANIFEST):
        return
    for name in store.names():
        if _OURS.fullmatch(name):
            store.remove(name)
    store.remove(MANIFEST)


def sweep(store: Store) -> None:
    """Let go of what dead workers left half made."""
    for name in store.names():
        if _DRAFT.fullmatch(name):
            store.remove(name)


class Sum:
    """What finished shards add up to."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._spans: list[Span] = []

    def add(self, note: ShardNote) -> None:
        """Count a shard."""
        self.tally.merge(Tally.restored(note.tally))
        self._spans.append(Span(note.ended_at - note.elapsed, note.ended_at, note.concurrency))

    def figures(self, *, complete: bool) -> tuple[Summary, Timing]:
        """As one run would have them; `elapsed` is the time in which at least one shard was under way."""
        seconds = elapsed(self._spans)
        summary = self.tally.summary(seconds, interrupted=not complete)
        return summary, self.tally.timing(seconds, most_at_once(self._spans), None)
