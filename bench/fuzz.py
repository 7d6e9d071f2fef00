"""
`python -m bench.fuzz`: lines and answers that went wrong by chance, in numbers; every one must come out as one row.

Knows how to spoil what is right; what is right stands here too, so nothing is taken from elsewhere. Repeatable: the
same seed makes the same lines and answers. Nothing leaves loopback: a fence refuses what a spoiled URL points to.
"""

from __future__ import annotations

import argparse
import asyncio
import gzip
import json
import random
import socket
import struct
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

import fetchall
from fetchall import Request, Result
from fetchall.records import ErrorType, Fault
from fetchall.rows import Columns, Row
from fetchall.source import STDIN, read_sources
from fetchall.urls import mask, parse
from tests.faults.loopback import fenced
from tests.faults.names import Names
from tests.faults.reading import parse_head

SECRET = "hunter2"
LINES = (
    b"http://127.0.0.1:8080/a/b?c=d#e", b"https://example.test/", b"http://[::1]:80/x", b"http://me:hunter2@h.test/p?q",
    b"HTTP://B\xc3\xbccher.test/stra\xc3\x9fe", b"http://xn--bcher-kva.test/%2F%zz", b"http://0x7f.1/", b"http://a@b@c/",
    b"http:\\\\x.test\\y", b"ftp://h/x", b"mailto:a@b.test", b"//h/x", b"example.com", b"# comment", b"",
    b"http://2130706433/", b"http://127.0.0.1:65536/", b"http://h.test/" + b"a" * 300,
)  # fmt: skip
"""Lines of lists, most of them right."""
_TOKENS = (
    b"\r\n", b"\n", b"\r", b"\0", b"\x1b[31m", b" ", b"\t", b"@", b":", b"/", b"\\", b"?", b"#", b"%", b"%00",
    b"%0d%0a",
    b"[", b"]", b"\xff", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xae", b"xn--", b"..", b"0", b"-1", b"9" * 20,
    b"HTTP/1.1 200 OK\r\n", b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Content-Encoding: gzip\r\n",
    b"Location: //127.0.0.1/x\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"ffffffffffffffff\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Connection: close\r\n", b"Set-Cookie: a=b; Max-Age=1e9\r\n", b"Upgrade: x\r\n", b"HTTP/0.9 000 \r\n",
)  # fmt: skip
"""What does harm where it does not belong."""
_TEXT = b"The quick brown fox jumps over the lazy dog. " * 20
_WIDEST = 32
"""Bytes that one change may take away or double."""
_FOLLOWED = 3
"""Redirects that are followed."""


def _said(status: bytes, *lines: bytes, body: bytes = b"", length: bool = True) -> bytes:
    more = [b"Content-Length: %d" % len(body)] if length else []
    return b"\r\n".join((b"HTTP/1.1 " + status, *lines, *more, b"", body))


def _chunked(body: bytes, size: int, trailer: bytes = b"") -> bytes:
    pieces = (body[at : at + size] for at in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n" + trailer + b"\r\n"


_CHUNKS = (b"200 OK", b"Transfer-Encoding: chunked")
ANSWERS = (
    _said(b"200 OK", b"Content-Type: text/html; charset=utf-8", body=_TEXT),
    _said(b"200 OK", body=_TEXT * 100),
    _said(*_CHUNKS, body=_chunked(_TEXT, 7), length=False),
    _said(*_CHUNKS, body=_chunked(_TEXT * 50, 4000, b"X-Trailer: v\r\n"), length=False),
    _said(b"200 OK", b"Content-Encoding: gzip", body=gzip.compress(_TEXT, mtime=0)),
    _said(b"200 OK", b"Content-Encoding: deflate", body=zlib.compress(_TEXT)),
    _said(*_CHUNKS, b"Content-Encoding: gzip", body=_chunked(gzip.compress(_TEXT, mtime=0), 16), length=False),
    _said(b"200 OK", b"Connection: close", body=_TEXT, length=False),
    _said(b"204 No Content", length=False),
    _said(b"304 Not Modified", b'ETag: "a"', length=False),
    _said(b"302 Found", b"Location: /elsewhere?a=b", body=b"there"),
    _said(b"404 Not Found", b"Set-Cookie: a=b; Path=/; Secure", b"Set-Cookie: c=d", body=b"no"),
    _said(b"500 Broken", b"Retry-After: 1", body=b"later"),
    b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + _said(b"200 OK", body=b"hello"),
    b"HTTP/1.0 200 OK\r\nServer: old\r\n\r\n" + _TEXT,
)
"""Right answers."""


def spoiled(chance: random.Random, seeds: tuple[bytes, ...]) -> bytes:
    """One of the seeds with a few changes."""
    data = bytearray(chance.choice(seeds))
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 5))):
        # Most of what matters in an answer stands near its beginning.
        at = chance.randrange(min(len(data), chance.choice((40, 200, len(data) or 1))) + 1)
        match chance.randrange(7):
            case 0 if at < len(data):
                data[at] ^= 1 << chance.randrange(8)
            case 1:
                del data[at : at + chance.randrange(_WIDEST)]
            case 2:
                data[at:at] = data[at : at + chance.randrange(_WIDEST)]
            case 3:
                data[at:at] = chance.choice(_TOKENS)
            case 4:
                del data[at:]
            case 5:
                other = chance.choice(seeds)
                data[at:] = other[chance.randrange(len(other) + 1) :]
            case _:
                data[at:at] = bytes(chance.randrange(256) for _ in range(chance.randrange(4)))
    return bytes(data)


@dataclass
class Found:
    """What came of it."""

    tried: int = 0
    outcomes: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    slowest: float = 0.0
    """Seconds that one took."""

    def __str__(self) -> str:
        common = ", ".join(f"{name} {count:,}" for name, count in self.outcomes.most_common())
        return f"{self.tried:,} tried, {len(self.problems)} problems, slowest {self.slowest:.3f} s: {common}"


def fuzz_lines(count: int, seed: int = 1) -> Found:
    """So many spoiled lines through the source, the parser and the row."""
    chance, found = random.Random(seed), Found()
    for start in range(0, count, 5000):
        lines = [spoiled(chance, LINES) for _ in range(min(5000, count - start))]
        _lines(b"\n".join(lines) + b"\n", found)
        found.tried += len(lines)
    return found


def _lines(text: bytes, found: Found) -> None:
    wanted = sum(bool(line) and not line.startswith(b"#") for line in map(bytes.strip, text.split(b"\n")))
    requests = [request for batch in _read(text) for request in batch]
    if [request.index for request in requests] != list(range(1, wanted + 1)):
        found.problems.append(f"{wanted} lines gave {len(requests)} requests")
    for request in requests:
        began = time.perf_counter()
        try:
            name, problem = _one_line(request)
        except Exception as error:
            name, problem = "raised", f"{request.url!r} raised {error!r}"
        found.slowest = max(found.slowest, time.perf_counter() - began)
        found.outcomes[name] += 1
        if problem:
            found.problems.append(problem)


def _read(text: bytes) -> Iterator[list[Request]]:
    """What the source makes of it, through a file as ever."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(b"http://first.test/\n" + text)  # the first line alone may carry a byte order mark
        file.seek(0)
        first = True
        for batch in read_sources([STDIN], file.fileno()):
            yield batch[1:] if first else batch
            first = False


def _one_line(request: Request) -> tuple[str, str | None]:
    target = request.fault or parse(request.url)
    fault = target if isinstance(target, Fault) else None
    shown = mask(request.url)
    result = Result(
        request, "GET", shown, error_type=fault.type if fault else None, error=fault.message if fault else None
    )
    row = json.loads(Row(result, Columns()).json)
    if row["url"] != shown:
        return "url", f"{request.url!r} is not in its row"
    if isinstance(target, Fault):
        allowed = (ErrorType.BAD_LINE, ErrorType.INVALID_URL, ErrorType.UNSUPPORTED_SCHEME)
        return str(target.type), None if target.type in allowed else f"{request.url!r} is {target.type}"
    wire = target.href
    if not (wire.isascii() and wire.isprintable()) or " " in wire or "#" in wire or "@" in str(target.origin):
        return "wire", f"{request.url!r} would go out as {wire!r}"
    if target.user is not None and SECRET in target.shown[: target.shown.index("@")]:
        return "secret", f"{request.url!r} is shown as {target.shown!r}"
    return "fetched", None


class Spoiler:
    """A server that answers each request with a spoiled answer, in pieces, and then closes, resets or stays."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self.anomalies: list[str] = []
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        chance = self._chance
        try:
            keep = True
            while keep:
                raw = await reader.readuntil(b"\r\n\r\n")
                self.requests += 1
                self.anomalies += parse_head(raw[:-4]).anomalies
                data = spoiled(chance, ANSWERS)
                for piece in _pieces(chance, data):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                keep = chance.random() < 0.3
            if chance.random() < 0.2:
                sock = writer.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass
        except asyncio.CancelledError:
            return
        finally:
            with suppress(OSError):
                writer.close()


def _pieces(chance: random.Random, data: bytes) -> Iterator[bytes]:
    if chance.random() < 0.5:
        yield data
        return
    at = 0
    for _ in range(chance.randrange(1, 6)):
        end = at + chance.randrange(1, 400)
        yield data[at:end]
        at = end
    yield data[at:]


async def fuzz_answers(count: int, seed: int = 1, progress: Callable[[int], None] | None = None) -> Found:
    """So many requests, each answered by chance: one row each, none of them `internal`."""
    found = Found()
    spoiler = Spoiler(seed)
    server = await asyncio.start_server(spoiler, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    options = fetchall.Options(
        concurrency=40, retries=0, timeout=2.0, read_timeout=0.3, connect_timeout=1.0, max_body=1 << 20, headers=True,
        body=True, noproxy="*", resolver=Names({}), max_redirs=_FOLLOWED,
        retry_after_max=1.0,
    )  # fmt: skip
    seen: Counter[int] = Counter()
    with fenced():
        urls = (f"http://127.0.0.1:{port}/{number}" for number in range(count))
        async with server, fetchall.stream(urls, options) as results:
            async for result in results:
                seen[result.index] += 1
                _one_answer(result, found)
                if progress is not None and len(seen) % 1000 == 0:
                    progress(len(seen))
    found.tried = count
    if len(seen) != count or set(seen.values()) != {1}:
        found.problems.append(f"{count} URLs gave {sum(seen.values())} rows")
    found.problems += [f"a request was wrong: {anomaly}" for anomaly in spoiler.anomalies]
    return found


def _one_answer(result: Result, found: Found) -> None:
    row = json.loads(Row(result, Columns(headers=True, body=True)).json)
    found.outcomes[str(result.error_type or f"status {str(result.status)[:1]}xx")] += 1
    found.slowest = max(found.slowest, result.elapsed or 0.0)
    if result.error_type is ErrorType.INTERNAL:
        found.problems.append(f"a bug: {result.error}")
    if (result.error_type is None) != (result.error is None) or row["status"] != result.status:
        found.problems.append(f"a row that says two things: {row}")
    if result.status is not None and not 100 <= result.status <= 999:
        found.problems.append(f"a status that is none: {result.status}")
    if any(not character.isprintable() for character in result.error or ""):
        found.problems.append(f"control characters in a message: {result.error!r}")
    if (result.elapsed or 0.0) > 2.0 + 1.0:
        found.problems.append(f"took {result.elapsed:.1f} s")


def main() -> int:
    """0: nothing found; 1: something was."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--lines", type=int, default=100_000)
    parser.add_argument("--answers", type=int, default=5_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio")
    options = parser.parse_args()
    factory = None
    if options.loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        lines = fuzz_lines(options.lines, options.seed)
        print(f"lines: {lines}")
        answers = runner.run(fuzz_answers(options.answers, options.seed))
        print(f"answers: {answers}")
    for problem in (*lines.problems[:20], *answers.problems[:20]):
        print(f"  {problem}"[:500])
    return 1 if lines.problems or answers.problems else 0


if __name__ == "__main__":
    sys.exit(main())
