"""Which URLs go together."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall.dealing import share_of, site_of
from fetchall.urls import Target, parse

TOGETHER = [
    (
        "http://example.com/a",
        "https://example.com:8443/b",
        "HTTP://EXAMPLE.com",
        "http://www.example.com/",
        "http://example.com./",
    ),
    ("http://user:secret@shop.example/?q", "https://shop.example#part", "http:\\\\shop.example\\x"),
    ("http://127.0.0.1:80/", "http://0x7f.1/", "http://2130706433:8080/"),
    ("http://[::1]/", "https://[0:0::1]:8443/x"),
    ("http://bücher.example/", "http://xn--bcher-kva.example/", "http://BÜCHER.example:81/"),
]


@pytest.mark.parametrize("urls", TOGETHER, ids=lambda urls: urls[0])
def test_every_spelling_of_a_host_is_one_site_whatever_scheme_and_port(urls: tuple[str, ...]) -> None:
    assert len({site_of(url) for url in urls}) == 1
    assert site_of(urls[0])


def test_other_hosts_are_other_sites() -> None:
    assert len({site_of(urls[0]) for urls in TOGETHER}) == len(TOGETHER)
    assert site_of("http://a.example/") != site_of("http://b.example/")


@pytest.mark.parametrize("line", ["", "example.com", "ftp://example.com/", "http://", "http://a..b/", "mailto:a@b"])
def test_what_is_no_url_belongs_to_no_site(line: str) -> None:
    assert site_of(line) == ""


@given(
    st.text("abcxyz019.-%:@/?#[]WÜß ", max_size=30),
    st.sampled_from(["http://", "https://", "HTTP://", "http:/", "//", " http://"]),
)
def test_a_site_is_its_targets_host(rest: str, start: str) -> None:
    target = parse(start + rest)
    if isinstance(target, Target):
        assert site_of(start + rest) == target.origin.host.removesuffix(".").removeprefix("www.")


def test_a_share_is_the_same_in_every_version_and_sites_spread_over_all() -> None:
    assert [share_of(site, 7) for site in ("example.com", "127.0.0.1", "")] == [3, 0, 0]
    counts = [0] * 8
    for number in range(8_000):
        counts[share_of(f"host{number}.example", 8)] += 1
    assert min(counts) > 800
