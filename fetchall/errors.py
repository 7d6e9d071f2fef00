"""
The caller's mistakes, as exceptions. What a network does is never one: it is a value in a `Result`.

FetchallError
├── InvalidOptions (ValueError)   an option's value can't be used
├── SourceError                   the list of URLs can't be read
├── SinkError                     an output can't be written
│   └── ResumeError               what is there is another run's, or in use: nothing was touched
└── MissingExtra (ImportError)    a form or a feature needs an extra that is not installed
"""

from __future__ import annotations


class FetchallError(Exception):
    """Base of all that fetchall raises on purpose."""


class InvalidOptions(FetchallError, ValueError):
    """An option's value can't be used; the message names the option and says what would do."""


class SourceError(FetchallError):
    """The list of URLs can't be read."""


class SinkError(FetchallError):
    """An output can't be opened or written."""


class ResumeError(SinkError):
    """An output belongs to another list or other options, or is in use; nothing was touched."""


class MissingExtra(FetchallError, ImportError):
    """What was asked for needs an extra that is not installed; the message says which."""

    def __init__(self, feature: str, extra: str) -> None:
        """Say which extra `feature` needs."""
        super().__init__(f"{feature} needs the extra '{extra}': pip install 'fetchall[{extra}]'")
        self.extra = extra
