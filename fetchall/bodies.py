"""
What is kept of bodies: their digest, the bytes themselves, or files in a folder, whole or not at all.

Knows the folder and its file system, and who gets which name; it must not know HTTP.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import replace

from fetchall.body_form import media_type
from fetchall.errors import SinkError
from fetchall.folder import Folder, Taken
from fetchall.journey import Journey
from fetchall.naming import BY_DIGEST, DEFAULT, Facts, is_unique, numbered, parts, plain
from fetchall.options import Options
from fetchall.records import ErrorType, Fault, Request, Result
from fetchall.rows import Columns, fields
from fetchall.validators import Known
from fetchall.wire.body import Memory
from fetchall.wire.failures import NotKept

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EIO, errno.EROFS, errno.ENODEV})
"""What a system says when no further body can be stored: the run ends, and can be resumed."""
_NO_PLACE = frozenset({errno.ENOTDIR, errno.ELOOP, errno.EISDIR, errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ})
"""A name that is not to be had here: a file or a planted link stands where a folder should; too long; no such text."""
_DIGESTS = {64: "sha256", 32: "md5"}


class Saved(Memory):
    """Also writes to a file that has no name of its own yet."""

    def __init__(self, bodies: Bodies, folder: Folder, *, body: bool, md5: bool) -> None:
        super().__init__(digest=True, body=body, md5=md5)
        self._bodies = bodies
        self._folder = folder
        self._file: tuple[int, str] | None = None
        self.size = 0

    def write(self, chunk: bytes) -> None:
        """See `Keeper`; raises `NotKept`."""
        super().write(chunk)
        try:
            if self._file is None:
                self._file = self._folder.begin()
            view = memoryview(chunk)
            while view:
                view = view[os.write(self._file[0], view) :]
        except OSError as error:
            raise self._bodies.refused(error) from error
        self.size += len(chunk)

    def finish(self) -> str:
        """Close it; what it is called until it has its name. Raises OSError."""
        descriptor, name = self._file or self._folder.begin()
        self._file = None
        os.close(descriptor)
        return name

    def discard(self) -> None:
        """It is not wanted, or not whole."""
        if self._file is not None:
            descriptor, name = self._file
            self._file = None
            os.close(descriptor)
            self._folder.remove(name)


class Bodies:
    """What one run keeps. Raises `SinkError` where the folder can't be used."""

    def __init__(self, options: Options) -> None:
        self._body = options.body
        self._digest = options.sha256 or options.body or options.refresh is not None
        self._sha256 = options.sha256
        self._keeps_old = options.refresh is not None
        self._column = options.checksum_column
        self._choice = options.choice
        self._template = options.name or (BY_DIGEST if options.dedupe_bodies else DEFAULT)
        self._unique = is_unique(self._template)
        self._dedupe = options.dedupe_bodies
        self._no_clobber = options.no_clobber
        self._folder: Folder | None = None
        self.lost: OSError | None = None
        """The folder takes nothing more."""
        if options.bodies is not None:
            try:
                self._folder = Folder(options.bodies)
            except OSError as error:
                raise SinkError(f"--bodies {options.bodies}: {_words(error)}") from error

    def close(self) -> None:
        """Let go of the folder."""
        if self._folder is not None:
            self._folder.close()

    def keeper(self, journey: Journey) -> Memory | None:
        """What takes a hop's body; None: nobody wants it."""
        self.drop(journey)
        checksum = self._column is not None
        if self._folder is not None:
            return Saved(self, self._folder, body=self._body, md5=checksum)
        if self._digest or checksum:
            return Memory(digest=True, body=self._body, md5=checksum)
        return None

    def has_kept(self, request: Request, known: Known) -> bool:
        """Whether all that is wanted of a page is there, so that it need not come again if it is as it was."""
        wanted, _ = self._checksum(request)
        return (
            not (self._body and not known.body)
            and not (self._sha256 and known.sha256 is None)
            and not (wanted and wanted != known.sha256)
            and (self._folder is None or self._folder.holds(known.file, known.size))
        )

    def drop(self, journey: Journey) -> None:
        """A hop's body is not wanted any more."""
        if isinstance(journey.keeper, Saved):
            journey.keeper.discard()

    def settle(self, journey: Journey, result: Result) -> Result:
        """
        A journey is over: its result with the file of its body, or with the fault that there is now.

        Saved are whole bodies of ok answers that are chosen. Raises OSError where no further body can be stored.
        """
        keeper = journey.keeper
        if keeper is None:
            return result
        known = journey.request.known
        if known is not None and (result.refresh is not None or self._is_same(known, keeper)):
            self.drop(journey)
            return replace(result, file=known.file) if self._folder is not None else result
        has_body = result.error_type is None and journey.method != "HEAD"
        if has_body and self._column is not None and (fault := self._mismatch(journey, keeper)) is not None:
            result, has_body = _failed(result, fault), False
        if not isinstance(keeper, Saved):
            return result
        if not (has_body and result.ok and self._chosen(result)):
            keeper.discard()
            return result
        facts = Facts(
            journey.request.index,
            journey.target.href,
            keeper.sha256 or "",
            media_type(result.content_type)[0],
            journey.request.input,
        )
        try:
            return replace(result, file=self._save(keeper, facts, known.file if known is not None else None))
        except OSError as error:
            refused = self.refused(error)
            if self.lost is not None:
                raise self.lost from error
            return _failed(result, Fault(ErrorType.WRITE, str(refused)))

    def _chosen(self, result: Result) -> bool:
        return self._choice is None or self._choice.keeps(fields(result, Columns(body=self._body)))

    def refused(self, error: OSError) -> NotKept:
        """Note whether it is the folder that takes nothing more, or this body alone."""
        if error.errno in FULL:
            self.lost = OSError(error.errno, error.strerror, self._folder.path if self._folder else None)
        return NotKept(f"its body could not be written: {_words(error)}")

    def _is_same(self, known: Known, keeper: Memory) -> bool:
        """A file that is there already has just come again."""
        return (
            self._folder is not None
            and known.sha256 == keeper.sha256
            and isinstance(keeper, Saved)
            and known.size == keeper.size
            and self._folder.holds(known.file, known.size)
        )

    def _save(self, keeper: Saved, facts: Facts, old: str | None) -> str:
        assert self._folder is not None
        name = keeper.finish()
        try:
            return self._place(name, keeper.size, facts, old)
        except BaseException:
            with suppress(OSError):
                self._folder.remove(name)
            raise

    def _place(self, name: str, size: int, facts: Facts, old: str | None) -> str:
        """Give a finished file its name, or leave what stands there."""
        assert self._folder is not None
        path = parts(self._template, facts)
        try:
            return self._put(name, path, size, facts.index, old)
        except OSError as error:
            if error.errno not in _NO_PLACE:
                raise
        return self._put(name, [plain(facts)], size, facts.index, old, unique=True)

    def _put(self, name: str, path: list[str], size: int, index: int, old: str | None, *, unique: bool = False) -> str:
        """With --refresh, rows may keep any file that is there: a page takes the place of its own old one alone."""
        folder = self._folder
        assert folder is not None
        own = "/".join(path) == old if self._keeps_old else unique or self._unique
        if own and not self._no_clobber:
            folder.replace(name, path)
            return "/".join(path)
        while True:
            try:
                folder.link(name, path)
                break
            except Taken as taken:
                if self._no_clobber or (self._dedupe and taken.size == size):
                    folder.remove(name)
                    break
            if self._keeps_old or not self._dedupe:
                path = [*path[:-1], numbered(path[-1], index)]
            if not self._keeps_old:
                folder.replace(name, path)
                break
        return "/".join(path)

    def _checksum(self, request: Request) -> tuple[str, str | None]:
        """The digest that the list has for a body, and of which kind it is; nothing where it has none."""
        if self._column is None:
            return "", None
        given = str((request.input or {}).get(self._column) or "").strip().lower()
        wanted = given.removeprefix("sha256:").removeprefix("md5:")
        return wanted, _DIGESTS.get(len(wanted))

    def _mismatch(self, journey: Journey, keeper: Memory) -> Fault | None:
        wanted, kind = self._checksum(journey.request)
        if not wanted:
            return None
        if kind is None:
            words = f"column {self._column} holds neither a sha256 nor an md5 in hexadecimal digits"
            return Fault(ErrorType.BAD_LINE, words, retryable=False)
        found = keeper.sha256 if kind == "sha256" else keeper.md5
        if found == wanted:
            return None
        return Fault(ErrorType.WRITE, f"not kept: its {kind} is {found}, the list says {wanted}", retryable=False)


def _failed(result: Result, fault: Fault) -> Result:
    return replace(result, ok=False, error_type=fault.type, error=fault.message, sha256=None, body=None)


def _words(error: OSError) -> str:
    return (error.strerror or str(error)).lower()
