"""Whose cookie is whose, what a hostile Set-Cookie can do (nothing), and the file between two runs."""

from __future__ import annotations

import os
import stat
import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from fetchall.errors import InvalidOptions, SinkError
from fetchall.urls import Target, parse
from fetchall.wire import cookies as jar
from fetchall.wire.cookies import Cookies
from fetchall.wire.set_cookie import MAX_AGE, MAX_COOKIE, parse_date, parse_set_cookie

NOW = 1_700_000_000.0
SECRET = "s3cr3t"


def target(url: str) -> Target:
    parsed = parse(url)
    assert isinstance(parsed, Target)
    return parsed


HOME = target("http://h.example/a/b")
SAFE = target("https://h.example/a/b")


class Time:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        return self.now


def kept(*values: str, at: Target = HOME) -> Cookies:
    cookies = Cookies(now=Time())
    cookies.store(at, [value.encode() for value in values])
    return cookies


def from_file(path: Path, *lines: str) -> Cookies:
    path.write_text("\n".join(lines), newline="")
    cookies = Cookies(now=Time())
    cookies.load(path)
    return cookies


# Whose


@pytest.mark.parametrize(
    "other",
    [
        "http://www.h.example/a/b",
        "http://example/a/b",
        "http://other.example/a/b",
        "http://h.example:8080/a/b",
        "https://h.example/a/b",
        "http://h.example./a/b",
        "http://h.example.evil/a/b",
    ],
)
@pytest.mark.parametrize("domain", ["", "; Domain=h.example", "; Domain=.example", "; Domain=other.example; Path=/"])
def test_a_cookie_goes_back_to_its_own_origin_alone(other: str, domain: str) -> None:
    cookies = kept(f"a=b{domain}")
    assert cookies.for_target(HOME) == "a=b"
    assert cookies.for_target(target(other)) is None


def test_a_cookie_of_one_address_never_reaches_another() -> None:
    cookies = kept("a=b; Domain=0.0.2; Path=/", at=target("http://127.0.0.2/cookie-set"))
    assert cookies.for_target(target("http://127.0.0.2/cookie-echo")) == "a=b"
    assert cookies.for_target(target("http://127.0.0.3/cookie-echo")) is None
    assert kept("a=b; Path=/", at=target("http://[::1]/")).for_target(target("http://[::2]/")) is None


def test_a_secure_cookie_is_taken_over_https_alone() -> None:
    assert kept("a=b; Secure").for_target(HOME) is None
    assert kept("a=b; secure=no", at=SAFE).for_target(SAFE) == "a=b"


@pytest.mark.parametrize(
    ("attribute", "path", "sent"),
    [
        ("", "/a/b", True),
        ("", "/a", True),
        ("", "/a/c/d?/x", True),
        ("", "/ab", False),
        ("", "/", False),
        ("", "/?/a/b", False),
        ("; Path=/", "/x", True),
        ("; Path=/a/b", "/a/bc", False),
        ("; Path=/a/b", "/a/b/c", True),
        ("; Path=/a/b/", "/a/b", False),
        ("; Path=", "/a/x", True),
        ("; Path=x", "/a/x", True),
        ("; Path=/x; Path=/y", "/y", True),
        ("; Path=/x; Path=/y", "/x", False),
        ("; PATH = /x ", "/x", True),
    ],
)
def test_a_cookie_goes_to_its_path_as_rfc_6265_has_it(attribute: str, path: str, sent: bool) -> None:
    assert kept(f"n=v{attribute}").for_target(target(f"http://h.example{path}")) == ("n=v" if sent else None)


def test_longer_paths_go_first_then_older_cookies() -> None:
    cookies = kept("a=1; Path=/", "b=2; Path=/a/b", "c=3; Path=/a", "d=4; Path=/a", "a=5; Path=/")
    assert cookies.for_target(HOME) == "b=2; c=3; d=4; a=5"


# How long


@pytest.mark.parametrize(
    ("attributes", "seconds"),
    [
        ("", None),
        ("; Max-Age=60", 60),
        ("; max-age=60; Expires=Thu, 01 Jan 1970 00:00:00 GMT", 60),
        ("; Expires=Tue, 14 Nov 2023 22:14:20 GMT", 60),
        ("; Expires=Tuesday, 14-Nov-23 22:14:20 GMT", 60),
        ("; Expires=Tue Nov 14 22:14:20 2023", 60),
        ("; Max-Age=60; Max-Age=90", 90),
        (f"; Max-Age={'9' * 1000}", MAX_AGE),
        ("; Expires=Fri, 31 Dec 9999 23:59:59 GMT", MAX_AGE),
        ("; Max-Age=sixty", None),
        ("; Max-Age=6_0", None),
        ("; Max-Age=٦٠", None),
        ("; Max-Age=1e9", None),
        ("; Max-Age=", None),
        (f"; Max-Age={'9' * 5000}", None),
        ("; Expires=soon", None),
        ("; Expires=Tue, 31 Feb 2023 22:14:20 GMT", None),
        ("; Expires=Tue, 14 Nov 1600 22:14:20 GMT", None),
        ("; Expires=Tue, 14 Nov 2023 24:14:20 GMT", None),
        ("; Expires=Tue, 14 Nov 2023 22:14:20 GMT; Expires=never", 60),
    ],
)
def test_a_cookie_lives_as_long_as_it_says(attributes: str, seconds: int | None) -> None:
    cookie = parse_set_cookie(f"a=b{attributes}".encode(), HOME, NOW)
    assert cookie is not None
    assert cookie.expires == (None if seconds is None else NOW + seconds)


def test_a_cookie_ends_when_its_time_has_come() -> None:
    clock = Time()
    cookies = Cookies(now=clock)
    cookies.store(HOME, [b"a=1; Max-Age=60", b"b=2"])
    clock.now += 59
    assert cookies.for_target(HOME) == "a=1; b=2"
    clock.now += 1
    assert cookies.for_target(HOME) == "b=2"


@pytest.mark.parametrize(
    "end", ["Max-Age=0", "Max-Age=-1", f"Max-Age=-{'9' * 900}", "Expires=Thu, 01-Jan-1970 00:00:00 GMT"]
)
def test_a_server_takes_a_cookie_back(end: str) -> None:
    cookies = kept("a=1", "b=2", f"a=; {end}")
    assert cookies.for_target(HOME) == "b=2"
    cookies.store(HOME, [f"b=x; {end}; Path=/elsewhere".encode()])
    assert cookies.for_target(HOME) == "b=2", "of another path"


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("Sun, 06 Nov 1994 08:49:37 GMT", 784111777),
        ("Sunday, 06-Nov-94 08:49:37 GMT", 784111777),
        ("Sun Nov  6 08:49:37 1994", 784111777),
        ("1994 6 november 8:49:37", 784111777),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("06 Nov 69 08:49:37", 3150953377),
        ("06 Nov 1994 08:49", None),
        ("06 Nov 1994 08:49:377", None),
        ("06 Nov 08:49:37", None),
        ("Nov 1994 08:49:37", None),
        ("0 Nov 1994 08:49:37", None),
        ("", None),
    ],
)
def test_dates_are_read_by_the_loose_algorithm_of_rfc_6265(text: str, seconds: int | None) -> None:
    assert parse_date(text) == seconds


# Hostile


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b";",
        b"=",
        b"a",
        b"=b",
        b" = b; Path=/",
        b"a\0=b",
        b"a=b\x1b[2J",
        b"a=b\r\nSet-Cookie: c=d",
        b"a=b; Path=/\x7f",
        b"a=b; X=\x01",
        b"a=b\tc",
        b"a=\xff",
        b"a=" + b"x" * MAX_COOKIE,
        b"x" * (MAX_COOKIE - 1) + b"=bb",
        "a={}".format("é" * (MAX_COOKIE // 2)).encode(),
    ],
)
def test_what_can_not_be_a_cookie_is_passed_over(value: bytes) -> None:
    cookies = Cookies(now=Time())
    cookies.store(HOME, [value, b"c=d"])
    assert cookies.for_target(HOME) == "c=d"


def test_quotes_equals_signs_and_text_beyond_ascii_go_back_as_they_came() -> None:
    assert kept('a="b c"', "d=e=f", "g=grüße", "h=", "i = j\t").for_target(HOME) == 'a="b c"; d=e=f; g=grüße; h=; i=j'


def test_an_overlong_attribute_is_ignored_and_the_cookie_kept() -> None:
    cookie = parse_set_cookie(b"a=b; Path=/" + b"x" * 2000, HOME, NOW)
    assert cookie is not None
    assert cookie.path == "/a"


@given(st.lists(st.binary(max_size=80) | st.text(max_size=80).map(str.encode), max_size=5))
@example([b"a=b; Max-Age=" + b"9" * 5000])
@example([b"a=b; Expires=99 99 99 99:99:99"])
@example([b"a=b; Expires=Tue, 29 Feb 2100 00:00:00 GMT"])
def test_no_set_cookie_raises_or_makes_a_header_of_more_than_one_line(values: list[bytes]) -> None:
    cookies = Cookies(now=Time())
    cookies.store(SAFE, values)
    header = cookies.for_target(SAFE) or ""
    assert not set(header.encode()) & {*range(32), 127}


def test_one_origin_holds_its_newest_fifty() -> None:
    cookies = kept(*(f"n{number}=v; Path=/a" for number in range(jar.PER_ORIGIN + 10)))
    header = cookies.for_target(HOME)
    assert header is not None
    assert header.split("; ") == [f"n{number}=v" for number in range(10, jar.PER_ORIGIN + 10)]


def test_one_header_stays_below_what_servers_take() -> None:
    header = kept(*(f"n{number}={'x' * 1000}" for number in range(20))).for_target(HOME)
    assert header is not None
    assert 7000 < len(header) <= jar.MAX_HEADER


def test_of_too_many_origins_those_used_last_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jar, "MAX_ORIGINS", 3)
    origins = [target(f"http://{number}.example/") for number in range(4)]
    cookies = Cookies(now=Time())
    for origin in origins[:3]:
        cookies.store(origin, [b"a=b"])
    cookies.for_target(origins[0])
    cookies.store(origins[3], [b"a=b"])
    assert [cookies.for_target(origin) for origin in origins] == ["a=b", None, "a=b", "a=b"]


def test_all_cookies_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jar, "MAX_SIZE", 3_500)
    cookies = Cookies(now=Time())
    origins = [target(f"http://{number}.example/") for number in range(100)]
    for origin in origins:
        cookies.store(origin, [b"a=" + b"x" * 1000])
        cookies.store(origin, [b"a=" + b"y" * 1000])
    assert [origin for origin in origins if cookies.for_target(origin)] == origins[-3:]


def test_names_and_values_are_in_no_repr() -> None:
    cookies = kept(f"{SECRET}=1", f"a={SECRET}")
    cookie = parse_set_cookie(f"a={SECRET}".encode(), HOME, NOW)
    assert SECRET not in f"{cookies!r} {cookies} {cookie!r} {cookie}"


# The file


def test_a_file_has_curls_form_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "cookies.txt"
    path.write_text("old")
    path.chmod(0o644)
    cookies = kept("a=b; Max-Age=60; HttpOnly", "c=; Path=/", at=HOME)
    cookies.store(SAFE, [b"d=e; Secure; Path=/"])
    cookies.save(path)
    assert path.read_text().splitlines()[0] == "# Netscape HTTP Cookie File"
    assert [line for line in path.read_text().splitlines() if "\t" in line] == [
        "#HttpOnly_h.example\tFALSE\t/a\tFALSE\t1700000060\ta\tb",
        "h.example\tFALSE\t/\tFALSE\t0\tc\t",
        "h.example\tFALSE\t/\tTRUE\t0\td\te",
    ]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["cookies.txt"]


def test_a_planted_link_is_replaced_not_followed(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    (tmp_path / "jar").symlink_to(precious)
    kept("a=b").save(tmp_path / "jar")
    assert precious.read_text() == "mine"
    assert not (tmp_path / "jar").is_symlink()


def test_a_file_that_can_not_be_written_is_said_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "folder", tmp_path / "none" / "jar"):
        with pytest.raises(SinkError, match="--cookie-jar") as failed:
            kept(f"a={SECRET}").save(path)
        assert SECRET not in str(failed.value)
    assert os.listdir(tmp_path) == ["folder"]


def test_cookies_that_have_ended_are_not_written(tmp_path: Path) -> None:
    clock = Time()
    cookies = Cookies(now=clock)
    cookies.store(HOME, [b"a=1; Max-Age=60", b"b=2; Max-Age=120"])
    clock.now += 60
    cookies.save(tmp_path / "jar")
    assert "\ta\t" not in (tmp_path / "jar").read_text()
    assert "\tb\t" in (tmp_path / "jar").read_text()


@given(st.lists(st.binary(max_size=60) | st.text(max_size=60).map(str.encode), max_size=8))
@example([b"a=b c; Path=/#x", b"#a=1", b"b=2; Max-Age=99", b"c=\xc2\x85\xe2\x80\xa8"])
def test_what_was_saved_is_loaded(values: list[bytes]) -> None:
    cookies = Cookies(now=Time())
    cookies.store(SAFE, values)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "jar")
        cookies.save(path)
        again = Cookies(now=Time())
        again.load(path)
    assert again.for_target(SAFE) == cookies.for_target(SAFE)


def test_a_file_goes_to_its_hosts_and_where_it_says_so_to_their_subdomains(tmp_path: Path) -> None:
    cookies = from_file(
        tmp_path / "jar",
        "# Netscape HTTP Cookie File\r",
        "",
        ".wide.example\tTRUE\t/\tFALSE\t0\tw\t1\r",
        "#HttpOnly_narrow.example\tFALSE\t/\tFALSE\t1700000060\tn\t2",
        "safe.example\tFALSE\t/\tTRUE\t1800000000.25\ts\t3",
        "past.example\tFALSE\t/\tFALSE\t1600000000\tp\t4",
        "com\tTRUE\t/\tFALSE\t0\tc\t5",
        "0.0.1\tTRUE\t/\tFALSE\t0\ti\t6",
        "Empty.example\tFALSE\t/x\tFALSE\t0\te",
    )
    expected = {
        "http://wide.example/": "w=1",
        "http://wide.example:8080/": "w=1",
        "https://a.b.wide.example/": "w=1",
        "http://notwide.example/": None,
        "http://example/": None,
        "http://narrow.example/": "n=2",
        "http://a.narrow.example/": None,
        "http://safe.example/": None,
        "https://safe.example/": "s=3",
        "http://past.example/": None,
        "http://com/": "c=5",
        "http://evil.com/": None,
        "http://127.0.0.1/": None,
        "http://empty.example/x": "e=",
    }
    assert {url: cookies.for_target(target(url)) for url in expected} == expected


def test_a_server_replaces_and_takes_back_what_the_file_brought_for_its_own_origin_alone(tmp_path: Path) -> None:
    cookies = from_file(
        tmp_path / "jar",
        "h.example\tFALSE\t/\tFALSE\t0\ta\told",
        "h.example\tFALSE\t/\tFALSE\t0\tb\told",
        ".example.org\tTRUE\t/\tFALSE\t0\tc\told",
    )
    assert cookies.for_target(SAFE) == "a=old; b=old"
    cookies.store(HOME, [b"a=new; Path=/", b"b=; Max-Age=0; Path=/"])
    assert cookies.for_target(HOME) == "a=new"
    one, two = target("http://one.example.org/"), target("http://two.example.org/")
    cookies.store(one, [b"c=; Max-Age=0; Path=/"])
    assert cookies.for_target(one) is None
    assert cookies.for_target(two) == "c=old"
    cookies.save(tmp_path / "jar")
    saved = [line.split("\t") for line in (tmp_path / "jar").read_text().splitlines() if "\t" in line]
    assert sorted(line[0] + line[5] + line[6] for line in saved) == [".example.orgcold", "h.exampleanew"]


def test_the_cookie_of_the_nearer_domain_counts(tmp_path: Path) -> None:
    cookies = from_file(
        tmp_path / "jar",
        "a.h.example\tFALSE\t/\tFALSE\t0\tn\tnear",
        "h.example\tTRUE\t/\tFALSE\t0\tn\tfar",
    )
    assert cookies.for_target(target("http://a.h.example/")) == "n=near"
    assert cookies.for_target(target("http://b.h.example/")) == "n=far"


@pytest.mark.parametrize(
    "line",
    [
        "h.example\tFALSE\t/\tFALSE\tsoon\ta\tb",
        "h.example\tFALSE\t/\tFALSE\tnan\ta\tb",
        f"h.example\tFALSE\t/\tFALSE\t{'9' * 5000}\ta\tb",
        "h.example FALSE / FALSE 0 a b",
        "h.example\tFALSE\t/\tFALSE\t0\t\tb",
        "h.example\tFALSE\t/\tFALSE\t0\ta\tb\tc",
        "\tFALSE\t/\tFALSE\t0\ta\tb",
        f"h.example\tFALSE\t/\tFALSE\t0\ta\t{'x' * 5000}",
        "h.example\tFALSE\t/\tFALSE\t0\ta\t\x1b",
    ],
)
def test_lines_of_a_file_that_are_no_cookies_are_passed_over(tmp_path: Path, line: str) -> None:
    cookies = from_file(tmp_path / "jar", line, "h.example\tFALSE\t/\tFALSE\t0\tc\td")
    assert cookies.for_target(HOME) == "c=d"
    with pytest.raises(InvalidOptions, match=r"cookies\.txt"):
        from_file(tmp_path / "jar", line)


def test_a_file_that_is_not_there_is_refused_unless_it_is_to_be_written(tmp_path: Path) -> None:
    cookies = Cookies(now=Time())
    cookies.load(tmp_path / "none", missing_ok=True)
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(InvalidOptions, match="--cookie"):
            cookies.load(path)


def test_an_empty_file_is_an_empty_jar(tmp_path: Path) -> None:
    assert from_file(tmp_path / "jar", "# Netscape HTTP Cookie File", "").for_target(HOME) is None


def test_a_cookie_that_never_ends_lasts_the_session_in_the_file(tmp_path: Path) -> None:
    kept("a=b").save(tmp_path / "jar")
    again = Cookies(now=Time())
    again.load(tmp_path / "jar")
    assert again.for_target(HOME) == "a=b"
