"""
When each phase of a hop begins and ends, for --timings: aiohttp's traces, noted on the exchange.

Knows aiohttp's signals; it must not know what the phases mean.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Any

import aiohttp

from fetchall.wire.exchange import Exchange


def phases() -> aiohttp.TraceConfig:
    """Listeners that note the phases; they cost, so they are there only for --timings."""
    config = aiohttp.TraceConfig()

    def noting(note: Callable[[Exchange, float], None]) -> Callable[..., Any]:
        async def listener(session: Any, context: Any, parameters: Any) -> None:
            note(context.trace_request_ctx, monotonic())

        return listener

    config.on_dns_resolvehost_start.append(noting(Exchange.dns_started))
    config.on_dns_resolvehost_end.append(noting(Exchange.dns_ended))
    config.on_connection_create_start.append(noting(Exchange.connect_started))
    config.on_connection_create_end.append(noting(Exchange.connect_ended))
    config.on_request_headers_sent.append(noting(Exchange.sent))
    config.on_request_chunk_sent.append(noting(Exchange.sent))
    return config
