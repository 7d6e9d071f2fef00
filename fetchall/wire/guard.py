"""
Which addresses may be dialled with --block-private: the public ones, decided at the moment of connecting.

Knows addresses and the registries that say what they are for; it must not know names, URLs or who asked.

Refused is every block of IANA's special-purpose registries for IPv4 and IPv6, also those that are globally reachable:
no site lives there. An IPv6 address that leads to an IPv4 address is judged by that one. What an address does not show
is not refused: an operator's own NAT64 prefix, this machine's public addresses, and whatever lies behind a proxy.
"""

from __future__ import annotations

import errno
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

_IPV4 = {
    "0.0.0.0/32": "unspecified (RFC 1122)",
    "0.0.0.0/8": "this network (RFC 791)",
    "10.0.0.0/8": "private (RFC 1918)",
    "100.64.0.0/10": "carrier-grade NAT (RFC 6598)",
    "127.0.0.0/8": "loopback (RFC 1122)",
    "168.63.129.16/32": "Azure's services to its own machines",  # public by number, yet reachable only from inside
    "169.254.0.0/16": "link-local (RFC 3927)",
    "172.16.0.0/12": "private (RFC 1918)",
    "192.0.0.0/24": "IETF protocol assignments (RFC 6890)",
    "192.0.2.0/24": "documentation (RFC 5737)",
    "192.31.196.0/24": "AS112 (RFC 7535)",
    "192.52.193.0/24": "multicast tunnelling (RFC 7450)",
    "192.88.99.0/24": "6to4 relay (RFC 7526)",
    "192.168.0.0/16": "private (RFC 1918)",
    "192.175.48.0/24": "AS112 (RFC 7534)",
    "198.18.0.0/15": "benchmarking (RFC 2544)",
    "198.51.100.0/24": "documentation (RFC 5737)",
    "203.0.113.0/24": "documentation (RFC 5737)",
    "224.0.0.0/4": "multicast (RFC 5771)",
    "255.255.255.255/32": "broadcast (RFC 919)",
    "240.0.0.0/4": "reserved (RFC 1112)",
}
"""The first block that fits counts; what fits none is public."""

_IPV6 = {
    "::/128": "unspecified (RFC 4291)",
    "::1/128": "loopback (RFC 4291)",
    "::ffff:0:0/96": "IPv4-mapped (RFC 4291)",
    "::/96": "IPv4-compatible (RFC 4291)",
    "64:ff9b::/96": "NAT64 (RFC 6052)",
    "64:ff9b:1::/48": "NAT64 for local use (RFC 8215)",
    "100::/64": "discard-only (RFC 6666)",
    "100:0:0:1::/64": "dummy prefix (RFC 9780)",
    "2001::/32": "Teredo (RFC 4380)",
    "2001:2::/48": "benchmarking (RFC 5180)",
    "2001:10::/28": "ORCHID (RFC 4843)",
    "2001:20::/28": "ORCHIDv2 (RFC 7343)",
    "2001:30::/28": "remote identification of drones (RFC 9374)",
    "2001::/23": "IETF protocol assignments (RFC 2928)",
    "2001:db8::/32": "documentation (RFC 3849)",
    "2002::/16": "6to4 (RFC 3056)",
    "2620:4f:8000::/48": "AS112 (RFC 7534)",
    "3fff::/20": "documentation (RFC 9637)",
    "2000::/3": None,
    "5f00::/16": "segment routing (RFC 9602)",
    "fc00::/7": "unique local (RFC 4193)",
    "fe80::/10": "link-local (RFC 4291)",
    "fec0::/10": "site-local (RFC 3879)",
    "ff00::/8": "multicast (RFC 4291)",
    "::/0": "reserved (RFC 4291)",
}
"""The first block that fits counts; of the whole space, IANA gives out public addresses from 2000::/3 alone."""

_INNER = {"::ffff:0:0/96": 0, "::/96": 0, "64:ff9b::/96": 0, "2002::/16": 80}
"""Blocks whose addresses hold an IPv4 address, and how many bits stand behind it."""
_LEADS_ON = {"::ffff:0:0/96", "64:ff9b::/96"}
"""Those of them that are as public as the address within: the system, or a gateway for everybody, dials that one."""

_BLOCKS: dict[int, list[tuple[IPv4Network | IPv6Network, str, str | None]]] = {
    4: [(ip_network(block), block, rule) for block, rule in _IPV4.items()],
    6: [(ip_network(block), block, rule) for block, rule in _IPV6.items()],
}


class BlockedAddress(OSError):
    """An address that may not be dialled; nothing was sent to it."""

    def __init__(self, address: str, rule: str) -> None:
        """Say which address, and by which rule."""
        super().__init__(errno.EACCES, f"{address} is refused by --block-private: {rule}")
        self.address = address
        self.rule = rule

    def __str__(self) -> str:
        return str(self.strerror)


def refusal(address: str) -> str | None:
    """The rule by which an address may not be dialled, in words; None: it is public."""
    try:
        ip = ip_address(address)
    except ValueError:
        return "not an address"
    rule = _rule(ip)
    if rule is None and isinstance(ip, IPv6Address) and ip.scope_id is not None:
        return "an address of one link (RFC 4007)"
    return rule


def check_public(address: str) -> None:
    """Raise `BlockedAddress` for an address that may not be dialled."""
    rule = refusal(address)
    if rule is not None:
        raise BlockedAddress(address, rule)


def _rule(ip: IPv4Address | IPv6Address) -> str | None:
    for network, block, rule in _BLOCKS[ip.version]:
        if ip not in network:
            continue
        if block not in _INNER:
            return rule
        inner = IPv4Address(int(ip) >> _INNER[block] & 0xFFFFFFFF)
        within = _rule(inner)
        if within is not None:
            return f"{rule} of {inner}: {within}"
        return None if block in _LEADS_ON else rule
    return None
