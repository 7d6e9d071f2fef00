"""
A list cut into shards: all URLs of a site in one lane, a lane in pieces of bounded size, on disk until they are taken.

Knows requests and sites; it must not know who fetches a shard. The same list cut by the same `Cut` gives the same
shards on any machine, which is how a run is gone on with.
"""

from __future__ import annotations

import math
import os
import pickle
import tempfile
import zlib
from array import array
from collections.abc import Iterable, Iterator
from typing import IO, NamedTuple

from fetchall.dealing import share_of, site_of
from fetchall.fingerprint import Fingerprint
from fetchall.records import Request

LANES = 8
"""Lanes for each worker, so that no lane is long where sites are many;"""
LEAST_LANES, MOST_LANES = 16, 512
"""but each holds a block in memory while the list is read."""
EACH = 4
"""Shards for each worker at least, where the list allows it: whoever is done early takes another."""
MOST_ROWS = 50_000
"""Rows of a shard at most: what is lost with a worker."""
LEAST_SHARDS = 64
"""What a long list is cut into at least: workers may come later, and it is not cut again for them;"""
WORTHWHILE = 1_000
"""but no shard is made smaller for them than this many rows."""
MOST_BYTES = 8 * 1024**2
"""Bytes of a shard at most, as they travel; Dask warns of more than 10 million."""
_BLOCK_ROWS = 128
_BLOCK_BYTES = 64 * 1024


class Cut(NamedTuple):
    """How a list is cut: into so many lanes, and these into pieces of so many rows; 0: a lane is one piece."""

    lanes: int
    rows: int


class Piece(NamedTuple):
    """One shard: some blocks of a lane."""

    number: int
    """From 1."""
    lane: int
    first: int
    end: int


def lanes_for(workers: int) -> int:
    """How many lanes there are to be."""
    return min(max(LANES * workers, LEAST_LANES), MOST_LANES)


def rows_for(total: int, workers: int) -> int:
    """How many rows a shard is to have at most."""
    for_later = max(math.ceil(total / LEAST_SHARDS), WORTHWHILE)
    return min(max(math.ceil(total / (EACH * workers)), 1), for_later, MOST_ROWS)


class Spool:
    """
    A list that has been read, by lane: compressed blocks in a file without a name, in memory 18 bytes a block.

    The file is this process's own and gone with it, since URLs and headers may hold secrets. Raises OSError.
    """

    def __init__(self, lanes: int) -> None:
        self.whole = Fingerprint()
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="fetchall-shards-")  # noqa: SIM115 (closed by `close`)
        self._end = 0
        self._open: list[list[Request]] = [[] for _ in range(lanes)]
        self._weights = [0] * lanes
        self._places = [array("Q") for _ in range(lanes)]
        self._sizes = [array("L") for _ in range(lanes)]
        self._counts = [array("H") for _ in range(lanes)]

    def __repr__(self) -> str:
        return f"<Spool {self.whole.rows} requests, {self._end} bytes>"

    def read(self, batches: Iterable[list[Request]]) -> None:
        """Take in a whole list."""
        lanes = len(self._open)
        for batch in self.whole.watching(batches):
            for request in batch:
                self._add(request, share_of(site_of(request.url), lanes))
        for lane in range(lanes):
            self._write(lane)
        self._file.flush()

    def pieces(self, rows: int) -> list[Piece]:
        """
        Every lane in pieces of so many rows, to half a block, or a block's where it is less than that; 0: as it is.

        None has more than `MOST_BYTES` but whole lanes and single blocks.
        """
        found: list[Piece] = []
        for lane, counts in enumerate(self._counts):
            first = taken = weight = 0
            for block, count in enumerate(counts):
                size = self._sizes[lane][block]
                if rows and taken and (taken + count // 2 > rows or weight + size > MOST_BYTES):
                    found.append(Piece(len(found) + 1, lane, first, block))
                    first, taken, weight = block, 0, 0
                taken += count
                weight += size
            if taken:
                found.append(Piece(len(found) + 1, lane, first, len(counts)))
        return found

    def blocks(self, piece: Piece) -> list[bytes]:
        """The requests of a shard, for `requests_of`."""
        return [self._block(piece.lane, block) for block in range(piece.first, piece.end)]

    def rows(self, piece: Piece) -> int:
        """How many these are."""
        return sum(self._counts[piece.lane][piece.first : piece.end])

    def close(self) -> None:
        """Drop everything."""
        self._file.close()

    def _add(self, request: Request, lane: int) -> None:
        self._open[lane].append(request)
        self._weights[lane] += len(request.url) + len(request.body or b"")
        if len(self._open[lane]) >= _BLOCK_ROWS or self._weights[lane] >= _BLOCK_BYTES:
            self._write(lane)

    def _write(self, lane: int) -> None:
        requests = self._open[lane]
        if not requests:
            return
        data = zlib.compress(pickle.dumps([_packed(each) for each in requests], pickle.HIGHEST_PROTOCOL), 1)
        self._file.write(data)
        self._places[lane].append(self._end)
        self._sizes[lane].append(len(data))
        self._counts[lane].append(len(requests))
        self._end += len(data)
        self._open[lane], self._weights[lane] = [], 0

    def _block(self, lane: int, block: int) -> bytes:
        return os.pread(self._file.fileno(), self._sizes[lane][block], self._places[lane][block])


def requests_of(blocks: Iterable[bytes]) -> Iterator[Request]:
    """What a shard's blocks hold, which come from `Spool` and nowhere else."""
    for block in blocks:
        for each in pickle.loads(zlib.decompress(block)):
            yield Request(*each) if isinstance(each, tuple) else each


def _packed(request: Request) -> Request | tuple[str, int]:
    """As most requests are nothing but a URL, these travel as that: in a third of the time."""
    plain = (
        request.method is None
        and not request.headers
        and request.body is None
        and request.input is None
        and request.fault is None
    )
    return (request.url, request.index) if plain else request
