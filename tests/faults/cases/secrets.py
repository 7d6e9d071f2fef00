"""Section O and what stands below it: cookies, secrets, headers that would inject."""

from __future__ import annotations

from ..case import Case
from ..checks import body_lacks, both, sent_header

_JAR = {"cookie": "mine=1"}
_INJECTING: dict[str, dict[str, object]] = {
    "crlf": {"header": ("X-A: a\r\nX-Injected: 1",)},
    "lf": {"header": ("X-A: a\nX-Injected: 1",)},
    "cr": {"header": ("X-A: a\rX-Injected: 1",)},
    "nul": {"header": ("X-A: a\0b",)},
    "space-in-name": {"header": ("X A: b",)},
    "space-after-name": {"header": ("X-A : b",)},
    "no-name": {"header": (": b",)},
    "no-colon": {"header": ("X-A",)},
    "crlf-in-name": {"header": ("X-A\r\nX-Injected: b",)},
    "two-hosts": {"header": ("Host: a.test", "Host: b.test")},
    "length": {"header": ("Content-Length: 5",)},
    "chunked": {"header": ("Transfer-Encoding: chunked",)},
    "user-agent": {"user_agent": "a\r\nX-Injected: 1"},
    "cookie": {"cookie": "a=b\r\nX-Injected: 1"},
    "bearer": {"oauth2_bearer": "a\r\nX-Injected: 1"},
    "bearer-with-a-secret": {"oauth2_bearer": "hunter2 \n"},
    "method": {"method": "GET /x HTTP/1.1\r\nX-Injected: 1\r\n\r\nGET"},
    "method-with-space": {"method": "GET /x"},
    "method-empty": {"method": ""},
}

CASES = (
    Case(row=147, name="proxy-password", url="http://one.test/echo", status=None, error_type="proxy",
         options={"proxy": "http://me:hunter2@127.0.0.1:{refused}", "noproxy": None}),
    Case(row=147, name="user", url="/echo", options={"user": "me:hunter2"},
         check=sent_header("authorization", "Basic bWU6aHVudGVyMg==")),
    Case(row=147, name="netrc-unasked", url="/echo", netrc="machine 127.0.0.1 login me password hunter2",
         check=sent_header("authorization")),
    Case(row=147, name="netrc-asked", url="/echo", netrc="machine 127.0.0.1 login me password hunter2",
         options={"netrc": True}, check=sent_header("authorization", "Basic bWU6aHVudGVyMg==")),
    Case(row=147, name="netrc-broken", url="/echo", netrc="machine 127.0.0.1 password hunter2 hunter2",
         options={"netrc": True}, raises="InvalidOptions"),
    *(
        Case(row=148, name=f"header-{name}", url="/echo", options=options, raises="InvalidOptions", fast=True)
        for name, options in _INJECTING.items()
    ),
    Case(row=148, name="header-host", url="/echo", options={"header": ("Host: one.test",)},
         check=sent_header("host", "one.test")),
    Case(row=149, name="cookies-off", url="/cookie-echo", body=b"", before=("http://127.0.0.1:{http}/cookie-set",),
         why="no jar unless asked for"),
    Case(row=149, name="cookies-home", url="/cookie-echo", options=_JAR,
         before=("http://127.0.0.1:{http}/cookie-set",), check=both(body_lacks(b"\n"), body_lacks(b"other"))),
    *(
        Case(row=149, name=f"cookies-other-{name}", url=url, options=_JAR, body=b"mine=1",
             before=("http://127.0.0.1:{http}/cookie-set",))
        for name, url in {
            "host": "http://127.0.0.2:{http}/cookie-echo",
            "port": "http://127.0.0.1:{other}/cookie-echo",
            "scheme": "https://127.0.0.1:{tls}/cookie-echo",
        }.items()
    ),
    Case(row=149, name="cookies-other-name", url="http://two.test:{http}/cookie-echo", options=_JAR, body=b"mine=1",
         before=("http://one.test:{http}/cookie-set",),
         names={"one.test": [("127.0.0.1",)], "two.test": [("127.0.0.1",)]},
         why="a cookie that claims a whole domain stays with who set it"),
    Case(row=149, name="cookies-on-a-redirect", url="/redirect-host?to=http://127.0.0.2:{http}/cookie-echo",
         options=_JAR, body=b"", before=("http://127.0.0.1:{http}/cookie-set",)),
)  # fmt: skip
"""Row 149 stands for the paragraph on cookies that ends FAULTS."""
