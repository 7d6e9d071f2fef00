"""
Messages as bytes on a pipe: each pickled, with its length before it.

Pure: messages in, bytes out, and back. Must not know what a message says, nor who reads it. Both ends are ours and of
one user, so that what is unpickled here is what we pickled there.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from struct import Struct
from typing import Any

_LENGTH = Struct("!Q")


def frame(message: Any) -> bytes:
    """A message as it goes over the pipe; raises what `pickle` does."""
    data = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(data)) + data


class Frames:
    """Puts messages together from pieces of any size; what is not whole when the pipe ends was never said."""

    def __init__(self) -> None:
        self._held = bytearray()

    def __repr__(self) -> str:
        return f"<Frames {len(self._held)} bytes of the next>"

    def feed(self, data: bytes) -> Iterator[Any]:
        """The messages that are whole by now."""
        held = self._held
        held += data
        start = 0
        while len(held) - start >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(held, start)
            end = start + _LENGTH.size + length
            if len(held) < end:
                break
            with memoryview(held) as view:
                message = pickle.loads(view[start + _LENGTH.size : end])
            start = end
            yield message
        if start:
            del held[:start]
