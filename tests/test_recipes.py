"""docs/recipes.md says what works: each section is run in a folder of its own, and what it gives is looked at."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults import FaultServer
from tests.faults.fresh import Page
from tests.resuming import rows

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "recipes.md").read_text()
SECTIONS = {
    part.partition("\n")[0]: re.findall(r"^```(\w+)([^\n]*)\n(.*?)^```$", part, re.MULTILINE | re.DOTALL)
    for part in PAGE.split("\n## ")[1:]
}
ELSEWHERE = {"A WARC for a replay tool", "Images into a training set"}
"""Sections with a test beside what they are about."""
Block = tuple[str, str, str]
"""Language, what Python needs, code."""


@pytest.fixture
def folder(tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would try things: a list, a site, an API, and `fetchall` on the path."""
    server.pages.update({name: Page(name.encode(), f'"{name}"') for name in ("one", "two", "three")})
    server.pages["old"] = Page(status=301, location="/fresh/one")
    links = "".join(
        f"<url><loc>{server.url(f'/fresh/{name}')}</loc></url>" for name in ("one", "old", "lost?a=1&amp;b=2")
    )
    server.pages["sitemap.xml"] = Page(f"<urlset>{links}</urlset>".encode(), kind="application/xml")
    lines = [server.url(path) for path in ("/fresh/one", "/fresh/two", "/fresh/lost", "/truncated", "/flaky?fail=2")]
    (tmp_path / "urls.txt").write_text("\n".join([*lines, "http://127.0.0.1:bad/"]))
    script = tmp_path / "bin" / "fetchall"
    script.parent.mkdir()
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fetchall --retry-delay 0.01 --retries 0 "$@"\n')
    script.chmod(0o755)
    for name, value in {
        "PATH": f"{script.parent}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "SITE": server.url("/fresh"),
        "API": server.url("/api"),
    }.items():
        monkeypatch.setenv(name, value)
    return tmp_path


def run(block: Block, folder: Path) -> str:
    """What a block prints; it must succeed, and complain of nothing."""
    language, _, code = block
    command = ["bash", "-uo", "pipefail", "-ec", code] if language == "sh" else [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, f"{code}\n{done.stderr}"
    assert "Traceback" not in done.stderr
    return done.stdout


def failures(folder: Path, server: FaultServer) -> None:
    with_jq, table, again, in_place = SECTIONS["Failures to a file"]
    run(with_jq, folder)
    failed = (folder / "failed.txt").read_text().split()
    assert len(failed) == 4
    run(table, folder)
    with open(folder / "failed.csv", newline="") as file:
        assert sorted(row["url"] for row in csv.DictReader(file)) == sorted(failed)
    assert [json.loads(line)[0] for line in run(again, folder).splitlines()] == [server.url("/flaky?fail=2")]
    run(in_place, folder)
    assert [row["url"] for row in rows(folder / "rows.jsonl") if not row["ok"]] != failed


def changes(folder: Path, server: FaultServer) -> None:
    (block,) = SECTIONS["Refetch only what changed"]
    assert sorted(line.partition("\t")[0] for line in run(block, folder).splitlines()) == ["new"] * 2
    server.pages["one"] = Page(b"another", '"other"')
    del server.pages["two"]
    told = run(block, folder).splitlines()
    assert told == ["changed\t000000-127.0.0.1-one.txt", server.url("/fresh/two")]
    assert (folder / "pages" / "000000-127.0.0.1-one.txt").read_bytes() == b"another"


def links(folder: Path, server: FaultServer) -> None:
    check, wrong, moved = SECTIONS["Check a site's links before a release"]
    assert run(check, folder) == "broken links\n"
    lost = server.url("/fresh/lost?a=1&b=2")
    assert (folder / "links.txt").read_text().splitlines()[-1] == lost
    assert (folder / "links.html").exists()
    assert run(wrong, folder) == f"{lost}  404\n"
    assert run(moved, folder) == f"{server.url('/fresh/old')} -> {server.url('/fresh/one')}\n"


def backfill(folder: Path, server: FaultServer) -> None:
    (block,) = SECTIONS["Backfill from an API that answers 429"]
    told = [json.loads(line) for line in run(block, folder).splitlines()]
    assert sorted(told) == [[number, {"item": f"items/{number}"}] for number in range(1, 21)]
    assert len(server.seen.requests) == 21
    assert run(block, folder).splitlines()
    assert len(server.seen.requests) == 21


SHELL: dict[str, Callable[[Path, FaultServer], None]] = {
    "Failures to a file": failures,
    "Refetch only what changed": changes,
    "Check a site's links before a release": links,
    "Backfill from an API that answers 429": backfill,
}
TABLES = "Into pandas and DuckDB"


def test_every_section_is_run() -> None:
    assert SECTIONS.keys() - ELSEWHERE == {*SHELL, TABLES}


@pytest.mark.skipif(shutil.which("jq") is None, reason="the recipes are for jq")
@pytest.mark.parametrize("section", SHELL)
def test_a_recipe_gives_what_it_says(section: str, folder: Path, server: FaultServer) -> None:
    SHELL[section](folder, server)


@pytest.mark.parametrize("block", [block for block in SECTIONS[TABLES] if block[0] == "python"], ids=lambda b: b[1])
def test_the_rows_go_into_other_tools(block: Block, folder: Path) -> None:
    for module in block[1].split():
        pytest.importorskip(module, reason=f"{module} is not installed")
    run(SECTIONS[TABLES][0], folder)
    assert "127.0.0.1" in run(block, folder)


def test_every_flag_and_link_of_the_page_is_there() -> None:
    from fetchall.cli import command

    known = {flag for each in command.params for flag in each.opts} | {"--no-progress"}
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", PAGE)) <= known
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", PAGE):
        assert target.startswith("https://") or (ROOT / "docs" / target).exists(), target
