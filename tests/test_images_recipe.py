"""The recipe for a training set does what it says: its command and its program are run, one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.resuming import Site
from tests.test_bodies import answer

ROOT = Path(__file__).parent.parent
SECTION = (ROOT / "docs" / "recipes.md").read_text().split("## Images into a training set\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)


def test_the_recipe_gives_each_image_with_its_caption(tmp_path: Path) -> None:
    tool = tmp_path / "bin" / "fetchall"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fetchall "$@"\n')
    tool.chmod(0o755)
    env = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    assert [language for language, _ in BLOCKS] == ["sh", "python"]
    with Site() as site:
        site.on = {
            "/cat.jpg": lambda: answer(b"cat!", "image/jpeg"),
            "/dog": lambda: answer(b"dog", "image/png"),
            "/page": lambda: answer(b"<p>", "text/html"),
        }
        lines = [f"{site.url(path)},{caption}" for path, caption in (("/cat.jpg", "a cat"), ("/dog", '"a dog, brown"'))]
        listing = tmp_path / "images.csv"
        listing.write_text(
            "\n".join(["url,caption", *lines, f"{site.url('/page')},a page", f"{site.url('/status/404')},"])
        )
        for language, code in BLOCKS:
            words = ["bash", "-uec", code] if language == "sh" else [sys.executable, "-c", code]
            done = subprocess.run(words, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, done.stderr
    assert sorted(done.stdout.splitlines()) == ["000000000.jpg 4 a cat", "000000001.png 3 a dog, brown"]
