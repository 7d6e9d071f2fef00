"""docs/input.md says what is so: its examples are run, its table is compared."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from fetchall.options import Reporting, spec_of
from fetchall.source.forms import ENDINGS, READERS, TEXT

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "input.md").read_text()
FILES = re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
COMMANDS = [
    line for block in re.findall(r"^```sh\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL) for line in block.splitlines()
]


def test_every_example_reads_its_list_without_a_bad_row(tmp_path: Path) -> None:
    for name, content in FILES:
        (tmp_path / name).write_text(content)
    tool = tmp_path / "bin" / "fetchall"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fetchall --plan --format json "$@"\n')
    tool.chmod(0o755)
    env = {**os.environ, "PATH": f"{tool.parent}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    plans = []
    for command in COMMANDS:
        done = subprocess.run(command, shell=True, cwd=tmp_path, env=env, capture_output=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, b""), command
        plans.append(json.loads(done.stdout))
    assert len(FILES) == 2
    assert [plan["rows"] for plan in plans] == [2, 2, 2, 3, 100, 18]
    assert [plan["requests"] for plan in plans] == [2, 2, 2, 3, 100, 18]
    assert {plan["errors"].get("bad_line") for plan in plans} == {None}


def test_the_table_names_every_form_and_ending() -> None:
    found = {
        form: set(re.findall(r"`(\.\w+)`", endings))
        for form, endings in re.findall(r"^\| `(\w+)` \| (.*?) \|", PAGE.split("## Which column")[0], re.MULTILINE)
    }
    assert found == {form: {ending for ending, each in ENDINGS.items() if each == form} for form in READERS}
    assert found[TEXT] == set()


def test_the_option_offers_every_form() -> None:
    spec = spec_of(Reporting.__dataclass_fields__["input_format"])
    assert spec is not None
    assert set(spec.choices) == set(READERS)
