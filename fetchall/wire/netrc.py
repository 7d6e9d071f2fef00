"""
What a netrc file says: which login goes to which host.

Knows the file's form, by the standard library; it must not know when a login is used.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from netrc import NetrcParseError, netrc
from pathlib import Path

from fetchall.errors import InvalidOptions

Login = tuple[str, str]
"""A user's name and password."""


@dataclass(frozen=True, slots=True)
class NetrcMap:
    """Logins by host, and the one for all others; never shown."""

    machines: Mapping[str, Login] = field(default_factory=dict, repr=False)
    default: Login | None = field(default=None, repr=False)

    def find(self, host: str) -> Login | None:
        """The login for a host, on any port, as curl has it; None: none."""
        return self.machines.get(host, self.default)


def default_path() -> Path:
    """The user's own file: `~/.netrc`, on Windows `~/_netrc`, as curl."""
    return Path.home() / ("_netrc" if os.name == "nt" else ".netrc")


def read_netrc(path: Path) -> NetrcMap:
    """The logins of a file; InvalidOptions, without a word from inside it, where there are none to be read."""
    try:
        hosts = netrc(str(path)).hosts
    except FileNotFoundError:
        raise InvalidOptions(
            f"--netrc: there is no file {path}; write 'machine HOST login NAME password SECRET'"
        ) from None
    except OSError as error:
        raise InvalidOptions(f"--netrc: {path} can't be read: {error.strerror}") from None
    except NetrcParseError as error:
        # Its message quotes the file: a password with a blank in it would be shown.
        raise InvalidOptions(f"--netrc: {path} is no netrc file from line {error.lineno} on") from None
    except UnicodeError:
        raise InvalidOptions(f"--netrc: {path} is not text in UTF-8") from None
    logins = {host: (login, password or "") for host, (login, _, password) in hosts.items() if login or password}
    default = logins.pop("default", None)
    return NetrcMap({host.lower().strip("[]"): login for host, login in logins.items()}, default)
