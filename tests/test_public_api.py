"""What `from fetchall import …` offers: these names and no others, typed, and imported no sooner than needed."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from pathlib import Path

import pytest

import fetchall
from fetchall import FetchallError

PUBLIC = """
    ErrorType Fault FetchallError Hop InvalidOptions MissingExtra Options Request Result SinkError SourceError Stream
    Summary Timing Timings Try __version__ fetch_all fetch_sharded stream
""".split()


def python(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def test_these_names_are_public_and_no_others() -> None:
    assert sorted(fetchall.__all__) == sorted(PUBLIC)
    assert dir(fetchall) == sorted(fetchall.__all__)


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(fetchall, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'fetch'"):
        fetchall.fetch  # noqa: B018


@pytest.mark.parametrize("name", [name for name in PUBLIC if isinstance(getattr(fetchall, name), type)])
def test_public_classes_say_what_they_are(name: str) -> None:
    assert getattr(fetchall, name).__doc__


@pytest.mark.parametrize("name", ["InvalidOptions", "SourceError", "SinkError", "MissingExtra"])
def test_the_callers_mistakes_have_one_base(name: str) -> None:
    assert issubclass(getattr(fetchall, name), FetchallError)


def test_importing_fetchall_imports_neither_aiohttp_nor_click() -> None:
    code = "import sys, fetchall; print(sorted({'aiohttp', 'click', 'tqdm', 'asyncio'} & set(sys.modules)))"
    assert python(code) == "[]\n"


def test_the_library_does_not_import_click() -> None:
    code = "import sys; from fetchall import stream; print('click' in sys.modules, 'tqdm' in sys.modules)"
    assert python(code) == "False False\n"


def test_help_and_version_answer_without_aiohttp() -> None:
    code = (
        "import sys\nfrom fetchall.cli import command\n"
        "command.main(['--help'], standalone_mode=False)\ncommand.main(['--version'], standalone_mode=False)\n"
        "print('aiohttp' in sys.modules or 'distributed' in sys.modules)"
    )
    assert python(code).endswith(f"fetchall {fetchall.__version__}\nFalse\n")


def test_the_version_is_the_packages() -> None:
    text = (Path(fetchall.__file__).parent.parent / "pyproject.toml").read_text()
    assert f'version = "{fetchall.__version__}"' in text


def test_the_package_says_that_it_is_typed() -> None:
    assert (Path(fetchall.__file__).parent / "py.typed").exists()


def test_options_are_one_value() -> None:
    options = fetchall.Options(concurrency=3)
    assert dataclasses.replace(options) == options
    with pytest.raises(dataclasses.FrozenInstanceError):
        options.concurrency = 4  # type: ignore[misc]
