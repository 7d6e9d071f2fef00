"""
Captures on their way through a pipe: what archives want, from the process that fetched to the one that writes.

Knows captures and messages; it must not know archives.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from typing import IO

from fetchall.captures import Capture, Recorder
from fetchall.engines.link import Link
from fetchall.engines.messages import Captured, Piece

HELD = 1024 * 1024
"""Bytes of a body that are held in memory on either side."""


class Relay:
    """See `Recorder`: the pipe is the disk that it stores on, and may be as slow as one."""

    def __init__(self, link: Link) -> None:
        self._link = link

    def take(self, capture: Capture) -> None:
        """See `Recorder`."""
        if capture.response is not None:
            head, size, pieces = capture.response
            for piece in pieces:
                self._link.send(Piece(piece))
                self._link.drain(HELD)
            capture = replace(capture, response=(head, size, iter(())))
        self._link.send(Captured(capture))


class Landing:
    """Where the captures of one process arrive; what it left half said is dropped."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self._body: IO[bytes] | None = None

    def add(self, piece: Piece) -> None:
        """Some of the next capture's body."""
        if self._body is None:
            self._body = tempfile.SpooledTemporaryFile(HELD)  # noqa: SIM115 (closed by `close`)
        self._body.write(piece.data)

    def take(self, captured: Captured) -> None:
        """A whole capture; raises OSError."""
        capture = captured.capture
        if capture.response is not None and self._body is not None:
            head, size, _ = capture.response
            capture = replace(capture, response=(head, size, self._pieces(self._body)))
        self._recorder.take(capture)
        self.close()

    def close(self) -> None:
        """Drop what came."""
        if self._body is not None:
            self._body.close()
            self._body = None

    @staticmethod
    def _pieces(body: IO[bytes]) -> Iterator[bytes]:
        body.seek(0)
        while block := body.read(HELD):
            yield block
