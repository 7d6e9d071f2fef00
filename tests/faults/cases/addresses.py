"""Rows 20, 35 and 99 under `--block-private`: what is not public is never dialled, however it is spelled or reached."""

from __future__ import annotations

from fetchall.urls import parse

from ..case import PUBLIC, Case
from ..checks import connections

PRIVATE = (
    "127.0.0.1", "127.1", "127.0.1", "0x7f.1", "0x7f000001", "2130706433", "0177.0.0.1", "017700000001", "127.0.0.2",
    "127.255.255.254", "①②⑦.0.0.1", "127。0。0。1", "\uff11\uff12\uff17.\uff10.\uff10.\uff11", "%31%32%37.0.0.1",
    "127.0.0.1.", "0.0.0.0", "0", "0.1.2.3", "10.0.0.1", "012.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.0.1",
    "192.168.255.255", "0xc0a80001", "3232235521", "169.254.0.1", "169.254.169.254", "0xa9fea9fe", "2852039166",
    "100.64.0.1", "100.127.255.255", "192.0.0.1", "192.0.2.1", "198.18.0.1", "198.19.255.255", "198.51.100.1",
    "203.0.113.1", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255", "[::1]", "[::]", "[0:0:0:0:0:0:0:1]",
    "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:10.0.0.1]", "[::ffff:a9fe:a9fe]", "[::127.0.0.1]", "[fe80::1]",
    "[fc00::1]", "[fd00:ec2::254]", "[fec0::1]", "[ff02::1]", "[64:ff9b::7f00:1]", "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::a00:1]", "[2002:7f00:1::]", "[2002:a9fe:a9fe::1]", "[2001:db8::1]", "[2001::1]", "[100::1]",
    "[5f00::1]", "[3fff::1]",
)  # fmt: skip
"""Spellings of addresses that are not public: loopback, private, link-local, shared, reserved, multicast, and those
that lead to one of them (IPv4-mapped, NAT64, 6to4, Teredo)."""

_ADDRESSES = tuple(dict.fromkeys(parse(f"http://{spelling}/").origin.host for spelling in PRIVATE))  # type: ignore[union-attr]
"""The addresses that they come to, which a name may have."""

_START = f"http://{PUBLIC}:{{http}}"
_BLOCK = {"block_private": True}


def _bare(spelling: str) -> str:
    return spelling.strip("[]")


_DIRECT = (
    *(
        Case(row=20, name=f"blocked-{spelling}", url=f"http://{spelling}:{{http}}/echo", status=None, attempts=1,
             error_type="blocked_address", requests=0, options={"retries": 2, **_BLOCK}, fast=True,
             check=connections(0))
        for spelling in PRIVATE
    ),
    *(
        Case(row=35, name=f"name-to-{_bare(address)}", url="http://one.test:{http}/echo", status=None, requests=0,
             error_type="blocked_address", options=_BLOCK, names={"one.test": [(address,)]}, check=connections(0))
        for address in (
            "127.0.0.1", "10.0.0.1", "169.254.169.254", "::1", "::ffff:127.0.0.1", "fd00::1", "64:ff9b::a00:1",
        )
    ),
    Case(row=35, name="overridden", url="http://one.test:{http}/echo", status=None, requests=0, names=None,
         error_type="blocked_address", options={"resolve": ("one.test:{http}:127.0.0.1",), **_BLOCK}),
    Case(row=36, name="localhost-blocked", url="http://localhost:{http}/echo", status=None, requests=0, names=None,
         error_type="blocked_address", options=_BLOCK),
    Case(row=36, name="localhost-dot-blocked", url="http://localhost.:{http}/echo", status=None, requests=0,
         error_type="blocked_address", options=_BLOCK, names={"localhost.": [("127.0.0.1",)]}),
)  # fmt: skip

_IN_A_NAMESPACE = (
    Case(row=99, name="public", url=f"{_START}/echo", options=_BLOCK, apart=True, requests=1,
         why="what is public is fetched: so the others fail for what they are"),
    *(
        Case(row=99, name=f"redirect-to-{spelling}", url=f"{_START}/redirect-host?to=http://{spelling}:{{http}}/echo",
             status=302, error_type="blocked_address", options=_BLOCK, apart=True, requests=1)
        for spelling in PRIVATE
    ),
    Case(row=99, name="redirect-to-name", url=f"{_START}/redirect-host?to=http://one.test:{{http}}/echo", status=302,
         error_type="blocked_address", options=_BLOCK, apart=True, requests=1, names={"one.test": [("127.0.0.1",)]}),
    Case(row=35, name="mixed-addresses", url="http://two.test:{http}/echo", options=_BLOCK, apart=True,
         names={"two.test": [("127.0.0.1", PUBLIC)]}, why="the public one of two is dialled, the other never"),
    Case(row=35, name="answer-changes", url="http://flip.test:{http}/echo", status=None, error_type="blocked_address",
         options=_BLOCK, apart=True, before=("http://flip.test:{http}/http10",), requests=1,
         names={"flip.test": [(PUBLIC,), ("127.0.0.1",)]}, why="each connection is judged by the address it goes to"),
    *(
        Case(row=35, name=f"answer-changes-to-{address}", url="http://flip.test:{http}/echo", status=None, apart=True,
             error_type="blocked_address", options=_BLOCK, before=("http://flip.test:{http}/http10",), requests=1,
             names={"flip.test": [(PUBLIC,), (address,)]})
        for address in _ADDRESSES
    ),
)  # fmt: skip

CASES = (*_DIRECT, *_IN_A_NAMESPACE)
