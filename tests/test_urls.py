from __future__ import annotations

import pickle
import re
import tracemalloc
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from fetchall.records import ErrorType, Fault, Origin
from fetchall.urls import Target, follow, mask, parse

DOCS = Path(__file__).parent.parent / "docs" / "urls.md"

PIECES = [
    "http://",
    "https://",
    "http:",
    "//",
    "/",
    "\\",
    "@",
    ":",
    "?",
    "#",
    "[",
    "]",
    ".",
    "..",
    "1",
    "0",
    "80",
    "65536",
    "127",
    "0x7f",
    "::1",
    "a",
    "b.c",
    "xn--",
    "xn--ls8h",
    "-",
    "_",
    "|",
    "^",
    "<",
    "`",
    "{",
    "'",
    '"',
    ";",
    "%",
    "%2e",
    "%2F",
    "%00",
    "%e9",
    "%41",
    "u:p@",
    "é",
    "ß",
    "。",
    "①",
    "😀",
    "≠",
    "\u0627",
    "\xad",
    "\u200d",
    "\ufffd",
    "\ud800",
    "\x00",
    "\x1b",
    "\x7f",
    "\t",
    "\n",
    "\r",
    "\xa0",
]
anything = st.text(st.characters(exclude_categories=()))
nearly = st.lists(st.sampled_from([*PIECES, " "]), max_size=12).map("".join)
lines = anything | nearly | nearly.map("http://".__add__)
likely = st.builds(
    "{}{}{}{}".format,
    st.sampled_from(["http://", "HTTPS://", " ht\ttp:\\\\"]),
    st.sampled_from(["", "", "@", ":@", "u@", "u:@", ":p@", "u:p@", "é\\t:%20@"]) | nearly.map("u:{}@".format),
    st.sampled_from(
        ["h", "É.test", "a.b.", "h:80", "h:443", "h:00081", "h:8\t0", "127.1:9", "[::1]", "[::1]:1", "xn--ls8h"]
    ),
    st.sampled_from(["", "/", "?", "#", "\\", "/@:@"]) | anything.map("/".__add__) | nearly.map("/".__add__),
)
words = st.text(
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=%é", min_size=1, max_size=12
)
secrets = st.text("QXZ0123456789~!$&'()*+,;=^|", min_size=6, max_size=20).map("Q{}Z".format)


def target(text: str) -> Target:
    found = parse(text)
    assert isinstance(found, Target), found
    return found


def fault(text: str) -> Fault:
    found = parse(text)
    assert isinstance(found, Fault), found
    return found


def redirected(location: bytes, base: str = "http://h.test:81/a/b?c") -> Target | Fault:
    return follow(target(base), location)


# What goes to the wire


@pytest.mark.parametrize(
    "text", ["http://example.com/", "https://a.test:8443/x/y;z?sig=ab%2Fcd&e=%7E|[]#", "http://h/?"]
)
def test_a_clean_url_goes_to_the_wire_as_given(text: str) -> None:
    assert target(text).href == text.removesuffix("#")


@pytest.mark.parametrize(
    ("text", "href"),
    [
        ("http://h", "http://h/"),
        ("http://h?", "http://h/?"),
        ("http://h/a b?c d", "http://h/a%20b?c%20d"),
        ("http://h/ü?ü", "http://h/%C3%BC?%C3%BC"),
        ("http://h/%C3%BC%2F%2e?%2F", "http://h/%C3%BC%2F%2e?%2F"),
        ("http://h/a/%2e%2e/b", "http://h/b"),
        ("http://h/[]|^`{}\"<>'", "http://h/[]|%5E%60%7B%7D%22%3C%3E'"),
        ("http://h/?[]|^`{}\"<>'", "http://h/?[]|^`{}%22%3C%3E%27"),
        ("http://h/\\x?\\", "http://h//x?\\"),
        ("http://h/100%", "http://h/100%"),
    ],
)
def test_the_wire_has_the_bytes_that_a_browser_sends(text: str, href: str) -> None:
    assert target(text).href == href


@pytest.mark.parametrize(
    ("text", "href"),
    [
        ("http://h/a\r\nX-Injected: 1", "http://h/aX-Injected:%201"),
        ("http://h/%0d%0aX", "http://h/%0d%0aX"),
        ("http://h/a\tb", "http://h/ab"),
        ("ht\ntp:/\t/h/", "http://h/"),
        ("\x1b http://h/ \x00", "http://h/"),
        ("http://h/\x1b[31m\x7f\x00x", "http://h/%1B[31m%7F%00x"),
    ],
)
def test_control_characters_are_stripped_or_encoded_never_sent(text: str, href: str) -> None:
    assert target(text).href == href


def test_a_fragment_is_not_sent_and_not_shown() -> None:
    assert target("http://h#a@b/c").href == target("http://h#a@b/c").shown == "http://h/"


def test_a_url_of_60_kb_is_sent_whole() -> None:
    text = "http://h/" + "a" * 60_000
    assert target(text).href == text


# Which host, which port


@pytest.mark.parametrize(
    ("text", "origin"),
    [
        ("http://Example.COM", Origin("http", "example.com", 80)),
        ("HTTPS://example.com:443/", Origin("https", "example.com", 443)),
        ("http://example.com:443/", Origin("http", "example.com", 443)),
        ("http://h:/", Origin("http", "h", 80)),
        ("http://h:00081/", Origin("http", "h", 81)),
        ("http://[::1]/", Origin("http", "::1", 80)),
        ("http://[::FFFF:127.0.0.1]:8080/", Origin("http", "::ffff:7f00:1", 8080)),
        ("http://localhost./", Origin("http", "localhost.", 80)),
        ("http://a_b--c-/", Origin("http", "a_b--c-", 80)),
    ],
)
def test_an_origin_has_a_plain_host_and_the_effective_port(text: str, origin: Origin) -> None:
    assert target(text).origin == origin


@pytest.mark.parametrize(
    "host", ["127.1", "0x7f.1", "2130706433", "0177.0.0.1", "①②⑦.0.0.1", "127。0。0。1", "127.0.0.1.", "%31%32%37.1"]
)
def test_every_spelling_of_an_address_is_that_address(host: str) -> None:
    assert target(f"http://{host}/").origin.host == "127.0.0.1"


@pytest.mark.parametrize(
    ("host", "wire"),
    [
        ("bücher.example", "xn--bcher-kva.example"),
        ("faß.de", "xn--fa-hia.de"),
        ("FAẞ.de", "xn--fa-hia.de"),
        ("💩.la", "xn--ls8h.la"),
        ("\u0440\u0430ypal.com", "xn--ypal-43d9g.com"),
        ("b%C3%BCcher.example", "xn--bcher-kva.example"),
        ("XN--Bcher-KVA.example", "xn--bcher-kva.example"),
        ("xn--8i7caa.example", "xn--8i7caa.example"),
    ],
)
def test_an_international_name_is_punycode_by_the_current_idna(host: str, wire: str) -> None:
    assert target(f"http://{host}/").origin.host == wire


@pytest.mark.parametrize(
    ("text", "host", "user"),
    [
        ("http://a@b@c/", "c", "a@b"),
        ("http://x\\@evil/", "x", None),
        ("http://x/@evil/", "x", None),
        ("http://x?@evil/", "x", None),
        ("http://x#@evil/", "x", None),
        ("http://good:80@evil/", "evil", "good"),
        ("http://good%2F@evil/", "evil", "good/"),
        ("http://a;b/", "a;b", None),
    ],
)
def test_the_host_is_the_one_that_a_browser_would_use(text: str, host: str, user: str | None) -> None:
    assert (target(text).origin.host, target(text).user) == (host, user)


def test_equal_origins_are_one_object() -> None:
    assert target("http://h/a").origin is target("http://u@H:80/b").origin


# What is refused


@pytest.mark.parametrize(
    "text", ["example.com", "//h/x", "/rel", "", " ", "#", "?", ".", "1http://h", "ht tp://h", "h:80", "h:80/x"]
)
def test_a_line_without_a_scheme_is_told_to_write_one(text: str) -> None:
    assert fault(text).type is ErrorType.INVALID_URL
    assert "write https://host/path" in fault(text).message


@pytest.mark.parametrize("text", ["http:/h", "http:h", "https:/h", "HTTP:\\h", "http:", "http:?", "ht\ntp:/\th"])
def test_two_slashes_are_asked_for(text: str) -> None:
    assert fault(text).type is ErrorType.INVALID_URL
    assert "two slashes" in fault(text).message


@pytest.mark.parametrize(
    "text",
    [
        "http://",
        "http:///",
        "http:///h",
        "http:////h",
        "http://\t/h",
        "http://?q",
        "http://#f",
        "http://:80/",
        "http://u:p@/",
        "http://@:80",
    ],
)
def test_a_host_is_asked_for(text: str) -> None:
    assert fault(text).type is ErrorType.INVALID_URL
    assert "no host" in fault(text).message


@pytest.mark.parametrize(
    "text",
    [
        "ftp://h/x",
        "file:///etc/passwd",
        "file:/etc/passwd",
        "data:text/plain,hi",
        "javascript:alert(1)",
        "mailto:a@b.test",
        "gopher://h:70/",
        "ws://h/",
        "WSS://h/",
        "blob:http://h/x",
        "about:blank",
        "urn:isbn:1",
        "http+unix://h/",
        "view-source:http://h/",
        "httpx://h/",
    ],
)
def test_other_schemes_are_unsupported_and_nothing_else_is_said(text: str) -> None:
    assert fault(text).type is ErrorType.UNSUPPORTED_SCHEME
    assert fault(text).message.startswith(text.partition(":")[0].lower())


@pytest.mark.parametrize(
    "port", ["-1", "65536", "80a", "0", "00", "99999999999", "9" * 5000, "0x50", "\uff18a", " 80 1"]
)
def test_what_is_no_port_is_invalid_and_the_message_says_port(port: str) -> None:
    assert fault(f"http://h:{port}/").type is ErrorType.INVALID_URL
    assert "port" in fault(f"http://h:{port}/").message


FORBIDDEN = [
    " ",
    "\x01",
    "\x7f",
    "%00",
    "%20",
    "%0a",
    "<",
    ">",
    "^",
    "|",
    "%",
    "%2F",
    "%5C",
    "%3A",
    "%40",
    "%23",
    "[",
    "]",
]


@pytest.mark.parametrize("sign", FORBIDDEN)
def test_a_sign_that_no_host_has_is_invalid(sign: str) -> None:
    assert fault(f"http://a{sign}b/").type is ErrorType.INVALID_URL
    assert fault(f"http://u:p@a{sign}b:80/").type is ErrorType.INVALID_URL


@pytest.mark.parametrize(
    "host",
    [
        "a..b",
        ".a",
        ".",
        "a..",
        "..",
        "256.0.0.1",
        "1.2.3.4.5",
        "1.2.3.08",
        "a.0x100000000",
        "xn--",
        "xn--a",
        "XN--A",
        "a.xn--zz--zz",
        "xn--a-",
        "%78n--bb",
        "\xad",
        "\u200d",
        "a\u0627",
        "xn--é",
        "\ufffd",
    ],
)
def test_what_can_be_no_name_and_no_address_is_invalid_before_dns(host: str) -> None:
    assert fault(f"http://{host}/").type is ErrorType.INVALID_URL


@pytest.mark.parametrize(
    "host",
    ["[::1", "::1]", "[1::2::3]", "[::1%25eth0]", "[::1%eth0]", "[]", "[1]", "[::g]", "[127.0.0.1]", "[::1]a", "::1"],
)
def test_a_broken_ipv6_literal_and_a_zone_are_invalid(host: str) -> None:
    assert fault(f"http://{host}/").type is ErrorType.INVALID_URL


def test_a_label_ends_at_63_and_a_name_at_253_characters() -> None:
    label, name = "a" * 63, ".".join(["a" * 63] * 3) + "." + "a" * 61
    assert len(name) == 253
    for good in (label, f"x.{label}", name, f"{name}."):
        assert target(f"https://{good}:65535/").origin.host == good
        assert target(f"https://u:p@{good}:65535/").origin.host == good
    for bad in (f"{label}a", f"x.{label}a.y", f"{name}a", f"b.{name}", f"{name}..", "a." * 30_000):
        assert fault(f"http://{bad}/").type is ErrorType.INVALID_URL


def test_a_thousand_names_of_60_kb_leave_nothing_in_memory() -> None:
    tracemalloc.start()
    try:
        for number in range(1_000):
            assert isinstance(parse(f"http://{number}{'a' * 60_000}/"), Fault)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < 1_000_000


def test_half_a_surrogate_pair_is_invalid_not_an_exception() -> None:
    assert fault("http://h/\ud800").message == "not text: half of a surrogate pair is in it"
    assert fault("http://\udcff/").type is ErrorType.INVALID_URL
    assert fault("\ud800://h/").type is ErrorType.INVALID_URL


@pytest.mark.parametrize("authority", ["@" * 10_000, "@" * 60_000, ":@" * 30_000, "u@" * 30_000])
def test_ten_thousand_at_signs_are_invalid(authority: str) -> None:
    assert fault(f"http://{authority}h/").type is ErrorType.INVALID_URL
    assert fault(f"http://{authority}").type is ErrorType.INVALID_URL
    assert isinstance(redirected(f"http://{authority}h/".encode()), Fault)


@given(lines)
@example("http://h:" + "9" * 5000)
def test_whatever_the_line_there_is_an_answer(text: str) -> None:
    found = parse(text)
    if isinstance(found, Fault):
        assert found.type in (ErrorType.INVALID_URL, ErrorType.UNSUPPORTED_SCHEME)
        assert 0 < len(found.message) <= 120
        assert found.message.isprintable()
        assert found.message.isascii()


@given(likely)
def test_the_wire_form_is_printable_ascii_and_is_its_own_wire_form(text: str) -> None:
    found = parse(text)
    assume(isinstance(found, Target))
    assert isinstance(found, Target)
    assert re.fullmatch(r"https?://[!-~]+/[!-~]*", found.href)
    assert "#" not in found.href
    assert target(found.href) == found._replace(user=None, password=None, shown=found.href)
    assert found.origin == Origin(*found.origin)
    assert found.href.startswith((str(found.origin) + "/", str(found.origin) + "?"))
    assert pickle.loads(pickle.dumps(found)) == found


# Userinfo and what is shown


@pytest.mark.parametrize(
    ("text", "user", "password", "shown"),
    [
        ("http://h/", None, None, "http://h/"),
        ("http://@h/", None, None, "http://h/"),
        ("http://:@h/", None, None, "http://h/"),
        ("http://u:p@h/x#f", "u", "p", "http://u:***@h/x"),
        ("http://u:@h/", "u", None, "http://***@h/"),
        ("http://token@h/", "token", None, "http://***@h/"),
        ("http://:p@h/", "", "p", "http://:***@h/"),
        ("http://u:p:q@h:81/", "u", "p:q", "http://u:***@h:81/"),
        ("http://u%40%3A:p%2F%20@h/", "u@:", "p/ ", "http://u%40%3A:***@h/"),
        ("http://ü:ö@h/", "ü", "ö", "http://%C3%BC:***@h/"),
        ("http://u:%E9@h/", "u", "\udce9", "http://u:***@h/"),
        ("http://u:100%@h/", "u", "100%", "http://u:***@h/"),
        ("https://u:p@[::1]:8443/", "u", "p", "https://u:***@[::1]:8443/"),
    ],
)
def test_userinfo_is_decoded_for_its_host_and_never_on_the_wire(
    text: str, user: str | None, password: str | None, shown: str
) -> None:
    found = target(text)
    assert (found.user, found.password, found.shown) == (user, password, shown)
    assert "@" not in found.href


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://h/", "http://h/"),
        ("http://u:p@h", "http://u:***@h"),
        ("http://token@h", "http://***@h"),
        ("http://token:@h", "http://***:@h"),
        ("http://:p@h", "http://:***@h"),
        ("http://@h", "http://@h"),
        ("http://:@h", "http://:@h"),
        ("http://u:p:q@r@h/x@y", "http://u:***@h/x@y"),
        ("HTTP:\\\\u:p@h\\x@y", "HTTP:\\\\u:***@h\\x@y"),
        ("http:/u:p@h", "http:/u:***@h"),
        ("http:u:p@h", "http:u:***@h"),
        ("http:///u:p@h", "http:///u:***@h"),
        ("//u:p@h/", "//u:***@h/"),
        ("u:p@h/x", "u:***@h/x"),
        ("token@h/x", "***@h/x"),
        ("ftp://u:p@h/", "ftp://u:***@h/"),
        ("\x1b ht\ttp://u:p\n@h/\x07", "\x1b ht\ttp://u:***@h/\x07"),
        ('"http://u:p@h/"', '"http://u:***@h/"'),
        ("\xa0http://u:p@h/", "\xa0http://u:***@h/"),
        ("url=http://u:p@h/", "url=http://u:***@h/"),
        ("\xa0http:/u:p@h/", "\xa0http:/u:***@h/"),
        ("http;/u:p@h/", "http;/u:***@h/"),
        ("u:p@h//x", "u:***@h//x"),
        ("http://token:\n@h", "http://***:\n@h"),
        ("http:\u200b//u:p@h/", "http:\u200b//u:***@h/"),
        ("http://u:p@h:80a/", "http://u:***@h:80a/"),
        ("http://u:p@a b/", "http://u:***@a b/"),
        ("http://u:pa/ss@h/", "http://u:***@h/"),
        ("http://u:pa#ss?@h/", "http://u:***@h/"),
        ("http://u:123456/7@h/", "http://u:***@h/"),
        ("http://u:p\\@h/", "http://u:***@h/"),
        ("http://u:\ud800@h/", "http://u:***@h/"),
    ],
)
def test_the_password_or_lone_token_of_a_url_as_given_is_masked(text: str, masked: str) -> None:
    assert mask(text) == masked


@pytest.mark.parametrize(
    "text",
    [
        "http://h/@user",
        "http://h/?u=http://a:b@c",
        "http://h/x#a:b@c",
        "http://h:80/a@b",
        "http://h:00000080/a@b",
        "http://x\\@evil/",
        "https://h:8\t0/x@y",
        "mailto:joe@example.com",
        "data:,a@b",
        "http://[::1]:80/@",
        "/p/a@b",
        "pkg:npm/a@b",
        "http://h:80a/",
        "\x1b[31m",
        "http://web.archive.test/web/http://a:b@c/",
    ],
)
def test_masking_alters_nothing_else(text: str) -> None:
    assert mask(text) == text


@given(lines)
def test_masking_twice_is_masking_once(text: str) -> None:
    assert mask(mask(text)) == mask(text)


@given(likely)
def test_masking_a_valid_url_alters_its_userinfo_alone(text: str) -> None:
    found = parse(text)
    assume(isinstance(found, Target))
    assert isinstance(found, Target)
    if found.user is None and found.password is None:
        assert mask(text) == text
    else:
        masked = target(mask(text))
        assert (masked.href, masked.origin) == (found.href, found.origin)
        assert (masked.user, masked.password) in {(found.user, "***"), ("***", None)}


@given(
    before=st.sampled_from(["", " ", "\x1b", "\xa0", "<", "url=", "1", "- "]),
    scheme=st.sampled_from(
        ["http://", "https://", "HTTP:\\\\", "ftp://", "http:/", "//", "ht\ttp://", "foo://", "http;//"]
    ),
    user=words | st.just(""),
    secret=secrets,
    host=st.sampled_from(["h", "h:80", "h:80a", "[::1", "a b", "", "xn--", "é", "h\ud800"]),
    rest=st.sampled_from(["", "/", "/a@b", "?x=@", "#:@"]),
    lone=st.booleans(),
)
def test_no_secret_leaves_in_a_masked_url_a_target_or_a_message(
    before: str, scheme: str, user: str, secret: str, host: str, rest: str, lone: bool
) -> None:
    userinfo = secret if lone else f"{user}:{secret}"
    text = f"{before}{scheme}{userinfo}@{host}{rest}"
    assert mask(text) == f"{before}{scheme}{'***' if lone else user + ':***'}@{host}{rest}"
    found = parse(text)
    if isinstance(found, Fault):
        assert secret not in found.message
    else:
        assert secret not in unquote(found.href + found.shown)


@pytest.mark.parametrize("text", ["@", ":", ":@", "/", "//", "a/", "http:", "\t", "a:", "://", "@/", "://@", "0"])
def test_masking_takes_linear_time(text: str) -> None:
    for long in (
        text * 300_000,
        f"http://{text * 300_000}",
        f"http://{text * 300_000}@h",
        f"http://u:{text * 300_000}x@h",
    ):
        assert len(mask(long)) <= len(long) + len("***")


# Redirects


@pytest.mark.parametrize(
    ("location", "href"),
    [
        (b"/x", "http://h.test:81/x"),
        (b"x#f", "http://h.test:81/a/x"),
        (b"?q", "http://h.test:81/a/b?q"),
        (b"#f", "http://h.test:81/a/b?c"),
        (b"//other.test/x", "http://other.test/x"),
        (b"https://other.test", "https://other.test/"),
        (b"http:x", "http://h.test:81/a/x"),
        (b"http:///other.test/", "http://other.test/"),
        (b"\\\\other.test\\x", "http://other.test/x"),
        (b"/a b", "http://h.test:81/a%20b"),
        (b"/%C3%BC%2F", "http://h.test:81/%C3%BC%2F"),
        ("/ü".encode(), "http://h.test:81/%C3%BC"),
        ("/ü".encode("latin-1"), "http://h.test:81/%FC"),
        ("http://bücher.example/".encode(), "http://xn--bcher-kva.example/"),
        (b"http://0x7f.1/", "http://127.0.0.1/"),
        (b"/a\x00b\x1bc", "http://h.test:81/a%00b%1Bc"),
        (b"/a\r\nX-Injected: 1", "http://h.test:81/aX-Injected:%201"),
        (b"/" + b"a" * 60_000, "http://h.test:81/" + "a" * 60_000),
    ],
)
def test_a_location_goes_where_a_browser_would_go(location: bytes, href: str) -> None:
    found = redirected(location)
    assert isinstance(found, Target)
    assert found.href == found.shown == href


@pytest.mark.parametrize(
    "location",
    [
        b"file:///etc/passwd",
        b"ftp://h/",
        b"gopher://h/",
        b"javascript:alert(1)",
        b"data:text/html,hi",
        b"ws://h/",
        b"mailto:a@b",
        b"http://[::1/",
        b"http://[fe80::1%25eth0]/",
        b"http://h:99999/",
        b"http://h:0/",
        b"http://h:80a/",
        b"http://",
        b"//",
        b"http://a b/",
        b"http://a\x00b/",
        b"http://a..b/",
        b"http://xn--a/",
        b"http://" + b"a" * 64 + b"/",
        "http://bücher.example/".encode("latin-1"),
    ],
)
def test_a_location_that_is_no_http_url_is_bad_redirect(location: bytes) -> None:
    found = redirected(location)
    assert isinstance(found, Fault)
    assert found.type is ErrorType.BAD_REDIRECT


def test_the_userinfo_of_a_location_is_told_apart_and_never_shown() -> None:
    found = redirected(b"http://user:secret@other.test/x")
    assert isinstance(found, Target)
    assert (found.user, found.password) == ("user", "secret")
    assert found.href == found.shown == "http://other.test/x"


def test_a_relative_location_inherits_no_userinfo() -> None:
    found = redirected(b"/x", "http://user:secret@h.test/")
    assert found == Target("http://h.test/x", Origin("http", "h.test", 80), None, None, "http://h.test/x")


@given(st.binary() | lines.map(lambda text: text.encode(errors="surrogatepass")))
def test_whatever_the_location_there_is_an_answer(location: bytes) -> None:
    found = redirected(location)
    if isinstance(found, Fault):
        assert found.type is ErrorType.BAD_REDIRECT
        assert found.message.isprintable()
        assert len(found.message) <= 140
    else:
        assert re.fullmatch(r"https?://[!-~]+/[!-~]*", found.href)
        assert target(found.href).href == found.href


# The page for users


def test_the_tables_of_the_page_on_urls_are_true() -> None:
    rows = re.findall(r"^\| `(.+?)` \| `(.+?)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) >= 30
    for line, said in rows:
        found = parse(line)
        assert (found.type if isinstance(found, Fault) else found.href) == said, line


# The short way


PARTS = st.sampled_from(
    ["/", "a", "Z9", ".", "..", "%2e", "%2E", "%41", "?", "q=1", "'", "^", "|", "~", "@", ":", "&", "%", "%zz", "\t"]
)
SPELT = st.sampled_from(
    ["h.example", "H.example", "h.example.", "127.0.0.1", "127.1", "0x7f.1", "1.2.3", "-", "a..b", "xn--mgb", "h:1:2"]
    + [f"h.example:{port}" for port in ("", "0", "80", "443", "8080", "08080", "99999")]
)


@given(st.sampled_from(["http", "https"]), SPELT, st.lists(PARTS, max_size=12).map("".join))
def test_the_short_way_gives_what_the_long_way_gives(scheme: str, host: str, rest: str) -> None:
    text = f"{scheme}://{host}/{rest}"
    assert parse(text) == parse(f"\t{text}")
