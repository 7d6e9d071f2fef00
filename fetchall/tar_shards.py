"""
Bodies as samples of tar shards, as those who train on them read: `key.ext` and `key.json`, one after the other.

Knows tar files, and which of their samples have a row; it must not know HTTP, nor where bodies come from.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Lock
from typing import Any

from fetchall.errors import SinkError
from fetchall.options import Options
from fetchall.records import Result
from fetchall.rows import Columns, Row, dumps, fields
from fetchall.sinks import Ending
from fetchall.sinks.outlet import PART, lock, reason, sync_folder, write_all
from fetchall.sinks.saved import SavedFiles

_NAME = re.compile(r"(\d{5,})\.tar(\.part)?")
_KEY = 9
"""Digits of a sample's key, which is its row's index: in any order of names its two members are neighbours."""
_ENDINGS = {"json": "body.json"} | dict.fromkeys(("pyd", "pkl", "pickle", "pth", "pt", "ckpt", "joblib", "dill"), "bin")
"""What a body's ending becomes: `json` is the row's, and readers run what is in those that Python's pickles have."""
_BLOCK = tarfile.BLOCKSIZE
_PIECE = 1024 * 1024
_MOST_FULL = 16
"""Shards that wait open for their rows to be synced, which may take its time, or be left to the end (--fsync 0)."""
_OPEN = os.O_RDWR | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0)


@dataclass(eq=False, slots=True)
class _Shard:
    number: int
    descriptor: int
    size: int = 0
    """Bytes of whole samples."""
    samples: int = 0
    rows: int = 0
    """Of its samples, those whose rows the journal has."""


class Shards:
    """
    The shards in a folder, each of `samples` samples but the last; see also `Sink`.

    A sample is written before its row, in the same order, so what a kill leaves without a row is at the end and is cut.
    A shard has its name once all its rows are on the disk: until then it ends in `.part`, and no reader takes it.
    """

    def __init__(
        self, folder: str, samples: int, columns: Columns, sync_rows: Callable[[], None] | None = None
    ) -> None:
        """With `sync_rows`, which sees rows through to the disk, shards wait for them; else they don't."""
        self._folder = folder
        self._samples = samples
        self._columns = replace(columns, body=False)
        self._sync_rows = sync_rows
        self._next = 0
        self._filling: _Shard | None = None
        self._full: list[_Shard] = []
        self._durable: list[_Shard] = []
        """Full ones, all of whose rows were there when rows were last synced."""
        self._syncing = Lock()
        self._keys: dict[int, set[int]] = {}

    def __repr__(self) -> str:
        return f"<Shards in {self._folder}, {self._next} so far>"

    def begin(self, has_row: Callable[[int], bool] | None = None) -> None:
        """
        Begin with the first, or go on after an earlier run: `has_row` says of which indexes there are rows.

        Raises `SinkError` where there are any shards already, and where the folder can't be used.
        """
        try:
            os.makedirs(self._folder, exist_ok=True)
            if has_row is not None:
                self._go_on(has_row)
                return
        except OSError as error:
            raise SinkError(f"--bodies {self._folder}: {reason(error)}") from error
        if found := sorted(_found(self._folder)):
            name = _name(*found[0])
            raise SinkError(
                f"{self._folder} has {name} of another run: name another folder, or remove it (an unfinished run "
                "goes on with --resume)"
            )

    def _go_on(self, has_row: Callable[[int], bool]) -> None:
        """Without the samples at the end that have no row."""
        found = sorted(_found(self._folder))
        for number in [number for number, unfinished in found if unfinished]:
            shard = self._opened(number)
            for key, end in _whole(shard.descriptor):
                shard.samples += 1
                if has_row(key):
                    shard.size, shard.rows = end, shard.samples
            shard.samples = shard.rows
            os.ftruncate(shard.descriptor, shard.size)
            os.lseek(shard.descriptor, shard.size, os.SEEK_SET)
            if shard.samples:
                self._full.append(shard)
            else:
                self._remove(shard)
        if self._full and self._full[-1].samples < self._samples:
            self._filling = self._full.pop()
        self._next = max((number for number, _ in _found(self._folder)), default=-1) + 1

    def holds(self, row: dict[str, Any]) -> bool:
        """Whether what a row of an earlier run speaks of is there."""
        number, _, name = str(row["file"]).partition(".tar/")
        if row["file"] is None or os.path.exists(self._path(int(number))):
            return True
        return int(name.partition(".")[0]) in self._known(int(number))

    def add(self, descriptor: int, size: int, ending: str, result: Result) -> Result:
        """Make a body and its row a sample; the result that says where it is. Raises OSError, and then it is not."""
        if self._filling is None:
            self._filling = self._new()
        shard = self._filling
        key = str(result.index).zfill(_KEY)
        name = f"{key}.{_ENDINGS.get(ending, ending)}"
        result = replace(result, file=f"{shard.number:05}.tar/{name}")
        row = dumps(fields(result, self._columns))
        try:
            write_all(shard.descriptor, _header(name, size))
            for start in range(0, size, _PIECE):
                write_all(shard.descriptor, os.pread(descriptor, _PIECE, start))
            write_all(shard.descriptor, _padding(size) + _header(f"{key}.json", len(row)) + row + _padding(len(row)))
        except OSError:
            os.ftruncate(shard.descriptor, shard.size)
            os.lseek(shard.descriptor, shard.size, os.SEEK_SET)
            raise
        shard.size = os.lseek(shard.descriptor, 0, os.SEEK_CUR)
        shard.samples += 1
        if shard.samples >= self._samples:
            self._filling = None
            self._full.append(shard)
            if self._sync_rows is None:
                self._finish(shard)
            elif len(self._full) > _MOST_FULL:
                self._sync_rows()
        return result

    def write(self, rows: Sequence[Row]) -> bool:
        """See `Sink`: the journal has these."""
        for row in rows:
            if row.result.file is not None and row.result.duplicate_of is None:
                number = int(row.result.file.partition(".")[0])
                shard = next((each for each in (self._filling, *self._full) if each and each.number == number), None)
                if shard is not None:
                    shard.rows += 1
        return False

    def sync(self) -> None:
        """Before rows are synced, in whatever thread: see samples through to the disk, and name what is ready."""
        with self._syncing:
            for shard in self._durable:
                self._finish(shard)
            full, filling = list(self._full), self._filling
            self._durable = [shard for shard in full if shard.rows >= shard.samples]
            for shard in full if filling is None else [*full, filling]:
                os.fsync(shard.descriptor)
            sync_folder(self._path(0))
            sync_folder(os.path.realpath(self._folder))

    def close(self, ending: Ending) -> None:
        """See `Sink`."""
        self.end(complete=ending.complete)

    def end(self, *, complete: bool) -> None:
        """There are no more; unfinished, all can be read, and gone on with."""
        if self._filling is not None:
            self._full.append(self._filling)
            self._filling = None
        if complete and self._sync_rows is not None:
            self._sync_rows()
        for shard in list(self._full):
            if not shard.samples:
                self._remove(shard)
            elif complete:
                self._finish(shard)
            else:
                _end(shard)
                os.close(shard.descriptor)
        self._full = []

    def abort(self) -> None:
        """See `Sink`."""
        for shard in self._full if self._filling is None else [*self._full, self._filling]:
            os.close(shard.descriptor)

    def _new(self) -> _Shard:
        number = self._next
        shard = _Shard(number, os.open(self._path(number) + PART, _OPEN | os.O_CREAT | os.O_EXCL, 0o666))
        lock(shard.descriptor)
        self._next += 1
        return shard

    def _opened(self, number: int) -> _Shard:
        name = self._path(number) + PART
        try:
            shard = _Shard(number, os.open(name, _OPEN))
            lock(shard.descriptor)
        except OSError as error:
            raise SinkError(f"{name}: {reason(error)}") from error
        return shard

    def _finish(self, shard: _Shard) -> None:
        _end(shard)
        os.rename(self._path(shard.number) + PART, self._path(shard.number))
        sync_folder(self._path(shard.number))
        os.close(shard.descriptor)
        self._full.remove(shard)

    def _remove(self, shard: _Shard) -> None:
        os.unlink(self._path(shard.number) + PART)
        os.close(shard.descriptor)

    def _known(self, number: int) -> set[int]:
        """The keys of the whole samples of an unfinished shard."""
        if number not in self._keys:
            self._keys[number] = set()
            with suppress(FileNotFoundError):
                descriptor = os.open(self._path(number) + PART, _OPEN)
                self._keys[number] = {key for key, _ in _whole(descriptor)}
                os.close(descriptor)
        return self._keys[number]

    def _path(self, number: int) -> str:
        return os.path.join(self._folder, _name(number, False))


Saved = Shards | SavedFiles


def saved_by(options: Options, columns: Columns, sync_rows: Callable[[], None]) -> Saved | None:
    """Who knows what rows say of saved bodies, in a run with a journal; None: there are none."""
    if options.bodies is None:
        return None
    if options.tar_shards:
        return Shards(options.bodies, options.tar_shards, columns, sync_rows)
    return SavedFiles(options.bodies, any_size=options.no_clobber)


def _name(number: int, unfinished: bool) -> str:
    return f"{number:05}.tar{PART if unfinished else ''}"


def _found(folder: str) -> Iterator[tuple[int, bool]]:
    """Number, and whether it is unfinished, of every shard that is there."""
    with suppress(FileNotFoundError):
        for name in os.listdir(folder):
            if (match := _NAME.fullmatch(name)) is not None:
                yield int(match[1]), match[2] is not None


def _header(name: str, size: int) -> bytes:
    """The same wherever and whenever it is written."""
    member = tarfile.TarInfo(name)
    member.size = size
    return member.tobuf(tarfile.PAX_FORMAT)


def _padding(size: int) -> bytes:
    return bytes(-size % _BLOCK)


def _end(shard: _Shard) -> None:
    """What ends a tar file, and what it is made of seen through to the disk."""
    write_all(shard.descriptor, bytes(2 * _BLOCK))
    os.fsync(shard.descriptor)


def _whole(descriptor: int) -> Iterator[tuple[int, int]]:
    """Key and end of every whole sample, up to what a kill left of the last."""
    size = os.fstat(descriptor).st_size
    before = ""
    with os.fdopen(os.dup(descriptor), "rb") as file, suppress(tarfile.TarError):
        file.seek(0)
        with tarfile.open(fileobj=file, mode="r:") as tar:
            for member in tar:
                end = member.offset_data + member.size + len(_padding(member.size))
                key, _, ending = member.name.partition(".")
                if end > size or not key.isdigit():
                    return
                if ending == "json" and key == before:
                    yield int(key), end
                before = key
