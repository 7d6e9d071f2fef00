"""
What is written from the command itself: the README's table of options, and the man page.

`python -m tests.generate` writes them; a test compares.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from fetchall import __version__
from fetchall.cli import EPILOG, command

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
MAN = ROOT / "docs" / "man" / "fetchall.1"
BEGIN, END = "<!-- options: written by python -m tests.generate -->", "<!-- /options -->"
_DEFAULT = re.compile(r"\s*\[default: ([^]]*)\]$")

Option = tuple[str, str, str]
"""Its flags with the metavar, its help, its default."""


def groups() -> Iterator[tuple[str, list[Option]]]:
    """The options as `--help` groups them."""
    context = command.make_context("fetchall", [], resilient_parsing=True)
    for name, records in command.sections(context).items():
        rows = []
        for flags, text in records:
            default = _DEFAULT.search(text)
            rows.append((flags, _DEFAULT.sub("", text), default[1] if default else ""))
        yield name, rows


def table() -> str:
    """The README's tables, one a group."""
    blocks = []
    for name, rows in groups():
        lines = [f"**{name}**", "", "| option | meaning | default |", "|---|---|---|"]
        lines += [f"| `{_cell(flags)}` | {_cell(text)} | {_cell(default)} |" for flags, text, default in rows]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def _cell(text: str) -> str:
    return text.replace("|", r"\|")


def readme(text: str) -> str:
    """The README with its tables as they are now."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


def man() -> str:
    """The man page, in the macros of man(7)."""
    lines = [
        f'.TH FETCHALL 1 "" "fetchall {__version__}" "User Commands"',
        ".SH NAME",
        r"fetchall \- fetch a list of URLs concurrently: one row for every URL",
        ".SH SYNOPSIS",
        r".B fetchall",
        "[OPTIONS] [SOURCE]...",
        ".SH DESCRIPTION",
        _roff(EPILOG.strip()),
        ".SH OPTIONS",
    ]
    for name, rows in groups():
        lines.append(f'.SS "{name}"')
        for flags, text, default in rows:
            lines += [".TP", rf"\fB{_roff(flags)}\fR", _roff(text)]
            if default:
                lines.append(f"Default: {_roff(default)}.")
    lines += [
        ".SH EXAMPLES",
        ".nf",
        _roff("fetchall urls.txt --concurrency 20\ncat urls.txt | fetchall | jq '.results[].status'"),
        _roff("fetchall urls.txt -o rows.jsonl --summary run.json\nfetchall --demo --sync"),
        ".fi",
        ".SH SEE ALSO",
        ".BR curl (1),",
        ".BR wget (1),",
        ".BR jq (1)",
    ]
    return "\n".join(lines) + "\n"


def _roff(text: str) -> str:
    """Text that roff takes as it is: dashes are dashes, and no line begins with a request."""
    text = text.replace("\\", r"\e").replace("-", r"\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def main() -> None:
    README.write_text(readme(README.read_text()))
    MAN.write_text(man())


if __name__ == "__main__":
    main()
