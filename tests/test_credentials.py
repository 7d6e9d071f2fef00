"""Which secret goes where: over every kind of redirect, seen by servers that write down what they receive."""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from fetchall.errors import InvalidOptions
from fetchall.records import ErrorType
from fetchall.urls import Target, follow, parse
from fetchall.wire.credentials import HARMLESS, Credentials, basic, next_request, parse_header, refusal
from fetchall.wire.netrc import NetrcMap, read_netrc

SECRET = "s3cr3t"


def target(url: str) -> Target:
    parsed = parse(url)
    assert isinstance(parsed, Target)
    return parsed


def credentials(**values: Any) -> Credentials:
    return Credentials(**({"user_agent": "fetchall/test", "accept_encoding": "gzip"} | values))


def sent(headers: Any) -> list[tuple[str, str]]:
    return [(name.lower(), value) for name, value in headers.items()]


HOME = target("http://h.example/a")
AWAY = target("http://other.example/a")
ALL_SECRETS = credentials(
    headers=[("X-Api-Key", SECRET), ("Authorization", f"Bearer {SECRET}"), ("Referer", f"http://h/{SECRET}")],
    user=f"me:{SECRET}",
    cookie=f"sid={SECRET}",
    netrc=NetrcMap({"h.example": ("me", SECRET), "other.example": ("me", SECRET)}, ("me", SECRET)),
)


# On the wire


class Seen:
    """A server that redirects as the path says (`/302/http://…`) and writes down every head that it receives."""

    def __init__(self) -> None:
        self.heads: list[str] = []
        self.bodies: list[bytes] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            length = next(
                (line[16:] for line in head.split("\r\n") if line.lower().startswith("content-length: ")), "0"
            )
            self.bodies.append(await reader.readexactly(int(length)))
            _, code, *location = head.split(" ")[1].split("/", 2)
            line = f"{code} x\r\nLocation: {location[0]}" if code.startswith("3") else "200 OK"
            writer.write(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()


@pytest.fixture
async def servers() -> AsyncIterator[tuple[tuple[Seen, str], tuple[Seen, str], tuple[Seen, str]]]:
    """Home, another port of its host, and another host: each with its URL."""
    async with contextlib.AsyncExitStack() as stack:
        found = []
        for host in ("127.0.0.1", "127.0.0.1", "127.0.0.2"):
            seen = Seen()
            server = await stack.enter_async_context(await asyncio.start_server(seen.serve, host, 0))
            found.append((seen, f"http://{host}:{server.sockets[0].getsockname()[1]}"))
        yield found[0], found[1], found[2]


async def run(secrets: Credentials, url: str, method: str = "GET", data: bytes | None = None) -> ErrorType | None:
    """Follow a URL as a run does, at most five hops."""
    hop, home = target(url), secrets.home_after(target(url), target(url))
    async with aiohttp.ClientSession(skip_auto_headers=("User-Agent", "Content-Type")) as session:
        for _ in range(5):
            headers = secrets.headers(hop, home, body=data is not None)
            wire = URL(hop.href, encoded=True)
            async with session.request(method, wire, headers=headers, data=data, allow_redirects=False) as answer:
                if answer.status not in (301, 302, 303, 307, 308):
                    return None
                onward = follow(hop, answer.headers["Location"].encode())
                assert isinstance(onward, Target)
                method, keep = next_request(answer.status, method, data is not None)
                data = data if keep else None
                fault = secrets.body_fault(onward, home) if data is not None else None
                if fault is not None:
                    return fault.type
                hop, home = onward, secrets.home_after(home, onward)
    return None


Servers = tuple[tuple[Seen, str], tuple[Seen, str], tuple[Seen, str]]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_no_secret_reaches_another_origin_by_any_redirect(servers: Servers, status: int) -> None:
    (home, home_url), *others = servers
    account = base64.b64encode(f"me:{SECRET}".encode()).decode()
    netrc = NetrcMap({"127.0.0.1": ("me", SECRET), "127.0.0.2": ("me", SECRET)}, ("me", SECRET))
    kinds = {
        "user": credentials(user=f"me:{SECRET}"),
        "bearer": credentials(bearer=SECRET),
        "netrc": credentials(netrc=netrc),
        "cookie": credentials(cookie=f"sid={SECRET}"),
        "header": credentials(headers=[("X-Api-Key", SECRET), ("Authorization", SECRET)]),
        "userinfo": credentials(),
    }
    for kind, secrets in kinds.items():
        start = home_url.replace("//", f"//me:{SECRET}@") if kind == "userinfo" else home_url
        for other, url in others:
            home.heads.clear()
            await run(secrets, f"{start}/{status}/{url}/200")
            assert len(home.heads) == 1
            assert SECRET in home.heads[0] or account in home.heads[0], kind
            assert len(other.heads) == 1
            assert SECRET not in other.heads[0], kind
            assert account not in other.heads[0], kind
            other.heads.clear()


async def test_a_redirect_within_the_origin_keeps_the_secrets(servers: Servers) -> None:
    (home, url), _, _ = servers
    await run(credentials(headers=[("X-Api-Key", SECRET)]), f"{url.replace('//', '//u:p@')}/302/{url}/200")
    assert [head.count(SECRET) for head in home.heads] == [1, 1]
    assert [head.count(basic("u", "p")) for head in home.heads] == [1, 1]


async def test_a_redirect_that_comes_back_from_abroad_has_lost_the_secrets(servers: Servers) -> None:
    (home, url), _, (_, abroad) = servers
    await run(ALL_SECRETS, f"{url}/302/{abroad}/302/{url}/200")
    assert [SECRET in head for head in home.heads] == [True, False]


async def test_a_locations_userinfo_is_not_sent(servers: Servers) -> None:
    (home, url), _, (other, abroad) = servers
    for origin in (url, abroad):
        await run(credentials(), f"{url}/302/{origin.replace('//', '//planted:word@')}/200")
    assert not [head for head in home.heads + other.heads if "Authorization" in head]


async def test_a_body_never_goes_to_another_origin_unasked(servers: Servers) -> None:
    (_, url), (other, port), (stranger, abroad) = servers
    for status in (307, 308):
        for elsewhere in (port, abroad):
            assert await run(credentials(), f"{url}/{status}/{elsewhere}/200", "POST", b"mine") == "bad_redirect"
    assert other.heads == stranger.heads == []
    for status in (301, 302, 303):
        await run(credentials(content_type="text/plain"), f"{url}/{status}/{abroad}/200", "POST", b"mine")
    assert [head.split(" ")[0] for head in stranger.heads] == ["GET"] * 3
    assert stranger.bodies == [b""] * 3
    assert not [head for head in stranger.heads if "content-type" in head.lower()]


async def test_trusted_sends_secrets_and_body_wherever_the_redirect_goes(servers: Servers) -> None:
    (_, url), _, (other, abroad) = servers
    trusted = credentials(headers=[("X-Api-Key", SECRET)], user="u:p", cookie="a=b", trusted=True)
    await run(trusted, f"{url}/307/{abroad}/200", "POST", b"mine")
    assert SECRET in other.heads[0]
    assert basic("u", "p") in other.heads[0]
    assert "Cookie: a=b" in other.heads[0]
    assert other.bodies == [b"mine"]


async def test_a_head_goes_to_the_wire_as_it_was_built(servers: Servers) -> None:
    (home, url), _, _ = servers
    given = [
        parse_header(text) for text in ("X-Word: grüße", "X-Empty;", "x-two: 1", "X-Two: 2", "Accept:", "User-Agent:")
    ]
    await run(credentials(headers=[pair for pair in given if pair]), f"{url}/200")
    _, *lines, _, _ = home.heads[0].encode("latin-1").decode("utf-8").split("\r\n")
    # aiohttp's own "Accept: */*" is left out by the session's request class, not by this test's plain session.
    lines = [line for line in lines if not line.startswith(("Host: ", "Accept: "))]
    assert lines == ["Accept-Encoding: gzip", "X-Word: grüße", "X-Empty: ", "x-two: 1", "x-two: 2"]


# Whose origin


@pytest.mark.parametrize(
    ("home", "away"),
    [
        ("http://h.example/", "http://www.h.example/"),
        ("http://h.example/", "http://h.example:8080/"),
        ("http://h.example/", "https://h.example/"),
        ("https://h.example/", "http://h.example/"),
        ("https://h.example/", "http://h.example:443/"),
        ("http://127.0.0.1/", "http://127.0.0.2/"),
        ("http://h.example/", "http://h.example./"),
        ("http://h.example/", "http://h.example.evil/"),
    ],
)
def test_host_port_and_scheme_each_make_another_origin(home: str, away: str) -> None:
    assert SECRET in str(ALL_SECRETS.headers(target(home), target(home)))
    assert ALL_SECRETS.home_after(target(home), target(away)) is None
    for left in (target(home), None):
        head = ALL_SECRETS.headers(target(away), left, [("X-Own", SECRET), ("Cookie", SECRET)])
        assert {name for name, _ in sent(head)} <= HARMLESS
        assert SECRET not in str(head)


def test_another_spelling_of_the_same_origin_is_home() -> None:
    for spelling in ("http://H.EXAMPLE:80/b", "http://h%2eexample/", "http://x:y@h.example/"):
        assert SECRET in str(ALL_SECRETS.headers(target(spelling), HOME))
        assert ALL_SECRETS.home_after(HOME, target(spelling)) is HOME


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_a_harmless_header_goes_along_to_any_origin(name: str) -> None:
    head = credentials(headers=[(name.title(), "1")]).headers(AWAY, None)
    assert head.getall(name) == ["1"]


@pytest.mark.parametrize(
    "name", ["X-Api-Key", "Authorization", "Cookie", "Referer", "Host", "X-Forwarded-For", "Origin"]
)
def test_any_other_header_of_the_users_stays_home(name: str) -> None:
    secrets = credentials(headers=[(name, "h.example")])
    assert secrets.headers(HOME, HOME)[name] == "h.example"
    assert name not in secrets.headers(AWAY, None)


def test_a_host_of_the_users_stays_home_even_when_trusted() -> None:
    secrets = credentials(headers=[("Host", "virtual"), ("X-Api-Key", SECRET)], trusted=True)
    assert secrets.headers(HOME, HOME)["Host"] == "virtual"
    assert sent(secrets.headers(AWAY, HOME))[-1] == ("x-api-key", SECRET)
    assert "Host" not in secrets.headers(AWAY, HOME)


def test_netrc_gives_each_listed_host_its_own_login_and_no_other() -> None:
    secrets = credentials(netrc=NetrcMap({"h.example": ("a", "1"), "other.example": ("b", "2")}))
    assert secrets.headers(HOME, HOME)["Authorization"] == basic("a", "1")
    assert secrets.headers(AWAY, AWAY)["Authorization"] == basic("b", "2")
    assert "Authorization" not in secrets.headers(target("http://third.example/"), target("http://third.example/"))
    assert "Authorization" not in secrets.headers(AWAY, HOME)


def test_a_trusted_redirect_gets_the_netrc_login_of_the_host_it_goes_to() -> None:
    secrets = credentials(netrc=NetrcMap({"h.example": ("a", "1"), "other.example": ("b", "2")}), trusted=True)
    assert secrets.headers(AWAY, HOME)["Authorization"] == basic("b", "2")


# Which of several


def test_the_nearest_authorization_counts() -> None:
    netrc = NetrcMap({"h.example": ("n", "n")})
    with_userinfo = target("http://u:u@h.example/")
    every = {"user": "o:o", "bearer": "b", "netrc": netrc}
    assert credentials(**every, headers=[("authorization", "own")]).headers(with_userinfo, with_userinfo).getall(
        "Authorization"
    ) == ["own"]
    assert credentials(**every).headers(with_userinfo, with_userinfo)["Authorization"] == basic("u", "u")
    assert credentials(**every).headers(HOME, HOME)["Authorization"] == "Bearer b"
    assert credentials(user="o:o", netrc=netrc).headers(HOME, HOME)["Authorization"] == basic("o", "o")
    assert credentials(netrc=netrc).headers(HOME, HOME)["Authorization"] == basic("n", "n")
    assert "Authorization" not in credentials().headers(HOME, HOME)


def test_an_authorization_that_the_user_removed_is_not_sent() -> None:
    url = target("http://u:u@h.example/")
    assert "Authorization" not in credentials(user="o:o", headers=[("Authorization", None)]).headers(url, url)


@pytest.mark.parametrize(
    ("url", "account"),
    [
        ("http://u:p@h/", b"u:p"),
        ("http://u@h/", b"u:"),
        ("http://:p@h/", b":p"),
        ("http://k%C3%A9y:p%40:x@h/", "kéy:p@:x".encode()),
        ("http://kéy@h/", "kéy:".encode()),
        ("http://u:%FF%00@h/", b"u:\xff\x00"),
    ],
)
def test_userinfo_goes_as_basic_with_the_bytes_that_it_stands_for(url: str, account: bytes) -> None:
    value = credentials().headers(target(url), target(url))["Authorization"]
    assert base64.b64decode(value.removeprefix("Basic ")) == account


def test_empty_userinfo_is_none() -> None:
    assert "Authorization" not in credentials().headers(target("http://@h/"), target("http://@h/"))


def test_a_header_of_the_users_replaces_that_of_fetchall() -> None:
    own = {"accept": "application/json", "content_type": "application/json", "cookie": "a=b"}
    names = ["User-Agent", "Accept", "Accept-Encoding", "Content-Type", "Cookie"]
    assert list(credentials(**own).headers(HOME, HOME)) == names
    replaced = credentials(**own, headers=[(name.upper(), "mine") for name in names]).headers(HOME, HOME)
    assert sent(replaced) == [(name.lower(), "mine") for name in names]
    assert not credentials(**own, headers=[(name.lower(), None) for name in names]).headers(HOME, HOME)
    emptied = credentials(**own, headers=[(name, "") for name in names]).headers(HOME, HOME)
    assert sent(emptied) == [(name.lower(), "") for name in names]


def test_an_empty_user_agent_is_none() -> None:
    assert "User-Agent" not in credentials(user_agent="").headers(HOME, HOME)


def test_a_requests_own_headers_replace_those_of_the_options_by_name() -> None:
    secrets = credentials(headers=[("X-A", "1"), ("X-A", "2"), ("X-B", "3"), ("Accept", "4")], cookie="c=d")
    head = secrets.headers(HOME, HOME, (("x-a", "5"), ("Cookie", "e=f")))
    assert sent(head)[-4:] == [("x-b", "3"), ("accept", "4"), ("x-a", "5"), ("cookie", "e=f")]
    assert head.getall("Cookie") == ["e=f"]
    assert secrets.headers(HOME, HOME).getall("X-A") == ["1", "2"], "the options stay as they were"


def test_there_is_one_cookie_header_and_the_jars_stays_when_the_text_stays_home() -> None:
    secrets = credentials(cookie=f"a={SECRET}")
    assert secrets.headers(HOME, HOME, cookies="j=1").getall("Cookie") == [f"a={SECRET}; j=1"]
    assert secrets.headers(AWAY, None, cookies="j=1").getall("Cookie") == ["j=1"]
    own = credentials(headers=[("Cookie", "own")])
    assert own.headers(HOME, HOME, cookies="j=1").getall("Cookie") == ["own"]
    assert own.headers(AWAY, None, cookies="j=1").getall("Cookie") == ["j=1"]


def test_content_headers_go_with_the_body() -> None:
    secrets = credentials(content_type="text/plain", headers=[("Content-Encoding", "gzip"), ("Content-Language", "de")])
    names = {"content-type", "content-encoding", "content-language"}
    assert {name for name, _ in sent(secrets.headers(HOME, HOME))} >= names
    assert not {name for name, _ in sent(secrets.headers(HOME, HOME, body=False))} & names


def test_heads_are_built_once_and_nobody_can_alter_them() -> None:
    secrets = credentials(user=f"me:{SECRET}")
    head = secrets.headers(HOME, HOME)
    other = target("http://third.example/")
    assert secrets.headers(other, other) is head
    assert secrets.headers(AWAY, None) is secrets.headers(other, HOME)
    assert not hasattr(head, "add")
    with pytest.raises(TypeError):
        head["X"] = "y"  # type: ignore[index]


# Redirects


@pytest.mark.parametrize(
    ("status", "method", "becomes", "keeps"),
    [
        (301, "POST", "GET", False),
        (302, "POST", "GET", False),
        (303, "POST", "GET", False),
        (307, "POST", "POST", True),
        (308, "POST", "POST", True),
        (301, "PUT", "PUT", True),
        (302, "PATCH", "PATCH", True),
        (303, "PUT", "GET", False),
        (303, "DELETE", "GET", False),
        (303, "GET", "GET", False),
        (303, "HEAD", "HEAD", False),
        (302, "HEAD", "HEAD", True),
        (307, "DELETE", "DELETE", True),
    ],
)
def test_method_and_body_after_a_redirect_are_those_of_rfc_9110(
    status: int, method: str, becomes: str, keeps: bool
) -> None:
    assert next_request(status, method, True) == (becomes, keeps)
    assert next_request(status, method, False) == (becomes, False)


def test_why_a_body_stays_home_is_said_without_a_secret() -> None:
    fault = credentials().body_fault(target(f"http://u:{SECRET}@other.example/{SECRET}"), HOME)
    assert fault is not None
    assert (fault.type, fault.retryable) == (ErrorType.BAD_REDIRECT, False)
    assert "http://other.example" in fault.message
    assert SECRET not in fault.message


# Refusals


@pytest.mark.parametrize(
    ("text", "pair"),
    [
        ("X-A: b", ("X-A", "b")),
        ("X-A:b", ("X-A", "b")),
        ("X-A:\t b:c \t", ("X-A", "b:c")),
        ("X-A:", ("X-A", None)),
        ("X-A:  ", ("X-A", None)),
        ("X-A;", ("X-A", "")),
        ("X-A: grüße", ("X-A", "grüße")),
        ("X-A: a\tb", ("X-A", "a\tb")),
        ("Host: h:80", ("Host", "h:80")),
        ("!#$%&'*+-.^_`|~09aZ: x", ("!#$%&'*+-.^_`|~09aZ", "x")),
        ("", None),
        (" \t", None),
    ],
)
def test_a_header_option_is_read_as_curl_reads_it(text: str, pair: tuple[str, str | None] | None) -> None:
    assert parse_header(text) == pair


@pytest.mark.parametrize(
    "text",
    [
        f"X-A: {SECRET}\r\nX-B: c",
        f"X-A: {SECRET}\n",
        f"X-A: {SECRET}\r",
        f"X-A: {SECRET}\0",
        f"X-A: {SECRET}\x1b[2J",
        f"X-A: {SECRET}\x7f",
        f"X-A: {SECRET}\udcff",
        f"X A: {SECRET}",
        f"X-A : {SECRET}",
        f" X-A: {SECRET}",
        f"X\n-A: {SECRET}",
        f"X\0: {SECRET}",
        f"Ä: {SECRET}",
        f"X(A): {SECRET}",
        f": {SECRET}",
        f"Authorization Bearer {SECRET}",
        f"Authorization Bearer {SECRET}:",
        "X A;",
        ";",
        "Content-Length: 3",
        "transfer-encoding: chunked",
        "Host: a b",
        "Host: a/b",
        "Host;",
    ],
)
def test_a_header_that_would_inject_is_refused_in_one_line_without_its_value(text: str) -> None:
    with pytest.raises(InvalidOptions) as refused:
        parse_header(text)
    assert SECRET not in str(refused.value)
    assert "\n" not in str(refused.value)
    assert str(refused.value).isprintable()


@given(st.text(st.characters(codec=None), max_size=40))
@example("a:\r\nb")
@example("a:\u0130\x85")
def test_what_passes_as_a_header_stays_one_line_of_name_and_value(text: str) -> None:
    try:
        pair = parse_header(text)
    except InvalidOptions as error:
        refused = str(error)
        assert refused.isprintable()
        return
    if pair is None:
        assert not text.strip(" \t")
        return
    line = f"{pair[0]}: {pair[1] or ''}".encode()
    assert not set(line) & {*range(9), *range(10, 32), 127}
    assert line.index(b":") == len(pair[0]) > 0
    assert not set(pair[0]) & set(" \t")


def test_a_second_host_is_refused() -> None:
    with pytest.raises(InvalidOptions, match="twice"):
        credentials(headers=[("Host", "a"), ("host", "b")])
    assert refusal([("Host", "a"), ("HOST", "a")]) is not None
    assert refusal([("Host", "a"), ("X-Host", "a")]) is None


def test_a_requests_own_header_that_would_inject_never_reaches_the_wire() -> None:
    with pytest.raises(InvalidOptions) as refused:
        credentials().headers(HOME, HOME, (("X-A", f"{SECRET}\r\nX-B: c"),))
    assert SECRET not in str(refused.value)


@pytest.mark.parametrize(
    "values",
    [
        {"user": SECRET},
        {"user": f"{SECRET}:\ud800"},
        {"bearer": f"{SECRET} x"},
        {"bearer": f"{SECRET}\r\nX: y"},
        {"bearer": ""},
        {"bearer": f"{SECRET}é"},
        {"cookie": f"a={SECRET}\r\nX: y"},
        {"user_agent": f"{SECRET}\nX: y"},
        {"headers": [("X A", SECRET)]},
    ],
)
def test_what_can_not_be_a_credential_is_refused_before_any_request(values: dict[str, Any]) -> None:
    with pytest.raises(InvalidOptions) as refused:
        credentials(**values)
    assert SECRET not in str(refused.value)


def test_no_secret_is_in_a_repr() -> None:
    ALL_SECRETS.headers(HOME, HOME)
    for thing in (ALL_SECRETS, NetrcMap({"h": ("me", SECRET)}, ("me", SECRET))):
        assert SECRET not in f"{thing!r} {thing}"


# netrc


def test_a_netrc_file_is_read_with_its_default(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text(
        "machine H.example login me password p1\nmachine ::1 login six\n"
        "machine empty.example\ndefault login any password p2\n"
    )
    path.chmod(0o644)
    logins = read_netrc(path)
    assert logins.find("h.example") == ("me", "p1")
    assert logins.find("::1") == ("six", "")
    assert logins.find("elsewhere.example") == ("any", "p2")


def test_without_a_default_other_hosts_have_no_login(tmp_path: Path) -> None:
    path = tmp_path / "netrc"
    path.write_text("machine h.example login me password p1\n")
    assert read_netrc(path).find("x.h.example") is None


@pytest.mark.parametrize(
    "text", [f"machine h login me password two {SECRET}\n", f"{SECRET}\n", f"machine h password \xff{SECRET}\x00 x"]
)
def test_a_broken_netrc_is_refused_without_a_word_from_inside_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "netrc"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidOptions) as refused:
        read_netrc(path)
    assert str(path) in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_netrc_that_is_not_there_or_can_not_be_read_is_said_in_one_line(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InvalidOptions, match="--netrc") as refused:
            read_netrc(path)
        assert "\n" not in str(refused.value)
