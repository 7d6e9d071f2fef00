"""Section G: coded bodies."""

from __future__ import annotations

from ..bodies import TEXT
from ..case import MIB, Case
from ..checks import sent_header

_ECHO = "http://127.0.0.1:{http}/echo"
_CODINGS = ("gzip", "x-gzip", "deflate", "raw-deflate", "br", "zstd")
_BOMBS = ("gzip", "deflate", "br", "zstd")
_CAP = 1
"""MiB: the table's max_body."""


def _optional(coding: str) -> tuple[str, ...]:
    return (coding,) if coding in ("br", "zstd") else ()


def _bomb(row: int, name: str, url: str, needs: tuple[str, ...] = ()) -> Case:
    return Case(row=row, name=name, url=url, error_type="too_large", rss=_CAP + 64, pause=0.1, needs=needs,
                options={"body": False, "sha256": True}, after=(_ECHO,))  # fmt: skip


def _broken(row: int, name: str, url: str, why: str = "", needs: tuple[str, ...] = ()) -> Case:
    return Case(row=row, name=name, url=url, error_type="decode", attempts=1, options={"retries": 2}, fast=True,
                needs=needs, why=why)  # fmt: skip


CASES = (
    *(_bomb(81, f"bomb-{coding}", f"/bomb-{coding}", _optional(coding)) for coding in _BOMBS),
    Case(row=81, name="below-the-cap", url=f"/bomb-gzip?size={MIB}", size=MIB, why="the cap is the last that fits"),
    Case(row=81, name="cap-of-a-gibibyte", url="/bomb-br?size=67108864", size=64 * MIB, needs=("br",), rss=32,
         pause=0.1, options={"max_body": 1024 * MIB, "body": False},
         why="64 MiB in one small read, none of it kept"),
    _broken(81, "zstd-window", "/zstd-window", needs=("zstd",), why="1 GiB of memory for 2 kB of text"),
    _bomb(82, "layers-3", "/bomb-gzip-layers?layers=3"),
    _bomb(82, "layers-5", "/bomb-gzip-layers?layers=5"),
    _broken(82, "layers-10", "/bomb-gzip-layers?layers=10", why="more than five layers are nobody's habit"),
    Case(row=82, name="chain-1", url="/encoding-chain?n=1", body=TEXT),
    Case(row=82, name="chain-5", url="/encoding-chain?n=5", body=TEXT),
    _broken(82, "chain-6", "/encoding-chain?n=6"),
    _broken(82, "chain-50", "/encoding-chain?n=50"),
    Case(row=83, name="members", url="/bomb-members?n=200000&size=1", size=200_000, cpu=4.0, pause=0.1, within=16.0,
         options={"body": False, "max_body": 4 * MIB, "timeout": 15.0},
         why="each member counts once: no copying of what follows"),
    _bomb(83, "members-large", "/bomb-members?n=1024&size=1048576"),
    *(
        Case(row=84, name=f"right-{coding}", url=f"/coded?coding={coding}", body=TEXT, needs=_optional(coding))
        for coding in _CODINGS
    ),
    *(
        _broken(84, f"wrong-{coding}", f"/wrong-encoding?coding={coding}", needs=_optional(coding))
        for coding in _BOMBS
    ),
    _broken(85, "unknown", "/unknown-encoding", why="`decode`, as DESIGN has it: raw bytes are not the body"),
    _broken(85, "unknown-over-gzip", "/coded?coding=gzip&as=gzip,rot13"),
    Case(row=85, name="identity", url="/unknown-encoding?coding=identity", body=TEXT),
    _broken(86, "gzip-truncated", "/gzip-truncated", why="`decode`: every byte that was announced came"),
    *(
        _broken(86, f"{coding}-cut-without-length", f"/coded-cut?nolength=1&coding={coding}", needs=_optional(coding),
                why="nothing but the decoder can tell")
        for coding in _CODINGS
    ),
    *(
        _broken(86, f"{coding}-cut-{cut}", f"/coded?coding={coding}&cut={cut}", needs=_optional(coding))
        for coding in _CODINGS
        for cut in (1, 9)
    ),
    _broken(87, "gzip-badcrc", "/gzip-badcrc"),
    _broken(87, "gzip-badsize", "/gzip-badsize"),
    Case(row=87, name="gzip-trailing", url="/gzip-trailing", body=TEXT, why="as browsers: what follows is no member"),
    *(Case(row=88, name=f"empty-{coding}", url=f"/gzip-empty?coding={coding}", size=0, needs=_optional(coding))
      for coding in _BOMBS),
    Case(row=88, name="empty-unknown", url="/gzip-empty?coding=rot13", size=0,
         why="nothing is to be decoded, so nothing has to be known"),
    Case(row=88, name="head-unknown", url="/unknown-encoding", size=0, options={"head": True}),
    Case(row=88, name="head", url="/coded?coding=gzip", size=0, options={"head": True}),
    Case(row=88, name="204", url="/coded-without-body?status=204", status=204, size=0),
    Case(row=88, name="304", url="/coded-without-body?status=304", status=304, size=0),
    Case(row=89, name="asked-for", url="/echo", needs=("br", "zstd"),
         check=sent_header("accept-encoding", "gzip, deflate, br, zstd"),
         why="without a library its name is missing here: see the tests of decoding"),
)  # fmt: skip
