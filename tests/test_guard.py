from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address

import aiohttp
import pytest
from aiohttp.abc import AbstractResolver, ResolveResult
from hypothesis import given
from hypothesis import strategies as st

from fetchall.wire.connection import guarded
from fetchall.wire.exchange import EXCHANGE, Exchange
from fetchall.wire.guard import BlockedAddress, check_public, refusal

PUBLIC = (
    "1.1.1.1 8.8.8.8 9.255.255.255 11.0.0.0 93.184.216.34 100.63.255.255 100.128.0.0 126.255.255.255 128.0.0.0 "
    "168.63.129.15 169.253.255.255 169.255.0.0 172.15.255.255 172.32.0.0 191.255.255.255 192.0.1.0 192.0.3.0 "
    "192.88.98.255 192.167.255.255 192.169.0.0 198.17.255.255 198.20.0.0 198.51.99.255 203.0.114.0 1.0.0.0 "
    "2001:200:: 2001:4860:4860::8888 2001:db7:ffff::1 2001:db9:: 2003:: 2606:4700:4700::1111 2620:4f:7fff::1 "
    "223.255.255.255 2a00:1450::1 3fff:1000:: 3ffe:: 2000:: ::ffff:8.8.8.8 ::ffff:808:808 "
    "64:ff9b::8.8.8.8 64:FF9B::808:808"
)

REFUSED = {
    "unspecified": "0.0.0.0 :: 0:0:0:0:0:0:0:0 ::ffff:0.0.0.0 64:ff9b::",
    "this network": "0.0.0.1 0.255.255.255 ::ffff:0.1.2.3",
    "private (RFC 1918)": "10.0.0.0 10.255.255.255 172.16.0.0 172.31.255.255 192.168.0.0 192.168.255.255 "
    "::ffff:10.0.0.1 ::ffff:c0a8:1 64:ff9b::10.0.0.1 64:ff9b::c0a8:101 2002:a00:1:: 2002:c0a8:101::1 ::10.0.0.1",
    "carrier-grade NAT": "100.64.0.0 100.100.100.200 100.127.255.255 64:ff9b::100.64.0.1",
    "loopback": "127.0.0.0 127.0.0.1 127.255.255.255 ::1 ::ffff:127.0.0.1 0:0:0:0:0:ffff:7f00:1 64:ff9b::7f00:1 "
    "2002:7f00:1:: ::127.0.0.1",
    "Azure": "168.63.129.16 ::ffff:168.63.129.16",
    "link-local": "169.254.0.0 169.254.169.254 169.254.255.255 fe80:: fe80::1 febf:ffff::1 fe80::1%eth0 fe80::1%2 "
    "::ffff:169.254.169.254 64:ff9b::a9fe:a9fe",
    "IETF protocol assignments": "192.0.0.0 192.0.0.8 192.0.0.9 192.0.0.10 192.0.0.170 192.0.0.255 2001:1::1 "
    "2001:3:: 2001:4:112:: 2001:1ff:ffff::1",
    "documentation": "192.0.2.0 192.0.2.255 198.51.100.1 203.0.113.255 2001:db8:: 2001:db8:ffff::1 3fff:: 3fff:fff::1",
    "AS112": "192.31.196.1 192.175.48.255 2620:4f:8000::1",
    "multicast tunnelling": "192.52.193.1",
    "6to4 relay": "192.88.99.0 192.88.99.255",
    "benchmarking": "198.18.0.0 198.19.255.255 2001:2::1 2001:2:0:ffff::",
    "multicast (": "224.0.0.0 224.0.0.251 239.255.255.255 ff00:: ff02::1 ff0e::1 ffff::ffff",
    "reserved": "240.0.0.0 255.255.255.254 4000:: 8000::1 e000:: fe00:: ::ffff:0:8.8.8.8 100:1:: 64:ff9a:: 64:ff9b:2::",
    "broadcast": "255.255.255.255 ::ffff:255.255.255.255",
    "IPv4-compatible": "::8.8.8.8 ::2 ::ffff",
    "NAT64 for local use": "64:ff9b:1:: 64:ff9b:1:ffff:ffff:ffff:8.8.8.8",
    "discard-only": "100:: 100::ffff:ffff:ffff:ffff",
    "dummy prefix": "100:0:0:1::1",
    "Teredo": "2001:: 2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "ORCHID (": "2001:10:: 2001:1f:ffff::1",
    "ORCHIDv2": "2001:20:: 2001:2f:ffff::1",
    "drones": "2001:30:: 2001:3f:ffff::1",
    "6to4 (": "2002:: 2002:808:808::1 2002:ffff:ffff::1",
    "segment routing": "5f00:: 5f00:ffff::1",
    "unique local": "fc00:: fd00:ec2::254 fdff:ffff::1",
    "site-local": "fec0:: feff:ffff::1",
    "one link": "2606:4700::1%eth0 2606:4700::1%1 ::ffff:8.8.8.8%1",
    "not an address": "localhost 127.1 0x7f.0.0.1 0177.0.0.1 2130706433 127.0.0.01 1.1.1.1. 1.1.1 1.1.1.1/32 [::1] "
    "::1%% :::1 1.1.1.256 ①②⑦.0.0.1 8.8.8.8%eth0 8.8.8.8:80 -1",
}
TABLE = [(rule, address) for rule, addresses in REFUSED.items() for address in addresses.split()]


@pytest.mark.parametrize("address", PUBLIC.split())
def test_a_public_address_may_be_dialled(address: str) -> None:
    assert refusal(address) is None


@pytest.mark.parametrize(("rule", "address"), TABLE)
def test_an_address_that_is_not_public_is_refused_by_its_rule(rule: str, address: str) -> None:
    assert rule in (refusal(address) or "public")


@given(st.one_of(st.text(), st.text("0123456789abcdefx.:%[]/ \x00", max_size=40)))
def test_no_string_raises_and_none_passes_that_is_no_address(text: str) -> None:
    if refusal(text) is None:
        ip_address(text)


PLAIN = [address for _, address in TABLE if ":" not in address and refusal(address) != "not an address"]
EDGES = ["0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "224.0.0.0/3"]
ipv4 = st.one_of(
    st.integers(0, 2**32 - 1).map(IPv4Address),
    st.sampled_from(PLAIN).map(IPv4Address),
    st.sampled_from(EDGES).flatmap(lambda block: st.ip_addresses(v=4, network=block)),
)


@given(ipv4)
def test_an_ipv6_address_that_leads_to_an_ipv4_address_is_as_public_as_that(inner: IPv4Address) -> None:
    number, rule = int(inner), refusal(str(inner))
    for prefix in ("::ffff:0:0", "64:ff9b::"):
        outer = str(IPv6Address(int(IPv6Address(prefix)) + number))
        if rule is None:
            assert refusal(outer) is None
        else:
            assert f"of {inner}: {rule}" in (refusal(outer) or "public")


@given(ipv4, st.integers(0, 2**80 - 1))
def test_6to4_and_ipv4_compatible_addresses_are_refused_whatever_is_within(inner: IPv4Address, rest: int) -> None:
    number, rule = int(inner), refusal(str(inner))
    for outer in (IPv6Address(0x2002 << 112 | number << 80 | rest), IPv6Address(number)):
        said = refusal(str(outer)) or "public"
        assert said != "public"
        assert rule is None or rule in said or number < 2


@given(st.one_of(ipv4, st.ip_addresses(v=6), st.ip_addresses(v=6, network="2000::/3")))
def test_what_passes_is_public_by_python_s_own_tables_as_well(address: IPv4Address | IPv6Address) -> None:
    leads_on = any(address in IPv6Network(block) for block in ("::ffff:0:0/96", "64:ff9b::/96"))
    if refusal(str(address)) is None and not leads_on:
        assert address.is_global
        assert not address.is_multicast


def info(address: str, port: int = 80) -> tuple[int, int, int, str, tuple[object, ...]]:
    if ":" in address:
        return socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port, 0, 0)
    return socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port)


def a_hop() -> Exchange:
    return Exchange(None, 0.0, 0.0)  # type: ignore[arg-type]


def test_a_refused_address_says_address_and_rule() -> None:
    with pytest.raises(BlockedAddress) as caught:
        check_public("169.254.169.254")
    assert caught.value.address == "169.254.169.254"
    assert caught.value.rule == "link-local (RFC 3927)"
    assert str(caught.value) == "169.254.169.254 is refused by --block-private: link-local (RFC 3927)"


def test_a_refused_address_gets_no_socket_and_is_noted() -> None:
    exchange = a_hop()
    EXCHANGE.set(exchange)
    with pytest.raises(BlockedAddress):
        guarded(info("10.0.0.1"))
    assert exchange.blocked is not None
    assert exchange.blocked.address == "10.0.0.1"


def test_a_public_address_gets_a_socket_of_its_kind() -> None:
    for address, family in (("8.8.8.8", socket.AF_INET), ("2606:4700::1111", socket.AF_INET6)):
        with guarded(info(address)) as made:
            assert (made.family, made.type) == (family, socket.SOCK_STREAM)


def test_a_unix_socket_s_path_is_no_address() -> None:
    EXCHANGE.set(a_hop())
    with pytest.raises(BlockedAddress, match="not an address"):
        guarded((socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/run/docker.sock"))  # type: ignore[arg-type]


class Names(AbstractResolver):
    """Gives every name the addresses that it was made with; like a name whose answer changes, it can't be trusted."""

    def __init__(self, *addresses: str) -> None:
        self._addresses = addresses

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=info(address)[0], proto=0, flags=0)
            for address in self._addresses
        ]

    async def close(self) -> None:
        pass


class Canary:
    """A server on loopback that must never be called."""

    def __init__(self) -> None:
        self.calls = 0

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        writer.close()

    async def start(self) -> int:
        self.server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port: int = self.server.sockets[0].getsockname()[1]
        return port


@pytest.fixture
async def canary() -> AsyncIterator[tuple[Canary, int]]:
    bird = Canary()
    port = await bird.start()
    yield bird, port
    await asyncio.sleep(0)
    bird.server.close()


async def refused_over(url: str, resolver: AbstractResolver) -> BlockedAddress:
    connector = aiohttp.TCPConnector(
        resolver=resolver, use_dns_cache=False, socket_factory=guarded, happy_eyeballs_delay=0.001
    )
    async with aiohttp.ClientSession(connector=connector) as session:
        exchange = a_hop()
        EXCHANGE.set(exchange)
        with pytest.raises(aiohttp.ClientConnectorError):
            await session.get(url)
        assert exchange.blocked is not None
        return exchange.blocked


@pytest.mark.parametrize("host", ["127.0.0.1", "[::ffff:127.0.0.1]", "[::1]", "[::ffff:7f00:1]", "[64:ff9b::7f00:1]"])
async def test_a_literal_is_refused_by_aiohttp_s_connector(host: str, canary: tuple[Canary, int]) -> None:
    bird, port = canary
    refused = await refused_over(f"http://{host}:{port}/", Names())
    assert ip_address(refused.address) == ip_address(host.strip("[]"))
    assert bird.calls == 0


async def test_a_name_is_refused_by_what_it_resolves_to(canary: tuple[Canary, int]) -> None:
    bird, port = canary
    refused = await refused_over(f"http://public.example:{port}/", Names("127.0.0.1"))
    assert "loopback" in refused.rule
    assert bird.calls == 0


async def test_a_refusal_is_known_where_aiohttp_joins_several_into_one_plain_error(canary: tuple[Canary, int]) -> None:
    bird, port = canary
    refused = await refused_over(f"http://both.example:{port}/", Names("127.0.0.1", "::1", "::ffff:127.0.0.1"))
    assert refused.address in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    assert bird.calls == 0


async def test_refusals_of_one_task_are_not_seen_by_another() -> None:
    async def dial(address: str) -> Exchange:
        exchange = a_hop()
        EXCHANGE.set(exchange)
        await asyncio.sleep(0)
        if refusal(address) is not None:
            with pytest.raises(BlockedAddress):
                guarded(info(address))
        return exchange

    private, public = await asyncio.gather(dial("10.0.0.1"), dial("8.8.8.8"))
    assert private.blocked is not None
    assert public.blocked is None
