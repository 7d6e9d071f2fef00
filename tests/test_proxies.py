"""Which proxy a URL takes. The tables marked so were measured with curl 7.88.1 on loopback."""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fetchall.errors import InvalidOptions, MissingExtra
from fetchall.records import Origin
from fetchall.wire.proxies import NoProxy, Proxies, Proxy, parse_proxy

SECRET = "s3cr3t"
P = "http://p.example:3128"
HTTP = Origin("http", "h.example", 80)
HTTPS = Origin("https", "h.example", 443)


def url(environ: dict[str, str], origin: Origin = HTTP, proxy: str | None = None, noproxy: str | None = None) -> str:
    found = Proxies(proxy=proxy, noproxy=noproxy, environ=environ).proxy_for(origin)
    return found.url if found else ""


# Where it is looked for (as curl 7.88.1)


@pytest.mark.parametrize(
    ("environ", "for_http", "for_https"),
    [
        ({}, "", ""),
        ({"http_proxy": P}, P, ""),
        ({"HTTP_PROXY": P}, "", ""),
        ({"https_proxy": P}, "", P),
        ({"HTTPS_PROXY": P}, "", P),
        ({"all_proxy": P}, P, P),
        ({"ALL_PROXY": P}, P, P),
        ({"https_proxy": P, "HTTPS_PROXY": "http://q:1", "all_proxy": "http://q:2"}, "http://q:2", P),
        ({"http_proxy": "", "all_proxy": P}, P, P),
        ({"all_proxy": P, "ALL_PROXY": "http://q:1"}, P, P),
        ({"ftp_proxy": P}, "", ""),
    ],
)
def test_the_environments_proxies_are_those_of_curl(environ: dict[str, str], for_http: str, for_https: str) -> None:
    assert url(environ, HTTP) == for_http
    assert url(environ, HTTPS) == for_https


def test_the_option_is_for_all_urls_and_an_empty_one_for_none() -> None:
    environ = {"http_proxy": "http://q:1", "all_proxy": "http://q:2"}
    assert url(environ, HTTP, proxy=P) == url(environ, HTTPS, proxy=P) == P
    assert url(environ, HTTP, proxy="") == url(environ, HTTPS, proxy="") == ""


def test_no_proxy_holds_for_the_option_too_and_noproxy_replaces_it() -> None:
    assert url({"no_proxy": "h.example"}, proxy=P) == ""
    assert url({"NO_PROXY": "h.example"}, proxy=P) == ""
    assert url({"no_proxy": "", "NO_PROXY": "h.example"}, proxy=P) == ""
    assert url({"no_proxy": "x", "NO_PROXY": "h.example"}, proxy=P) == P
    assert url({"no_proxy": "h.example"}, proxy=P, noproxy="") == P
    assert url({"no_proxy": "x"}, proxy=P, noproxy="h.example") == ""


def test_a_run_without_proxies_says_so() -> None:
    assert not Proxies(proxy=None, noproxy=None, environ={"no_proxy": "x", "HTTP_PROXY": P}).any
    assert not Proxies(proxy="", noproxy=None, environ={"all_proxy": P}).any
    assert not Proxies(proxy=P, noproxy="*", environ={}).any
    assert Proxies(proxy=None, noproxy="x", environ={"https_proxy": P}).any


def test_localhost_is_no_special_case() -> None:
    assert url({"http_proxy": P}, Origin("http", "localhost", 80)) == P
    assert url({"http_proxy": P}, Origin("http", "127.0.0.1", 80)) == P


def test_the_environment_is_read_once() -> None:
    environ = {"http_proxy": P}
    proxies = Proxies(proxy=None, noproxy=None, environ=environ)
    environ["http_proxy"] = "http://q:1"
    environ["no_proxy"] = "*"
    assert proxies.proxy_for(HTTP) == Proxy("http", "p.example", 3128)
    assert proxies.proxy_for(HTTP) is proxies.proxy_for(Origin("http", "other.example", 8080))


# NO_PROXY


@pytest.mark.parametrize(
    ("text", "host", "direct"),
    [
        # As curl 7.88.1.
        ("*", "127.0.0.1", True),
        (" * ", "h.example", True),
        ("a,*", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
        ("a 127.0.0.1", "127.0.0.1", True),
        (" 127.0.0.1 ", "127.0.0.1", True),
        ("127.0.0.0/8", "127.0.0.1", True),
        ("127.0.0.1/0", "127.0.0.1", True),
        ("127.0.0.1/33", "127.0.0.1", False),
        ("127/8", "127.0.0.1", False),
        ("0.0.1", "127.0.0.1", False),
        (".0.0.1", "127.0.0.1", False),
        (".127.0.0.1", "127.0.0.1", False),
        ("localhost", "localhost", True),
        ("LOCALHOST", "localhost", True),
        (".localhost", "localhost", True),
        ("localhost.", "localhost", True),
        ("localhost", "a.localhost", True),
        (".localhost", "a.localhost", True),
        ("..localhost", "localhost", False),
        ("*.localhost", "localhost", False),
        ("*.localhost", "a.localhost", False),
        ("host", "localhost", False),
        ("local", "a.localhost", False),
        # By the same rules.
        ("example", "h.example.", True),
        ("h.example", "example", False),
        ("h.example", "evil-h.example", False),
        ("h.example", "h.example.evil", False),
        ("a,,h.example,", "h.example", True),
        ("::1", "::1", True),
        ("[::1]", "::1", True),
        ("0:0:0:0:0:0:0:1", "::1", True),
        ("fd00::/8", "fd12::1", True),
        ("fd00::/8", "fe80::1", False),
        ("0.0.0.0/0", "::1", False),
        ("", "h.example", False),
        (",. /8 [ : ]:", "h.example", False),
    ],
)
def test_no_proxy_names_what_it_names_in_curl(text: str, host: str, direct: bool) -> None:
    assert (Origin("http", host, 8080) in NoProxy(text)) is direct


@pytest.mark.parametrize("host", ["h.example", "127.0.0.1", "::1"])
def test_no_proxy_with_a_port_is_for_that_port_alone(host: str) -> None:
    entry = f"[{host}]:8080" if ":" in host else f"{host}:8080"
    assert Origin("http", host, 8080) in NoProxy(entry)
    assert Origin("http", host, 80) not in NoProxy(entry)
    assert Origin("http", host, 80) in NoProxy(f"{entry},{host}")


@given(st.text(max_size=60), st.sampled_from(["h.example", "127.0.0.1", "::1", "", "a..b"]))
def test_any_text_may_stand_in_no_proxy(text: str, host: str) -> None:
    assert (Origin("http", host, 80) in NoProxy(text)) in (True, False)


# What a proxy is


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("p.example:3128", "http://p.example:3128"),
        ("http://p.example", "http://p.example:1080"),
        ("http://p.example:80", "http://p.example:80"),
        ("https://p.example", "https://p.example:443"),
        ("HTTPS://P.example:8443/", "https://p.example:8443"),
        ("http://p.example:3128/path?x#y", "http://p.example:3128"),
        ("http://[::1]:3128", "http://[::1]:3128"),
        ("[::1]", "http://[::1]:1080"),
        (" p.example:3128 ", "http://p.example:3128"),
        ("bücher.example:1", "http://xn--bcher-kva.example:1"),
    ],
)
def test_a_proxy_is_written_as_for_curl(text: str, expected: str) -> None:
    assert parse_proxy(text, "--proxy").url == expected


@pytest.mark.parametrize(
    ("text", "account"),
    [
        (f"http://me:{SECRET}@p.example:1", f"me:{SECRET}".encode()),
        (f"me:{SECRET}@p.example:1", f"me:{SECRET}".encode()),
        (f"http://m%40e:{SECRET}%3A%C3%A9%FF@p.example:1", f"m@e:{SECRET}:é".encode() + b"\xff"),
        (f"http://{SECRET}@p.example:1", f"{SECRET}:".encode()),
        (f"http://a@b:{SECRET}@p.example:1", f"a@b:{SECRET}".encode()),
    ],
)
def test_its_account_goes_as_basic_and_is_shown_nowhere(text: str, account: bytes) -> None:
    proxy = parse_proxy(text, "--proxy")
    assert proxy.authorization is not None
    assert base64.b64decode(proxy.authorization.removeprefix("Basic ")) == account
    proxies = Proxies(proxy=text, noproxy=None, environ={})
    proxies.proxy_for(HTTP)
    for shown in (proxy.url, repr(proxy), str(proxy), repr(proxies)):
        assert SECRET not in shown
        assert proxy.authorization not in shown


def test_a_proxy_without_an_account_has_no_authorization() -> None:
    assert parse_proxy("p.example:1", "--proxy").authorization is None


@pytest.mark.parametrize(
    "text",
    [
        f"foo://me:{SECRET}@p.example",
        f"ftp://me:{SECRET}@p.example",
        f"http://me:{SECRET}",
        f"http://me:{SECRET}@",
        f"me:{SECRET}@p.example:99999",
        f"me:{SECRET}@p.example:0",
        f"me:{SECRET}@p example:1",
        f"http://me:{SECRET}@[::1",
        f"http://me:{SECRET}#x@p.example:1",
        f"http://me:12#{SECRET}@p.example:1",
        f"http://me:12/{SECRET}@p.example:1",
        f"http://me\\:{SECRET}@p.example:1",
        "http://",
        "::1:3128",
        " ",
    ],
)
def test_what_is_no_proxy_is_refused_in_one_line_without_its_password(text: str) -> None:
    for proxy, environ, source in ((text, {}, "--proxy"), (None, {"https_proxy": text}, "https_proxy")):
        with pytest.raises(InvalidOptions) as refused:
            Proxies(proxy=proxy, noproxy=None, environ=environ)
        assert str(refused.value).startswith(source)
        assert SECRET not in str(refused.value)
        assert "\n" not in str(refused.value)


SOCKS = ["socks4", "socks4a", "socks5", "socks5h", "SOCKS5H"]


@pytest.mark.parametrize("scheme", SOCKS)
def test_socks_without_its_extra_says_which(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "aiohttp_socks", None)
    with pytest.raises(MissingExtra, match=r"all_proxy needs the extra 'socks'") as refused:
        Proxies(proxy=None, noproxy=None, environ={"all_proxy": f"{scheme}://me:{SECRET}@p.example:1"})
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize("scheme", SOCKS)
def test_socks_with_its_extra_brings_its_account(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "aiohttp_socks.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    proxy = parse_proxy(f"{scheme}://me:{SECRET}@p.example", "--proxy")
    assert (proxy.url, proxy.user, proxy.password) == (f"{scheme.lower()}://p.example:1080", "me", SECRET)
    assert proxy.authorization is None
    assert SECRET not in repr(proxy)
