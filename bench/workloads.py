"""
The named workloads: what is asked for, of how many hosts, in which order, under which limits, and how long it takes.

Data and arithmetic alone: knows no client, no process and no socket.
"""

from __future__ import annotations

import heapq
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

SEED = 20


@dataclass(frozen=True, slots=True)
class Workload:
    """
    One list of URLs and how it is to be fetched; times are seconds.

    The list is sorted by host unless `shuffled`. Of the URLs, one in `hanging` is never answered (all in a row, in the
    middle); of the hosts, `dead` take no connection.
    """

    name: str
    about: str
    urls: int
    quick: int
    """URLs in a smoke test; of as many hosts as it takes to keep their share."""
    concurrency: int = 50
    path: str = "/tiny"
    takes: float = 0.0
    """How long the server lets an answer wait."""
    hosts: int = 1
    shuffled: bool = False
    hanging: int = 0
    dead: int = 0
    per_host: int = 0
    timeout: float | None = None
    connect_timeout: float | None = None
    tls: bool = False
    digest: bool = False
    """Clients that can hash do; the rows must hold the page's digest."""
    save: int = 0
    """Bytes of each body, where bodies become files."""
    contenders: tuple[str, ...] = ()
    """The only ones that are run; none: all that are installed."""
    arguments: tuple[str, ...] = ()
    """The whole command line of fetchall, where no list is fetched at all."""

    @property
    def timed(self) -> bool:
        """True where waiting, not work, decides how long it takes: there is an ideal."""
        return self.takes > 0


class Asked(NamedTuple):
    """One URL of the list: which host, what its path begins with, and how long it holds a place on the wire."""

    host: int
    path: str
    seconds: float
    dead: bool = False


OURS = ("fetchall", "fetchall-2", "bare-uvloop", "bare-asyncio")

WORKLOADS = (
    Workload("tiny", "13-byte answers at once: nothing but the cost of a request", 30_000, 2_000),
    Workload("tiny-many", "the same, long enough for several processes", 200_000, 4_000),
    Workload("latency-100", "answers after 100 ms", 6_000, 400, 100, "/delay/100", 0.1),
    Workload("latency-500", "answers after 100 ms", 30_000, 2_000, 500, "/delay/100", 0.1),
    Workload("latency-1000", "answers after 100 ms", 60_000, 4_000, 1_000, "/delay/100", 0.1),
    Workload(
        "sorted",
        "50 ms, 50 hosts one after the other, 2 at once to each",
        *(2_000, 400, 100, "/delay/50", 0.05),
        hosts=50,
        per_host=2,
    ),
    Workload(
        "shuffled",
        "the same list, shuffled",
        *(2_000, 400, 100, "/delay/50", 0.05),
        hosts=50,
        per_host=2,
        shuffled=True,
    ),
    Workload(
        "hanging",
        "5 ms; 1 % in a row hang until the timeout",
        *(10_000, 2_000, 100, "/delay/5", 0.005),
        hanging=100,
        timeout=2.0,
    ),
    Workload(
        "hanging-spread",
        "the same list, shuffled: nobody can know which hang",
        *(10_000, 2_000, 100, "/delay/5", 0.005),
        hanging=100,
        timeout=2.0,
        shuffled=True,
    ),
    Workload(
        "dead",
        "50 ms, 200 hosts of which 40 take no connection; sorted by host",
        *(2_000, 200, 100, "/delay/50", 0.05),
        hosts=200,
        dead=40,
        connect_timeout=2.0,
    ),
    Workload(
        "pages", "pages of 150 KB, 30 KB as gzip; hashed where the client can", 5_000, 200, path="/page", digest=True
    ),
    Workload("tls", "13-byte answers over TLS, 100 hosts, shuffled", 10_000, 500, hosts=100, tls=True, shuffled=True),
    Workload("big", "bodies of 10 MB, read", 200, 10, 20, "/big/10000000"),
    Workload("big-files", "bodies of 10 MB, to files", 200, 10, 20, "/big/10000000", save=10_000_000),
    Workload("held", "requests held open for 5 s, all at once", 10_000, 500, 10_000, "/delay/5000", 5.0, hosts=10),
    Workload("memory-20k", "13-byte answers: how much memory a list takes", 20_000, 1_000, contenders=OURS),
    Workload("memory-200k", "ten times as many", 200_000, 4_000, contenders=OURS),
    Workload("memory-1m", "fifty times as many", 1_000_000, 8_000, contenders=OURS[:3]),
    Workload("startup-version", "fetchall --version", 0, 0, arguments=("--version",)),
    Workload("startup-help", "fetchall --help", 0, 0, arguments=("--help",)),
    Workload("startup-one", "one URL: what every run costs", 1, 1),
)


def named(words: list[str]) -> list[Workload]:
    """The workloads of these names or families (`latency`), a name before a family; all where none is given."""
    chosen: set[str] = set() if words else {one.name for one in WORKLOADS}
    for word in words:
        exact = {one.name for one in WORKLOADS if one.name == word}
        found = exact or {one.name for one in WORKLOADS if one.name.startswith(f"{word}-")}
        if not found:
            raise KeyError(f"no such workload: {word}; --list shows them")
        chosen |= found
    return [one for one in WORKLOADS if one.name in chosen]


def asked(workload: Workload, count: int) -> list[Asked]:
    """The list of `count` URLs: hosts in order, the dead evenly among them; or shuffled."""
    hosts = min(workload.hosts, count)
    every = workload.hosts // workload.dead if workload.dead else 0
    hanging = count // workload.hanging if workload.hanging else 0
    first = (count - hanging) // 2
    urls = []
    for number in range(count):
        host = number * hosts // count
        if first <= number < first + hanging:
            urls.append(Asked(host, "/hang", workload.timeout or 0.0))
        elif every and host % every == every // 2:
            urls.append(Asked(host, workload.path, workload.connect_timeout or 0.0, dead=True))
        else:
            urls.append(Asked(host, workload.path, workload.takes))
    if workload.shuffled:
        random.Random(SEED).shuffle(urls)
    return urls


def addresses(urls: list[Asked], port: int, scheme: str, hosts: list[str], dead: list[str]) -> Iterator[str]:
    """The URLs as text; each ends with its number in the list."""
    graves = {host: dead[place] for place, host in enumerate(sorted({one.host for one in urls if one.dead}))}
    for number, one in enumerate(urls):
        yield f"{scheme}://{graves.get(one.host) or hosts[one.host]}:{port}{one.path}/{number}"


def ideal(urls: list[Asked], concurrency: int, per_host: int = 0) -> float:
    """Seconds that no client can beat: all places always taken, no host above its limit, no cost of its own."""
    whole = sum(one.seconds for one in urls) / concurrency
    if not per_host:
        return max(whole, max(one.seconds for one in urls))
    hosts: Counter[int] = Counter()
    slowest = 0.0
    for one in urls:
        hosts[one.host] += round(one.seconds * 1_000_000)
        slowest = max(slowest, one.seconds)
    return max(whole, slowest, max(hosts.values()) / 1_000_000 / per_host)


def ideal_in_order(urls: list[Asked], concurrency: int) -> float:
    """
    Seconds for a client without a cost of its own that takes the URLs as listed, since it can't foresee which are slow.

    Above `ideal` where slow URLs come late in the list (Graham's bound: by at most the slowest URL).
    """
    free = [0.0] * concurrency
    for one in urls:
        heapq.heapreplace(free, free[0] + one.seconds)
    return max(free)
