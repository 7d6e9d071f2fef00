"""The README does what it says: its blocks run, its tables are those of the command, its links lead somewhere."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fetchall import ErrorType, exits
from fetchall.cli import EPILOG, command
from fetchall.rows import Columns, fields
from tests import generate
from tests.faults import FaultServer
from tests.test_records_rows import EVERYTHING, WHOLE

ROOT = generate.ROOT
TEXT = generate.README.read_text()
BLOCKS = re.findall(r"^<!-- runnable(?:: (\w+))? -->\n```(\w+)\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
COMPLETION = ROOT / "docs" / "completion"


def cells(heading: str, place: int = 0) -> list[str]:
    """One column of the first table below a line of the README, code marks off."""
    table = TEXT[TEXT.index(heading) :].split("\n|---")[1].split("\n\n")[0]
    return [row.split("|")[1 + place].strip().strip("`") for row in table.splitlines()[1:]]


@pytest.fixture
def folder(tmp_path: Path, server: FaultServer, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a reader would try things: a list, and `fetchall` on the path."""
    lines = [server.url(path) for path in ("/echo", "/status/404", "/bytes/2000", "/delay/0.05", "/truncated")]
    (tmp_path / "urls.txt").write_text("\n".join(["# a list", *lines, "http://127.0.0.1:bad/"]))
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "fetchall"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m fetchall --retries 0 "$@"\n')
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{script.parent}:{os.environ['PATH']}")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return tmp_path


def test_the_readme_has_blocks_that_can_be_run() -> None:
    assert len(BLOCKS) >= 7


@pytest.mark.skipif(shutil.which("jq") is None, reason="the recipes are for jq")
def test_the_recipes_run_and_give_something(folder: Path) -> None:
    for _, language, code in BLOCKS:
        if language == "sh":
            done = subprocess.run(["bash", "-uc", code], cwd=folder, capture_output=True, text=True, timeout=60)
            assert done.returncode == 0, f"{code}\n{done.stderr}"
            assert done.stdout.strip() or "body_json" in code, code
            assert "Traceback" not in done.stderr


@pytest.mark.parametrize("needs", ["python", "pandas"])
def test_the_python_runs(needs: str, folder: Path) -> None:
    if needs == "pandas":
        pytest.importorskip("pandas")
        command_line = ["fetchall", "urls.txt", "-q", "-o", "rows.jsonl"]
        subprocess.run(command_line, cwd=folder, check=False, timeout=60)
    else:
        # A list of the library's is taken as it is: comments are for lists in files.
        list_of_urls = folder / "urls.txt"
        list_of_urls.write_text("\n".join(list_of_urls.read_text().splitlines()[1:]))
    (code,) = [code for kind, _, code in BLOCKS if kind == needs]
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    if needs == "python":
        assert done.stdout.startswith("3 of 6 are fine\n")
        assert "truncated" in done.stdout
        assert "invalid_url" in done.stdout


def test_the_table_of_options_is_that_of_the_command() -> None:
    assert generate.readme(TEXT) == TEXT, "python -m tests.generate writes it"


def test_the_man_page_is_that_of_the_command() -> None:
    assert generate.MAN.read_text() == generate.man(), "python -m tests.generate writes it"


def test_every_flag_that_the_text_names_is_one() -> None:
    known = {flag for each in command.params for flag in (*each.opts, *each.secondary_opts)} | {"--help", "--resume"}
    text = TEXT.split(generate.BEGIN)[0] + TEXT.split(generate.END)[1]
    text = re.sub(r"^<!-- test command -->\n```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    text = text.replace("pip install --quiet", "")
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]+", text)) <= known


def test_the_table_of_the_row_names_its_keys_in_order() -> None:
    assert cells("## The row") == list(fields(WHOLE, EVERYTHING))
    assert EVERYTHING == Columns(True, True, True, True)


def test_the_table_of_error_types_is_the_closed_list() -> None:
    assert cells("`error_type` is one of these:") == [str(kind) for kind in ErrorType]


def test_the_table_of_exit_codes_names_those_that_there_are() -> None:
    codes = {int(code) for cell in cells("## Outputs") for code in cell.split(",")}
    ours = {
        exits.OK, exits.NOT_OK, exits.USAGE, exits.IO, exits.TIME_UP, exits.BUG, exits.CLOSED,
    }  # fmt: skip
    assert codes == ours | {4, 129, 130, 143}
    assert codes == {int(code) for code in re.findall(r"\b\d+\b", EPILOG.split("Exit codes:")[1])}


def test_the_table_of_the_house_names_modules_that_there_are() -> None:
    named = re.findall(r"\w+", " ".join(cells("## How it works inside")))
    there = {path.stem for path in (ROOT / "fetchall").glob("[!_]*") if path.is_dir() or path.suffix == ".py"}
    assert named
    assert [name for name in named if name not in there] == []


def test_every_link_within_the_project_leads_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert (ROOT / target).exists(), target


def test_ci_runs_the_readmes_command_and_no_other() -> None:
    block = TEXT.split("<!-- test command -->\n```sh\n")[1].split("\n```")[0]
    assert block.endswith("python -m tests")
    assert "<!-- test command -->" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash")
@pytest.mark.parametrize(("word", "completed"), [("--concurr", "--concurrency"), ("--fail-o", "--fail-on")])
def test_bash_completes_options_from_the_command(word: str, completed: str, folder: Path) -> None:
    script = (
        f"source '{COMPLETION / 'fetchall.bash'}'\n"
        f"COMP_WORDS=(fetchall {word}); COMP_CWORD=1; COMPREPLY=()\n"
        '_fetchall_completion fetchall; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [completed]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completions_ask_the_command_itself(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.shell_completion import get_completion_class

    (path,) = [each for each in COMPLETION.iterdir() if shell in each.name or (shell == "zsh" and "." not in each.name)]
    assert f"_FETCHALL_COMPLETE={shell}_complete" in path.read_text()
    kind = get_completion_class(shell)
    assert kind is not None
    found = kind(command, {}, "fetchall", "_FETCHALL_COMPLETE").get_completions(["urls.txt"], "--ti")
    assert [each.value for each in found] == ["--timeout", "--timings"]
    files = kind(command, {}, "fetchall", "_FETCHALL_COMPLETE").get_completions(["-o"], "rows")
    assert [each.type for each in files] == ["file"]
