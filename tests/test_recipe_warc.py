"""docs/recipes.md, the WARC for a replay tool: its blocks run, one after the other, as a reader would run them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.command import ROOT
from tests.faults import FaultServer

PAGE = (ROOT / "docs" / "recipes.md").read_text()
SECTION = PAGE.split("\n## A WARC for a replay tool\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"^<!-- runnable -->\n```(\w+)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def test_a_page_is_found_by_the_index_and_the_index_goes_into_a_replay_tool(
    tmp_path: Path, server: FaultServer
) -> None:
    paths = ("/echo", "/bytes/2000", "/status/404", "/truncated")
    (tmp_path / "urls.txt").write_text("".join(f"{server.url(path)}\n" for path in paths))
    tool = tmp_path / "bin" / "fetchall"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fetchall --retries 0 "$@"\n')
    tool.chmod(0o755)
    env = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    said = {}
    for language, code in BLOCKS:
        words = ["bash", "-euc", code] if language == "sh" else [sys.executable, "-c", code]
        done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, ""), code
        said[language] = done.stdout.splitlines()
    assert set(said) == {"sh", "python"}
    assert len(said["sh"]) == 3
    assert all(line.startswith("1,0,0,127:") for line in said["sh"])
    assert f"{server.url('/bytes/2000')} text/plain 2000" in said["python"]
    assert len((tmp_path / "crawl.cdxj").read_text().splitlines()) == len(paths)
    # What the block for pywb copies is there.
    copied = re.findall(r"^cp (\S+) collections/", SECTION, re.MULTILINE)
    assert copied == ["crawl-*.warc.gz", "crawl.cdxj"]
    assert all(list(tmp_path.glob(name)) for name in copied)
