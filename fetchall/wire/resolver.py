"""
How names become addresses: the system's own look-ups, merged, cached and bounded.

Knows names and who waits for them; it must not know which addresses may be dialled, nor what is fetched.

The event loop alone decides who may ask, when and for whom; threads (`lookups.py`) only ask.
"""

from __future__ import annotations

import asyncio
import errno
import functools
import socket
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

from fetchall.options import Clock
from fetchall.wire.lookups import Addresses, Find, Lookup, LoopClock, Outcome, Threads, serve

TTL = 60.0
"""Seconds that an answer is kept, as in curl (CURLOPT_DNS_CACHE_TIMEOUT); failures are not kept."""
NAMES = 10_000
"""Answers that are kept; the one that was not asked for longest goes first."""
PATIENCE = 0.25
"""Seconds after which a look-up no longer counts against the limit: names that hang must not starve the others."""
ASIDE = 512
"""Look-ups under way that don't count; where more hang than that, the next ones count until they end."""

_NUMERIC = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
_Key = tuple[str, int]


class ThreadResolver(AbstractResolver):
    """
    Resolves names for aiohttp's connector, which must leave caching to it (`use_dns_cache=False`).

    `limit` look-ups are under way at a time; one that takes longer than `PATIENCE`, or that all have given up who
    wanted it (a connect timeout), goes on without counting, and whoever asks for that name meanwhile joins it.
    `overrides` are curl's --resolve: addresses for a (host, port), host `*` for any that is not named itself.
    `lookup` stands in for `socket.getaddrinfo`, `clock` for the loop's. For one event loop; close it in the end.
    """

    def __init__(
        self,
        *,
        limit: int,
        overrides: Mapping[tuple[str, int], Sequence[str]] | None = None,
        lookup: Find = socket.getaddrinfo,
        clock: Clock | None = None,
    ) -> None:
        self._limit = limit
        self._overrides = {(host.lower(), port): tuple(found) for (host, port), found in (overrides or {}).items()}
        self._lookup = lookup
        self._clock = clock
        self._threads: Threads | None = None
        self._closed = False
        self._cache: OrderedDict[_Key, tuple[float, Addresses]] = OrderedDict()
        self._pending: dict[_Key, Lookup] = {}
        self._waiting: dict[Lookup, None] = {}
        self._running: dict[Lookup, None] = {}
        """Those that count, in the order in which they began."""
        self._aside: set[Lookup] = set()
        self._timer: Any = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """
        The addresses of a name, in the system's order, with `port` added.

        Raises the system's `socket.gaierror`, whose `errno` tells a name that does not exist (EAI_NONAME, also for
        one that can't be a name) from a failure that may pass.
        """
        addresses = self._overridden(host, port, family) or self._cached((host, family))
        if addresses is None:
            addresses = await self._looked_up((host, family))
        return [_result(host, port, address) for address in addresses]

    async def close(self) -> None:
        """End all threads that don't hang; who still waits gets an `OSError`."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._waiting.clear()
        for lookup in list(self._pending.values()):
            self._finish(lookup, OSError(errno.ECANCELED, "the resolver was closed"))
        if self._threads is not None:
            self._threads.close()

    def _overridden(self, host: str, port: int, family: int) -> Addresses | None:
        if not self._overrides:
            return None
        name = host.lower().removesuffix(".")
        addresses = self._overrides.get((name, port)) or self._overrides.get(("*", port))
        if addresses is None:
            return None
        addresses = tuple(address for address in addresses if family in (socket.AF_UNSPEC, _family(address)))
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "--resolve gives no address of the family asked for")
        return addresses

    def _cached(self, key: _Key) -> Addresses | None:
        entry = self._cache.get(key)
        if entry is None or self._clock is None:
            return None
        if entry[0] <= self._clock.now():
            del self._cache[key]
            return None
        self._cache.move_to_end(key)
        return entry[1]

    async def _looked_up(self, key: _Key) -> Addresses:
        if self._closed:
            raise OSError(errno.ECANCELED, "the resolver is closed")
        loop = asyncio.get_running_loop()
        lookup = self._pending.get(key) or self._submit(key, loop)
        waiter: asyncio.Future[Outcome] = loop.create_future()
        lookup.waiters.add(waiter)
        try:
            outcome = await waiter
        except asyncio.CancelledError:
            lookup.waiters.discard(waiter)
            if not lookup.waiters:
                self._give_up(lookup)
            raise
        if isinstance(outcome, Exception):
            raise outcome.with_traceback(None)
        return outcome

    def _submit(self, key: _Key, loop: asyncio.AbstractEventLoop) -> Lookup:
        if self._threads is None:
            self._clock = self._clock or LoopClock(loop)
            self._threads = Threads(self._clock, functools.partial(serve, self._lookup, loop, self._answered))
        lookup = self._pending[key] = Lookup(key)
        self._waiting[lookup] = None
        self._start_waiting()
        return lookup

    def _start_waiting(self) -> None:
        assert self._threads is not None
        assert self._clock is not None
        while self._waiting and self._has_place(self._clock.now()):
            lookup = next(iter(self._waiting))
            if not self._threads.start(lookup):
                if self._running or self._aside:
                    break  # this process may have no more threads: wait until one of ours is free
                error = socket.gaierror(socket.EAI_AGAIN, "no thread could be started to look the name up")
                asyncio.get_running_loop().call_soon(self._settle, lookup, error)
            del self._waiting[lookup]
            lookup.started = self._clock.now()
            self._running[lookup] = None
        if self._waiting and self._timer is None and len(self._running) >= self._limit and len(self._aside) < ASIDE:
            oldest = next(iter(self._running))
            self._timer = self._clock.call_at(oldest.started + PATIENCE, self._lose_patience)

    def _has_place(self, now: float) -> bool:
        if len(self._running) < self._limit:
            return True
        oldest = next(iter(self._running))
        return now >= oldest.started + PATIENCE and self._set_aside(oldest)

    def _set_aside(self, lookup: Lookup) -> bool:
        if len(self._aside) >= ASIDE:
            return False
        del self._running[lookup]
        self._aside.add(lookup)
        return True

    def _lose_patience(self) -> None:
        self._timer = None
        self._start_waiting()

    def _give_up(self, lookup: Lookup) -> None:
        if lookup in self._waiting:
            del self._waiting[lookup], self._pending[lookup.key]
        elif lookup in self._running and self._set_aside(lookup):
            self._start_waiting()

    def _answered(self, lookup: Lookup, outcome: Outcome) -> None:
        assert self._threads is not None
        self._threads.rest()
        self._settle(lookup, outcome)

    def _settle(self, lookup: Lookup, outcome: Outcome) -> None:
        self._finish(lookup, outcome)
        self._start_waiting()

    def _finish(self, lookup: Lookup, outcome: Outcome) -> None:
        self._running.pop(lookup, None)
        self._aside.discard(lookup)
        self._pending.pop(lookup.key, None)
        if not isinstance(outcome, Exception) and self._clock is not None:
            self._cache[lookup.key] = (self._clock.now() + TTL, outcome)
            if len(self._cache) > NAMES:
                self._cache.popitem(last=False)
        for waiter in lookup.waiters:
            if not waiter.done():
                waiter.set_result(outcome)


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _result(host: str, port: int, address: str) -> ResolveResult:
    return {
        "hostname": host,
        "host": address,
        "port": port,
        "family": _family(address),
        "proto": socket.IPPROTO_TCP,
        "flags": _NUMERIC,
    }
