"""
Who is measured: how each tool is found, what it can't do, and the command with which it fetches a list.

Knows command lines, as data; runs nothing but `--version` and `--help`.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from bench import pages
from bench.server import ROOT
from bench.workloads import Workload

PROBE_SECONDS = 60
SLOW_AT_MOST = 100
REQUIRED = {
    "per_host": "a limit per host",
    "timeout": "a timeout",
    "connect_timeout": "a timeout for connecting",
    "tls": "certificates that are verified",
    "save": "bodies saved to files",
}
"""What a workload may ask for, and a tool without a flag for it is not run."""


@dataclass(frozen=True, slots=True)
class Job:
    """One list to be fetched, and where what comes of it belongs."""

    workload: Workload
    list: Path
    rows: Path
    """For the tool's rows; its stdout goes there too, for tools that write them nowhere else."""
    bodies: Path
    """An empty folder."""
    ca: Path
    python: str
    """The Python in which the peers that are written in it are installed."""


@dataclass(frozen=True, slots=True)
class Contender:
    """One tool. Texts in braces are the fields of the job and of its workload."""

    name: str
    probe: str
    """The command that prints its version, quoted as for a shell."""
    command: str
    flags: Mapping[str, str]
    """Added where the workload has the field of this name; `drop` where bodies are not saved, `gzip` for pages."""
    good: bytes = b""
    """What the row of each fetched URL holds; empty: it writes no rows."""
    prepare: Callable[[Job], None] = lambda job: None
    """What it needs beside the list is written here; that is not measured."""
    refuses: Callable[[Workload, str], str | None] = lambda load, version: None
    """Why it can't run a workload, given its version."""
    slow: bool = False
    """It gets a tenth of the long lists."""
    at_most: int = 1_000_000
    """Requests in flight beyond which it is not run: it would take a thread for each, or all day."""

    def version(self, python: str) -> str | None:
        """Its version, or None where it is not installed."""
        argv = [word.format(this=sys.executable, python=python) for word in shlex.split(self.probe)]
        try:
            done = subprocess.run(argv, capture_output=True, text=True, timeout=PROBE_SECONDS, cwd=ROOT)
        except (OSError, subprocess.TimeoutExpired):
            return None
        found = re.search(r"\d+(\.\d+)+", done.stdout)
        return found[0] if found and done.returncode == 0 else None

    def cannot(self, load: Workload, version: str) -> str | None:
        """Why it can't run this workload; None: it can."""
        if load.arguments and self.name != "fetchall":
            return "is about fetchall alone"
        if load.contenders and self.name not in load.contenders:
            return "is not run here"
        if load.concurrency > self.at_most:
            return f"is not run with more than {self.at_most:,} in flight"
        missing = [what for key, what in REQUIRED.items() if getattr(load, key) and key not in self.flags]
        return f"lacks {', '.join(missing)}" if missing else self.refuses(load, version)

    def good_row(self, load: Workload) -> bytes:
        """What the row of a fetched URL must hold: the page's digest, where it was asked to hash."""
        return pages.page_digest().encode("ascii") if load.digest and "digest" in self.flags else self.good

    def argv(self, job: Job) -> list[str]:
        """The command line for a job."""
        load = job.workload
        values = {key: getattr(job, key) for key in ("list", "rows", "bodies", "ca", "python")}
        values |= {key: getattr(load, key) for key in ("concurrency", "per_host", "timeout", "connect_timeout")}
        values |= {"this": sys.executable}
        on = {
            "drop": not load.save,
            "gzip": load.path == "/page",
            "retries": "retries" in self.flags and "--retries" in fetchall_help(),
        }
        words = self.command.split()
        for key, flag in self.flags.items():
            if on[key] if key in on else getattr(load, key):
                words += flag.split()
        return [word.format(**values) for word in words]


@cache
def fetchall_help() -> str:
    """What `fetchall --help` says: an option that it does not name does not exist yet."""
    argv = [sys.executable, "-m", "fetchall", "--help"]
    return subprocess.run(argv, capture_output=True, text=True, timeout=PROBE_SECONDS, cwd=ROOT).stdout


def not_yet(load: Workload, version: str) -> str | None:
    """Options of later issues do not parse yet."""
    needed = {"--per-host": load.per_host, "--bodies": load.save}
    missing = [flag for flag, value in needed.items() if value and flag not in fetchall_help()]
    return f"has no {', '.join(missing)} yet" if missing else None


def not_yet_in_two(load: Workload, version: str) -> str | None:
    """As `not_yet`, for several processes."""
    return not_yet(load, version) if "--processes" in fetchall_help() else "has no --processes yet"


def more_than_tiny(load: Workload, version: str) -> str | None:
    """The floor knows little."""
    return None if load.path == "/tiny" and load.hosts == 1 else "knows small plain answers of one host only"


def old_curl(load: Workload, version: str) -> str | None:
    """Its -Z came with 7.66, --parallel-max-host with 8.16; 8.14 still holds 300 in flight at most."""
    number = tuple(int(part) for part in version.split(".")[:2])
    if number < (7, 66):
        return f"{version} is older than -Z (7.66)"
    if load.per_host and number < (8, 16):
        return f"{version} is older than --parallel-max-host (8.16)"
    return None


def write_curl_config(job: Job) -> None:
    """Each URL with its output: a file, or nothing."""
    with job.list.open(encoding="ascii") as urls, open(f"{job.list}.curl", "w", encoding="ascii") as config:
        for number, url in enumerate(urls):
            body = job.bodies / str(number) if job.workload.save else "/dev/null"
            config.write(f'url = "{url.rstrip()}"\noutput = "{body}"\n')


def write_aria2_list(job: Job) -> None:
    """Each URL with the name of its file."""
    with job.list.open(encoding="ascii") as urls, open(f"{job.list}.aria2", "w", encoding="ascii") as listed:
        for number, url in enumerate(urls):
            listed.write(f"{url.rstrip()}\n out={number}\n")


FETCHALL = "{this} -m fetchall {list} -c {concurrency} -o {rows} --no-progress -q"
FETCHALL_FLAGS = {
    "retries": "--retries 0",
    "per_host": "--per-host {per_host}",
    "timeout": "--timeout {timeout}",
    "connect_timeout": "--connect-timeout {connect_timeout}",
    "tls": "--cacert {ca}",
    "digest": "--sha256",
    "save": "--bodies {bodies}",
}
LOOP_FLAGS = {"timeout": "--timeout {timeout}", "connect_timeout": "--connect-timeout {connect_timeout}"}
BARE_FLAGS = LOOP_FLAGS | {"tls": "--cacert {ca}", "digest": "--sha256", "save": "--save {bodies}"}
BARE = "{this} -m bench.bare {list} -c {concurrency} -o {rows} --loop "
BARE_PROBE = "{this} -c 'import aiohttp, orjson, "

CONTENDERS = (
    Contender("fetchall", "{this} -m fetchall --version", FETCHALL, FETCHALL_FLAGS, good=b'"ok":true', refuses=not_yet),
    Contender(
        "fetchall-2",
        "{this} -m fetchall --version",
        f"{FETCHALL} --processes 2",
        FETCHALL_FLAGS,
        good=b'"ok":true',
        refuses=not_yet_in_two,
    ),
    Contender(
        "bare-uvloop",
        f"{BARE_PROBE}uvloop; print(aiohttp.__version__)'",
        f"{BARE}uvloop",
        BARE_FLAGS,
        good=b'"status":200',
    ),
    Contender(
        "bare-asyncio",
        f"{BARE_PROBE}sys; print(aiohttp.__version__)'",
        f"{BARE}asyncio",
        BARE_FLAGS,
        good=b'"status":200',
    ),
    Contender(
        "raw",
        "{this} -c 'import uvloop; print(uvloop.__version__)'",
        "{this} -m bench.raw {list} -c {concurrency}",
        {},
        refuses=more_than_tiny,
    ),
    Contender(
        "curl",
        "curl --version",
        "curl -q --no-progress-meter --http1.1 -Z --parallel-immediate --parallel-max {concurrency} -K {list}.curl"
        " -w %{{json}}\\n",
        {
            "per_host": "--parallel-max-host {per_host}",
            "timeout": "--max-time {timeout}",
            "connect_timeout": "--connect-timeout {connect_timeout}",
            "tls": "--cacert {ca}",
            "gzip": "--compressed",
            "save": "",
        },
        good=b'"http_code":200',
        prepare=write_curl_config,
        refuses=old_curl,
        at_most=1_000,
    ),
    Contender(
        "wget2",
        "wget2 --version",
        "wget2 --no-config -q -i {list} --tries=1 --max-threads={concurrency}",
        {
            "timeout": "--read-timeout={timeout}",
            # Its --connect-timeout is no flag for us: 1.99.1 waits 135 s for a host that drops every SYN all the same.
            "tls": "--ca-certificate={ca}",
            "gzip": "--compression=gzip",
            "drop": "-O /dev/null",
            "save": "-P {bodies}",
        },
        at_most=1_000,
    ),
    Contender(
        "aria2",
        "aria2c --version",
        "aria2c --no-conf -q -i {list}.aria2 -j {concurrency} -d {bodies} --deferred-input=true --file-allocation=none"
        " --max-tries=1 --summary-interval=0 --http-accept-gzip=true",
        {
            "timeout": "--timeout={timeout:.0f}",
            "connect_timeout": "--connect-timeout={connect_timeout:.0f}",
            "tls": "--ca-certificate={ca}",
            "save": "",
        },
        prepare=write_aria2_list,
        slow=True,
        at_most=SLOW_AT_MOST,
    ),
    Contender(
        "httpx",
        "{python} -c 'import httpx; print(httpx.__version__)'",
        "{python} -m bench.peer_httpx {list} -c {concurrency} -o {rows}",
        LOOP_FLAGS | {"tls": "--cacert {ca}"},
        good=b'"status": 200',
        slow=True,
        at_most=SLOW_AT_MOST,
    ),
    Contender(
        "scrapy",
        "{python} -c 'import scrapy; print(scrapy.__version__)'",
        "{python} -m bench.peer_scrapy {list} -c {concurrency} -o {rows}",
        {"timeout": "--timeout {timeout}", "per_host": "--per-host {per_host}"},
        good=b'"status": 200',
        slow=True,
        at_most=SLOW_AT_MOST,
    ),
)
