"""Section H: redirects, and which secrets stay at home."""

from __future__ import annotations

from collections.abc import Mapping

from ..case import Case
from ..checks import both, chain, connections_of, echoed, no_body_at, secrets_on, took_at_most

_CODES = (301, 302, 303, 307, 308)
_HOME = "http://127.0.0.1:{http}"
_ECHO = _HOME + "/echo"
_SECRETS = {"user": "me:hunter2", "cookie": "session=hunter2", "header": ("X-Api-Key: hunter2",)}
_AWAY = {
    "host": "http://127.0.0.2:{http}/echo",
    "port": "http://127.0.0.1:{other}/echo",
    "scheme": "https://127.0.0.1:{tls}/echo",
}
_BUFFERS = 384 * 1024
"""64 KiB, and what the sockets' buffers hold before anybody reads."""

_FOLLOWED = {
    "nul-encoded": "/echo?nul=a%00b",
    "crlf": "/echo?a=b%0d%0aX-Injected:%201",
    "crlf-path": "/echo/%0d%0aX-Injected:%201",
    "utf8": "/echo?caf%C3%A9",
    "latin1": "/echo?caf%E9",
    "space": "/echo?a%20b",
    "tab": "/echo",
    "twice": "/echo?first",
    "backslash": "/echo",
    "fragment": "/echo",
    "relative": "/echo",
    "scheme-relative": "/echo",
}
_REFUSED = ("file", "ftp", "gopher", "javascript", "data", "mailto", "ws")


def _bad(row: int, kind: str, why: str = "") -> Case:
    return Case(row=row, name=kind, url=f"/bad-redirect?kind={kind}", status=302, error_type="bad_redirect",
                requests=1, attempts=1, options={"retries": 2}, fast=True, why=why)  # fmt: skip


def _moved(code: int, to: str, start: str = "/redirect-host") -> str:
    return f"{start}?status={code}&to={to}"


def _kept(
    code: int, name: str, to: str, carried: tuple[bool, ...], options: Mapping[str, object], **more: object
) -> Case:
    """Which requests, in their order, carried a secret."""
    return Case(row=95, name=f"{name}-{code}", url=_moved(code, to), check=secrets_on(*carried), fast=True,
                options=options, **more)  # type: ignore[arg-type]  # fmt: skip


def _post(code: int, name: str, then: str, body: str, to: str = "/echo", method: str = "POST") -> Case:
    return Case(row=100, name=f"{name}-{code}", url=_moved(code, to), redirects=1,
                options={"data": ("a=b",), "method": method}, check=echoed(method=then, body=body))  # fmt: skip


_CREDENTIALS = (
    *(_kept(code, f"away-{change}", to, (True, False), _SECRETS) for code in _CODES for change, to in _AWAY.items()),
    *(_kept(code, "same-origin", "/echo", (True, True), _SECRETS) for code in _CODES),
    _kept(302, "there-and-back", f"http://127.0.0.2:{{http}}/redirect-host%3Fto={_ECHO}", (True, False, False),
          _SECRETS, why="where to was chosen abroad: what was left behind stays behind, as the Fetch standard has it"),
    _kept(302, "away-but-listed", _AWAY["host"], (True, False, True), _SECRETS, after=(_AWAY["host"],),
          why="its own line takes the secrets there; the redirect does not"),
    _kept(302, "bearer", _AWAY["host"], (True, False), {"oauth2_bearer": "hunter2"}),
    _kept(302, "header", _AWAY["host"], (True, False), {"header": ("Authorization: Bearer hunter2",)}),
    _kept(302, "netrc", _AWAY["host"], (True, False), {"netrc": True},
          netrc="machine 127.0.0.1 login me password hunter2"),
    _kept(302, "netrc-of-the-other", _AWAY["host"], (False, False), {"netrc": True},
          netrc="machine 127.0.0.2 login me password hunter2", why="a list's hop decides, not where a server points"),
    Case(row=95, name="userinfo", url="http://me:hunter2@127.0.0.1:{http}" + _moved(302, _AWAY["host"]),
         check=secrets_on(True, False), final_url=_AWAY["host"]),
    Case(row=95, name="https-to-http", url="https://127.0.0.1:{tls}" + _moved(302, _ECHO),
         options=_SECRETS, check=secrets_on(True, False)),
    Case(row=96, name="api-key", url=_moved(302, _AWAY["host"]), options={"header": ("X-Api-Key: hunter2",)},
         check=secrets_on(True, False)),
    Case(row=97, name="userinfo-elsewhere", url="/redirect-userinfo?to=127.0.0.2:{http}",
         check=secrets_on(False, False), final_url=_AWAY["host"], why="not used: a server does not choose our name"),
    Case(row=97, name="userinfo-at-home", url="/redirect-userinfo?to=127.0.0.1:{http}", check=secrets_on(False, False),
         final_url=_ECHO),
    Case(row=97, name="userinfo-over-ours", url="/redirect-userinfo?to=127.0.0.1:{http}",
         options={"user": "me:mine"}, check=secrets_on(True, True)),
)  # fmt: skip

CASES = (
    Case(row=90, name="chain-5", url="/redirect-chain/5", redirects=5, check=chain(5), body=b"the end",
         final_url="/redirect-chain/0"),
    Case(row=90, name="chain-10", url="/redirect-chain/10", redirects=10, check=chain(10)),
    Case(row=90, name="not-followed", url="/redirect-chain/5", status=302, redirects=0, requests=1, body=b"on",
         options={"location": False}),
    *(
        Case(row=91, name=name, url=url, status=302, error_type="too_many_redirects", redirects=10, requests=11,
             check=chain(10), attempts=1, options={"retries": 2}, fast=True)
        for name, url in {
            "loop": "/redirect-loop",
            "pingpong": "/redirect-ping",
            "spiral": "/redirect-spiral",
            "chain-30": "/redirect-chain/30",
        }.items()
    ),
    Case(row=91, name="none-allowed", url="/redirect-chain/1", status=302, error_type="too_many_redirects", requests=1,
         options={"max_redirs": 0}),
    *(
        Case(row=92, name=kind, url=f"/bad-redirect?kind={kind}", status=302, body=b"on", requests=1,
             why="an answer that points nowhere is the answer")
        for kind in ("nolocation", "empty")
    ),
    *(_bad(93, kind) for kind in _REFUSED),
    *(_bad(94, kind) for kind in ("badipv6", "badport", "nohost")),
    Case(row=94, name="nul", url="/bad-redirect?kind=nul", status=None, error_type="protocol", requests=1,
         why="no header may hold a NUL (row 74), this one neither"),
    Case(row=94, name="huge", url="/bad-redirect?kind=huge", status=404, requests=2, redirects=1,
         why="60 kB is within the limit of a line"),
    *(
        Case(row=94, name=kind, url=f"/bad-redirect?kind={kind}", sends=sent, redirects=1, requests=2,
             why="the first of two, as browsers do" if kind == "twice" else "the standard's target")
        for kind, sent in _FOLLOWED.items()
    ),
    *_CREDENTIALS,
    *(
        Case(row=98, name=name, url=f"/{name}", redirects=1, requests=2, rss=16,
             check=both(took_at_most(f"/{name}", _BUFFERS), connections_of(1, 2)))
        for name in ("redirect-bomb", "redirect-endless")
    ),
    *(
        Case(row=98, name=name, url=f"/{name}", redirects=1, requests=2, why="the body of a redirect is not waited for")
        for name in ("redirect-stall", "redirect-truncated")
    ),
    *(_post(code, "post", "GET", "") for code in (301, 302, 303)),
    *(_post(code, "post", "POST", "a=b") for code in (307, 308)),
    *(_post(code, "put", "PUT", "a=b", method="PUT") for code in (301, 302, 307, 308)),
    _post(303, "put", "GET", "", method="PUT"),
    _post(302, "post-away", "GET", "", _AWAY["host"]),
    *(
        Case(row=100, name=f"post-away-{code}", url=_moved(code, _AWAY["host"]), status=code, requests=1,
             error_type="bad_redirect", options={"data": ("a=b",)}, check=no_body_at("127.0.0.2:{http}"),
             why="the body is not sent to another origin unasked; without it the request would be another one")
        for code in (307, 308)
    ),
    *(
        Case(row=100, name=f"head-{code}", url=_moved(code, "/echo"), options={"head": True}, size=0, redirects=1,
             requests=2)
        for code in _CODES
    ),
)  # fmt: skip
