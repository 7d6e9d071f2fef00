from __future__ import annotations

import gzip
import itertools
import random
import struct
import subprocess
import sys
import textwrap
import tracemalloc
import zlib
from collections.abc import Callable, Iterable
from types import ModuleType
from typing import Any

import brotli
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from isal import isal_zlib

from fetchall.wire.decode import ACCEPT_ENCODING, DecodeError, TooMuch, decoder

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

BACKENDS = [pytest.param(zlib, id="zlib"), pytest.param(isal_zlib, id="isal")]
TEXT = b"<p>The same words again, and the same words again, and 0123456789.</p>\n" * 3


def gzipped(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


def raw_deflate(data: bytes, level: int = 6, wbits: int = -15, memory: int = 8, strategy: int = 0) -> bytes:
    stream = zlib.compressobj(level, zlib.DEFLATED, wbits, memory, strategy)
    return stream.compress(data) + stream.flush()


def zstd_with_checksum(data: bytes) -> bytes:
    return zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1})


ENCODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "gzip": ("gzip", gzipped),
    "x-gzip": ("x-gzip", gzipped),
    "zlib": ("deflate", zlib.compress),
    "raw": ("deflate", raw_deflate),
    "br": ("br", brotli.compress),
    "zstd": ("zstd", zstd.compress),
    "zstd-checksum": ("zstd", zstd_with_checksum),
}
CODED = [pytest.param(header, encode, id=name) for name, (header, encode) in ENCODERS.items()]


def decode(header: str, pieces: Iterable[bytes], backend: ModuleType = zlib, limit: int | None = None) -> bytes:
    undo = decoder(header, limit=limit, backend=backend)
    assert undo is not None
    found = [chunk for piece in pieces for chunk in undo.feed(piece)]
    assert max(map(len, found), default=0) <= 96 * 1024
    undo.finish()
    return b"".join(found)


def bytewise(data: bytes) -> list[bytes]:
    return [data[i : i + 1] for i in range(len(data))]


def cut_at(data: bytes, places: Iterable[float]) -> list[bytes]:
    marks = [0, *sorted(int(place * len(data)) for place in places), len(data)]
    return [data[a:b] for a, b in itertools.pairwise(marks)]


# What is decoded is what was encoded.

bodies = st.one_of(
    st.binary(max_size=2000),
    st.builds(lambda unit, times: unit * times, st.binary(min_size=1, max_size=20), st.integers(0, 20_000)),
    st.builds(lambda seed, size: random.Random(seed).randbytes(size), st.integers(0, 9), st.integers(0, 200_000)),
)


@settings(max_examples=150, deadline=None)
@given(
    body=bodies,
    chain=st.lists(st.sampled_from(sorted(ENCODERS)), min_size=1, max_size=5),
    places=st.lists(st.floats(0, 1), max_size=8),
    backend=st.sampled_from([zlib, isal_zlib]),
)
def test_any_chain_of_codings_gives_the_body_back_wherever_it_is_split(
    body: bytes, chain: list[str], places: list[float], backend: ModuleType
) -> None:
    coded = body
    for name in chain:
        coded = ENCODERS[name][1](coded)
    header = ", ".join(ENCODERS[name][0] for name in chain)
    assert decode(header, cut_at(coded, places), backend, limit=max(len(body), 1000)) == body


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("header", "encode"), CODED)
def test_a_body_that_comes_byte_by_byte_is_decoded(
    header: str, encode: Callable[[bytes], bytes], backend: ModuleType
) -> None:
    assert decode(header, bytewise(encode(TEXT)), backend) == TEXT


@settings(max_examples=100, deadline=None)
@given(
    body=bodies,
    level=st.integers(0, 9),
    wbits=st.integers(9, 15),
    memory=st.integers(1, 9),
    strategy=st.integers(0, 4),
    bare=st.booleans(),
    backend=st.sampled_from([zlib, isal_zlib]),
    places=st.lists(st.floats(0, 1), max_size=3),
)
def test_deflate_is_told_from_its_raw_form_whatever_made_it(
    body: bytes,
    level: int,
    wbits: int,
    memory: int,
    strategy: int,
    bare: bool,
    backend: ModuleType,
    places: list[float],
) -> None:
    coded = raw_deflate(body, level, -wbits if bare else wbits, memory, strategy)
    assert decode("deflate", cut_at(coded, places), backend) == body


@pytest.mark.parametrize("header", ["", " ", "identity", "Identity , ,identity", None])
def test_a_body_without_a_coding_needs_no_decoder(header: str | None) -> None:
    assert decoder(header) is None


@pytest.mark.parametrize("header", ["GZIP", " gzip ", "identity, gzip", "\tgzip,,", "X-Gzip"])
def test_a_coding_is_known_in_any_case_and_among_blanks(header: str) -> None:
    assert decode(header, [gzipped(TEXT)]) == TEXT


# A body that is not whole is never a success.


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("pieces", [lambda data: [data], bytewise], ids=["at-once", "bytewise"])
@pytest.mark.parametrize(
    ("header", "encode"),
    [*CODED, pytest.param("br, gzip", lambda data: gzipped(brotli.compress(data)), id="br-gzip")],
)
def test_a_body_cut_off_at_any_byte_is_an_error_and_an_empty_one_is_not(
    header: str, encode: Callable[[bytes], bytes], pieces: Callable[[bytes], list[bytes]], backend: ModuleType
) -> None:
    coded = encode(TEXT)
    for length in range(1, len(coded)):
        with pytest.raises(DecodeError, match="cut off"):
            decode(header, pieces(coded[:length]), backend)
    assert decode(header, [], backend) == b""
    assert decode(header, [b""], backend) == b""


@pytest.mark.parametrize(("header", "encode"), CODED)
def test_an_inner_layer_that_is_cut_off_is_an_error_though_the_outer_one_is_whole(
    header: str, encode: Callable[[bytes], bytes]
) -> None:
    with pytest.raises(DecodeError, match="cut off"):
        decode(f"{header}, gzip", [gzipped(encode(TEXT)[:-1])])


@pytest.mark.parametrize(("header", "encode"), CODED)
def test_an_empty_body_that_was_encoded_is_empty(header: str, encode: Callable[[bytes], bytes]) -> None:
    assert decode(header, [encode(b"")]) == b""
    assert decode(f"{header}, gzip", [gzipped(encode(b""))]) == b""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("header", "encode"), [CODED[0], CODED[2], CODED[6]])
def test_a_flipped_bit_is_an_error_or_changes_nothing(
    header: str, encode: Callable[[bytes], bytes], backend: ModuleType
) -> None:
    coded = encode(TEXT)
    errors = 0
    for bit in range(8 * len(coded)):
        broken = bytearray(coded)
        broken[bit // 8] ^= 1 << bit % 8
        try:
            assert decode(header, [bytes(broken)], backend) == TEXT
        except DecodeError:
            errors += 1
    assert errors > 4 * len(coded)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("place", [-8, -5, -4, -1], ids=["checksum", "checksum's end", "length", "length's end"])
def test_gzip_with_a_wrong_checksum_or_length_is_an_error(place: int, backend: ModuleType) -> None:
    coded = bytearray(gzipped(TEXT))
    coded[place] ^= 1
    with pytest.raises(DecodeError, match="checksum or its length"):
        decode("gzip", [bytes(coded)], backend)


@pytest.mark.parametrize("body", [b"<!doctype html><p>plain", b"\x00" * 40, b"x", b"plain text", b"\xff" * 9])
@pytest.mark.parametrize("header", ["gzip", "deflate", "br", "zstd"])
def test_a_body_that_is_not_what_its_header_says_is_an_error(header: str, body: bytes) -> None:
    for backend in (zlib, isal_zlib):
        with pytest.raises(DecodeError):
            decode(header, [body], backend)


def outcome(header: str, pieces: Iterable[bytes], backend: ModuleType) -> bytes | None:
    try:
        return decode(header, pieces, backend)
    except DecodeError:
        return None


@settings(max_examples=300, deadline=None)
@given(
    name=st.sampled_from(sorted(ENCODERS)),
    body=bodies,
    changes=st.lists(st.tuples(st.floats(0, 0.999), st.integers(0, 3), st.binary(max_size=6)), max_size=4),
    backend=st.sampled_from([zlib, isal_zlib]),
    places=st.lists(st.floats(0, 1), max_size=6),
)
def test_a_broken_body_is_a_decode_error_or_a_body_and_the_same_however_it_is_split(
    name: str, body: bytes, changes: list[tuple[float, int, bytes]], backend: ModuleType, places: list[float]
) -> None:
    header, encode = ENCODERS[name]
    coded = encode(body)
    for place, removed, added in changes:
        at = int(place * len(coded))
        coded = coded[:at] + added + coded[at + removed :]
    whole = outcome(header, [coded], backend)
    assert outcome(header, cut_at(coded, places), backend) == whole
    if len(coded) < 2000:
        assert outcome(header, bytewise(coded), backend) == whole


@settings(max_examples=200, deadline=None)
@given(header=st.sampled_from(["gzip", "deflate", "br", "zstd", "br, gzip"]), noise=st.binary(max_size=200))
def test_noise_is_a_decode_error_or_a_body_and_no_other_exception(header: str, noise: bytes) -> None:
    for backend in (zlib, isal_zlib):
        outcome(header, [noise], backend)
        outcome(header, [gzipped(b"")[:10] + noise], backend)


# What can't be decoded is refused by name, before any byte.


@pytest.mark.parametrize("header", ["compress", "aws-chunked", "gzip, foo", "foo, gzip", "gzip;q=1", "gzip br", "x-br"])
def test_an_unknown_coding_is_refused_by_its_name(header: str) -> None:
    unknown = next(name for name in header.split(", ") if name != "gzip")
    with pytest.raises(DecodeError, match=unknown):
        decoder(header)


def test_a_coding_s_name_is_shown_short_and_escaped() -> None:
    with pytest.raises(DecodeError) as error:
        decoder("\x1b[31m" + "a" * 10_000)
    assert "\x1b" not in str(error.value)
    assert len(str(error.value)) < 200


def test_five_layers_are_undone_and_six_are_refused() -> None:
    coded = TEXT
    for _ in range(5):
        coded = gzipped(coded)
    assert decode(", ".join(["gzip"] * 5), [coded]) == TEXT
    for count in (6, 50):
        with pytest.raises(DecodeError, match=f"{count} codings"):
            decoder(", ".join(["gzip"] * count))


def imported_without(*missing: str, then: str) -> str:
    code = f"import sys\nfor name in {missing!r}: sys.modules[name] = None\n{textwrap.dedent(then)}"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_a_coding_without_its_library_is_neither_offered_nor_a_riddle() -> None:
    assert ACCEPT_ENCODING == "gzip, deflate, br, zstd"
    show = "from fetchall.wire.decode import *; print(ACCEPT_ENCODING)"
    assert imported_without("brotli", then=show) == "gzip, deflate, zstd"
    assert imported_without("backports.zstd", "compression.zstd", then=show) == "gzip, deflate, br"
    assert imported_without("brotli", "backports.zstd", "compression.zstd", "isal", then=show) == "gzip, deflate"
    ask = """
    from fetchall.wire.decode import *
    try: decoder("br")
    except DecodeError as error: print(error)
    """
    assert "'br'" in imported_without("brotli", then=ask)
    assert "fetchall[fast]" in imported_without("brotli", then=ask)


@pytest.mark.parametrize(("version", "offered"), [("1.0.9", False), ("1.2.0", False), ("1.2.1", True), ("1.10", True)])
def test_a_brotli_that_a_body_can_break_is_not_offered(version: str, offered: bool) -> None:
    old = f"""
    import types
    sys.modules["brotli"] = types.SimpleNamespace(__version__={version!r}, Decompressor=object, error=ValueError)
    from fetchall.wire.decode import ACCEPT_ENCODING
    print("br" in ACCEPT_ENCODING)
    """
    assert imported_without(then=old) == str(offered)


# gzip: members, heads, and what follows.


@pytest.mark.parametrize("backend", BACKENDS)
def test_gzip_members_are_one_body_wherever_they_are_split(backend: ModuleType) -> None:
    parts = [b"", TEXT, b"x", random.Random(1).randbytes(3000), b"a" * 300_000, b""]
    coded = b"".join(map(gzipped, parts))
    whole = b"".join(parts)
    assert decode("gzip", [coded], backend) == whole
    assert decode("gzip", bytewise(coded), backend) == whole
    for size in (3, 8, 64, 255, 257, 1000):
        assert decode("gzip", [coded[i : i + size] for i in range(0, len(coded), size)], backend) == whole


class Counting:
    """A back-end that counts the bytes that its streams are handed."""

    error = zlib.error
    crc32 = staticmethod(zlib.crc32)

    def __init__(self) -> None:
        self.handed = 0

    def decompressobj(self, wbits: int) -> Any:
        return _CountingStream(self, wbits)


class _CountingStream:
    def __init__(self, owner: Counting, wbits: int) -> None:
        self._owner, self._stream = owner, zlib.decompressobj(wbits)

    def decompress(self, data: Any, most: int) -> bytes:
        self._owner.handed += len(data)
        return self._stream.decompress(data, most)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def test_200_000_gzip_members_cost_what_their_bytes_cost() -> None:
    members = gzipped(b"x") * 200_000
    backend: Any = Counting()
    undo = decoder("gzip", backend=backend)
    assert undo is not None
    assert sum(map(len, undo.feed(members))) == 200_000
    undo.finish()
    # A stream that were handed all that is left, at each of 200,000 ends, would have read 420 GB.
    assert backend.handed < 300 * 200_000


def test_members_that_hold_nothing_still_give_the_caller_moments_to_breathe() -> None:
    undo = decoder("gzip")
    assert undo is not None
    assert sum(1 for _ in undo.feed(gzipped(b"") * 5000)) >= 5000


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("garbage", [b"\x00" * 512, b"garbage", b"\x1f\x1f\x8b", b"\x8b", b"<html>" * 30_000])
@pytest.mark.parametrize(("header", "encode"), [CODED[0], CODED[2], CODED[3], CODED[5]])
def test_garbage_after_the_end_is_ignored_as_browsers_do(
    header: str, encode: Callable[[bytes], bytes], garbage: bytes, backend: ModuleType
) -> None:
    coded = encode(TEXT)
    assert decode(header, [coded + garbage], backend) == TEXT
    assert decode(header, [coded, garbage], backend) == TEXT
    assert decode(header, bytewise(coded + garbage[:600]), backend) == TEXT


def test_garbage_after_a_br_stream_is_an_error_however_it_comes() -> None:
    coded = brotli.compress(TEXT)
    for pieces in ([coded + b"garbage"], [coded, b"garbage"], bytewise(coded + b"g")):
        with pytest.raises(DecodeError, match="br body is broken"):
            decode("br", pieces)


@pytest.mark.parametrize("beginning", [b"\x1f", b"\x1f\x8b", gzipped(TEXT)[:-1]], ids=["one byte", "two", "most"])
def test_a_further_gzip_member_that_is_cut_off_is_an_error(beginning: bytes) -> None:
    for pieces in ([gzipped(TEXT) + beginning], [gzipped(TEXT), *bytewise(beginning)]):
        with pytest.raises(DecodeError, match="cut off"):
            decode("gzip", pieces)


def gzip_with_head(flags: int, fields: bytes) -> bytes:
    plain = gzipped(TEXT)
    return plain[:3] + bytes([flags]) + plain[4:10] + fields + plain[10:]


FIELDS = b"\x03\x00abc" + b"name\x00" + b"comment\x00"


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_gzip_head_with_every_field_is_read_wherever_it_is_split(backend: ModuleType) -> None:
    bare = gzip_with_head(31, FIELDS)
    check = zlib.crc32(bare[: 10 + len(FIELDS)]) & 0xFFFF
    coded = gzip_with_head(31, FIELDS + struct.pack("<H", check))
    for place in range(len(coded)):
        assert decode("gzip", [coded[:place], coded[place:]], backend) == TEXT
    assert decode("gzip", bytewise(coded), backend) == TEXT
    for length in range(1, len(coded)):
        with pytest.raises(DecodeError, match="cut off"):
            decode("gzip", [coded[:length]], backend)
    with pytest.raises(DecodeError, match="head's checksum"):
        decode("gzip", [gzip_with_head(31, FIELDS + struct.pack("<H", check ^ 1))], backend)


@pytest.mark.parametrize("backend", BACKENDS)
def test_gzip_of_another_method_or_with_reserved_flags_is_an_error(backend: ModuleType) -> None:
    for broken in (gzip_with_head(0x20, b""), b"\x1f\x8b\x07" + gzipped(TEXT)[3:]):
        with pytest.raises(DecodeError, match="RFC 1952"):
            decode("gzip", [broken], backend)


def test_a_gzip_head_without_an_end_is_given_up() -> None:
    undo = decoder("gzip")
    assert undo is not None
    list(undo.feed(gzip_with_head(8, b"")[:10]))
    list(undo.feed(b"n" * 100_000))
    with pytest.raises(DecodeError, match="does not end"):
        list(undo.feed(b"n" * 100_000))


def test_deflate_that_needs_a_dictionary_is_an_error() -> None:
    stream = zlib.compressobj(zdict=b"The same words")
    with pytest.raises(DecodeError, match="dictionary"):
        decode("deflate", [stream.compress(TEXT) + stream.flush()])


# zstd: frames and windows.


def test_zstd_frames_and_skippable_ones_are_one_body() -> None:
    skippable = b"\x5a\x2a\x4d\x18" + struct.pack("<I", 300) + b"s" * 300
    coded = zstd.compress(TEXT) + skippable + zstd_with_checksum(b"more") + zstd.compress(b"") + skippable
    assert decode("zstd", [coded]) == TEXT + b"more"
    assert decode("zstd", bytewise(coded)) == TEXT + b"more"
    assert decode("zstd", [skippable + coded]) == TEXT + b"more"
    for length in (1, 3, 4, 7, 8, len(skippable) - 1):
        with pytest.raises(DecodeError, match="cut off"):
            decode("zstd", [coded + skippable[:length]])


def test_many_zstd_frames_are_decoded() -> None:
    assert decode("zstd", [zstd.compress(b"x") * 20_000]) == b"x" * 20_000


@pytest.mark.parametrize(("window", "taken"), [(23, True), (24, False), (27, False), (31, False)])
def test_a_zstd_frame_may_ask_for_8_mib_and_no_more(window: int, taken: bool) -> None:
    stream = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: min(window, 27)})
    coded = bytearray(stream.compress(TEXT) + stream.flush())
    coded[5] = (window - 10) << 3  # RFC 8878, section 3.1.1.1.2
    if taken:
        assert decode("zstd", [bytes(coded)]) == TEXT
    else:
        with pytest.raises(DecodeError, match="memory"):
            decode("zstd", [bytes(coded)])


# Bombs.

MIB = 1024 * 1024


def deflate_bomb(mib: int) -> bytes:
    stream = zlib.compressobj(9, zlib.DEFLATED, -15)
    block = stream.compress(bytes(MIB)) + stream.flush(zlib.Z_FULL_FLUSH)
    return block * mib + stream.flush()


def gzip_bomb(mib: int) -> bytes:
    checksum = 0
    for _ in range(mib):
        checksum = isal_zlib.crc32(bytes(MIB), checksum)
    return gzipped(b"")[:10] + deflate_bomb(mib) + struct.pack("<II", checksum, mib * MIB)


def br_bomb(mib: int) -> bytes:
    stream = brotli.Compressor(quality=3)
    blocks = [stream.process(bytes(MIB)) for _ in range(mib)]
    return b"".join([*blocks, stream.finish()])


def zstd_bomb(mib: int) -> bytes:
    stream = zstd.ZstdCompressor(1)
    return b"".join(stream.compress(bytes(MIB)) for _ in range(mib)) + stream.flush()


BOMBS = [("gzip", gzip_bomb), ("deflate", deflate_bomb), ("br", br_bomb), ("zstd", zstd_bomb)]


@pytest.mark.parametrize(
    ("header", "make", "backend"),
    [(*bomb, zlib) for bomb in BOMBS] + [(*bomb, isal_zlib) for bomb in BOMBS[:2]],
    ids=["gzip", "deflate", "br", "zstd", "gzip-isal", "deflate-isal"],
)
def test_a_bomb_goes_off_in_small_chunks_and_holds_little_memory(
    header: str, make: Callable[[int], bytes], backend: ModuleType
) -> None:
    bomb = make(256)
    assert len(bomb) < MIB
    undo = decoder(header, backend=backend)
    assert undo is not None
    tracemalloc.start()
    try:
        size = largest = 0
        for chunk in undo.feed(bomb):
            size += len(chunk)
            largest = max(largest, len(chunk))
        undo.finish()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size == 256 * MIB
    assert largest <= 96 * 1024
    assert peak < 2 * MIB


@pytest.mark.parametrize(("header", "make"), BOMBS, ids=[name for name, _ in BOMBS])
def test_a_bomb_is_left_when_the_caller_stops(header: str, make: Callable[[int], bytes]) -> None:
    undo = decoder(header)
    assert undo is not None
    size = 0
    for chunk in undo.feed(make(64)):
        size += len(chunk)
        if size > MIB:
            break
    assert MIB < size < MIB + 96 * 1024


def test_a_bomb_within_bombs_goes_off_in_small_chunks() -> None:
    bomb = gzipped(brotli.compress(zstd_bomb(256)))
    assert len(bomb) < 2000
    undo = decoder("zstd, br, gzip")
    assert undo is not None
    sizes = [len(chunk) for chunk in undo.feed(bomb)]
    undo.finish()
    assert sum(sizes) == 256 * MIB
    assert max(sizes) <= 96 * 1024


def test_a_bomb_that_the_next_layer_ignores_gives_moments_to_breathe() -> None:
    padded = gzipped(TEXT) + bytes(32 * MIB)
    undo = decoder("gzip, zstd")
    assert undo is not None
    chunks = list(undo.feed(zstd.compress(padded)))
    undo.finish()
    assert b"".join(chunks) == TEXT
    assert len(chunks) >= 32 * MIB / (64 * 1024)


@pytest.mark.parametrize("header", ["gzip", "gzip, br"])
def test_coded_bytes_that_become_nothing_end_at_the_limit(header: str) -> None:
    nothing = gzipped(b"") * 50_000
    sent = brotli.compress(nothing) if "br" in header else nothing
    with pytest.raises(TooMuch):
        decode(header, cut_at(sent, [0.5]), limit=100_000)
    assert decode(header, [sent], limit=MIB) == b""


def test_a_body_at_the_limit_passes_though_its_coding_made_it_longer() -> None:
    body = random.Random(3).randbytes(100_000)
    stream = zlib.compressobj(1, zlib.DEFLATED, 31)
    lines = [body[i : i + 20] for i in range(0, len(body), 20)]
    flushed = b"".join(stream.compress(line) + stream.flush(zlib.Z_SYNC_FLUSH) for line in lines) + stream.flush()
    assert len(flushed) > 1.2 * len(body)
    assert decode("gzip", [flushed], limit=len(body)) == body
