"""
What is kept of bodies: their digest, the bytes themselves, or files in a folder, whole or not at all.

Knows when a body is kept and when a file is one that no name leads to yet; it must not know HTTP, nor names.
"""

from __future__ import annotations

import errno
import os
from contextlib import suppress
from dataclasses import replace

from fetchall.body_form import media_type
from fetchall.continuing import Continuing
from fetchall.errors import SinkError
from fetchall.folder import Folder
from fetchall.journey import Journey
from fetchall.naming import Facts, parts
from fetchall.options import Options
from fetchall.placing import Placing
from fetchall.records import ErrorType, Fault, Request, Result
from fetchall.rows import Columns, fields
from fetchall.sinks.outlet import reason, write_all
from fetchall.tar_shards import Shards
from fetchall.validators import Known
from fetchall.wire.body import Memory
from fetchall.wire.failures import NotKept
from fetchall.wire.hashing import Hasher

FULL = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC), errno.EIO, errno.EROFS, errno.ENODEV})
"""What a system says when no further body can be stored: the run ends, and can be resumed."""
_DIGESTS = {64: "sha256", 32: "md5"}


class Saved(Memory):
    """Also writes to a file that has no name of its own yet."""

    def __init__(self, bodies: Bodies, folder: Folder, hasher: Hasher, *, body: bool, md5: bool) -> None:
        super().__init__(digest=True, body=body, md5=md5, hasher=hasher)
        self._bodies = bodies
        self._folder = folder
        self._descriptor = -1
        self._name: str | None = None
        self.gone = False
        """It was not wanted."""

    def write(self, chunk: bytes) -> None:
        """See `Keeper`; raises `NotKept`."""
        super().write(chunk)
        try:
            if self._name is None:
                self._descriptor, self._name = self._folder.begin()
            write_all(self._descriptor, chunk)
        except OSError as error:
            raise self._bodies.refused(error) from error

    def rest(self) -> None:
        """See `Memory`; whoever waits for another attempt holds no descriptor."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def resume(self) -> bool:
        """See `Memory`."""
        if self._descriptor < 0 and self._name is not None:
            self._descriptor = self._folder.reopen(self._name, self.size)
        return self._descriptor >= 0

    def finish(self) -> str:
        """Close it; what it is called until it has its name. Raises OSError."""
        if self._name is None:
            self._descriptor, self._name = self._folder.begin()
        self.rest()
        return self._name

    def discard(self) -> None:
        """See `Memory`."""
        self.rest()
        self.gone = True
        if self._name is not None:
            self._folder.remove(self._name)


class Bodies:
    """What one run keeps. Raises `SinkError` where the folder can't be used."""

    def __init__(self, options: Options) -> None:
        self._body = options.body
        self._digest = options.sha256 or options.body or options.refresh is not None
        self._sha256 = options.sha256
        self._column = options.checksum_column
        self._choice = options.choice
        self._hasher = Hasher()
        self.cut_off = Continuing(options)
        self._shards: Shards | None = None
        self._owned: Shards | None = None
        """The same, where nobody else sees to its end."""
        self._lost: OSError | None = None
        """The folder takes nothing more."""
        self._folder: Folder | None = None
        if options.bodies is not None:
            try:
                self._folder = Folder(options.bodies)
            except OSError as error:
                raise SinkError(f"--bodies {options.bodies}: {reason(error)}") from error
            self._placing = Placing(self._folder, options)
            if options.tar_shards:
                self._shards = options.shards or self._own_shards(options.bodies, options)

    def close(self, *, complete: bool) -> None:
        """Let go of the folder; whether the run came to the end of its list."""
        self._hasher.close()
        self.cut_off.close()
        if self._owned is not None:
            self._owned.end(complete=complete)
        if self._folder is not None:
            self._folder.close()

    def keeper(self) -> Memory | None:
        """What takes a hop's body; None: nobody wants it."""
        checksum = self._column is not None
        if self._folder is not None:
            return Saved(self, self._folder, self._hasher, body=self._body, md5=checksum)
        if self._digest or checksum:
            return Memory(digest=True, body=self._body, md5=checksum, hasher=self._hasher)
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

    def settle(self, journey: Journey, result: Result) -> Result:
        """
        A journey is over: its result with the file of its body, or with the fault that there is now.

        Saved are whole bodies of ok answers that are chosen. Raises OSError where no further body can be stored.
        """
        self.cut_off.settle(journey, whole=result.error_type is None)
        keeper = journey.keeper
        if keeper is None:
            return result
        known = journey.request.known
        if known is not None and result.refresh is not None:
            keeper.discard()
            return replace(result, file=known.file) if self._folder is not None else result
        has_body = result.error_type is None and journey.method != "HEAD"
        if has_body and self._column is not None and (fault := self._mismatch(journey, keeper)) is not None:
            result, has_body = _failed(result, fault), False
        if not isinstance(keeper, Saved) or keeper.gone:
            return result
        if not (has_body and result.ok and self._chosen(result)):
            keeper.discard()
            return result
        if known is not None and self._is_same(known, keeper):
            keeper.discard()
            return replace(result, file=known.file)
        facts = Facts(
            journey.request.index,
            journey.target.href,
            keeper.sha256 or "",
            media_type(result.content_type)[0],
            journey.request.input,
        )
        try:
            return self._save(keeper, result, facts)
        except OSError as error:
            refused = self.refused(error)
            self.check()
            return _failed(result, Fault(ErrorType.WRITE, str(refused)))

    def _chosen(self, result: Result) -> bool:
        return self._choice is None or self._choice.keeps(fields(result, Columns(body=self._body)))

    def refused(self, error: OSError) -> NotKept:
        """Note whether it is the folder that takes nothing more, or this body alone."""
        if error.errno in FULL:
            self._lost = OSError(error.errno, error.strerror, self._folder.path if self._folder else None)
        return NotKept(f"its body could not be written: {reason(error)}")

    def check(self) -> None:
        """Raise OSError where the folder takes nothing more."""
        if self._lost is not None:
            raise self._lost

    def _is_same(self, known: Known, keeper: Saved) -> bool:
        """A file that is there already has just come again."""
        return (
            self._folder is not None
            and known.sha256 == keeper.sha256
            and known.size == keeper.size
            and self._folder.holds(known.file, known.size)
        )

    def _save(self, keeper: Saved, result: Result, facts: Facts) -> Result:
        assert self._folder is not None
        name = keeper.finish()
        try:
            if self._shards is None:
                return replace(result, file=self._placing.place(name, keeper.size, facts, result.request))
            with self._folder.reading(name) as descriptor:
                result = self._shards.add(descriptor, keeper.size, parts("{ext}", facts)[0], result)
            self._folder.remove(name)
        except BaseException:
            with suppress(OSError):
                self._folder.remove(name)
            raise
        return result

    def _own_shards(self, folder: str, options: Options) -> Shards:
        shards = self._owned = Shards(folder, options.tar_shards, Columns.of(options))
        shards.begin()
        return shards

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
