"""
Kill it anywhere: runs that are killed at random moments and gone on with, and what came out, counted.

`python -m bench.storm` does the full figures: SIGKILLs over runs of 20,000 URLs, SIGINTs and SIGTERMs over short ones.
The test suite does a few of each. Knows files and processes; what is fetched is a server of its own on loopback.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

ROOT = Path(__file__).parent.parent
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Type: text/plain\r\n\r\nok"
LATEST = 0.1
"""Seconds before a kill whose rows need not be on disk."""
FORMS: tuple[tuple[str, ...], ...] = (("out.jsonl",), ("out.json",), ("out.jsonl", "out.json"), ("out.json", "b.jsonl"))


class Counting(threading.Thread):
    """A server that answers everything at once, and knows when each path was asked for."""

    def __init__(self) -> None:
        super().__init__(name="storm server", daemon=True)
        self.asked: list[tuple[float, bytes]] = []
        self.port = 0
        self._ready = threading.Event()
        self._loop = asyncio.new_event_loop()

    def __enter__(self) -> Self:
        self.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self.join()

    def answer(self, path: bytes) -> bytes | None:
        """What a path is answered with; None: nothing, ever."""
        return ANSWER

    def run(self) -> None:
        asked, answer = self.asked, self.answer

        class Connection(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                assert isinstance(transport, asyncio.Transport)
                self.transport = transport
                self.rest = b""

            def data_received(self, data: bytes) -> None:
                *heads, self.rest = (self.rest + data).split(b"\r\n\r\n")
                for head in heads:
                    path = head.split(b" ", 2)[1]
                    asked.append((time.time(), path))
                    if (said := answer(path)) is not None:
                        self.transport.write(said)

        async def serve() -> asyncio.Server:
            return await self._loop.create_server(Connection, "127.0.0.1", 0)

        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(serve())
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()


@dataclass
class Found:
    """What a storm came to; all but `runs`, `kills` and `most_again` should stay 0 or empty."""

    runs: int = 0
    kills: int = 0
    lost: int = 0
    doubled: int = 0
    torn: int = 0
    most_again: int = 0
    """The most URLs that were fetched again after one kill."""
    too_many_again: int = 0
    """Kills after which more was fetched again than was in flight or came in the last 0.1 s."""
    wrong: list[str] = field(default_factory=list)
    codes: dict[int, int] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Nothing is wrong."""
        return not (self.lost or self.doubled or self.torn or self.too_many_again or self.wrong)


def rows_of(path: Path) -> list[int]:
    """The indices of a whole output, in its order."""
    data = path.read_bytes()
    if path.name.removesuffix(".part").endswith(".json"):
        return [row["index"] for row in json.loads(data)["results"]]
    assert data.endswith(b"\n") or not data
    return [json.loads(line)["index"] for line in data.splitlines()]


def whole_lines(path: Path) -> Iterator[int]:
    """The indices of the rows in a journal that may end in a torn line."""
    if path.exists():
        for line in path.read_bytes().split(b"\n")[:-1]:
            yield json.loads(line)["index"]


@contextmanager
def listed(server: Counting, urls: int) -> Iterator[Path]:
    """A folder with a list of so many URLs."""
    with tempfile.TemporaryDirectory(prefix="fetchall-storm-") as folder:
        text = "".join(f"http://127.0.0.1:{server.port}/{index}\n" for index in range(urls))
        (Path(folder) / "urls.txt").write_text(text)
        yield Path(folder)


def command(folder: Path, outputs: Sequence[str], *more: str) -> list[str]:
    """The same command each time."""
    named = [word for output in outputs for word in ("-o", str(folder / output))]
    return [sys.executable, "-m", "fetchall", str(folder / "urls.txt"), *named, "-q", *more]


def heed_interrupts() -> None:
    """A shell starts what it runs in the background with SIGINT ignored, and whoever we start would inherit that."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def start(words: Sequence[str]) -> subprocess.Popen[bytes]:
    """In a process of its own, with nothing on its stderr but what must be said."""
    return subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def kill_storm(kills: int, urls: int, *, concurrency: int = 50, each: int = 5, seed: int = 1) -> Found:
    """Kill runs at random moments, `each` times, then let them end; `kills` in all."""
    found, rng = Found(), random.Random(seed)
    with Counting() as server, listed(server, urls) as folder:
        whole = _whole_run(server, folder, concurrency)
        while found.kills < kills:
            outputs = FORMS[found.runs % len(FORMS)]
            _one_run(server, folder, outputs, urls, concurrency, min(each, kills - found.kills), whole, rng, found)
            found.runs += 1
    return found


def _whole_run(server: Counting, folder: Path, concurrency: int) -> float:
    """Seconds that one run takes when nobody kills it."""
    started = time.monotonic()
    words = command(folder, ["whole.jsonl"], "-c", str(concurrency))
    subprocess.run(words, cwd=ROOT, check=True, timeout=300)
    server.asked.clear()
    return time.monotonic() - started


def _one_run(
    server: Counting,
    folder: Path,
    outputs: Sequence[str],
    urls: int,
    concurrency: int,
    kills: int,
    whole: float,
    rng: random.Random,
    found: Found,
) -> None:
    words = command(folder, outputs, "-c", str(concurrency), "--resume", "--fsync", "0.2")
    journal = folder / f"{outputs[0]}.part{'' if outputs[0].endswith('l') else '.journal'}"
    again = 0
    for _ in range(kills):
        process, before = start(words), len(server.asked)
        try:
            process.wait(rng.uniform(0, whole / kills + 0.3))
        except subprocess.TimeoutExpired:
            process.kill()
        at = time.time()
        process.communicate()
        found.kills += 1
        if process.returncode == 0:
            break
        if process.returncode != -signal.SIGKILL:
            found.wrong.append(f"ended with {process.returncode}")
        time.sleep(0.02)  # what is still in the sockets reaches the server
        if not journal.exists() and (folder / outputs[0]).exists():
            break  # it was complete already
        done = set(whole_lines(journal))
        missing = len({path for _, path in server.asked[before:]} - {b"/%d" % index for index in done})
        recent = sum(1 for moment, _ in reversed(server.asked) if moment > at - LATEST)
        found.most_again = max(found.most_again, missing)
        found.too_many_again += missing > concurrency + recent
        again += missing
    ended = start(words)
    _, complaint = ended.communicate(timeout=300)
    if ended.returncode:
        found.wrong.append(f"resumed: {ended.returncode} {complaint.decode()}")
        return
    if len(server.asked) > urls + again:
        found.wrong.append(f"{len(server.asked)} requests for {urls} URLs, {again} of which had no row")
    for output in outputs:
        indices = rows_of(folder / output)
        found.lost += urls - len(set(indices))
        found.doubled += len(indices) - len(set(indices))
        if output.endswith(".json") and indices != sorted(indices):
            found.wrong.append(f"{output} is not in order")
    left = {path.name for path in folder.iterdir()} - {"urls.txt", "whole.jsonl", *outputs}
    if left:
        found.wrong.append(f"left behind: {left}")
    for output in outputs:
        (folder / output).unlink()
    server.asked.clear()


def signal_storm(count: int, number: signal.Signals, urls: int, *, grace: float = 2.0, seed: int = 1) -> Found:
    """Send one signal to each of so many runs at a random moment; each says so, in time and with whole rows."""
    found, rng = Found(), random.Random(seed)
    heed_interrupts()
    with Counting() as server, listed(server, urls) as folder:
        whole = _whole_run(server, folder, 20)
        for turn in range(count):
            outputs = FORMS[turn % len(FORMS)]
            words = command(folder, outputs, "-c", "20", "--grace", str(grace))
            process = start(words)
            time.sleep(rng.uniform(0, whole))
            sent = time.monotonic()
            process.send_signal(number)
            _, complaint = process.communicate(timeout=30)
            if b"KeyboardInterrupt" in complaint and b"program.py" not in complaint:
                continue  # Python itself was being loaded, which no program has a say in
            code = 128 - process.returncode if process.returncode < 0 else process.returncode
            found.runs += 1
            found.codes[code] = found.codes.get(code, 0) + 1
            if code not in (0, 128 + number) or b"fetchall/" in complaint:
                found.wrong.append(f"{code}: {complaint.decode()[-300:]}")
            if time.monotonic() - sent > grace + 1:
                found.wrong.append(f"took {time.monotonic() - sent:.1f} s to end")
            _look_at(folder, outputs, urls, code, found)
    return found


def _look_at(folder: Path, outputs: Sequence[str], urls: int, code: int, found: Found) -> None:
    for output in outputs:
        for path in (folder / output, folder / f"{output}.part"):
            if path.exists():
                try:
                    indices = rows_of(path)
                except (ValueError, AssertionError):
                    # A signal before the run has its handlers ends it as the system does, with nothing written.
                    found.torn += path.stat().st_size > 0
                    continue
                found.doubled += len(indices) - len(set(indices))
                if path.suffix != ".part" and len(indices) != urls:
                    found.lost += urls - len(indices)
    for path in folder.iterdir():
        if path.name not in ("urls.txt", "whole.jsonl"):
            path.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.storm", description="Kill it anywhere, and count.")
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--signals", type=int, default=200, help="of each kind")
    parser.add_argument("--urls", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(4)))
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    storms = [kill_storm(options.kills, options.urls, seed=options.seed)] if options.kills else []
    for found in storms:
        print(found, flush=True)
    for number in (signal.SIGINT, signal.SIGTERM) if options.signals else ():
        found = signal_storm(options.signals, number, 3_000, seed=options.seed)
        print(number.name, found, flush=True)
        storms.append(found)
    return 0 if all(found.clean for found in storms) else 1


if __name__ == "__main__":
    sys.exit(main())
