"""
The state beside an unfinished output: whose rows these are, and what they add up to so far.

Knows options and JSON; it must not know rows' bytes or HTTP. No secret is in it: what may be one is there as a salted
scrypt digest, which says that two are the same and nothing else.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from fetchall import __version__
from fetchall.errors import ResumeError
from fetchall.options import LIMITS, POLITENESS, Options, spec_of
from fetchall.sinks.journal import checksum
from fetchall.sinks.outlet import PART, sync_folder, write_all
from fetchall.units import Shard

STATE = PART + ".state"
"""What is added to an output's name."""
VERSION = 1
_SECRET = frozenset({"header", "data", "json", "cookie", "user", "proxy"})
"""Options whose value may be a secret, or hold one."""
_FREE = frozenset({"cookie_jar", "oauth2_bearer"})
"""Free to change although they are about the request: where a jar is written, and tokens, which run out overnight."""
_BINDING = frozenset({"robots", "dedupe", "max_body"})
"""Bound although they are about pace and limits: they decide what a row says, not when."""


def new_salt() -> str:
    """For the digests of one dataset's secrets."""
    return os.urandom(16).hex()


def bound_options(options: Options, salt: str, shard: Shard | None = None) -> dict[str, Any]:
    """
    The options that shape requests and rows, by their long names, fit for JSON, and the shard.

    How fast, how often and how patiently is free to change from one run to the next; the rest makes another dataset.
    """
    found: dict[str, Any] = {} if shard is None else {"shard": str(shard)}
    for each in dataclasses.fields(options):
        spec = spec_of(each)
        if spec is None or each.name in _FREE:
            continue
        if spec.group in (POLITENESS, LIMITS) and each.name not in _BINDING:
            continue
        value = getattr(options, each.name)
        if each.name == "refresh":
            value = _content(value)
        if value == each.default:
            continue  # so that an option which a later version brings does not differ
        text = json.dumps(value, sort_keys=True, default=str)
        found[spec.name] = _digest(text, salt) if each.name in _SECRET else json.loads(text)
    return found


def _content(path: str | None) -> str | None:
    """What an earlier output holds, wherever it lies now: what rows keep of it must be the same for all of them."""
    if path is None or not os.path.isfile(path):
        return None
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        return f"{size} bytes, CRC {checksum(file.fileno(), size):08x}"


def check_options(then: dict[str, Any], now: dict[str, Any], name: str) -> None:
    """Raise `ResumeError`, naming what changed, where options are not those that `name` was begun with."""
    changed = sorted(key for key in now.keys() | then.keys() if now.get(key) != then.get(key))
    if changed:
        names = ", ".join(f"--{key}" for key in changed)
        raise ResumeError(
            f"{name} was begun with other options: {names} changed; give them as before, or --overwrite it"
        )


def _digest(text: str, salt: str) -> str:
    """What tells two secrets apart and costs whoever guesses 20 ms a guess (RFC 7914)."""
    secret = text.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(secret, salt=bytes.fromhex(salt), n=2**13, r=8, p=1, dklen=16).hex()


@dataclass
class State:
    """What is known of a run whose output is unfinished."""

    form: str
    """Of the first output; `ordered` where it is JSONL in input order: then the journal is a file of its own."""
    options: dict[str, Any] = field(default_factory=dict)
    salt: str = ""
    started_from: str = "nothing"
    """`finished`: the rows of a finished output are taken over first."""
    size: int = 0
    """Bytes of the journal, synced, that `checksum` and `tally` speak of."""
    checksum: int = 0
    tally: dict[str, Any] | None = None
    elapsed: float = 0.0
    """Seconds that the concurrent pass has taken so far."""
    sequential: float | None = None
    """Seconds of the sequential pass, once it is measured."""

    @classmethod
    def begin(cls, form: str, options: Options, shard: Shard | None = None) -> State:
        """The state of a new run."""
        salt = new_salt()
        return cls(form, bound_options(options, salt, shard), salt)

    def check(self, form: str, options: Options, name: str, shard: Shard | None = None) -> None:
        """Raise `ResumeError`, naming what differs, where a run would mix two datasets."""
        if form != self.form:
            raise ResumeError(f"{name} holds {self.form}, not {form}: write elsewhere, or --overwrite it")
        check_options(self.options, bound_options(options, self.salt, shard), name)


def save(path: str, state: State) -> None:
    """Write it whole or not at all, and see it through to the disk; raises OSError."""
    data = json.dumps({"fetchall": __version__, "version": VERSION, **dataclasses.asdict(state)}).encode()
    new = path + ".new"
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        write_all(descriptor, data + b"\n")
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    os.replace(new, path)
    sync_folder(path)


def load(path: str) -> State | None:
    """The state; None where there is none. Raises `ResumeError` for one that can't be understood."""
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read())
        writer, version = found.pop("fetchall"), found.pop("version")
        if version != VERSION:
            raise ResumeError(f"{path} is of fetchall {writer}: finish the run with that, or --overwrite it")
        return State(**found)
    except FileNotFoundError:
        return None
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ResumeError(
            f"{path} is damaged, so that nobody can tell whose rows these are: --overwrite them"
        ) from error


def remove(path: str) -> None:
    """It is no longer needed."""
    for name in (path, path + ".new"):
        with suppress(FileNotFoundError):
            os.unlink(name)
