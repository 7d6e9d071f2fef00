"""
Which name a finished file gets in its folder, and what happens where something has it already.

Knows templates and the folder; it must not know where bodies come from.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress

from fetchall.folder import Folder, Taken
from fetchall.naming import BY_DIGEST, DEFAULT, Facts, is_unique, literal, numbered, parts, plain
from fetchall.options import Options
from fetchall.records import Request

_NO_PLACE = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})
"""A name that is not to be had here: a file or a planted link stands where a folder should; too long; no such text."""

_MOST = 1000
"""Names that are tried before a body can't be written."""


class Placing:
    """The names of one run's files."""

    def __init__(self, folder: Folder, options: Options) -> None:
        self._folder = folder
        self._template = options.name or (BY_DIGEST if options.dedupe_bodies else DEFAULT)
        self._unique = is_unique(self._template)
        self._dedupe = options.dedupe_bodies
        self._no_clobber = options.no_clobber
        self._keeps_old = options.refresh is not None
        self._wished = False
        """The list has names of its own, so that even one with the index in it may be another row's."""

    def place(self, name: str, size: int, facts: Facts, request: Request) -> str:
        """Give a finished file its name, or leave what stands there; the list may wish for one. Raises OSError."""
        wish, old = request.output, request.known.file if request.known is not None else None
        if wish is None or self._dedupe:
            path, unique = parts(self._template, facts), self._unique and not self._wished
        else:
            path, unique, self._wished = literal(wish), False, True
        try:
            return self._put(name, path, size, facts.index, own=self._is_own(path, old, unique=unique))
        except OSError as error:
            if error.errno not in _NO_PLACE:
                raise
        path = [plain(facts)]
        return self._put(name, path, size, facts.index, own=self._is_own(path, old, unique=not self._wished))

    def _is_own(self, path: list[str], old: str | None, *, unique: bool) -> bool:
        """
        Whether what stands there is this row's from an earlier run: no other row's name is this.

        With --refresh, rows may keep any file that is there: a page takes the place of its own old one alone.
        """
        return "/".join(path) == old if self._keeps_old else unique

    def _put(self, name: str, path: list[str], size: int, index: int, *, own: bool) -> str:
        if own and not self._no_clobber:
            self._folder.replace(name, path)
            return "/".join(path)
        try:
            self._folder.link(name, path)
        except Taken as taken:
            if self._no_clobber or (self._dedupe and taken.size == size):
                self._folder.remove(name)
            elif self._dedupe and not self._keeps_old:
                self._folder.replace(name, path)
            else:
                path = self._beside(name, path, index)
        return "/".join(path)

    def _beside(self, name: str, path: list[str], index: int) -> list[str]:
        """Another row's URL may say `a-17.png` too."""
        for again in range(_MOST):
            found = [*path[:-1], numbered(path[-1], index, again)]
            with suppress(Taken):
                self._folder.link(name, found)
                return found
        raise OSError(errno.EEXIST, os.strerror(errno.EEXIST))
