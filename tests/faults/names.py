"""
A resolver of the tests' own: what each name's look-ups give, in turn. No name ever reaches the system's.

Knows names and addresses; knows nothing of servers.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import Counter
from collections.abc import Mapping, Sequence

from aiohttp.abc import AbstractResolver, ResolveResult

Step = tuple[str, ...] | int | None
"""What one look-up gives: addresses, an error of getaddrinfo (`socket.EAI_AGAIN`), or, None, nothing ever."""


class Names(AbstractResolver):
    """Look-ups of a name give its steps in turn, the last again and again; other names do not exist."""

    def __init__(self, table: Mapping[str, Sequence[Step]]) -> None:
        self._table = table
        self.asked: Counter[str] = Counter()
        self.closed = False

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """See `AbstractResolver`."""
        steps = self._table.get(host, [socket.EAI_NONAME])
        step = steps[min(self.asked[host], len(steps) - 1)]
        self.asked[host] += 1
        if step is None:
            await asyncio.Event().wait()
        if isinstance(step, int):
            raise socket.gaierror(step, "as the test asked")
        found = [_result(host, port, address) for address in step or ()]
        return [result for result in found if family in (socket.AF_UNSPEC, result["family"])]

    async def close(self) -> None:
        """See `AbstractResolver`."""
        self.closed = True


def _result(host: str, port: int, address: str) -> ResolveResult:
    version = ipaddress.ip_address(address).version
    return ResolveResult(
        hostname=host,
        host=address,
        port=port,
        family=socket.AF_INET6 if version == 6 else socket.AF_INET,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST,
    )
