"""
One end of a pipe between two processes: messages out and in, on the running loop.

Knows sockets; it must not know what messages say. Neither end waits for the other: what can't be sent yet is held.
"""

from __future__ import annotations

import asyncio
import select
import socket
from collections import deque
from collections.abc import Callable
from typing import Any

from fetchall.engines.frames import Frames, frame

_PIECE = 256 * 1024
"""Bytes that are read at once."""


class Link:
    """Calls `on_message` for each message and `on_lost` once, when the other end is gone and all it said was read."""

    def __init__(self, end: socket.socket, on_message: Callable[[Any], None], on_lost: Callable[[], None]) -> None:
        end.setblocking(False)
        self._socket = end
        self._on_message = on_message
        self._on_lost = on_lost
        self._frames = Frames()
        self._pending: deque[memoryview] = deque()
        self.pending = 0
        """Bytes that wait until the other end takes them."""
        self._closed = self._deaf = False
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(end, self._read)

    def __repr__(self) -> str:
        return f"<Link {'closed' if self._closed else 'open'}, {self.pending} bytes wait>"

    def send(self, message: Any) -> None:
        """Send, or hold until there is room; nothing where the other end is gone."""
        if self._closed or self._deaf:
            return
        data = frame(message)
        waiting = bool(self._pending)
        self._pending.append(memoryview(data))
        self.pending += len(data)
        if not waiting and not self._write():
            self._loop.add_writer(self._socket, self._on_writable)

    def drain(self, most: int = 0) -> None:
        """Wait, and let the loop wait, until no more than so many bytes are held."""
        if self._closed:
            return
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        while self.pending > most and not self._deaf:
            poll.poll()
            self._write()

    def close(self) -> None:
        """Hear and say no more."""
        if self._closed:
            return
        self._closed = True
        self._loop.remove_reader(self._socket)
        self._loop.remove_writer(self._socket)
        self._socket.close()

    def _on_writable(self) -> None:
        if self._write():
            self._loop.remove_writer(self._socket)

    def _write(self) -> bool:
        """As much as there is room for; whether nothing is left."""
        pending = self._pending
        try:
            while pending:
                sent = self._socket.send(pending[0])
                self.pending -= sent
                if sent < len(pending[0]):
                    pending[0] = pending[0][sent:]
                    return False
                pending.popleft()
        except BlockingIOError:
            return False
        except OSError:  # it is gone; what it said before is still to be read
            self._deaf = True
            pending.clear()
            self.pending = 0
        return True

    def _read(self) -> None:
        try:
            data = self._socket.recv(_PIECE)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self.close()
            self._on_lost()
            return
        for message in self._frames.feed(data):
            self._on_message(message)
            if self._closed:
                return
