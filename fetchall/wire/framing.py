"""
Where an answer begins and ends on its connection: aiohttp's protocol, held to RFC 9112 whatever the packets' timing.

Knows heads, lengths, chunks and how connections end; it must not know who reads the body, nor which connections may
be used again.

aiohttp's parser gives a head away when bytes that it refuses come in one piece with it, leaves a body without an end
when they come later, and takes a reset for the end of a body without a length. What is noted here instead is read to
its end like any body, and `check_end` says afterwards what was wrong with it, so that sizes never depend on timing.
"""

from __future__ import annotations

import asyncio
import re
import ssl
from typing import Any

from aiohttp import ClientPayloadError, hdrs
from aiohttp.client_proto import ResponseHandler
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader

from fetchall.wire.chunks import Chunks
from fetchall.wire.failures import BadFraming, Truncated, parser_words
from fetchall.wire.tls import Notified

MAX_LINE = 64 * 1024
"""Bytes of a status line or of one header: ordinary sites pass aiohttp's 8,190."""
MAX_HEADERS = 1024
"""Header lines of one answer: ordinary sites pass aiohttp's 128."""
MAX_HEAD = 1024 * 1024
"""Bytes of an answer's head, interim answers included."""
MAX_INTERIM = 100
"""Interim answers (1xx) before the final one; a server that reports progress sends a few."""
READ_AHEAD = 64 * 1024
"""Bytes of a body that may wait in memory before the socket is paused."""

_NO_BODY = frozenset({101, 204, 304})
"""RFC 9112 section 6.3; 101 ends HTTP on its connection."""
_EMPTY_LINE = re.compile(rb"\r?\n\r?\n")
_line_ends = re.compile(rb"[\r\n]*").match


class Framed(ResponseHandler):
    """
    One connection's answers, one after another.

    `_payload` is None until the final head has come; once the payload is at its end, so is the answer, and whatever
    comes then was not asked for: it is dropped, and the connection with it.
    """

    _chunks: Chunks | None = None
    _broken: tuple[StreamReader, Exception] | None = None
    _tls: ssl.SSLObject | None = None
    _read_until_eof = False
    _left = 0
    """Bytes to come of a body of known length: they need no parser, which would copy each of them."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what knows of a close_notify: the transport forgets it."""
        super().connection_made(transport)
        self._tls = transport.get_extra_info("ssl_object")

    def set_response_params(
        self, *, skip_payload: bool = False, read_until_eof: bool = False, read_timeout: float | None = None, **_: Any
    ) -> None:
        """Expect the answer to a request that is about to be written."""
        self._skip_payload = skip_payload
        self._read_until_eof = read_until_eof
        self._read_timeout = read_timeout
        self._read_bufsize = READ_AHEAD
        self._payload = self._chunks = self._broken = None
        self._head = b""
        self._interim = self._left = 0
        self._parser = self._new_parser()
        if self._tail:
            self._drain_tail()

    def check_end(self, payload: StreamReader) -> None:
        """Raise `Truncated` or `BadFraming` where this body, which was read, did not end as it should."""
        # By payload: once an answer is whole, its connection may serve another before it is asked for here.
        if self._broken is not None and self._broken[0] is payload:
            raise self._broken[1]

    def data_received(self, data: bytes) -> None:
        """Take what came, or, of nothing, what the parser held back while reading was paused."""
        payload = self._payload
        if payload is not None and payload.is_eof():
            if data:
                self._should_close = True
            return
        if payload is not None and self._left:
            return self._pass_on(payload, data)
        parser = self._parser
        if parser is None:
            super().data_received(data)  # before the request: kept, and read as its answer
            return
        try:
            messages, _, _ = parser.feed_data(data)
        except Exception as error:
            self._refused(data, error)
            return
        if payload is None:
            payload = self._headed(messages, data)
        elif self._chunks is not None and data:
            self._follow(payload, data, 0)
        if payload is not None and payload.is_eof():
            self._drop_timeout()
        elif data and not self._reading_paused:
            self._reschedule_timeout()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Go on; what was held back may have been the end, and then nothing more is waited for."""
        super().resume_reading(resume_parser)
        if self._payload is not None and self._payload.is_eof():
            self._drop_timeout()

    def connection_lost(self, exc: BaseException | None) -> None:
        """End what was under way, as truncated where more had been announced."""
        payload = self._payload
        if payload is not None:
            # What the parser is in the middle of now is nobody's.
            self._parser = None
            if not payload.is_eof():
                self._end(payload, self._missing(payload, exc))
        super().connection_lost(exc)

    def _new_parser(self) -> Any:
        return HttpResponseParser(
            self,
            self._loop,
            READ_AHEAD,
            payload_exception=ClientPayloadError,
            response_with_body=not self._skip_payload,
            read_until_eof=self._read_until_eof,
            auto_decompress=False,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            max_headers=MAX_HEADERS,
        )

    def _headed(self, messages: Any, data: bytes) -> StreamReader | None:
        """Hand on what heads have come; the payload of the final one, or None where it is still to come."""
        for position, (message, payload) in enumerate(messages, start=1):
            if 100 <= message.code < 200 and message.code != 101:
                self._interim += 1
                self.feed_data((message, EMPTY_PAYLOAD), 0)
                continue
            self._final(message, payload)
            if position < len(messages):
                self._should_close = True  # an answer that nobody asked for
            elif self._chunks is not None and not payload.is_eof():
                whole = self._head + data
                self._follow(payload, whole, _after_heads(whole, self._interim + 1))
            self._head = b""
            return payload  # type: ignore[no-any-return]
        self._head += data
        if self._interim > MAX_INTERIM:
            self._fail(BadHttpMessage(f"more than {MAX_INTERIM} interim answers (1xx)"))
        elif len(self._head) > MAX_HEAD:
            self._fail(BadHttpMessage(f"a head of more than {MAX_HEAD // 1024} KiB"))
        return None

    def _pass_on(self, payload: StreamReader, data: bytes) -> None:
        if len(data) > self._left:
            self._should_close = True  # more than was announced
            data = data[: self._left]
        self._left -= len(data)
        payload.feed_data(data)
        if not self._left:
            payload.feed_eof()
            self._drop_timeout()
        elif data and not self._reading_paused:
            self._reschedule_timeout()

    def _final(self, message: RawResponseMessage, payload: StreamReader) -> None:
        self._payload = payload
        if message.should_close:
            self._should_close = True
        if self._skip_payload or message.code in _NO_BODY:
            if message.code == 101 or (message.code == 204 and _says_more(message)):
                self._should_close = True
            self.feed_data((message, EMPTY_PAYLOAD), 0)
            return
        self.feed_data((message, payload), 0)
        if payload is not EMPTY_PAYLOAD:
            self._chunks = Chunks() if message.chunked else None
            self._length = message.headers.get(hdrs.CONTENT_LENGTH)
            codings = message.headers.getall(hdrs.TRANSFER_ENCODING, None)
            if codings is None:
                if self._length is not None:
                    self._left = int(self._length) - payload.total_bytes
            elif len(codings) > 1 or codings[0].strip().lower() != "chunked":
                # Where such a body ends can't be known (RFC 9112 section 6.1).
                self._break(
                    payload, BadFraming(f"a Transfer-Encoding that is not chunked: {', '.join(codings)[:100]!a}")
                )

    def _follow(self, payload: StreamReader, data: bytes, at: int) -> None:
        assert self._chunks is not None
        if not payload.is_eof() and (problem := self._chunks.follow(data, at)):
            self._break(payload, BadFraming(f"malformed chunks: {problem}"))

    def _refused(self, data: bytes, error: Exception) -> None:
        """The parser can't go on."""
        payload = self._payload
        if payload is None:
            self._refused_head(data, error)
        elif payload.is_eof():
            self._hang_up()
        else:
            broken = BadFraming(f"malformed body: {parser_words(error)}")
            broken.__cause__ = error
            self._break(payload, broken)

    def _refused_head(self, data: bytes, error: Exception) -> None:
        """Of a head that came in one piece with what was refused, nothing was given out: read it again on its own."""
        whole = self._head + data
        self._parser = parser = self._new_parser()
        at = 0
        # Bounded, as the interim answers are that may stand before the final head.
        for _ in range(MAX_INTERIM + 1):
            start = _after_line_ends(whole, at)
            end = _EMPTY_LINE.search(whole, start)
            if end is None:
                break
            try:
                messages, _, _ = parser.feed_data(whole[start : end.end()])
            except Exception:
                break
            at = end.end()
            final = [each for each in messages if not 100 <= each[0].code < 200 or each[0].code == 101]
            if final:
                self._final(*final[0])
                self.data_received(whole[at:])
                return
        self._fail(error)

    def _fail(self, error: Exception) -> None:
        """There is no answer."""
        known = isinstance(error, HttpProcessingError)
        self.set_exception(error if known else HttpProcessingError(message=str(error)), error)
        self._hang_up()

    def _break(self, payload: StreamReader, error: Exception) -> None:
        """The answer has a head, and a body that can't be read further."""
        self._end(payload, error)
        self._hang_up()

    def _end(self, payload: StreamReader, error: Exception | None) -> None:
        """The body is over; who reads it comes to its end and learns of the error from `check_end`."""
        self._should_close = True
        if error is not None:
            self._broken = payload, error
        self._drop_timeout()
        if not payload.is_eof():
            payload.feed_eof()

    def _hang_up(self) -> None:
        self._should_close = True
        self._drop_timeout()
        if self.transport is not None:
            self.transport.close()

    def _missing(self, payload: StreamReader, exc: BaseException | None) -> Exception | None:
        """What an answer lacks whose connection has ended; None: nothing, the end of the connection is its own."""
        got = payload.total_bytes
        how = "was reset" if exc is not None else "ended"
        if self._chunks is not None:
            return Truncated(f"the connection {how} before the last chunk, {got:,} bytes into the body")
        if self._length is not None:
            return Truncated(f"the connection {how} after {got} of {self._length} bytes of the body")
        if exc is not None:
            return Truncated(f"the connection was reset {got} bytes into a body without a length")
        if isinstance(self._tls, Notified) and not self._tls.notified:
            return Truncated(f"the connection was cut {got} bytes into a body without a length: no TLS close_notify")
        return None


def _says_more(message: RawResponseMessage) -> bool:
    """Whether a 204 announces a body, which it can't have (RFC 9110 section 8.6), and which may come all the same."""
    headers = message.headers
    return hdrs.TRANSFER_ENCODING in headers or headers.get(hdrs.CONTENT_LENGTH, "0") != "0"


def _after_line_ends(data: bytes, at: int) -> int:
    """The first byte of a head: empty lines may stand before it (RFC 9112 section 2.2)."""
    match = _line_ends(data, at)
    return at if match is None else match.end()


def _after_heads(data: bytes, count: int) -> int:
    """The first byte after so many heads, which the parser has taken."""
    at = 0
    for _ in range(count):
        end = _EMPTY_LINE.search(data, _after_line_ends(data, at))
        at = len(data) if end is None else end.end()
    return at
