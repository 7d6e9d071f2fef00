"""The house's rules, read from the source: who imports whom, how long things are, what they are called."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import fetchall

ROOT = Path(fetchall.__file__).parent
MODULES = {
    ".".join(("fetchall", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in sorted(ROOT.rglob("*.py"))
}
FILES = sorted(MODULES.values())

LAYERS = (
    ("records", "errors", "units", "demo_pages", "descriptors", "signals"),
    ("retry",),
    ("options",),
    ("cells", "pace", "urls"),
    ("standing", "terminal", "glance", "tally", "rows", "robots", "source", "progress", "demo"),
    ("lane", "wire", "sinks", "person"),
    ("schedule", "report", "outputs"),
    ("pool",),
    ("run",),
    ("engines",),
    ("api",),
    ("program",),
    ("cli",),
    ("__main__",),
)
"""What stands below may be imported, what stands beside or above may not; new modules may stand anywhere."""
PEERS = {"terminal": {"glance"}}
"""The exceptions: a module that hands on another of its layer."""
HOMES = {
    "aiohttp": ("fetchall.wire", "fetchall.demo"),
    "click": ("fetchall.cli",),
    "tqdm": ("fetchall.progress",),
    "orjson": ("fetchall.rows", "fetchall.exact", "fetchall.source"),
    "pyarrow": ("fetchall.source", "fetchall.sinks"),
    "fsspec": ("fetchall.places",),
    "ada_url": ("fetchall.urls",),
    "uvloop": ("fetchall.loops",),
    "yarl": ("fetchall.wire",),
    "multidict": ("fetchall.wire",),
    "protego": ("fetchall.robots",),
    "distributed": ("fetchall.engines.cluster",),
}
"""Where a library of others may be imported."""
PURE = ("fetchall.records", "fetchall.errors", "fetchall.units")
"""These import nothing of ours."""
WITHOUT_ASYNCIO = (
    "fetchall.schedule", "fetchall.lane", "fetchall.pace", "fetchall.standing", "fetchall.retry", "fetchall.urls",
)  # fmt: skip
"""Decisions without I/O and without a loop."""
NO_NAMES = {"utils", "util", "helpers", "core", "manager", "base", "common", "misc"}
MOST_LINES = 300
LONGER = {"options": 1000, "run": 350}
"""A long list of options is data, not code; run.py is to be split when those who work on it now are done."""
MOST_FUNCTION_LINES = 45


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports(path: Path, *, late: bool = True) -> Iterator[str]:
    """The modules that a file imports; `late`: those inside functions as well, of types alone never."""
    stack: list[ast.AST] = [tree(path)]
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{path}: relative imports hide where things come from"
            assert node.module is not None
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in MODULES else node.module
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
            continue
        elif late or not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            stack += ast.iter_child_nodes(node)


def part(module: str) -> str:
    """A module's name in LAYERS: that of its folder, if it stands in one."""
    return module.split(".")[1] if "." in module else module


def layer(name: str) -> int | None:
    return next((place for place, names in enumerate(LAYERS) if name in names), None)


def ours(path: Path) -> set[str]:
    return {name for name in imports(path) if name.startswith("fetchall.")}


def test_imports_point_one_way() -> None:
    wrong = []
    for module, path in MODULES.items():
        here = part(module)
        for other in {part(name) for name in ours(path)} - {here} - PEERS.get(here, set()):
            above, below = layer(here), layer(other)
            if above is not None and below is not None and below >= above:
                wrong.append(f"{module} imports {other}")
    assert wrong == []


def test_no_imports_go_in_a_circle() -> None:
    left = {module: set(imports(path, late=False)) & MODULES.keys() - {module} for module, path in MODULES.items()}
    while free := [module for module, others in left.items() if not others & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


@pytest.mark.parametrize("library", HOMES)
def test_a_library_of_others_is_imported_at_its_home_alone(library: str) -> None:
    found = {module for module, path in MODULES.items() if any(n.split(".")[0] == library for n in imports(path))}
    assert all(module == home or module.startswith(f"{home}.") for module in found for home in [_home(library, module)])


def _home(library: str, module: str) -> str:
    homes = HOMES[library]
    return next((home for home in homes if module == home or module.startswith(f"{home}.")), homes[0])


@pytest.mark.parametrize("module", PURE)
def test_what_all_stand_on_stands_on_nothing_of_ours(module: str) -> None:
    assert ours(MODULES[module]) == set()


@pytest.mark.parametrize("module", WITHOUT_ASYNCIO)
def test_decisions_have_no_loop_and_no_socket(module: str) -> None:
    found = {name.split(".")[0] for name in imports(MODULES[module])}
    assert not found & {"asyncio", "socket", "threading", "aiohttp"}


def test_the_library_does_not_know_the_command_line() -> None:
    for module, path in MODULES.items():
        if part(module) not in ("cli", "__main__"):
            assert "fetchall.cli" not in set(imports(path)), module


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_opens_with_what_it_knows(path: Path) -> None:
    text = ast.get_docstring(tree(path))
    assert text
    assert text.split("\n\n")[0].rstrip().endswith((".", ":", "`"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_what_one_person_can_hold_in_mind(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= LONGER.get(path.stem, MOST_LINES)


def test_functions_are_short_enough_to_read_at_once() -> None:
    long = []
    for path in FILES:
        for node in ast.walk(tree(path)):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.end_lineno is not None:
                # What is described and declared is not yet code: the body counts.
                body = node.body[1:] if ast.get_docstring(node) is not None else node.body
                lines = node.end_lineno - body[0].lineno + 1 if body else 0
                if lines > MOST_FUNCTION_LINES:
                    long.append(f"{path.name}: {node.name} ({lines})")
    assert long == []


def test_no_module_is_named_for_what_is_left_over() -> None:
    assert not {path.stem for path in FILES} & NO_NAMES


def test_no_module_shares_its_name_with_a_public_function() -> None:
    assert not {path.stem for path in FILES} & set(fetchall.__all__)
