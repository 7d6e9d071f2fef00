"""
Every option: its default, its unit, its bounds and the sentence that explains it, written once.

Knows nothing of click: `cli.py` makes the command line, the environment and the configuration file from the
`Spec` that each field carries, and a test holds README and `--help` against the same.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol

from fetchall.errors import InvalidOptions
from fetchall.records import ErrorType
from fetchall.retry import USUAL, RetryOn, parse_retry_on
from fetchall.tags import parse_tags
from fetchall.units import Codes, Shard, parse_codes, parse_rate, parse_shard, parse_size

if TYPE_CHECKING:  # what few runs use is imported by those
    from fetchall.captures import Recorder
    from fetchall.chosen import Choice

TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""What a method and a header's name are made of (RFC 9110 section 5.6.2)."""
Failures = frozenset[int | str]
"""Error types and statuses; none: all failures."""
Kind = Literal["flag", "switch", "value", "many", "optional"]
"""`optional`: a value that may be left out, and then is written with `=`."""


class Clock(Protocol):
    """Time as the schedule and the pool see it; tests bring a virtual one."""

    def now(self) -> float:
        """Seconds on a clock that never goes back."""

    def call_at(self, when: float, callback: Callable[[], None]) -> Any:
        """Call back at a moment of `now()`; what is returned has `cancel()`."""


@dataclass(frozen=True, slots=True)
class Spec:
    """How an option is written: its flags, its metavar, its help, and how text becomes its value."""

    flags: tuple[str, ...]
    help: str
    group: str
    kind: Kind = "value"
    metavar: str | None = None
    parse: Callable[[str], Any] | None = None
    choices: tuple[str, ...] = ()
    env: bool = True
    """False: on the command line alone, never by environment or configuration."""

    @property
    def name(self) -> str:
        """The long name without dashes: the key in a TOML file, and after FETCHALL_ in the environment."""
        long = next(flag for flag in self.flags if flag.startswith("--"))
        return long.split("/")[0].removeprefix("--")


def _option(
    default: Any,
    *flags: str,
    help: str,
    group: str,
    kind: Kind = "value",
    metavar: str | None = None,
    parse: Callable[[str], Any] | None = None,
    choices: tuple[str, ...] = (),
    env: bool = True,
) -> Any:
    spec = Spec(flags, help, group, kind, metavar, parse, choices, env)
    return dataclasses.field(default=default, metadata={"spec": spec})


def parse_seconds(text: str) -> float:
    """Seconds, fractions allowed."""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < 1e9:
        raise ValueError(f"{text!r} is not a number of seconds: write 0 or more, such as 2.5")
    return value


def parse_failures(text: str) -> Failures:
    """The rows that `--retry-failed` means: error types, statuses, `5xx`, `500-599`; nothing or `all`: all failures."""
    found: set[int | str] = set()
    for part in (piece.strip().lower() for piece in text.split(",")):
        if part in ("", "all"):
            return frozenset()
        if part in set(ErrorType):
            found.add(part)
        elif part[:1].isdigit():
            text = f"{part[0]}00-{part[0]}99" if part[1:] == "xx" else part
            found.update(code for first, last in parse_codes(text) for code in range(first, last + 1))
        else:
            raise ValueError(f"{part!r} is no error type and no status: write timeout,dns,5xx,404")
    return frozenset(found)


def parse_count(text: str) -> int:
    """A whole number, 0 or more."""
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def parse_concurrency(text: str) -> Any:
    """How many at once: from 1 to `MAX_CONCURRENCY`, or `auto`."""
    if text == AUTO:
        return AUTO
    if not (text.isascii() and text.isdigit()):
        raise ValueError(f"{text!r} is not a whole number, nor auto")
    if len(text) > 9 or not 1 <= int(text) <= MAX_CONCURRENCY:
        raise ValueError(f"{text[:20]!r} is out of range: from 1 to {MAX_CONCURRENCY}, or auto")
    return int(text)


def parse_processes(text: str) -> Any:
    """How many processes: from 1 to `MAX_PROCESSES`, or `auto`."""
    if text == AUTO:
        return AUTO
    if not (text.isascii() and text.isdigit() and len(text) < 9 and 1 <= int(text) <= MAX_PROCESSES):
        raise ValueError(f"{text[:20]!r} is not a number from 1 to {MAX_PROCESSES}, nor auto")
    return int(text)


def usable_cores() -> int:
    """The cores that this process may run on."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity is not None else os.cpu_count() or 1


AUTO: Any = "auto"
"""As `Options.concurrency`: the number is found while the run goes on."""
MOST_AUTO = 1_000
"""The most that it may find: what one process can serve, and beyond what most servers like."""
MAX_PROCESSES = 256
MAX_CONCURRENCY = 65_535
"""As curl's --parallel-max: there are no more local ports for one address."""
MAX_ROW_BODY = 10 * 1024**2
"""The most bytes of a body that a row may hold."""

POLITENESS = "Concurrency and politeness"
LIMITS = "Retries, timeouts and sizes"
REQUEST = "The request"
SECURITY = "Credentials and TLS"
NETWORK = "Network"
ROWS = "What a row holds"
OUTPUT = "Outputs"
LIST = "The list"
RUN = "The run"
MANNERS = "Manners"
GROUPS = (LIST, POLITENESS, LIMITS, REQUEST, SECURITY, NETWORK, ROWS, OUTPUT, RUN, MANNERS)


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is requested, how, and what a row holds: seconds, bytes, starts a second; validated once, here."""

    concurrency: int = _option(
        20,
        "-c",
        "--concurrency",
        help="Requests on the wire at once; auto finds the fewest that give about the most good answers a second, "
        "and reports how many that were.",
        group=POLITENESS,
        metavar="N|auto",
        parse=parse_concurrency,
    )
    processes: int = _option(
        1,
        "--processes",
        help="Processes that share the list, the rows in one output as ever; auto: one for each core.",
        group=POLITENESS,
        metavar="N|auto",
        parse=parse_processes,
    )
    auto: bool = False
    """The number in flight is found; `concurrency` is the most that it may be. `concurrency="auto"` sets both."""
    per_host: int = _option(
        0,
        "--per-host",
        help="Of these, to one origin (scheme, host, port), where redirect hops count too; 0 = no limit of its own.",
        group=POLITENESS,
        metavar="N",
        parse=parse_count,
    )
    rate: float | None = _option(
        None,
        "--rate",
        help="Request starts: 10 or 10/s, 100/m, 1000/h.",
        group=POLITENESS,
        metavar="N[/s|/m|/h]",
        parse=parse_rate,
    )
    per_host_rate: float | None = _option(
        None,
        "--per-host-rate",
        help="Request starts at one origin.",
        group=POLITENESS,
        metavar="N[/s|/m|/h]",
        parse=parse_rate,
    )
    robots: bool = _option(
        False,
        "--robots",
        help="Obey robots.txt, its Crawl-delay included (extra: robots).",
        group=POLITENESS,
        kind="flag",
    )
    max_host_errors: int = _option(
        0,
        "--max-host-errors",
        help="After so many failures in a row without an answer, a host's remaining URLs are skipped; 0 = never.",
        group=POLITENESS,
        metavar="N",
        parse=parse_count,
    )
    retry_after_max: float = _option(
        60.0,
        "--retry-after-max",
        help="The longest wait that a server may ask for.",
        group=POLITENESS,
        metavar="SECONDS",
        parse=parse_seconds,
    )
    retries: int = _option(
        2,
        "--retries",
        help="Further attempts after a transient failure.",
        group=LIMITS,
        metavar="N",
        parse=parse_count,
    )
    retry_delay: float = _option(
        0.5,
        "--retry-delay",
        help="The first wait before a retry, at most; it doubles each time, up to 30 s, and is then drawn at random.",
        group=LIMITS,
        metavar="SECONDS",
        parse=parse_seconds,
    )
    retry_max_time: float | None = _option(
        None,
        "--retry-max-time",
        help="No attempt begins later than this after the first.",
        group=LIMITS,
        metavar="SECONDS",
        parse=parse_seconds,
    )
    retry_on: RetryOn = _option(  # noqa: RUF009 (ruff takes it for a mutable default)
        USUAL,
        "--retry-on",
        help="Statuses and error types that are tried again, such as 429,500-599,timeout,dns.  [default: 408,429,500,"
        "502-504,522,524 and failures of the network]",
        group=LIMITS,
        metavar="CODES,TYPES",
        parse=parse_retry_on,
    )
    retry_all_methods: bool = _option(
        False,
        "--retry-all-methods",
        help="Retry methods that are not idempotent too (POST): the server may act twice.",
        group=LIMITS,
        kind="flag",
    )
    timeout: float = _option(
        60.0,
        "-m",
        "--timeout",
        "--max-time",
        help="One attempt's time on the wire, its redirect hops included; 0 = none.",
        group=LIMITS,
        metavar="SECONDS",
        parse=parse_seconds,
    )
    connect_timeout: float = _option(
        10.0,
        "--connect-timeout",
        help="Time to connect: DNS, TCP and TLS; 0 = none.",
        group=LIMITS,
        metavar="SECONDS",
        parse=parse_seconds,
    )
    read_timeout: float = _option(
        30.0,
        "--read-timeout",
        help="Time between two reads; 0 = none.",
        group=LIMITS,
        metavar="SECONDS",
        parse=parse_seconds,
    )
    dedupe: bool = _option(
        False,
        "--dedupe",
        help="Fetch each distinct URL once; every line still has its row, with duplicate_of.",
        group=RUN,
        kind="flag",
    )
    max_run_time: float | None = _option(
        None,
        "--max-run-time",
        help="The whole run; what is not begun by then has no row, exit 5.",
        group=LIMITS,
        metavar="SECONDS",
        parse=parse_seconds,
    )
    max_body: int = _option(
        100 * 1024**2,
        "--max-body",
        help="Decoded bytes per response: 10k, 5M, 1G (of 1024); at most 10M for bodies kept in rows.",
        group=LIMITS,
        metavar="SIZE",
        parse=parse_size,
    )
    limit_rate: int = _option(
        0,
        "--limit-rate",
        help="Bytes a second of all bodies together: 500k, 2M; 0 = no limit.",
        group=POLITENESS,
        metavar="SIZE",
        parse=parse_size,
    )
    speed_limit: int = _option(
        0,
        "--speed-limit",
        help="Give a body up (timeout) that comes at fewer bytes a second than this for --speed-time; 0 = never.",
        group=LIMITS,
        metavar="SIZE",
        parse=parse_size,
    )
    speed_time: float = _option(
        30.0,
        "--speed-time",
        help="How long a body may be that slow.",
        group=LIMITS,
        metavar="SECONDS",
        parse=parse_seconds,
    )
    location: bool = _option(
        True,
        "-L",
        "--location/--no-location",
        help="Follow redirects.",
        group=REQUEST,
        kind="switch",
    )
    max_redirs: int = _option(
        10,
        "--max-redirs",
        help="Redirects to follow before too_many_redirects.",
        group=REQUEST,
        metavar="N",
        parse=parse_count,
    )
    location_trusted: bool = _option(
        False,
        "--location-trusted",
        help="Send credentials, your own headers and bodies on to other origins that a redirect names.",
        group=REQUEST,
        kind="flag",
    )
    method: str | None = _option(
        None,
        "-X",
        "--request",
        help="The method; GET unless --data, --json or --head say otherwise.",
        group=REQUEST,
        metavar="METHOD",
    )
    header: tuple[str, ...] = _option(
        (),
        "-H",
        "--header",
        help="A header 'Name: value', or @FILE with one a line; 'Name:' removes one of fetchall's own. Repeatable.",
        group=REQUEST,
        kind="many",
        metavar="HEADER",
    )
    user_agent: str | None = _option(
        None,
        "-A",
        "--user-agent",
        help="The User-Agent; fetchall/VERSION unless given.",
        group=REQUEST,
        metavar="NAME",
    )
    data: tuple[str, ...] = _option(
        (),
        "-d",
        "--data",
        help="A body to send, or @FILE; implies POST. Repeated ones are joined by '&'.",
        group=REQUEST,
        kind="many",
        metavar="DATA",
    )
    json: str | None = _option(
        None,
        "--json",
        help="A JSON body to send, or @FILE; implies POST, with the headers that JSON wants.",
        group=REQUEST,
        metavar="DATA",
    )
    head: bool = _option(False, "-I", "--head", help="HEAD: the headers, no body.", group=REQUEST, kind="flag")
    cookie: str | None = _option(
        None,
        "-b",
        "--cookie",
        help="Cookies 'a=1; b=2' for the listed URLs, or a cookies.txt; switches the cookie jar on.",
        group=REQUEST,
        metavar="DATA|FILE",
    )
    cookie_jar: str | None = _option(
        None,
        "--cookie-jar",
        help="Write the cookies here at the end (Netscape form); switches the jar on.",
        group=REQUEST,
        metavar="FILE",
    )
    user: str | None = _option(
        None,
        "-u",
        "--user",
        help="Basic authentication for the listed URLs.",
        group=SECURITY,
        metavar="NAME:PASSWORD",
    )
    netrc: bool = _option(False, "-n", "--netrc", help="Take credentials from ~/.netrc.", group=SECURITY, kind="flag")
    netrc_file: str | None = _option(
        None, "--netrc-file", help="Take credentials from this netrc file.", group=SECURITY, metavar="FILE"
    )
    oauth2_bearer: str | None = _option(
        None,
        "--oauth2-bearer",
        help="A bearer token for the listed URLs.",
        group=SECURITY,
        metavar="TOKEN",
    )
    insecure: bool = _option(
        False,
        "-k",
        "--insecure",
        help="Do not verify certificates. On the command line only.",
        group=SECURITY,
        kind="flag",
        env=False,
    )
    cacert: str | None = _option(
        None, "--cacert", help="Trust the authorities in this PEM file.", group=SECURITY, metavar="FILE"
    )
    cert: str | None = _option(None, "--cert", help="A client certificate (PEM).", group=SECURITY, metavar="FILE")
    key: str | None = _option(None, "--key", help="Its private key (PEM).", group=SECURITY, metavar="FILE")
    proxy: str | None = _option(
        None,
        "-x",
        "--proxy",
        help="A proxy for all URLs, instead of the environment's.",
        group=NETWORK,
        metavar="URL",
    )
    noproxy: str | None = _option(
        None,
        "--noproxy",
        help="Hosts that are reached without a proxy, comma-separated; * = all.",
        group=NETWORK,
        metavar="HOSTS",
    )
    resolve: tuple[str, ...] = _option(
        (),
        "--resolve",
        help="An address for a name, instead of DNS. Repeatable.",
        group=NETWORK,
        kind="many",
        metavar="HOST:PORT:ADDR",
    )
    ipv4: bool = _option(False, "-4", "--ipv4", help="IPv4 addresses only.", group=NETWORK, kind="flag")
    ipv6: bool = _option(False, "-6", "--ipv6", help="IPv6 addresses only.", group=NETWORK, kind="flag")
    block_private: bool = _option(
        False,
        "--block-private",
        help="Refuse addresses that are not public, for names, redirects, --resolve and robots.txt as well.",
        group=NETWORK,
        kind="flag",
    )
    accept: Codes = _option(  # noqa: RUF009 (ruff takes it for a mutable default)
        ((100, 399),),
        "--accept",
        help="Statuses that are ok, such as 200-299,404.  [default: 100-399]",
        group=ROWS,
        metavar="CODES",
        parse=parse_codes,
    )
    headers: bool = _option(False, "--headers", help="Add headers and history to each row.", group=ROWS, kind="flag")
    timings: bool = _option(
        False, "--timings", help="Add timings, reused and tries to each row.", group=ROWS, kind="flag"
    )
    sha256: bool = _option(False, "--sha256", help="Add the body's digest to each row.", group=ROWS, kind="flag")
    body: bool = _option(False, "--body", help="Add the body and its digest to each row.", group=ROWS, kind="flag")
    bodies: str | None = _option(
        None,
        "--bodies",
        help="Save the bodies of ok answers as files in this folder; the row has file and sha256.",
        group=ROWS,
        metavar="DIR",
    )
    name: str | None = _option(
        None,
        "--name",
        help="What they are called, such as {host}/{path} or {input.id}.{ext}: index sha256 ext scheme host port path "
        "name stem query input.COLUMN.  [default: {index:06}-{host}-{stem}.{ext}]",
        group=ROWS,
        metavar="TEMPLATE",
    )
    no_clobber: bool = _option(
        False, "--no-clobber", help="Leave a file that is there as it is.", group=ROWS, kind="flag"
    )
    keep_secrets: bool = _option(
        False,
        "--keep-secrets",
        help="In .warc.gz and .har, keep the values of credential headers, which are *** otherwise.",
        group=ROWS,
        kind="flag",
    )
    tar_shards: int = _option(
        0,
        "--tar-shards",
        help="Save bodies as samples of tar shards instead, so many a shard, as webdataset reads them: key.ext with "
        "key.json, the row.",
        group=ROWS,
        metavar="N",
        parse=parse_count,
    )
    dedupe_bodies: bool = _option(
        False, "--dedupe-bodies", help="One file for each digest and type, named by it.", group=ROWS, kind="flag"
    )
    checksum_column: str | None = _option(
        None,
        "--checksum-column",
        help="The column of the list with the sha256 or md5 that a body must have.",
        group=ROWS,
        metavar="NAME",
    )
    respect_tags: tuple[str, ...] = _option(
        (),
        "--respect-tags",
        help="Keep no answer whose X-Robots-Tag says one of these (noai,noindex); its row is a robots error.",
        group=ROWS,
        metavar="TAGS",
        parse=parse_tags,
    )
    match: tuple[str, ...] = _option(
        (),
        "--match",
        help="Write only rows that fulfil this, and save only their bodies: status=200-299,type=image/*; also size, "
        "time, error, text; = != < >. Repeatable: any.",
        group=ROWS,
        kind="many",
        metavar="EXPR",
    )
    filter: tuple[str, ...] = _option(
        (), "--filter", help="Do not write rows that fulfil this. Repeatable.", group=ROWS, kind="many", metavar="EXPR"
    )
    refresh: str | None = _option(
        None,
        "--refresh",
        help="An earlier output: ask for what has changed since, and keep the rest; each row says unchanged, changed, "
        "gone or new.",
        group=RUN,
        metavar="OLD",
    )
    resolver: Any = None
    """A resolver of the caller's own (aiohttp's AbstractResolver), for names that only it knows."""
    clock: Clock | None = None
    """A clock of the caller's own."""
    recorder: Recorder | None = None
    """Is given every request and its answer as they went over the wire."""
    shards: Any = None
    """The `Shards` that bodies go into, where an earlier run has begun some."""

    def __post_init__(self) -> None:
        """Refuse what can't be used, naming the option."""
        _check_types(self)
        wish: object = self.concurrency
        if wish == AUTO:
            object.__setattr__(self, "auto", True)
            object.__setattr__(self, "concurrency", MOST_AUTO)
        many: object = self.processes
        if many == AUTO:
            object.__setattr__(self, "processes", min(usable_cores(), MAX_PROCESSES))
        if not (isinstance(self.processes, int) and 1 <= self.processes <= MAX_PROCESSES):
            raise InvalidOptions(f"processes is {self.processes!r}: from 1 to {MAX_PROCESSES}, or auto")
        if not (isinstance(self.concurrency, int) and 1 <= self.concurrency <= MAX_CONCURRENCY):
            raise InvalidOptions(f"concurrency is {self.concurrency!r}: from 1 to {MAX_CONCURRENCY}, or auto")
        if self.method is not None and (reason := refused_method(self.method)):
            raise InvalidOptions(f"--request: {reason}")
        if self.max_body < 1:
            raise InvalidOptions("max_body is less than one byte")
        if self.ipv4 and self.ipv6:
            raise InvalidOptions("--ipv4 and --ipv6 exclude each other")
        if self.data and self.json is not None:
            raise InvalidOptions("--data and --json exclude each other")
        if self.head and (self.data or self.json is not None):
            raise InvalidOptions("--head and a body exclude each other")
        try:
            choice = self.choice
        except ValueError as error:
            raise InvalidOptions(f"--match or --filter {error}") from error
        if choice is not None and choice.needs_text and not self.body:
            raise InvalidOptions("--match and --filter by text need --body")
        self._check_bodies()
        if self.key and not self.cert:
            raise InvalidOptions("--key needs --cert")

    def _check_bodies(self) -> None:
        if self.bodies is not None and "://" in self.bodies:
            raise InvalidOptions("--bodies takes a folder of this machine, not a URL: save there, then copy it")
        if self.bodies is None and (self.name is not None or self.no_clobber or self.dedupe_bodies):
            raise InvalidOptions("--name, --no-clobber and --dedupe-bodies go with --bodies DIR")
        if self.tar_shards and self.bodies is None:
            raise InvalidOptions("--tar-shards goes with --bodies DIR")
        if self.tar_shards and (self.name is not None or self.no_clobber or self.dedupe_bodies):
            raise InvalidOptions("--tar-shards names samples by their index: leave --name, --no-clobber and the like")
        if self.tar_shards and (self.refresh is not None or self.process_count > 1):
            raise InvalidOptions("--tar-shards has one writer and no old files: leave --refresh and --processes out")
        if self.name is not None:
            if self.dedupe_bodies:
                raise InvalidOptions("--name and --dedupe-bodies exclude each other: the digest is the name")
            from fetchall import naming

            try:
                naming.check(self.name)
            except ValueError as error:
                raise InvalidOptions(f"--name {error}") from error

    def without_files(self) -> Options:
        """The same requests, without what is stored of their answers beside the rows."""
        plain = dataclasses.replace(self, bodies=None, name=None, no_clobber=False, dedupe_bodies=False, tar_shards=0)
        return dataclasses.replace(plain, recorder=None, shards=None)

    def one_at_a_time(self) -> Options:
        """The same requests one after the other, here, and nothing of their answers stored."""
        return dataclasses.replace(self.without_files(), concurrency=1)

    @property
    def process_count(self) -> int:
        """How many processes there are: none that could have nothing on the wire."""
        return min(self.processes, self.concurrency)

    @property
    def choice(self) -> Choice | None:
        """Which rows are written; None: all."""
        if not self.match and not self.filter:
            return None
        from fetchall.chosen import Choice

        return Choice.of(self.match, self.filter)

    @property
    def verb(self) -> str:
        """The method of requests that bring none of their own."""
        if self.method is not None:
            return self.method
        if self.head:
            return "HEAD"
        return "POST" if self.data or self.json is not None else "GET"

    def verb_of(self, method: str | None, body: bytes | None) -> str:
        """The method of a request: its own, else the options'; a body of its own implies POST, as --data does."""
        if method is not None:
            return method
        return "POST" if body is not None and self.method is None and not self.head else self.verb

    @property
    def body_cap(self) -> int:
        """Decoded bytes after which a response is too_large."""
        return min(self.max_body, MAX_ROW_BODY) if self.body else self.max_body


@dataclass(frozen=True, kw_only=True)
class Reporting:
    """How the list is read, where rows go, and what is told to a person; the command line's part."""

    input_format: str | None = _option(
        None,
        "--input-format",
        help="The form of the lists; by the ending of each name (.csv .tsv .jsonl .json .parquet, also .gz and .zst), "
        "else text.",
        group=LIST,
        choices=("text", "csv", "tsv", "jsonl", "json", "parquet"),
    )
    url_column: str | None = _option(
        None,
        "--url-column",
        help="The column or key that holds the URLs, or its number from 1; a column named url, or the only one that "
        "holds URLs, unless given.",
        group=LIST,
        metavar="NAME",
    )
    glob: bool = _option(
        False,
        "--glob",
        help="Unroll ranges and braces in URLs: [1-100], [001-100:10], [a-z], {a,b}.",
        group=LIST,
        kind="flag",
    )
    shard: Shard | None = _option(  # noqa: RUF009 (ruff takes it for a mutable default)
        None,
        "--shard",
        help="Of the whole list, fetch the sites that fall to part I of N (from 1): N machines do the list together.",
        group=LIST,
        metavar="I/N",
        parse=parse_shard,
    )
    output: tuple[str, ...] = _option(
        (),
        "-o",
        "--output",
        help="Write the rows here; the ending chooses the form: .json, .jsonl (or .jsonl.gz, .jsonl.zst), .csv, "
        ".sqlite, .parquet, .warc.gz, .har, .html; - = stdout. A URL such as s3://bucket/rows.csv too (extra: remote). "
        "Repeatable.",
        group=OUTPUT,
        kind="many",
        metavar="FILE",
    )
    format: str | None = _option(
        None,
        "--format",
        help="The form on stdout; json, or lines where it is a terminal.",
        group=OUTPUT,
        choices=("json", "jsonl", "csv", "lines"),
    )
    csv_safe: bool = _option(
        False,
        "--csv-safe",
        help="In CSV, put ' before cells that a spreadsheet would run as a formula.",
        group=OUTPUT,
        kind="flag",
    )
    warc_max_size: int = _option(
        0,
        "--warc-max-size",
        help="Split NAME.warc.gz into NAME-00000.warc.gz, NAME-00001.warc.gz and so on, of this size at most and each "
        "whole on its own; 0 = one file.",
        group=OUTPUT,
        metavar="SIZE",
        parse=parse_size,
    )
    warc_cdx: bool = _option(
        False,
        "--warc-cdx",
        help="Beside NAME.warc.gz, write NAME.cdxj: the sorted index by which replay tools find its pages.",
        group=OUTPUT,
        kind="flag",
    )
    ordered: bool = _option(False, "--ordered", help="JSONL in input order.", group=OUTPUT, kind="flag")
    summary: str | None = _option(
        None,
        "--summary",
        help="Write summary and timing here as JSON, whatever the outputs; - = stdout.",
        group=OUTPUT,
        metavar="FILE",
    )
    resume: bool = _option(
        False,
        "--resume",
        help="Go on where an earlier run of the same command stopped: OUT.part, or else OUT.",
        group=OUTPUT,
        kind="flag",
    )
    retry_failed: Failures | None = _option(  # noqa: RUF009 (ruff takes it for a mutable default)
        None,
        "--retry-failed",
        help="With --resume: fetch again what failed, or what failed so: timeout,dns,5xx,404.",
        group=OUTPUT,
        kind="optional",
        metavar="TYPES",
        parse=parse_failures,
    )
    fsync: float = _option(
        1.0,
        "--fsync",
        help="Sync what is written to the disk this often; 0 = at the end only.",
        group=OUTPUT,
        metavar="SECONDS",
        parse=parse_seconds,
    )
    grace: float = _option(
        5.0,
        "--grace",
        help="What is in flight may finish for this long after a first Ctrl-C.",
        group=RUN,
        metavar="SECONDS",
        parse=parse_seconds,
    )
    overwrite: bool = _option(
        False, "--overwrite", help="Throw away an earlier run's unfinished output.", group=OUTPUT, kind="flag"
    )
    sync: bool = _option(
        False,
        "--sync",
        help="First fetch the list one at a time as well, and report what concurrency bought.",
        group=RUN,
        kind="flag",
    )
    demo: bool = _option(
        False,
        "--demo",
        help="Fetch a practice site that fetchall itself serves on loopback; no network needed.",
        group=RUN,
        kind="flag",
    )
    plan: bool = _option(
        False,
        "--plan",
        help="Send nothing: count URLs, hosts, duplicates and bad lines, and say how long it takes at least.",
        group=RUN,
        kind="flag",
    )
    cluster: str | None = _option(
        None,
        "--cluster",
        help="Fetch by the workers of the Dask cluster at this address, or of this scheduler file; -o is the folder "
        "or fsspec URL that they share. -c holds for each thread of a worker, --rate for all together (extra: dask).",
        group=RUN,
        metavar="ADDRESS",
    )
    merge: str | None = _option(
        None,
        "--merge",
        help="Fetch nothing: join the finished shards in this folder or fsspec URL into the outputs.",
        group=RUN,
        metavar="DIR",
    )
    partial: bool = _option(
        False, "--partial", help="With --merge: although shards are missing.", group=RUN, kind="flag"
    )
    fail_on: str = _option(
        "any",
        "--fail-on",
        help="Rows that make the exit code 1: not ok, with an error_type, or none.",
        group=RUN,
        choices=("any", "error", "never"),
    )
    progress: bool | None = _option(
        None,
        "--progress/--no-progress",
        help="The bar; on where stderr is a terminal.",
        group=MANNERS,
        kind="switch",
    )
    quiet: bool = _option(False, "-q", "--quiet", help="No bar, no summary, no warnings.", group=MANNERS, kind="flag")
    verbose: bool = _option(
        False,
        "-v",
        "--verbose",
        help="Say which options are set, and tell of retries, redirects and failures as they come.",
        group=MANNERS,
        kind="flag",
    )
    no_color: bool = _option(False, "--no-color", help="No colours.", group=MANNERS, kind="flag")

    def __post_init__(self) -> None:
        """Refuse what can't be used."""
        _check_types(self)
        if self.resume and self.overwrite:
            raise InvalidOptions("--resume and --overwrite exclude each other")
        if (self.warc_max_size or self.warc_cdx) and not any(path.lower().endswith(".warc.gz") for path in self.output):
            raise InvalidOptions("--warc-max-size and --warc-cdx go with -o NAME.warc.gz")
        if self.retry_failed is not None and not self.resume:
            raise InvalidOptions("--retry-failed goes with --resume")
        if self.resume and not any(path != "-" for path in self.output):
            raise InvalidOptions("--resume needs a file to go on with: -o results.jsonl")
        if self.partial and self.merge is None:
            raise InvalidOptions("--partial goes with --merge")
        for name, others in _EXCLUDE.items():
            for other in others:
                if getattr(self, name) and getattr(self, other):
                    raise InvalidOptions(f"--{name} and --{other.replace('_', '-')} exclude each other")
        if self.cluster is not None and (len(self.output) != 1 or "-" in self.output):
            raise InvalidOptions("--cluster needs one folder that all its workers share: -o results/")


def resolve_options(options: Options | None, changes: dict[str, Any]) -> Options:
    """Options with some fields changed; raises `InvalidOptions` for a field that there is not."""
    try:
        return dataclasses.replace(options or Options(), **changes)
    except TypeError as error:
        raise InvalidOptions(
            str(error).replace("Options.__init__() got an unexpected keyword argument", "no option")
        ) from error


_EXCLUDE = {
    "shard": ("demo", "cluster"),
    "cluster": ("demo", "sync", "plan", "format", "ordered", "retry_failed"),
    "merge": ("shard", "cluster", "demo", "sync", "plan", "resume"),
}
"""Options that can't be had together."""


def refused_method(method: str) -> str | None:
    """Why a method can't be sent (RFC 9110 section 9.1, and 5.6.2 for a token); None: it can."""
    if not TOKEN.fullmatch(method):
        return f"{method[:40]!a} is no method: write one word, such as POST"
    return "CONNECT asks a proxy for a tunnel: see --proxy" if method.upper() == "CONNECT" else None


def spec_of(field: dataclasses.Field[Any]) -> Spec | None:
    """The `Spec` of a field; None for what only the library takes."""
    spec: Spec | None = field.metadata.get("spec")
    return spec


def _check_types(options: Options | Reporting) -> None:
    """One type a field: a number where the default is one, a tuple where many may be given."""
    for field in dataclasses.fields(options):
        spec = spec_of(field)
        if spec is None:
            continue
        value = getattr(options, field.name)
        if spec.choices and value is not None and value not in spec.choices:
            raise InvalidOptions(f"{field.name} is {value!r}: one of {', '.join(spec.choices)}")
        if spec.kind == "many" and not isinstance(value, tuple):
            raise InvalidOptions(f"{field.name} takes a tuple, not {value!r}")
        numeric = spec.parse in (parse_seconds, parse_count, parse_rate, parse_size) and value is not None
        if numeric and (isinstance(value, bool) or not isinstance(value, (int, float)) or value < 0):
            raise InvalidOptions(f"{field.name} is {value!r}: a number of 0 or more")
