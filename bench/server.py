"""
The benchmark's server as a process of its own, so that its cost is not the client's.

Knows addresses, TLS and dead hosts; what it answers is `site.py`'s. Run as `python -m bench.server`: it prints one line
of JSON that says where it listens (`Place`), and ends when its stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import socket
import ssl
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.site import Connection, Site

ROOT = Path(__file__).parent.parent
QUEUE = 4096
"""Connections that may wait to be accepted: what Linux allows."""
TRIES = 20
"""Ports to try until one is free on all addresses."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the server listens; `dead` are addresses on the plain port that never finish a connection."""

    port: int
    tls_port: int | None
    hosts: list[str]
    dead: list[str]

    def ask(self, what: str) -> dict[str, Any]:
        """Its counts: `_stats`, or `_reset` to begin anew."""
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"http://{self.hosts[0]}:{self.port}/{what}", timeout=30
        ) as response:
            return dict(json.load(response))


@contextmanager
def running(hosts: int = 1, dead: int = 0, tls_folder: Path | None = None) -> Iterator[Place]:
    """A server in a process of its own for as long as the block lasts; its CA goes to `tls_folder`/ca.pem."""
    command = [sys.executable, "-m", "bench.server", "--hosts", str(hosts), "--dead", str(dead)]
    if tls_folder is not None:
        command += ["--tls-folder", str(tls_folder)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            raise RuntimeError("the benchmark's server did not start: its message is above")
        try:
            yield Place(**json.loads(line))
        finally:
            process.stdin.close()


def main() -> None:
    """Serve until stdin ends."""
    parser = argparse.ArgumentParser(prog="python -m bench.server", description="The benchmark's server.")
    parser.add_argument("--hosts", type=int, default=1, help="addresses to serve on: 127.0.0.1, 127.0.0.2, …")
    parser.add_argument("--dead", type=int, default=0, help="addresses 127.0.128.x where no connection is ever made")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--tls-folder", type=Path, help="serve TLS as well; its CA is written here as ca.pem")
    options = parser.parse_args()
    allow_many_files()
    run(serve(options.hosts, options.dead, options.port, options.tls_folder))


def run(main: Any) -> Any:
    """Run on uvloop where it is installed."""
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    return uvloop.run(main)


def allow_many_files() -> None:
    """Raise the soft limit of open files to the hard one: ten thousand held requests are ten thousand sockets."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def serve(hosts: int, dead: int, port: int, tls_folder: Path | None) -> None:
    """Listen on all addresses, say where, and stay until stdin ends."""
    loop = asyncio.get_running_loop()
    site = Site(loop)
    addresses = [address(number) for number in range(1, hosts + 1)]
    graves = [address(number, 128) for number in range(1, dead + 1)]
    listeners, burials = listen(addresses, graves, port)
    # Named here too: create_server listens again, by itself with a queue of 100, and then SYNs are dropped.
    servers = [await loop.create_server(lambda: Connection(site), sock=s, backlog=QUEUE) for s in listeners]
    tls_port = None
    if tls_folder is not None:
        context = certify(addresses, tls_folder)
        secure, _ = listen(addresses, [], 0)
        servers += [
            await loop.create_server(lambda: Connection(site), sock=s, ssl=context, backlog=QUEUE) for s in secure
        ]
        tls_port = secure[0].getsockname()[1]
    place = Place(listeners[0].getsockname()[1], tls_port, addresses, graves)
    print(json.dumps(asdict(place)), flush=True)
    await loop.run_in_executor(None, sys.stdin.buffer.read)
    for listener in burials:
        listener.close()
    # Closing thousands of idle connections in order would only keep the benchmark waiting.
    os._exit(0)


def address(number: int, net: int = 0) -> str:
    """The `number`th loopback address, from 127.0.`net`.1 on; 250 in each /24."""
    return f"127.0.{net + (number - 1) // 250}.{(number - 1) % 250 + 1}"


def listen(addresses: list[str], graves: list[str], port: int) -> tuple[list[socket.socket], list[socket.socket]]:
    """One port on all addresses: those that answer, and those that are dead (sockets to be kept open)."""
    for _ in range(TRIES):
        sockets: list[socket.socket] = []
        try:
            for host in addresses:
                sockets.append(listener(host, port if not sockets else sockets[0].getsockname()[1], QUEUE))
            chosen = sockets[0].getsockname()[1]
            buried = [sock for host in graves for sock in bury(host, chosen)]
        except OSError:
            for sock in sockets:
                sock.close()
            if port:
                raise
        else:
            return sockets, buried
    raise OSError(f"no port is free on all of {len(addresses) + len(graves)} addresses")


def listener(host: str, port: int, backlog: int) -> socket.socket:
    """A listening socket."""
    sock = socket.socket()
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    sock.setblocking(False)
    return sock


def bury(host: str, port: int) -> tuple[socket.socket, ...]:
    """
    Make a host that drops every SYN: nobody accepts from its queue of one, and that one is taken.

    Linux answers no SYN while a listener's queue is full, unless tcp_abort_on_overflow is set (by default it is not).
    """
    grave = listener(host, port, 0)
    first = socket.create_connection((host, port), timeout=5)
    return grave, first


def certify(addresses: list[str], folder: Path) -> ssl.SSLContext:
    """A server's context with one certificate for all addresses; the CA's is written to `folder`/ca.pem."""
    import trustme

    authority = trustme.CA()
    folder.mkdir(parents=True, exist_ok=True)
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*addresses).configure_cert(context)
    return context


if __name__ == "__main__":
    main()
