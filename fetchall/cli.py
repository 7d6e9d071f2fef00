"""
The command line: click, the environment and a TOML file → options → `program`; nothing is decided here.

Must not import aiohttp: `--help` answers before that would be loaded.
"""

from __future__ import annotations

import dataclasses
import gc
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NoReturn

import click
from click.shell_completion import CompletionItem

from fetchall import __version__
from fetchall.errors import FetchallError, InvalidOptions
from fetchall.options import GROUPS, Options, Reporting, Spec, spec_of

PREFIX = "FETCHALL_"
_FILES = ("header", "data", "json")
"""Options whose value may be @FILE."""

EPILOG = """
SOURCE is a file of URLs, a URL, or - for stdin; without one, stdin is read where it is no terminal.
Each option is also FETCHALL_NAME in the environment and a key of the --config file; the command line wins.
Exit codes: 0 all rows fine, 1 some are not (--fail-on), 2 usage, 3 input or output, 4 resume refused,
5 --max-run-time, 70 a bug, 129/130/143 signals, 141 stdout closed.
"""


def _fields() -> Iterator[tuple[type[Options] | type[Reporting], dataclasses.Field[Any], Spec]]:
    """Every option of the command line, with the record that it belongs to."""
    for owner in (Options, Reporting):
        for field in dataclasses.fields(owner):
            spec = spec_of(field)
            if spec is not None:
                yield owner, field, spec


class _Value(click.ParamType[Any]):
    """A value that the option's own parser reads."""

    def __init__(self, spec: Spec) -> None:
        self.name = (spec.metavar or "text").lower()
        self._parse = spec.parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text becomes the value; click's own message names the option."""
        if self._parse is None or value is None or not isinstance(value, (str, int, float)):
            return value
        try:
            return self._parse(str(value))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Names of files, where a file is wanted."""
        return [CompletionItem(incomplete, type="file")] if "file" in self.name else []


def _parameter(field: dataclasses.Field[Any], spec: Spec) -> click.Option:
    names = [field.name, *spec.flags]
    shown = spec.help
    default = field.default
    if spec.kind == "value" and default is not None and "[default" not in shown and spec.group != "":
        shown += f"  [default: {_plain(default)}]"
    if spec.kind == "switch" and default is True:
        shown += "  [default: on]"
    if spec.kind in ("flag", "switch"):
        return click.Option(names, is_flag=True, default=default, help=shown, show_default=False)
    if spec.choices:
        return click.Option(names, type=click.Choice(spec.choices), default=default, help=shown)
    if spec.kind == "optional":
        shown += f" Write a value with =: {spec.flags[0]}={spec.metavar}."
    return click.Option(
        names, type=_Value(spec), default=default, multiple=spec.kind == "many", metavar=spec.metavar, help=shown
    )


def _plain(default: Any) -> str:
    if isinstance(default, float):
        return f"{default:g}"
    if isinstance(default, int) and default >= 1024**2 and default % 1024**2 == 0:
        return f"{default // 1024**2}M"
    return str(default)


class Command(click.Command):
    """Shows the options in groups, in the order of `options.py`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """An option whose value may be left out takes none from the next word, which may be a SOURCE."""
        optional = {flag for _, _, spec in _fields() if spec.kind == "optional" for flag in spec.flags}
        end = args.index("--") if "--" in args else len(args)
        given = [f"{word}=" if word in optional else word for word in args[:end]]
        return super().parse_args(ctx, given + args[end:])

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """One section a group."""
        for group, records in self.sections(ctx).items():
            if records:
                with formatter.section(group):
                    formatter.write_dl(records)

    def sections(self, ctx: click.Context) -> dict[str, list[tuple[str, str]]]:
        """The options of each group, as flags and help."""
        group_of = {field.name: spec.group for _, field, spec in _fields()}
        sections: dict[str, list[tuple[str, str]]] = {group: [] for group in GROUPS}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            if record is not None and isinstance(parameter, click.Option):
                sections[group_of.get(parameter.name or "", GROUPS[-1])].append(record)
        return sections

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """As written: its lines are a table."""
        formatter.write("\n" + EPILOG.strip() + "\n")


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(f"fetchall {__version__}")
        ctx.exit()


def _read_config(ctx: click.Context, _: click.Parameter, path: str | None) -> None:
    """Fill click's defaults from the file and the environment, before the other options are read."""
    if ctx.resilient_parsing:
        return
    path = path or os.environ.get(PREFIX + "CONFIG")
    defaults = _from_file(path) if path else {}
    defaults.update(_from_environment(os.environ))
    ctx.default_map = defaults


def _from_file(path: str) -> dict[str, Any]:
    import tomllib  # 5 ms that --help need not wait for

    try:
        with open(path, "rb") as file:
            found = tomllib.load(file)
    except OSError as error:
        raise click.UsageError(f"--config {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise click.UsageError(f"--config {path} is not TOML: {error}") from error
    known = {spec.name: (field, spec) for _, field, spec in _fields()}
    defaults = {}
    for key, value in found.items():
        field, spec = known.get(key.replace("_", "-"), (None, None))
        if field is None or spec is None:
            raise click.UsageError(f"--config {path}: there is no option {key!r}; see fetchall --help")
        if not spec.env:
            _ignored(f"{key} in {path}", spec)
            continue
        if spec.kind == "many" and not isinstance(value, list):
            value = [value]
        defaults[field.name] = value
    return defaults


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """`FETCHALL_<NAME>`; of a repeatable option one value a line, since a header has blanks in it."""
    defaults: dict[str, Any] = {}
    for _, field, spec in _fields():
        name = PREFIX + spec.name.upper().replace("-", "_")
        text = environ.get(name)
        if text is None or text == "":
            continue
        if not spec.env:
            _ignored(name, spec)
            continue
        defaults[field.name] = text.splitlines() if spec.kind == "many" else text
    return defaults


def _ignored(where: str, spec: Spec) -> None:
    click.echo(f"fetchall: {where} is ignored: --{spec.name} is for the command line alone", err=True)


def _command() -> Command:
    config = click.Option(
        ["config", "--config"],
        is_eager=True,
        expose_value=False,
        callback=_read_config,
        metavar="FILE",
        help="Options from a TOML file, by their long names.",
    )
    version = click.Option(
        ["-V", "--version"],
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_print_version,
        help="Show the version and exit.",
    )
    return Command(
        "fetchall",
        params=[
            click.Argument(["source"], nargs=-1, metavar="[SOURCE]...", type=click.Path(allow_dash=True)),
            *(_parameter(field, spec) for _, field, spec in _fields()),
            config,
            version,
        ],
        callback=_run,
        help="Fetch a list of URLs concurrently: one row for every URL, whatever happens.",
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def _run(source: tuple[str, ...], **values: Any) -> NoReturn:
    """Hand everything to the program; its exit code is ours."""
    try:
        for name in _FILES:
            values[name] = _expanded(name, values[name])
        given: dict[type, dict[str, Any]] = {Options: {}, Reporting: {}}
        for owner, field, _ in _fields():
            given[owner][field.name] = values[field.name]
        options, reporting = Options(**given[Options]), Reporting(**given[Reporting])
    except InvalidOptions as error:
        raise click.UsageError(str(error)) from error
    if source and reporting.merge is not None:
        raise click.UsageError("--merge joins what was fetched already: leave SOURCE out")
    if not source and not reporting.demo and reporting.merge is None:
        if sys.stdin is None or sys.stdin.isatty():
            raise click.UsageError("no SOURCE: name a file of URLs or a URL, or pipe a list in; try fetchall --demo")
        source = ("-",)
    if source and reporting.demo:
        raise click.UsageError("--demo brings its own list: leave SOURCE out")

    # What is loaded now stays loaded: to look through it for garbage, again and again, is a tenth of the start.
    gc.disable()
    from fetchall import program

    gc.freeze()
    gc.enable()
    sys.exit(program.run(source, options, reporting))


def _expanded(name: str, value: Any) -> Any:
    """The contents of @FILE: of headers one a line; of data without line ends, as curl; of JSON as it is."""
    if isinstance(value, tuple):
        return tuple(piece for each in value for piece in _pieces(name, each))
    return value if value is None else "".join(_pieces(name, value))


def _pieces(name: str, value: str) -> Sequence[str]:
    if not value.startswith("@"):
        return [value]
    try:
        # Whoever closes stdin frees its number, and the next socket would get it.
        with open(0 if value == "@-" else value[1:], "rb", closefd=value != "@-") as file:
            content = file.read().decode("utf-8", "surrogateescape")
    except OSError as error:
        raise InvalidOptions(f"--{name} {value}: {error.strerror}") from error
    if name == "header":
        return [line for line in content.splitlines() if line.strip() and not line.startswith("#")]
    if name == "data":
        return [content.translate({0: None, 10: None, 13: None})]
    return [content]


command = _command()


def main() -> NoReturn:
    """The command line, as one call; ends the process."""
    try:
        command.main(prog_name="fetchall")
    except FetchallError as error:  # nothing of the program's own escapes it; this is a slip of the command line
        click.echo(f"fetchall: {error}", err=True)
        sys.exit(2)
    sys.exit(0)
