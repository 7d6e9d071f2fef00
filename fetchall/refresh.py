"""
An earlier output beside the list: each request is told what is known of its page, each result what is still true.

Knows rows and URLs; it must not know HTTP, nor outputs. The one happens where the list is read and the other where
results are made, which may be another process. The index is on disk: some 30 bytes a row.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from hashlib import blake2b
from typing import IO, TYPE_CHECKING

from fetchall.body_form import body_of
from fetchall.errors import SourceError
from fetchall.journey import Headers, Journey
from fetchall.options import Options
from fetchall.records import Fault, Request, Result
from fetchall.sinks.readback import Fields, Readback, row_at
from fetchall.source.feed import Feed
from fetchall.urls import parse
from fetchall.validators import NOT_MODIFIED, VALIDATED, Known, Refresh, conditions, freshened, verdict

if TYPE_CHECKING:
    from fetchall.bodies import Bodies
    from fetchall.wire.session import Session

_CACHE = 16 * 1024
"""KiB of the index that stay in memory."""


class Earlier:
    """What an earlier output has of each page: of its ok rows, by method and URL. Raises `SourceError`."""

    def __init__(self, options: Options) -> None:
        assert options.refresh is not None
        self._options = options
        self._path = options.refresh
        self._output = Readback(options.refresh)
        self._index: sqlite3.Connection | None = None
        self._is_read = self._closed = False
        self._lock = threading.Lock()
        """Held while a thread looks up: what it uses is not closed under it."""

    def __repr__(self) -> str:
        return f"<Earlier {self._path}>"

    def attach(self, requests: list[Request]) -> list[Request]:
        """The same requests with what is known; the first call reads the whole output. Blocks."""
        try:
            with self._lock:
                if not self._is_read and not self._closed:
                    self._read()
                return [self._attached(request) for request in requests]
        except sqlite3.OperationalError as error:
            raise SourceError(f"{self._path} can't be indexed: {error}; TMPDIR names another place for that") from error
        finally:
            if self._closed:
                self.close()

    def close(self) -> None:
        """Let go of everything, or have whoever looks up just now do so."""
        self._closed = True
        if not self._lock.acquire(blocking=False):
            return
        try:
            if self._index is not None:
                self._index.close()
                self._index = None
            self._output.close()
        finally:
            self._lock.release()

    def _attached(self, request: Request) -> Request:
        key = _key(self._options.verb_of(request.method, request.body), request.url)
        if request.fault is not None or key is None or self._index is None:
            return request
        places = [place for (place,) in self._index.execute("SELECT place FROM pages WHERE key = ?", (key,))]
        if not places:
            return request
        lines = self._output.lines
        body = self._options.body
        found = [_known(lines, place, self._output.row(place), body=body) for place in places]
        known = found[-1]
        if any((other.etag, other.last_modified) != (known.etag, known.last_modified) for other in found):
            known = replace(known, etag=None, last_modified=None)  # nobody knows whose row is whose
        return replace(request, known=known)

    def _read(self) -> None:
        # A database without a name is in a file of SQLite's own that goes with the process, however that ends.
        self._index = index = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=OFF", "synchronous=OFF", f"cache_size=-{_CACHE}", "locking_mode=EXCLUSIVE"):
            index.execute(f"PRAGMA {pragma}")
        index.execute("CREATE TABLE pages (key BLOB, place INTEGER, PRIMARY KEY (key, place)) WITHOUT ROWID")
        index.execute("BEGIN")
        index.executemany("INSERT INTO pages VALUES (?, ?)", self._pages())
        index.execute("COMMIT")
        self._is_read = True

    def _pages(self) -> Iterator[tuple[bytes, int]]:
        for place, row in self._output.rows():
            if self._closed:
                return
            if _is_page(row) and (key := _key(_text(row.get("method")) or "GET", row["url"])) is not None:
                yield key, place


class RefreshFeed:
    """A feed whose requests know what an earlier output says of them; see `Feed`."""

    def __init__(self, feed: Feed, earlier: Earlier) -> None:
        self._feed = feed
        self._earlier = earlier

    async def take(self, wanted: int) -> list[Request]:
        """See `Feed`; the look-ups are a thread's, so that large rows hold up nobody."""
        requests = await self._feed.take(wanted)
        return await asyncio.to_thread(self._earlier.attach, requests) if requests else requests

    def close(self) -> None:
        """See `Feed`."""
        self._feed.close()
        self._earlier.close()


def refreshing(feed: Feed, options: Options) -> Feed:
    """The feed, with what is known where there is an earlier output; raises `SourceError` and `MissingExtra`."""
    return feed if options.refresh is None else RefreshFeed(feed, Earlier(options))


def conditions_of(journey: Journey, bodies: Bodies, session: Session) -> Headers:
    """What asks whether its page has changed: at the URL whose validators are known, if it need not come again."""
    known = journey.request.known
    if known is None or known.final_url != journey.target.shown or session.is_conditional(journey.request):
        return ()
    return conditions(known) if bodies.has_kept(journey.request, known) else ()


class Kept:
    """What results have of earlier rows: their verdict, and what a 304 says is unchanged. Raises `SourceError`."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._file: IO[bytes] | None = None

    def settling(self, deliver: Callable[[Result], None]) -> Callable[[Result], None]:
        """What delivers results when they are settled; `deliver` itself where there is no earlier output."""
        return deliver if self._options.refresh is None else lambda result: deliver(self.settle(result))

    def settle(self, result: Result) -> Result:
        """A result with its verdict."""
        known = result.request.known
        if result.refresh is None or known is None:
            return replace(result, refresh=verdict(known, result))
        row = self._row(known)
        headers = result.headers
        if headers is not None:
            headers = freshened(_headers(row), headers)
        return replace(
            result,
            ok=True,
            size=known.size,
            sha256=known.sha256,
            content_type=_text(row.get("content_type")),
            etag=result.etag if result.etag is not None else known.etag,
            last_modified=result.last_modified if result.last_modified is not None else known.last_modified,
            headers=headers,
            body=body_of(row) if self._options.body else None,
        )

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()

    def _row(self, known: Known) -> Fields:
        """The row of which this is known, by whose process ever."""
        try:
            if self._file is None:
                self._file = open(known.lines, "rb", buffering=0)  # noqa: SIM115 (closed by `close`)
            row = row_at(self._file, known.place)
        except (OSError, ValueError):
            row = {}
        if row.get("final_url") != known.final_url:
            raise SourceError(f"{known.lines} was changed while it was in use: write somewhere else, and begin again")
        return row


def _is_page(row: Fields) -> bool:
    """Whether a row speaks of a page as it was: fetched whole, or confirmed by a 304."""
    status, url = row.get("status"), row.get("url")
    if row.get("ok") is not True or not isinstance(status, int) or not isinstance(url, str):
        return False
    confirmed = status == NOT_MODIFIED and row.get("refresh") == Refresh.UNCHANGED
    return (200 <= status < 300 or confirmed) and isinstance(row.get("final_url"), str)


def _key(method: str, url: str) -> bytes | None:
    """The same for two spellings of one URL; None where it can't be fetched, or asking is not enough to know."""
    if method not in VALIDATED:
        return None
    target = parse(url)
    if isinstance(target, Fault):
        return None
    text = f"{method} {target.user or ''} {target.href}"
    return blake2b(text.encode("utf-8", "surrogateescape"), digest_size=16).digest()


def _known(lines: str, place: int, row: Fields, *, body: bool) -> Known:
    return Known(
        lines=lines,
        place=place,
        final_url=row["final_url"],
        etag=_validator(row, "etag", "etag"),
        last_modified=_validator(row, "last_modified", "last-modified"),
        size=row["size"] if isinstance(row.get("size"), int) else None,
        sha256=_text(row.get("sha256")),
        file=_text(row.get("file")),
        body=body_of(row) is not None if body else False,
    )


def _validator(row: Fields, column: str, header: str) -> str | None:
    """From its column, or from `headers`, where it must stand once."""
    if column in row:
        return _text(row[column])
    values = _headers(row).get(header, ())
    return values[0] if len(values) == 1 else None


def _headers(row: Fields) -> dict[str, list[str]]:
    """Those that are headers: lists of texts."""
    found = row.get("headers")
    if not isinstance(found, dict):
        return {}
    return {
        name: values
        for name, values in found.items()
        if isinstance(values, list) and all(isinstance(value, str) for value in values)
    }


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
