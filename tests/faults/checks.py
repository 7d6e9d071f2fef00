"""
What a case asks beyond its plain columns: each function makes a check, which gives what is wrong in words, or None.

Knows what a walk holds; knows no particular case.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from .case import Check
from .hold import Walk
from .seen import CREDENTIALS


def both(*checks: Check) -> Check:
    """All of these."""

    def check(walk: Walk) -> str | None:
        return next(filter(None, (each(walk) for each in checks)), None)

    return check


def connections(count: int) -> Check:
    """The server saw so many connections."""

    def check(walk: Walk) -> str | None:
        seen = walk.server.seen.connections
        return None if seen == count else f"{seen} connections, not {count}"

    return check


def connections_of(*numbers: int) -> Check:
    """Which connection each request came on, by its order of first use: (1, 1, 2) is one reused, then a new one."""

    def check(walk: Walk) -> str | None:
        used: dict[int, int] = {}
        found = tuple(used.setdefault(request.connection, len(used) + 1) for request in walk.server.seen.requests)
        return None if found == numbers else f"requests came on connections {found}, not {numbers}"

    return check


def took_at_most(path: str, count: int) -> Check:
    """Of what the server sent for a path, the client took about this much at most."""

    def check(walk: Walk) -> str | None:
        sent = max((request.sent for request in walk.server.seen.to(path)), default=0)
        return None if sent <= count else f"{sent:,} bytes of {path} were taken, more than {count:,}"

    return check


def no_secrets_but_at(*addresses: str) -> Check:
    """Credentials arrived at these addresses, and at no other."""

    def check(walk: Walk) -> str | None:
        wanted = {walk.server.text(address) for address in addresses}
        arrived = {credential.address for credential in walk.server.seen.credentials}
        if arrived == wanted:
            return None
        return f"credentials arrived at {sorted(arrived)}, not {sorted(wanted)}: {walk.server.seen.credentials}"

    return check


def no_body_at(address: str) -> Check:
    """No request brought a body there."""

    def check(walk: Walk) -> str | None:
        where = walk.server.text(address)
        bodies = [request.body for request in walk.server.seen.requests if request.address == where and request.body]
        return f"a body arrived at {where}: {bodies}" if bodies else None

    return check


def asked(name: str, count: int) -> Check:
    """The resolver was asked so often for a name."""

    def check(walk: Walk) -> str | None:
        times = walk.names.asked[name]
        return None if times == count else f"{name} was looked up {times} times, not {count}"

    return check


def sooner_than(seconds: float) -> Check:
    """The row's own time is below this."""

    def check(walk: Walk) -> str | None:
        elapsed = walk.result.elapsed or 0.0
        return None if elapsed < seconds else f"elapsed is {elapsed:.3f} s, not below {seconds}"

    return check


def later_than(seconds: float) -> Check:
    """The row's own time is at least this."""

    def check(walk: Walk) -> str | None:
        elapsed = walk.result.elapsed or 0.0
        return None if elapsed >= seconds else f"elapsed is {elapsed:.3f} s, less than {seconds}"

    return check


def chain(length: int) -> Check:
    """The row keeps a chain of so many hops, each with its status."""

    def check(walk: Walk) -> str | None:
        hops = walk.result.history or ()
        if len(hops) == length and all(300 <= hop.status < 400 for hop in hops):
            return None
        return f"the chain has {len(hops)} hops, not {length}: {hops}"

    return check


def echoed(**expected: object) -> Check:
    """What `/echo` says it was asked."""

    def check(walk: Walk) -> str | None:
        said: dict[str, Any] = json.loads(walk.result.body or b"{}")
        wrong = {name: said.get(name) for name, value in expected.items() if said.get(name) != value}
        return f"the server was asked {wrong}, not {expected}" if wrong else None

    return check


def header_absent(name: str) -> Check:
    """The row does not have this header."""

    def check(walk: Walk) -> str | None:
        return f"the row has the header {name}" if name in (walk.result.headers or {}) else None

    return check


def content_type(value: str | None) -> Check:
    """The row's content type, as sent."""

    def check(walk: Walk) -> str | None:
        found = walk.result.content_type
        return None if found == value else f"content_type is {found!r}, not {value!r}"

    return check


def http_version(value: str) -> Check:
    """The row's version."""

    def check(walk: Walk) -> str | None:
        return None if walk.result.http_version == value else f"http_version is {walk.result.http_version!r}"

    return check


def sent_header(name: str, *values: str) -> Check:
    """Values of a header in the last request."""

    def check(walk: Walk) -> str | None:
        found = walk.server.seen.requests[-1].values(name) if walk.server.seen.requests else []
        wanted = [walk.server.text(value) for value in values]
        return None if found == wanted else f"{name} was sent as {found}, not {wanted}"

    return check


def statuses(**counts: int) -> Check:
    """How many of all rows, others included, ended how: `s200=5, read_timeout=2`."""

    def check(walk: Walk) -> str | None:
        found = Counter(
            str(result.error_type) if result.error_type else f"s{result.status}"
            for result in (*walk.results, *walk.others)
        )
        return None if found == counts else f"rows ended as {dict(found)}, not {counts}"

    return check


def row_at_most(factor: float) -> Check:
    """The row is no longer than so many times its URL, and 1 kB."""

    def check(walk: Walk) -> str | None:
        from fetchall.rows import Columns, Row

        line = len(Row(walk.result, Columns()).json)
        limit = factor * len(walk.result.request.url) + 1000
        return None if line <= limit else f"the row has {line:,} bytes, more than {limit:,.0f}"

    return check


def secrets_on(*carried: bool) -> Check:
    """Which requests, in their order, carried a credential."""

    def check(walk: Walk) -> str | None:
        requests = walk.server.seen.requests
        found = tuple(any(name.lower() in CREDENTIALS for name, _ in request.headers) for request in requests)
        if found == carried:
            return None
        return f"secrets were carried on {found}, not {carried}: {[request.address for request in requests]}"

    return check


def body_lacks(word: bytes) -> Check:
    """The body does not have these bytes, and is not empty."""

    def check(walk: Walk) -> str | None:
        body = walk.result.body or b""
        return f"the body is {body[:200]!r}" if word in body or not body else None

    return check


def wire_size_between(low: int, high: int) -> Check:
    """What came so far is counted."""

    def check(walk: Walk) -> str | None:
        size = walk.result.wire_size
        return None if size is not None and low <= size <= high else f"wire_size is {size}, not {low} to {high}"

    return check


def others_done_within(seconds: float) -> Check:
    """The last of the other URLs was answered so soon after the first request."""

    def check(walk: Walk) -> str | None:
        slow = walk.case.url.partition("?")[0]
        requests = walk.server.seen.requests
        ends = [request.ended or float("inf") for request in requests if request.path != slow]
        took = max(ends) - requests[0].at
        return None if took <= seconds else f"the others took {took:.2f} s, more than {seconds}"

    return check
