"""Where an answer begins and ends on its connection, whatever the packets' timing (RFC 9112)."""

from __future__ import annotations

import asyncio
import random
import ssl
from contextlib import suppress
from itertools import pairwise
from typing import Any

import pytest
import trustme
from hypothesis import given, settings
from hypothesis import strategies as st

from fetchall.wire import tls
from fetchall.wire.chunks import Chunks
from fetchall.wire.failures import BadFraming, Truncated
from fetchall.wire.framing import MAX_HEAD, MAX_INTERIM, READ_AHEAD, Framed

OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
EARLY = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nPOISON"

ANSWERS: dict[str, tuple[bytes, tuple[int | None, bytes, str]]] = {
    "length": (OK + b"Content-Length: 5\r\n\r\nhello", (200, b"hello", "")),
    "chunks": (CHUNKED + b"2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nX-T: v\r\n\r\n", (200, b"hello", "")),
    "interim": (EARLY * 3 + OK + b"Content-Length: 5\r\n\r\nhello", (200, b"hello", "")),
    "interim and chunks": (EARLY + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", (200, b"hello", "")),
    "empty lines first": (b"\r\n\r\n" + CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", (200, b"hello", "")),
    "bare line ends": (b"HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\r\nhello\r\n0\r\n\r\n", (200, b"hello", "")),
    "no body": (b"HTTP/1.1 204 None\r\n\r\n", (204, b"", "")),
    "garbage after the end": (OK + b"Content-Length: 5\r\n\r\nhello\x00\xff\r\n\r\n", (200, b"hello", "")),
    "an answer after the end": (OK + b"Content-Length: 5\r\n\r\nhello" + POISON, (200, b"hello", "")),
    "garbage after no body": (b"HTTP/1.1 304 None\r\nContent-Length: 9\r\n\r\n\x00\xff", (304, b"", "")),
    "bad size": (CHUNKED + b"2\r\nhe\r\nxyz\r\n", (200, b"he", "BadFraming")),
    "bad size at once": (CHUNKED + b"xyz\r\n", (200, b"", "BadFraming")),
    "bad size after an interim": (EARLY + CHUNKED + b"xyz\r\n", (200, b"", "BadFraming")),
    "chunk not ended": (CHUNKED + b"5\r\nhello0\r\n\r\n", (200, b"hello", "BadFraming")),
    "huge chunk": (CHUNKED + b"5\r\nhello\r\n7fffffffffffffff\r\n", (200, b"hello", "BadFraming")),
    "cut off": (OK + b"Content-Length: 9\r\n\r\nhello", (200, b"hello", "Truncated")),
    "cut off in a chunk": (CHUNKED + b"9\r\nhello", (200, b"hello", "Truncated")),
    "cut off before the last chunk": (CHUNKED + b"5\r\nhello\r\n", (200, b"hello", "Truncated")),
    "to the end": (OK + b"\r\nhello", (200, b"hello", "")),
    "unknown coding": (OK + b"Transfer-Encoding: banana\r\n\r\n", (200, b"", "BadFraming")),
    "no head": (b"\x00\x01\x02 nothing of ours\r\n\r\n", (None, b"", "BadStatusLine")),
    "bad header": (OK + b"X Y: z\r\n\r\n", (None, b"", "BadHttpMessage")),
    "bad header after an interim": (EARLY + OK + b"X Y: z\r\n\r\n", (None, b"", "BadHttpMessage")),
    "cut off in the head": (OK + b"Content-Le", (None, b"", "ServerDisconnectedError")),
}


class Wire(asyncio.Transport):
    """The other end of a protocol that is fed by hand: it takes what a transport is told, and does nothing."""

    closed = False

    def __init__(self, tls: ssl.SSLObject | None = None) -> None:
        super().__init__({"ssl_object": tls})

    def close(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def read(
    pieces: list[bytes], lost: Exception | None = None, tls: Any = None
) -> tuple[int | None, bytes, str, bool]:
    """Status, body, what was wrong, and whether the connection may be used again."""
    protocol, wire = Framed(asyncio.get_running_loop()), Wire(tls)
    protocol.connection_made(wire)
    protocol.set_response_params(read_until_eof=True)
    for piece in pieces:
        if not wire.closed:
            protocol.data_received(piece)
    heads = [await protocol.read() for _ in range(len(protocol))]
    reusable = not protocol.should_close and not wire.closed
    protocol.connection_lost(lost)
    try:
        while not heads or heads[0][0].code == 103:
            heads = [*heads[1:], *([] if heads[1:] else [await protocol.read()])]
        message, payload = heads[0]
    except Exception as error:
        return None, b"", type(error).__name__, reusable
    body = b""
    while data := await payload.readany():
        body += data
    try:
        protocol.check_end(payload)
    except (BadFraming, Truncated) as error:
        return message.code, body, type(error).__name__, reusable
    return message.code, body, "", reusable


def cut(data: bytes, ends: list[int]) -> list[bytes]:
    places = sorted({0, len(data), *(end % (len(data) + 1) for end in ends)})
    return [data[start:end] for start, end in pairwise(places)]


@pytest.mark.parametrize("name", ANSWERS)
@given(ends=st.lists(st.integers(0, 500), max_size=6))
@settings(max_examples=40, deadline=None)
def test_an_answer_is_the_same_however_it_is_cut_into_pieces(name: str, ends: list[int]) -> None:
    data, expected = ANSWERS[name]
    assert asyncio.run(read(cut(data, ends)))[:3] == expected


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_the_same_byte_by_byte(name: str) -> None:
    data, expected = ANSWERS[name]
    assert asyncio.run(read([data[at : at + 1] for at in range(len(data))]))[:3] == expected


@pytest.mark.parametrize("name", ["length", "chunks", "interim", "no body", "bare line ends", "empty lines first"])
def test_a_connection_is_used_again_after_a_whole_answer(name: str) -> None:
    assert asyncio.run(read([ANSWERS[name][0]]))[3]


@pytest.mark.parametrize("name", [name for name in ANSWERS if "after the end" in name or ANSWERS[name][1][2]])
def test_a_connection_is_not_used_again_after_what_was_wrong(name: str) -> None:
    if "cut off" not in name:
        assert not asyncio.run(read([ANSWERS[name][0]]))[3]


def test_a_reset_cuts_a_body_without_a_length() -> None:
    pieces = [OK + b"\r\n", b"hello"]
    assert asyncio.run(read(pieces, ConnectionResetError()))[:3] == (200, b"hello", "Truncated")


@pytest.mark.parametrize(("notified", "wrong"), [(True, ""), (False, "Truncated")])
def test_under_tls_a_body_without_a_length_ends_with_a_close_notify(notified: bool, wrong: str) -> None:
    context = tls.context()
    side = context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="a.test")
    assert isinstance(side, tls.Notified)
    side.notified = notified
    assert asyncio.run(read([OK + b"\r\nhello"], tls=side))[:3] == (200, b"hello", wrong)
    # A length says by itself where the body ends.
    assert asyncio.run(read([ANSWERS["length"][0]], tls=side))[:3] == (200, b"hello", "")


@pytest.mark.parametrize("after", [b"", POISON])
async def test_a_long_body_pauses_the_connection_and_comes_whole(after: bytes) -> None:
    protocol = Framed(asyncio.get_running_loop())
    protocol.connection_made(Wire())
    protocol.set_response_params()
    pieces = [bytes([number]) * READ_AHEAD for number in range(8)]
    protocol.data_received(OK + b"Content-Length: %d\r\n\r\n" % (8 * READ_AHEAD) + pieces[0])
    _, payload = await protocol.read()
    body, paused = b"", 0
    for piece in pieces[1:]:
        protocol.data_received(piece if piece is not pieces[-1] else piece + after)
        if protocol._reading_paused:
            paused += 1
            body += await payload.readany()
        assert not protocol._reading_paused
    body += await payload.readany()
    protocol.check_end(payload)
    assert paused > 1
    assert body == b"".join(pieces)
    assert payload.at_eof()
    assert protocol.should_close == bool(after)


def test_under_tls_one_read_takes_a_whole_record() -> None:
    inward, outward = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority = trustme.CA()
    authority.issue_cert("a.test").configure_cert(server)
    context = tls.context(insecure=True)
    near = context.wrap_bio(inward, outward, server_hostname="a.test")
    far = server.wrap_bio(outward, inward, server_side=True)
    for side in (near, far, near, far):
        with suppress(ssl.SSLWantReadError):
            side.do_handshake()
    record = bytes(range(256)) * (tls.RECORD // 256)
    far.write(record)
    assert near.read(256 * 1024) == record


def test_interim_answers_are_bounded_in_number() -> None:
    answer = ANSWERS["length"][0]
    assert asyncio.run(read([EARLY * MAX_INTERIM, answer]))[0] == 200
    assert asyncio.run(read([EARLY * (MAX_INTERIM + 1), answer]))[0] is None


def test_a_head_is_bounded_in_all_though_each_line_is_short_enough() -> None:
    line = b"X-Long: " + b"x" * 60_000 + b"\r\n"
    fine, more = int(MAX_HEAD / len(line)), int(MAX_HEAD / len(line)) + 2
    end = b"Content-Length: 0\r\n\r\n"
    assert asyncio.run(read([OK, *[line] * fine, end]))[0] == 200
    assert asyncio.run(read([OK, *[line] * more, end]))[0] is None


def test_trailers_and_extensions_are_bounded() -> None:
    start = CHUNKED + b"5\r\nhello\r\n"
    trailers = [b"X-T: " + b"x" * 60_000 + b"\r\n"] * 20
    assert asyncio.run(read([start, b"0\r\n", *trailers, b"\r\n"]))[:3] == (200, b"hello", "BadFraming")
    assert asyncio.run(read([start, b"5;", *[b"x" * 60_000] * 20, b"\r\n"]))[:3] == (200, b"hello", "BadFraming")
    assert asyncio.run(read([start, b"5;", *[b"x" * 60_000] * 5, b"\r\nhello\r\n0\r\n\r\n"]))[2] == ""


def test_chunks_are_followed_however_they_are_cut_and_a_size_beyond_bounds_is_found_only_where_it_is_one() -> None:
    chance = random.Random(1)
    for _ in range(500):
        sizes = [chance.choice([1, 2, 15, 16, 17, 300, 5000]) for _ in range(chance.randrange(1, 12))]
        raw = b"".join(
            b"%x%b\r\n" % (size, chance.choice([b"", b"", b";a=b", b" "]))
            + bytes(chance.choice(b"0123456789abcdef\r\n;x") for _ in range(size))
            + chance.choice([b"\r\n", b"\n"])
            for size in sizes
        )
        last = chance.choice([b"7fffffffffffffff\r\nhello", b"0\r\nX-A: ffffffffffffffff\r\n\r\n", b"ffffffffffffffff"])
        chunks = Chunks()
        ends = [chance.randrange(len(raw) + 20) for _ in range(chance.randrange(40))]
        found = [chunks.follow(piece) for piece in cut(raw + last, ends)]
        assert any(found) == last.startswith(b"7fff")
