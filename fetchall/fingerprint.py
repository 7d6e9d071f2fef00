"""
Which list it is: a digest of every URL in order, secrets masked, so that parts of one list are known to be of one.

Knows requests; it must not know where they come from.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from hashlib import blake2b

from fetchall.records import Request
from fetchall.urls import mask


class Fingerprint:
    """Grows as the list is read; the same in whatever batches that comes."""

    def __init__(self) -> None:
        self._digest = blake2b(digest_size=16)
        self.rows = 0

    def add(self, batch: Iterable[Request]) -> None:
        """Take in the next requests."""
        lines = [mask(request.url) if "@" in request.url else request.url for request in batch]
        self._digest.update("".join(f"{line}\n" for line in lines).encode("utf-8", "surrogatepass"))
        self.rows += len(lines)

    def watching(self, batches: Iterable[list[Request]]) -> Iterator[list[Request]]:
        """The same batches, taken in as they pass."""
        for batch in batches:
            self.add(batch)
            yield batch

    def hex(self) -> str:
        """The digest of what has passed so far."""
        return self._digest.hexdigest()
