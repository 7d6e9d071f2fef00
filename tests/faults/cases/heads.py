"""Section F, first part: heads that are no heads, lie, have no end or are too large."""

from __future__ import annotations

from ..answers import CONTENT_TYPES
from ..case import MIB, Case
from ..checks import both, connections, connections_of, content_type, header_absent, http_version, took_at_most

_ECHO = "http://127.0.0.1:{http}/echo"
_BADSTATUS = (
    "word", "missing", "nothing", "four-digits", "two-digits", "negative", "plus", "float", "hex", "icy", "future",
    "no-minor", "lower-case", "smtp", "ssh", "leading-space", "no-space",
)  # fmt: skip
_TAKEN = int(1.5 * MIB)
"""1 MiB, and what the sockets' buffers hold."""


def _status(row: int, kind: str, **expected: object) -> Case:
    return Case(row=row, name=f"status-{kind}", url=f"/badstatus?kind={kind}", **expected)  # type: ignore[arg-type]


def _malformed(row: int, name: str, url: str, why: str = "") -> Case:
    """A head that can't be read: no status, and the connection is not used again."""
    return Case(row=row, name=name, url=url, status=None, error_type="protocol", after=(_ECHO,), why=why,
                check=connections_of(1, 2))  # fmt: skip


def _header(kind: str, row: int, shows: dict[str, list[str]], why: str = "") -> Case:
    return Case(row=row, name=f"header-{kind}", url=f"/badheader?kind={kind}", shows=shows, body=b"hello", why=why)


CASES = (
    Case(row=52, name="truncated-headers", url="/truncated-headers", status=None, error_type="disconnected",
         why="the head never came whole, so its status is none; nothing was malformed"),
    Case(row=53, name="reset-mid-headers", url="/reset-mid-headers", status=None, error_type="disconnected"),
    *(_malformed(63, f"status-{kind}", f"/badstatus?kind={kind}") for kind in _BADSTATUS),
    _malformed(64, "status-000", "/badstatus?kind=zero", why="000 is not a status"),
    _status(64, "nines", status=999, ok=False, body=b"hello"),
    _status(65, "no-reason", body=b"hello"),
    _status(65, "no-reason-space", body=b"hello"),
    _malformed(66, "http09", "/http09"),
    _malformed(66, "garbage", "/garbage"),
    _malformed(66, "tls-alert", "/tls-alert"),
    Case(row=67, name="http10", url="/http10", body=b"hello", after=(_ECHO,),
         check=both(connections_of(1, 2), http_version("1.0"))),
    Case(row=67, name="close-said", url="/close-said", body=b"hello", after=(_ECHO,), check=connections_of(1, 2),
         why="said and not done: the connection is not used again all the same"),
    Case(row=68, name="1xx-one", url="/1xx?n=1", body=b"hello", check=header_absent("x-early")),
    Case(row=68, name="1xx-fifty", url="/1xx?n=50", body=b"hello", after=(_ECHO,),
         check=both(header_absent("x-early"), header_absent("link"), connections_of(1, 1))),
    Case(row=69, name="1xx-forever", url="/1xx-forever", status=None, error_type="protocol", rss=64,
         check=took_at_most("/1xx-forever", 4 * MIB), why="a count ends it, sooner than the clock"),
    Case(row=70, name="101", url="/101", status=101, ok=False, error_type="protocol", after=(_ECHO,),
         check=connections_of(1, 2), why="its head arrived, so the row has its status"),
    Case(row=71, name="header-16k", url="/hugeheader?size=16384", shows={"x-huge": ["x" * 16384]}),
    Case(row=71, name="header-60k", url="/hugeheader?size=60000", shows={"x-huge": ["x" * 60000]}),
    _malformed(71, "header-128k", "/hugeheader?size=131072", why="64 KiB a line is the limit"),
    _malformed(71, "header-1m", "/hugeheader?size=1048576"),
    Case(row=72, name="headers-200", url="/manyheaders?n=200", shows={"x-many-199": ["199"]}),
    _malformed(72, "headers-100000", "/manyheaders?n=100000"),
    *(
        Case(row=72, name=name, url=f"/{name}", status=None, error_type="protocol", rss=32,
             check=took_at_most(f"/{name}", _TAKEN))
        for name in ("headers-forever", "header-line-forever", "status-line-forever")
    ),
    Case(row=73, name="set-cookie-huge", url="/set-cookie-huge?n=100&size=8000", after=(_ECHO, _ECHO),
         shows={"set-cookie": [f"c{i}={'x' * 8000}" for i in range(100)]}, check=connections(1)),
    Case(row=73, name="set-cookie-huge-jar", url="/set-cookie-huge?n=100&size=8000", after=(_ECHO, _ECHO),
         options={"cookie": "mine=1"}, check=connections(1)),
    Case(row=73, name="cookie-bad-age", url="/cookie-bad-age", times=5, options={"cookie": "mine=1", "concurrency": 1},
         check=connections(1)),
    *(_malformed(74, f"header-{kind}", f"/badheader?kind={kind}")
      for kind in ("nul", "bare-cr", "no-colon", "empty-name", "space")),
    _header("latin1", 75, {"x-bytes": ["caf\xe9"]}, why="each character of a value is one byte of the wire"),
    _header("invalid-utf8", 75, {"x-bytes": ["\xff\xfe\xc3\x28"]}),
    _header("utf8", 75, {"x-bytes": ["caf\xc3\xa9 \xe2\x82\xac"]}),
    _header("esc", 76, {"x-bytes": ["\x1b[31mred\x1b[0m"]}),
    _status(76, "escape", body=b"hello"),
    _header("bare-lf", 77, {"x-bytes": ["a"], "x-injected": ["1"]},
            why="a line may end in LF alone (RFC 9112, section 2.2), as browsers and curl have it"),
    _header("duplicate", 78, {"x-bytes": ["one", "two", "one"], "x-other": ["o"]}),
    _header("cookies", 78, {"set-cookie": [f"c{i}={i}; Path=/" for i in range(20)]}),
    _header("fold", 78, {"x-bytes": ["one two\tthree"]},
            why="one value, whose lines' ends are gone (RFC 9112, section 5.2)"),
    *(
        Case(row=80, name=f"type-{kind}", url=f"/content-type?kind={kind}", body=b"\x00\xff\x1b\x80",
             check=None if kind == "twice" else content_type(values[0] if values else None))
        for kind, values in CONTENT_TYPES.items()
    ),
)  # fmt: skip
